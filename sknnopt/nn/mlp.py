"""The multilayer perceptron, K at once."""

from collections.abc import Iterator
from dataclasses import dataclass

from sknnopt.nn._parts import ActivationPart, DensePart, DropoutPart, NormPart, Part
from sknnopt.nn._stack import StackedNetwork


@dataclass(frozen=True)
class MLP(StackedNetwork):
    """Hidden layers of dense, normalisation, activation and dropout, then a dense output layer.

    Parameters
    ----------
    n_inputs : int
    hidden : tuple of int
        Units of each hidden layer; empty for a linear model. Before a gated activation there are twice as many.
    n_outputs : int
    activation : Activation
    normalization : {"batch", "layer"} or None
    dropout : tuple of float
        The rate after each hidden layer as this member has it; in a cohort only whether it is zero must agree.
    scaled : bool
        Whether dense layers divide by the square root of their inputs' number: the NTK parametrisation.
    inputs : Inputs or None
        How columns are embedded before the first layer.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.

    Examples
    --------
    >>> from sknnopt.activations import get
    >>> network = MLP(4, (8,), 3, get("relu"), None, (0.0,))
    >>> list(network.layout.blocks)
    ['dense_0.weight', 'output.weight', 'dense_0.bias', 'output.bias']
    >>> network.layout.n_parameters
    67
    """

    def _parts(self) -> Iterator[Part]:
        yield from self._front()
        inputs, embedded = self.n_features, self.inputs is not None
        for i, (width, rate) in enumerate(zip(self.hidden, self.dropout, strict=True)):
            linear = width * self.activation.expansion
            options = {"input_gradient": i > 0 or embedded, "scaled": self.scaled}
            yield DensePart(f"dense_{i}", inputs, linear, before=self.activation, **options)
            yield NormPart(f"norm_{i}", self.normalization, linear)
            yield ActivationPart(f"activation_{i}", self.activation, width)
            yield DropoutPart(f"dropout_{i}", i, rate, width)
            inputs = width
        yield DensePart(
            "output", inputs, self.n_outputs, input_gradient=bool(self.hidden) or embedded, scaled=self.scaled
        )
