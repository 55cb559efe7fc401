"""The state of torch's optimizers as tensors with a leading axis of members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Mirror"]

NUMBERS = "numbers"
"""Name of the tensor that holds Python's numbers, the first of which says whether the member has taken a step."""

Visit = Callable[[str, Any], Any]


class Mirror:
    """Keeps each member's state in rows of tensors, whatever becomes of the optimizer object in between.

    Tensors of an optimizer's state are views of these rows, so that it writes into them; numbers are copied out
    and in around each step.

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
        shapes = []
        for _ in range(2):
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, 1e-3)
            optimizer.step()
            tensors: dict[str, Tensor] = {}
            numbers: dict[str, type] = {}

            def note(path: str, value: Any, tensors: Any = tensors, numbers: Any = numbers) -> Any:
                if isinstance(value, Tensor):
                    tensors[path] = value
                elif isinstance(value, bool | int | float):
                    numbers[path] = type(value)
                return value

            self._template = _walk(optimizer, note)
            shapes.append(({path: tensor.shape for path, tensor in tensors.items()}, set(numbers)))
        self._tensors, self._numbers = tensors, list(numbers.items())
        if shapes[0] != shapes[1]:
            self._refuse()

    def _refuse(self) -> None:
        raise ValueError(
            f"The state of {self._name} changes its shape from step to step, so it cannot be kept for each member. "
            "Use another optimizer."
        )

    def start(self, members: int) -> dict[str, Tensor]:
        """Return the rows before the first step."""
        rows = {path: value.new_zeros((members, *value.shape)) for path, value in self._tensors.items()}
        return rows | {NUMBERS: torch.zeros(members, 1 + len(self._numbers), dtype=torch.float64)}

    def load(self, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor], k: int) -> None:
        """Give member k's state to its optimizer, but for one that has not taken a step yet."""
        started, *values = state[NUMBERS][k].tolist()
        if not started:
            return
        numbers = {path: kind(value) for (path, kind), value in zip(self._numbers, values, strict=True)}

        def insert(path: str, value: Any) -> Any:
            if path in self._tensors:
                return state[path][k]
            return numbers.get(path, value)

        _fill(optimizer, self._template, insert)

    def store(self, optimizer: torch.optim.Optimizer, state: Mapping[str, Tensor], k: int) -> None:
        """Take over what member k's optimizer knows after its step."""
        numbers = {path: 0.0 for path, _ in self._numbers}
        found = 0

        def note(path: str, value: Any) -> Any:
            nonlocal found
            if isinstance(value, Tensor):
                row = state.get(path)
                if row is None or row.shape[1:] != value.shape:
                    self._refuse()
                elif row[k].data_ptr() != value.data_ptr():
                    row[k].copy_(value)
                found += 1
            elif isinstance(value, bool | int | float):
                found += path in numbers
                numbers[path] = float(value)
            return value

        _walk(optimizer, note)
        if found != len(self._tensors) + len(self._numbers) or len(numbers) != len(self._numbers):
            self._refuse()
        state[NUMBERS][k] = torch.tensor([1.0, *numbers.values()], dtype=torch.float64)


def _walk(optimizer: torch.optim.Optimizer, visit: Visit) -> list[Any]:
    """Return state and groups as nested containers, each leaf as `visit` returns it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = [_map(str(i), dict(optimizer.state.get(parameter, {})), visit) for i, parameter in enumerate(parameters)]
    groups = [
        _map(f"group.{i}", {key: value for key, value in group.items() if key not in ("params", "lr")}, visit)
        for i, group in enumerate(optimizer.param_groups)
    ]
    return [states, groups]


def _fill(optimizer: torch.optim.Optimizer, template: list[Any], insert: Visit) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states, groups = template
    for i, (parameter, known) in enumerate(zip(parameters, states, strict=True)):
        optimizer.state[parameter] = _map(str(i), known, insert)
    for i, (group, known) in enumerate(zip(optimizer.param_groups, groups, strict=True)):
        group.update(_map(f"group.{i}", known, insert))


def _map(path: str, value: Any, visit: Visit) -> Any:
    if isinstance(value, dict):
        return {key: _map(f"{path}.{key}", item, visit) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_map(f"{path}.{i}", item, visit) for i, item in enumerate(value))
    return visit(path, value)
