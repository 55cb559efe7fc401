"""TabM: heads that share the weights of hidden layers, K networks at once."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from sknnopt._random import MemberRandom
from sknnopt.activations import Activation
from sknnopt.initializers import Initializer
from sknnopt.nn import _heads_modules as plain
from sknnopt.nn._ensemble import Link
from sknnopt.nn._heads import HeadsDense, Spread
from sknnopt.nn._heads_output import Headed, HeadsOutput
from sknnopt.nn._layer import Layer
from sknnopt.nn._parts import ActivationPart, Binding, DropoutPart, NormPart, Part, Shapes, bound
from sknnopt.nn._stack import StackedNetwork


@dataclass(frozen=True)
class SpreadPart(Part):
    """Every row once for each head, times that head's numbers, which begin as random signs."""

    features: int
    heads: int
    input_gradient: bool = False

    def others(self) -> Shapes:
        yield f"{self.name}.r", (self.heads * self.features,)

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        signs = values[f"{self.name}.r"]
        signs.copy_(torch.randint(2, signs.shape, generator=random.initial).mul_(2).sub_(1))

    def bind(self, to: Binding) -> Layer:
        return Spread(self.name, self.heads, to.parameters, to.gradients, to.space, input_gradient=self.input_gradient)

    def module(self) -> nn.Module:
        return plain.Heads(self.heads, self.features)


@dataclass(frozen=True)
class HeadsDensePart(Part):
    """A dense layer that heads share, but for what scales its inputs (where it does) and outputs, and the biases."""

    inputs: int
    outputs: int
    heads: int
    before: Activation
    scales_inputs: bool
    scaled: bool

    def weights(self) -> Shapes:
        yield f"{self.name}.weight", (self.outputs, self.inputs)

    def biases(self) -> Shapes:
        yield f"{self.name}.b", (self.heads * self.outputs,)

    def others(self) -> Shapes:
        if self.scales_inputs:
            yield f"{self.name}.r", (self.heads * self.inputs,)
        yield f"{self.name}.s", (self.heads * self.outputs,)

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        initializer(values[f"{self.name}.weight"], generator=random.initial, gain=self.before.gain)
        values[f"{self.name}.b"].zero_()
        for name, _ in self.others():
            values[name].fill_(1.0)

    def bind(self, to: Binding) -> Layer:
        return HeadsDense(self.name, self.heads, to.parameters, to.gradients, to.space, scaled=self.scaled)

    def module(self) -> nn.Module:
        options = {"scales_inputs": self.scales_inputs, "scaled": self.scaled}
        return plain.HeadsLinear(self.heads, self.inputs, self.outputs, **options)


@dataclass(frozen=True)
class HeadsOutputPart(Part):
    """An output layer for each head."""

    inputs: int
    outputs: int
    heads: int
    scaled: bool

    def weights(self) -> Shapes:
        yield f"{self.name}.weight", (self.heads * self.outputs, self.inputs)

    def biases(self) -> Shapes:
        yield f"{self.name}.bias", (self.heads * self.outputs,)

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        for own in values[f"{self.name}.weight"].view(self.heads, -1, self.inputs):
            initializer(own, generator=random.initial, gain=1.0)
        values[f"{self.name}.bias"].zero_()

    def bind(self, to: Binding) -> Layer:
        return HeadsOutput(self.name, self.heads, to.parameters, to.gradients, to.space, scaled=self.scaled)

    def module(self) -> nn.Module:
        return plain.HeadsOutput(self.heads, self.inputs, self.outputs, scaled=self.scaled)


@dataclass(frozen=True)
class AveragePart(Part):
    """The average of the heads' predictions, which training goes without."""

    heads: int
    link: Link

    def bind(self, to: Binding) -> None:
        return None

    def module(self) -> nn.Module:
        return plain.HeadsAverage(self.heads, self.link)


