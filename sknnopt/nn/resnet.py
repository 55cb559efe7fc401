"""The residual network for tables, K at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from sknnopt.activations import GLU
from sknnopt.nn._parts import ActivationPart, DensePart, DropoutPart, NormPart, Part, ResidualPart
from sknnopt.nn._stack import StackedNetwork


@dataclass(frozen=True)
class ResNet(StackedNetwork):
    """A dense input layer, residual blocks, and a head of normalisation, activation and a dense output layer.

    A block is ``x + dense(dropout(activation(dense(norm(x)))))``, and the head ``dense(activation(norm(x)))``. With a
    gated activation, which has no layer to halve in the head, the head applies the gate alone, as the paper's
    transformer does with ReGLU blocks and a ReLU head.

    Parameters
    ----------
    n_inputs : int
    hidden : tuple of int
        One block an entry, whose inner layer has so many units; the first is also the width of all blocks' ends.
    n_outputs : int
    activation : Activation
    normalization : {"batch", "layer"} or None
        At the beginning of each block and of the head.
    dropout : tuple of float
        The rate inside each block as this member has it; in a cohort only whether it is zero must agree.
    scaled : bool
        Whether dense layers divide by the square root of their inputs' number: the NTK parametrisation.
    inputs : Inputs or None
        How columns are embedded before the first layer.

    References
    ----------
    Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting deep learning models for tabular data", 2021, section 3.2;
    without the dropout after a block's second dense layer.

    Examples
    --------
    >>> from sknnopt.activations import get
    >>> network = ResNet(4, (8, 16), 3, get("relu"), None, (0.0, 0.0))
    >>> {name: block.shape for name, block in network.layout.blocks.items() if name.startswith("block_1")}
    {'block_1.dense_in.weight': (16, 8), 'block_1.dense_out.weight': (8, 16), 'block_1.dense_in.bias': (16,), \
'block_1.dense_out.bias': (8,)}
    """

    def _parts(self) -> Iterator[Part]:
        width = self.hidden[0]
        yield from self._front()
        embedded = self.inputs is not None
        yield DensePart("dense", self.n_features, width, input_gradient=embedded, scaled=self.scaled)
        for i in range(len(self.hidden)):
            share = (i + 1) / len(self.hidden)  # Huang et al., 2016, section 3: linear decay
            yield ResidualPart(f"block_{i}", tuple(self._block(i, width)), width, share)
        yield NormPart("norm", self.normalization, width)
        head = self.activation.resolved_gate() if isinstance(self.activation, GLU) else self.activation
        yield ActivationPart("activation", head, width)
        yield DensePart("output", width, self.n_outputs, scaled=self.scaled)

    def _block(self, i: int, width: int) -> Iterator[Part]:
        inner = self.hidden[i]
        linear = inner * self.activation.expansion
        yield NormPart(f"block_{i}.norm", self.normalization, width)
        yield DensePart(f"block_{i}.dense_in", width, linear, before=self.activation, scaled=self.scaled)
        yield ActivationPart(f"block_{i}.activation", self.activation, inner)
        yield DropoutPart(f"block_{i}.dropout", i, self.dropout[i], inner)
        yield DensePart(f"block_{i}.dense_out", inner, width, scaled=self.scaled)
