"""The names of schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from .._choices import resolve
from .._literals import ScheduleName
from ._base import FunctionSchedule, Schedule
from ._cycles import CosineRestarts, CosLog, Cyclic, OneCycle, WarmupStableDecay
from ._decays import Constant, Cosine, Exponential, FlatCosine, InverseSqrt, Linear, MultiStep, Polynomial, Step
from ._plateau import Plateau

__all__ = ["REGISTRY", "get", "names"]

REGISTRY: dict[str, Callable[[], Schedule]] = {
    "constant": Constant,
    "step": Step,
    "multistep": MultiStep,
    "exponential": Exponential,
    "polynomial": Polynomial,
    "linear": Linear,
    "cosine": Cosine,
    "flat_cosine": FlatCosine,
    "cosine_restarts": CosineRestarts,
    "coslog4": CosLog,
    "one_cycle": OneCycle,
    "cyclic": Cyclic,
    "inverse_sqrt": InverseSqrt,
    "warmup_stable_decay": WarmupStableDecay,
    "wsd": WarmupStableDecay,
    "plateau": Plateau,
}


def names() -> list[ScheduleName]:
    """All accepted names, sorted."""
    return cast("list[ScheduleName]", sorted(REGISTRY))


def get(value: object) -> Schedule:
    """The schedule of a name, a `Schedule`, or a function of progress.

    Examples
    --------
    >>> get("cosine"), get(lambda progress: 1 - progress).final_factor()
    (Cosine(), 0.0)
    """
    return resolve(value, REGISTRY, parameter="schedule", base=Schedule, wrap=FunctionSchedule)
