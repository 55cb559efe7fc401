"""Adam's direction for optimizers that take it as a part of theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ._fused import adam_direction

__all__ = ["adam_numbers", "descent"]


def adam_numbers(step: np.ndarray, beta_1: float, beta_2: float, epsilon: float) -> dict[str, np.ndarray]:
    """The coefficients of `descent`, and "correction": its factor for the bias of the means."""
    root = np.sqrt(1.0 - beta_2**step)
    return {
        "intake_1": np.full_like(step, 1.0 - beta_1),
        "intake_2": np.full_like(step, 1.0 - beta_2),
        "epsilon": epsilon * root,
        "correction": root / (1.0 - beta_1**step),
    }


def descent(gradients: Tensor, state: Mapping[str, Tensor], hyper: Mapping[str, Tensor]) -> Tensor:
    """Update Adam's moments and return ``-m / (sqrt(v) + epsilon)``, in ``state["_direction"]``.

    Parameters
    ----------
    gradients : Tensor of shape (K, P)
    state : mapping of str to Tensor of shape (K, P)
        "mean", "square" and "_direction".
    hyper : mapping of str to Tensor of shape (K, 1)
        "intake_1", "intake_2" and "epsilon".
    """
    if gradients.device.type == "cpu":
        return adam_direction(gradients, state, hyper)
    mean = state["mean"].lerp_(gradients, hyper["intake_1"])
    square = state["square"].lerp_(gradients.square(), hyper["intake_2"])
    out = torch.sqrt(square, out=state["_direction"]).add_(hyper["epsilon"])
    return torch.div(mean, out, out=out).neg_()
