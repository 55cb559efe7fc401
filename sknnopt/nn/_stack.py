"""Networks that are known by the list of their parts."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

from sknnopt._layout import Layout
from sknnopt._random import MemberRandom
from sknnopt.activations import Activation
from sknnopt.initializers import Initializer
from sknnopt.nn._elementwise import Dropout
from sknnopt.nn._inputs import Inputs
from sknnopt.nn._layer import Layer, Pass
from sknnopt.nn._normalization import BatchNorm
from sknnopt.nn._parts import Binding, Normalization, Part, Rowset, bound, modules
from sknnopt.nn._workspace import Rows, Workspace

Value = TypeVar("Value")


class _Lazy(Generic[Value]):
    """A property that is computed once; unlike Python 3.11's own without a lock, which a forked child could find held.

    Threads may compute it at the same time: each gets an equal value.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute, self._name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> Value:
        if owner is None:
            return self  # type: ignore[return-value]
        made: Value = owner.__dict__.setdefault(self._name, self._compute(owner))
        return made


@dataclass(frozen=True)
class StackedNetwork(ABC):
    """Base of the networks of K members at once; see :class:`~sknnopt.nn.Network`.

    Attributes
    ----------
    n_inputs : int
    hidden : tuple of int
        What the network makes of ``hidden_layer_sizes``.
    n_outputs : int
    activation : Activation
    normalization : {"batch", "layer"} or None
    dropout : tuple of float
        This member's rates; in a cohort only whether one is zero must agree.
    scaled : bool
        Whether dense layers divide by the square root of their inputs' number: the NTK parametrisation.
    inputs : Inputs or None
        How columns are embedded; None leaves them as they are.
    """

    n_inputs: int
    hidden: tuple[int, ...]
    n_outputs: int
    activation: Activation
    normalization: Normalization
    dropout: tuple[float, ...]
    scaled: bool = False
    inputs: Inputs | None = None

    stackable = True

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is computed on first use."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def heads(self) -> int:
        """How many predictions of a row are trained, whose average is the network's."""
        return 1

    @property
    def multiply_adds(self) -> int:
        """Multiplications of a row's forward pass."""
        return self.layout.weight_size + self._front_multiply_adds

    @property
    def row_size(self) -> int:
        """About how many numbers a row becomes in a forward pass."""
        return sum(_row_size(block.shape) for block in self.layout.blocks.values())

    @abstractmethod
    def _parts(self) -> Iterator[Part]:
        """Yield the parts in the order of the forward pass."""

    def structure(self) -> Hashable:
        """Return what two networks must share to be stacked: all but the rates of dropout that are not zero."""
        drops = tuple(rate > 0 for rate in self.dropout)
        sizes = (self.n_inputs, self.hidden, self.n_outputs)
        inputs = None if self.inputs is None else self.inputs.structure()
        return (type(self), *sizes, self.activation.key(), self.normalization, drops, self.scaled, inputs)

    @property
    def n_features(self) -> int:
        """Inputs of the first dense layer: the columns once they are embedded."""
        return self.n_inputs if self.inputs is None else self.inputs.width(self.n_inputs)

    def _front(self) -> Iterator[Part]:
        """Yield the parts before the first dense layer, which then has to hand them its gradient."""
        if self.inputs is not None:
            yield from self.inputs.parts(self.n_inputs)

    @property
    def _front_multiply_adds(self) -> int:
        return sum(math.prod(shape) for shape in self._front_shapes() if len(shape) >= 2)

    @property
    def _front_row_size(self) -> int:
        return sum(_row_size(shape) for shape in self._front_shapes())

    def _front_shapes(self) -> list[tuple[int, ...]]:
        return [shape for part in self._front() for _, shape in part.others()]

    @property
    def learns(self) -> bool:
        """Whether the network takes statistics from training rows; see :meth:`learn`."""
        return any(part.learns for part in self.parts)

    def learn(self, buffers: Mapping[str, Tensor], rows: Rowset) -> None:
        """Fill the buffers that hold statistics of the member's training rows."""
        for part in self.parts:
            if part.learns:
                part.learn(buffers, rows)

    @_Lazy
    def parts(self) -> tuple[Part, ...]:
        """The network, part by part."""
        return tuple(self._parts())

    @_Lazy
    def layout(self) -> Layout:
        """Weights of all dense layers, then their biases, then the parameters of normalisation and activations."""
        weights, biases, others = (
            list(chain.from_iterable(getattr(part, kind)() for part in self.parts))
            for kind in ("weights", "biases", "others")
        )
        return Layout(weights, biases + others)

    @_Lazy
    def buffers(self) -> Layout:
        """Running statistics of batch normalisation."""
        return Layout([], chain.from_iterable(part.buffers() for part in self.parts))

    def initialize(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        initializer: Initializer | None,
        random: MemberRandom,
    ) -> None:
        """Draw the weights, layer by layer, from the member's generator; biases are zero, normalisation is neutral."""
        assert initializer is not None
        for part in self.parts:
            part.initialize({**parameters, **buffers}, initializer, random)

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
    ) -> "BoundStack":
        """Return the stack of K networks over these vectors."""
        slopes = None if gradients is None else self.layout.views(gradients)
        views, statistics = self.layout.views(parameters), self.buffers.views(buffers)
        binding = Binding(views, slopes, statistics, space, dropout, depth_rates, random)
        return BoundStack(self._bound(binding), self.n_inputs, binding.dropouts, binding.normalizations)

    def _bound(self, binding: Binding) -> list[Layer]:
        """Return the layers of the parts."""
        return bound(self.parts, binding)

    def module(self) -> nn.Module:
        """Return a :class:`torch.nn.Sequential` of plain modules, their parameters not yet filled."""
        return nn.Sequential(modules(self.parts))


