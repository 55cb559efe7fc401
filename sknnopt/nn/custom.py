"""Any ``torch.nn.Module`` as a member's network, through torch's autograd."""

import copy
import re
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sknnopt._layout import Layout
from sknnopt._random import MemberRandom
from sknnopt.initializers import Initializer
from sknnopt.nn._factory import USE_A_FACTORY, refuse_lazy
from sknnopt.nn._layer import Pass
from sknnopt.nn._network import load_member
from sknnopt.nn._workspace import Rows, Workspace


def _refuse_untrainable(module: nn.Module) -> None:
    frozen = sum(1 for _ in module.parameters())
    why = (
        f"All its {frozen} are frozen (requires_grad=False)."
        if frozen
        else "Layers must be attributes of the module, several of them in an nn.ModuleList."
    )
    raise ValueError(
        f"The network {type(module).__name__} has no trainable parameters. {why} It must map n_inputs encoded inputs"
        f" a row to scores. {USE_A_FACTORY}"
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
    heads = 1

    def __init__(self, module: nn.Module, n_outputs: int) -> None:
        self._module = module
        self.n_outputs = n_outputs
        refuse_lazy(module)
        trained = [(name, tuple(p.shape)) for name, p in module.named_parameters() if p.requires_grad]
        if not trained:
            _refuse_untrainable(module)
        self.layout = Layout(
            [(name, shape) for name, shape in trained if len(shape) >= 2],
            [(name, shape) for name, shape in trained if len(shape) < 2],
        )
        statistics = [(name, tuple(b.shape)) for name, b in module.named_buffers() if b.is_floating_point()]
        self.buffers = Layout([], statistics)

    @property
    def multiply_adds(self) -> int:
        """The number of its weights."""
        return self.layout.weight_size

    @property
    def row_size(self) -> int:
        """The number of its units."""
        return sum(block.shape[0] if block.shape else 1 for block in self.layout.blocks.values())

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
        """Copy values into the module's own parameters and buffers, also those that are not trained.

        A buffer that has another shape by now, or was None before, takes the value's.
        """
        own = {**dict(self._module.named_parameters(remove_duplicate=False)), **dict(self._module.named_buffers())}
        device = next(self._module.parameters()).device
        with torch.no_grad():
            for name, value in values.items():
                if name in own and own[name].shape == value.shape:
                    own[name].copy_(value)
                else:
                    owner, _, leaf = name.rpartition(".")
                    setattr(self._module.get_submodule(owner), leaf, value.to(device, copy=True))

    def counters(self) -> dict[str, Tensor]:
        """Return the module's buffers of whole numbers, which are no part of `buffers`."""
        return {name: value for name, value in self._module.named_buffers() if name not in self.buffers.blocks}

    def frozen(self) -> dict[str, Tensor]:
        """Return the module's parameters that are not trained, which nothing changes but code of its own."""
        return {name: p.detach() for name, p in self._module.named_parameters() if name not in self.layout.blocks}

    def attributes(self) -> dict[str, Any]:
        """Return what the modules have besides parameters, buffers and modules, and their classes.

        Tensors of torch's own modules are left out: they are made of the parameters, as for a spectral norm.
        """
        ours = {"_parameters", "_buffers", "_modules", "training", "_flat_weights", "_flat_weight_refs"}
        classes = {name: type(module) for name, module in self._module.named_modules()}
        return classes | {
            f"{name}.{key}": value
            for name, module in self._module.named_modules()
            for key, value in vars(module).items()
            if key not in ours and not (isinstance(value, Tensor) and type(module).__module__.startswith("torch."))
        }

    def bind(
        self,
        parameters: Tensor,
        gradients: Tensor | None,
        buffers: Tensor,
        space: Workspace,
        *,
        dropout: Sequence[Sequence[float]],
        random: Sequence[MemberRandom],
        depth_rates: Sequence[float] = (),
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


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


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
        self._random: Tensor | None = None
        self._kept: list[Tensor] = []
        self._held: list[nn.Module] = []

    def hold(self, names: Sequence[Collection[str]]) -> None:
        """Let the layers of these buffers work as outside training; they are the member's only."""
        owners = {name.rpartition(".")[0] for name in names[0]}
        self._held = [layer for name, layer in self._module.named_modules() if name in owners]

    def forward(self, x: Tensor, step: Pass) -> Rows:
        """Return the module's scores as (1, O, B)."""
        if not step.again:
            if step.training:
                self._random = _random_state(x.device)
            return self._forward(x, step)
        assert self._random is not None
        after, self._kept = _random_state(x.device), [value.clone() for value in self._module.buffers()]
        _set_random_state(self._random, x.device)  # the module draws what it drew the first time
        out = self._forward(x, step)
        _set_random_state(after, x.device)
        return out

    def _forward(self, x: Tensor, step: Pass) -> Rows:
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
                f" encoded inputs a row, shape {tuple(rows.shape)}, and torch says: {error}. {USE_A_FACTORY}"
            ) from error
        except ValueError as error:
            if len(rows) > 1 or not self._module.training or "more than 1 value" not in str(error):
                raise
            raise ValueError(
                f"The network {type(self._module).__name__} normalises over the rows of a batch, and a batch has one "
                f"row alone: set batch_size to at least 2, and train on more than one row. torch says: {error}"
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
        for buffer, kept in zip(self._module.buffers(), self._kept, strict=False):
            buffer.copy_(kept)  # statistics do not follow a batch twice
        self._kept = []

    def set_dropout(self, rates: Sequence[Sequence[float]]) -> None:
        """Nothing to do: a module has dropout of its own."""

    def sync(self) -> None:
        """Copy the module's statistics into the flat buffers."""
        own = dict(self._module.named_buffers())
        for name, value in self._statistics.items():
            value.copy_(own[name])
