"""Averages of the weights over training: what a member is judged by and keeps in place of its last weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from .._choices import resolve
from .._literals import AveragingName
from ._averages import EMA, SWA
from ._base import Averaging, FunctionAveraging

__all__ = ["EMA", "REGISTRY", "SWA", "Averaging", "FunctionAveraging", "get", "names"]

REGISTRY: dict[str, Callable[[], Averaging]] = {"ema": EMA, "swa": SWA}


def names() -> list[AveragingName]:
    """All accepted names, sorted."""
    return cast("list[AveragingName]", sorted(REGISTRY))


def get(value: object) -> Averaging | None:
    """The average of a name, an `Averaging`, a function ``(step, epoch, max_epochs)`` of shares, or None for none.

    Examples
    --------
    >>> get("ema"), get(None)
    (EMA(), None)
    """
    if value is None:
        return None
    return resolve(value, REGISTRY, parameter="weight_averaging", base=Averaging, wrap=FunctionAveraging)
