"""The schedule that waits for the loss to stop falling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from .._choices import Range
from .._compat import Interval
from ._base import FRACTION, Schedule

__all__ = ["Plateau", "PlateauState"]

_COUNT = Interval(Integral, 0, None, closed="left")


@dataclass
class PlateauState:
    """What one member's plateau has seen."""

    best: float = math.inf
    bad_epochs: int = 0
    cooldown: int = 0
    factor: float = 1.0


class Plateau(Schedule):
    """Multiply the learning rate by `factor` when the loss has not improved for more than `patience` epochs.

    An epoch improves when ``loss < (1 - threshold) best``. It is the one schedule that is not a function of
    progress: called, it gives ones, and `observe` gives each epoch's factor.

    Parameters
    ----------
    factor : float, default=0.1
        In (0, 1).
    patience : int, default=10
        In [0, inf).
    threshold : float, default=1e-4
        Relative, in [0, 1).
    cooldown : int, default=0
        Epochs after a drop in which none counts as bad, in [0, inf).
    min_factor : float, default=0.0
        Where the drops end, in [0, 1].

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012,
    section 5.

    Examples
    --------
    >>> plateau = Plateau(patience=1)
    >>> state = plateau.start()
    >>> [plateau.observe(state, loss) for loss in (2.0, 1.0, 1.0, 1.0, 0.5)]
    [1.0, 1.0, 1.0, 0.1, 0.1]
    """

    adaptive = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "factor": [Interval(Real, 0, 1, closed="neither")],
        "patience": [_COUNT],
        "threshold": [Interval(Real, 0, 1, closed="left")],
        "cooldown": [_COUNT],
        "min_factor": [FRACTION],
    }
    search_space = {"factor": Range(0.1, 0.5), "patience": [3, 5, 10]}

    def __init__(
        self,
        *,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_factor: float = 0.0,
    ) -> None:
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.cooldown = cooldown
        self.min_factor = min_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return np.ones_like(progress)

    def start(self) -> PlateauState:
        """The state before the first epoch."""
        return PlateauState()

    def observe(self, state: PlateauState, loss: float) -> float:
        """Take in one epoch's loss.

        Parameters
        ----------
        state : PlateauState
            Updated in place.
        loss : float
            Smaller is better; NaN is no improvement.

        Returns
        -------
        float
            The factor of the base learning rate from the next step on.
        """
        if loss < state.best * (1 - self.threshold):
            state.best, state.bad_epochs = loss, 0
        else:
            state.bad_epochs += 1
        if state.cooldown > 0:
            state.cooldown, state.bad_epochs = state.cooldown - 1, 0
        if state.bad_epochs > self.patience:
            state.factor = max(state.factor * self.factor, self.min_factor)
            state.cooldown, state.bad_epochs = self.cooldown, 0
        return state.factor
