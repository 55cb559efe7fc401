"""Momentum with the matrices of hidden layers orthogonalised."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import StrOptions
from .._layout import Layout
from ._base import FRACTION, POSITIVE, SHRINKAGE, Hyper, Objective, Optimizer, State, Step
from ._blocks import Matrix, matrices, pieces
from ._fused import adam_direction
from ._moments import adam_numbers

__all__ = ["Muon"]

STEPS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Iterations of Newton and Schulz, and the factors of X, X^3 and X^5 in each."""

SMALLEST_NORM = 1e-7


class Muon(Optimizer):
    """Orthogonalised momentum for hidden matrices, ``w = w - learning_rate s O(g + momentum b)``; AdamW for the rest.

    ``b = momentum b + g``. ``O`` makes all singular values of a matrix nearly one, by five Newton–Schulz iterations
    ``X = 3.4445 X - 4.775 (X X^T) X + 2.0315 (X X^T)^2 X`` from ``X / |X|``, in the parameters' own precision. The
    factor ``s`` is ``sqrt(max(1, rows / columns))``.

    The first and the last weight matrix, biases and normalisation take AdamW's step with ``adamw_ratio`` times the
    learning rate, as is customary; so does everything in a network of one hidden layer, unless
    ``matrices="all"``. Embeddings of columns always take it; the first weight matrix is the dense layer after them.
    Weights of more than two axes are matrices of all but their first axis. Weight decay goes with each part's own
    learning rate.

    Parameters
    ----------
    momentum : float, default=0.95
        In [0, 1).
    nesterov : bool, default=True
        Without, ``O(b)``.
    matrices : {"hidden", "all"}, default="hidden"
        Which weights are orthogonalised: all but the first and the last, or all.
    adjustment : {"original", "match_rms_adamw"}, default="original"
        The latter makes ``s = 0.2 sqrt(max(rows, columns))``: updates as large as AdamW's, for AdamW's learning rates.
    adamw_ratio : float, default=0.05
        AdamW's learning rate over that of the matrices, in (0, inf).
    beta_1, beta_2 : float, default=0.9 and 0.95
        Decays of AdamW's running means, in [0, 1).
    epsilon : float, default=1e-10
        AdamW's, in (0, inf).

    References
    ----------
    Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024; the other adjustment: Liu et al., "Muon is
    scalable for LLM training", 2025, equation 4.

    Examples
    --------
    >>> rates = Muon().coefficients(np.array([1.0]), np.array([0.02]))
    >>> rates["learning_rate"], rates["adamw_rate"].round(6)
    (array([0.02]), array([0.001]))
    """

    default_learning_rate = 0.02
    own_decay = True
    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "momentum": [FRACTION],
        "nesterov": ["boolean"],
        "matrices": [StrOptions({"hidden", "all"})],
        "adjustment": [StrOptions({"original", "match_rms_adamw"})],
        "adamw_ratio": [POSITIVE],
        "beta_1": [FRACTION],
        "beta_2": [FRACTION],
        "epsilon": [POSITIVE],
    }
    search_space = {
        "momentum": Range(0.85, 0.98),
        "matrices": ["hidden", "all"],
        "adamw_ratio": Range(0.01, 0.5, log=True),
    }
    learning_rates = Range(3e-3, 0.1, log=True)

    def __init__(
        self,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        matrices: Literal["hidden", "all"] = "hidden",
        adjustment: Literal["original", "match_rms_adamw"] = "original",
        adamw_ratio: float = 0.05,
        beta_1: float = 0.9,
        beta_2: float = 0.95,
        epsilon: float = 1e-10,
    ) -> None:
        self.momentum = momentum
        self.nesterov = nesterov
        self.matrices = matrices
        self.adjustment = adjustment
        self.adamw_ratio = adamw_ratio
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.nesterov, self.matrices, self.adjustment)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        numbers = adam_numbers(step, self.beta_1, self.beta_2, self.epsilon)
        rate = learning_rate * self.adamw_ratio
        return numbers | {
            "learning_rate": learning_rate,
            "momentum": np.full_like(step, self.momentum),
            "adamw_rate": rate,
            "adamw_ratio": np.full_like(step, self.adamw_ratio),
            "adamw_step": rate * numbers.pop("correction"),
        }

    def start(self, parameters: Tensor, layout: Layout) -> State:
        members = len(parameters)
        state = {}
        for stack in self._stacks(layout):
            rows, columns = stack.matrices[0].wide
            state[stack.name] = parameters.new_zeros(members, len(stack.matrices), rows, columns)
            for name, shape in stack.scratch().items():
                state[name] = parameters.new_zeros(members, *shape)
        size = sum(piece.stop - piece.start for piece in self._rest(layout))
        for name in ("mean", "square", "_direction", "_slope"):
            state[name] = parameters.new_zeros(members, size)
        return state

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        scale = original_scale if self.adjustment == "original" else adamw_scale
        stacks = [
            _BoundStack(stack, gradients, state, parameters, scale, self.nesterov) for stack in self._stacks(layout)
        ]
        rest = _Rest(self._rest(layout), gradients, state, parameters, layout.weight_size)

        def step(hyper: Hyper) -> None:
            for stack in stacks:
                stack.step(hyper)
            rest.step(hyper)

        return step

    def _orthogonalized(self, layout: Layout) -> list[Matrix]:
        weights = [matrix for matrix in matrices(layout) if matrix.offset < layout.weight_size]
        return weights if self.matrices == "all" else weights[1:-1]

    def _stacks(self, layout: Layout) -> list[_Stack]:
        """Return the matrices by their shape."""
        by_shape: dict[tuple[int, int], list[Matrix]] = {}
        for matrix in self._orthogonalized(layout):
            by_shape.setdefault((matrix.rows, matrix.columns), []).append(matrix)
        return [_Stack(group) for group in by_shape.values()]

    def _rest(self, layout: Layout) -> list[slice]:
        """Return where everything else lies, neighbours in one piece; weights and others apart."""
        taken = {matrix.offset for matrix in self._orthogonalized(layout)}
        out: list[slice] = []
        for piece in pieces(layout):
            if piece.start in taken:
                continue
            if out and out[-1].stop == piece.start != layout.weight_size:
                piece = slice(out.pop().start, piece.stop)
            out.append(piece)
        return out


