"""Exponential and equal averages."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np

from .._choices import Range
from .._compat import Interval
from ._base import Averaging

__all__ = ["EMA", "SWA"]


class EMA(Averaging):
    """Exponential moving average, ``a = d a + (1 - d) w`` after each step.

    The decay ``d`` is `decay`, but at step t at most ``(1 + t) / (10 + t)``, so that the average does not remember
    where training began.

    Parameters
    ----------
    decay : float, default=0.99
        In [0, 1): the average looks back over about ``1 / (1 - decay)`` steps.

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Morales-Brotons, Vogels and
    Hendrikx, "Exponential moving average of weights in deep learning: dynamics and benefits", 2024.

    Examples
    --------
    >>> EMA(decay=0.5).intake(np.array([1.0, 8.0, 100.0]), np.ones(3), max_epochs=10).round(3)
    array([0.818, 0.5  , 0.5  ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"decay": [Interval(Real, 0, 1, closed="left")]}
    search_space = {"decay": [0.9, 0.97, 0.99, 0.997, 0.999]}

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = decay

    def intake(self, step: np.ndarray, epoch: np.ndarray, max_epochs: int) -> np.ndarray:
        return 1.0 - np.minimum(self.decay, (1 + step) / (10 + step))


class SWA(Averaging):
    """Stochastic weight averaging: the equal average of the weights after each of the last epochs.

    It goes with a learning rate that stays up, ``schedule="constant"`` or "cyclic", say: what a schedule that ends at
    zero gives is one solution, many times over.

    Parameters
    ----------
    start : float, default=0.75
        In [0, 1): fraction of training after which epochs count.

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018, algorithm 1.

    Examples
    --------
    >>> SWA(start=0.5).intake(np.arange(1.0, 9.0), np.arange(1, 9) / 2, max_epochs=4)
    array([0. , 1. , 0. , 1. , 0. , 1. , 0. , 0.5])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"start": [Interval(Real, 0, 1, closed="left")]}
    search_space = {"start": Range(0.5, 0.9)}

    def __init__(self, start: float = 0.75) -> None:
        self.start = start

    def intake(self, step: np.ndarray, epoch: np.ndarray, max_epochs: int) -> np.ndarray:
        counted = np.round(epoch) - np.floor(self.start * max_epochs)
        return np.where(np.isclose(epoch, np.round(epoch)), 1.0 / np.maximum(counted, 1.0), 0.0)
