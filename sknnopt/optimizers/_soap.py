"""Adam in the eigenbasis of Shampoo's preconditioner."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Layout
from ._base import FRACTION, POSITIVE, Hyper, Objective, Optimizer, State, Step, zeros
from ._blocks import Matrix, eights, matrices, per_member

__all__ = ["SOAP"]

COUNT = Interval(Integral, 1, None, closed="left")


class SOAP(Optimizer):
    """Adam of rotated matrices, ``w = w - learning_rate Q_L (m' / (sqrt(v) + epsilon)) Q_R^T``.

    ``Q_L`` and ``Q_R`` are the eigenvectors of the running means of ``g g^T`` and ``g^T g``; ``m' = Q_L^T m Q_R`` with
    the running mean ``m`` of ``g``, and ``v`` is the running mean of the squares of ``Q_L^T g Q_R``; both means are
    corrected for their bias. Eigenvectors are brought up to date by a step of orthogonal iteration every
    `precondition_frequency` steps. Vectors, embeddings of columns and sides longer than `max_dim` are not rotated.
    The first step only finds the eigenvectors. Weights of more than two axes are matrices of all but their first axis.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.95 and 0.95
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-8
        In (0, inf).
    precondition_frequency : int, default=10
        Steps between updates of the eigenvectors.
    max_dim : int, default=1024
        Longest side of a matrix with eigenvectors of its own: they cost ``max_dim**3``.

    References
    ----------
    Vyas et al., "SOAP: improving and stabilizing Shampoo using Adam", 2025, algorithms 3 and 4.

    Examples
    --------
    >>> SOAP(precondition_frequency=2).coefficients(np.arange(1.0, 6.0), np.ones(5))["refresh"]
    array([0., 0., 1., 0., 1.])
    """

    default_learning_rate = 3e-3
    default_weight_decay = 0.01
    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "beta_1": [FRACTION],
        "beta_2": [FRACTION],
        "epsilon": [POSITIVE],
        "precondition_frequency": [COUNT],
        "max_dim": [COUNT],
    }
    search_space = {"beta_1": Range(0.9, 0.98), "beta_2": [0.9, 0.95, 0.99], "precondition_frequency": [1, 10, 50]}

    def __init__(
        self,
        *,
        beta_1: float = 0.95,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        precondition_frequency: int = 10,
        max_dim: int = 1024,
    ) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.precondition_frequency = precondition_frequency
        self.max_dim = max_dim

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.max_dim)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        first = step == 1
        t = np.where(first, 1.0, step - 1)
        correction = np.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        return {
            "intake_1": np.where(first, 0.0, 1.0 - self.beta_1),
            "intake_2": np.where(first, 0.0, 1.0 - self.beta_2),
            "intake_sides": np.full_like(step, 1.0 - self.beta_2),
            "step": np.where(first, 0.0, learning_rate * correction),
            "epsilon": np.full_like(step, self.epsilon),
            "first": first.astype(np.float64),
            "refresh": (~first & (t % self.precondition_frequency == 0)).astype(np.float64),
        }

    def start(self, parameters: Tensor, layout: Layout) -> State:
        state = zeros(parameters, "mean", "square", "_slope", "_direction")
        for matrix in self._rotated(layout):
            for name in ("_x", "_y"):
                state[f"{name}.{matrix.name}"] = parameters.new_zeros(len(parameters), *matrix.wide)
            for side, length in self._sides(matrix).items():
                for name in ("", "basis.", "_new."):
                    shape = (len(parameters), eights(length), eights(length))
                    state[f"{name}{side}.{matrix.name}"] = parameters.new_zeros(shape)
        return state

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        slope, direction = state["_slope"], state["_direction"]
        rotations = [_Rotation(matrix, self._sides(matrix), state) for matrix in self._rotated(layout)]

        def step(hyper: Hyper) -> None:
            state["mean"].lerp_(gradients, hyper["intake_1"])
            slope.copy_(gradients)
            direction.copy_(state["mean"])
            for rotation in rotations:
                rotation.apply(slope, into_basis=True)
                rotation.apply(direction, into_basis=True)
            square = state["square"].lerp_(slope.mul_(slope), hyper["intake_2"])
            direction.div_(torch.sqrt(square, out=slope).add_(hyper["epsilon"]))
            first, refresh = per_member(hyper, "first"), per_member(hyper, "refresh")
            for rotation in rotations:
                rotation.apply(direction, into_basis=False)
                rotation.take_in(gradients, hyper["intake_sides"])
                for k in range(len(first)):
                    if first[k] or refresh[k]:
                        rotation.renew(k, anew=bool(first[k]))
            parameters.addcmul_(direction, hyper["step"], value=-1)

        return step

    def _sides(self, matrix: Matrix) -> dict[str, int]:
        lengths = {"left": matrix.rows, "right": matrix.columns}
        return {side: length for side, length in lengths.items() if length <= self.max_dim}

    def _rotated(self, layout: Layout) -> list[Matrix]:
        return [matrix for matrix in matrices(layout) if self._sides(matrix)]


class _Rotation:
    """Preconditioner and eigenvectors of one matrix of K members."""

    def __init__(self, matrix: Matrix, sides: Mapping[str, int], state: State) -> None:
        self._matrix, self._lengths = matrix, sides
        self._x, self._y = state[f"_x.{matrix.name}"], state[f"_y.{matrix.name}"]
        self._inside = self._x[:, : matrix.rows, : matrix.columns]
        self._square = matrix.view(state["square"])
        self._sides = {side: state[f"{side}.{matrix.name}"] for side in sides}
        self._bases = {side: state[f"basis.{side}.{matrix.name}"] for side in sides}
        self._new = {side: state[f"_new.{side}.{matrix.name}"] for side in sides}

    def apply(self, flat: Tensor, *, into_basis: bool) -> None:
        """Rotate the matrix inside ``flat`` into the eigenbasis or out of it."""
        view = self._matrix.view(flat)
        x, y = self._x, self._y
        self._inside.copy_(view)
        if "left" in self._bases:
            basis = self._bases["left"]
            torch.bmm(basis.transpose(1, 2) if into_basis else basis, x, out=y)
            x, y = y, x
        if "right" in self._bases:
            basis = self._bases["right"]
            torch.bmm(x, basis if into_basis else basis.transpose(1, 2), out=y)
            x, y = y, x
        view.copy_(x[:, : self._matrix.rows, : self._matrix.columns])
        self._x.zero_()

    def take_in(self, gradients: Tensor, intake: Tensor) -> None:
        """Bring the running means of g g^T and g^T g up to date."""
        self._inside.copy_(self._matrix.view(gradients))
        x, transposed = self._x, self._x.transpose(1, 2)
        for side, mean in self._sides.items():
            new = torch.bmm(*((x, transposed) if side == "left" else (transposed, x)), out=self._new[side])
            mean.lerp_(new, intake.unsqueeze(2))

    def renew(self, k: int, *, anew: bool) -> None:
        """Bring member k's eigenvectors up to date, those of larger eigenvalues first; what is not finite stays.

        Each matrix is decomposed by itself, in memory of its own: so its bits do not depend on the cohort.
        """
        for side, length in self._lengths.items():
            mean = self._sides[side][k, :length, :length].contiguous()
            if not mean.isfinite().all():
                continue
            basis = self._bases[side][k, :length, :length]
            if anew:
                basis.copy_(torch.linalg.eigh(mean).eigenvectors.flip(1))
                continue
            product = mean @ basis.contiguous()
            order = torch.argsort((basis * product).sum(0), descending=True, stable=True)
            square = self._square[k]
            square.copy_(square.index_select(0 if side == "left" else 1, order))
            basis.copy_(torch.linalg.qr(product.index_select(1, order)).Q)
