"""The parameters of a layout as pieces of a flat vector and as matrices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from .._layout import Block, Layout, padded
from ._base import Hyper, Numbers

__all__ = ["Matrix", "cut", "eights", "matrices", "per_member", "pieces", "vectors"]


@dataclass(frozen=True)
class Matrix:
    """A weight of two axes or more inside the flat vector; all axes but the first make its columns.

    Examples
    --------
    >>> Matrix("weight", 32, 3, 5).wide
    (8, 8)
    """

    name: str
    offset: int
    rows: int
    columns: int

    @property
    def wide(self) -> tuple[int, int]:
        """Rows and columns filled up to whole eights: matrices side by side then all start on the layout's grid.

        Zeros around a matrix change neither its products nor what is orthogonal in it, no result is a single row or
        column, and a batch of products is one call whose bits depend on nothing but this shape.
        """
        return eights(self.rows), eights(self.columns)

    def view(self, flat: Tensor) -> Tensor:
        """Return the matrix of each row of ``flat`` (K, P), shape (K, rows, columns)."""
        end = self.offset + self.rows * self.columns
        return flat[:, self.offset : end].view(-1, self.rows, self.columns)


def eights(n: int) -> int:
    """Return ``n`` rounded up to a multiple of 8."""
    return -(-n // 8) * 8


def matrices(layout: Layout) -> list[Matrix]:
    """Return the weights of two axes or more, in their order; embeddings of columns are none."""
    return [
        Matrix(block.name, block.offset, block.shape[0], math.prod(block.shape[1:]))
        for block in layout.blocks.values()
        if _is_matrix(block)
    ]


def vectors(layout: Layout) -> list[Block]:
    """Return the other parameters, whose numbers are treated one by one."""
    return [block for block in layout.blocks.values() if not _is_matrix(block)]


def _is_matrix(block: Block) -> bool:
    return block.is_weight and len(block.shape) >= 2


def pieces(layout: Layout) -> list[slice]:
    """Return where each parameter lies, the padding after it included."""
    return [slice(block.offset, block.offset + padded(block.size)) for block in layout.blocks.values()]


def cut(flat: Tensor, where: list[slice]) -> list[Tensor]:
    """Return these columns of ``flat`` (K, P) as views."""
    return [flat[:, piece] for piece in where]


def per_member(hyper: Hyper, name: str) -> list[float]:
    """Return a number of each member; it is read from the device only where members differ."""
    column = hyper[name]
    if isinstance(hyper, Numbers) and name in hyper.shared:
        return [hyper.shared[name][hyper.step]] * len(column)
    return column[:, 0].tolist()
