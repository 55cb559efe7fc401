"""What every activation offers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from .._choices import Choice
from .._compat import InvalidParameterError

__all__ = ["Activation", "FunctionActivation"]


class Activation(Choice):
    """Base of the activations; a new one needs `forward`, `backward` and `module`.

    One with parameters of its own derives from `LearnableActivation`.

    Attributes
    ----------
    saved : {"output", "input"}
        What `backward` must be given. With "output", `forward` may run in place (``out`` is ``x``).
    expansion : int
        Features of its input for each of its output: 1, or 2 for the gated ones, whose layer is twice as wide.

    Examples
    --------
    >>> x = torch.tensor([-1.0, 2.0])
    >>> from sknnopt.activations import ReLU
    >>> f = ReLU()
    >>> y = f.forward(x, out=x)
    >>> f.backward(torch.ones(2), y, out=torch.empty(2))
    tensor([0., 1.])
    """

    saved: ClassVar[Literal["output", "input"]] = "input"
    expansion: ClassVar[int] = 1

    @property
    def gain(self) -> float:
        """Recommended initializer gain: ``1 / sqrt(E[f(z)^2])`` for standard normal ``z`` (He et al., 2015).

        It keeps the second moment of a layer's output at one. Where ``torch.nn.init.calculate_gain`` has its
        own number, that number is used instead.
        """
        moment = self.second_moment(1.0)
        return 1 / math.sqrt(moment) if moment > 0 else 1.0

    def second_moment(self, scale: float) -> float:
        """Return ``E[f(scale z)^2]`` for standard normal ``z``."""
        z = torch.linspace(-10.0, 10.0, 2001, dtype=torch.float64)
        density = torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        with torch.no_grad():
            squares = self.forward(scale * z, torch.empty_like(z)).square()
        return float(torch.trapezoid(squares * density, dx=0.01))

    def parameters(self, features: int) -> dict[str, tuple[tuple[int, ...], float]]:
        """Return shape and initial value of each parameter, for a layer of so many outputs; most have none."""
        return {}

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        """Write ``f(x)`` into `out`, of the same shape, and return it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x, out)")

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        """Write ``gradient * f'(x)`` into `out`, which may be `gradient`, and return it."""
        raise NotImplementedError(f"{type(self).__name__} must define backward(gradient, saved, out)")

    def module(self) -> nn.Module:
        """The plain torch module that computes the same."""
        raise NotImplementedError(f"{type(self).__name__} must define module()")


class FunctionActivation(Activation):
    """Any element-wise torch function; its derivative comes from autograd.

    Parameters
    ----------
    function : callable
        ``Tensor -> Tensor`` of the same shape, element by element, not in place. A ``torch.nn.Module`` must have
        no parameters: they would not be trained.

    Examples
    --------
    >>> f = FunctionActivation(torch.sin)
    >>> f.backward(torch.ones(1), torch.zeros(1), out=torch.empty(1))
    tensor([1.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"function": [callable]}

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def validate(self) -> None:
        super().validate()
        if isinstance(self.function, nn.Module) and any(True for _ in self.function.parameters()):
            raise InvalidParameterError(
                "The 'function' parameter of FunctionActivation must be a function without parameters of its own."
                f" Got {self.function!r} instead, whose parameters would not be trained. Learnable activations are"
                " 'prelu' (PReLU), 'learnable_swish' and 'parametric_mish' (Parametric, with any base); for one of your"
                " own derive from sknnopt.activations.LearnableActivation."
            )

    def forward(self, x: Tensor, out: Tensor) -> Tensor:
        with torch.no_grad():
            return out.copy_(self.function(x))

    def backward(self, gradient: Tensor, saved: Tensor, out: Tensor) -> Tensor:
        with torch.enable_grad():
            x = saved.detach().requires_grad_()
            (result,) = torch.autograd.grad(self.function(x), x, gradient)
        return out.copy_(result)

    def module(self) -> nn.Module:
        return _Elementwise(self.function)


class _Elementwise(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
