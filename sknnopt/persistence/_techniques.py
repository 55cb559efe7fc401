"""The techniques that a file may name: those of the registries, and what is made of them."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from sknnopt import activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules
from sknnopt._choices import Choice
from sknnopt.persistence._checks import ANYTHING
from sknnopt.persistence._values import Record

_MODULES: tuple[tuple[Any, Iterable[type[Choice]]], ...] = (
    (activations, ()),
    (averaging, ()),
    (embeddings, ()),
    (initializers, ()),
    (losses, (losses.BinaryHinge, losses.SigmoidFocal)),
    (optimizers, ()),
    (regularization, (regularization.Sum,)),
    (schedules, (schedules.Scheduled,)),
)
"""Modules with a registry, and what there is besides the types of its objects."""


def _made(kind: type[Choice], fields: dict[str, Any]) -> Choice:
    choice = kind(**fields)
    choice.validate()
    return choice


def _parameters(choice: Choice) -> dict[str, Any]:
    parameters: dict[str, Any] = choice.get_params(deep=False)
    return parameters


def _records() -> dict[type, tuple[str, Record]]:
    out: dict[type, tuple[str, Record]] = {}
    for module, more in _MODULES:
        for kind in {*(type(make()) for make in module.REGISTRY.values()), *more}:
            fields = dict.fromkeys(kind._get_param_names(), ANYTHING)
            name = f"{module.__name__.partition('.')[2]}.{kind.__name__}"
            out[kind] = name, Record(fields, _parameters, partial(_made, kind))
    return out


TECHNIQUES = _records()
"""By class, their names in a file; their parameters are checked as ``validate`` checks them."""
