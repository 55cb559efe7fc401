"""The regularisers of K members within a step."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sknnopt._layout import clear
from sknnopt._random import MemberRandom
from sknnopt.engine._hyper import PENALTY
from sknnopt.engine._ours import is_ours

if TYPE_CHECKING:
    from sknnopt.engine._cohort import Cohort


class Penalties:
    """What the members' regulariser does, step by step, and the numbers it does it with.

    Parameters
    ----------
    cohort : Cohort
    members : int
        The first K members.
    weights, gradients : Tensor (K, W), (K, P)
        The part of the parameters that is weights; all gradients.
    randoms : sequence of K MemberRandom
    """

    def __init__(
        self, cohort: "Cohort", members: int, weights: Tensor, gradients: Tensor, randoms: Sequence[MemberRandom]
    ) -> None:
        job = cohort.members[0].job
        technique = job.techniques.regularization
        assert technique is not None
        state = {name: value[:members] for name, value in cohort.tensors.state["regularization"].items()}
        self._technique = technique.bind(job.network.layout, state)
        self._weights, self._randoms = weights, randoms
        self._gradients = gradients[:, : weights.shape[1]]
        self._features = int(torch.Size(job.table.row_shape).numel())
        self._strengths = {name: value[:members] for name, value in cohort.strengths.items()}
        self._numbers: Mapping[str, Tensor] = self._strengths
        self._changing = list(technique.coefficients(np.ones(1)))
        has = technique.has
        self._draws, self._noisy_inputs, self._disturbs = has("draw"), has("inputs"), has("forward")
        self._turns, self._adds = has("backward"), has("gradient")
        self._shrinks, self._projects = has("proximal"), has("project")
        self._kept = torch.empty_like(weights) if self._disturbs else weights
        self._gaps = [] if is_ours(technique) else job.network.layout.gaps()

    def begin(self, inputs: Tensor, hyper: Mapping[str, Tensor]) -> None:
        """Take the step's numbers, draw its noise, and change its rows (K, B, F or more)."""
        if self._changing:
            self._numbers = {**self._strengths, **{name: hyper[PENALTY + name] for name in self._changing}}
        if self._draws:
            self._technique.draw(self._numbers, self._randoms)
        if self._noisy_inputs:
            self._technique.inputs(inputs.flatten(2)[..., : self._features], self._numbers, self._randoms)

    def disturb(self) -> None:
        """Change the weights for a pass."""
        if self._disturbs:
            self._kept.copy_(self._weights)
            self._technique.forward(self._weights, self._numbers)

    def restore(self) -> None:
        """Take the weights back, and turn the gradients into theirs."""
        if self._disturbs:
            self._weights.copy_(self._kept)
        if self._turns:
            self._technique.backward(self._gradients, self._numbers)
            clear(self._gradients, self._gaps)

    def gradient(self) -> None:
        """Add the gradients of the penalties."""
        if self._adds:
            self._technique.gradient(self._weights, self._numbers, self._gradients)
            clear(self._gradients, self._gaps)

    def smooth_value(self) -> Tensor:
        """Return the value (K,) of those penalties that have added gradients."""
        return self._technique.smooth_penalty(self._weights, self._numbers)

    def after(self, parameters: Tensor, learning_rate: Tensor) -> None:
        """Threshold and project the weights among the parameters (K, P) that a step has left."""
        weights = parameters[:, : self._weights.shape[1]]
        if self._shrinks:
            self._technique.proximal(weights, self._numbers, learning_rate)
        if self._projects:
            self._technique.project(weights, self._numbers)
        if self._shrinks or self._projects:
            clear(weights, self._gaps)
