"""Schedules: the learning rate over training, as a factor of its base value."""

from __future__ import annotations

from ._base import FunctionSchedule, Schedule, with_warmup
from ._cycles import CosineRestarts, CosLog, Cyclic, OneCycle, WarmupStableDecay
from ._decays import Constant, Cosine, Exponential, FlatCosine, InverseSqrt, Linear, MultiStep, Polynomial, Step
from ._plateau import Plateau, PlateauState
from ._registry import REGISTRY, get, names
from ._scheduled import Scheduled

__all__ = [
    "REGISTRY",
    "Constant",
    "CosLog",
    "Cosine",
    "CosineRestarts",
    "Cyclic",
    "Exponential",
    "FlatCosine",
    "FunctionSchedule",
    "InverseSqrt",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Plateau",
    "PlateauState",
    "Polynomial",
    "Schedule",
    "Scheduled",
    "Step",
    "WarmupStableDecay",
    "get",
    "names",
    "with_warmup",
]
