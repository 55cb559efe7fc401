"""Prodigy: Adam that finds its learning rate."""

from __future__ import annotations

import math
from functools import partial
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Layout
from ._base import POSITIVE, SHRINKAGE, Hyper, Objective, State, Step, zeros
from ._fused import adam_direction
from ._moments import BETAS, Moments

__all__ = ["Prodigy"]

_LEAST = 1e-30
"""Sums of gradients below which no distance is estimated: their parts would be too small for float32."""


class Prodigy(Moments):
    """Prodigy, Adam whose steps are as long as the distance ``D`` from the start to the solution seems to be.

    ``w = w - learning_rate D m / (sqrt(v) + D epsilon)``, where ``m`` and ``v`` are the running means of ``D g`` and of
    ``(D g)^2``. ``D`` grows from `d0` to the largest ``d_coef r / |s|_1`` so far; ``r`` and ``s`` are running sums,
    with decay ``sqrt(beta_2)``, of ``learning_rate D^2 <g, w_0 - w>`` and of ``learning_rate D^2 g``. The learning rate
    is a factor to leave at 1, or to schedule. Weight decay is ``w = w - learning_rate D weight_decay w``.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).
    d0 : float, default=1e-6
        First estimate of ``D``, in (0, inf): too small does not matter.
    d_coef : float, default=1.0
        Factor of the estimates, in (0, inf): what a factor of the learning rate would be elsewhere.
    growth_rate : float or None, default=None
        Largest factor by which ``D`` grows in a step, but for the first time that it grows, in [1, inf). None sets no
        limit.
    bias_correction : bool, default=False
        Divide ``m`` and ``v`` by ``1 - beta^t`` as Adam does. Without, the first steps are longer.
    safeguard_warmup : bool, default=False
        Leave the learning rate out of ``s``, so that a warm-up does not make estimates too large.

    References
    ----------
    Mishchenko and Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2024, algorithm 4; the last
    four parameters are those of its authors' code.

    Examples
    --------
    >>> Prodigy().default_learning_rate
    1.0
    """

    own_decay = True
    keeps_zeros = True
    default_learning_rate = 1.0
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BETAS,
        "d0": [POSITIVE],
        "d_coef": [POSITIVE],
        "growth_rate": [Interval(Real, 1, None, closed="left"), None],
        "bias_correction": ["boolean"],
        "safeguard_warmup": ["boolean"],
    }
    search_space = {
        **Moments.search_space,
        "d_coef": Range(0.5, 2.0, log=True),
        "bias_correction": [False, True],
        "safeguard_warmup": [False, True],
    }
    learning_rates = Range(0.5, 2.0, log=True)

    def __init__(
        self,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        growth_rate: float | None = None,
        bias_correction: bool = False,
        safeguard_warmup: bool = False,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.d0 = d0
        self.d_coef = d_coef
        self.growth_rate = growth_rate
        self.bias_correction = bias_correction
        self.safeguard_warmup = safeguard_warmup

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.growth_rate is not None)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        correction = np.ones_like(step)
        if self.bias_correction:
            correction = np.sqrt(1.0 - self.beta_2**step) / (1.0 - self.beta_1**step)
        numbers = self._intakes(step) | {
            "rate": self.d_coef / self.d0 * learning_rate * correction,
            "sum_rate": np.ones_like(step) if self.safeguard_warmup else learning_rate * correction,
            "step": self.d0 * learning_rate * correction,
            "decay": self.d0 * correction,
            "memory": np.full_like(step, math.sqrt(self.beta_2)),
            "epsilon": np.full_like(step, self.epsilon),
        }
        if self.growth_rate is not None:
            numbers["growth_rate"] = np.full_like(step, self.growth_rate)
        return numbers

    def init(self, parameters: Tensor) -> State:
        """State in units of the present ``D``; "distance" is ``D / d0``, "product" is ``d_coef r / d0``."""
        column = parameters.new_zeros((len(parameters), 1))
        state = super().init(parameters) | zeros(parameters, "sum", "_direction")
        state |= {"start": parameters.clone(), "product": column, "distance": column + 1}
        return state | ({} if self.growth_rate is None else {"largest_distance": column + 1})

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        return partial(self._step, gradients, state, parameters, layout.weight_size)

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        self._step(gradients, state, parameters, parameters.shape[1], hyper)

    def _step(
        self,
        gradients: Tensor,
        state: State,
        parameters: Tensor,
        n_weights: int,
        hyper: Hyper,
    ) -> None:
        """One step, of which the first ``n_weights`` parameters decay."""
        estimate, distance = self._estimate(gradients, state, parameters, hyper), state["distance"]
        direction = adam_direction(gradients, state, hyper)
        if SHRINKAGE in hyper:
            weights = parameters[:, :n_weights]
            weights.addcmul_(weights, hyper[SHRINKAGE] * hyper["decay"] * distance, value=-1)
        parameters.addcmul_(direction, hyper["step"] * distance)
        self._move_on(state, self._grown(distance, estimate, state, hyper), hyper["memory"])

    def effective_rate(self, state: State, hyper: Hyper) -> Tensor:
        return hyper["step"] * state["distance"]

    @staticmethod
    def _estimate(gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> Tensor:
        """Update ``r`` and ``s`` and return the distance that they show."""
        scratch, product, total = state["_direction"], state["product"], state["sum"]
        torch.sub(state["start"], parameters, out=scratch).mul_(gradients)
        product.addcmul_(scratch.sum(1, keepdim=True), hyper["rate"])
        total.addcmul_(gradients, hyper["sum_rate"])
        return product / torch.abs(total, out=scratch).sum(1, keepdim=True).clamp_(min=_LEAST)

    def _grown(self, distance: Tensor, estimate: Tensor, state: State, hyper: Hyper) -> Tensor:
        if self.growth_rate is None:
            return torch.maximum(distance, estimate)
        largest = torch.maximum(state["largest_distance"], estimate, out=state["largest_distance"])
        reached = torch.where(distance == 1, largest, distance)
        return torch.minimum(largest, reached.mul_(hyper["growth_rate"]))

    @staticmethod
    def _move_on(state: State, grown: Tensor, memory: Tensor) -> None:
        """Take the new distance, bring the state to its units, and let the sums decay."""
        distance = state["distance"]
        if grown.device.type != "cpu" or not torch.equal(grown, distance):
            ratio = distance / grown
            distance.copy_(grown)
            state["mean"].mul_(ratio)
            state["square"].mul_(ratio.mul_(ratio))
            memory = ratio.mul_(memory)
        state["sum"].mul_(memory)
        state["product"].mul_(memory)
