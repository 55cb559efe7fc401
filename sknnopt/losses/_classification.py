"""Losses of class labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ._base import Loss

__all__ = ["CrossEntropy", "SigmoidCrossEntropy"]


class CrossEntropy(Loss):
    """Softmax cross entropy, ``-sum_c q_c log p_c`` with ``p = softmax(output)`` over the C classes.

    ``q`` is one at the row's class and zero elsewhere; with label smoothing s it is ``(1 - s) q + s / C``.

    References
    ----------
    Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990; label
    smoothing: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016, section 7.

    Examples
    --------
    >>> output, target = torch.zeros(1, 2, 3), torch.tensor([[0, 1, 1]])
    >>> value, gradient = CrossEntropy().value_and_gradient(output, target, torch.empty(1, 2, 3))
    >>> value
    tensor([[0.6931, 0.6931, 0.6931]])
    >>> gradient
    tensor([[[-0.5000,  0.5000,  0.5000],
             [ 0.5000, -0.5000, -0.5000]]])
    """

    tasks = frozenset({"classification"})
    smooths = True
    link = "softmax"

    def for_task(self, task: str) -> Loss:
        return SigmoidCrossEntropy() if task == "multilabel" else self

    def __call__(self, output: Tensor, target: Tensor, *, smoothing: Tensor | None = None) -> Tensor:
        log_p = torch.log_softmax(output, 1)
        return _smoothed(log_p.gather(1, target.unsqueeze(1))[:, 0].neg(), log_p, smoothing)

    def gradient(self, output: Tensor, target: Tensor, *, smoothing: Tensor | None = None) -> Tensor:
        return self.value_and_gradient(output, target, torch.empty_like(output), smoothing=smoothing)[1]

    def value_and_gradient(
        self, output: Tensor, target: Tensor, out: Tensor, *, smoothing: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        index = target.unsqueeze(1)
        torch.log_softmax(output, 1, out=out)
        picked = out.gather(1, index)
        value = _smoothed(picked[:, 0].neg(), out, smoothing)
        out.exp_()
        if smoothing is None:
            out.scatter_add_(1, index, picked.fill_(-1.0))
        else:
            share = smoothing.unsqueeze(1)
            out.scatter_add_(1, index, (share - 1).expand_as(index)).sub_(share / out.shape[1])
        return value, out


def _smoothed(value: Tensor, log_p: Tensor, smoothing: Tensor | None) -> Tensor:
    if smoothing is None:
        return value
    return value.mul_(1 - smoothing).addcmul_(log_p.mean(1), smoothing, value=-1)


class SigmoidCrossEntropy(Loss):
    """Binary cross entropy of each label, summed: ``sum_l softplus(o_l) - q_l o_l``, each label by itself.

    ``q`` is the target, 0 or 1; with label smoothing s it is ``(1 - s) q + s / 2``.

    References
    ----------
    Cox, "The regression analysis of binary sequences", 1958.

    Examples
    --------
    >>> loss = SigmoidCrossEntropy()
    >>> loss(torch.zeros(1, 2, 1), torch.tensor([[[0.0], [1.0]]]))
    tensor([[1.3863]])
    >>> loss.predict(torch.zeros(1, 2, 1))
    tensor([[[0.5000],
             [0.5000]]])
    """

    tasks = frozenset({"multilabel"})
    smooths = True
    link = "sigmoid"

    def __call__(self, output: Tensor, target: Tensor, *, smoothing: Tensor | None = None) -> Tensor:
        q = self._smooth(target, smoothing)
        return F.binary_cross_entropy_with_logits(output, q, reduction="none").sum(1)

    def _smooth(self, target: Tensor, smoothing: Tensor | None) -> Tensor:
        if smoothing is None:
            return target
        share = smoothing.unsqueeze(1)
        return target * (1 - share) + share / 2

    def gradient(self, output: Tensor, target: Tensor, *, smoothing: Tensor | None = None) -> Tensor:
        return torch.sigmoid(output).sub_(self._smooth(target, smoothing))

    def value_and_gradient(
        self, output: Tensor, target: Tensor, out: Tensor, *, smoothing: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        q = self._smooth(target, smoothing)
        value = self(output, q)
        return value, torch.sigmoid(output, out=out).sub_(q)
