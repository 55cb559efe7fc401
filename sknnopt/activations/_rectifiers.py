"""Activations that are linear above zero."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .._choices import Range
from .._compat import Interval
from ._base import Activation

__all__ = ["CELU", "ELU", "SELU", "Identity", "LeakyReLU", "ReLU"]

aten = torch.ops.aten


class Identity(Activation):
    """The identity, ``f(x) = x``; a network of them is a linear model. Gain 1.

    References
    ----------
    Widrow and Hoff, "Adaptive switching circuits", 1960: linear units.

    Examples
    --------
    >>> Identity().gain
    1.0
    """

    saved = "output"
    gain = 1.0

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        return out if out is x else out.copy_(x)

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        return out if out is gradient else out.copy_(gradient)

    def module(self) -> nn.Module:
        return nn.Identity()


class ReLU(Activation):
    """Rectified linear unit, ``f(x) = max(x, 0)``, with slope 0 at 0. Gain ``sqrt(2)``.

    References
    ----------
    Nair and Hinton, "Rectified linear units improve restricted Boltzmann machines", 2010.

    Examples
    --------
    >>> ReLU().forward(torch.tensor([-1.0, 2.0]), out=torch.empty(2))
    tensor([0., 2.])
    """

    saved = "output"
    gain = math.sqrt(2)

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        torch.clamp_min(x, 0, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.threshold_backward.grad_input(gradient, saved, 0, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.ReLU()


class LeakyReLU(Activation):
    """Leaky rectified linear unit, ``f(x) = max(x, 0) + a min(x, 0)``. Gain ``sqrt(2 / (1 + a^2))``.

    Parameters
    ----------
    negative_slope : float, default=0.01
        ``a``, in [0, inf).

    References
    ----------
    Maas, Hannun and Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Examples
    --------
    >>> LeakyReLU(negative_slope=0.5).forward(torch.tensor([-1.0, 2.0]), out=torch.empty(2))
    tensor([-0.5000,  2.0000])
    """

    saved = "output"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "negative_slope": [Interval(Real, 0, None, closed="left")]
    }
    search_space = {"negative_slope": Range(0.01, 0.3, log=True)}

    def __init__(self, *, negative_slope: float = 0.01) -> None:
        self.negative_slope = negative_slope

    @property
    def gain(self) -> float:
        return nn.init.calculate_gain("leaky_relu", self.negative_slope)

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.leaky_relu.out(x, self.negative_slope, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.leaky_relu_backward.grad_input(gradient, saved, self.negative_slope, self_is_result=True, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.LeakyReLU(self.negative_slope)


class ELU(Activation):
    """Exponential linear unit, ``f(x) = x`` if ``x > 0``, else ``alpha (exp(x) - 1)``. Gain 1.25 at alpha 1.

    Parameters
    ----------
    alpha : float, default=1.0
        Limit of ``-f`` at minus infinity, in [0, inf).

    References
    ----------
    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential linear
    units", 2016.

    Examples
    --------
    >>> ELU().forward(torch.tensor([-100.0, 2.0]), out=torch.empty(2))
    tensor([-1.,  2.])
    """

    saved = "output"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"alpha": [Interval(Real, 0, None, closed="left")]}
    search_space = {"alpha": Range(0.25, 2.0)}

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.elu.out(x, self.alpha, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.elu_backward.grad_input(gradient, self.alpha, 1, 1, is_result=True, self_or_result=saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.ELU(self.alpha)


class CELU(Activation):
    """Continuously differentiable ELU, ``f(x) = max(x, 0) + min(0, alpha (exp(x / alpha) - 1))``. Gain 1.25 at alpha 1.

    Unlike ELU's, its slope at zero is one for every alpha.

    Parameters
    ----------
    alpha : float, default=1.0
        Limit of ``-f`` at minus infinity, in (0, inf).

    References
    ----------
    Barron, "Continuously differentiable exponential linear units", 2017.

    Examples
    --------
    >>> CELU(alpha=2).forward(torch.tensor([-100.0, 2.0]), out=torch.empty(2))
    tensor([-2.,  2.])
    """

    saved = "output"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"alpha": [Interval(Real, 0, None, closed="neither")]}
    search_space = {"alpha": Range(0.25, 2.0)}

    def __init__(self, *, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.elu.out(x, self.alpha, 1, 1 / self.alpha, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        shape = (self.alpha, 1, 1 / self.alpha)
        aten.elu_backward.grad_input(gradient, *shape, is_result=True, self_or_result=saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.CELU(self.alpha)


class SELU(Activation):
    """Scaled exponential linear unit, ``f(x) = s x`` for ``x > 0``, else ``s alpha (exp(x) - 1)``. Gain 3/4.

    ``alpha`` = 1.6733 and ``s`` = 1.0507 make zero mean and unit variance a fixed point from layer to layer,
    with LeCun initialisation.

    References
    ----------
    Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> SELU().forward(torch.tensor([1.0]), out=torch.empty(1))
    tensor([1.0507])
    """

    saved = "output"
    gain = 0.75
    _alpha: ClassVar[float] = 1.6732632423543772848170429916717
    _scale: ClassVar[float] = 1.0507009873554804934193349852946

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.elu.out(x, self._alpha, self._scale, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        shape = (self._alpha, self._scale, 1)
        aten.elu_backward.grad_input(gradient, *shape, is_result=True, self_or_result=saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.SELU()
