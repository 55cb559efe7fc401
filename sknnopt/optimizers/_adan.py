"""Adan: Nesterov momentum by differences of gradients."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from ._base import FRACTION, POSITIVE, Hyper, Optimizer, State, zeros
from ._fused import divided

__all__ = ["Adan"]


class Adan(Optimizer):
    """Adan, ``w = w - learning_rate (m' + beta_2 v') / (sqrt(n') + epsilon)``.

    ``m``, ``v`` and ``n`` are running means, with decays beta_1, beta_2 and beta_3, of ``g``, of the difference ``d``
    to the gradient before, and of ``(g + beta_2 d)^2``; primes divide by ``1 - beta^t``. ``d`` is zero at the first
    step. (The paper writes 1 - beta for beta.)

    Parameters
    ----------
    beta_1, beta_2, beta_3 : float, default=0.98, 0.92 and 0.99
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).

    References
    ----------
    Xie et al., "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models", 2024, algorithm 1, with
    the bias corrections of its authors' code and decay that is decoupled as for every optimizer here.

    Examples
    --------
    >>> Adan().coefficients(np.array([1.0, 2.0]), np.array([0.1, 0.1]))["lookahead"]
    array([0.  , 0.92])
    """

    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "beta_1": [FRACTION],
        "beta_2": [FRACTION],
        "beta_3": [FRACTION],
        "epsilon": [POSITIVE],
    }
    search_space = {"beta_1": Range(0.9, 0.99), "beta_2": Range(0.85, 0.97), "beta_3": [0.95, 0.99, 0.999]}

    def __init__(
        self, *, beta_1: float = 0.98, beta_2: float = 0.92, beta_3: float = 0.99, epsilon: float = 1e-8
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        root = np.sqrt(1.0 - self.beta_3**step)
        return {
            "intake_gradient": np.full_like(step, 1.0 - self.beta_1),
            "intake_difference": np.where(step == 1, 0.0, 1.0 - self.beta_2),
            "intake_2": np.full_like(step, 1.0 - self.beta_3),
            "lookahead": np.where(step == 1, 0.0, self.beta_2),
            "step_mean": learning_rate * root / (1.0 - self.beta_1**step),
            "step_difference": learning_rate * root * self.beta_2 / (1.0 - self.beta_2**step),
            "epsilon": self.epsilon * root,
        }

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "mean", "change", "square", "previous", "_difference", "_direction")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        difference = torch.sub(gradients, state["previous"], out=state["_difference"])
        torch.add(gradients, 0.0, out=state["previous"])  # a copy without -0, which products may make of 0
        mean = state["mean"].lerp_(gradients, hyper["intake_gradient"])
        change = state["change"].lerp_(difference, hyper["intake_difference"])
        gradients.addcmul_(difference, hyper["lookahead"])
        numerator = torch.mul(mean, hyper["step_mean"], out=difference).addcmul_(change, hyper["step_difference"])
        parameters.add_(divided(numerator, gradients, state, hyper))
