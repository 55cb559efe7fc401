"""The output layer of K networks with H heads, and the average of what these predict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from sknnopt.nn._dense import factor, multiplication
from sknnopt.nn._ensemble import Link, average
from sknnopt.nn._heads import by_unit, split, sums
from sknnopt.nn._layer import Layer, Pass
from sknnopt.nn._workspace import Rows, Workspace


class HeadsOutput:
    """y_h = W_h x_h + b_h, each head h with a dense layer of its own: (K, F, H B) -> (K, O, H B).

    Each member's products are a call of their own: K and H would not be one axis of a batch of matrices.

    Parameters
    ----------
    name : str
        Parameters are ``name.weight`` (K, H O, F) and ``name.bias`` (K, H O).
    heads : int
        H.
    parameters, gradients : mapping of str to Tensor
    space : Workspace
        Of H B rows.
    scaled : bool
        Whether W_h is divided by the square root of F.
    """

    def __init__(
        self,
        name: str,
        heads: int,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
        *,
        scaled: bool,
    ) -> None:
        weight = parameters[f"{name}.weight"]
        self._heads, (units, inputs) = heads, weight.shape[1:]
        outputs, rows = units // heads, space.rows // heads
        self._multiply, self._factor = multiplication(space), factor(inputs, scaled=scaled)
        self._weights = _by_own(weight, heads)
        self._bias = by_unit(parameters[f"{name}.bias"], heads).unsqueeze(3)
        self._out = space.features(f"{name}.out", outputs)
        self._out_split = split(self._out, heads)
        self._product = _stack(space, f"{name}.product", heads, outputs, rows)
        self._inputs: Sequence[Tensor] = ()
        self._given: Tensor | None = None
        if gradients is not None:
            self._transposed = [own.transpose(1, 2) for own in self._weights]
            self._weight_gradient = gradients[f"{name}.weight"]
            self._weight_gradients = _by_own(self._weight_gradient, heads)
            self._bias_gradient = by_unit(gradients[f"{name}.bias"], heads)
            self._input_gradient = space.features(f"{name}.input_gradient", inputs)
            self._input_product = _stack(space, f"{name}.input_product", heads, inputs, rows)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return the scores of all heads."""
        if x.view is not self._given:
            self._given, self._inputs = x.view, _by_head(x, self._heads)
        for weight, own, out in zip(self._weights, self._inputs, self._product, strict=True):
            self._multiply(weight, own, out=out)
        self._out_split.copy_(self._product.transpose(1, 2))
        if self._factor is not None:
            self._out_split.mul_(self._factor)
        self._out_split.add_(self._bias)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Write dW_h = g_h x_h^T and db_h, return W_h^T g_h."""
        self._bias_gradient.copy_(sums(gradient, self._heads))
        slopes = _by_head(gradient, self._heads)
        for slope, own, out in zip(slopes, self._inputs, self._weight_gradients, strict=True):
            self._multiply(slope, own.transpose(1, 2), out=out)
        for slope, weight, out in zip(slopes, self._transposed, self._input_product, strict=True):
            self._multiply(weight, slope, out=out)
        split(self._input_gradient, self._heads).copy_(self._input_product.transpose(1, 2))
        if self._factor is not None:
            self._weight_gradient.mul_(self._factor)
            self._input_gradient.flat.mul_(self._factor)
        return self._input_gradient


class Headed:
    """Spread rows and the layers behind: (K, F, B) -> (K, O, H B) in training, and averaged (K, O, B) otherwise.

    Parameters
    ----------
    name : str
        Names its buffer in the workspace.
    heads, outputs : int
        H and O.
    layers : sequence of Layer
        A :class:`Spread` and what comes after.
    space : Workspace
        Of B rows.
    link : {"identity", "softmax", "sigmoid", "exp"}
        What is averaged is what it makes of the scores.
    """

    def __init__(
        self, name: str, heads: int, outputs: int, layers: Sequence[Layer], space: Workspace, link: Link
    ) -> None:
        self._heads, self._layers, self._link = heads, layers, link
        self._out = space.features(f"{name}.average", outputs)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return the scores of all heads, or those of their averaged prediction."""
        rows, step = x, self._spread(step)
        for layer in self._layers:
            rows = layer.forward(rows, step)
        if step.training:
            return rows
        for own, out in zip(split(rows, self._heads), self._out.view, strict=True):
            out.copy_(average(own.permute(1, 2, 0).contiguous(), self._link).T)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Go back through all layers."""
        for layer in reversed(self._layers):
            gradient = layer.backward(gradient)
        return gradient

    def _spread(self, step: Pass) -> Pass:
        """Return what is known of the rows of all heads."""
        count = None if step.count is None else step.count * self._heads
        valid = None if step.valid is None else step.valid.repeat(1, 1, self._heads)
        return replace(step, count=count, valid=valid)


def _by_head(rows: Rows, heads: int) -> Sequence[Tensor]:
    """Return each member's rows as (H, F, B)."""
    return split(rows, heads).transpose(1, 2).unbind()


def _by_own(weight: Tensor, heads: int) -> Sequence[Tensor]:
    """Return each member's weights (K, H O, F) as (H, O, F)."""
    return weight.view(len(weight), heads, -1, weight.shape[2]).unbind()


def _stack(space: Workspace, name: str, heads: int, rows: int, columns: int) -> Tensor:
    """Return a buffer (K, H, rows, columns), each member's on the grid."""
    size = heads * rows * columns
    return space.flat(name, size)[:, :size].view(-1, heads, rows, columns)
