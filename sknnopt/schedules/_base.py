"""What every schedule offers, and the warm-up that goes before any of them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from .._choices import Choice
from .._compat import Interval

__all__ = ["FRACTION", "POSITIVE", "SHARE", "FunctionSchedule", "Schedule", "passed", "with_warmup"]

FRACTION = Interval(Real, 0, 1, closed="both")
SHARE = Interval(Real, 0, 1, closed="right")
POSITIVE = Interval(Real, 0, None, closed="neither")

_ROUNDING = 1e-9


class Schedule(Choice):
    """Base of the schedules; a new one needs `__call__`, a pure function of progress.

    Every position and period is a fraction of training, so a schedule means the same whatever the number of
    epochs, rows and batches.

    Attributes
    ----------
    adaptive : bool
        False where the whole curve is known ahead; True for `Plateau`, which looks at the losses.

    Examples
    --------
    >>> class SquareRoot(Schedule):
    ...     def __call__(self, progress):
    ...         return np.sqrt(1 - progress)
    >>> SquareRoot()(np.array([0.0, 0.75])), SquareRoot().final_factor()
    (array([1. , 0.5]), 0.0)
    """

    adaptive: ClassVar[bool] = False

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        """Factors of the base learning rate.

        Parameters
        ----------
        progress : ndarray of float64
            Fractions of training, in [0, 1].

        Returns
        -------
        ndarray of float64
            Of the same shape, each at least zero.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(progress)")

    def final_factor(self) -> float:
        """The factor at progress 1."""
        return float(_factors(self, np.ones(1))[0])


class FunctionSchedule(Schedule):
    """Any function of progress.

    Parameters
    ----------
    function : callable
        Takes one float, the progress in [0, 1], and returns the factor of the base learning rate.

    Examples
    --------
    >>> FunctionSchedule(lambda progress: 1 if progress < 0.5 else 0.1)(np.array([0.2, 0.7]))
    array([1. , 0.1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"function": [callable]}

    def __init__(self, function: Callable[[float], float]) -> None:
        self.function = function

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        values = np.vectorize(self.function, otypes=[object])(progress)
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError):
            raise _refusal(self, f"{values.flat[0]!r}") from None


def passed(progress: np.ndarray, position: float | np.ndarray) -> np.ndarray:
    """Whether each progress has reached a position; equal up to rounding counts.

    Examples
    --------
    >>> passed(np.array([0.2, 0.3]), 0.1 + 0.2)
    array([False,  True])
    """
    return progress >= np.asarray(position) - _ROUNDING


def _factors(schedule: Schedule, progress: np.ndarray) -> np.ndarray:
    """What a schedule, which may be the user's, returns, checked."""
    with np.errstate(all="ignore"):  # what comes of it is looked at below
        given = schedule(progress)
    try:
        factors = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise _refusal(schedule, repr(given)) from None
    if given is None or factors.shape != progress.shape:
        raise _refusal(schedule, "None" if given is None else f"shape {factors.shape} for shape {progress.shape}")
    bad = ~((factors > -_ROUNDING) & (factors < np.inf))
    if bad.any():
        raise _refusal(schedule, f"{factors[bad][0]} at progress {progress[bad][0]}")
    return np.maximum(factors, 0.0)


def _refusal(schedule: Schedule, got: str) -> ValueError:
    return ValueError(
        f"The schedule {schedule!r} must return one factor of the learning rate for each progress, a finite number"
        f" of at least 0. Got {got}."
    )


def with_warmup(schedule: Schedule, warmup: float, progress: np.ndarray, *, step: float | None = None) -> np.ndarray:
    """Factors of a schedule that begins after a linear warm-up.

    The factor rises in equal steps to the schedule's first over the fraction `warmup` of training; the whole
    schedule is then run through in what is left. The first step already moves: it takes one step's worth of
    the rise.

    Parameters
    ----------
    schedule : Schedule
    warmup : float
        Fraction of all steps, in [0, 1]; 0 is the schedule itself.
    progress : ndarray of float64, shape (T,)
        Steps done before each step, as a fraction of all steps.
    step : float, optional
        One step as a fraction of all steps; by default what lies between the first two of `progress`, or a
        hundredth of the warm-up where there is one only.

    Returns
    -------
    ndarray of float64, shape (T,)

    Raises
    ------
    ValueError
        If the schedule returns anything but finite, non-negative factors, one for each progress.

    Examples
    --------
    >>> from sknnopt.schedules import Linear
    >>> with_warmup(Linear(), 0.5, np.arange(8) / 8)
    array([0.25, 0.5 , 0.75, 1.  , 1.  , 0.75, 0.5 , 0.25])
    """
    if warmup <= 0:
        return _factors(schedule, progress)
    if step is None:
        step = float(progress[1] - progress[0]) if len(progress) > 1 else warmup / 100
    with np.errstate(over="ignore"):
        rise = np.minimum((progress + step) / warmup, 1.0) * _factors(schedule, np.zeros(1))
    if warmup >= 1:
        return rise
    rest = np.clip((progress - warmup) / (1.0 - warmup), 0.0, 1.0)
    return np.where(passed(progress, warmup), _factors(schedule, rest), rise)
