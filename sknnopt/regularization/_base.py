"""What every regulariser offers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from .._choices import Choice
from .._compat import InvalidParameterError
from .._layout import Layout
from .._random import MemberRandom

if TYPE_CHECKING:
    from ._sum import Sum

__all__ = ["FunctionRegularizer", "Hyper", "Regularizer", "Strength", "row_sums"]

Hyper = Mapping[str, Tensor]
Strength = float | Sequence[float]
"""One number for all weights, or one for each layer."""


class Regularizer(Choice):
    """Base of the regularisers; one implements any of the methods below, and what it defines is called.

    In the order of a step: `draw` once; then `inputs` on the batch; around each pass through the network `forward` on
    the weights, and `backward` on their gradients; `gradient` before the optimizer, `proximal` and `project` after
    it. One that defines `penalty`, but neither `gradient` nor `proximal`, gets its gradient from autograd.

    Two of them add up, ``L1(strength=1e-4) + L2(strength=1e-3)``.

    Attributes
    ----------
    layout : Layout
        Where each weight lies; there in the copy that `bind` makes, as `state` is.
    state : dict of str to Tensor
        As `start` made it.

    Examples
    --------
    >>> class Cubes(Regularizer):
    ...     def penalty(self, parameters, hyper):
    ...         return parameters.abs().pow(3).sum(1)
    >>> out = torch.zeros(1, 2)
    >>> Cubes().gradient(torch.tensor([[1.0, -2.0]]), {}, out)
    >>> out
    tensor([[  3., -12.]])
    >>> from sknnopt.regularization import L1, L2
    >>> L1() + L2()
    Sum(terms=(L1(), L2()))
    """

    layout: Layout
    state: dict[str, Tensor]

    def has(self, method: str) -> bool:
        """Whether a method does anything, and is to be called."""
        if method == "gradient" and self._defines("penalty") and not self._defines("proximal"):
            return True
        return self._defines(method)

    def _defines(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Regularizer, method)

    @property
    def depth_rate(self) -> float:
        """Probability of leaving out a residual block."""
        return 0.0

    def check_layers(self, n_layers: int, *, residuals: bool = False) -> None:
        """Check that this suits a network, before it is trained.

        Parameters
        ----------
        n_layers : int
            Layers that have weights, the output included.
        residuals : bool
            Whether the network has residual blocks.

        Raises
        ------
        InvalidParameterError
            If a parameter has not one number for each layer, or acts on residual blocks and there are none.
        """
        if self.depth_rate > 0 and not residuals:
            raise InvalidParameterError(
                f"regularization={self!r} leaves out residual blocks, and this network has none. Use a network with"
                " residual blocks, network='resnet', or dropout, which leaves out units."
            )

    def __add__(self, other: Regularizer) -> Sum:
        from ._sum import Sum

        if not isinstance(other, Regularizer):
            return NotImplemented
        return Sum(terms=(*self._terms(), *other._terms()))

    def _terms(self) -> tuple[Regularizer, ...]:
        return (self,)

    def structure(self) -> tuple[Any, ...]:
        """What members must have in common to share a cohort: without `strengths`, all parameters."""
        if self._defines("strengths"):
            return (type(self), *(name for name, value in self.strengths().items() if isinstance(value, tuple)))
        own = (type(self), *self.get_params(deep=False).items())
        try:
            hash(own)
        except TypeError:
            return (type(self), id(self))
        return own

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        """The numbers that may differ between members; a tuple has one for each layer's weights."""
        return {}

    def coefficients(self, step: np.ndarray) -> dict[str, np.ndarray]:
        """Further numbers that may differ between members, for T steps of one member, the first step being 1."""
        return {}

    def start(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        """State before the first step, tensors of shape (K, ...); names beginning with "_" are scratch."""
        return {}

    def bind(self, layout: Layout, state: dict[str, Tensor]) -> Self:
        """Return a copy that knows where weights lie, and its state."""
        bound = copy.copy(self)
        bound.layout, bound.state = layout, state
        return bound

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        """What is added to each member's loss, of shape (K,); trained on where nothing else is defined."""
        return parameters.new_zeros(len(parameters))

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        """Add the penalty's gradient to `out`, of shape (K, P)."""
        if not self.has("gradient"):
            return
        with torch.inference_mode(False), torch.enable_grad():
            leaf = parameters.detach().clone().requires_grad_()
            value = self.penalty(leaf, {name: x.clone() for name, x in hyper.items()})
            if value.shape != (len(parameters),):
                raise ValueError(
                    f"The penalty must return one number a member, shape (K,) = ({len(parameters)},), got shape"
                    f" {tuple(value.shape)} from {self!r}: reduce over the last axis only, .sum(1)."
                )
            (result,) = torch.autograd.grad(value.sum(), leaf)
        out.add_(result)

    def smooth_penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        """The part of `penalty`, (K,), that `gradient` is the gradient of, for line searches."""
        if self.has("gradient") and not self.has("proximal"):
            return self.penalty(parameters, hyper)
        return parameters.new_zeros(len(parameters))

    def proximal(self, parameters: Tensor, hyper: Hyper, learning_rate: Tensor) -> None:
        """Replace the parameters, after a step, by their proximal point; `learning_rate` is (K, 1)."""

    def project(self, parameters: Tensor, hyper: Hyper) -> None:
        """Move the parameters, after a step, to the nearest allowed ones."""

    def draw(self, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        """Draw a step's random numbers, each member's from its own stream, into `state`."""

    def inputs(self, rows: Tensor, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        """Change a batch of encoded rows (K, B, F) in place; ``hyper`` is (K, 1)."""

    def forward(self, weights: Tensor, hyper: Hyper) -> None:
        """Change the weights in place for one pass forward and backward; they come back as they were."""

    def backward(self, gradients: Tensor, hyper: Hyper) -> None:
        """Turn the gradients at the changed weights, in place, into those of the weights."""


class FunctionRegularizer(Regularizer):
    """Any function of the weights as a penalty; its gradient comes from autograd.

    Parameters
    ----------
    function : callable
        From weights (K, W), those of a network one row, to the penalty (K,), in torch operations; reduce over the last
        axis only. Between layers the rows hold zeros, which a penalty must leave at zero.

    Examples
    --------
    >>> penalty = FunctionRegularizer(lambda weights: 0.1 * weights.pow(4).sum(1))
    >>> out = torch.zeros(1, 2)
    >>> penalty.gradient(torch.tensor([[1.0, 2.0]]), {}, out)
    >>> out
    tensor([[0.4000, 3.2000]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"function": [callable]}

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        return self.function(parameters)


def row_sums(values: Tensor) -> Tensor:
    """Each row by itself, for bits that do not depend on the number of rows."""
    return torch.stack([row.sum() for row in values])
