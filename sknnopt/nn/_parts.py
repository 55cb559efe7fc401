"""The parts that networks are listed as: what each has to train, and its layer and its plain module."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sknnopt._random import MemberRandom
from sknnopt.activations import GLU, Activation, LearnableActivation
from sknnopt.initializers import Initializer
from sknnopt.nn._dense import Dense, ScaledLinear
from sknnopt.nn._elementwise import Activate, ActivateLearnable, Dropout, Gate
from sknnopt.nn._layer import Layer
from sknnopt.nn._normalization import EPSILON, MOMENTUM, BatchNorm, LayerNorm
from sknnopt.nn._residual import Branch, Residual, StochasticDepth
from sknnopt.nn._workspace import Workspace

Normalization = Literal["batch", "layer"] | None
Shapes = Iterable[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Binding:
    """What the layers of K members are bound to; see :meth:`~sknnopt.nn.Network.bind`.

    ``dropouts`` collects the layers of dropout, with the hidden layer whose rates they take, ``normalizations`` those
    that have running statistics.
    """

    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor] | None
    buffers: Mapping[str, Tensor]
    space: Workspace
    dropout: Sequence[Sequence[float]]
    depth_rates: Sequence[float]
    random: Sequence[MemberRandom]
    dropouts: list[tuple[int, Dropout]] = field(default_factory=list)
    normalizations: list[BatchNorm] = field(default_factory=list)


class Rowset(NamedTuple):
    """A member's training rows: inputs (n, F), target (n,) or (n, O), and weights (n,) or None."""

    inputs: NDArray[Any]
    target: NDArray[Any]
    weight: NDArray[np.float64] | None


@dataclass(frozen=True)
class Part:
    """A layer of a network, not yet bound; the base of its kinds, with nothing to train.

    Parameters
    ----------
    name : str
        Its path in the module; its parameters and buffers are ``name.<leaf>``.
    """

    name: str

    def weights(self) -> Shapes:
        """Yield name and shape of what the initializer draws and weight decay shrinks."""
        return ()

    def biases(self) -> Shapes:
        """Yield name and shape of the biases of weights."""
        return ()

    def others(self) -> Shapes:
        """Yield name and shape of every other parameter."""
        return ()

    def buffers(self) -> Shapes:
        """Yield name and shape of the statistics."""
        return ()

    @property
    def learns(self) -> bool:
        """Whether it takes statistics from the training rows."""
        return False

    def learn(self, buffers: Mapping[str, Tensor], rows: "Rowset") -> None:
        """Fill one member's statistics of its training rows."""

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        """Fill one member's parameters and buffers."""

    def bind(self, to: Binding) -> Layer | None:
        """Return the layer of K members; None where it does nothing."""
        raise NotImplementedError

    def module(self) -> nn.Module | None:
        """Return the plain module of one member, its values undefined; None where it does nothing."""
        raise NotImplementedError


@dataclass(frozen=True)
class DensePart(Part):
    """A dense layer, `before` an activation whose gain its weights are drawn with; `scaled` by its number of inputs."""

    inputs: int
    outputs: int
    before: Activation | None = None
    input_gradient: bool = True
    scaled: bool = False

    def weights(self) -> Shapes:
        yield f"{self.name}.weight", (self.outputs, self.inputs)

    def biases(self) -> Shapes:
        yield f"{self.name}.bias", (self.outputs,)

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        gain = 1.0 if self.before is None else self.before.gain
        initializer(values[f"{self.name}.weight"], generator=random.initial, gain=gain)
        values[f"{self.name}.bias"].zero_()

    def bind(self, to: Binding) -> Layer:
        options = {"input_gradient": self.input_gradient, "scaled": self.scaled}
        return Dense(self.name, to.parameters, to.gradients, to.space, **options)

    def module(self) -> nn.Module:
        return _unfilled(self.inputs, self.outputs, ScaledLinear if self.scaled else nn.Linear)


