"""The rows of a cohort, batch by batch."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sknnopt._random import MemberRandom

from .on_disk import EncodedOnDisk, Windows

Matrix: TypeAlias = Any
"""A Tensor (N, ...), a CSR matrix or array (N, F), or rows on disk; scipy's have no types."""


@dataclass(frozen=True)
class Table:
    """Encoded rows, in memory or on disk.

    Attributes
    ----------
    inputs : Tensor (N, ...), CSR matrix (N, F) or EncodedOnDisk (N, ...)
        Encoded features; a sparse table is made dense a batch at a time, and one on disk is read and encoded so.
    target : Tensor
        int64 (N,) class codes, or (N, O) floats.
    weight : Tensor (N,) or None
        Sample weights, not yet normalised.
    """

    inputs: Matrix
    target: Tensor
    weight: Tensor | None = None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one encoded row."""
        return tuple(self.inputs.shape[1:])

    def gather(self, index: Tensor, out: Tensor) -> None:
        """Write the rows ``index`` (B,) into ``out`` (B, ...)."""
        if isinstance(self.inputs, Tensor):
            torch.index_select(self.inputs, 0, index, out=out)
        else:
            dense = self.inputs[index.cpu().numpy()]
            out.copy_(torch.from_numpy(dense.toarray() if hasattr(dense, "toarray") else dense))

    def order(self, rows: np.ndarray, length: int, epoch: int, random: MemberRandom) -> Tensor | Windows:
        """Return an epoch's order of a member's rows, filled up to `length`; rows on disk are mixed in windows."""
        if isinstance(self.inputs, EncodedOnDisk):
            return self.inputs.order(rows, length, epoch, random)
        return epoch_order(rows[random.permutation(len(rows))], length)

    def gather_target(self, index: Tensor, out: Tensor) -> None:
        """Write targets into ``out``: codes (B,), or feature-major (O, B)."""
        if self.target.ndim == 1:
            torch.index_select(self.target, 0, index, out=out)
        else:
            out.copy_(self.target.index_select(0, index).T)


def n_batches(n_rows: int, batch_rows: int) -> int:
    """Return how many batches of ``batch_rows`` rows an epoch has, the last one short or padded."""
    return -(-n_rows // batch_rows)


def epoch_order(order: np.ndarray, length: int) -> Tensor:
    """Return an epoch's order of rows, int64, filled up to `length` with the first row.

    Examples
    --------
    >>> epoch_order(np.array([4, 0, 2]), 4)
    tensor([4, 0, 2, 4])
    """
    if length > len(order):
        order = np.concatenate([order, np.full(length - len(order), order[0])])
    return torch.from_numpy(order)
