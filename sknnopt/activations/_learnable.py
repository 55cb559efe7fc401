"""Activations with parameters of their own, trained with the weights but neither decayed nor penalised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .._choices import Range
from .._compat import Interval
from ._base import Activation
from ._modules import ParametricUnit, SwishUnit
from ._names import elementwise

__all__ = ["LearnableActivation", "LearnableSwish", "PReLU", "Parametric"]

Values = Mapping[str, Tensor]
Shapes = dict[str, tuple[tuple[int, ...], float]]

_number = Interval(Real, None, None, closed="neither")


class LearnableActivation(Activation):
    """Base of the learnable activations; a new one needs `parameters`, `forward`, `backward` and `module`.

    It is an element-wise function of the input and of parameters, one for each unit or one for the layer, which the
    network spreads over the input's shape before and whose derivatives it sums up after.

    Examples
    --------
    >>> PReLU().parameters(features=3)
    {'weight': ((3,), 0.25)}
    """

    saved = "input"

    def parameters(self, features: int) -> Shapes:
        """Return shape, ``(features,)`` or ``(1,)``, and initial value of each parameter, by its name in `module`."""
        raise NotImplementedError(f"{type(self).__name__} must define parameters(features)")

    def resolved(self) -> LearnableActivation:
        """The same with names replaced by their objects, for many calls."""
        return self

    def forward(self, x: Tensor, out: Tensor, values: Values | None = None) -> Tensor:
        """Write ``f(x)`` into `out`, not `x` itself, and return it.

        Parameters
        ----------
        x, out : Tensor
        values : mapping of str to Tensor, default=None
            The parameters, each of the shape of `x`; None means their initial values.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward(x, out, values)")

    def backward(
        self, gradient: Tensor, saved: Tensor, out: Tensor, values: Values | None = None, slopes: Values | None = None
    ) -> Tensor:
        """Write ``gradient * df/dx`` into `out`, which may be `gradient`, and return it.

        Parameters
        ----------
        gradient, saved, out, values
        slopes : mapping of str to Tensor, default=None
            Where to write ``gradient * df/dp`` for each parameter, of the shape of `saved`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define backward(gradient, saved, out, values, slopes)")

    def module(self, features: int = 1) -> nn.Module:
        """The plain torch module that computes the same; features are on axis 1 of its input."""
        raise NotImplementedError(f"{type(self).__name__} must define module(features)")

    def _value(self, name: str, values: Values | None) -> Any:
        return self.parameters(1)[name][1] if values is None else values[name]


class PReLU(LearnableActivation):
    """Parametric rectified linear unit, ``f(x) = max(x, 0) + a min(x, 0)`` with ``a`` learned. Gain 1.37 for a 1/4.

    Parameters
    ----------
    initial : float, default=0.25
        Slope ``a`` to begin with.
    shared : bool, default=False
        Whether the units of a layer have one slope in common, and not one each.

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification", 2015, equation 1.

    Examples
    --------
    >>> PReLU().forward(torch.tensor([-1.0, 2.0]), out=torch.empty(2))
    tensor([-0.2500,  2.0000])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"initial": [_number], "shared": ["boolean"]}
    search_space = {"initial": Range(0.05, 0.5), "shared": [False, True]}

    def __init__(self, *, initial: float = 0.25, shared: bool = False) -> None:
        self.initial = initial
        self.shared = shared

    @property
    def gain(self) -> float:
        return nn.init.calculate_gain("leaky_relu", self.initial)

    def parameters(self, features: int) -> Shapes:
        return {"weight": ((1 if self.shared else features,), float(self.initial))}

    def forward(self, x: Tensor, out: Tensor, values: Values | None = None) -> Tensor:
        below = x.clamp_max(0).mul_(self._value("weight", values))
        return torch.clamp_min(x, 0, out=out).add_(below)

    def backward(
        self, gradient: Tensor, saved: Tensor, out: Tensor, values: Values | None = None, slopes: Values | None = None
    ) -> Tensor:
        if slopes is not None:
            torch.clamp_max(saved, 0, out=slopes["weight"]).mul_(gradient)
        below = gradient * self._value("weight", values)
        return torch.where(saved > 0, gradient, below, out=out)

    def module(self, features: int = 1) -> nn.Module:
        return nn.PReLU(1 if self.shared else features, init=self.initial)


