"""Any ``torch.optim.Optimizer`` class in the place of an optimizer of ours."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from .._choices import suggestion
from .._compat import InvalidParameterError
from .._layout import Layout
from .._random import forked_torch_random
from ._base import Hyper, Objective, Optimizer, State, Step
from ._blocks import per_member
from ._torch_state import Mirror

__all__ = ["TorchOptimizer", "is_torch_optimizer"]

DEFAULT_RATE = 1e-3
"""Learning rate of a class that has no default."""


def is_torch_optimizer(value: object) -> bool:
    """Whether this is an optimizer class of torch's kind, a function that makes such optimizers, or a partial of one.

    Examples
    --------
    >>> is_torch_optimizer(torch.optim.SGD), is_torch_optimizer(torch.optim.lr_scheduler.StepLR)
    (True, False)
    >>> is_torch_optimizer(lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9))
    True
    """
    factory = value.func if isinstance(value, functools.partial) else value
    if inspect.isclass(factory):
        return issubclass(factory, torch.optim.Optimizer)
    return inspect.isroutine(factory) and not inspect.isbuiltin(factory) and "lr" in _parameters_of(factory)


def _parameters_of(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what it takes besides the parameters to train."""
    return dict(list(inspect.signature(factory).parameters.items())[1:])


class TorchOptimizer(Optimizer):
    """A ``torch.optim.Optimizer`` class with its keyword arguments, stepped with the learning rate of each step.

    A class by itself, ``optimizer=torch.optim.Rprop``, ``functools.partial(torch.optim.SGD, momentum=0.9)``, or a
    function ``(parameters, lr) -> torch.optim.Optimizer``, stands for this. Each member has an optimizer of its own
    over its parameters; those of equal class and arguments train in one cohort, others apart. The class's own
    ``weight_decay`` acts as the class has it, besides the estimator's, which is zero by default. A class whose
    ``step`` needs a closure evaluates the batch again; it trains one member at a time and begins anew where
    training goes on.

    Parameters
    ----------
    factory : type or callable
        The class, or what makes one of its objects. Its state must consist of tensors and numbers that are there after
        two steps, and it must not draw random numbers.
    **parameters
        Its keyword arguments, searchable as ``optimizer__<name>``. ``lr`` is the default of the estimator's
        ``learning_rate``.

    Examples
    --------
    >>> TorchOptimizer(torch.optim.SGD, momentum=0.9).set_params(momentum=0.5).get_params()["momentum"]
    0.5
    >>> TorchOptimizer(torch.optim.SGD, momentun=0.9).validate()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sklearn.utils._param_validation.InvalidParameterError: torch.optim.SGD takes no parameter 'momentun'. Did you \
mean 'momentum'? It takes ...
    """

    keeps_zeros = True
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"factory": [callable]}

    def __init__(self, factory: Callable[..., torch.optim.Optimizer], **parameters: Any) -> None:
        self.factory = factory
        self.parameters = parameters

    @classmethod
    def of(cls, value: Any) -> Self:
        """Wrap a class, or a partial of one with keyword arguments."""
        if not isinstance(value, functools.partial):
            return cls(value)
        if value.args:
            raise InvalidParameterError(
                f"A partial of an optimizer class must have keyword arguments only. Got {value!r}."
            )
        return cls(value.func, **value.keywords)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the class and its keyword arguments."""
        return {"factory": self.factory, **self.parameters}

    def set_params(self, **params: Any) -> Self:
        """Set the class or its keyword arguments; names it does not take raise ValueError."""
        self.factory = params.pop("factory", self.factory)
        for name in params:
            self._check_taken(name)
        self.parameters = {**self.parameters, **params}
        return self

    def validate(self) -> None:
        """Check the arguments against the class's signature, and the class with them.

        Raises
        ------
        InvalidParameterError
            With what the class takes and the nearest spelling, or what it says itself.
        """
        if not is_torch_optimizer(self.factory):
            raise InvalidParameterError(
                "The 'factory' parameter of TorchOptimizer must be a subclass of torch.optim.Optimizer, or a function "
                f"of parameters and lr that returns one of its objects. Got {self.factory!r} instead."
            )
        for name in self.parameters:
            self._check_taken(name)
        if not self._takes("lr"):
            raise InvalidParameterError(f"{self._name} cannot be used: it takes no learning rate 'lr'.")
        made = self._probe()
        if not isinstance(made, torch.optim.Optimizer):
            raise InvalidParameterError(
                "The 'factory' parameter of TorchOptimizer must return a torch.optim.Optimizer. Got "
                f"{made!r} from {self._name} instead."
            )

    def _probe(self) -> torch.optim.Optimizer:
        return self._make([nn.Parameter(torch.zeros(2, 2))])

    @property
    def _name(self) -> str:
        module = getattr(self.factory, "__module__", "")
        module = "torch.optim" if module.startswith("torch.optim.") else module
        return f"{module}.{getattr(self.factory, '__qualname__', self.factory)}"

    def _signature(self) -> Mapping[str, inspect.Parameter]:
        return _parameters_of(self.factory)

    def _takes(self, name: str) -> bool:
        signature = self._signature()
        return name in signature or any(p.kind is p.VAR_KEYWORD for p in signature.values())

    def _check_taken(self, name: str) -> None:
        if not self._takes(name):
            known = list(self._signature())
            raise InvalidParameterError(
                f"{self._name} takes no parameter {name!r}.{suggestion(name, known)} It takes {', '.join(known)}."
            )

    def _make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        try:
            return self.factory(parameters, **{"lr": self.default_learning_rate, **self.parameters})
        except (TypeError, ValueError, RuntimeError) as error:
            shapes = ", ".join(str(tuple(parameter.shape)) for parameter in parameters)
            given = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items()) or "its defaults"
            raise InvalidParameterError(
                f"{self._name} with {given} cannot train parameters of shape {shapes}: {error}"
            ) from error

    @property
    def default_learning_rate(self) -> float:  # type: ignore[override]
        """``lr`` as given, or the class's default."""
        rate = self.parameters.get("lr")
        if rate is None:
            parameter = self._signature().get("lr")
            rate = DEFAULT_RATE if parameter is None else parameter.default
        return float(rate) if isinstance(rate, int | float | Tensor) else DEFAULT_RATE

    @property
    def line_search(self) -> bool:  # type: ignore[override]
        """Whether ``step`` needs a closure: such classes search, or are led astray by a clipped gradient."""
        kind: Any = self.factory if inspect.isclass(self.factory) else type(self._probe())
        step = inspect.signature(kind.step).parameters.get("closure")
        return step is not None and step.default is step.empty

    @property
    def resumes(self) -> bool:  # type: ignore[override]
        """Whether the state can be read: of a class that searches it stays its own, as what others have beside it."""
        return not self.line_search and not self._counts()

    def _counts(self) -> bool:
        """Whether the class has attributes that change from step to step, which are no part of its state."""
        with forked_torch_random(), torch.inference_mode(False):
            parameter = nn.Parameter(torch.zeros(2, 2))
            optimizer, seen = self._make([parameter]), []
            for _ in range(3):
                parameter.grad = torch.full_like(parameter, 1e-3)
                optimizer.step()
                own = {k: v for k, v in vars(optimizer).items() if k not in ("state", "param_groups")}
                seen.append(repr(own))
        return seen[1] != seen[2]  # the first step may note that there has been one

    def structure(self) -> tuple[Any, ...]:
        alone: Hashable = id(self) if self.line_search else None
        return (type(self), self.key(), alone)

    def coefficients(self, step: np.ndarray, learning_rate: np.ndarray) -> dict[str, np.ndarray]:
        return {"learning_rate": learning_rate}

    def start(self, parameters: Tensor, layout: Layout) -> State:
        return {} if self.line_search else self._mirror(parameters, layout).start(len(parameters))

    def _mirror(self, parameters: Tensor, layout: Layout) -> Mirror:
        """Return how the class's state is laid out, from two steps of a copy."""
        with forked_torch_random():
            copies = [nn.Parameter(view.clone()) for view in layout.single(parameters[0].clone()).values()]
            optimizer = self._make(copies)
            return Mirror(self._name, optimizer, copies)

    def bind(self, gradients: Tensor, state: State, parameters: Tensor, layout: Layout, objective: Objective) -> Step:
        optimizers = [self._make(owned) for owned in _owned(gradients, parameters, layout)]
        if self.line_search:
            return functools.partial(_searching_step, optimizers, objective)
        mirror = self._mirror(parameters, layout)

        def step(hyper: Hyper) -> None:
            for k, (optimizer, rate) in enumerate(zip(optimizers, per_member(hyper, "learning_rate"), strict=True)):
                mirror.load(optimizer, state, k)
                _set_rate(optimizer, rate)
                optimizer.step()
                mirror.store(optimizer, state, k)

        return step


def _owned(gradients: Tensor, parameters: Tensor, layout: Layout) -> Iterator[list[nn.Parameter]]:
    """Yield each member's parameters, in the memory of the flat ones."""
    views, slopes = layout.views(parameters), layout.views(gradients)
    for k in range(len(parameters)):
        owned = []
        for name, view in views.items():
            parameter = nn.Parameter(view[k])
            parameter.grad = slopes[name][k]
            owned.append(parameter)
        yield owned


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _searching_step(optimizers: list[torch.optim.Optimizer], objective: Objective, hyper: Hyper) -> None:
    for k, (optimizer, rate) in enumerate(zip(optimizers, per_member(hyper, "learning_rate"), strict=True)):
        _set_rate(optimizer, rate)
        optimizer.step(functools.partial(_value, objective, k))


@torch.no_grad()
def _value(objective: Objective, k: int) -> float:
    return float(objective.value_and_gradient()[k])
