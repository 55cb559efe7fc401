"""AdaBelief: steps as long as gradients are predictable."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from ._base import Hyper, State, zeros
from ._fused import divided
from ._moments import BETAS, Moments

__all__ = ["AdaBelief"]


class AdaBelief(Moments):
    """AdaBelief, ``w = w - learning_rate m' / (sqrt(s') + epsilon)``.

    ``s = beta_2 s + (1 - beta_2) (g - m)^2 + epsilon`` is the variance of the gradient about its running mean ``m``, in
    the place of Adam's mean square; primes are bias corrections as in `Adam`.

    Parameters
    ----------
    beta_1 : float, default=0.9
        Decay of the running mean, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the running variance, in (0, 1).
    epsilon : float, default=1e-16
        In (0, inf). It counts inside the root as well: 1e-16 there is what 1e-8 is in Adam.

    References
    ----------
    Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", 2020, algorithm 2.

    Examples
    --------
    >>> AdaBelief().epsilon
    1e-16
    """

    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BETAS,
        "beta_2": [Interval(Real, 0, 1, closed="neither")],
    }
    search_space = {**Moments.search_space, "epsilon": Range(1e-16, 1e-8, log=True)}

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-16) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        root = np.sqrt(1.0 - self.beta_2**step)
        return self._intakes(step) | {
            "step": learning_rate * root / (1.0 - self.beta_1**step),
            "floor": np.full_like(step, self.epsilon / self.beta_2),
            "epsilon": self.epsilon * root,
        }

    def init(self, parameters: Tensor) -> State:
        return super().init(parameters) | zeros(parameters, "_direction")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        mean = state["mean"].lerp_(gradients, hyper["intake_1"])
        gradients.sub_(mean)
        state["square"].add_(hyper["floor"])  # epsilon, as the decay by beta_2 is still to come
        parameters.addcmul_(divided(mean, gradients, state, hyper), hyper["step"])
