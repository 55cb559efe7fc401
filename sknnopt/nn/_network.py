"""What the engine asks of a network."""

import copy
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn

from sknnopt._layout import Layout
from sknnopt._random import MemberRandom
from sknnopt.initializers import Initializer
from sknnopt.nn._layer import Pass
from sknnopt.nn._workspace import Rows, Workspace


class BoundNetwork(Protocol):
    """A network bound to the flat vectors of K members and to a workspace of B rows."""

    def forward(self, x: Tensor, step: Pass) -> Rows:
        """Return the scores, view (K, O, B), of the rows ``x`` (K, B, F).

        Of a network of H heads they are, in training, every head's, (K, O, H B), one head's after the other's.
        """

    def backward(self, gradient: Rows) -> None:
        """Write the gradients of all parameters, given that of the scores."""

    def set_dropout(self, rates: Sequence[Sequence[float]]) -> None:
        """Take other rates of dropout: each member's, for each hidden layer."""

    def hold(self, names: Sequence[Collection[str]]) -> None:
        """Let each member's normalisation layers work by their running statistics, and these stay as they are.

        Parameters
        ----------
        names : sequence of K collections of str
            Those of the buffers to keep.
        """

    def sync(self) -> None:
        """Bring the flat buffers up to date with what the network keeps elsewhere."""


class Network(Protocol):
    """The shape of a member's network and how to build it.

    Attributes
    ----------
    n_outputs : int
        O, the number of scores a row.
    layout, buffers : Layout
        Trained parameters, and statistics that training leaves behind.
    stackable : bool
        True if K > 1 members can be bound at once. Only then are short batches padded.
    heads : int
        H, the number of predictions of a row that are trained, each by its own loss; their average is what is judged.
    multiply_adds, row_size : int
        Of a row's forward pass, the multiplications and about how many numbers it becomes.
    """

    @property
    def n_outputs(self) -> int: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def buffers(self) -> Layout: ...

    @property
    def stackable(self) -> bool: ...

    @property
    def heads(self) -> int: ...

    @property
    def multiply_adds(self) -> int: ...

    @property
    def row_size(self) -> int: ...

    def structure(self) -> Hashable:
        """Return what two networks must share to be stacked."""

    def initialize(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], initializer: Initializer | None,
        random: MemberRandom,
    ) -> None:  # fmt: skip
        """Fill one member's parameters and buffers, each of its own shape."""

    def bind(
        self, parameters: Tensor, gradients: Tensor | None, buffers: Tensor, space: Workspace,
        *, dropout: Sequence[Sequence[float]], random: Sequence[MemberRandom], depth_rates: Sequence[float] = (),
    ) -> BoundNetwork:  # fmt: skip
        """Return the network of K members over these flat vectors (K, P), (K, P) and (K, Q).

        ``dropout`` gives each member's rate for each hidden layer, ``depth_rates`` each member's rate of stochastic
        depth for the last residual block (those before have less, in proportion to their number), empty for none.
        Without ``gradients`` only evaluation is possible.
        """

    def module(self) -> nn.Module:
        """Return a plain module whose parameters and buffers have the names and shapes of the layouts.

        Their values are undefined until :func:`load_member` fills them.
        """


def copy_of(module: nn.Module) -> nn.Module:
    """Return a copy of a module whose tensors may be views of larger ones, with tensors of its own."""
    out = copy.deepcopy(module)
    for owner in out.modules():
        for name, value in owner.named_buffers(recurse=False):
            setattr(owner, name, value.clone())
    return out


def load_member(module: nn.Module, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor]) -> None:
    """Let ``module`` hold these tensors themselves (not copies), by name; parameters tied to them follow."""
    own = dict(module.named_parameters())
    for name, value in parameters.items():
        if own[name].is_meta:
            owner, _, leaf = name.rpartition(".")
            module.get_submodule(owner).register_parameter(leaf, nn.Parameter(value))
        else:
            own[name].data = value
    for name, value in buffers.items():
        owner, _, leaf = name.rpartition(".")
        module.get_submodule(owner).register_buffer(leaf, value)
