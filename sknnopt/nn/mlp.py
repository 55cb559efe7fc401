"""The multilayer perceptron, K at once."""

from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from sknnopt._layout import Layout
from sknnopt._random import MemberRandom
from sknnopt.activations import Activation
from sknnopt.initializers import Initializer
from sknnopt.nn._dense import Dense
from sknnopt.nn._elementwise import Activate, Dropout
from sknnopt.nn._layer import Layer, Pass
from sknnopt.nn._normalization import EPSILON, MOMENTUM, BatchNorm, LayerNorm
from sknnopt.nn._workspace import Rows, Workspace

Normalization = Literal["batch", "layer"] | None


@dataclass(frozen=True)
class MLP:
    """Hidden layers of dense, normalisation, activation and dropout, then a dense output layer.

    Parameters
    ----------
    n_inputs : int
    hidden : tuple of int
        Units of each hidden layer; empty for a linear model.
    n_outputs : int
    activation : Activation
    normalization : {"batch", "layer"} or None
    dropout : tuple of float
        The rate after each hidden layer as this member has it; in a cohort only whether it is zero must agree.

    Examples
    --------
    >>> from sknnopt.activations import get
    >>> network = MLP(4, (8,), 3, get("relu"), None, (0.0,))
    >>> list(network.layout.blocks)
    ['dense_0.weight', 'output.weight', 'dense_0.bias', 'output.bias']
    >>> network.layout.n_parameters
    67
    """

    n_inputs: int
    hidden: tuple[int, ...]
    n_outputs: int
    activation: Activation
    normalization: Normalization
    dropout: tuple[float, ...]

    stackable = True

    @cached_property
    def layout(self) -> Layout:
        """Weights of all dense layers, then biases and normalisation parameters."""
        dense = list(self._dense())
        norms = [(f"norm_{i}.{leaf}", (n,)) for i, n in self._norms() for leaf in ("weight", "bias")]
        return Layout(
            [(f"{name}.weight", (outputs, inputs)) for name, inputs, outputs in dense],
            [(f"{name}.bias", (outputs,)) for name, _, outputs in dense] + norms,
        )

    @cached_property
    def buffers(self) -> Layout:
        """Running statistics of batch normalisation."""
        norms = self._norms() if self.normalization == "batch" else []
        leaves = ("running_mean", "running_var")
        return Layout([], [(f"norm_{i}.{leaf}", (n,)) for i, n in norms for leaf in leaves])

    def _dense(self) -> Iterator[tuple[str, int, int]]:
        sizes = (self.n_inputs, *self.hidden)
        for i, (inputs, outputs) in enumerate(zip(sizes, self.hidden, strict=False)):
            yield f"dense_{i}", inputs, outputs
        yield "output", sizes[-1], self.n_outputs

    def _norms(self) -> list[tuple[int, int]]:
        return [] if self.normalization is None else list(enumerate(self.hidden))

    def structure(self) -> Hashable:
        """Sizes, activation with its parameters, normalisation, and where dropout acts."""
        drops = tuple(rate > 0 for rate in self.dropout)
        return ("mlp", self.n_inputs, self.hidden, self.n_outputs, self.activation.key(), self.normalization, drops)

    def initialize(
        self,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor],
        initializer: Initializer | None,
        random: MemberRandom,
    ) -> None:
        """Draw the weights, layer by layer, from the member's generator; biases are zero, normalisation is neutral."""
        assert initializer is not None
        for name, value in parameters.items():
            if value.ndim == 2:
                gain = 1.0 if name == "output.weight" else self.activation.gain
                initializer(value, generator=random.initial, gain=gain)
            else:
                value.fill_(1.0 if name.startswith("norm") and name.endswith("weight") else 0.0)
        for name, value in buffers.items():
            value.fill_(1.0 if name.endswith("running_var") else 0.0)

    def bind(
        self,
        parameters: Tensor,
        gradients: Tensor | None,
        buffers: Tensor,
        space: Workspace,
        *,
        dropout: Sequence[Sequence[float]],
        random: Sequence[MemberRandom],
    ) -> "StackedMLP":
        """Return the stack of K networks over these vectors."""
        layout = self.layout
        views = layout.views(parameters)
        slopes = None if gradients is None else layout.views(gradients)
        statistics = self.buffers.views(buffers)
        layers: list[Layer] = []
        for i, width in enumerate(self.hidden):
            layers.append(Dense(f"dense_{i}", views, slopes, space, input_gradient=i > 0))
            if self.normalization == "batch":
                layers.append(BatchNorm(f"norm_{i}", views, slopes, statistics, space))
            elif self.normalization == "layer":
                layers.append(LayerNorm(f"norm_{i}", views, slopes, space))
            layers.append(Activate(f"activation_{i}", self.activation, width, space))
            if self.dropout[i] > 0 and gradients is not None:
                layers.append(Dropout(f"dropout_{i}", [rates[i] for rates in dropout], random, width, space))
        layers.append(Dense("output", views, slopes, space, input_gradient=bool(self.hidden)))
        return StackedMLP(layers, self.n_inputs)

    def module(self) -> nn.Module:
        """Return a :class:`torch.nn.Sequential` of torch's own layers, their parameters not yet filled."""
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for (name, inputs, outputs), rate in zip(self._dense(), (*self.dropout, 0.0), strict=True):
            layers[name] = _unfilled(inputs, outputs)
            if name == "output":
                break
            i = name.removeprefix("dense_")
            if self.normalization == "batch":
                layers[f"norm_{i}"] = nn.BatchNorm1d(outputs, eps=EPSILON, momentum=MOMENTUM, device="meta")
                layers[f"norm_{i}"].num_batches_tracked = torch.tensor(0)
            elif self.normalization == "layer":
                layers[f"norm_{i}"] = nn.LayerNorm(outputs, eps=EPSILON, device="meta")
            layers[f"activation_{i}"] = self.activation.module()
            if rate > 0:
                layers[f"dropout_{i}"] = nn.Dropout(rate)
        return nn.Sequential(layers)


class _Unfilled(nn.Linear):
    def reset_parameters(self) -> None:
        """Draw nothing."""


def _unfilled(inputs: int, outputs: int) -> nn.Module:
    """Return an :class:`torch.nn.Linear` that was not initialised, which takes longer than all else about it."""
    layer: nn.Module = _Unfilled(inputs, outputs, device="meta")
    layer.__class__ = nn.Linear
    return layer


class StackedMLP:
    """The layers of K perceptrons, bound to their parameters.

    Parameters
    ----------
    layers : list of Layer
    features : int
        F, columns of the rows that count.
    """

    def __init__(self, layers: list[Layer], features: int) -> None:
        self._layers, self._features = layers, features
        self._reversed = layers[::-1]
        self._inputs: dict[int, Rows] = {}

    def forward(self, x: Tensor, step: Pass) -> Rows:
        """Return the scores, view (K, O, B), of the rows ``x`` (K, B, F), which columns of zeros may follow."""
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

    def hold(self, names: Sequence[Collection[str]]) -> None:
        """Let each member keep the running statistics of these names, and be normalised by them."""
        for layer in self._layers:
            if isinstance(layer, BatchNorm):
                held = [f"{layer.name}.running_mean" in own for own in names]
                if any(held):
                    layer.hold(held)

    def sync(self) -> None:
        """Nothing to do: the running statistics live in the flat buffers."""
