"""AdEMAMix: Adam with a second, slow mean of gradients."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from ._base import FRACTION, NON_NEGATIVE, Hyper, State, zeros
from ._fused import divided
from ._moments import BETAS, Moments

__all__ = ["AdEMAMix"]


class AdEMAMix(Moments):
    """AdEMAMix, ``w = w - learning_rate (m' + alpha s) / (sqrt(v') + epsilon)``.

    ``s = beta_3 s + (1 - beta_3) g`` remembers gradients of thousands of steps, without bias correction; ``m'`` and
    ``v'`` as in `Adam`. With `warmup_steps` T, at step ``t < T`` alpha is ``alpha t / T``, and beta_3 goes from beta_1
    to its value such that the half-life of ``s`` grows linearly.

    Parameters
    ----------
    beta_1, beta_2, beta_3 : float, default=0.9, 0.999 and 0.9999
        Decays of the running means, in [0, 1).
    alpha : float, default=5.0
        Weight of the slow mean, in [0, inf).
    warmup_steps : int, default=0
        Steps over which alpha and beta_3 come to their values, in [0, inf). The paper takes all steps of a training;
        0 begins at the values, which is harmless in trainings of fewer steps than ``1 / (1 - beta_3)``.
    epsilon : float, default=1e-8
        In (0, inf).

    References
    ----------
    Pagliardini, Ablin and Grangier, "The AdEMAMix optimizer: better, faster, older", 2024, algorithm 1.

    Examples
    --------
    >>> mix = AdEMAMix(warmup_steps=4)
    >>> mix.coefficients(np.arange(1.0, 6.0), np.full(5, 0.1))["intake_slow"].round(5)
    array([0.0004 , 0.0002 , 0.00013, 0.0001 , 0.0001 ])
    """

    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BETAS,
        "beta_3": [FRACTION],
        "alpha": [NON_NEGATIVE],
        "warmup_steps": [Interval(Integral, 0, None, closed="left")],
    }
    search_space = {**Moments.search_space, "beta_3": [0.99, 0.999, 0.9999], "alpha": Range(2.0, 10.0)}

    def __init__(
        self,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        beta_3: float = 0.9999,
        alpha: float = 5.0,
        warmup_steps: int = 0,
        epsilon: float = 1e-8,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.beta_3 = beta_3
        self.alpha = alpha
        self.warmup_steps = warmup_steps
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        progress = np.minimum(step / self.warmup_steps, 1.0) if self.warmup_steps else np.ones_like(step)
        root = np.sqrt(1.0 - self.beta_2**step)
        return self._intakes(step) | {
            "intake_slow": 1.0 - np.minimum(self._slow_decay(progress), self.beta_3),
            "step": learning_rate * root / (1.0 - self.beta_1**step),
            "step_slow": learning_rate * root * self.alpha * progress,
            "epsilon": self.epsilon * root,
        }

    def _slow_decay(self, progress: np.ndarray) -> np.ndarray:
        """Return beta_3 as far as its warm-up has come: 1 / log(beta_3) goes linearly from that of beta_1."""
        first, last = (1.0 / math.log(beta) if beta > 0 else 0.0 for beta in (self.beta_1, self.beta_3))
        now = (1.0 - progress) * first + progress * last
        return np.where(now < 0, np.exp(1.0 / np.where(now < 0, now, -1.0)), 0.0)

    def init(self, parameters: Tensor) -> State:
        return super().init(parameters) | zeros(parameters, "slow", "_numerator", "_direction")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        mean = state["mean"].lerp_(gradients, hyper["intake_1"])
        slow = state["slow"].lerp_(gradients, hyper["intake_slow"])
        numerator = torch.mul(mean, hyper["step"], out=state["_numerator"]).addcmul_(slow, hyper["step_slow"])
        parameters.add_(divided(numerator, gradients, state, hyper))
