"""What a stacked layer is."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from sknnopt.nn._workspace import Rows


@dataclass
class Pass:
    """What a layer must know of a pass besides its input.

    Attributes
    ----------
    training : bool
        Dropout and batch statistics act.
    valid : Tensor of shape (K, 1, B) or None
        1 on rows, 0 on padding; None where no member has padding.
    count : Tensor of shape (K, 1, 1) or None
        Rows of each member without padding; None outside training.
    again : bool
        Whether the step has been here before, with the same batch: masks stay, and running statistics too.
    """

    training: bool
    valid: Tensor | None = None
    count: Tensor | None = None
    again: bool = False


EVALUATION = Pass(training=False)


class Layer(Protocol):
    """A layer of K networks at once, with its backward pass written by hand.

    ``forward`` takes (K, F, B) and keeps what ``backward`` needs; ``backward`` takes the gradient with respect to the
    output (K, O, B), writes the gradients of the layer's parameters and returns that of its input, for which it may
    overwrite the memory it was given.
    """

    def forward(self, x: Rows, step: Pass) -> Rows: ...

    def backward(self, gradient: Rows) -> Rows: ...
