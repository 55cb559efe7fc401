"""Lion: the sign of a mixture of gradient and momentum."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from ._base import FRACTION, Hyper, Optimizer, State, zeros

__all__ = ["Lion"]


class Lion(Optimizer):
    """Lion, ``w = w - learning_rate sign(beta_1 m + (1 - beta_1) g)``, then ``m = beta_2 m + (1 - beta_2) g``.

    Every weight moves by the learning rate, so it wants one three to ten times smaller than Adam's, and a weight decay
    as much larger.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Share of ``m`` in the direction, in [0, 1).
    beta_2 : float, default=0.99
        Decay of ``m``, in [0, 1).

    References
    ----------
    Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.

    Examples
    --------
    >>> Lion().default_learning_rate
    0.0001
    """

    keeps_zeros = True
    default_learning_rate = 1e-4
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"beta_1": [FRACTION], "beta_2": [FRACTION]}
    search_space = {"beta_1": Range(0.8, 0.95), "beta_2": [0.95, 0.98, 0.99]}
    learning_rates = Range(1e-5, 1e-3, log=True)

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.99) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "learning_rate": learning_rate,
            "intake_1": np.full_like(step, 1.0 - self.beta_1),
            "intake_2": np.full_like(step, 1.0 - self.beta_2),
        }

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "mean", "_direction")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        mean = state["mean"]
        direction = torch.lerp(mean, gradients, hyper["intake_1"], out=state["_direction"]).sign_()
        parameters.addcmul_(direction, hyper["learning_rate"], value=-1)
        mean.lerp_(gradients, hyper["intake_2"])
