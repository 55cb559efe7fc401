"""Rprop: step sizes of each weight's own, from the signs of its gradients."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval, InvalidParameterError
from ._base import POSITIVE, Hyper, Optimizer, State, zeros

__all__ = ["Rprop"]


class Rprop(Optimizer):
    """Rprop, ``w = w - learning_rate s sign(g)``, where each weight's ``s`` follows how often its gradient turns.

    ``s`` begins at 1, grows by the factor `eta_plus` where the gradient has kept its sign and shrinks by `eta_minus`
    where it has turned; there the weight rests for a step. ``s`` is relative to the learning rate, so that schedules
    scale all steps. Meant for full batches: noise turns the signs.

    Parameters
    ----------
    eta_minus : float, default=0.5
        In (0, 1).
    eta_plus : float, default=1.2
        In (1, inf).
    smallest, largest : float, default=1e-4 and 5000.0
        Bounds of ``s``, in (0, inf). At the default learning rate of 0.01 steps lie between 1e-6 and 50, as torch's.

    References
    ----------
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993,
    eq. 4-6; the variant is that of Igel and Hüsken, "Improving the Rprop learning algorithm", 2000, iRprop-.

    Examples
    --------
    >>> Rprop().coefficients(np.array([1.0]), np.array([0.1]))["learning_rate"]
    array([0.1])
    >>> Rprop(smallest=2.0, largest=1.0).validate()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sklearn.utils._param_validation.InvalidParameterError: The 'smallest' parameter of Rprop must not exceed ...
    """

    keeps_zeros = True
    default_learning_rate = 1e-2
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "eta_minus": [Interval(Real, 0, 1, closed="neither")],
        "eta_plus": [Interval(Real, 1, None, closed="neither")],
        "smallest": [POSITIVE],
        "largest": [POSITIVE],
    }
    search_space = {"eta_minus": Range(0.3, 0.7), "eta_plus": Range(1.1, 1.5)}

    def __init__(
        self, *, eta_minus: float = 0.5, eta_plus: float = 1.2, smallest: float = 1e-4, largest: float = 5000.0
    ) -> None:
        self.eta_minus = eta_minus
        self.eta_plus = eta_plus
        self.smallest = smallest
        self.largest = largest

    def validate(self) -> None:
        super().validate()
        if self.smallest > self.largest:
            raise InvalidParameterError(
                "The 'smallest' parameter of Rprop must not exceed 'largest'."
                f" Got smallest={self.smallest!r}, largest={self.largest!r} instead."
            )

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        up, down = self.eta_plus - 1.0, self.eta_minus - 1.0
        return {
            "learning_rate": learning_rate,
            "odd": np.full_like(step, (up - down) / 2),
            "even": np.full_like(step, (up + down) / 2),
            "smallest": np.full_like(step, self.smallest),
            "largest": np.full_like(step, self.largest),
        }

    def init(self, parameters: Tensor) -> State:
        return {"size": torch.ones_like(parameters)} | zeros(parameters, "sign", "_agreement", "_scratch")

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        size, scratch = state["size"], state["_scratch"]
        sign = gradients.sign_()
        agreement = torch.mul(sign, state["sign"], out=state["_agreement"])  # 1, -1, or 0 where either is zero
        growth = torch.mul(agreement, hyper["even"], out=scratch).add_(hyper["odd"]).mul_(agreement)
        size.addcmul_(size, growth)
        torch.maximum(size, hyper["smallest"], out=size)
        torch.minimum(size, hyper["largest"], out=size)
        kept = torch.mul(sign, agreement.ge_(0), out=state["sign"])
        parameters.addcmul_(torch.mul(kept, size, out=scratch), hyper["learning_rate"], value=-1)
