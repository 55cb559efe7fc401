"""Adam and its family.

Throughout, ``m = beta_1 m + (1 - beta_1) g``, ``v = beta_2 v + (1 - beta_2) g^2``, and t counts steps from
one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from ._base import POSITIVE, Hyper, State, zeros
from ._fused import adam_direction
from ._moments import BETAS, Moments

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


class Adam(Moments):
    """Adam, ``w = w - learning_rate m' / (sqrt(v') + epsilon)``.

    ``m' = m / (1 - beta_1^t)`` and ``v' = v / (1 - beta_2^t)`` are the bias-corrected running means of the
    gradient and of its square; AMSGrad divides by the largest ``v`` so far.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).
    amsgrad : bool, default=False
        Never let the divisor shrink.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1; AMSGrad: Reddi, Kale and
    Kumar, "On the convergence of Adam and beyond", 2018, algorithm 2.

    Examples
    --------
    >>> Adam().coefficients(np.array([1.0]), np.array([0.1]))["step"].round(5)
    array([0.03162])
    """

    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**BETAS, "amsgrad": ["boolean"]}
    search_space = {**Moments.search_space, "epsilon": Range(1e-10, 1e-3, log=True), "amsgrad": [False, True]}

    def __init__(
        self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8, amsgrad: bool = False
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.amsgrad)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        root = np.sqrt(1.0 - self.beta_2**step)
        return self._intakes(step) | {
            "step": learning_rate * root / (1.0 - self.beta_1**step),
            "epsilon": self.epsilon * root,
        }

    def init(self, parameters: Tensor) -> State:
        names = ["_direction", "largest"] if self.amsgrad else ["_direction"]
        return super().init(parameters) | zeros(parameters, *names)

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        parameters.addcmul_(adam_direction(gradients, state, hyper), hyper["step"])


class AdamW(Adam):
    """Adam that decays weights by default, ``w = w - learning_rate weight_decay w``, then Adam's step.

    Its default learning rate and decay, 3e-3 and 0.3, are those that suit small batches of tables.

    Decay is decoupled for every optimizer here, and the estimator's ``weight_decay`` sets it; this class
    differs from `Adam` in the default alone.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).
    amsgrad : bool, default=False
        Never let the divisor shrink.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.

    Examples
    --------
    >>> AdamW().default_learning_rate, AdamW().default_weight_decay
    (0.003, 0.3)
    """

    default_learning_rate = 3e-3
    default_weight_decay = 0.3


class NAdam(Moments):
    """Adam with Nesterov momentum, ``w = w - learning_rate (c_g g + c_m m) / (sqrt(v') + epsilon)``.

    ``u_t = beta_1 (1 - 0.96^(t momentum_decay) / 2)``, ``c_g = (1 - u_t) / (1 - u_1 ... u_t)`` and
    ``c_m = u_(t+1) / (1 - u_1 ... u_(t+1))``; ``v'`` as in `Adam`.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).
    momentum_decay : float, default=4e-3
        How fast ``u`` grows to ``beta_1``, in (0, inf).

    References
    ----------
    Dozat, "Incorporating Nesterov momentum into Adam", 2016, algorithm 2.

    Examples
    --------
    >>> NAdam().default_learning_rate
    0.002
    """

    keeps_zeros = True
    default_learning_rate = 2e-3
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**BETAS, "momentum_decay": [POSITIVE]}
    search_space = {**Moments.search_space, "momentum_decay": Range(1e-3, 1e-2, log=True)}

    def __init__(
        self,
        *,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        momentum_decay: float = 4e-3,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.momentum_decay = momentum_decay

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        last = int(step.max(initial=0))
        u = self.beta_1 * (1.0 - 0.5 * 0.96 ** (np.arange(1, last + 2) * self.momentum_decay))
        product = np.cumprod(u)
        now = step.astype(np.int64) - 1
        root = np.sqrt(1.0 - self.beta_2**step)
        return self._intakes(step) | {
            "step_gradient": learning_rate * root * (1.0 - u[now]) / (1.0 - product[now]),
            "step_mean": learning_rate * root * u[now + 1] / (1.0 - product[now + 1]),
            "epsilon": self.epsilon * root,
        }

    def init(self, parameters: Tensor) -> State:
        return super().init(parameters) | zeros(parameters, "_scratch")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        scratch = state["_scratch"]
        mean, square = self._accumulate(gradients, state, hyper, out=scratch)
        torch.sqrt(square, out=scratch).add_(hyper["epsilon"])
        gradients.mul_(hyper["step_gradient"]).addcmul_(mean, hyper["step_mean"])
        parameters.addcdiv_(gradients, scratch, value=-1)


class RAdam(Moments):
    """Rectified Adam, ``w = w - learning_rate m' r / (sqrt(v') + epsilon)``; early on without the divisor.

    ``p = 2 / (1 - beta_2) - 1`` and ``p_t = p - 2 t beta_2^t / (1 - beta_2^t)``; where ``p_t > 5``,
    ``r^2 = (p_t - 4)(p_t - 2) p / ((p - 4)(p - 2) p_t)``. Before that the variance of ``v'`` is unbounded and
    the step is plain momentum. ``m'`` and ``v'`` as in `Adam`.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf); added to the square root of the uncorrected ``v``, as torch does.

    References
    ----------
    Liu et al., "On the variance of the adaptive learning rate and beyond", 2020, algorithm 2.

    Examples
    --------
    >>> RAdam().coefficients(np.array([5.0, 6.0]), np.array([1.0, 1.0]))["step_adaptive"].round(4)
    array([0.    , 0.0043])
    """

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        correction = 1.0 - self.beta_2**step
        limit = 2.0 / (1.0 - self.beta_2) - 1.0
        length = limit - 2.0 * step * self.beta_2**step / correction
        rectified = length > 5.0
        safe = np.where(rectified, length, 5.0)
        r_squared = (safe - 4) * (safe - 2) * limit / ((limit - 4) * (limit - 2) * safe) if limit > 5 else 0.0
        momentum = learning_rate / (1.0 - self.beta_1**step)
        return self._intakes(step) | {
            "step_plain": np.where(rectified, 0.0, momentum),
            "step_adaptive": np.where(rectified, momentum * np.sqrt(r_squared * correction), 0.0),
            "epsilon": np.full_like(learning_rate, self.epsilon),
        }

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        mean, square = self._accumulate(gradients, state, hyper, out=gradients)
        torch.sqrt(square, out=gradients).add_(hyper["epsilon"])
        torch.div(hyper["step_adaptive"], gradients, out=gradients).add_(hyper["step_plain"])
        parameters.addcmul_(gradients, mean, value=-1)


class Adamax(Moments):
    """Adam in the maximum norm, ``n = max(beta_2 n, |g| + epsilon)``; ``w = w - learning_rate m' / n``.

    ``m' = m / (1 - beta_1^t)`` as in `Adam`.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running mean and of the norm, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 2.

    Examples
    --------
    >>> Adamax().default_learning_rate
    0.002
    """

    keeps_zeros = True
    default_learning_rate = 2e-3

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-8) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "intake_1": np.full_like(step, 1.0 - self.beta_1),
            "decay": np.full_like(step, self.beta_2),
            "step": learning_rate / (1.0 - self.beta_1**step),
            "epsilon": np.full_like(step, self.epsilon),
        }

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "mean", "norm")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        mean = state["mean"].lerp_(gradients, hyper["intake_1"])
        norm = state["norm"].mul_(hyper["decay"])
        torch.maximum(norm, gradients.abs_().add_(hyper["epsilon"]), out=norm)
        torch.div(mean, norm, out=gradients)
        parameters.addcmul_(gradients, hyper["step"], value=-1)
