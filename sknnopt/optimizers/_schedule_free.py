"""Schedule-free training: an average in the place of a learning rate that falls."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._layout import Layout
from ._base import FRACTION, POSITIVE, SHRINKAGE, Hyper, Objective, Optimizer, State, Step, zeros
from ._fused import divided

__all__ = ["ScheduleFreeAdamW", "ScheduleFreeSGD"]


class _ScheduleFree(Optimizer):
    """Steps of ``z``, their average ``x``, and ``y`` between them, where gradients are taken.

    The parameters are ``y``. The state has "z"; "average", which is ``x``; "largest_rate", the largest learning rate so
    far; and "count", the sum of the squares of the largest ones of all steps, in units of the last.
    """

    own_decay = True
    averages = True

    def init(self, parameters: Tensor) -> State:
        column = parameters.new_zeros((len(parameters), 1))
        return {"z": parameters.clone(), "average": parameters.clone(), "largest_rate": column, "count": column.clone()}

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        return partial(self._step, gradients, state, parameters, layout.weight_size, objective)

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        self._step(gradients, state, parameters, parameters.shape[1], None, hyper)

    def _step(
        self,
        gradients: Tensor,
        state: State,
        parameters: Tensor,
        n_weights: int,
        objective: Objective | None,
        hyper: Hyper,
    ) -> None:
        """One step, of which the first ``n_weights`` parameters decay."""
        z = state["z"].addcmul_(self._direction(gradients, state, hyper), hyper["step"])
        if SHRINKAGE in hyper:
            z[:, :n_weights].addcmul_(parameters[:, :n_weights], hyper[SHRINKAGE], value=-1)
        if objective is not None:
            objective.constrain(z, hyper)
        average = state["average"].lerp_(z, self._intake(state, hyper["learning_rate"]))
        torch.lerp(z, average, hyper["momentum"], out=parameters)

    def _direction(self, gradients: Tensor, state: State, hyper: Hyper) -> Tensor:
        """Return what the coefficient "step" of ``z``'s step is the factor of."""
        raise NotImplementedError

    @staticmethod
    def _intake(state: State, learning_rate: Tensor) -> Tensor:
        """Return the share of this step in the average: weights are the largest learning rates so far, squared."""
        before, count = state["largest_rate"], state["count"]
        largest = torch.maximum(before, learning_rate)
        before.div_(largest.clamp(min=torch.finfo(largest.dtype).tiny)).square_()
        count.mul_(before).add_(1)
        before.copy_(largest)
        return count.reciprocal()


class ScheduleFreeSGD(_ScheduleFree):
    """Schedule-free SGD, ``z = z - learning_rate g``, its weighted average being kept.

    ``g`` is taken at ``y = (1 - momentum) z + momentum x``. ``x`` is the average of all ``z``, weighted by the square
    of the largest learning rate so far, so that steps of a warm-up count less, and is what is judged and kept. Wants no
    other schedule than a warm-up; weight decay acts at ``y``.

    Parameters
    ----------
    momentum : float, default=0.9
        In [0, 1): 0 averages the iterates of plain SGD.

    References
    ----------
    Defazio et al., "The road less scheduled", 2024, eq. 2-4 and section 4.3. It finds learning rates 10 to 50 times
    those of SGD best, hence 0.1.

    Examples
    --------
    >>> ScheduleFreeSGD().default_learning_rate
    0.1
    """

    keeps_zeros = True
    default_learning_rate = 0.1
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"momentum": [FRACTION]}
    search_space = {"momentum": Range(0.8, 0.98)}
    learning_rates = Range(0.02, 2.0, log=True)

    def __init__(self, *, momentum: float = 0.9) -> None:
        self.momentum = momentum

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "learning_rate": learning_rate,
            "step": -learning_rate,
            "momentum": np.full_like(step, self.momentum),
        }

    def _direction(self, gradients: Tensor, state: State, hyper: Hyper) -> Tensor:
        return gradients


class ScheduleFreeAdamW(_ScheduleFree):
    """Schedule-free AdamW, ``z = z - learning_rate g / (sqrt(v') + epsilon)``, its weighted average being kept.

    ``g`` is taken at ``y = (1 - beta_1) z + beta_1 x``; ``v'`` as in `Adam`. ``x`` is the average of all ``z``,
    weighted by the square of the largest learning rate so far, so that steps of a warm-up count less, and is what is
    judged and kept. Wants no other schedule than a warm-up; weight decay acts at ``y``.

    Parameters
    ----------
    beta_1 : float, default=0.9
        How near ``x`` gradients are taken, in [0, 1).
    beta_2 : float, default=0.999
        Decay of the running mean of squares, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).

    References
    ----------
    Defazio et al., "The road less scheduled", 2024, algorithm 1, with the bias correction in ``v'``, as in its authors'
    code, and not in the learning rate, where it would weigh the average too.

    Examples
    --------
    >>> ScheduleFreeAdamW().default_learning_rate
    0.0025
    """

    keeps_zeros = True
    default_learning_rate = 2.5e-3
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "beta_1": [FRACTION],
        "beta_2": [FRACTION],
        "epsilon": [POSITIVE],
    }
    search_space = {"beta_1": Range(0.85, 0.98), "beta_2": [0.9, 0.95, 0.98, 0.99, 0.999]}
    learning_rates = Range(5e-4, 2e-2, log=True)

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        root = np.sqrt(1.0 - self.beta_2**step)
        return {
            "learning_rate": learning_rate,
            "step": learning_rate * root,
            "momentum": np.full_like(step, self.beta_1),
            "intake_2": np.full_like(step, 1.0 - self.beta_2),
            "epsilon": self.epsilon * root,
        }

    def init(self, parameters: Tensor) -> State:
        return super().init(parameters) | zeros(parameters, "square", "_direction")

    def _direction(self, gradients: Tensor, state: State, hyper: Hyper) -> Tensor:
        return divided(gradients, gradients, state, hyper)
