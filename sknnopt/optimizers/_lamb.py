"""Adam with a step in proportion to each layer's norm."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._layout import Layout
from ._base import FRACTION, POSITIVE, SHRINKAGE, Hyper, Objective, Optimizer, State, Step, zeros
from ._blocks import cut, pieces
from ._fused import adam_direction
from ._moments import adam_numbers

__all__ = ["LAMB"]


class LAMB(Optimizer):
    """Adam whose steps are as long as each layer's weights, ``w = w - learning_rate |w| u / |u|``.

    ``u = m' / (sqrt(v') + epsilon) + weight_decay w`` with ``m'`` and ``v'`` as in `Adam`; the Euclidean norms are
    those of each parameter tensor by itself, biases included. Where one of them is zero the step is
    ``learning_rate u``.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.999
        Decays of the running means, in [0, 1).
    epsilon : float, default=1e-6
        In (0, inf).

    References
    ----------
    You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020, algorithm 2 with
    the identity for the scaling function.

    Examples
    --------
    >>> from sknnopt._layout import Layout
    >>> layout, lamb = Layout([("weight", (1, 2))], []), LAMB()
    >>> w = torch.zeros(1, layout.size)
    >>> w[0, :2], g = torch.tensor([3.0, 4.0]), torch.zeros(1, layout.size)
    >>> g[0, :2] = torch.tensor([1.0, -1.0])
    >>> numbers = lamb.coefficients(np.array([1.0]), np.array([0.1]))
    >>> hyper = {name: torch.tensor(x, dtype=w.dtype).view(1, 1) for name, x in numbers.items()}
    >>> lamb.bind(g, lamb.start(w, layout), w, layout=layout, objective=None)(hyper)
    >>> w[0, :2]
    tensor([2.6464, 4.3536])
    """

    default_learning_rate = 1e-2
    own_decay = True
    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "beta_1": [FRACTION],
        "beta_2": [FRACTION],
        "epsilon": [POSITIVE],
    }
    search_space = {"beta_1": Range(0.8, 0.95), "beta_2": [0.9, 0.95, 0.98, 0.99, 0.999]}

    def __init__(self, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-6) -> None:
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {"learning_rate": learning_rate, **adam_numbers(step, self.beta_1, self.beta_2, self.epsilon)}

    def init(self, parameters: Tensor) -> State:
        return zeros(parameters, "mean", "square", "_direction", "_squares")

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        where = pieces(layout)
        squares = cut(state["_squares"], where)
        steps = list(zip(cut(parameters, where), cut(state["_direction"], where), strict=True))
        weights, decayed = (flat[:, : layout.weight_size] for flat in (parameters, state["_direction"]))

        def norms(flat: Tensor) -> Tensor:
            torch.mul(flat, flat, out=state["_squares"])
            return torch.stack([piece.sum(1) for piece in squares], 1).sqrt_()

        def step(hyper: Hyper) -> None:
            rate = hyper["learning_rate"]
            u = adam_direction(gradients, state, hyper).mul_(hyper["correction"])  # its negative
            if SHRINKAGE in hyper:
                tiny = torch.finfo(rate.dtype).tiny  # without learning rate neither is there a product with it
                decayed.addcmul_(weights, hyper[SHRINKAGE] / rate.clamp(min=tiny), value=-1)
            length, size = norms(parameters), norms(u)
            trust = (length / size).masked_fill_((length == 0) | (size == 0), 1.0).mul_(rate)
            for i, (piece, direction) in enumerate(steps):
                piece.addcmul_(direction, trust[:, i : i + 1])

        return step
