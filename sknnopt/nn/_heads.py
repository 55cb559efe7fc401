"""The layers of K networks whose H heads share the weights of hidden layers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sknnopt.nn._dense import Dense, factor, multiplication
from sknnopt.nn._ensemble import Link, average
from sknnopt.nn._layer import Layer, Pass
from sknnopt.nn._workspace import Rows, Workspace


def by_unit(values: Tensor, heads: int) -> Tensor:
    """Return the view (K, F, H) of each member's numbers (K, H F), which are given head by head.

    Examples
    --------
    >>> by_unit(torch.arange(6).view(1, 6), heads=2)
    tensor([[[0, 3],
             [1, 4],
             [2, 5]]])
    """
    return values.view(len(values), heads, -1).transpose(1, 2)


class Spread:
    """x_h = r_h * x for each head h, all of them rows of one batch: (K, F, B) -> (K, F, H B).

    Parameters
    ----------
    name : str
        The parameter is ``name.r`` (K, H F).
    heads : int
        H.
    parameters, gradients : mapping of str to Tensor
    space : Workspace
        Of B rows.
    input_gradient : bool
        False where the rows come from the table.
    """

    def __init__(
        self,
        name: str,
        heads: int,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
        *,
        input_gradient: bool,
    ) -> None:
        self._scale = _Scale(f"{name}.r", heads, parameters, gradients, space.repeated(heads))
        features = parameters[f"{name}.r"].shape[1] // heads
        self._x = space.features(f"{name}.x", features)
        self._own = self._x.view.unsqueeze(2)
        self._input_gradient = space.features(f"{name}.input_gradient", features) if input_gradient else None
        self._saved = self._own

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return the rows of all heads, one head after the other."""
        self._saved = x.view.unsqueeze(2)
        if x.flat.ndim == 3:  # rows as they are in a table
            self._x.view.copy_(x.view)
            self._saved = self._own
        return self._scale.forward(self._saved)

    def backward(self, gradient: Rows) -> Rows:
        """Write dr, return the sum over heads of r_h g_h."""
        self._scale.learn(gradient, self._saved)
        if self._input_gradient is None:
            return gradient
        torch.sum(self._scale.backward(gradient), 2, out=self._input_gradient.view)
        return self._input_gradient


