"""The hinge loss, of classes and of labels."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ._base import Loss

__all__ = ["BinaryHinge", "Hinge"]


class _Hinge(Loss):
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"squared": ["boolean"]}

    def __init__(self, *, squared: bool = False) -> None:
        self.squared = squared

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return self.value_and_gradient(output, target, torch.empty_like(output))[1]

    def _value(self, shortfall: Tensor) -> Tensor:
        lack = shortfall.clamp(min=0)
        return lack.square() if self.squared else lack

    def _slope(self, shortfall: Tensor) -> Tensor:
        return 2 * shortfall.clamp(min=0) if self.squared else (shortfall > 0).to(shortfall.dtype)


class Hinge(_Hinge):
    """Multiclass hinge, ``max(0, 1 - m)`` or its square, with the margin m of the row's class.

    ``m`` is the score of the row's class minus the largest of the others. What ``predict_proba`` gives is the softmax
    of the scores: it orders classes as the scores do, but is not calibrated but for a temperature (see
    :class:`~sklearn.calibration.CalibratedClassifierCV`).

    Parameters
    ----------
    squared : bool, default=False
        Whether to square it, which makes it smooth.

    References
    ----------
    Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector machines", 2001, section 2;
    squared: Tang, "Deep learning using linear support vector machines", 2013.

    Examples
    --------
    >>> output, target = torch.tensor([[[2.0, 0.5], [0.0, 0.0]]]), torch.tensor([[0, 0]])
    >>> Hinge()(output, target)
    tensor([[0.0000, 0.5000]])
    >>> Hinge(squared=True)(output, target)
    tensor([[0.0000, 0.2500]])
    """

    tasks = frozenset({"classification"})
    link = "softmax"
    search_space = {"squared": [False, True]}

    def for_task(self, task: str) -> Loss:
        return BinaryHinge(squared=self.squared) if task == "multilabel" else self

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return self._value(_shortfall(output, target.unsqueeze(1))[0][:, 0])

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        index = target.unsqueeze(1)
        shortfall, rival = _shortfall(output, index)
        slope = self._slope(shortfall)
        out.zero_().scatter_(1, rival, slope).scatter_(1, index, -slope)
        return self._value(shortfall)[:, 0], out


def _shortfall(output: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return what each row's margin lacks of 1, and the class with the largest score but the own, both (K, 1, B)."""
    largest, rival = output.scatter(1, index, -torch.inf).max(1, keepdim=True)
    return 1 + largest - output.gather(1, index), rival


class BinaryHinge(_Hinge):
    """Hinge of each label, summed: ``sum_l max(0, 1 - t_l o_l)``, or of the squares, with ``t`` 1 or -1.

    What ``predict_proba`` gives is the sigmoid of the scores: above 0.5 where the label is predicted, but not
    calibrated but for a temperature.

    Parameters
    ----------
    squared : bool, default=False
        Whether to square each term, which makes it smooth.

    References
    ----------
    Cortes and Vapnik, "Support-vector networks", 1995.

    Examples
    --------
    >>> BinaryHinge()(torch.tensor([[[2.0], [0.5]]]), torch.tensor([[[1.0], [0.0]]]))
    tensor([[1.5000]])
    """

    tasks = frozenset({"multilabel"})
    link = "sigmoid"
    search_space = {"squared": [False, True]}

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return self._value(1 - output * (2 * target - 1)).sum(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        sign = 2 * target - 1
        shortfall = 1 - output * sign
        return self._value(shortfall).sum(1), torch.mul(self._slope(shortfall), sign.neg_(), out=out)
