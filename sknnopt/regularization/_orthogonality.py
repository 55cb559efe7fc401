"""Weights that are nearly orthogonal."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import padded
from ._base import Hyper, Strength
from ._layers import Layered, layer_number, matrices

__all__ = ["Orthogonality"]


class Orthogonality(Layered):
    """Soft orthogonality, ``strength / 4 |W W^T - I|_F^2``, by its gradient ``strength (W W^T - I) W``.

    Where a matrix has more rows than columns, it is ``W^T W``: so rows, or columns, come to be orthogonal and of
    length 1.

    Parameters
    ----------
    strength : float or sequence of float, default=1e-2
        In [0, inf), 4 times the paper's; one for all layers, or one for each, the output's last.

    References
    ----------
    Bansal et al., "Can we gain more from orthogonality regularizations in training deep networks?", 2018, equation 1.

    Examples
    --------
    >>> from sknnopt._layout import Layout
    >>> flat, out = torch.zeros(1, 32), torch.zeros(1, 32)
    >>> flat[0, :4] = torch.tensor([2.0, 0.0, 0.0, 1.0])
    >>> bound = Orthogonality().bind(Layout([("weight", (2, 2))], []), {})
    >>> bound.gradient(flat, {"orthogonality": torch.tensor([[0.5]])}, out)
    >>> out[0, :4].view(2, 2)
    tensor([[3., 0.],
            [0., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strength": [Interval(Real, 0, None, closed="left"), "array-like"]
    }
    search_space = {"strength": Range(1e-4, 1e-1, log=True)}

    def __init__(self, strength: Strength = 1e-2) -> None:
        self.strength = strength

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"orthogonality": self._times(1.0)}

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        total = super().penalty(parameters, hyper)
        for block, weight in matrices(parameters, self.layout):
            strength = layer_number(hyper["orthogonality"], block)[:, 0]
            total += strength / 4 * _excess(_on_grid(weight)).square().sum((1, 2))
        return total

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        for (block, weight), (_, slope) in zip(
            matrices(parameters, self.layout), matrices(out, self.layout), strict=True
        ):
            aligned = _on_grid(weight)
            excess, product = _excess(aligned), _empty(aligned, *aligned.shape[1:])
            factors = (excess, aligned) if _is_wide(aligned) else (aligned, excess)
            torch.bmm(*factors, out=product)
            slope.add_(product.mul_(layer_number(hyper["orthogonality"], block).unsqueeze(2)))


def _is_wide(weight: Tensor) -> bool:
    return weight.shape[1] <= weight.shape[2]


def _excess(weight: Tensor) -> Tensor:
    """``W W^T - I``, or ``W^T W - I``, whichever is smaller."""
    turned = weight.transpose(1, 2)
    left, right = (weight, turned) if _is_wide(weight) else (turned, weight)
    out = torch.bmm(left, right, out=_empty(weight, left.shape[1], left.shape[1]))
    out.diagonal(dim1=1, dim2=2).sub_(1)
    return out


def _on_grid(weight: Tensor) -> Tensor:
    return _empty(weight, *weight.shape[1:]).copy_(weight)


def _empty(like: Tensor, rows: int, columns: int) -> Tensor:
    """Memory for matrices (K, rows, columns) whose products do not depend on K: each contiguous and on the grid."""
    size = rows * columns
    return like.new_empty(len(like), padded(size))[:, :size].view(-1, rows, columns)
