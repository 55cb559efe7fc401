"""Limited-memory BFGS with a line search."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Layout
from ._base import SHRINKAGE, Hyper, Objective, Optimizer, State, Step, zeros
from ._wolfe import Search, strong_wolfe

__all__ = ["LBFGS"]

SMALLEST_GRADIENT = 1e-7
"""Largest entry of a gradient that is taken for zero."""

SMALLEST_CURVATURE = 1e-10
"""Product of a step and the gradient's change up to which the pair is left out."""

SMALLEST_DESCENT = 1e-9
"""Descent along a direction that is taken for none."""


class LBFGS(Optimizer):
    """Quasi-Newton steps ``w = w - a H g`` with ``H`` of the last gradients, as long as a line search finds.

    ``H`` is the inverse Hessian that the last `history_size` steps and changes of the gradient make of a multiple of
    the identity. The search for ``a`` begins at the learning rate (at the first step, divided by the sum of ``|g|``
    where that is above one) and ends where the strong Wolfe conditions with 1e-4 and 0.9 hold, or after
    `max_line_search` further evaluations of the batch with the lowest of its last bracket. A step of training is one
    such iteration. It is meant for the full batch: ``batch_size`` no less than the rows, without dropout, and
    a constant schedule, for example. Gradients are not clipped.

    Parameters
    ----------
    history_size : int, default=10
        Pairs of steps and gradient changes remembered.
    max_line_search : int, default=25
        Evaluations of a search after the first.

    References
    ----------
    Nocedal and Wright, "Numerical optimization", 2006, algorithms 7.4 and 7.5; the search 3.5 and 3.6.

    Examples
    --------
    >>> LBFGS().default_learning_rate, LBFGS().line_search
    (1.0, True)
    """

    default_learning_rate = 1.0
    own_decay = True
    line_search = True
    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "history_size": [Interval(Integral, 1, None, closed="left")],
        "max_line_search": [Interval(Integral, 1, None, closed="left")],
    }
    search_space = {"history_size": [5, 10, 20]}
    learning_rates = Range(0.1, 1.0, log=True)

    def __init__(self, *, history_size: int = 10, max_line_search: int = 25) -> None:
        self.history_size = history_size
        self.max_line_search = max_line_search

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.history_size, self.max_line_search)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {"learning_rate": learning_rate}

    def start(self, parameters: Tensor, layout: Layout) -> State:
        members, size = parameters.shape
        pairs = {
            "moves": parameters.new_zeros(members, self.history_size, size),
            "changes": parameters.new_zeros(members, self.history_size, size),
            "curvatures": parameters.new_zeros(members, self.history_size),
        }
        counters = {name: parameters.new_zeros(members, 1) for name in ("steps", "stored")}
        scale = {"scale": parameters.new_ones(members, 1)}
        scratch = ("_origin", "_direction", "_product")
        return pairs | counters | scale | zeros(parameters, "last_move", "last_gradient", *scratch)

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        weights = parameters[:, : layout.weight_size]
        history, direction = _History(state), state["_direction"]

        def step(hyper: Hyper) -> None:
            values = objective.value_and_gradient()
            searching, rates, first_values = history.take_in(values, gradients, hyper["learning_rate"])
            history.direct(gradients, searching)
            slopes, reaches = torch.stack([_dot(gradients, direction, state), direction.abs().amax(1)]).tolist()
            searches: dict[int, Search] = {
                k: strong_wolfe(rates[k], first_values[k], slopes[k], reach=reaches[k], limit=self.max_line_search)
                for k in searching
                if slopes[k] <= -SMALLEST_DESCENT and math.isfinite(slopes[k])
            }
            state["_origin"].copy_(parameters)
            taken = _search(searches, gradients, state, parameters, objective)
            history.moved(taken, searching)
            if SHRINKAGE in hyper:
                weights.mul_(1 - hyper[SHRINKAGE])

        return step


def _search(
    searches: dict[int, Search],
    gradients: Tensor,
    state: State,
    parameters: Tensor,
    objective: Objective,
) -> Tensor:
    """Run the searches side by side, move the members there, and return each member's step (K, 1).

    Members whose search has ended stay where it led; those without one do not move.
    """
    steps = [0.0] * len(parameters)
    for k, search in searches.items():
        steps[k] = next(search)
    while True:
        taken = parameters.new_tensor(steps).unsqueeze(1)
        torch.addcmul(state["_origin"], state["_direction"], taken, out=parameters)
        if not searches:
            return taken
        values = objective.value_and_gradient()
        found = torch.stack([values, _dot(gradients, state["_direction"], state)]).tolist()
        for k, search in list(searches.items()):
            try:
                steps[k] = search.send((found[0][k], found[1][k]))
            except StopIteration as end:
                steps[k] = end.value
                del searches[k]