@dataclass(frozen=True)
class TabM(StackedNetwork):
    """A multilayer perceptron for each of H heads, all with the same weights in their hidden layers.

    Head h computes ``y_h = s_h * (W (r_h * x_h)) + b_h`` in a hidden layer, where the weights W are every head's and
    the vectors r_h, s_h and b_h its own, and has an output layer of its own. Each head is trained by its own loss, of
    which the network's is the mean; what is predicted is the average of what the heads predict. The first r_h are
    random signs at the beginning, all other r_h and s_h are 1.

    Normalisation and activations with parameters are parts of the shared layers: the former's statistics are those of
    all heads' rows. Dropout leaves out other units in each head. The three vectors do not decay.

    Parameters
    ----------
    n_inputs : int
    hidden : tuple of int
        Units of each hidden layer, at least one. Before a gated activation there are twice as many.
    n_outputs : int
        O, of each head.
    activation : Activation
    normalization : {"batch", "layer"} or None
    dropout : tuple of float
        The rate after each hidden layer as this member has it; in a cohort only whether it is zero must agree.
    scaled : bool
        Whether dense layers divide by the square root of their inputs' number: the NTK parametrisation.
    inputs : Inputs or None
        How columns are embedded, once for all heads.
    n_heads : int
        H.
    link : {"identity", "softmax", "sigmoid", "exp"}
        Of the loss: what it makes of the heads' scores is what is averaged.

    References
    ----------
    Gorishniy, Kotelnikov and Babenko, "TabM: advancing tabular deep learning with parameter-efficient ensembling",
    2025, sections 3.3 and 3.4; the layer is that of Wen, Tran and Ba, "BatchEnsemble: an alternative approach to
    efficient ensemble and lifelong learning", 2020, equation 5.

    Examples
    --------
    >>> from sknnopt.activations import get
    >>> network = TabM(4, (8, 8), 3, get("relu"), None, (0.0, 0.0), n_heads=2)
    >>> {name: block.shape for name, block in network.layout.blocks.items() if not name.startswith("dense_0")}
    {'dense_1.weight': (8, 8), 'output.weight': (6, 8), 'dense_1.b': (16,), 'output.bias': (6,), 'heads.r': (8,), \
'dense_1.r': (16,), 'dense_1.s': (16,)}
    """

    n_heads: int = 32
    link: Link = "identity"

    @property
    def heads(self) -> int:
        return self.n_heads

    @property
    def multiply_adds(self) -> int:
        blocks = self.layout.blocks
        shared = sum(blocks[f"dense_{i}.weight"].size for i in range(len(self.hidden)))
        return self._front_multiply_adds + self.n_heads * shared + blocks["output.weight"].size

    @property
    def row_size(self) -> int:
        units = self.activation.expansion * sum(self.hidden)
        own = self.n_features + (2 if self.normalization is None else 4) * units + 2 * self.n_outputs
        return self._front_row_size + self.n_heads * own

    def structure(self) -> Hashable:
        """Return what two networks must share to be stacked, the number of heads and their link among it."""
        return (super().structure(), self.n_heads, self.link)

    def _parts(self) -> Iterator[Part]:
        yield from self._front()
        inputs, heads = self.n_features, self.n_heads
        yield SpreadPart("heads", inputs, heads, input_gradient=self.inputs is not None)
        for i, (width, rate) in enumerate(zip(self.hidden, self.dropout, strict=True)):
            linear = width * self.activation.expansion
            options = {"scales_inputs": i > 0, "scaled": self.scaled}
            yield HeadsDensePart(f"dense_{i}", inputs, linear, heads, before=self.activation, **options)
            yield NormPart(f"norm_{i}", self.normalization, linear)
            yield ActivationPart(f"activation_{i}", self.activation, width)
            yield DropoutPart(f"dropout_{i}", i, rate, width)
            inputs = width
        yield HeadsOutputPart("output", inputs, self.n_outputs, heads, scaled=self.scaled)
        yield AveragePart("average", heads, self.link)

    def _bound(self, binding: Binding) -> list[Layer]:
        place = next(i for i, part in enumerate(self.parts) if isinstance(part, SpreadPart))
        spread = replace(binding, space=binding.space.repeated(self.n_heads))
        layers = [*bound(self.parts[place : place + 1], binding), *bound(self.parts[place + 1 :], spread)]
        headed = Headed("heads", self.n_heads, self.n_outputs, layers, binding.space, self.link)
        return [*bound(self.parts[:place], binding), headed]
