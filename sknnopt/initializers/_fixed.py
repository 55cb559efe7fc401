"""Initializers that do not look at the size of the layer."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from torch import Generator, Tensor
from torch.nn import init

from .._choices import Range
from .._compat import Interval, InvalidParameterError
from ._base import Initializer

__all__ = ["Constant", "Normal", "TruncatedNormal", "Uniform", "Zeros"]

_ANY_REAL = Interval(Real, None, None, closed="neither")
_POSITIVE = Interval(Real, 0, None, closed="neither")


class Zeros(Initializer):
    """Every weight zero, ``w = 0``: right for a linear model; with hidden layers only biases learn.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning internal representations by error propagation", 1986, on breaking
    symmetry.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(1, 2)
    >>> Zeros()(weight, generator=torch.Generator(), gain=1.0)
    >>> weight
    tensor([[0., 0.]])
    """

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        weight.zero_()


class Constant(Initializer):
    """Every weight equal, ``w = value``; the units of a layer stay equal unless dropout tells them apart.

    Parameters
    ----------
    value : float, default=0.05
        Any finite number.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning internal representations by error propagation", 1986, on breaking
    symmetry.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(1, 2)
    >>> Constant(value=0.5)(weight, generator=torch.Generator(), gain=1.0)
    >>> weight
    tensor([[0.5000, 0.5000]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"value": [_ANY_REAL]}

    def __init__(self, *, value: float = 0.05) -> None:
        self.value = value

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        weight.fill_(self.value)


class Uniform(Initializer):
    """Uniform between two numbers, ``w ~ U(low, high)``, whatever the size of the layer.

    Parameters
    ----------
    low, high : float, default=-0.05 and 0.05
        Finite, ``low < high``.

    References
    ----------
    Thimm and Fiesler, "High-order and multilayer perceptron initialization", 1997.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(9, 9)
    >>> Uniform(low=0, high=1)(weight, generator=torch.Generator(), gain=1.0)
    >>> bool((weight >= 0).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"low": [_ANY_REAL], "high": [_ANY_REAL]}

    def __init__(self, *, low: float = -0.05, high: float = 0.05) -> None:
        self.low = low
        self.high = high

    def validate(self) -> None:
        super().validate()
        if self.low >= self.high:
            raise InvalidParameterError(
                "The 'low' parameter of Uniform must be below 'high'."
                f" Got low={self.low!r}, high={self.high!r} instead."
            )

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.uniform_(weight, self.low, self.high, generator=generator)


class Normal(Initializer):
    """Normal, ``w ~ N(mean, std^2)``, whatever the size of the layer.

    Parameters
    ----------
    mean : float, default=0.0
        Any finite number.
    std : float, default=0.05
        Standard deviation, in (0, inf).

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012,
    section 5.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(100, 100)
    >>> Normal(std=2)(weight, generator=torch.Generator(), gain=1.0)
    >>> round(weight.std().item(), 1)
    2.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"mean": [_ANY_REAL], "std": [_POSITIVE]}
    search_space = {"std": Range(0.005, 0.5, log=True)}

    def __init__(self, *, mean: float = 0.0, std: float = 0.05) -> None:
        self.mean = mean
        self.std = std

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.normal_(weight, self.mean, self.std, generator=generator)


class TruncatedNormal(Initializer):
    """Normal of `mean` and `std`, redrawn until within ``mean ± cut * std``, whatever the size of the layer.

    Parameters
    ----------
    mean : float, default=0.0
        Any finite number.
    std : float, default=0.05
        Standard deviation before the cut, in (0, inf).
    cut : float, default=2.0
        In standard deviations, in (0, inf).

    References
    ----------
    Robert, "Simulation of truncated normal variables", 1995.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(100, 100)
    >>> TruncatedNormal(std=1, cut=2)(weight, generator=torch.Generator(), gain=1.0)
    >>> bool(weight.abs().max() <= 2)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "mean": [_ANY_REAL],
        "std": [_POSITIVE],
        "cut": [_POSITIVE],
    }
    search_space = {"std": Range(0.005, 0.5, log=True)}

    def __init__(self, *, mean: float = 0.0, std: float = 0.05, cut: float = 2.0) -> None:
        self.mean = mean
        self.std = std
        self.cut = cut

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        reach = self.cut * self.std
        init.trunc_normal_(weight, self.mean, self.std, self.mean - reach, self.mean + reach, generator=generator)
