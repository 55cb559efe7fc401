"""Penalties on groups of weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Real
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval, InvalidParameterError, StrOptions
from .._layout import Block
from ._base import Hyper, Strength
from ._layers import Layered, layer_number, matrices

__all__ = ["GroupLasso"]


class GroupLasso(Layered):
    """Group lasso, ``strength sum_g sqrt(size_g) |w_g|_2``: whole inputs, or whole units, become exactly zero.

    A group g is what leaves one neuron, a column of a weight matrix. After the optimizer's step it shrinks by
    ``w_g = max(0, 1 - learning_rate strength sqrt(size_g) / |w_g|_2) w_g``. An input whose column is zero is not
    used at all; one-hot encoded, a category is an input. The threshold follows the learning rate alone: with Adam and
    the like, which move all weights equally fast, strengths near 1 drop inputs, with SGD 0.1 does.

    Parameters
    ----------
    strength : float or sequence of float, default=1e-3
        In [0, inf); one for all layers, or one for each, the output's last.
    groups : {"inputs", "units"}, default="inputs"
        "inputs" are the columns of the first layer's weights, "units" those of all later ones: what leaves each
        hidden unit. ``GroupLasso() + GroupLasso(groups="units")`` is both. Where columns are embedded, an input is one
        of the numbers that a column becomes.

    References
    ----------
    Yuan and Lin, "Model selection and estimation in regression with grouped variables", 2006; Scardapane et al.,
    "Group sparse regularization for deep neural networks", 2017.

    Examples
    --------
    >>> from sknnopt._layout import Layout
    >>> layout = Layout([("weight", (2, 2))], [])
    >>> flat = torch.zeros(1, 32)
    >>> flat[0, :4] = torch.tensor([3.0, 0.1, 4.0, 0.2])  # columns of norms 5 and 0.22
    >>> penalty = GroupLasso().bind(layout, {})
    >>> penalty.proximal(flat, {"group": torch.tensor([[1.0]])}, torch.tensor([[2.5 / 2**0.5]]))
    >>> flat[0, :4].view(2, 2)
    tensor([[1.5000, 0.0000],
            [2.0000, 0.0000]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "strength": [Interval(Real, 0, None, closed="left"), "array-like"],
        "groups": [StrOptions({"inputs", "units"})],
    }
    search_space = {"strength": Range(1e-5, 1e-1, log=True)}

    def __init__(self, strength: Strength = 1e-3, *, groups: Literal["inputs", "units"] = "inputs") -> None:
        self.strength = strength
        self.groups = groups

    def structure(self) -> tuple[Any, ...]:
        return (*super().structure(), self.groups)

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"group": self._times(1.0)}

    def check_layers(self, n_layers: int, *, residuals: bool = False) -> None:
        super().check_layers(n_layers, residuals=residuals)
        if self.groups == "units" and n_layers < 2:
            raise InvalidParameterError(
                "The 'groups' parameter of GroupLasso must be 'inputs' for a network without hidden layers."
                f" Got {self.groups!r} instead."
            )

    def _chosen(self, flat: Tensor) -> Iterator[tuple[Block, Tensor]]:
        layers = list(matrices(flat, self.layout))
        yield from layers[:1] if self.groups == "inputs" else layers[1:]

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        total = super().penalty(parameters, hyper)
        for block, weight in self._chosen(parameters):
            strength = layer_number(hyper["group"], block)[:, 0]
            total += strength * math.sqrt(weight.shape[1]) * weight.square().sum(1).sqrt().sum(1)
        return total

    def proximal(self, parameters: Tensor, hyper: Hyper, learning_rate: Tensor) -> None:
        for block, weight in self._chosen(parameters):
            threshold = learning_rate * layer_number(hyper["group"], block) * math.sqrt(weight.shape[1])
            norms = weight.square().sum(1).sqrt_().clamp_(min=torch.finfo(weight.dtype).tiny)
            weight.mul_((1 - threshold / norms).clamp_(min=0).unsqueeze(1))