class LearnableSwish(LearnableActivation):
    """Swish with a learned sharpness a unit, ``f(x) = x sigmoid(beta x)``. Gain 1.68 for beta 1.

    Parameters
    ----------
    initial : float, default=1.0
        ``beta`` to begin with: 0 is ``x / 2``, and ReLU is the limit.

    References
    ----------
    Ramachandran, Zoph and Le, "Searching for activation functions", 2017, section 4.

    Examples
    --------
    >>> LearnableSwish().forward(torch.tensor([1.0]), out=torch.empty(1))
    tensor([0.7311])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"initial": [_number]}
    search_space = {"initial": Range(0.5, 2.0)}

    def __init__(self, *, initial: float = 1.0) -> None:
        self.initial = initial

    def parameters(self, features: int) -> Shapes:
        return {"beta": ((features,), float(self.initial))}

    def forward(self, x: Tensor, out: Tensor, values: Values | None = None) -> Tensor:
        torch.mul(x, self._value("beta", values), out=out)
        return out.sigmoid_().mul_(x)

    def backward(
        self, gradient: Tensor, saved: Tensor, out: Tensor, values: Values | None = None, slopes: Values | None = None
    ) -> Tensor:
        u = saved * self._value("beta", values)
        if slopes is not None:  # df/dbeta = x^2 s (1 - s) with s = sigmoid(u)
            slope = torch.mul(gradient, saved, out=slopes["beta"]).mul_(saved)
            torch.ops.aten.sigmoid_backward.grad_input(slope, u.sigmoid(), grad_input=slope)
        torch.ops.aten.silu_backward.grad_input(gradient, u, grad_input=out)  # df/dx = silu'(u)
        return out

    def module(self, features: int = 1) -> nn.Module:
        return SwishUnit(features, self.initial)


class Parametric(LearnableActivation):
    """Blend of the identity and an activation ``h``, learned a unit, ``f(x) = x + alpha (h(x) - x)``. Gain ``h``'s.

    Parameters
    ----------
    base : str, Activation or callable, default="mish"
        ``h``, element-wise and not learnable itself.
    initial : float, default=1.0
        ``alpha`` to begin with: 1 is ``h``, 0 the identity.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data", 2024, section 3, the parametric activations of RealMLP.

    Examples
    --------
    >>> Parametric("relu", initial=0.5).forward(torch.tensor([-1.0, 2.0]), out=torch.empty(2))
    tensor([-0.5000,  2.0000])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "base": [str, Activation, callable],
        "initial": [_number],
    }
    search_space = {"base": ["mish", "selu", "silu", "relu"]}

    def __init__(self, base: str | Activation | Callable[[Tensor], Tensor] = "mish", *, initial: float = 1.0) -> None:
        self.base = base
        self.initial = initial

    def _as_object(self, name: str, value: Any) -> Any:
        return self._function() if name == "base" else value

    def validate(self) -> None:
        super().validate()
        elementwise(self.base, parameter="base")

    def _function(self) -> Activation:
        return self.base if isinstance(self.base, Activation) else elementwise(self.base, parameter="base")

    def resolved(self) -> Parametric:
        return Parametric(self._function(), initial=self.initial)

    def key(self) -> Any:
        return type(self), self._function().key(), self.initial

    @property
    def gain(self) -> float:
        return self._function().gain if self.initial == 1 else super().gain

    def parameters(self, features: int) -> Shapes:
        return {"alpha": ((features,), float(self.initial))}

    def forward(self, x: Tensor, out: Tensor, values: Values | None = None) -> Tensor:
        self._function().forward(x, out)
        return out.sub_(x).mul_(self._value("alpha", values)).add_(x)

    def backward(
        self, gradient: Tensor, saved: Tensor, out: Tensor, values: Values | None = None, slopes: Values | None = None
    ) -> Tensor:
        base = self._function()
        h = base.forward(saved, torch.empty_like(saved))
        if slopes is not None:
            torch.sub(h, saved, out=slopes["alpha"]).mul_(gradient)
        through = base.backward(gradient, h if base.saved == "output" else saved, torch.empty_like(gradient))
        through.sub_(gradient).mul_(self._value("alpha", values))  # df/dx = 1 + alpha (h' - 1)
        return torch.add(gradient, through, out=out)

    def module(self, features: int = 1) -> nn.Module:
        return ParametricUnit(self._function().module(), features, self.initial)
