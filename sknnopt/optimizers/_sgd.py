"""Gradient descent, with or without momentum."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from .._choices import Range
from .._compat import InvalidParameterError
from ._base import FRACTION, Hyper, Optimizer, State, zeros

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, ``b = momentum b + (1 - dampening) g``; ``w = w - learning_rate b``.

    The first step takes ``b = g``. Nesterov's variant steps along ``g + momentum b``. Without momentum ``b =
    g``.

    Parameters
    ----------
    momentum : float, default=0.0
        In [0, 1).
    dampening : float, default=0.0
        In [0, 1).
    nesterov : bool, default=False
        Needs a momentum above zero and no dampening.

    References
    ----------
    Robbins and Monro, "A stochastic approximation method", 1951; Polyak, "Some methods of speeding up the
    convergence of iteration methods", 1964; Sutskever et al., "On the importance of initialization and
    momentum in deep learning", 2013.

    Examples
    --------
    >>> SGD(momentum=0.9, nesterov=True).structure()[1:]
    (True, False, True)
    >>> SGD(nesterov=True).validate()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sklearn.utils._param_validation.InvalidParameterError: The 'nesterov' parameter of SGD needs momentum ...
    """

    keeps_zeros = True
    default_learning_rate = 1e-2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "momentum": [FRACTION],
        "dampening": [FRACTION],
        "nesterov": ["boolean"],
    }
    search_space = {"momentum": Range(0.8, 0.99), "nesterov": [False, True]}
    learning_rates = Range(1e-3, 1.0, log=True)

    def __init__(self, *, momentum: float = 0.0, dampening: float = 0.0, nesterov: bool = False) -> None:
        self.momentum = momentum
        self.dampening = dampening
        self.nesterov = nesterov

    def validate(self) -> None:
        super().validate()
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise InvalidParameterError(
                "The 'nesterov' parameter of SGD needs momentum > 0 and dampening = 0."
                f" Got momentum={self.momentum!r}, dampening={self.dampening!r} instead."
            )

    @property
    def stateful(self) -> bool:
        return self.momentum != 0

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.momentum != 0, self.momentum != 0 and self.dampening != 0, self.nesterov)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "learning_rate": learning_rate,
            "momentum": np.full_like(learning_rate, self.momentum),
            "intake": np.where(step == 1, 1.0, 1.0 - self.dampening),
        }

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "momentum") if self.stateful else {}

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        direction = gradients
        if self.momentum != 0:
            direction = state["momentum"].mul_(hyper["momentum"])
            if self.dampening != 0:
                direction.addcmul_(gradients, hyper["intake"])
            else:
                direction.add_(gradients)
        if self.nesterov:
            direction = gradients.addcmul_(direction, hyper["momentum"])
        parameters.addcmul_(direction, hyper["learning_rate"], value=-1)
