"""Averaged gradient descent."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from .._choices import Range
from .._layout import Layout
from ._base import NON_NEGATIVE, Hyper, Objective, Optimizer, State, Step

__all__ = ["ASGD"]


class ASGD(Optimizer):
    """Averaged stochastic gradient descent, ``w = w - r (g + lambd w)``; the average of ``w`` is judged and kept.

    ``r = learning_rate / (1 + lambd learning_rate (t - 1))^alpha`` at step t. The average ``a`` is ``w`` up to step
    ``t0 + 2``; from then on ``a = a + (w - a) / (t - 1 - t0)``, the mean of all ``w`` since.

    Parameters
    ----------
    lambd : float, default=1e-4
        Decay of all parameters and of the learning rate, in [0, inf).
    alpha : float, default=0.75
        Power of the learning rate's decay, in [0, inf).
    t0 : float, default=0.0
        Steps before the average begins, in [0, inf). torch's default of a million begins none in most trainings.

    References
    ----------
    Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Bottou, "Large-scale machine
    learning with stochastic gradient descent", 2010, table 1.

    Examples
    --------
    >>> ASGD().coefficients(np.arange(1.0, 5.0), np.full(4, 0.1))["intake"]
    array([1.        , 1.        , 0.5       , 0.33333333])
    """

    averages = True
    keeps_zeros = True
    default_learning_rate = 1e-2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lambd": [NON_NEGATIVE],
        "alpha": [NON_NEGATIVE],
        "t0": [NON_NEGATIVE],
    }
    search_space = {"lambd": Range(1e-6, 1e-2, log=True), "alpha": Range(0.5, 1.0)}

    def __init__(self, *, lambd: float = 1e-4, alpha: float = 0.75, t0: float = 0.0) -> None:
        self.lambd = lambd
        self.alpha = alpha
        self.t0 = t0

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        before = step - 1.0
        return {
            "step": learning_rate / (1.0 + self.lambd * learning_rate * before) ** self.alpha,
            "lambd": np.full_like(step, self.lambd),
            "intake": 1.0 / np.maximum(1.0, before - self.t0),
        }

    def init(self, parameters: Tensor) -> State:
        return {"average": parameters.clone()}

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        self._step(gradients, state, parameters, None, hyper)

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        return partial(self._step, gradients, state, parameters, objective)

    @staticmethod
    def _step(
        gradients: Tensor,
        state: State,
        parameters: Tensor,
        objective: Objective | None,
        hyper: Hyper,
    ) -> None:
        gradients.addcmul_(parameters, hyper["lambd"])
        parameters.addcmul_(gradients, hyper["step"], value=-1)
        if objective is not None:
            objective.constrain(parameters, hyper)
        state["average"].lerp_(parameters, hyper["intake"])
