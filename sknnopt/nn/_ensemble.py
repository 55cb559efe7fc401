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

    Attributes
    ----------
    temperature : float
        What the scores of the average are divided by, 1 as long as nobody sets it.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> MemberAverage([nn.Identity(), nn.Identity()], "softmax")(torch.log(torch.tensor([[0.25, 0.75]]))).exp()
    tensor([[0.2500, 0.7500]])
    """

    def __init__(self, members: Sequence[nn.Module], link: Link) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.link = link
        self.temperature = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores (B, O) of the averaged prediction."""
        return self.average(torch.stack([member(x) for member in self.members]))

    def average(self, scores: Tensor) -> Tensor:
        """Return the scores (..., O) that stand for the average over the first axis of ``scores``."""
        out = average(scores, self.link)
        return out if self.temperature == 1 else out / self.temperature


def average(scores: Tensor, link: Link) -> Tensor:
    """Return the scores (..., O) of the prediction that is the average over the first axis of ``scores``.

    Examples
    --------
    >>> average(torch.tensor([[0.0], [2.0]]), "identity")
    tensor([1.])
    >>> average(torch.tensor([[0.0], [2.0]]), "exp").exp()
    tensor([4.1945])
    """
    if link == "identity":
        return scores.mean(0)
    count = math.log(len(scores))
    if link == "exp":
        return torch.logsumexp(scores, 0) - count
    if link == "softmax":
        return torch.logsumexp(functional.log_softmax(scores, -1), 0) - count
    yes = torch.logsumexp(functional.logsigmoid(scores), 0)
    return yes - torch.logsumexp(functional.logsigmoid(-scores), 0)
