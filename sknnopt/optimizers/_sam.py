"""Sharpness-aware minimisation around any other optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from .._choices import Range
from .._compat import InvalidParameterError
from .._layout import Layout
from ._base import NON_NEGATIVE, SHRINKAGE, Hyper, Objective, Optimizer, State, Step

__all__ = ["SAM"]

SMALLEST_NORM = 1e-12

T = TypeVar("T")


class SAM(Optimizer):
    """Another optimizer's step, with the gradient from where the loss is high nearby, ``g(w + rho g / |g|)``.

    The Euclidean norm is that of all of a member's parameters. Adaptive, the point is
    ``w + rho w^2 g / |w g|``, so that the neighbourhood goes with the parameters' scale. Each step takes two gradients
    of the same batch. Learning rate, weight decay and their defaults are those of `base`.

    Parameters
    ----------
    base : str or Optimizer, default="adamw"
        What takes the step; its own parameters are searchable as ``base__<name>``.
    rho : float, default=0.05
        Radius of the neighbourhood, in [0, inf).
    adaptive : bool, default=False
        Take the neighbourhood of ASAM.

    References
    ----------
    Foret et al., "Sharpness-aware minimization for efficiently improving generalization", 2021, algorithm 1; adaptive:
    Kwon et al., "ASAM: adaptive sharpness-aware minimization for scale-invariant learning of deep neural networks",
    2021, algorithm 1 without its constant.

    Examples
    --------
    >>> SAM().set_params(base__beta_1=0.5, rho=0.1)
    SAM(base=AdamW(beta_1=0.5), rho=0.1)
    >>> SAM("sgd").default_learning_rate
    0.01
    """

    own_decay = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "base": [str, Optimizer, callable],
        "rho": [NON_NEGATIVE],
        "adaptive": ["boolean"],
    }
    search_space = {"rho": Range(0.01, 0.5, log=True), "adaptive": [False, True]}

    def __init__(self, base: str | Optimizer | type = "adamw", *, rho: float = 0.05, adaptive: bool = False) -> None:
        self.base = base
        self.rho = rho
        self.adaptive = adaptive

    def _as_object(self, name: str, value: Any) -> Any:
        return self._base if name == "base" else value

    def validate(self) -> None:
        super().validate()
        base = self._base
        if isinstance(base, SAM):
            raise InvalidParameterError(f"The 'base' parameter of SAM must be another optimizer. Got {base!r} instead.")

    @property
    def _base(self) -> Optimizer:
        from . import get

        return get(self.base, parameter="base")

    @property
    def default_learning_rate(self) -> float:  # type: ignore[override]
        """That of the base."""
        return self._base.default_learning_rate

    @property
    def learning_rates(self) -> Range:
        """Those of the base."""
        return self._base.learning_rates

    @property
    def default_weight_decay(self) -> float:  # type: ignore[override]
        """That of the base."""
        return self._base.default_weight_decay

    @property
    def averages(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self._base.averages

    @property
    def line_search(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self._base.line_search

    @property
    def keeps_zeros(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self._base.keeps_zeros

    @property
    def stateful(self) -> bool:
        return self._base.stateful

    def structure(self) -> tuple[Any, ...]:
        return (type(self), self.adaptive, self._base.structure())

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {**self._base.coefficients(step, learning_rate), "radius": np.full_like(step, self.rho)}

    def start(self, parameters: Tensor, layout: Layout) -> State:
        return {**self._base.start(parameters, layout), "_before_ascent": torch.zeros_like(parameters)}

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        base, weights = self._base, parameters[:, : layout.weight_size]
        sharp = _Sharp(gradients, parameters, state["_before_ascent"], objective, self.adaptive)
        descend = base.bind(gradients, state, parameters, layout=layout, objective=sharp)

        def step(hyper: Hyper) -> None:
            sharp.radius = hyper["radius"]
            sharp.ascend(objective.gradient)
            if SHRINKAGE in hyper and not base.own_decay:
                weights.mul_(1 - hyper[SHRINKAGE])
            descend(hyper)

        return step


class _Sharp:
    """The objective as the base sees it: at the parameters, what is found uphill of them."""

    def __init__(
        self, gradients: Tensor, parameters: Tensor, kept: Tensor, objective: Objective, adaptive: bool
    ) -> None:
        self._gradients, self._parameters, self._kept = gradients, parameters, kept
        self._objective, self._adaptive = objective, adaptive
        self.radius = parameters.new_zeros(len(parameters), 1)

    def gradient(self) -> None:
        self._objective.gradient()
        self.ascend(self._objective.gradient)

    def constrain(self, parameters: Tensor, hyper: Hyper) -> None:
        self._objective.constrain(parameters, hyper)

    def value_and_gradient(self) -> Tensor:
        self._objective.gradient()
        return self.ascend(self._objective.value_and_gradient)

    def ascend(self, look: Callable[[], T]) -> T:
        """Look where the gradient at hand leads to within the radius, and come back to the same bits."""
        parameters, gradients = self._parameters, self._gradients
        self._kept.copy_(parameters)
        scaled = gradients.mul_(parameters) if self._adaptive else gradients
        norm = scaled.square().sum(1, keepdim=True).sqrt_()
        if self._adaptive:
            scaled.mul_(parameters)
        parameters.addcmul_(scaled, self.radius / norm.add_(SMALLEST_NORM))
        out = look()
        parameters.copy_(self._kept)
        return out
