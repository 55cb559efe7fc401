"""A number that changes over training."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

from .._choices import Choice
from .._compat import Interval, InvalidParameterError
from ._base import Schedule
from ._registry import get

__all__ = ["Scheduled"]


class Scheduled(Choice):
    """A base value times a schedule's factor, for ``dropout`` and ``weight_decay``.

    Parameters
    ----------
    value : float or sequence of float
        At factor 1; a sequence, for dropout, has one for each hidden layer.
    schedule : str, Schedule or callable, default="cosine"
        See :mod:`sknnopt.schedules`; "plateau", which has no curve known ahead, is refused.

    Examples
    --------
    >>> from sknnopt import NNClassifier
    >>> clf = NNClassifier(dropout=Scheduled(0.3, "linear"), weight_decay=Scheduled(0.02, "cosine"))
    >>> clf.set_params(dropout__value=0.5).dropout
    Scheduled(schedule='linear', value=0.5)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "value": [Interval(Real, 0, None, closed="left"), "array-like"],
        "schedule": [str, Schedule, callable],
    }

    def __init__(self, value: Any, schedule: str | Schedule | Callable[..., Any] = "cosine") -> None:
        self.value = value
        self.schedule = schedule

    def _as_object(self, name: str, value: Any) -> Any:
        return self.curve() if name == "schedule" else value

    def validate(self) -> None:
        super().validate()
        if self.curve().adaptive:
            raise InvalidParameterError(
                "The 'schedule' parameter of Scheduled must be one whose curve is known ahead, which 'plateau' is not."
            )

    def curve(self) -> Schedule:
        """The schedule as an object."""
        return get(self.schedule)
