"""Activations that are smooth everywhere."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from .._choices import Range
from .._compat import Interval, StrOptions
from ._base import Activation

__all__ = ["GELU", "Mish", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh"]

aten = torch.ops.aten


class Sigmoid(Activation):
    """Logistic sigmoid, ``f(x) = 1 / (1 + exp(-x))``. Gain 1.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.

    Examples
    --------
    >>> Sigmoid().forward(torch.zeros(1), out=torch.empty(1))
    tensor([0.5000])
    """

    saved = "output"
    gain = 1.0

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        return torch.sigmoid(x, out=out)

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.sigmoid_backward.grad_input(gradient, saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.Sigmoid()


class Tanh(Activation):
    """Hyperbolic tangent, ``f(x) = tanh(x)``. Gain 5/3.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998.

    Examples
    --------
    >>> Tanh().forward(torch.zeros(1), out=torch.empty(1))
    tensor([0.])
    """

    saved = "output"
    gain = 5 / 3

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        return torch.tanh(x, out=out)

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.tanh_backward.grad_input(gradient, saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.Tanh()


class GELU(Activation):
    """Gaussian error linear unit, ``f(x) = x Phi(x)``, ``Phi`` the normal distribution function. Gain 1.53.

    Parameters
    ----------
    approximate : {"none", "tanh"}, default="none"
        "tanh" is the paper's faster approximation of ``Phi``.

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", 2016.

    Examples
    --------
    >>> GELU().forward(torch.tensor([1.0]), out=torch.empty(1))
    tensor([0.8413])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"approximate": [StrOptions({"none", "tanh"})]}

    def __init__(self, *, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.gelu.out(x, approximate=self.approximate, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.gelu_backward.grad_input(gradient, saved, approximate=self.approximate, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.GELU(approximate=self.approximate)


class SiLU(Activation):
    """Sigmoid linear unit or swish, ``f(x) = x sigmoid(x)``. Gain 1.68.

    References
    ----------
    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", 2018; Ramachandran, Zoph and Le, "Searching for activation functions", 2017.

    Examples
    --------
    >>> SiLU().forward(torch.tensor([1.0]), out=torch.empty(1))
    tensor([0.7311])
    """

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.silu.out(x, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.silu_backward.grad_input(gradient, saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.SiLU()


class Mish(Activation):
    """Mish, ``f(x) = x tanh(log(1 + exp(x)))``. Gain 1.49.

    References
    ----------
    Misra, "Mish: a self regularized non-monotonic activation function", 2020.

    Examples
    --------
    >>> Mish().forward(torch.tensor([1.0]), out=torch.empty(1))
    tensor([0.8651])
    """

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.mish.out(x, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        return out.copy_(aten.mish_backward(gradient, saved))

    def module(self) -> nn.Module:
        return nn.Mish()


class Softplus(Activation):
    """Smooth rectifier, ``f(x) = log(1 + exp(beta x)) / beta``. Gain 1.04 for beta 1.

    Parameters
    ----------
    beta : float, default=1.0
        Sharpness, in (0, inf); ReLU is the limit.

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau and Garcia, "Incorporating second-order functional knowledge for better
    option pricing", 2001.

    Examples
    --------
    >>> Softplus().forward(torch.zeros(1), out=torch.empty(1))
    tensor([0.6931])
    """

    _threshold: ClassVar[float] = 20.0  # torch's own: beyond it the function is x to the last bit of float32
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"beta": [Interval(Real, 0, None, closed="neither")]}
    search_space = {"beta": Range(0.5, 10.0, log=True)}

    def __init__(self, *, beta: float = 1.0) -> None:
        self.beta = beta

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.softplus.out(x, self.beta, self._threshold, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.softplus_backward.grad_input(gradient, saved, self.beta, self._threshold, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.Softplus(self.beta, self._threshold)


class Softsign(Activation):
    """Softsign, ``f(x) = x / (1 + |x|)``, a tanh with slow tails. Gain 2.34.

    References
    ----------
    Bergstra, Desjardins, Lamblin and Bengio, "Quadratic polynomials learn better image features", 2009;
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.

    Examples
    --------
    >>> Softsign().forward(torch.tensor([-1.0, 3.0]), out=torch.empty(2))
    tensor([-0.5000,  0.7500])
    """

    saved = "output"

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        return torch.div(x, x.abs().add_(1), out=out)

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        root = saved.abs().neg_().add_(1)  # 1 - |f| = 1 / (1 + |x|)
        return torch.mul(gradient, root.mul_(root), out=out)

    def module(self) -> nn.Module:
        return nn.Softsign()
