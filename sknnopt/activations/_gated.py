"""Gated linear units: one half of a layer's outputs decides how much of the other half goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from scipy.optimize import brentq
from torch import Tensor, nn

from ._base import Activation
from ._modules import GatedUnit
from ._names import elementwise

__all__ = ["GLU"]


class GLU(Activation):
    """Gated linear unit, ``f(a, b) = a g(b)`` of the halves ``a`` and ``b`` of a layer of twice the width. Gain 1.73
    for sigmoid, 1.19 for relu, 1.22 for gelu, 1.27 for silu as ``g``.

    A hidden layer of ``n`` units has ``2 n`` linear outputs, which normalisation acts on, and ``n`` after the
    activation. With `gate` "identity" it is the bilinear unit. Products of products grow or shrink quickly: many such
    layers one after another need ``normalization="layer"``, or the blocks of ``network="resnet"``.

    Parameters
    ----------
    gate : str, Activation or callable, default="sigmoid"
        ``g``, element-wise and not learnable.

    References
    ----------
    Dauphin, Fan, Auli and Grangier, "Language modeling with gated convolutional networks", 2017, equation 1;
    Shazeer, "GLU variants improve transformer", 2020, equations 4 and 5.

    Examples
    --------
    >>> x = torch.tensor([[3.0], [-1.0], [2.0], [5.0]])  # a = (3, -1), b = (2, 5)
    >>> GLU("relu").forward(x, out=torch.empty(2, 1)).T
    tensor([[ 6., -5.]])
    """

    expansion = 2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"gate": [str, Activation, callable]}
    search_space = {"gate": ["sigmoid", "relu", "gelu", "silu"]}

    def __init__(self, gate: str | Activation | Callable[[Tensor], Tensor] = "sigmoid") -> None:
        self.gate = gate

    def _as_object(self, name: str, value: Any) -> Any:
        return self.resolved_gate() if name == "gate" else value

    def validate(self) -> None:
        super().validate()
        self.resolved_gate()

    def key(self) -> Any:
        return type(self), self.resolved_gate().key()

    def resolved_gate(self) -> Activation:
        """Return ``g`` as an object."""
        return elementwise(self.gate, parameter="gate")

    @property
    def gain(self) -> float:
        """The ``s`` with ``E[(s a g(s b))^2] = 1`` for independent standard normal ``a`` and ``b``.

        A product of two halves that are both scaled is not of degree one, so that ``1 / sqrt(E[(a g(b))^2])`` would
        let it grow from layer to layer.
        """
        gate = self.resolved_gate()

        def excess(t: float) -> float:
            moment = gate.second_moment(math.exp(t))
            return 2 * t + math.log(moment) if 0 < moment < math.inf else math.copysign(100.0, moment - 1)

        lowest, highest = -5.0, 5.0
        if not excess(lowest) < 0 < excess(highest):
            return 1.0
        return math.exp(brentq(excess, lowest, highest, xtol=1e-9))

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """Write ``a g(b)`` into `out`, shape (..., F, B), from `x`, shape (..., 2 F, B), and return it."""
        values, gates = x.chunk(2, -2)
        return self.resolved_gate().forward(gates.contiguous(), out).mul_(values)

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        """Write the gradients of ``a`` and ``b`` into `out`, of the shape of `saved`, and return it."""
        gate, (values, gates), (of_values, of_gates) = self.resolved_gate(), saved.chunk(2, -2), out.chunk(2, -2)
        open_ = gate.forward(gates, torch.empty_like(gradient))
        torch.mul(gradient, open_, out=of_values)
        torch.mul(gradient, values, out=of_gates)
        gate.backward(of_gates, open_ if gate.saved == "output" else gates, of_gates)
        return out

    def module(self) -> nn.Module:
        return GatedUnit(self.resolved_gate().module())