@dataclass(frozen=True)
class NormPart(Part):
    """Batch or layer normalisation."""

    kind: Normalization
    features: int

    def others(self) -> Shapes:
        return [(f"{self.name}.{leaf}", (self.features,)) for leaf in ("weight", "bias") if self.kind]

    def buffers(self) -> Shapes:
        leaves = ("running_mean", "running_var") if self.kind == "batch" else ()
        return [(f"{self.name}.{leaf}", (self.features,)) for leaf in leaves]

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        for name, _ in (*self.others(), *self.buffers()):
            values[name].fill_(1.0 if name.endswith((".weight", ".running_var")) else 0.0)

    def bind(self, to: Binding) -> Layer | None:
        if self.kind == "batch":
            layer = BatchNorm(self.name, to.parameters, to.gradients, to.buffers, to.space)
            to.normalizations.append(layer)
            return layer
        return None if self.kind is None else LayerNorm(self.name, to.parameters, to.gradients, to.space)

    def module(self) -> nn.Module | None:
        if self.kind == "layer":
            return nn.LayerNorm(self.features, eps=EPSILON, device="meta")
        if self.kind is None:
            return None
        layer = nn.BatchNorm1d(self.features, eps=EPSILON, momentum=MOMENTUM, device="meta")
        layer.num_batches_tracked = torch.tensor(0)
        return layer


@dataclass(frozen=True)
class ActivationPart(Part):
    """An activation of so many outputs."""

    activation: Activation
    features: int

    def others(self) -> Shapes:
        for leaf, (shape, _) in self.activation.parameters(self.features).items():
            yield f"{self.name}.{leaf}", shape

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        for leaf, (_, initial) in self.activation.parameters(self.features).items():
            values[f"{self.name}.{leaf}"].fill_(initial)

    def bind(self, to: Binding) -> Layer:
        activation = self.activation
        if isinstance(activation, LearnableActivation):
            return ActivateLearnable(self.name, activation, self.features, to.parameters, to.gradients, to.space)
        if isinstance(activation, GLU):
            return Gate(self.name, activation, self.features, to.space)
        return Activate(self.name, activation, self.features, to.space)

    def module(self) -> nn.Module:
        if isinstance(self.activation, LearnableActivation):
            return self.activation.module(self.features)
        return self.activation.module()


@dataclass(frozen=True)
class DropoutPart(Part):
    """Dropout with the rates of one hidden layer; `rate` is this member's."""

    index: int
    rate: float
    features: int

    def bind(self, to: Binding) -> Layer | None:
        if self.rate == 0 or to.gradients is None:
            return None
        rates = [rates[self.index] for rates in to.dropout]
        layer = Dropout(self.name, rates, to.random, self.features, to.space)
        to.dropouts.append((self.index, layer))
        return layer

    def module(self) -> nn.Module | None:
        return nn.Dropout(self.rate) if self.rate > 0 else None


@dataclass(frozen=True)
class ResidualPart(Part):
    """x + f(x), f made of other parts; `depth` in (0, 1] is its share of the rate of stochastic depth."""

    body: tuple[Part, ...]
    features: int
    depth: float

    def weights(self) -> Shapes:
        return [entry for part in self.body for entry in part.weights()]

    def biases(self) -> Shapes:
        return [entry for part in self.body for entry in part.biases()]

    def others(self) -> Shapes:
        return [entry for part in self.body for entry in part.others()]

    def buffers(self) -> Shapes:
        return [entry for part in self.body for entry in part.buffers()]

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        for part in self.body:
            part.initialize(values, initializer, random)

    def bind(self, to: Binding) -> Layer:
        rates = [self.depth * rate for rate in to.depth_rates] if to.gradients is not None else []
        depth = StochasticDepth(f"{self.name}.depth", rates, to.random, to.space) if any(rates) else None
        return Branch(self.name, bound(self.body, to), self.features, to.space, depth)

    def module(self) -> nn.Module:
        return Residual(modules(self.body))


def bound(parts: Sequence[Part], to: Binding) -> list[Layer]:
    """Return the layers of the parts that do something."""
    return [layer for layer in (part.bind(to) for part in parts) if layer is not None]


def modules(parts: Sequence[Part]) -> OrderedDict[str, nn.Module]:
    """Return the modules of the parts that have one, by the last word of their names."""
    found = ((part.name.rpartition(".")[2], part.module()) for part in parts)
    return OrderedDict((name, module) for name, module in found if module is not None)


class _Unfilled(nn.Linear):
    def reset_parameters(self) -> None:
        """Draw nothing."""


def _unfilled(inputs: int, outputs: int, kind: type[nn.Linear]) -> nn.Module:
    """Return a layer that was not initialised, which takes longer than all else about it."""
    layer: nn.Module = _Unfilled(inputs, outputs, device="meta")
    layer.__class__ = kind
    return layer
