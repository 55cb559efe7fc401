"""Layers that learn at another rate, or not at all."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sknnopt._layout import Layout


class LayerRates:
    """Scales what each step changes, layer by layer; a layer of factor 0 is frozen.

    A factor below 1 takes back a part of all that a step has done. One above 1 lengthens what the optimizer has done,
    before weights are thresholded or projected: lengthened afterwards, a step would leave the set it was projected on.

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
                factor = torch.tensor(member.get(name, 1.0), dtype=torch.float64)  # beyond float32 it is infinite
                row[block.offset : block.offset + block.size] = factor
        longer = scale.clamp(min=1.0) if bool((scale > 1).any()) else None
        self._set(scale.clamp_(max=1.0), longer, (scale != 0).to(scale.dtype), [parameters, *averages])

    def _set(self, scale: Tensor, longer: Tensor | None, trained: Tensor, watched: list[Tensor]) -> None:
        self._scale, self._longer, self._trained, self._watched = scale, longer, trained, watched
        self._before = [torch.empty_like(tensor) for tensor in watched]

    def narrow(self, members: int) -> "LayerRates":
        """Return those of the first members."""
        part = object.__new__(LayerRates)
        longer = None if self._longer is None else self._longer[:members]
        part._set(self._scale[:members], longer, self._trained[:members], [x[:members] for x in self._watched])
        return part

    def mask(self, gradients: Tensor) -> None:
        """Take frozen layers out of the gradient, so that they count for no norm."""
        gradients.mul_(self._trained)

    def remember(self) -> None:
        """Keep the parameters as they are before the step."""
        for before, now in zip(self._before, self._watched, strict=True):
            before.copy_(now)

    def lengthen(self) -> None:
        """Go on in the step's direction where the factor is above 1."""
        if self._longer is not None:
            torch.lerp(self._before[0], self._watched[0], self._longer, out=self._watched[0])

    def scale(self) -> None:
        """Take back a part of the step, all of it where the factor is 0; none where it is 1 or more."""
        for before, now in zip(self._before, self._watched, strict=True):
            torch.lerp(before, now, self._scale, out=now)
