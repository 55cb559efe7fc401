"""Running means of the gradient and of its square, which Adam and its kin share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from ._base import FRACTION, POSITIVE, Hyper, Optimizer, State, zeros

__all__ = ["BETAS", "Moments", "adam_numbers"]

BETAS: dict[str, list[Any]] = {"beta_1": [FRACTION], "beta_2": [FRACTION], "epsilon": [POSITIVE]}


class Moments(Optimizer):
    """Two running means and their constants."""

    beta_1: float
    beta_2: float
    epsilon: float

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = BETAS
    search_space = {"beta_1": Range(0.8, 0.95), "beta_2": [0.9, 0.95, 0.98, 0.99, 0.999]}

    def _intakes(self, step: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "intake_1": np.full_like(step, 1.0 - self.beta_1),
            "intake_2": np.full_like(step, 1.0 - self.beta_2),
        }

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "mean", "square")

    @staticmethod
    def _accumulate(gradients: Tensor, state: State, hyper: Hyper, out: Tensor) -> tuple[Tensor, Tensor]:
        mean = state["mean"].lerp_(gradients, hyper["intake_1"])
        square = state["square"].lerp_(torch.mul(gradients, gradients, out=out), hyper["intake_2"])
        return mean, square


def adam_numbers(step: np.ndarray, beta_1: float, beta_2: float, epsilon: float) -> dict[str, np.ndarray]:
    """The coefficients of `adam_direction`, and "correction": its factor for the bias of the means."""
    root = np.sqrt(1.0 - beta_2**step)
    return {
        "intake_1": np.full_like(step, 1.0 - beta_1),
        "intake_2": np.full_like(step, 1.0 - beta_2),
        "epsilon": epsilon * root,
        "correction": root / (1.0 - beta_1**step),
    }
