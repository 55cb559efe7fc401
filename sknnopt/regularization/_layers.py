"""Layer by layer: numbers that each layer may have for itself, and weights as matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from .._compat import InvalidParameterError
from .._layout import Block, Layout
from ._base import Regularizer

__all__ = ["Layered", "layer_number", "matrices", "matrix_shape", "weight_blocks"]


class Layered(Regularizer):
    """One whose number, the parameter named `_number`, may be one for all layers or one for each."""

    _number: ClassVar[str] = "strength"

    def validate(self) -> None:
        super().validate()
        allowed = self._parameter_constraints[self._number][0]
        values = self._values()
        if not values or not all(allowed.is_satisfied_by(value) for value in values):
            raise InvalidParameterError(
                f"The {self._number!r} parameter of {type(self).__name__} must be {allowed}, or such a number for each"
                f" layer. Got {getattr(self, self._number)!r} instead."
            )

    def check_layers(self, n_layers: int, *, residuals: bool = False) -> None:
        super().check_layers(n_layers, residuals=residuals)
        given = len(self._values())
        if np.iterable(getattr(self, self._number)) and given != n_layers:
            raise InvalidParameterError(
                f"The {self._number!r} parameter of {type(self).__name__} must be one number for all layers, or one for"
                f" each of the network's {n_layers}, the output's last. Got {given} numbers,"
                f" {getattr(self, self._number)!r}, instead."
            )

    def _values(self) -> tuple[Any, ...]:
        given = getattr(self, self._number)
        return tuple(given) if np.iterable(given) else (given,)

    def _times(self, factor: float) -> float | tuple[float, ...]:
        values = tuple(float(value) * factor for value in self._values())
        return values if np.iterable(getattr(self, self._number)) else values[0]


def layer_number(number: Tensor, block: Block) -> Tensor:
    """A layer's number of each member, (K, 1), from those of all layers (K, 1) or those of all weights (K, W)."""
    return number if number.shape[1] == 1 else number[:, block.offset : block.offset + 1]


def weight_blocks(layout: Layout) -> list[Block]:
    """The blocks that are weights, in the order of the layers."""
    return [block for block in layout.blocks.values() if block.is_weight]


def matrix_shape(block: Block) -> tuple[int, int]:
    """Outputs and inputs of a layer; all axes but the first are inputs.

    Examples
    --------
    >>> matrix_shape(Block("kernel", (8, 3, 5), 0, True))
    (8, 15)
    """
    return block.shape[0], block.size // block.shape[0]


def matrices(flat: Tensor, layout: Layout) -> Iterator[tuple[Block, Tensor]]:
    """Each layer's weights, or what belongs to them, in `flat` (K, W) as a view (K, outputs, inputs)."""
    for block in weight_blocks(layout):
        view = flat[:, block.offset : block.offset + block.size]
        yield block, view.view(-1, *matrix_shape(block))
