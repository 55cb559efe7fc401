"""Plain torch modules of the activations that torch does not have; features are on axis 1, as in its PReLU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GatedUnit", "ParametricUnit", "SwishUnit"]


def _spread(parameter: Tensor, x: Tensor) -> Tensor:
    """Return ``parameter`` (F,) so that it broadcasts along axis 1 of ``x``."""
    return parameter.view(-1, *[1] * (x.ndim - 2))


class SwishUnit(nn.Module):
    """``x sigmoid(beta x)``, (B, F) or (B, F, L)."""

    def __init__(self, features: int, initial: float) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.full((features,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(_spread(self.beta, x) * x)

    def extra_repr(self) -> str:
        return str(len(self.beta))


class ParametricUnit(nn.Module):
    """``x + alpha (base(x) - x)``, (B, F) or (B, F, L)."""

    def __init__(self, base: nn.Module, features: int, initial: float) -> None:
        super().__init__()
        self.base = base
        self.alpha = nn.Parameter(torch.full((features,), float(initial)))

    def forward(self, x: Tensor) -> Tensor:
        return x + _spread(self.alpha, x) * (self.base(x) - x)

    def extra_repr(self) -> str:
        return str(len(self.alpha))


class GatedUnit(nn.Module):
    """The first half of the features times the gate of the second, (B, 2 F) or (B, 2 F, L) to (B, F) or (B, F, L)."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        values, gates = x.chunk(2, 1)
        out: Tensor = values * self.gate(gates.contiguous())  # gelu rounds otherwise where rows lie apart
        return out