def _row_size(shape: tuple[int, ...]) -> int:
    """Return how many numbers of a row a parameter has to do with; of an embedding (C, D, T) C D and C T."""
    return shape[0] if len(shape) < 3 else shape[0] * sum(shape[1:])


class BoundStack:
    """The layers of K networks, bound to their parameters.

    Parameters
    ----------
    layers : list of Layer
    features : int
        F, columns of the rows that count.
    dropouts : list of (int, Dropout)
        The layers of dropout among them, with the hidden layers whose rates they take.
    normalizations : list of BatchNorm
        Those with running statistics.
    """

    def __init__(
        self,
        layers: list[Layer],
        features: int,
        dropouts: list[tuple[int, Dropout]],
        normalizations: list[BatchNorm],
    ) -> None:
        self._layers, self._features = layers, features
        self._dropouts, self._normalizations = dropouts, normalizations
        self._reversed = layers[::-1]
        self._inputs: dict[int, Rows] = {}

    def forward(self, x: Tensor, step: Pass) -> Rows:
        """Return the scores, view (K, O, B), of the rows ``x`` (K, B, F), which columns of zeros may follow.

        In training they are those of all heads, (K, O, H B).
        """
        rows = self._inputs.get(id(x))
        if rows is None:
            rows = self._inputs[id(x)] = Rows(x, x[..., : self._features].transpose(1, 2))
        for layer in self._layers:
            rows = layer.forward(rows, step)
        return rows

    def backward(self, gradient: Rows) -> None:
        """Write the gradients of all parameters."""
        for layer in self._reversed:
            gradient = layer.backward(gradient)

    def set_dropout(self, rates: Sequence[Sequence[float]]) -> None:
        """Take other rates of dropout: each member's, for each hidden layer."""
        for index, layer in self._dropouts:
            layer.set_rates([own[index] for own in rates])

    def hold(self, names: Sequence[Collection[str]]) -> None:
        """Let each member keep the running statistics of these names, and be normalised by them."""
        for layer in self._normalizations:
            held = [f"{layer.name}.running_mean" in own for own in names]
            if any(held):
                layer.hold(held)

    def sync(self) -> None:
        """Nothing to do: the running statistics live in the flat buffers."""
