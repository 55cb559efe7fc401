"""The fully connected layer of K networks."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from sknnopt._layout import padded
from sknnopt.nn._layer import Pass
from sknnopt.nn._workspace import Rows, Workspace, height, width

SMALL = 2**13
"""Weights up to which a call costs more than copying what it computed."""


class ScaledLinear(nn.Linear):
    """y = W x / sqrt(F) + b: the weights' scale is the layer's and not theirs.

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural networks", 2018,
    section 2.

    Examples
    --------
    >>> layer = ScaledLinear(4, 1, bias=False)
    >>> _ = nn.init.ones_(layer.weight)
    >>> layer(torch.ones(1, 4)).item()
    2.0
    """

    def scaled_weight(self) -> Tensor:
        """Return W / sqrt(F), (O, F)."""
        return self.weight * (1 / math.sqrt(self.in_features))

    def forward(self, input: Tensor) -> Tensor:
        """Return the rows' outputs, (B, O)."""
        return functional.linear(input, self.scaled_weight(), self.bias)


class Dense:
    """y = c W x + b for K members: (K, F, B) -> (K, O, B).

    Feature-major rows make a narrow output cheap: the product's inner loop runs over the batch.

    Parameters
    ----------
    name : str
        Parameters are ``name.weight`` (K, O, F) and ``name.bias`` (K, O).
    parameters, gradients : mapping of str to Tensor
        Views of the flat vectors; ``gradients`` None outside training.
    space : Workspace
    input_gradient : bool
        False for the first layer, whose input needs none.
    scaled : bool
        Whether c is 1 / sqrt(F), and not 1; see :class:`ScaledLinear`.
    bias : bool
        False without b.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
        *,
        input_gradient: bool,
        scaled: bool = False,
        bias: bool = True,
    ) -> None:
        self._weight = parameters[f"{name}.weight"]
        self._bias = parameters[f"{name}.bias"].unsqueeze(2) if bias else None
        outputs, inputs = self._weight.shape[1:]
        self._out = space.features(f"{name}.out", outputs)
        self._scale = factor(inputs, scaled=scaled)
        self._height = height(outputs, space.rows)
        self._tall_weight: Tensor | None = None
        if self._height > outputs:
            self._tall_weight = _block(space, f"{name}.tall_weight", self._height, inputs)
            self._tall_out, self._copied_weight = self._out.tall(self._height), self._tall_weight[:, :outputs]
        self._x = self._x_transposed = self._out.view
        self._multiply = multiplication(space)
        self._input_gradient: Rows | None = None
        if gradients is not None:
            self._weight_gradient = gradients[f"{name}.weight"]
            self._bias_gradient = gradients[f"{name}.bias"] if bias else None
            self._weight_product = self._place(name, space, inputs if input_gradient else width(inputs))
            if self._weight_product is not None:
                self._copied_gradient = self._weight_product[:, :outputs, :inputs]
            self._transposed = self._weight.transpose(1, 2)
            if input_gradient:
                self._input_gradient = space.features(f"{name}.input_gradient", inputs)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return c W x + b."""
        if x.view is not self._x:
            self._x = x.view
            self._x_transposed = x.flat if x.flat.ndim == 3 else x.view.transpose(1, 2)
        if self._tall_weight is None:
            self._multiply(self._weight, x.view, out=self._out.view)
        else:
            self._copied_weight.copy_(self._weight)
            self._multiply(self._tall_weight, x.view, out=self._tall_out)
        if self._scale is not None:
            self._out.view.mul_(self._scale)
        if self._bias is not None:
            self._out.view.add_(self._bias)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Write dW = c g x^T and db = g 1, return c W^T g."""
        x, product = self._x_transposed, self._weight_product
        if product is None or x.shape[2] != product.shape[2]:
            self._multiply(gradient.view, x, out=self._weight_gradient)
        else:
            tall = gradient.view if self._tall_weight is None else gradient.tall(self._height)
            self._multiply(tall, x, out=product)
            self._weight_gradient.copy_(self._copied_gradient)
        if x.shape[1] == 1:
            self._weight_gradient.add_(0.0)  # a single product may be -0 for one member where it is 0 for K
        if self._scale is not None:
            self._weight_gradient.mul_(self._scale)
        if self._bias_gradient is not None:
            torch.sum(gradient.view, 2, out=self._bias_gradient)
        if self._input_gradient is None:
            return gradient
        self._multiply(self._transposed, gradient.view, out=self._input_gradient.view)
        if self._scale is not None:
            self._input_gradient.flat.mul_(self._scale)
        return self._input_gradient

    def _place(self, name: str, space: Workspace, columns: int) -> Tensor | None:
        """Return where dW is computed, (K, height, columns), to be copied, where that is larger or faster.

        All K are one call to MKL, and not K, if the result is contiguous, which must also keep every member on the
        grid of the layout. A single column MKL computes otherwise for K than for one. Sizes depend on the member's
        shape alone, and with them the bits.
        """
        gradient = self._weight_gradient
        size = self._height * columns
        if columns == 1:
            return None
        if size == gradient[0].numel() and (gradient.is_contiguous() or size > SMALL or size != padded(size)):
            return None
        return _block(space, f"{name}.weight_gradient", self._height, columns)


def factor(inputs: int, *, scaled: bool) -> float | None:
    """Return 1 / sqrt(F) for a layer of F inputs that is scaled, None for another."""
    return 1 / math.sqrt(inputs) if scaled else None


def multiplication(space: Workspace) -> Callable[..., object]:
    """Return what multiplies batches of matrices into an ``out``, their factors rounded where the workspace says so."""
    return torch.bmm if space.products is None else partial(_rounded_product, dtype=space.products)


def _rounded_product(left: Tensor, right: Tensor, *, out: Tensor, dtype: torch.dtype) -> None:
    """Write the K products (K, M, N) (K, N, P) of factors rounded to ``dtype`` into ``out``."""
    out.copy_(torch.bmm(left.to(dtype), right.to(dtype)))


def _block(space: Workspace, name: str, rows: int, columns: int) -> Tensor:
    """Return a buffer (K, rows, columns), each member's matrix on the grid."""
    size = rows * columns
    return space.flat(name, size)[:, :size].view(-1, rows, columns)
