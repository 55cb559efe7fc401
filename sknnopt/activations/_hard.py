"""Activations made of straight lines, or of their products with x, that end in constants."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._base import Activation

__all__ = ["HardSigmoid", "HardSwish", "HardTanh", "ReLU6"]

aten = torch.ops.aten


class HardTanh(Activation):
    """Tanh of straight lines, ``f(x) = min(max(x, -1), 1)``. Gain 1.39.

    References
    ----------
    Collobert, "Large scale machine learning", 2004.

    Examples
    --------
    >>> HardTanh().forward(torch.tensor([-2.0, 0.5]), out=torch.empty(2))
    tensor([-1.0000,  0.5000])
    """

    saved = "output"

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.hardtanh.out(x, -1, 1, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.hardtanh_backward.grad_input(gradient, saved, -1, 1, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.Hardtanh()


class ReLU6(Activation):
    """Rectified linear unit with a ceiling, ``f(x) = min(max(x, 0), 6)``. Gain ``sqrt(2)``.

    References
    ----------
    Krizhevsky, "Convolutional deep belief networks on CIFAR-10", 2010.

    Examples
    --------
    >>> ReLU6().forward(torch.tensor([-1.0, 2.0, 8.0]), out=torch.empty(3))
    tensor([0., 2., 6.])
    """

    saved = "output"

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.hardtanh.out(x, 0, 6, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.hardtanh_backward.grad_input(gradient, saved, 0, 6, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.ReLU6()


class HardSigmoid(Activation):
    """Sigmoid of straight lines, ``f(x) = min(max(x / 6 + 1/2, 0), 1)``. Gain 1.90.

    References
    ----------
    Courbariaux, Bengio and David, "BinaryConnect: training deep neural networks with binary weights during
    propagations", 2015; with the slope of Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> HardSigmoid().forward(torch.tensor([-4.0, 0.0, 3.0]), out=torch.empty(3))
    tensor([0.0000, 0.5000, 1.0000])
    """

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.hardsigmoid.out(x, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        aten.hardsigmoid_backward.grad_input(gradient, saved, grad_input=out)
        return out

    def module(self) -> nn.Module:
        return nn.Hardsigmoid()


class HardSwish(Activation):
    """Swish with the sigmoid of straight lines, ``f(x) = x min(max(x / 6 + 1/2, 0), 1)``. Gain 1.74.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", 2019, section 5.2.

    Examples
    --------
    >>> HardSwish().forward(torch.tensor([-1.0, 1.0, 3.0]), out=torch.empty(3))
    tensor([-0.3333,  0.6667,  3.0000])
    """

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        aten.hardswish.out(x, out=out)
        return out

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        return out.copy_(aten.hardswish_backward(gradient, saved))

    def module(self) -> nn.Module:
        return nn.Hardswish()
