"""Gradients that are changed on their way to the optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Layout
from .._random import MemberRandom
from ._base import Hyper, Regularizer, row_sums
from ._layers import matrices
from ._noise import fill_normal

__all__ = ["GradientCentralization", "GradientNoise"]


class GradientNoise(Regularizer):
    """Gaussian noise of variance ``eta / (1 + t)^gamma`` on the gradient of the weights, t being the steps before.

    It is added before gradients are clipped. Biases get none.

    Parameters
    ----------
    eta : float, default=0.01
        In [0, inf); the variance at the first step.
    gamma : float, default=0.55
        In [0, inf); how fast it falls.

    References
    ----------
    Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015, equation 1.

    Examples
    --------
    >>> GradientNoise(eta=1.0, gamma=1.0).coefficients(np.array([1.0, 4.0]))
    {'std': array([1. , 0.5])}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "eta": [Interval(Real, 0, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
    }
    search_space = {"eta": Range(1e-3, 1.0, log=True)}

    def __init__(self, eta: float = 0.01, *, gamma: float = 0.55) -> None:
        self.eta = eta
        self.gamma = gamma

    def structure(self) -> tuple[Any, ...]:
        return (type(self),)

    def coefficients(self, step: np.ndarray) -> dict[str, np.ndarray]:
        return {"std": np.sqrt(float(self.eta) / step ** float(self.gamma))}

    def start(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        return {"_noise": weights.new_zeros(weights.shape)}

    def draw(self, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        fill_normal(self.state["_noise"], random, self.layout)
        self.state["_noise"].mul_(hyper["std"])

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        out.add_(self.state["_noise"])

    def smooth_penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        """Return what has this noise for its gradient."""
        return row_sums(parameters * self.state["_noise"])


class GradientCentralization(Regularizer):
    """Gradient centralization: from the gradient of each unit's incoming weights their mean is subtracted.

    So the sum of a unit's weights stays as it is under plain gradient descent. A layer of a single input is left
    alone. In a sum of regularisers it acts on the gradients of those before it too, not of those after it.

    References
    ----------
    Yong et al., "Gradient centralization: a new optimization technique for deep neural networks", 2020, equation 1.

    Examples
    --------
    >>> import torch
    >>> gradient = torch.zeros(1, 32)
    >>> gradient[0, :4] = torch.tensor([1.0, 3.0, 5.0, 5.0])
    >>> bound = GradientCentralization().bind(Layout([("weight", (2, 2))], []), {})
    >>> bound.gradient(torch.zeros(1, 32), {}, gradient)
    >>> gradient[0, :4].view(2, 2)
    tensor([[-1.,  1.],
            [ 0.,  0.]])
    """

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        for _, slope in matrices(out, self.layout):
            if slope.shape[2] > 1:
                slope.sub_(slope.mean(2, keepdim=True))
