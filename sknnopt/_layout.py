"""Where each parameter lies in a member's flat vector."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

LANE = 32
"""Elements to which every member's block is padded: 128 bytes of float32.

Vectorised kernels work on so many floats at a time and treat the tail differently, so a member whose block starts
and ends on this grid gets the same bits whoever lies beside it.
"""


def padded(n: int) -> int:
    """Return ``n`` rounded up to a multiple of :data:`LANE`.

    Examples
    --------
    >>> padded(1), padded(32), padded(33)
    (32, 32, 64)
    """
    return -(-n // LANE) * LANE


@dataclass(frozen=True)
class Block:
    """One named parameter inside the flat vector: ``shape`` elements from ``offset`` on."""

    name: str
    shape: tuple[int, ...]
    offset: int
    is_weight: bool

    @property
    def size(self) -> int:
        """Number of elements without padding."""
        return math.prod(self.shape)


class Layout:
    """The parameters of one member as blocks of one flat vector, weights first.

    Parameters
    ----------
    weights : iterable of (name, shape)
        What weight decay and penalties act on.
    others : iterable of (name, shape)
        Biases and the parameters of normalisation.

    Attributes
    ----------
    size : int
        Length P of the flat vector, padding included.
    blocks : dict of str to Block
        By name, in order.
    weight_size : int
        Length of its first part, which holds the weights alone.
    n_parameters : int
        Number of parameters without padding.

    Examples
    --------
    >>> layout = Layout([("weight", (3, 5))], [("bias", (3,))])
    >>> layout.size, layout.weight_size, layout.n_parameters
    (64, 32, 18)
    """

    def __init__(
        self, weights: Iterable[tuple[str, tuple[int, ...]]], others: Iterable[tuple[str, tuple[int, ...]]]
    ) -> None:
        self.blocks: dict[str, Block] = {}
        self.size = 0
        self._append(weights, is_weight=True)
        self.weight_size = self.size
        self._append(others, is_weight=False)
        self.n_parameters = sum(block.size for block in self.blocks.values())

    def _append(self, shapes: Iterable[tuple[str, tuple[int, ...]]], *, is_weight: bool) -> None:
        for name, shape in shapes:
            block = Block(name, tuple(shape), self.size, is_weight)
            self.blocks[name] = block
            self.size += padded(block.size)

    def gaps(self) -> list[slice]:
        """Return the places between the parameters, which hold zeros.

        Examples
        --------
        >>> Layout([("weight", (3, 5))], [("bias", (32,))]).gaps()
        [slice(15, 32, None)]
        """
        blocks = self.blocks.values()
        ends = [(block.offset + block.size, block.offset + padded(block.size)) for block in blocks]
        return [slice(*end) for end in ends if end[0] < end[1]]

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return each block of ``flat``, shape (K, P), as a view of shape ``(K, *shape)``."""
        return {
            block.name: flat[:, block.offset : block.offset + block.size].view(-1, *block.shape)
            for block in self.blocks.values()
        }

    def single(self, flat: Tensor) -> dict[str, Tensor]:
        """Return each block of one member's ``flat``, shape (P,), as a view of its own shape."""
        return {name: view[0] for name, view in self.views(flat.unsqueeze(0)).items()}


def clear(flat: Tensor, gaps: Iterable[slice]) -> None:
    """Take back what code of the user's own has written into :meth:`Layout.gaps` of ``flat``, shape (K, P)."""
    for gap in gaps:
        flat[:, gap].zero_()
