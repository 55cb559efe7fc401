"""What every average of weights offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .._choices import Choice

__all__ = ["Averaging", "FunctionAveraging"]


class Averaging(Choice):
    """Base of the averages over the weights of training; a new one needs `intake`.

    After each step ``average = average + intake (w - average)``. The average is what a member is judged by after each
    epoch and what it keeps; gradients are taken at w. Statistics of batch normalisation are taken anew, over the
    member's training rows, for the averaged weights.

    Examples
    --------
    >>> class LastHalf(Averaging):
    ...     def intake(self, step, epoch, max_epochs):
    ...         return np.where(epoch < max_epochs / 2, 1.0, 0.01)
    >>> LastHalf().intake(np.array([1.0, 2.0]), np.array([0.5, 1.0]), max_epochs=1)
    array([0.01, 0.01])
    """

    def intake(self, step: np.ndarray, epoch: np.ndarray, max_epochs: int) -> np.ndarray:
        """Share of the present weights that goes into the average, after each of an epoch's T steps.

        Parameters
        ----------
        step : ndarray of float64, shape (T,)
            Whole numbers, the first step of training being 1.
        epoch : ndarray of float64, shape (T,)
            Epochs done after the step: a whole number after an epoch's last.
        max_epochs : int

        Returns
        -------
        ndarray of float64, shape (T,)
            In [0, 1]: 0 takes nothing in, 1 begins the average anew.
        """
        raise NotImplementedError(f"{type(self).__name__} must define intake(step, epoch, max_epochs)")


class FunctionAveraging(Averaging):
    """Any function that says what share of the weights goes into their average.

    Parameters
    ----------
    function : callable
        ``(step, epoch, max_epochs) -> shares``, of and with arrays of shape (T,); see `Averaging.intake`.

    Examples
    --------
    >>> mean = FunctionAveraging(lambda step, epoch, max_epochs: 1 / step)
    >>> mean.intake(np.array([1.0, 2.0]), np.array([0.5, 1.0]), max_epochs=1)
    array([1. , 0.5])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"function": [callable]}

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def intake(self, step: np.ndarray, epoch: np.ndarray, max_epochs: int) -> np.ndarray:
        return np.asarray(self.function(step, epoch, max_epochs), dtype=np.float64)
