"""What every initializer offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from .._choices import Choice

__all__ = ["FunctionInitializer", "Initializer"]


class Initializer(Choice):
    """Base of the initializers; a new one needs `draw`.

    One that looks at the whole network, or at data, overrides `adapt` besides; for data it sets `n_rows`.

    Attributes
    ----------
    n_rows : int
        How many of the member's own training rows `adapt` wants to see at most; 0 for none.
    adapts : bool
        Whether there is anything to do for `adapt`.
    scales_layers : bool
        Whether layers are to divide their products by the square root of their inputs' number, which then no weight
        has to; see `NTK`.

    Examples
    --------
    >>> weight = torch.empty(3, 5)
    >>> from sknnopt.initializers import KaimingNormal
    >>> KaimingNormal()(weight, generator=torch.Generator().manual_seed(0), gain=1.0)
    >>> bool(weight.isfinite().all())
    True
    """

    n_rows: int = 0

    @property
    def adapts(self) -> bool:
        """Whether `adapt` is overridden."""
        return type(self).adapt is not Initializer.adapt

    @property
    def scales_layers(self) -> bool:
        """Whether layers are to divide their products by the square root of their inputs' number."""
        return False

    def __call__(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        """Fill one weight in place.

        Parameters
        ----------
        weight : Tensor of shape (n_outputs, n_inputs)
        generator : torch.Generator
            The member's own source of randomness.
        gain : float
            The activation's `gain`; the scale-free initializers ignore it.
        """
        with torch.no_grad():
            values = torch.empty(weight.shape, dtype=weight.dtype, device=generator.device)
            self.draw(values, generator=generator, gain=gain)
            weight.copy_(values)

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        """Fill a contiguous tensor of shape (n_outputs, n_inputs) on the generator's device."""
        raise NotImplementedError(f"{type(self).__name__} must define draw(weight, generator, gain)")

    def adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        """Adjust a network, whose weights have been drawn, to data; nothing unless overridden.

        Parameters
        ----------
        module : nn.Module
            The member's network, of torch's own layers, on the CPU, in eval mode but for batch normalisation, which
            takes the statistics of the rows where there are two of them. Its parameters are to be changed in place;
            autograd is off.
        rows : Tensor of shape (n, F)
            Encoded training rows of this member, at most `n_rows` of them, in random order.
        generator : torch.Generator
            The member's own source of randomness.
        """


class FunctionInitializer(Initializer):
    """Any function that fills a weight in place.

    Parameters
    ----------
    function : callable
        Called as ``function(weight, generator=generator, gain=gain)``.

    Examples
    --------
    >>> weight = torch.empty(1, 2)
    >>> init = FunctionInitializer(lambda w, generator, gain: w.fill_(gain))
    >>> init(weight, generator=torch.Generator(), gain=2.0)
    >>> weight
    tensor([[2., 2.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"function": [callable]}

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        self.function(weight, generator=generator, gain=gain)
