"""The focal loss, of classes and of labels."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from ._base import Loss

__all__ = ["Focal", "SigmoidFocal"]


class _Focal(Loss):
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"gamma": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, *, gamma: float = 2.0) -> None:
        self.gamma = gamma

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return self.value_and_gradient(output, target, torch.empty_like(output))[1]

    def _terms(self, log_p: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``1 - p``, the weight ``(1 - p)^gamma``, and minus the loss's derivative by ``log p``.

        The power is taken as an exponential, whose bits do not depend on a number's place in the tensor.
        """
        miss = -torch.expm1(log_p)
        weight = torch.log(miss).clamp(min=torch.finfo(miss.dtype).min).mul(self.gamma).exp()
        ratio = torch.where(miss > 0, -log_p / miss, torch.ones_like(miss))
        return miss, weight, weight * (1 + self.gamma * ratio * log_p.exp())


class Focal(_Focal):
    """Focal loss, ``-(1 - p)^gamma log p`` with the softmax probability p of the row's class.

    Rows that are classified well count less. With gamma 0 it is the cross entropy. It is no proper scoring rule:
    predicted probabilities are drawn towards equality. Classes are weighed by ``class_weight``.

    Parameters
    ----------
    gamma : float, default=2.0
        In [0, inf).

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", 2017, eq. 4.

    Examples
    --------
    >>> loss = Focal(gamma=1)
    >>> loss(torch.zeros(1, 2, 1), torch.tensor([[0]]))
    tensor([[0.3466]])
    >>> loss.for_task("multilabel")
    SigmoidFocal(gamma=1)
    """

    tasks = frozenset({"classification"})
    link = "softmax"
    search_space = {"gamma": Range(0.5, 5.0)}

    def for_task(self, task: str) -> Loss:
        return SigmoidFocal(gamma=self.gamma) if task == "multilabel" else self

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        log_p = torch.log_softmax(output, 1).gather(1, target.unsqueeze(1))[:, 0]
        return -self._terms(log_p)[1] * log_p

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        index = target.unsqueeze(1)
        torch.log_softmax(output, 1, out=out)
        log_p = out.gather(1, index)
        _, weight, slope = self._terms(log_p)
        out.exp_().scatter_add_(1, index, torch.full_like(log_p, -1.0)).mul_(slope)
        return -(weight * log_p)[:, 0], out


class SigmoidFocal(_Focal):
    """Focal loss of each label, summed: ``-sum_l (1 - p_l)^gamma log p_l``, each label by itself.

    ``p_l`` is the sigmoid probability of what the label is, 0 or 1. With gamma 0 it is the binary cross entropy.

    Parameters
    ----------
    gamma : float, default=2.0
        In [0, inf).

    References
    ----------
    Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", 2017, eq. 4.

    Examples
    --------
    >>> loss = SigmoidFocal(gamma=1)
    >>> loss(torch.zeros(1, 2, 1), torch.tensor([[[0.0], [1.0]]]))
    tensor([[0.6931]])
    """

    tasks = frozenset({"multilabel"})
    link = "sigmoid"
    search_space = {"gamma": Range(0.5, 5.0)}

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        log_p = _log_sigmoid(output * (2 * target - 1))
        return -(self._terms(log_p)[1] * log_p).sum(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        sign = 2 * target - 1
        log_p = _log_sigmoid(output * sign)
        miss, weight, slope = self._terms(log_p)
        return -(weight * log_p).sum(1), torch.mul(miss.mul_(slope), sign.neg_(), out=out)


def _log_sigmoid(score: Tensor) -> Tensor:
    return score.clamp(max=0) - torch.log1p(torch.exp(-score.abs()))
