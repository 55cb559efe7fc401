"""Norms of the weights."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from ._base import Hyper, Strength, row_sums
from ._layers import Layered

__all__ = ["L1", "L2", "ElasticNet"]


_STRENGTH: dict[str, list[Any]] = {"strength": [Interval(Real, 0, None, closed="left"), "array-like"]}


def _total(values: Tensor, strength: Tensor) -> Tensor:
    """Each row's sum, (K,), of what every weight adds, times its strength, (K, 1) or (K, P)."""
    if strength.shape[1] == 1:
        return row_sums(values).mul_(strength[:, 0])
    return row_sums(values * strength)


def _add_l2(parameters: Tensor, strength: Tensor, out: Tensor) -> None:
    out.addcmul_(parameters, strength)


def _shrink(parameters: Tensor, threshold: Tensor) -> None:
    """``sign(w) max(|w| - t, 0)``, written as ``w - min(max(w, -t), t)``: exact zeros, and no branch."""
    parameters.sub_(torch.clamp(parameters, -threshold, threshold))


class L1(Layered):
    """Lasso, ``strength |w|_1``, by soft thresholding: ``w = sign(w) max(|w| - learning_rate strength, 0)``.

    The proximal step follows the optimizer's, so weights become exactly zero.

    Parameters
    ----------
    strength : float or sequence of float, default=1e-4
        In [0, inf); one for all layers, or one for each, the output's last.

    References
    ----------
    Tibshirani, "Regression shrinkage and selection via the lasso", 1996; Beck and Teboulle, "A fast iterative
    shrinkage-thresholding algorithm", 2009.

    Examples
    --------
    >>> w = torch.tensor([[3.0, -0.5, 0.5]])
    >>> L1().proximal(w, {"l1": torch.tensor([[1.0]])}, learning_rate=torch.tensor([[1.0]]))
    >>> w
    tensor([[2., 0., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = _STRENGTH
    search_space = {"strength": Range(1e-6, 1e-2, log=True)}

    def __init__(self, strength: Strength = 1e-4) -> None:
        self.strength = strength

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"l1": self._times(1.0)}

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        return _total(parameters.abs(), hyper["l1"])

    def proximal(self, parameters: Tensor, hyper: Hyper, learning_rate: Tensor) -> None:
        _shrink(parameters, learning_rate * hyper["l1"])


class L2(Layered):
    """Ridge, ``strength / 2 |w|^2``, by its gradient ``strength w``.

    It goes through the optimizer, where decoupled weight decay goes past it.

    Parameters
    ----------
    strength : float or sequence of float, default=1e-4
        In [0, inf); one for all layers, or one for each, the output's last.

    References
    ----------
    Hoerl and Kennard, "Ridge regression: biased estimation for nonorthogonal problems", 1970; Krogh and
    Hertz, "A simple weight decay can improve generalization", 1992.

    Examples
    --------
    >>> L2().penalty(torch.tensor([[3.0, 4.0]]), {"l2": torch.tensor([[2.0]])})
    tensor([25.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = _STRENGTH
    search_space = {"strength": Range(1e-6, 1e-2, log=True)}

    def __init__(self, strength: Strength = 1e-4) -> None:
        self.strength = strength

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"l2": self._times(1.0)}

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        return _total(parameters.square(), hyper["l2"] / 2)

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        _add_l2(parameters, hyper["l2"], out)


class ElasticNet(Layered):
    """Lasso and ridge, ``strength (l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2)``.

    The first part goes by soft thresholding, the second by its gradient.

    Parameters
    ----------
    strength : float or sequence of float, default=1e-4
        In [0, inf); one for all layers, or one for each, the output's last.
    l1_ratio : float, default=0.5
        In [0, 1]; 1 is L1 alone, 0 is L2 alone.

    References
    ----------
    Zou and Hastie, "Regularization and variable selection via the elastic net", 2005.

    Examples
    --------
    >>> ElasticNet(strength=1.0, l1_ratio=0.25).strengths()
    {'l1': 0.25, 'l2': 0.75}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **_STRENGTH,
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
    }
    search_space = {"strength": Range(1e-6, 1e-2, log=True), "l1_ratio": Range(0.1, 0.9)}

    def __init__(self, strength: Strength = 1e-4, *, l1_ratio: float = 0.5) -> None:
        self.strength = strength
        self.l1_ratio = l1_ratio

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"l1": self._times(self.l1_ratio), "l2": self._times(1 - self.l1_ratio)}

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        return L1().penalty(parameters, hyper) + L2().penalty(parameters, hyper)

    def smooth_penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        return L2().penalty(parameters, hyper)

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        _add_l2(parameters, hyper["l2"], out)

    def proximal(self, parameters: Tensor, hyper: Hyper, learning_rate: Tensor) -> None:
        _shrink(parameters, learning_rate * hyper["l1"])
