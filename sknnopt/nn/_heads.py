"""The hidden layers of K networks whose H heads share their weights."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sknnopt.nn._dense import Dense
from sknnopt.nn._layer import Pass
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
                self._given, self._x = x.view, split(x, self._heads)
            x = self._of_inputs.forward(self._x)
        self._product = split(self._dense.forward(x, step), self._heads)
        out = self._of_outputs.forward(self._product)
        self._of_outputs.split.add_(self._bias)
        return out

    def backward(self, gradient: Rows) -> Rows:
        """Write dW, dr, ds and db, return r_h * W^T (s_h * g_h)."""
        assert self._bias_gradient is not None
        self._bias_gradient.copy_(sums(gradient, self._heads))
        self._of_outputs.learn(gradient, self._product)
        self._of_outputs.backward(gradient)
        gradient = self._dense.backward(gradient)
        if self._of_inputs is not None:
            self._of_inputs.learn(gradient, self._x)
            self._of_inputs.backward(gradient)
        return gradient


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
        self.split = split(self._out, heads)

    def forward(self, x: Tensor) -> Rows:
        """Return a_h * x_h of x (K, F, H, B), or (K, F, 1, B) for the same rows in all heads."""
        torch.mul(x, self._values, out=self.split)
        return self._out

    def learn(self, gradient: Rows, x: Tensor) -> None:
        """Write da = sum g x over each head's rows."""
        assert self._gradient is not None
        torch.mul(split(gradient, self._heads), x, out=self.split)
        self._gradient.copy_(sums(self._out, self._heads))

    def backward(self, gradient: Rows) -> Tensor:
        """Return a * g (K, F, H, B), written over g."""
        return split(gradient, self._heads).mul_(self._values)


def split(rows: Rows, heads: int) -> Tensor:
    """Return the rows (K, F, H B) as (K, F, H, B)."""
    return rows.view.view(*rows.view.shape[:2], heads, -1)


def sums(rows: Rows, heads: int) -> Tensor:
    """Return the sums over each head's rows, (K, F, H)."""
    features, width = rows.view.shape[1:]
    every = rows.view.reshape(len(rows.view), features * heads, width // heads)
    return every.sum(2).view(-1, features, heads)
