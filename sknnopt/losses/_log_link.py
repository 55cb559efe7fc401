"""Regression losses of positive numbers, whose output is a logarithm."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .._choices import Range
from .._compat import Interval
from ._regression import RegressionLoss

__all__ = ["Gamma", "Poisson", "Tweedie"]


class _LogLink(RegressionLoss):
    link = "exp"
    scales_target = False


class Poisson(_LogLink):
    """Poisson loss, ``mean_o exp(output_o) - target_o output_o``; it predicts ``exp(output)``.

    For counts and rates; the target must not be negative and is divided by its mean, which the loss does not mind:
    in other units it has the same minimum.

    References
    ----------
    McCullagh and Nelder, "Generalized linear models", 1989, chapter 6.

    Examples
    --------
    >>> loss = Poisson()
    >>> loss(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[1., 1.]])
    >>> loss.check_target(np.array([-1.0]))
    Traceback (most recent call last):
    ...
    ValueError: loss='poisson' requires non-negative y and sum(y) > 0.
    """

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(output, target, log_input=True, full=False, reduction="none").mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        value = self(output, target)
        torch.exp(output, out=out)
        return value, out.sub_(target).div_(out.shape[1])

    def check_target(self, y: np.ndarray) -> None:
        _check_not_negative(y, "poisson")


class Gamma(_LogLink):
    """Gamma loss, ``mean_o output_o + target_o exp(-output_o)``; it predicts ``exp(output)``.

    Half the gamma deviance, up to a term without the output. For amounts whose spread grows with their mean; the
    target must be above zero and is divided by its mean: in other units the loss has the same minimum.

    References
    ----------
    McCullagh and Nelder, "Generalized linear models", 1989, chapter 8.

    Examples
    --------
    >>> loss = Gamma()
    >>> loss(torch.zeros(1, 1, 2), torch.tensor([[[1.0, 3.0]]]))
    tensor([[1., 3.]])
    >>> loss.check_target(np.array([0.0, 2.0]))
    Traceback (most recent call last):
    ...
    ValueError: loss='gamma' requires strictly positive y; its minimum is 0.0. With zeros use 'tweedie' or 'poisson'.
    """

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return (output + target * torch.exp(-output)).mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        ratio = target * torch.exp(-output)
        value = (output + ratio).mean(1)
        return value, out.copy_(ratio).neg_().add_(1).div_(out.shape[1])

    def check_target(self, y: np.ndarray) -> None:
        if (y <= 0).any():
            raise ValueError(
                f"loss='gamma' requires strictly positive y; its minimum is {y.min()}. With zeros use 'tweedie' or "
                "'poisson'."
            )


class Tweedie(_LogLink):
    """Tweedie loss, ``mean_o exp((2 - p) o) / (2 - p) - t exp((1 - p) o) / (1 - p)`` of output o and target t.

    Half the Tweedie deviance of power p, up to a term without the output; it predicts ``exp(output)``. For amounts
    that are zero in many rows, such as claims; between Poisson (p towards 1) and gamma (towards 2). The target must
    not be negative and is divided by its mean, which scales the loss and leaves its minimum where it is.

    Parameters
    ----------
    power : float, default=1.5
        ``p``, in (1, 2): the variance is proportional to the mean to this power, as in
        :class:`~sklearn.linear_model.TweedieRegressor`.

    References
    ----------
    Jørgensen, "Exponential dispersion models", 1987; Smyth and Jørgensen, "Fitting Tweedie's compound Poisson model to
    insurance claims data: dispersion modelling", 2002.

    Examples
    --------
    >>> Tweedie()(torch.zeros(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[2., 8.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"power": [Interval(Real, 1, 2, closed="neither")]}
    search_space = {"power": Range(1.1, 1.9)}

    def __init__(self, *, power: float = 1.5) -> None:
        self.power = power

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return self._value(*self._terms(output, target))

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        mean, observed = self._terms(output, target)
        return self._value(mean, observed), torch.sub(mean, observed, out=out).div_(out.shape[1])

    def _terms(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return torch.exp((2 - self.power) * output), target * torch.exp((1 - self.power) * output)

    def _value(self, mean: Tensor, observed: Tensor) -> Tensor:
        return (mean / (2 - self.power) - observed / (1 - self.power)).mean(1)

    def check_target(self, y: np.ndarray) -> None:
        _check_not_negative(y, "tweedie")


def _check_not_negative(y: np.ndarray, name: str) -> None:
    if (y < 0).any() or (y.sum(0) <= 0).any():
        raise ValueError(f"loss={name!r} requires non-negative y and sum(y) > 0.")
