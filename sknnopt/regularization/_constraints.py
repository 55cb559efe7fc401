"""Limits that weights are held within."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Layout
from ._base import Hyper, Strength
from ._layers import Layered, layer_number, matrices, matrix_shape, weight_blocks

__all__ = ["MaxNorm", "SpectralNorm"]

_LIMIT: dict[str, list[Any]] = {"limit": [Interval(Real, 0, math.inf, closed="right"), "array-like"]}

ROUNDS = 2
"""Singular values that are looked for and clipped a step."""

KICK = 0.01
"""How far the power iteration is moved from its last vector: so it leaves one that is no longer the largest."""

SLACK = 0.05
"""By how much the last singular value found may exceed the limit before the whole matrix is scaled back."""


class MaxNorm(Layered):
    """Max-norm: after each step a unit whose incoming weights are longer is scaled back, ``|w|_2 <= limit``.

    Every row of every weight matrix is held, the output's included.

    Parameters
    ----------
    limit : float or sequence of float, default=3.0
        In (0, inf]; one for all layers, or one for each, the output's last. Infinity holds nothing.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014, section 5.1.

    Examples
    --------
    >>> from sknnopt._layout import Layout
    >>> flat = torch.zeros(1, 32)
    >>> flat[0, :4] = torch.tensor([6.0, 8.0, 1.0, 0.0])
    >>> MaxNorm().bind(Layout([("weight", (2, 2))], []), {}).project(flat, {"limit": torch.tensor([[5.0]])})
    >>> flat[0, :4].view(2, 2)
    tensor([[3., 4.],
            [1., 0.]])
    """

    _number: ClassVar[str] = "limit"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = _LIMIT
    search_space = {"limit": Range(1.0, 5.0)}

    def __init__(self, limit: Strength = 3.0) -> None:
        self.limit = limit

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"limit": self._times(1.0)}

    def project(self, parameters: Tensor, hyper: Hyper) -> None:
        for block, weight in matrices(parameters, self.layout):
            norms = torch.linalg.vector_norm(weight, dim=2)
            weight.mul_((layer_number(hyper["limit"], block) / norms).clamp_(max=1).unsqueeze(2))


class SpectralNorm(Layered):
    """Spectral norm: after each step the largest singular values are clipped, ``sigma(W) <= limit``.

    The nearest matrix within the limit is ``U min(S, limit) V^T``. It is approached from step to step: two rounds of
    power iteration, which go on from the last step's vector, each clip the singular value they find, and a matrix
    that is 5 per cent beyond the limit even so is scaled back to there. (To scale alone, as the papers do, takes
    from all singular values what the largest has too much: under a tight limit weights then lose all but one.) The
    limit holds within a few per cent once the learning rate has fallen; steps that are long for it overshoot more.

    Parameters
    ----------
    limit : float or sequence of float, default=2.0
        In (0, inf]; one for all layers, or one for each, the output's last. Infinity holds nothing.

    References
    ----------
    Miyato et al., "Spectral normalization for generative adversarial networks", 2018, algorithm 1; Gouk et al.,
    "Regularisation of neural networks by enforcing Lipschitz continuity", 2021, algorithm 2.

    Examples
    --------
    >>> from sknnopt._layout import Layout
    >>> layout, flat = Layout([("weight", (2, 2))], []), torch.zeros(1, 32)
    >>> flat[0, :4] = torch.tensor([4.0, 1.0, 0.0, 3.0])
    >>> bound = SpectralNorm().bind(layout, SpectralNorm().start(flat, layout))
    >>> for _ in range(20):
    ...     bound.project(flat, {"limit": torch.tensor([[2.0]])})
    >>> round(torch.linalg.matrix_norm(flat[0, :4].view(2, 2), ord=2).item(), 2)
    2.0
    """

    _number: ClassVar[str] = "limit"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = _LIMIT
    search_space = {"limit": Range(0.5, 5.0, log=True)}

    def __init__(self, limit: Strength = 2.0) -> None:
        self.limit = limit

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"limit": self._times(1.0)}

    def start(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        vectors = _vectors(layout)
        kick = torch.zeros(1, vectors.size, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        for view in vectors.views(kick).values():
            view.copy_(torch.randn(view.shape, generator=generator, dtype=torch.float64))
            view.mul_(KICK / view.norm())
        kicks = kick.to(weights).expand(len(weights), -1).clone()
        return {"right": torch.zeros_like(kicks), "_kick": kicks}

    def project(self, parameters: Tensor, hyper: Hyper) -> None:
        vectors = _vectors(self.layout)
        rights, kicks = vectors.views(self.state["right"]), vectors.views(self.state["_kick"])
        for block, weight in matrices(parameters, self.layout):
            limit, right, kick = layer_number(hyper["limit"], block), rights[block.name], kicks[block.name]
            for i in range(ROUNDS):
                left, size = _iterate(weight, right.add_(kick))
                if i == ROUNDS - 1:
                    shrinkage = (limit * (1 + SLACK) / size).clamp_(max=1)
                    weight.mul_(shrinkage.unsqueeze(2))
                    size = size * shrinkage
                left.mul_((size - limit).clamp_(min=0))
                weight.sub_(left.unsqueeze(2) * right.unsqueeze(1))


def _vectors(layout: Layout) -> Layout:
    """Where each matrix has its right singular vector."""
    return Layout([(block.name, matrix_shape(block)[1:]) for block in weight_blocks(layout)], [])


def _iterate(weight: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Improve the right singular vectors (K, I) of K matrices (K, O, I).

    Return the left ones (K, O), and the singular values (K, 1), with which ``left^T W = size right^T`` exactly.
    """
    left, _ = _unit((weight * right.unsqueeze(1)).sum(2))
    vector, size = _unit((weight * left.unsqueeze(2)).sum(1))
    right.copy_(vector)
    return left, size


def _unit(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (K, N) of length 1, zeros where they are zero, and their lengths (K, 1)."""
    size = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / size.clamp(min=torch.finfo(vectors.dtype).tiny), size
