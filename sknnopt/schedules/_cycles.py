"""Schedules that also go up."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np

from .._choices import Range
from .._compat import Interval, InvalidParameterError, StrOptions
from ._base import FRACTION, SHARE, Schedule, passed

__all__ = ["CosLog", "CosineRestarts", "Cyclic", "OneCycle", "WarmupStableDecay"]

_INSIDE = Interval(Real, 0, 1, closed="neither")
_ONE_OR_MORE = Interval(Real, 1, None, closed="left")


def _anneal(start: float, end: float, share: np.ndarray) -> np.ndarray:
    """Half a cosine from start to end."""
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


class CosineRestarts(Schedule):
    """Cosine decay begun anew, ``f(p) = end_factor + (1 - end_factor) (1 + cos(pi c)) / 2``.

    ``c`` runs from 0 to 1 in each of `n_cycles` cycles, each `multiplier` times as long as the one before;
    together they fill training.

    Parameters
    ----------
    n_cycles : int, default=3
        In [1, inf).
    multiplier : float, default=2.0
        In [1, inf).
    end_factor : float, default=0.0
        Factor at the end of a cycle, in [0, 1].

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, eq. 5.

    Examples
    --------
    >>> CosineRestarts(n_cycles=2, multiplier=1)(np.array([0.0, 0.25, 0.5, 1.0]))
    array([1. , 0.5, 1. , 0. ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_cycles": [Interval(Integral, 1, 1000, closed="both")],
        "multiplier": [_ONE_OR_MORE],
        "end_factor": [FRACTION],
    }
    search_space = {"n_cycles": [2, 3, 4, 5], "multiplier": [1.0, 2.0], "end_factor": [0.0, 0.01, 0.1]}

    def __init__(self, *, n_cycles: int = 3, multiplier: float = 2.0, end_factor: float = 0.0) -> None:
        self.n_cycles = n_cycles
        self.multiplier = multiplier
        self.end_factor = end_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        lengths = float(self.multiplier) ** np.arange(self.n_cycles)
        edges = np.concatenate([[0.0], np.cumsum(lengths)]) / lengths.sum()
        cycle = np.sum([passed(progress, edge) for edge in edges[1:-1]], axis=0, dtype=np.int64, initial=0)
        start, end = edges[cycle], edges[cycle + 1]
        return _anneal(1.0, self.end_factor, np.clip((progress - start) / (end - start), 0.0, 1.0))


class CosLog(Schedule):
    """Cosines that grow longer, ``f(p) = (1 - cos(2 pi log2(1 + (2^n_cycles - 1) p))) / 2``.

    Each of the `n_cycles` cycles rises from 0 to 1 and falls back to 0, and is twice as long as the one before; so the
    learning rate comes down, and up again, on every scale of time. The first step of all has factor 0, and a warm-up
    before it, which rises to the schedule's first factor, stays there.

    Parameters
    ----------
    n_cycles : int, default=4
        In [1, inf).

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    2024, section 3, "coslog4".

    Examples
    --------
    >>> CosLog(n_cycles=2)(np.array([0.0, 1 / 3, 1.0])), CosLog()(np.array([7 / 15])).round(9)
    (array([0., 0., 0.]), array([0.]))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"n_cycles": [Interval(Integral, 1, 1000, closed="both")]}
    search_space = {"n_cycles": [2, 3, 4, 5]}

    def __init__(self, *, n_cycles: int = 4) -> None:
        self.n_cycles = n_cycles

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        cycle = np.log2(1 + (2.0**self.n_cycles - 1) * progress)
        return _anneal(0.0, 1.0, 2 * cycle)


class OneCycle(Schedule):
    """Up and down once, each half a cosine.

    From ``1 / div_factor`` up to 1, then down to ``1 / (div_factor final_div_factor)``.

    Parameters
    ----------
    pct_start : float, default=0.3
        Fraction of training spent going up, in (0, 1).
    div_factor : float, default=25.0
        In [1, inf).
    final_div_factor : float, default=1e4
        In [1, inf).

    References
    ----------
    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    2018.

    Examples
    --------
    >>> OneCycle()(np.array([0.0, 0.3, 1.0]))
    array([4.e-02, 1.e+00, 4.e-06])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "pct_start": [_INSIDE],
        "div_factor": [_ONE_OR_MORE],
        "final_div_factor": [_ONE_OR_MORE],
    }
    search_space = {"pct_start": Range(0.1, 0.4), "div_factor": Range(5.0, 50.0, log=True)}

    def __init__(self, *, pct_start: float = 0.3, div_factor: float = 25.0, final_div_factor: float = 1e4) -> None:
        self.pct_start = pct_start
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        low = 1 / self.div_factor
        up = _anneal(low, 1.0, progress / self.pct_start)
        down = _anneal(1.0, low / self.final_div_factor, (progress - self.pct_start) / (1 - self.pct_start))
        return np.where(progress <= self.pct_start, up, down)


