"""Schedules that only go down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from .._choices import Range
from .._compat import Interval, InvalidParameterError
from ._base import FRACTION, POSITIVE, SHARE, Schedule, passed

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "FlatCosine",
    "InverseSqrt",
    "Linear",
    "MultiStep",
    "Polynomial",
    "Step",
]


class Constant(Schedule):
    """The base learning rate all along, ``f(p) = 1``.

    References
    ----------
    Bottou, Curtis and Nocedal, "Optimization methods for large-scale machine learning", 2018, section 4.2.

    Examples
    --------
    >>> Constant()(np.array([0.0, 1.0]))
    array([1., 1.])
    """

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return np.ones_like(progress)


class Step(Schedule):
    """A drop after every period, ``f(p) = gamma^floor(p / period)``.

    Parameters
    ----------
    period : float, default=0.3
        In (0, 1].
    gamma : float, default=0.1
        Factor of each drop, in (0, 1].

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, section 3.4.

    Examples
    --------
    >>> Step(period=0.5)(np.array([0.0, 0.4, 0.5]))
    array([1. , 1. , 0.1])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"period": [SHARE], "gamma": [SHARE]}
    search_space = {"period": Range(0.1, 0.5), "gamma": Range(0.1, 0.5)}

    def __init__(self, *, period: float = 0.3, gamma: float = 0.1) -> None:
        self.period = period
        self.gamma = gamma

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        drops = np.floor(progress / self.period)
        return self.gamma ** (drops + passed(progress, (drops + 1) * self.period))


class MultiStep(Schedule):
    """A drop at each milestone, ``f(p) = gamma^n`` where n milestones are reached.

    Parameters
    ----------
    milestones : sequence of float, default=(0.5, 0.75)
        Each in [0, 1].
    gamma : float, default=0.1
        Factor of each drop, in (0, 1].

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, section 4.2.

    Examples
    --------
    >>> MultiStep()(np.array([0.0, 0.5, 0.75])).round(4)
    array([1.  , 0.1 , 0.01])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"milestones": ["array-like"], "gamma": [SHARE]}
    search_space = {"milestones": [(0.5, 0.75), (0.3, 0.6, 0.9)], "gamma": Range(0.1, 0.5)}

    def __init__(self, *, milestones: Sequence[float] = (0.5, 0.75), gamma: float = 0.1) -> None:
        self.milestones = milestones
        self.gamma = gamma

    def validate(self) -> None:
        super().validate()
        if not _all_in(self.milestones, FRACTION):
            raise InvalidParameterError(
                "The 'milestones' parameter of MultiStep must hold floats in the range [0.0, 1.0]."
                f" Got {self.milestones!r} instead."
            )

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        reached = [passed(progress, milestone) for milestone in self.milestones]
        return self.gamma ** np.sum(reached, axis=0, initial=0.0)


def _all_in(values: Iterable[object], interval: Interval) -> bool:
    return all(interval.is_satisfied_by(value) for value in values)


class Exponential(Schedule):
    """Exponential decay, ``f(p) = end_factor^p``.

    Parameters
    ----------
    end_factor : float, default=0.01
        Factor at the end, in (0, 1].

    References
    ----------
    Senior, Heigold, Ranzato and Yang, "An empirical study of learning rates in deep neural networks for speech
    recognition", 2013.

    Examples
    --------
    >>> Exponential()(np.array([0.0, 0.5, 1.0]))
    array([1.  , 0.1 , 0.01])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"end_factor": [SHARE]}
    search_space = {"end_factor": Range(1e-3, 0.3, log=True)}

    def __init__(self, *, end_factor: float = 0.01) -> None:
        self.end_factor = end_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return self.end_factor**progress


