"""The rows of the coming batches, gathered several batches at a time."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sknnopt.data.on_disk import Windows
from sknnopt.engine._member import Member
from sknnopt.nn import padded, width

AHEAD_ELEMENTS = 2**16
"""Elements of one member's rows that are gathered in one call: enough to make the call cheap, 256 kB of float32."""


class Feed:
    """Gathers the rows of K members into buffers of several batches.

    How many batches are gathered at once depends on the shape of a batch alone, so where a batch lies in memory does
    not depend on who trains beside it.

    Parameters
    ----------
    members : sequence of Member
        In descending order of batches.
    dtype, device
        Of the rows.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: torch.device) -> None:
        job = members[0].job
        self._tables = [member.job.table for member in members]
        self._rows = members[0].batch_rows
        features = int(torch.Size(job.table.row_shape).numel())
        ahead = AHEAD_ELEMENTS // max(1, self._rows * features) if job.network.stackable else 1
        self.ahead = min(max(1, ahead), members[0].batches)
        capacity = self.ahead * self._rows + (0 if job.network.stackable else 1)
        columns = (width(features),) if job.network.stackable else job.table.row_shape
        size = capacity * math.prod(columns)
        flat = torch.zeros((len(members), padded(size)), dtype=dtype, device=device)
        self._all_inputs = flat[:, :size].view(-1, capacity, *columns)
        given = self._all_inputs[..., :features] if job.network.stackable else self._all_inputs
        self._inputs = given.unbind(0)
        target = job.table.target
        shape = (len(members), *target.shape[1:], capacity)
        self._all_targets = torch.zeros(shape, dtype=target.dtype, device=device)
        self._targets = self._all_targets.unbind(0)
        self._parts: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}

    def batch(self, orders: Sequence[Tensor | Windows], t: int, members: int, size: int) -> tuple[Tensor, Tensor]:
        """Return inputs (K, B, ...) and targets, (K, B) or (K, T, B), of batch `t` of the first `members` members.

        Inputs of networks that can be stacked have columns of zeros after the features, up to :func:`width`.

        Parameters
        ----------
        orders : sequence of K tensors or windows (T * B,)
            Each member's rows of the epoch. Successive calls go through them in order.
        t, members, size : int
            B, `size`, counts padding.
        """
        place = t % self.ahead
        if place == 0:
            first, count = t * self._rows, size if self.ahead == 1 else self.ahead * self._rows
            for k, order in enumerate(orders[:members]):
                self._gather(k, order[first : first + count])
        part = self._parts.get((place, members, size))
        if part is None:
            rows = slice(place * self._rows, place * self._rows + size)
            part = self._all_inputs[:members, rows], self._all_targets[:members, ..., rows]
            self._parts[place, members, size] = part
        return part

    def _gather(self, k: int, index: Tensor) -> None:
        self._tables[k].gather(index, self._inputs[k][: len(index)])
        self._tables[k].gather_target(index, self._targets[k][..., : len(index)])
