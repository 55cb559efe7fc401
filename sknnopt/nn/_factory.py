"""Module classes and factories with their keyword arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from sknnopt._choices import Choice

USE_A_FACTORY = (
    "Use a factory that takes the sizes, such as network=lambda n_inputs, n_outputs: nn.Linear(n_inputs, n_outputs)."
)


def refuse_lazy(module: nn.Module, n_inputs: int | None = None) -> None:
    lazy = [name for name, p in (*module.named_parameters(), *module.named_buffers()) if is_lazy(p)]
    if lazy:
        given = "n_inputs" if n_inputs is None else f"n_inputs={n_inputs}"
        raise ValueError(
            f"The network {type(module).__name__} has lazy modules, whose shapes are not known yet: {', '.join(lazy)}."
            f" It will be given {given} encoded inputs a row. {USE_A_FACTORY}"
        )


class Module(Choice):
    """A module class or factory with its keyword arguments, for ``network=``.

    Parameters
    ----------
    factory : callable
        Returns the ``nn.Module``. Called with ``n_inputs`` and ``n_outputs`` where it takes them; where it requires
        two arguments of other names, or takes ``*args``, they are these two, in this order.
    **parameters
        Its other keyword arguments, searchable as ``network__<name>``.

    Examples
    --------
    >>> from torch import nn
    >>> from sknnopt.nn import Module
    >>> def net(n_inputs, n_outputs, width):
    ...     return nn.Sequential(nn.Linear(n_inputs, width), nn.ReLU(), nn.Linear(width, n_outputs))
    >>> Module(net, width=16).set_params(width=32).build(4, 3)[0]
    Linear(in_features=4, out_features=32, bias=True)
    """

    def __init__(self, factory: Callable[..., nn.Module], **parameters: Any) -> None:
        self.factory = factory
        self.parameters = parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the factory and its keyword arguments."""
        return {"factory": self.factory, **self.parameters}

    def set_params(self, **params: Any) -> "Module":
        """Set the factory or its keyword arguments; names the factory does not take raise ValueError."""
        for name, value in params.items():
            if name == "factory":
                self.factory = value
                continue
            if not _takes(self.factory, name):
                raise ValueError(f"Invalid parameter {name!r} for the network factory {self.factory!r}.")
            self.parameters = {**self.parameters, name: value}
        return self

    def build(self, n_inputs: int, n_outputs: int) -> nn.Module:
        """Return a new module."""
        sizes = {"n_inputs": n_inputs, "n_outputs": n_outputs}
        args, kwargs = self._arguments(sizes)
        module = self.factory(*args, **{**kwargs, **self.parameters})
        if isinstance(module, nn.Module):
            refuse_lazy(module, n_inputs)
        return module

    def _arguments(self, sizes: Mapping[str, int]) -> tuple[list[int], dict[str, int]]:
        known = _signature(self.factory)
        required = [p for p in _required_positional(self.factory) if p.name not in self.parameters]
        if len(required) == 2 and not all(name in known for name in sizes):
            rest = {name: size for name, size in sizes.items() if name not in {p.name for p in required}}
            left = iter(rest.values())
            values = [(p, sizes[p.name] if p.name in sizes else next(left)) for p in required]
            args = [value for p, value in values if p.kind is p.POSITIONAL_ONLY]
            return args, {p.name: value for p, value in values if p.kind is not p.POSITIONAL_ONLY}
        taken = {name: size for name, size in sizes.items() if _takes(self.factory, name)}
        if not taken and not required and any(p.kind is p.VAR_POSITIONAL for p in known.values()):
            return list(sizes.values()), {}
        return [], taken


def _signature(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}


def _takes(factory: Callable[..., Any], name: str) -> bool:
    parameters = _signature(factory)
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _required_positional(factory: Callable[..., Any]) -> list[inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in _signature(factory).values() if p.kind in kinds and p.default is p.empty]
