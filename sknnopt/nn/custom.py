"""Any ``torch.nn.Module`` as a member's network, through torch's autograd."""

import copy
import inspect
import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sknnopt._choices import Choice
from sknnopt._layout import Layout
from sknnopt._random import MemberRandom
from sknnopt.initializers import Initializer
from sknnopt.nn._layer import Pass
from sknnopt.nn._network import load_member
from sknnopt.nn._workspace import Rows, Workspace


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
            _refuse_lazy(module, n_inputs)
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


_USE_A_FACTORY = (
    "Use a factory that takes the sizes, such as network=lambda n_inputs, n_outputs: nn.Linear(n_inputs, n_outputs)."
)


def _refuse_lazy(module: nn.Module, n_inputs: int | None = None) -> None:
    lazy = [name for name, p in (*module.named_parameters(), *module.named_buffers()) if is_lazy(p)]
    if lazy:
        given = "n_inputs" if n_inputs is None else f"n_inputs={n_inputs}"
        raise ValueError(
            f"The network {type(module).__name__} has lazy modules, whose shapes are not known yet: {', '.join(lazy)}."
            f" It will be given {given} encoded inputs a row. {_USE_A_FACTORY}"
        )


def _refuse_untrainable(module: nn.Module) -> None:
    frozen = sum(1 for _ in module.parameters())
    why = (
        f"All its {frozen} are frozen (requires_grad=False)."
        if frozen
        else "Layers must be attributes of the module, several of them in an nn.ModuleList."
    )
    raise ValueError(
        f"The network {type(module).__name__} has no trainable parameters. {why} It must map n_inputs encoded inputs"
        f" a row to scores. {_USE_A_FACTORY}"
    )


def _is_about_shapes(error: RuntimeError) -> bool:
    words = re.search(r"mat1|shape|size|channels|dimension|elements", str(error))
    return words is not None and "dtype" not in str(error) and not isinstance(error, torch.OutOfMemoryError)


class CustomNetwork:
    """A user's module in the place of a stacked network: one member, torch's autograd.

    Parameters
    ----------
    module : nn.Module
        Takes encoded rows (B, F) and returns scores (B, O) or, for one output, (B,). Trained itself, not a copy.
    n_outputs : int

    Raises
    ------
    ValueError
        For a module with lazy parameters, or without trainable ones.
    """

    stackable = False

    def __init__(self, module: nn.Module, n_outputs: int) -> None:
        self._module = module
        self.n_outputs = n_outputs
        _refuse_lazy(module)
        trained = [(name, tuple(p.shape)) for name, p in module.named_parameters() if p.requires_grad]
        if not trained:
            _refuse_untrainable(module)
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

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Copy values into the module's own parameters and buffers, also those that are not trained."""
        own = {**dict(self._module.named_parameters(remove_duplicate=False)), **dict(self._module.named_buffers())}
        with torch.no_grad():
            for name, value in values.items():
                own[name].copy_(value)

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
        self._ran = False
        self._held: list[nn.Module] = []

    def hold(self, names: Sequence[Collection[str]]) -> None:
        """Let the layers of these buffers work as outside training; they are the member's only."""
        owners = {name.rpartition(".")[0] for name in names[0]}
        self._held = [layer for name, layer in self._module.named_modules() if name in owners]

    def forward(self, x: Tensor, step: Pass) -> Rows:
        """Return the module's scores as (1, O, B)."""
        self._module.train(step.training)
        for layer in self._held:
            layer.training = False
        low = torch.autocast(x.device.type, self._products, enabled=self._products is not None and step.training)
        with torch.set_grad_enabled(step.training), low:
            scores = self._checked(self._run(x[0]), len(x[0])).to(x.dtype)
        self._scores = scores if step.training else None
        view = scores.detach().T.unsqueeze(0)
        return Rows(view, view)

    def _run(self, rows: Tensor) -> Any:
        try:
            scores = self._module(rows)
        except RuntimeError as error:
            if self._ran or not _is_about_shapes(error):
                raise
            n_inputs = ", ".join(map(str, rows.shape[1:]))
            raise ValueError(
                f"The network {type(self._module).__name__} does not fit its rows: it is given n_inputs={n_inputs}"
                f" encoded inputs a row, shape {tuple(rows.shape)}, and torch says: {error}. {_USE_A_FACTORY}"
            ) from error
        self._ran = True
        return scores

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
