"""Cautious AdamW: only steps that the gradient agrees with."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .._layout import Layout
from ._base import Hyper, State, zeros
from ._fused import adam_direction
from ._moments import Moments

__all__ = ["CautiousAdamW"]


class CautiousAdamW(Moments):
    """Cautious AdamW, ``w = w - learning_rate c u`` where ``u g > 0``, with ``u`` the direction of `Adam`.

    Where momentum points against the gradient, the weight rests. ``c = n / (n_moved + 1)`` makes up for it, of a
    member's ``n`` parameters taken together. Decays weights by default, as `AdamW` does.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).

    References
    ----------
    Liang et al., "Cautious optimizers: improving training with one line of code", 2024, algorithm 1.

    Examples
    --------
    >>> CautiousAdamW().default_weight_decay
    0.01
    """

    keeps_zeros = True
    default_weight_decay = 0.01

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        root = np.sqrt(1.0 - self.beta_2**step)
        return self._intakes(step) | {
            "step": learning_rate * root / (1.0 - self.beta_1**step),
            "epsilon": self.epsilon * root,
        }

    def init(self, parameters: Tensor) -> State:
        count = parameters.new_full((len(parameters), 1), parameters.shape[1])
        return super().init(parameters) | zeros(parameters, "_direction") | {"_count": count}

    def start(self, parameters: Tensor, layout: Layout) -> State:
        state = self.init(parameters)
        state["_count"].fill_(layout.n_parameters)  # padding never moves
        return state

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        direction = adam_direction(gradients, state, hyper)
        moved = torch.mul(direction, gradients, out=gradients).lt_(0)
        boost = state["_count"] / (moved.sum(1, keepdim=True) + 1)
        parameters.addcmul_(direction.mul_(moved), boost.mul_(hyper["step"]))
