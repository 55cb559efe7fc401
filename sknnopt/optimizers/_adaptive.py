"""Step sizes of each weight's own, from the squares of its gradients."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from ._base import FRACTION, NON_NEGATIVE, POSITIVE, Hyper, Optimizer, State, zeros

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class Adagrad(Optimizer):
    """Adagrad, ``s = s + g^2``; ``w = w - r g / (sqrt(s) + epsilon)``.

    ``r = learning_rate / (1 + (t - 1) lr_decay)`` at step t.

    Parameters
    ----------
    lr_decay : float, default=0.0
        In [0, inf).
    initial_accumulator_value : float, default=0.0
        ``s`` before the first step, in [0, inf). Members that differ in it do not share a cohort.
    epsilon : float, default=1e-10
        In (0, inf).

    References
    ----------
    Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
    2011.

    Examples
    --------
    >>> Adagrad(lr_decay=1.0).coefficients(np.array([1.0, 2.0]), np.array([0.1, 0.1]))["learning_rate"]
    array([0.1 , 0.05])
    """

    keeps_zeros = True
    default_learning_rate = 1e-2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "lr_decay": [NON_NEGATIVE],
        "initial_accumulator_value": [NON_NEGATIVE],
        "epsilon": [POSITIVE],
    }
    search_space = {"initial_accumulator_value": [0.0, 0.1]}

    def __init__(
        self, *, lr_decay: float = 0.0, initial_accumulator_value: float = 0.0, epsilon: float = 1e-10
    ) -> None:
        self.lr_decay = lr_decay
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def structure(self) -> tuple[Any, ...]:
        return (type(self), float(self.initial_accumulator_value))

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "learning_rate": learning_rate / (1.0 + (step - 1.0) * self.lr_decay),
            "epsilon": np.full_like(learning_rate, self.epsilon),
        }

    def init(self, parameters: Tensor) -> State:
        return {
            "sum": torch.full_like(parameters, self.initial_accumulator_value),
            "_scratch": torch.empty_like(parameters),
        }

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        total, scratch = state["sum"], state["_scratch"]
        total.addcmul_(gradients, gradients)
        torch.sqrt(total, out=scratch).add_(hyper["epsilon"])
        gradients.div_(scratch)
        parameters.addcmul_(gradients, hyper["learning_rate"], value=-1)


class Adadelta(Optimizer):
    """Adadelta, ``d = g sqrt((u + epsilon) / (s + epsilon))``; ``w = w - learning_rate d``.

    ``s`` and ``u`` are running means of ``g^2`` and ``d^2``.

    Parameters
    ----------
    rho : float, default=0.9
        Decay of the running means, in [0, 1).
    epsilon : float, default=1e-6
        In (0, inf).

    References
    ----------
    Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.

    Examples
    --------
    >>> Adadelta().default_learning_rate
    1.0
    """

    keeps_zeros = True
    default_learning_rate = 1.0
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"rho": [FRACTION], "epsilon": [POSITIVE]}
    search_space = {"rho": Range(0.85, 0.99), "epsilon": Range(1e-8, 1e-2, log=True)}
    learning_rates = Range(0.1, 3.0, log=True)

    def __init__(self, *, rho: float = 0.9, epsilon: float = 1e-6) -> None:
        self.rho = rho
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "learning_rate": learning_rate,
            "intake": np.full_like(learning_rate, 1.0 - self.rho),
            "epsilon": np.full_like(learning_rate, self.epsilon),
        }

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "square", "step_square", "_numerator", "_scratch")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        numerator, scratch, epsilon = state["_numerator"], state["_scratch"], hyper["epsilon"]
        torch.mul(gradients, gradients, out=scratch)
        state["square"].lerp_(scratch, hyper["intake"])
        torch.add(state["step_square"], epsilon, out=numerator)
        torch.add(state["square"], epsilon, out=scratch)
        gradients.mul_(numerator.div_(scratch).sqrt_())
        torch.mul(gradients, gradients, out=scratch)
        state["step_square"].lerp_(scratch, hyper["intake"])
        parameters.addcmul_(gradients, hyper["learning_rate"], value=-1)


class RMSprop(Optimizer):
    """RMSprop, ``s = alpha s + (1 - alpha) g^2``; ``w = w - learning_rate g / (sqrt(s) + epsilon)``.

    Centered, ``s`` less the square of the running mean of ``g`` takes the place of ``s``. With momentum the
    step is along ``b = momentum b + g / (sqrt(s) + epsilon)``.

    Parameters
    ----------
    alpha : float, default=0.99
        Decay of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).
    momentum : float, default=0.0
        In [0, 1).
    centered : bool, default=False
        Divide by the standard deviation of the gradient instead of its root mean square.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5: RMSprop", 2012; centered: Graves, "Generating sequences with recurrent
    neural networks", 2013, eq. 38-41.

    Examples
    --------
    >>> sorted(RMSprop(momentum=0.9, centered=True).init(torch.zeros(1, 2)))
    ['_scratch', 'mean', 'momentum', 'square']
    """

    keeps_zeros = True
    default_learning_rate = 1e-2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "alpha": [FRACTION],
        "epsilon": [POSITIVE],
        "momentum": [FRACTION],
        "centered": ["boolean"],
    }
    search_space = {
        "alpha": [0.9, 0.95, 0.99],
        "epsilon": Range(1e-10, 1e-3, log=True),
        "momentum": [0.0, 0.9],
        "centered": [False, True],
    }

    def __init__(
        self, *, alpha: float = 0.99, epsilon: float = 1e-8, momentum: float = 0.0, centered: bool = False
    ) -> None:
        self.alpha = alpha
        self.epsilon = epsilon
        self.momentum = momentum
        self.centered = centered

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.momentum != 0, self.centered)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "learning_rate": learning_rate,
            "intake": np.full_like(learning_rate, 1.0 - self.alpha),
            "epsilon": np.full_like(learning_rate, self.epsilon),
            "momentum": np.full_like(learning_rate, self.momentum),
        }

    def init(self, parameters: Tensor) -> State:
        names = ["square", "_scratch"]
        names += ["momentum"] * (self.momentum != 0) + ["mean"] * self.centered
        return zeros(parameters, *names)

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        scratch = state["_scratch"]
        torch.mul(gradients, gradients, out=scratch)
        state["square"].lerp_(scratch, hyper["intake"])
        variance = state["square"]
        if self.centered:
            mean = state["mean"].lerp_(gradients, hyper["intake"])
            # Rounding can take the difference below zero, where torch.optim turns into NaN.
            variance = torch.addcmul(variance, mean, mean, value=-1, out=scratch).clamp_(min=0)
        torch.sqrt(variance, out=scratch).add_(hyper["epsilon"])
        direction = gradients.div_(scratch)
        if self.momentum != 0:
            direction = state["momentum"].mul_(hyper["momentum"]).add_(direction)
        parameters.addcmul_(direction, hyper["learning_rate"], value=-1)
