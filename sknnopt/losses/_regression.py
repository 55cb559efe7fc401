"""Losses of numbers; with several outputs each is the mean over them."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from .._choices import Range
from .._compat import Interval
from ._base import Loss

__all__ = ["AbsoluteError", "Huber", "LogCosh", "RegressionLoss", "SquaredError"]


class RegressionLoss(Loss):
    """Base of the regression losses, whose gradient is written by hand."""

    tasks = frozenset({"regression"})
    scales_target = True

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        return self.value_and_gradient(output, target, torch.empty_like(output))[1]


class SquaredError(RegressionLoss):
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


class AbsoluteError(RegressionLoss):
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


class Huber(RegressionLoss):
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
    search_space = {"delta": Range(0.1, 3.0, log=True)}

    def __init__(self, *, delta: float = 1.0) -> None:
        self.delta = delta

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(output, target, reduction="none", delta=self.delta).mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        value = self(output, target)
        torch.sub(output, target, out=out)
        return value, out.clamp_(-self.delta, self.delta).div_(out.shape[1])


class LogCosh(RegressionLoss):
    """Logarithm of the hyperbolic cosine, ``mean_o log cosh(output_o - target_o)``.

    Half the square of small differences and nearly the absolute value of large ones, smooth everywhere; on the
    standardised target.

    References
    ----------
    Green, "Bayesian reconstructions from emission tomography data using a modified EM algorithm", 1990.

    Examples
    --------
    >>> LogCosh()(torch.ones(1, 1, 2), torch.tensor([[[0.0, 101.0]]]))
    tensor([[ 0.4338, 99.3069]])
    """

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return _log_cosh(output - target).mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        torch.sub(output, target, out=out)
        value = _log_cosh(out).mean(1)
        return value, out.tanh_().div_(out.shape[1])


def _log_cosh(difference: Tensor) -> Tensor:
    """Return ``|d| + log((1 + exp(-2 |d|)) / 2)``, which does not overflow."""
    size = difference.abs()
    return size + torch.log1p(torch.expm1(-2 * size) / 2)
