"""Any ``torch.nn.Module`` as a member's network, through torch's autograd."""

import copy
import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sknnopt._choices import Choice
from sknnopt._random import MemberRandom
from sknnopt.initializers import Initializer
from sknnopt.nn._layer import Pass
from sknnopt.nn._layout import Layout
from sknnopt.nn._network import load_member
from sknnopt.nn._workspace import Rows, Workspace


class Module(Choice):
    """A module class or factory with its keyword arguments, for ``network=``.

    Parameters
    ----------
    factory : callable
        Returns the ``nn.Module``. Called with ``n_inputs`` and ``n_outputs`` where it takes them.
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
        if all(_takes(self.factory, name) for name in sizes):
            return self.factory(**{**sizes, **self.parameters})
        if not self.parameters and _required_positional(self.factory) == 2:
            return self.factory(n_inputs, n_outputs)
        taken = {name: value for name, value in sizes.items() if _takes(self.factory, name)}
        return self.factory(**{**taken, **self.parameters})


def _signature(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}


def _takes(factory: Callable[..., Any], name: str) -> bool:
    parameters = _signature(factory)
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _required_positional(factory: Callable[..., Any]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in _signature(factory).values())


class CustomNetwork:
    """A user's module in the place of a stacked network: one member, torch's autograd.

    Parameters
    ----------
    module : nn.Module
        Takes encoded rows (B, F) and returns scores (B, O) or, for one output, (B,). Trained itself, not a copy.
    n_outputs : int
    """

    stackable = False

    def __init__(self, module: nn.Module, n_outputs: int) -> None:
        self._module = module
        self.n_outputs = n_outputs
        trained = [(name, tuple(p.shape)) for name, p in module.named_parameters() if p.requires_grad]
        self.layout = Layout(
            [(name, shape) for name, shape in trained if len(shape) >= 2],
            [(name, shape) for name, shape in trained if len(shape) < 2],
        )
        statistics = [(name, tuple(b.shape)) for name, b in module.named_buffers() if b.is_floating_point()]
        self.buffers = Layout([], statistics)

    def structure(self) -> Hashable:
        """Return the module's identity: it shares a cohort with nobody."""
        return ("custom", id(self._module))

    def initialize(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        initializer: Initializer | None,
        random: MemberRandom,
    ) -> None:
        """Copy the module's own values; with an initializer, draw every weight of two or more axes anew."""
        own, statistics = dict(self._module.named_parameters()), dict(self._module.named_buffers())
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(own[name])
                if initializer is not None and value.ndim >= 2:
                    initializer(value.flatten(1), generator=random.initial, gain=1.0)
            for name, value in buffers.items():
                value.copy_(statistics[name])

    def bind(
        self,
        parameters: Tensor,
        gradients: Tensor | None,
        buffers: Tensor,
        space: Workspace,
        *,
        dropout: Sequence[Sequence[float]],
        random: Sequence[MemberRandom],
    ) -> "BoundModule":
        """Let the module's parameters be views of the flat vector (1, P) and return it ready to train."""
        self._module.to(device=parameters.device, dtype=parameters.dtype)
        views = {name: value[0] for name, value in self.layout.views(parameters).items()}
        load_member(self._module, views, {})
        statistics = {name: value[0] for name, value in self.buffers.views(buffers).items()}
        slopes = None if gradients is None else self.layout.views(gradients)
        return BoundModule(self._module, self.n_outputs, slopes, statistics, space.products)

    def module(self) -> nn.Module:
        """Return a copy of the module."""
        return copy.deepcopy(self._module)


class BoundModule:
    """A module bound to flat parameters; see :class:`~sknnopt.nn._network.BoundNetwork`."""

    def __init__(
        self,
        module: nn.Module,
        n_outputs: int,
        gradients: Mapping[str, Tensor] | None,
        statistics: Mapping[str, Tensor],
        products: torch.dtype | None,
    ) -> None:
        self._module, self._n_outputs = module, n_outputs
        self._products = products
        self._statistics = statistics
        self._gradients = gradients
        self._scores: Tensor | None = None

    def forward(self, x: Tensor, step: Pass) -> Rows:
        """Return the module's scores as (1, O, B)."""
        self._module.train(step.training)
        low = torch.autocast(x.device.type, self._products, enabled=self._products is not None and step.training)
        with torch.set_grad_enabled(step.training), low:
            scores = self._checked(self._module(x[0]), len(x[0])).to(x.dtype)
        self._scores = scores if step.training else None
        view = scores.detach().T.unsqueeze(0)
        return Rows(view, view)

    def _checked(self, scores: Any, rows: int) -> Tensor:
        if isinstance(scores, Tensor) and scores.shape == (rows,) and self._n_outputs == 1:
            scores = scores.unsqueeze(1)
        if not isinstance(scores, Tensor) or scores.shape != (rows, self._n_outputs):
            got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                f"The network must return one score a row and output, shape ({rows}, {self._n_outputs}), got {got}."
            )
        return scores

    def backward(self, gradient: Rows) -> None:
        """Run autograd from the scores' gradient; parameters the scores do not depend on get zero."""
        assert self._gradients is not None
        assert self._scores is not None
        names = list(self._gradients)
        parameters = dict(self._module.named_parameters())
        grads = torch.autograd.grad(
            self._scores, [parameters[name] for name in names], gradient.view[0].T, allow_unused=True
        )
        for name, value in zip(names, grads, strict=True):
            if value is None:
                self._gradients[name].zero_()
            else:
                self._gradients[name][0].copy_(value)
        self._scores = None

    def sync(self) -> None:
        """Copy the module's statistics into the flat buffers."""
        own = dict(self._module.named_buffers())
        for name, value in self._statistics.items():
            value.copy_(own[name])