def original_scale(rows: int, columns: int) -> float:
    """Return the update's factor as Jordan has it."""
    return math.sqrt(max(1.0, rows / columns))


def adamw_scale(rows: int, columns: int) -> float:
    """Return the factor that gives entries the root mean square 0.2, as AdamW's updates have it."""
    return 0.2 * math.sqrt(max(rows, columns))


@dataclass(frozen=True)
class _Stack:
    """Matrices of one shape, which go through the iteration together."""

    matrices: list[Matrix]

    @property
    def name(self) -> str:
        return f"momentum.{self.matrices[0].rows}x{self.matrices[0].columns}"

    def scratch(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of what the iteration computes in, without the axis of members."""
        rows, columns = self.matrices[0].wide
        small, count = min(rows, columns), len(self.matrices)
        shapes = {"x": (rows, columns), "y": (rows, columns), "a": (small, small), "b": (small, small)}
        return {f"_{self.name}.{name}": (count, *shape) for name, shape in shapes.items()}


class _BoundStack:
    """A stack's step."""

    def __init__(
        self,
        stack: _Stack,
        gradients: Tensor,
        state: State,
        parameters: Tensor,
        scale: Callable[[int, int], float],
        nesterov: bool,
    ) -> None:
        rows, columns = stack.matrices[0].rows, stack.matrices[0].columns
        self._scale, self._nesterov = scale(rows, columns), nesterov
        self._x, self._y, self._a, self._b = (state[name].flatten(0, 1) for name in stack.scratch())
        x, momentum = (
            tensor.view(-1, *state[stack.name].shape[1:])[:, :, :rows, :columns].unbind(1)
            for tensor in (self._x, state[stack.name])
        )
        self._padded = stack.matrices[0].wide != (rows, columns)
        slopes, weights = ([m.view(flat) for m in stack.matrices] for flat in (gradients, parameters))
        self._matrices = list(zip(slopes, momentum, x, strict=True))
        result = self._x if STEPS % 2 == 0 else self._y
        moves = result.view(-1, *state[stack.name].shape[1:])[:, :, :rows, :columns].unbind(1)
        self._moves = list(zip(weights, moves, strict=True))

    def step(self, hyper: Hyper) -> None:
        decay = hyper["momentum"].unsqueeze(2)
        if self._padded:
            self._x.zero_()
        for slope, momentum, x in self._matrices:
            momentum.mul_(decay).add_(slope)
            if self._nesterov:
                torch.addcmul(slope, momentum, decay, out=x)
            else:
                x.copy_(momentum)
        _orthogonalize(self._x, self._y, self._a, self._b)
        rate = hyper["learning_rate"].unsqueeze(2)
        shrinkage = hyper.get(SHRINKAGE)
        for weight, move in self._moves:
            if shrinkage is not None:
                weight.mul_(1 - shrinkage.unsqueeze(2))
            weight.addcmul_(move, rate, value=-self._scale)


def _orthogonalize(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> None:
    """Newton–Schulz from x, (N, rows, columns); x and y take turns, what is left lies in y after an odd number."""
    c1, c3, c5 = COEFFICIENTS
    flat = x.flatten(1)
    norms = torch.mul(flat, flat, out=y.flatten(1)).sum(1, keepdim=True).sqrt_()
    flat.div_(norms.clamp_(min=SMALLEST_NORM))
    low = x.shape[1] <= x.shape[2]
    for _ in range(STEPS):
        transposed = x.transpose(1, 2)
        torch.bmm(*((x, transposed) if low else (transposed, x)), out=a)
        torch.baddbmm(a, a, a, beta=c3, alpha=c5, out=b)
        torch.baddbmm(x, *((b, x) if low else (x, b)), beta=c1, out=y)
        x, y = y, x


class _Rest:
    """AdamW's step of what is not orthogonalised, gathered into vectors of its own."""

    def __init__(
        self,
        where: list[slice],
        gradients: Tensor,
        state: State,
        parameters: Tensor,
        weight_size: int,
    ) -> None:
        self._state, self._slope = state, state["_slope"]
        self._pieces = []
        start = 0
        for piece in where:
            here = slice(start, start := start + piece.stop - piece.start)
            moved = (gradients[:, piece], state["_slope"][:, here], parameters[:, piece], state["_direction"][:, here])
            self._pieces.append((*moved, piece.start < weight_size))

    def step(self, hyper: Hyper) -> None:
        for gradient, slope, *_ in self._pieces:
            slope.copy_(gradient)
        adam_direction(self._slope, self._state, hyper)
        for _, _, parameter, direction, decays in self._pieces:
            if decays and SHRINKAGE in hyper:
                parameter.mul_(1 - hyper[SHRINKAGE] * hyper["adamw_ratio"])
            parameter.addcmul_(direction, hyper["adamw_step"])
