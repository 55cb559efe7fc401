"""Losses of numbers; with several outputs each is the mean over them."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .._compat import Interval
from ._base import Loss

__all__ = ["AbsoluteError", "Huber", "Poisson", "Quantile", "SquaredError"]


class _RegressionLoss(Loss):
    tasks = frozenset({"regression"})
    scales_target = True

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return self.value_and_gradient(output, target, torch.empty_like(output))[1]


class SquaredError(_RegressionLoss):
    """Squared error, ``mean_o (output_o - target_o)^2``; its best prediction is the conditional mean.

    References
    ----------
    Gauss, "Theoria combinationis observationum erroribus minimis obnoxiae", 1821.

    Examples
    --------
    >>> loss = SquaredError()
    >>> loss(torch.ones(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[1., 4.]])
    """

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).square().mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        torch.sub(output, target, out=out)
        value = out.square().mean(1)
        return value, out.mul_(2 / out.shape[1])


class AbsoluteError(_RegressionLoss):
    """Absolute error, ``mean_o |output_o - target_o|``; its best prediction is the conditional median.

    References
    ----------
    Laplace, "Mémoire sur la probabilité des causes par les évènements", 1774.

    Examples
    --------
    >>> loss = AbsoluteError()
    >>> loss(torch.ones(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[1., 2.]])
    """

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return (output - target).abs().mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        torch.sub(output, target, out=out)
        value = out.abs().mean(1)
        return value, out.sign_().div_(out.shape[1])


class Huber(_RegressionLoss):
    """Huber's loss, mean over outputs of ``d^2 / 2`` if ``|d| <= delta``, else ``delta (|d| - delta / 2)``.

    ``d`` is output minus target, on the standardised target: delta is in its standard deviations.

    Parameters
    ----------
    delta : float, default=1.0
        Where squared becomes absolute, in (0, inf).

    References
    ----------
    Huber, "Robust estimation of a location parameter", 1964.

    Examples
    --------
    >>> loss = Huber(delta=1)
    >>> loss(torch.ones(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[0.5000, 1.5000]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"delta": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, *, delta: float = 1.0) -> None:
        self.delta = delta

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(output, target, reduction="none", delta=self.delta).mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        value = self(output, target)
        torch.sub(output, target, out=out)
        return value, out.clamp_(-self.delta, self.delta).div_(out.shape[1])


class Poisson(_RegressionLoss):
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

    link = "exp"
    scales_target = False

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(output, target, log_input=True, full=False, reduction="none").mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        value = self(output, target)
        torch.exp(output, out=out)
        return value, out.sub_(target).div_(out.shape[1])

    def check_target(self, y: np.ndarray) -> None:
        if (y < 0).any() or (y.sum(0) <= 0).any():
            raise ValueError("loss='poisson' requires non-negative y and sum(y) > 0.")


class Quantile(_RegressionLoss):
    """Pinball loss, the mean over outputs of ``max(q (t - o), (q - 1) (t - o))``; it predicts the q-quantile.

    Parameters
    ----------
    quantile : float, default=0.5
        ``q``, in [0, 1].

    References
    ----------
    Koenker and Bassett, "Regression quantiles", 1978.

    Examples
    --------
    >>> loss = Quantile(quantile=0.75)
    >>> loss(torch.ones(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[0.2500, 1.5000]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"quantile": [Interval(Real, 0, 1, closed="both")]}

    def __init__(self, *, quantile: float = 0.5) -> None:
        self.quantile = quantile

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        excess = output - target
        return torch.maximum(excess * (1 - self.quantile), excess * -self.quantile).mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        excess = output - target
        out.copy_(excess > 0).sub_(self.quantile)
        return excess.mul_(out).mean(1), out.div_(out.shape[1])
