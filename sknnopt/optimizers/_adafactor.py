"""Second moments of matrices kept as a row and a column."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Block, Layout, padded
from ._base import POSITIVE, Hyper, Objective, Optimizer, State, Step
from ._blocks import Matrix, cut, matrices, pieces, vectors

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Gradient over an estimate of its size, ``w = w - learning_rate u / max(1, rms(u) / clipping)``.

    ``u = g / sqrt(v)``, where ``v`` of a matrix is ``r c^T / mean(r)`` with the running means ``r`` and ``c`` of
    ``g^2 + epsilon`` along its rows and columns, and ``v`` of a vector, or of embeddings of columns, the running mean
    itself. The means take in ``t^-decay_rate`` of the new value at step t. Sizes ``rms`` are those of each parameter
    tensor by itself.

    Parameters
    ----------
    decay_rate : float, default=0.8
        In (0, 1].
    clipping : float, default=1.0
        Largest root mean square of an update, in (0, inf).
    epsilon : float, default=1e-30
        Added to squared gradients, in (0, inf).
    relative_step : bool, default=False
        Steps in proportion to the parameters: the learning rate becomes
        ``max(smallest_scale, rms(w)) min(learning_rate, t^-0.5)``. The paper's learning rate for it is 0.01.
    smallest_scale : float, default=1e-3
        Of the parameters, for `relative_step`; in (0, inf).

    References
    ----------
    Shazeer and Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, algorithms 4 to 6.

    Examples
    --------
    >>> Adafactor().coefficients(np.array([1.0, 32.0]), np.array([0.1, 0.1]))["intake"]
    array([1.    , 0.0625])
    """

    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "decay_rate": [Interval(Real, 0, 1, closed="right")],
        "clipping": [POSITIVE],
        "epsilon": [POSITIVE],
        "relative_step": ["boolean"],
        "smallest_scale": [POSITIVE],
    }
    search_space = {"decay_rate": Range(0.6, 1.0), "clipping": Range(0.5, 2.0)}

    def __init__(
        self,
        *,
        decay_rate: float = 0.8,
        clipping: float = 1.0,
        epsilon: float = 1e-30,
        relative_step: bool = False,
        smallest_scale: float = 1e-3,
    ) -> None:
        self.decay_rate = decay_rate
        self.clipping = clipping
        self.epsilon = epsilon
        self.relative_step = relative_step
        self.smallest_scale = smallest_scale

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.relative_step)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        rate = np.minimum(learning_rate, step**-0.5) if self.relative_step else learning_rate
        return {
            "step": rate,
            "intake": step**-self.decay_rate,
            "clipping": np.full_like(step, self.clipping),
            "epsilon": np.full_like(step, self.epsilon),
            "smallest_scale": np.full_like(step, self.smallest_scale),
        }

    def start(self, parameters: Tensor, layout: Layout) -> State:
        state = {"_squares": torch.zeros_like(parameters)}
        for matrix in matrices(layout):
            for side, length in (("rows", matrix.rows), ("columns", matrix.columns)):
                state[f"{matrix.name}.{side}"] = parameters.new_zeros(len(parameters), padded(length))
                state[f"_{matrix.name}.{side}"] = parameters.new_zeros(len(parameters), padded(length))
        for block in vectors(layout):
            state[f"{block.name}.square"] = parameters.new_zeros(len(parameters), padded(block.size))
        return state

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        squares, where = state["_squares"], pieces(layout)
        sizes = squares.new_tensor([block.size for block in layout.blocks.values()])
        pieces_of_squares, relative = cut(squares, where), self.relative_step
        steps = list(zip(cut(parameters, where), cut(gradients, where), strict=True))
        factors = [_Factors(matrix, gradients, state) for matrix in matrices(layout)]
        squares_of = [_Square(block, gradients, state) for block in vectors(layout)]

        def rms(flat: Tensor) -> Tensor:
            torch.mul(flat, flat, out=squares)
            return (torch.stack([piece.sum(1) for piece in pieces_of_squares], 1) / sizes).sqrt_()

        def step(hyper: Hyper) -> None:
            torch.mul(gradients, gradients, out=squares).add_(hyper["epsilon"])
            for matrix in factors:
                matrix.divide(hyper["intake"])
            for vector in squares_of:
                vector.divide(hyper["intake"])
            rate = hyper["step"] * rms(parameters).clamp_(min=hyper["smallest_scale"]) if relative else hyper["step"]
            rate = rate / (rms(gradients) / hyper["clipping"]).clamp_(min=1.0)
            for i, (piece, update) in enumerate(steps):
                piece.addcmul_(update, rate[:, i : i + 1], value=-1)

        return step


class _Factors:
    """Rows and columns of a matrix (algorithm 4): the running means, and the gradient divided by their root."""

    def __init__(self, matrix: Matrix, gradients: Tensor, state: State) -> None:
        self._matrix, self._gradient = matrix, matrix.view(gradients)
        self._squares = matrix.view(state["_squares"])
        self._rows, self._columns = (state[f"{matrix.name}.{side}"] for side in ("rows", "columns"))
        self._row, self._column = (state[f"_{matrix.name}.{side}"] for side in ("rows", "columns"))

    def divide(self, intake: Tensor) -> None:
        rows, columns = self._matrix.rows, self._matrix.columns
        torch.sum(self._squares, 2, out=self._row[:, :rows])
        torch.sum(self._squares, 1, out=self._column[:, :columns])
        self._rows.lerp_(self._row.div_(columns), intake)
        self._columns.lerp_(self._column.div_(rows), intake)
        mean = self._rows.sum(1, keepdim=True).div_(rows)
        torch.div(mean, self._rows, out=self._row).sqrt_()
        torch.reciprocal(self._columns, out=self._column).sqrt_()
        self._gradient.mul_(self._row[:, :rows].unsqueeze(2)).mul_(self._column[:, :columns].unsqueeze(1))
        self._row[:, rows:], self._column[:, columns:] = 0, 0


class _Square:
    """The second moments of a vector (algorithm 5)."""

    def __init__(self, block: Block, gradients: Tensor, state: State) -> None:
        where = slice(block.offset, block.offset + padded(block.size))
        self._gradient, self._new = gradients[:, where], state["_squares"][:, where]
        self._square = state[f"{block.name}.square"]

    def divide(self, intake: Tensor) -> None:
        self._square.lerp_(self._new, intake)
        self._gradient.div_(torch.sqrt(self._square, out=self._new))
