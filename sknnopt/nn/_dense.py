"""The fully connected layer of K networks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sknnopt.nn._layer import Pass
from sknnopt.nn._layout import padded
from sknnopt.nn._workspace import Rows, Workspace

SMALL = 2**13
"""Weights up to which a call costs more than copying what it computed."""


class Dense:
    """y = W x + b for K members: (K, F, B) -> (K, O, B).

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
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
        *,
        input_gradient: bool,
    ) -> None:
        self._weight = parameters[f"{name}.weight"]
        self._bias = parameters[f"{name}.bias"].unsqueeze(2)
        outputs, inputs = self._weight.shape[1:]
        self._out = space.features(f"{name}.out", outputs)
        self._x = self._x_transposed = self._out.view
        self._products = space.products
        self._input_gradient: Rows | None = None
        if gradients is not None:
            self._weight_gradient = gradients[f"{name}.weight"]
            self._bias_gradient = gradients[f"{name}.bias"]
            self._weight_product = self._place(name, space)
            self._transposed = self._weight.transpose(1, 2)
            if input_gradient:
                self._input_gradient = space.features(f"{name}.input_gradient", inputs)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return W x + b."""
        if x.view is not self._x:
            self._x = x.view
            self._x_transposed = x.flat if x.flat.ndim == 3 else x.view.transpose(1, 2)
        self._multiply(self._weight, x.view, self._out.view)
        self._out.view.add_(self._bias)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Write dW = g x^T and db = g 1, return W^T g."""
        self._multiply(gradient.view, self._x_transposed, self._weight_product)
        if self._weight_product is not self._weight_gradient:
            self._weight_gradient.copy_(self._weight_product)
        torch.sum(gradient.view, 2, out=self._bias_gradient)
        if self._input_gradient is None:
            return gradient
        self._multiply(self._transposed, gradient.view, self._input_gradient.view)
        return self._input_gradient

    def _place(self, name: str, space: Workspace) -> Tensor:
        """Return where dW is computed: small ones apart and then copied, where all K are one call to MKL and not K.

        It takes a contiguous result, which must also keep every member on the grid of the layout.
        """
        gradient = self._weight_gradient
        size = gradient[0].numel()
        if gradient.is_contiguous() or size > SMALL or size != padded(size):
            return gradient
        return space.flat(f"{name}.weight_gradient", size).view_as(gradient)

    def _multiply(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        """Write the K products (K, M, N) (K, N, P) into ``out``."""
        if self._products is None:
            torch.bmm(left, right, out=out)
        else:
            out.copy_(torch.bmm(left.to(self._products), right.to(self._products)))