def _dot(one: Tensor, other: Tensor, state: State) -> Tensor:
    """Return each member's scalar product (K,)."""
    return torch.mul(one, other, out=state["_product"]).sum(1)


class _History:
    """The pairs that make the inverse Hessian, a ring of slots for each member."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moves, self._changes = (state[name].flatten(0, 1) for name in ("moves", "changes"))
        self._curvatures = state["curvatures"].view(-1, 1)
        members, self._slots = state["curvatures"].shape
        self._begin = torch.arange(members, device=self._moves.device) * self._slots

    def take_in(self, values: Tensor, gradients: Tensor, rates: Tensor) -> tuple[list[int], list[float], list[float]]:
        """Store what the last step has shown of each member that goes on.

        Returns
        -------
        searching : list of int
            The members whose value and gradient are finite and gradient and learning rate not zero; the state of the
            others stays.
        steps, values : list of float
            The first trial and the value of each of the K members.
        """
        state = self._state
        change = torch.sub(gradients, state["last_gradient"], out=state["_direction"])
        figures = [values, gradients.abs().amax(1), gradients.abs().sum(1), rates[:, 0], state["steps"][:, 0]]
        figures += [_dot(change, state["last_move"], state), _dot(change, change, state), state["stored"][:, 0]]
        rows = torch.stack(figures).tolist()
        searching, new = [], []
        steps = [0.0] * len(values)
        for k, (value, largest, total, rate, before, curvature, _, _) in enumerate(zip(*rows, strict=True)):
            if not (math.isfinite(value) and math.isfinite(total)) or largest <= SMALLEST_GRADIENT or rate <= 0:
                continue
            searching.append(k)
            steps[k] = rate if before else min(1.0, 1.0 / total) * rate
            if before and curvature > SMALLEST_CURVATURE and math.isfinite(rows[6][k]):
                new.append(k)
        if new:
            self._store(new, [rows[5][k] for k in new], [rows[6][k] for k in new], [int(rows[7][k]) for k in new])
        return searching, steps, rows[0]

    def _store(self, members: list[int], curvatures: list[float], squares: list[float], stored: list[int]) -> None:
        state, device = self._state, self._moves.device
        who = torch.tensor(members, device=device)
        where = torch.tensor(
            [k * self._slots + n % self._slots for k, n in zip(members, stored, strict=True)], device=device
        )
        self._moves.index_copy_(0, where, state["last_move"][who])
        self._changes.index_copy_(0, where, state["_direction"][who])
        self._curvatures.index_copy_(0, where, self._column([1.0 / c for c in curvatures]))
        scales = [c / s for c, s in zip(curvatures, squares, strict=True)]
        state["scale"].index_copy_(0, who, self._column(scales))
        state["stored"].index_copy_(0, who, self._column([n + 1.0 for n in stored]))

    def _column(self, numbers: list[float]) -> Tensor:
        return self._moves.new_tensor(numbers).unsqueeze(1)

    def direct(self, gradients: Tensor, searching: list[int]) -> None:
        """Write -H g into "_direction" (algorithm 7.4), zero for members that do not search.

        A slot not filled yet holds zeros, which change nothing but the sign of zeros: all are gone through, whoever
        else is there.
        """
        state = self._state
        direction = torch.neg(gradients, out=state["_direction"])
        newest = state["stored"][:, 0].long() - 1
        slots = [self._begin + (newest - age) % self._slots for age in range(self._slots)]
        shares = []
        for slot in slots:
            share = _column_dot(self._moves[slot], direction, state) * self._curvatures[slot]
            direction.addcmul_(self._changes[slot], share, value=-1)
            shares.append(share)
        direction.mul_(state["scale"])
        for slot, share in zip(reversed(slots), reversed(shares), strict=True):
            other = _column_dot(self._changes[slot], direction, state) * self._curvatures[slot]
            direction.addcmul_(self._moves[slot], share - other)
        resting = self._resting(searching)
        direction.masked_fill_(resting, 0.0)
        state["last_gradient"].copy_(torch.where(resting, state["last_gradient"], gradients))

    def moved(self, taken: Tensor, searching: list[int]) -> None:
        """Remember the step that was taken, for the next change of the gradient to go with."""
        state, resting = self._state, self._resting(searching)
        move = torch.mul(state["_direction"], taken, out=state["_direction"])
        state["last_move"].copy_(torch.where(resting, state["last_move"], move))
        state["steps"].add_((~resting).to(taken.dtype))

    def _resting(self, searching: list[int]) -> Tensor:
        resting = torch.ones(len(self._begin), 1, dtype=torch.bool)
        resting[searching] = False
        return resting.to(self._moves.device)


def _column_dot(one: Tensor, other: Tensor, state: State) -> Tensor:
    return _dot(one, other, state).unsqueeze(1)
