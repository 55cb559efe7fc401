"""What every optimizer offers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from numbers import Real
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from .._choices import Choice, Range
from .._compat import Interval
from .._layout import Layout

__all__ = [
    "FRACTION",
    "NON_NEGATIVE",
    "POSITIVE",
    "SHRINKAGE",
    "Hyper",
    "Numbers",
    "Objective",
    "Optimizer",
    "State",
    "Step",
]

FRACTION = Interval(Real, 0, 1, closed="left")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")

State = dict[str, Tensor]
"""What an optimizer carries from step to step, each (K, ...)."""

Hyper = Mapping[str, Tensor]
"""A step's numbers, each (K, 1)."""

Step = Callable[[Hyper], None]
"""One step of the K members that it is bound to."""

SHRINKAGE = "_shrinkage"
"""Name of the learning rate times the weight decay in `hyper`, which no coefficient may have."""


class Objective(Protocol):
    """What a step makes smaller: the loss of its batch with the penalties, at the parameters as they are.

    Calls of one step see the same batch, the same dropout masks and noise; normalisation statistics follow the
    first one alone.
    """

    def gradient(self) -> None:
        """Compute the gradient anew, in the memory of `gradients`, clipped as the first one was."""

    def value_and_gradient(self) -> Tensor:
        """Compute the gradient anew and return each member's value, of shape (K,)."""

    def constrain(self, parameters: Tensor, hyper: Hyper) -> None:
        """Threshold and project the weights among stepped `parameters`, of shape (K, P), as the penalties ask.

        For optimizers that average, which call it before they do; the caller does it for all others.
        """


