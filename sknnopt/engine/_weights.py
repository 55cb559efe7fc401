"""What each row counts in its batch's loss."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from sknnopt.data.on_disk import Windows
from sknnopt.engine._member import Member
from sknnopt.nn import Pass


class BatchWeights(NamedTuple):
    """Weights of a batch's rows.

    Attributes
    ----------
    rows : Tensor (K, 1, B) or (K, 1, 1)
        What a row counts in the batch's loss: the sample weight over the number of real rows, 0 on padding.
    epoch : Tensor (K, B) or (K, 1)
        What it counts in the epoch's summed loss: the sample weight, 0 on padding.
    step : Pass
    """

    rows: Tensor
    epoch: Tensor
    step: Pass

    def for_heads(self, heads: int) -> "BatchWeights":
        """Return the weights of the rows of H heads, one head's after the other's, which share what a row counts."""
        if heads == 1:
            return self
        return self._replace(rows=shared(self.rows, heads), epoch=shared(self.epoch, heads))


def shared(weights: Tensor, heads: int) -> Tensor:
    """Return what each of H heads' rows counts, of what a row does: (..., B) -> (..., H B), or (..., 1) for all."""
    return (weights if weights.shape[-1] == 1 else for_heads(weights, heads)) / heads


def for_heads(values: Tensor, heads: int) -> Tensor:
    """Return what belongs to rows (..., B) once for each of H heads, (..., H B).

    Examples
    --------
    >>> for_heads(torch.tensor([[1, 2]]), 3)
    tensor([[1, 2, 1, 2, 1, 2]])
    """
    return values if heads == 1 else values.repeat(*[1] * (values.ndim - 1), heads)


class RowWeights:
    """Sample weights and padding of K members.

    Sample weights are scaled to a mean of 1 over a member's rows, and a batch's loss is the weighted sum over its rows
    divided by their number: unbiased however the weights fall into batches.

    Parameters
    ----------
    members : sequence of Member
    dtype, device
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: torch.device) -> None:
        self._lengths = [len(member.job.rows) for member in members]
        self._batch_rows = members[0].batch_rows
        self._full_batches = min(self._lengths) // self._batch_rows
        self._dtype, self._device = dtype, device
        self._own = None
        if members[0].job.table.weight is not None:
            self._own = [self._scaled(member) for member in members]
        self._full: dict[tuple[int, int], BatchWeights] = {}

    def _scaled(self, member: Member) -> Tensor:
        weight = member.job.table.weight
        assert weight is not None
        rows = torch.from_numpy(member.job.rows).to(weight.device)
        return (weight / weight[rows].mean()).to(self._dtype)

    def batch(self, orders: Sequence[Tensor | Windows], t: int, members: int, size: int) -> BatchWeights:
        """Return the weights of the rows of batch ``t`` of the first members, ``size`` rows each with padding."""
        weights = self._full.get((members, size)) if t < self._full_batches else None
        if weights is None:
            weights = self._weigh(t, members, size)
        if self._own is None:
            return weights
        first = t * self._batch_rows
        index = [order[first : first + size] for order in orders[:members]]
        own = torch.stack([weight.index_select(0, i) for weight, i in zip(self._own, index, strict=False)])
        return weights._replace(rows=weights.rows * own.unsqueeze(1), epoch=weights.epoch * own)

    def _weigh(self, t: int, members: int, size: int) -> BatchWeights:
        real = [min(size, length - t * self._batch_rows) for length in self._lengths[:members]]
        count = torch.tensor(real, dtype=self._dtype, device=self._device).view(-1, 1, 1)
        if min(real) == size:
            one = torch.ones_like(count)
            self._full[members, size] = BatchWeights(one / count, one.squeeze(1), Pass(True, None, count))
            return self._full[members, size]
        valid = (torch.arange(size, device=self._device) < count).to(self._dtype)
        return BatchWeights(valid / count, valid.squeeze(1), Pass(True, valid, count))
