"""Residual blocks that are left out at random."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from .._choices import Range
from .._compat import Interval
from ._base import Regularizer

__all__ = ["StochasticDepth"]


class StochasticDepth(Regularizer):
    """Stochastic depth: in training a residual block is left out with probability up to `rate`.

    Only networks with residual blocks, which draw from it, can have it.

    Parameters
    ----------
    rate : float, default=0.1
        In [0, 1).

    References
    ----------
    Huang et al., "Deep networks with stochastic depth", 2016.

    Examples
    --------
    >>> StochasticDepth(rate=0.2).depth_rate
    0.2
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"rate": [Interval(Real, 0, 1, closed="left")]}
    search_space = {"rate": Range(0.05, 0.5)}

    def __init__(self, rate: float = 0.1) -> None:
        self.rate = rate

    @property
    def depth_rate(self) -> float:
        return float(self.rate)

    def structure(self) -> tuple[Any, ...]:
        """Rates may differ between members, but not whether there is one."""
        return (type(self), self.rate > 0)