class Cyclic(Schedule):
    """A triangle wave between `min_factor` and 1, starting at the bottom and rising for half a period.

    Parameters
    ----------
    period : float, default=0.2
        One rise and one fall as a fraction of training, in (0, 1].
    min_factor : float, default=0.1
        In [0, 1].
    mode : {"triangular", "triangular2"}, default="triangular"
        "triangular2" halves the height of the wave in each period.

    References
    ----------
    Smith, "Cyclical learning rates for training neural networks", 2017.

    Examples
    --------
    >>> Cyclic(period=0.4)(np.array([0.0, 0.2, 0.4]))
    array([0.1, 1. , 0.1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "period": [SHARE],
        "min_factor": [FRACTION],
        "mode": [StrOptions({"triangular", "triangular2"})],
    }
    search_space = {
        "period": Range(0.1, 0.5),
        "min_factor": Range(0.01, 0.3, log=True),
        "mode": ["triangular", "triangular2"],
    }

    def __init__(
        self,
        *,
        period: float = 0.2,
        min_factor: float = 0.1,
        mode: Literal["triangular", "triangular2"] = "triangular",
    ) -> None:
        self.period = period
        self.min_factor = min_factor
        self.mode = mode

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        cycle = np.floor(progress / self.period)
        wave = 1 - np.abs(2 * (progress / self.period - cycle) - 1)
        height = 0.5**cycle if self.mode == "triangular2" else 1.0
        return self.min_factor + (1 - self.min_factor) * wave * height


class WarmupStableDecay(Schedule):
    """Linear warm-up, a constant stretch, then linear decay.

    ``f`` rises from `start_factor` to 1 at ``p = warmup``, stays, and falls from ``p = 1 - decay`` to
    `end_factor`.

    Parameters
    ----------
    warmup : float, default=0.05
        Fraction of training, in [0, 1]; ``warmup + decay`` at most 1.
    decay : float, default=0.2
        Fraction of training, in [0, 1].
    start_factor : float, default=0.01
        In (0, 1].
    end_factor : float, default=0.0
        In [0, 1].

    References
    ----------
    Hu et al., "MiniCPM: unveiling the potential of small language models with scalable training strategies",
    2024, section 4.2; Hägele et al., "Scaling laws and compute-optimal training beyond fixed training
    durations", 2024.

    Examples
    --------
    >>> WarmupStableDecay()(np.array([0.0, 0.05, 0.8, 0.9, 1.0])).round(9)
    array([0.01, 1.  , 1.  , 0.5 , 0.  ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "warmup": [FRACTION],
        "decay": [FRACTION],
        "start_factor": [SHARE],
        "end_factor": [FRACTION],
    }
    search_space = {"warmup": Range(0.01, 0.1), "decay": Range(0.1, 0.4)}

    def __init__(
        self,
        *,
        warmup: float = 0.05,
        decay: float = 0.2,
        start_factor: float = 0.01,
        end_factor: float = 0.0,
    ) -> None:
        self.warmup = warmup
        self.decay = decay
        self.start_factor = start_factor
        self.end_factor = end_factor

    def validate(self) -> None:
        super().validate()
        if self.warmup + self.decay > 1 + 1e-9:
            raise InvalidParameterError(
                "The 'warmup' and 'decay' parameters of WarmupStableDecay must sum to at most 1."
                f" Got warmup={self.warmup!r}, decay={self.decay!r} instead."
            )

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        positions = [self.warmup, 1 - self.decay]
        factors = [1.0, 1.0]
        if self.warmup > 0:
            positions, factors = [0.0, *positions], [self.start_factor, *factors]
        if self.decay > 0:
            positions, factors = [*positions, 1.0], [*factors, self.end_factor]
        return np.interp(progress, positions, factors)
