"""The state of torch's optimizers as tensors with a leading axis of members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .._layout import padded
from ._base import State

__all__ = ["Mirror"]

NUMBERS = "numbers"
"""Name of the tensor that says whether a member has taken a step and what is there, and holds Python's numbers."""

ABSENT = object()

Visit = Callable[[str, Any], Any]
Leaves = dict[str, Any]


class Mirror:
    """Keeps each member's state in rows of tensors, whatever becomes of the optimizer object in between.

    Tensors of an optimizer's state are views of these rows, so that it writes into them; every row begins on the grid
    of the layout, so that bits do not depend on the cohort. Numbers are copied out and in around each step.

    Parameters
    ----------
    name : str
        Of the class, for the error message.
    optimizer : torch.optim.Optimizer
        Of copies of one member's parameters: it takes two steps to show its state.
    parameters : list of nn.Parameter
        The copies.
    """

    def __init__(self, name: str, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
        self._name = name
        kinds = []
        for _ in range(2):
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, 1e-3)
            optimizer.step()
            leaves, self._template = _leaves(optimizer)
            kinds.append({path: _kind(value) for path, value in leaves.items()})
        self._tensors = {path: value for path, value in leaves.items() if isinstance(value, Tensor)}
        self._numbers = {path: type(value) for path, value in leaves.items() if path not in self._tensors}
        self._kinds = kinds[1]
        if kinds[0] != kinds[1]:
            self._refuse()

    def _refuse(self) -> None:
        raise ValueError(
            f"The state of {self._name} changes its shape from step to step, so it cannot be kept for each member. "
            "Use another optimizer."
        )

    def start(self, members: int) -> State:
        """Return the rows before the first step."""
        rows = {path: value.new_zeros(members, padded(value.numel())) for path, value in self._tensors.items()}
        width = 1 + len(self._kinds) + len(self._numbers)
        return rows | {NUMBERS: torch.zeros(members, width, dtype=torch.float64)}

    def _row(self, state: State, path: str, k: int) -> Tensor:
        like = self._tensors[path]
        return state[path][k, : like.numel()].view(like.shape)

    def load(self, optimizer: torch.optim.Optimizer, state: State, k: int) -> None:
        """Give member k's state to its optimizer, but for one that has not taken a step yet."""
        started, *values = state[NUMBERS][k].tolist()
        if not started:
            return
        there = dict(zip(self._kinds, values, strict=False))
        numbers = dict(zip(self._numbers, values[len(there) :], strict=True))

        def insert(path: str, value: Any) -> Any:
            if path not in self._kinds:
                return value
            if not there[path]:
                return ABSENT
            return self._row(state, path, k) if path in self._tensors else self._numbers[path](numbers[path])

        _fill(optimizer, self._template, insert)

    def store(self, optimizer: torch.optim.Optimizer, state: State, k: int) -> None:
        """Take over what member k's optimizer knows after its step."""
        leaves, _ = _leaves(optimizer)
        for path, value in leaves.items():
            if self._kinds.get(path) != _kind(value):
                self._refuse()
            if isinstance(value, Tensor):
                row = self._row(state, path, k)
                if row.data_ptr() != value.data_ptr():
                    row.copy_(value)
        there = [float(path in leaves) for path in self._kinds]
        numbers = [float(leaves.get(path, 0.0)) for path in self._numbers]
        state[NUMBERS][k] = torch.tensor([1.0, *there, *numbers], dtype=torch.float64)


def _kind(value: Any) -> Any:
    return value.shape if isinstance(value, Tensor) else "number"


def _leaves(optimizer: torch.optim.Optimizer) -> tuple[Leaves, list[Any]]:
    """Return the tensors and numbers of state and groups by their path, and the containers that hold them."""
    leaves: Leaves = {}

    def note(path: str, value: Any) -> Any:
        if isinstance(value, Tensor | bool | int | float):
            leaves[path] = value
        return value

    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = [_map(str(i), dict(optimizer.state.get(parameter, {})), note) for i, parameter in enumerate(parameters)]
    groups = [
        _map(f"group.{i}", {key: value for key, value in group.items() if key not in ("params", "lr")}, note)
        for i, group in enumerate(optimizer.param_groups)
    ]
    return leaves, [states, groups]


def _fill(optimizer: torch.optim.Optimizer, template: list[Any], insert: Visit) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states, groups = template
    for i, (parameter, known) in enumerate(zip(parameters, states, strict=True)):
        optimizer.state[parameter] = _map(str(i), known, insert)
    for i, (group, known) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        group.update(_map(f"group.{i}", known, insert))


def _map(path: str, value: Any, visit: Visit) -> Any:
    """Return the same containers with each leaf as `visit` gives it, without those that are absent."""
    if isinstance(value, dict):
        items = {key: _map(f"{path}.{key}", item, visit) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not ABSENT}
    if type(value) in (list, tuple):
        mapped = (_map(f"{path}.{i}", item, visit) for i, item in enumerate(value))
        return type(value)(item for item in mapped if item is not ABSENT)
    return visit(path, value)
