"""Rows of a batch mixed with each other."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sknnopt._random import MemberRandom
from sknnopt.engine._weights import BatchWeights, for_heads, shared
from sknnopt.losses import Loss


class Mixup:
    """Trains on ``l x_i + (1 - l) x_j`` with the loss ``l loss_i + (1 - l) loss_j``, l from Beta(alpha, alpha).

    Each member draws one l a batch. The partner j is the next row of the batch, whose rows are in random order. For
    cross entropy and squared error that loss has the gradient of the mixed target's.

    Parameters
    ----------
    alphas : sequence of K floats
    random : sequence of K MemberRandom
    heads : int
        H, predictions of a row.

    References
    ----------
    Zhang et al., "mixup: beyond empirical risk minimization", 2018, eq. 2.
    """

    def __init__(self, alphas: Sequence[float], random: Sequence[MemberRandom], heads: int = 1) -> None:
        self._alphas, self._random, self._heads = alphas, random, heads
        self._next: Tensor | None = None

    def mix(self, inputs: Tensor, target: Tensor, weights: BatchWeights) -> None:
        """Mix the rows ``inputs`` (K, B, ...) in place; remember what they were mixed with."""
        members, rows = inputs.shape[:2]
        drawn = [random.beta(alpha, alpha) for alpha, random in zip(self._alphas, self._random, strict=True)]
        self._own = torch.tensor(drawn, dtype=inputs.dtype, device=inputs.device).view(-1, 1)
        partner = self._partner(weights, members, rows, inputs.device)
        own = self._own.view(-1, *[1] * (inputs.ndim - 1))
        others = torch.stack([x.index_select(0, j) for x, j in zip(inputs, partner, strict=True)])
        inputs.copy_(torch.lerp(others, inputs, own))
        mixed = torch.stack([t.index_select(-1, j) for t, j in zip(target, partner, strict=True)])
        self._target = for_heads(mixed, self._heads)
        self._rows = weights.rows
        if self._rows.shape[2] > 1:
            self._rows = self._rows.gather(2, partner.unsqueeze(1))
        if weights.step.valid is not None:
            self._rows = self._rows * weights.step.valid
        self._rows = shared(self._rows, self._heads)

    def _partner(self, weights: BatchWeights, members: int, rows: int, device: torch.device) -> Tensor:
        """Return the number of each row's partner (K, B), a row without padding."""
        if self._next is None:
            self._next = torch.arange(1, rows + 1, device=device).expand(members, -1)
        counts = weights.step.count
        assert counts is not None
        return self._next % counts.view(-1, 1).long()

    def value_and_gradient(
        self, loss: Loss, scores: Tensor, target: Tensor, weights: BatchWeights, out: Tensor, **keywords: Tensor
    ) -> Tensor:
        """Return the mixed loss (K, B) of mixed rows; write its gradient, weighted by row, into ``out`` (K, O, B)."""
        share = self._own.unsqueeze(1)
        other = torch.empty_like(out)
        value, _ = loss.value_and_gradient(scores, target, out, **keywords)
        second, _ = loss.value_and_gradient(scores, self._target, other, **keywords)
        out.mul_(weights.rows * share).add_(other.mul_(self._rows * (1 - share)))
        return torch.lerp(second, value, self._own)
