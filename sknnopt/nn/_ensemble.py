"""Several members as one module."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Link = Literal["identity", "softmax", "sigmoid", "exp"]


class MemberAverage(nn.Module):
    """The average prediction of several networks, as scores of the same link.

    What is averaged is what the link makes of the scores: probabilities, means, numbers. The result is mapped back, so
    that this module stands where a single network could.

    Parameters
    ----------
    members : sequence of nn.Module
    link : {"identity", "softmax", "sigmoid", "exp"}
    weights : sequence of float, default=None
        What each member counts, of sum 1; all the same by default.

    Attributes
    ----------
    weights : tuple of float or None
        None where all members count the same.
    temperature : float
        What the scores of the average are divided by, 1 as long as nobody sets it.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> MemberAverage([nn.Identity(), nn.Identity()], "softmax")(torch.log(torch.tensor([[0.25, 0.75]]))).exp()
    tensor([[0.2500, 0.7500]])
    """

    def __init__(self, members: Sequence[nn.Module], link: Link, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.link = link
        self.weights = None if weights is None or len(set(weights)) == 1 else tuple(map(float, weights))
        self.temperature = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (B, O) of the averaged prediction."""
        return self.average(torch.stack([member(x) for member in self.members]))

    def average(self, scores: Tensor) -> Tensor:
        """Return the scores (..., O) that stand for the average over the first axis of ``scores``."""
        weights = None if self.weights is None else scores.new_tensor(self.weights)
        out = average(scores, self.link, weights)
        return out if self.temperature == 1 else out / self.temperature


def average(scores: Tensor, link: Link, weights: Tensor | None = None) -> Tensor:
    """Return the scores (..., O) of the prediction that is the average over the first axis of ``scores``.

    Parameters
    ----------
    scores : Tensor of shape (M, ..., O)
    link : {"identity", "softmax", "sigmoid", "exp"}
    weights : Tensor of shape (M,), default=None
        Of sum 1.

    Examples
    --------
    >>> average(torch.tensor([[0.0], [2.0]]), "identity")
    tensor([1.])
    >>> average(torch.tensor([[0.0], [2.0]]), "exp").exp()
    tensor([4.1945])
    >>> average(torch.tensor([[0.0], [2.0]]), "identity", torch.tensor([0.75, 0.25]))
    tensor([0.5000])
    """
    if weights is not None:
        weights = weights.view(-1, *(1,) * (scores.ndim - 1))
    if link == "identity":
        return scores.mean(0) if weights is None else (scores * weights).sum(0)
    if link == "exp":
        return _log_mean(scores, weights)
    if link == "softmax":
        return _log_mean(functional.log_softmax(scores, -1), weights)
    yes, no = functional.logsigmoid(scores), functional.logsigmoid(-scores)
    return _log_sum(yes, weights) - _log_sum(no, weights)


def _log_sum(logs: Tensor, weights: Tensor | None) -> Tensor:
    return torch.logsumexp(logs if weights is None else logs + weights.log(), 0)


def _log_mean(logs: Tensor, weights: Tensor | None) -> Tensor:
    total = _log_sum(logs, weights)
    return total - math.log(len(logs)) if weights is None else total
