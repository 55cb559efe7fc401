"""Optimizers: how a gradient becomes a step. Defaults are those of ``torch.optim``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .._choices import resolve
from ._adam import Adam, Adamax, AdamW, NAdam, RAdam
from ._adaptive import Adadelta, Adagrad, RMSprop
from ._base import SHRINKAGE, Numbers, Objective, Optimizer
from ._sgd import SGD

__all__ = [
    "REGISTRY",
    "SGD",
    "SHRINKAGE",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Numbers",
    "Objective",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Optimizer]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
}


def names() -> list[str]:
    """All accepted names, sorted."""
    return sorted(REGISTRY)


def get(value: object) -> Optimizer:
    """The optimizer of a name, or an `Optimizer`.

    Examples
    --------
    >>> get("nesterov")
    SGD(momentum=0.9, nesterov=True)
    >>> get("adm")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sklearn.utils._param_validation.InvalidParameterError: ... Did you mean 'adam'?
    """
    return resolve(value, REGISTRY, parameter="optimizer", base=Optimizer)