class Numbers(dict[str, Tensor]):
    """A step's coefficients, each a tensor of shape (K, 1).

    Attributes
    ----------
    shared : dict of str to list of float
        Those that all K members have in common, step by step: what kernels need that take one number for all.
    step : int
        Index of the step in these lists.
    """

    def __init__(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        super().__init__(tensors)
        self.shared: dict[str, list[float]] = {}
        self.step = 0

    def value(self, name: str) -> float | None:
        """Return the number that all members have in common at this step, None if they differ."""
        values = self.shared.get(name)
        return None if values is None else values[self.step]

    def first(self, members: int) -> Numbers:
        """Return those of the first members; what all have in common these have too."""
        part = Numbers((name, value[:members]) for name, value in self.items())
        part.shared, part.step = self.shared, self.step
        return part


class Optimizer(Choice):
    """Base of the optimizers; a new one needs `coefficients`, `init` and `update`.

    One update serves a whole cohort: parameters, gradients and state are flat tensors of shape (K, P), one
    row a member. Every number that may differ between members reaches `update` through `hyper`, as a (K, 1)
    tensor made from each member's own `coefficients`; the object that `update` belongs to is one of the
    members' and only its `structure` counts. `update` uses element-wise IEEE operations alone, so a member
    gets the same bits in any cohort. Weight decay is decoupled and done by the caller.

    What needs more than single numbers overrides `start` and `bind` instead, which know where each parameter
    lies: norms of layers, products of matrices (each by itself: every member on the grid of `Layout`, in shapes
    that depend on the member alone), further gradients of the same batch.

    Attributes
    ----------
    default_learning_rate, default_weight_decay : float
        What the estimator's "auto" stands for.
    own_decay : bool
        Whether the update does the weight decay itself, by ``hyper[SHRINKAGE]``, which is there if any member of the
        cohort has a decay. Only the first ``layout.weight_size`` parameters decay.
    averages : bool
        Whether ``state["average"]``, of shape (K, P), is what a member is judged by and keeps, and not the parameters
        at which gradients are taken. Such a step calls ``objective.constrain`` before it averages.
    line_search : bool
        Whether steps are as long as a line search finds: gradients are then not clipped.
    resumes : bool
        Whether `state` is all that is carried from step to step, so that training can go on where it was interrupted.
    keeps_zeros : bool
        Whether `update` leaves zeros in `gradients` where parameters, gradients and state were zero, as in the
        padding between blocks; the caller then need not write them. A class that defines `update` or `bind` states it.

    Examples
    --------
    >>> from sknnopt.optimizers import Adam
    >>> adam = Adam()
    >>> w, g = torch.zeros(1, 3), torch.tensor([[1.0, -2.0, 0.0]])
    >>> numbers = adam.coefficients(np.array([1.0]), np.array([0.1]))
    >>> hyper = {name: torch.tensor(x, dtype=w.dtype).view(1, 1) for name, x in numbers.items()}
    >>> adam.update(g, adam.init(w), w, hyper)
    >>> w
    tensor([[-0.1000,  0.1000,  0.0000]])
    """

    default_learning_rate: ClassVar[float] = 1e-3
    default_weight_decay: ClassVar[float] = 0.0
    own_decay: ClassVar[bool] = False
    averages: ClassVar[bool] = False
    line_search: ClassVar[bool] = False
    resumes: ClassVar[bool] = True
    keeps_zeros: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if {"update", "bind"} & vars(cls).keys() and "keeps_zeros" not in vars(cls):
            cls.keeps_zeros = False

    @property
    def learning_rates(self) -> Range:
        """Learning rates worth searching: a tenth to ten times the default, where a class does not say otherwise."""
        return Range(self.default_learning_rate / 10, self.default_learning_rate * 10, log=True)

    @property
    def stateful(self) -> bool:
        """Whether anything but the parameters is carried from step to step."""
        return True

    def structure(self) -> tuple[Any, ...]:
        """What members must have in common to share an update: the class, and flags that change its steps."""
        return (type(self),)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of `update`, for T steps of one member.

        Parameters
        ----------
        step : ndarray of float64, shape (T,)
            Whole numbers, the first step of training being 1.
        learning_rate : ndarray of float64, shape (T,)

        Returns
        -------
        dict of str to ndarray of float64, shape (T,)
            With bias corrections folded in.
        """
        raise NotImplementedError(f"{type(self).__name__} must define coefficients(step, learning_rate)")

    def init(self, parameters: Tensor) -> State:
        """State before the first step, each tensor of the parameters' shape (K, P)."""
        raise NotImplementedError(f"{type(self).__name__} must define init(parameters)")

    def effective_rate(self, state: State, hyper: Hyper) -> Tensor:
        """The learning rate, (K, 1), that thresholds of penalties are in proportion to."""
        return hyper["learning_rate"]

    def start(self, parameters: Tensor, layout: Layout) -> State:
        """State before the first step of any shapes (K, ...); what `init` gives unless overridden.

        Parameters
        ----------
        parameters : Tensor of shape (K, P)
        layout : Layout
            Of one member's P parameters.
        """
        return self.init(parameters)

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        """The step of these K members, called with each step's `hyper`; `update` unless overridden.

        Parameters
        ----------
        gradients, parameters : Tensor of shape (K, P)
            The same memory at every step.
        state : dict of str to Tensor of shape (K, ...)
            As `start` made it.
        layout : Layout
        objective : Objective
            For steps that need more gradients than the one they are given.
        """
        return partial(self.update, gradients, state, parameters)

    def update(self, gradients: Tensor, state: State, parameters: Tensor, hyper: Hyper) -> None:
        """One step, in place.

        Parameters
        ----------
        gradients : Tensor of shape (K, P)
            Overwritten.
        state : mapping of str to Tensor of shape (K, P)
            As `init` made it; updated.
        parameters : Tensor of shape (K, P)
            Updated.
        hyper : mapping of str to Tensor of shape (K, 1)
            This step's `coefficients` of every member.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(gradients, state, parameters, hyper)")


def zeros(parameters: Tensor, *names: str) -> State:
    """A zero tensor for each name."""
    return {name: torch.zeros_like(parameters) for name in names}
