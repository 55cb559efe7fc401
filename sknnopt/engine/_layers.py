"""Layers that learn at another rate, or not at all."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sknnopt._layout import Layout


class LayerRates:
    """Scales what each step changes, layer by layer; a layer of factor 0 is frozen.

    Parameters
    ----------
    layout : Layout
    factors : sequence of K mappings
        Each member's factor of every parameter tensor, by its name.
    parameters : Tensor (K, P)
    averages : sequence of Tensor (K, P)
        Averages the optimizer makes by itself, which stay with frozen layers.
    """

    def __init__(
        self, layout: Layout, factors: Sequence[dict[str, float]], parameters: Tensor, averages: Sequence[Tensor] = ()
    ) -> None:
        scale = torch.ones_like(parameters)
        for row, member in zip(scale, factors, strict=True):
            for name, block in layout.blocks.items():
                row[block.offset : block.offset + block.size] = member.get(name, 1.0)
        self._set(scale, (scale != 0).to(scale.dtype), [parameters, *averages])

    def _set(self, scale: Tensor, trained: Tensor, watched: list[Tensor]) -> None:
        self._scale, self._trained, self._watched = scale, trained, watched
        self._before = [torch.empty_like(tensor) for tensor in watched]

    def narrow(self, members: int) -> "LayerRates":
        """Return those of the first members."""
        part = object.__new__(LayerRates)
        part._set(self._scale[:members], self._trained[:members], [x[:members] for x in self._watched])
        return part

    def mask(self, gradients: Tensor) -> None:
        """Take frozen layers out of the gradient, so that they count for no norm."""
        gradients.mul_(self._trained)

    def remember(self) -> None:
        """Keep the parameters as they are before the step."""
        for before, now in zip(self._before, self._watched, strict=True):
            before.copy_(now)

    def scale(self) -> None:
        """Take back a part of the step, all of it where the factor is 0."""
        for before, now in zip(self._before, self._watched, strict=True):
            torch.lerp(before, now, self._scale, out=now)