class HeadsDense:
    """y_h = s_h * (W (r_h * x_h)) + b_h for each head h: (K, F, H B) -> (K, O, H B), one product a member.

    Parameters
    ----------
    name : str
        Parameters are ``name.weight`` (K, O, F), ``name.s`` and ``name.b`` (K, H O), and ``name.r`` (K, H F), without
        which it is 1.
    heads : int
        H.
    parameters, gradients : mapping of str to Tensor
    space : Workspace
        Of H B rows.
    scaled : bool
        Whether W is divided by the square root of F.
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
        self._heads = heads
        self._dense = Dense(name, parameters, gradients, space, input_gradient=True, scaled=scaled, bias=False)
        self._of_inputs = None
        if f"{name}.r" in parameters:
            self._of_inputs = _Scale(f"{name}.r", heads, parameters, gradients, space)
        self._of_outputs = _Scale(f"{name}.s", heads, parameters, gradients, space)
        self._bias = by_unit(parameters[f"{name}.b"], heads).unsqueeze(3)
        self._bias_gradient = None if gradients is None else by_unit(gradients[f"{name}.b"], heads)
        self._x = self._product = self._bias
        self._given: Tensor | None = None

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return the outputs of all heads."""
        if self._of_inputs is not None:
            if x.view is not self._given:
                self._given, self._x = x.view, _split(x, self._heads)
            x = self._of_inputs.forward(self._x)
        self._product = _split(self._dense.forward(x, step), self._heads)
        out = self._of_outputs.forward(self._product)
        self._of_outputs.split.add_(self._bias)
        return out

    def backward(self, gradient: Rows) -> Rows:
        """Write dW, dr, ds and db, return r_h * W^T (s_h * g_h)."""
        assert self._bias_gradient is not None
        self._bias_gradient.copy_(_sums(gradient, self._heads))
        self._of_outputs.learn(gradient, self._product)
        self._of_outputs.backward(gradient)
        gradient = self._dense.backward(gradient)
        if self._of_inputs is not None:
            self._of_inputs.learn(gradient, self._x)
            self._of_inputs.backward(gradient)
        return gradient


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
        self._weights = weight.unflatten(1, (heads, outputs)).unbind()
        self._bias = by_unit(parameters[f"{name}.bias"], heads).unsqueeze(3)
        self._out = space.features(f"{name}.out", outputs)
        self._out_split = _split(self._out, heads)
        self._product = _stack(space, f"{name}.product", heads, outputs, rows)
        self._inputs: Sequence[Tensor] = ()
        self._given: Tensor | None = None
        if gradients is not None:
            self._transposed = [own.transpose(1, 2) for own in self._weights]
            self._weight_gradient = gradients[f"{name}.weight"]
            self._weight_gradients = self._weight_gradient.unflatten(1, (heads, outputs)).unbind()
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
        self._bias_gradient.copy_(_sums(gradient, self._heads))
        slopes = _by_head(gradient, self._heads)
        for slope, own, out in zip(slopes, self._inputs, self._weight_gradients, strict=True):
            self._multiply(slope, own.transpose(1, 2), out=out)
        for slope, weight, out in zip(slopes, self._transposed, self._input_product, strict=True):
            self._multiply(weight, slope, out=out)
        _split(self._input_gradient, self._heads).copy_(self._input_product.transpose(1, 2))
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
        for own, out in zip(_split(rows, self._heads), self._out.view, strict=True):
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


class _Scale:
    """a_h * x_h for each head h, in memory of its own, which then takes what backward works on.

    Attributes
    ----------
    split : Tensor (K, F, H, B)
        The result.
    """

    def __init__(
        self,
        name: str,
        heads: int,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
    ) -> None:
        self._heads = heads
        self._values = by_unit(parameters[name], heads).unsqueeze(3)
        self._gradient = None if gradients is None else by_unit(gradients[name], heads)
        self._out = space.features(f"{name}.out", self._values.shape[1])
        self.split = _split(self._out, heads)

    def forward(self, x: Tensor) -> Rows:
        """Return a_h * x_h of x (K, F, H, B), or (K, F, 1, B) for the same rows in all heads."""
        torch.mul(x, self._values, out=self.split)
        return self._out

    def learn(self, gradient: Rows, x: Tensor) -> None:
        """Write da = sum g x over each head's rows."""
        assert self._gradient is not None
        torch.mul(_split(gradient, self._heads), x, out=self.split)
        self._gradient.copy_(_sums(self._out, self._heads))

    def backward(self, gradient: Rows) -> Tensor:
        """Return a * g (K, F, H, B), written over g."""
        return _split(gradient, self._heads).mul_(self._values)


def _split(rows: Rows, heads: int) -> Tensor:
    """Return the rows (K, F, H B) as (K, F, H, B)."""
    return rows.view.unflatten(2, (heads, -1))


def _by_head(rows: Rows, heads: int) -> Sequence[Tensor]:
    """Return each member's rows as (H, F, B)."""
    return _split(rows, heads).transpose(1, 2).unbind()


def _sums(rows: Rows, heads: int) -> Tensor:
    """Return the sums over each head's rows, (K, F, H)."""
    features, width = rows.view.shape[1:]
    every = rows.view.reshape(len(rows.view), features * heads, width // heads)
    return every.sum(2).view(-1, features, heads)


def _stack(space: Workspace, name: str, heads: int, rows: int, columns: int) -> Tensor:
    """Return a buffer (K, H, rows, columns), each member's on the grid."""
    size = heads * rows * columns
    return space.flat(name, size)[:, :size].view(-1, heads, rows, columns)