class Polynomial(Schedule):
    """Polynomial decay, ``f(p) = end_factor + (1 - end_factor) (1 - p)^power``.

    Parameters
    ----------
    power : float, default=2.0
        In (0, inf); 1 is linear.
    end_factor : float, default=0.0
        Factor at the end, in [0, 1].

    References
    ----------
    Chen et al., "DeepLab: semantic image segmentation with deep convolutional nets, atrous convolution, and fully
    connected CRFs", 2018, the "poly" policy.

    Examples
    --------
    >>> Polynomial()(np.array([0.0, 0.5, 1.0]))
    array([1.  , 0.25, 0.  ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"power": [POSITIVE], "end_factor": [FRACTION]}
    search_space = {"power": Range(0.5, 3.0), "end_factor": [0.0, 0.01, 0.1]}

    def __init__(self, *, power: float = 2.0, end_factor: float = 0.0) -> None:
        self.power = power
        self.end_factor = end_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return self.end_factor + (1 - self.end_factor) * (1 - progress) ** self.power


class Linear(Schedule):
    """Linear decay, ``f(p) = 1 - (1 - end_factor) p``.

    Parameters
    ----------
    end_factor : float, default=0.0
        Factor at the end, in [0, 1].

    References
    ----------
    Defazio, Cutkosky, Mehta and Mishchenko, "When, why and how much? Adaptive learning rate scheduling by
    refinement", 2023.

    Examples
    --------
    >>> Linear()(np.array([0.0, 0.25, 1.0]))
    array([1.  , 0.75, 0.  ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"end_factor": [FRACTION]}
    search_space = {"end_factor": [0.0, 0.01, 0.1]}

    def __init__(self, *, end_factor: float = 0.0) -> None:
        self.end_factor = end_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return 1 - (1 - self.end_factor) * progress


class Cosine(Schedule):
    """Half a cosine, ``f(p) = end_factor + (1 - end_factor) (1 + cos(pi p)) / 2``.

    Parameters
    ----------
    end_factor : float, default=0.0
        Factor at the end, in [0, 1].

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, eq. 5.

    Examples
    --------
    >>> Cosine()(np.array([0.0, 0.5, 1.0]))
    array([1. , 0.5, 0. ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"end_factor": [FRACTION]}
    search_space = {"end_factor": [0.0, 0.01, 0.1]}

    def __init__(self, *, end_factor: float = 0.0) -> None:
        self.end_factor = end_factor

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return self.end_factor + (1 - self.end_factor) * (1 + np.cos(np.pi * progress)) / 2


class FlatCosine(Schedule):
    """Constant, then half a cosine: ``f(p) = (1 + cos(pi max(p - flat, 0) / (1 - flat))) / 2``.

    Parameters
    ----------
    flat : float, default=0.5
        Fraction of training at the base value, in [0, 1).

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    2024, section 3, "flat_cos", which dropout and weight decay follow there.

    Examples
    --------
    >>> FlatCosine()(np.array([0.0, 0.5, 0.75, 1.0]))
    array([1. , 1. , 0.5, 0. ])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"flat": [Interval(Real, 0, 1, closed="left")]}
    search_space = {"flat": Range(0.2, 0.8)}

    def __init__(self, *, flat: float = 0.5) -> None:
        self.flat = flat

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        share = np.maximum(progress - self.flat, 0.0) / (1 - self.flat)
        return (1 + np.cos(np.pi * share)) / 2


class InverseSqrt(Schedule):
    """Decay with the inverse square root, ``f(p) = sqrt(timescale / (timescale + p))``.

    Parameters
    ----------
    timescale : float, default=0.1
        Fraction of training after which the factor is ``sqrt(1 / 2)``, in (0, inf). A warm-up as long as this
        gives the paper's curve.

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017, eq. 3.

    Examples
    --------
    >>> InverseSqrt()(np.array([0.0, 0.3]))
    array([1. , 0.5])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"timescale": [Interval(Real, 0, None, closed="neither")]}
    search_space = {"timescale": Range(0.01, 0.3, log=True)}

    def __init__(self, *, timescale: float = 0.1) -> None:
        self.timescale = timescale

    def __call__(self, progress: np.ndarray) -> np.ndarray:
        return np.sqrt(self.timescale / (self.timescale + progress))
