"""Optimizers: how a gradient becomes a step. Defaults are those of ``torch.optim``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .._choices import resolve
from ._adabelief import AdaBelief
from ._adam import Adam, Adamax, AdamW, NAdam, RAdam
from ._adan import Adan
from ._adaptive import Adadelta, Adagrad, RMSprop
from ._ademamix import AdEMAMix
from ._asgd import ASGD
from ._base import SHRINKAGE, Numbers, Objective, Optimizer
from ._cautious import CautiousAdamW
from ._lion import Lion
from ._prodigy import Prodigy
from ._rprop import Rprop
from ._schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from ._sgd import SGD

__all__ = [
    "ASGD",
    "REGISTRY",
    "SGD",
    "SHRINKAGE",
    "AdEMAMix",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "CautiousAdamW",
    "Lion",
    "NAdam",
    "Numbers",
    "Objective",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Optimizer]] = {
    "sgd": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "asgd": ASGD,
    "schedule_free_sgd": ScheduleFreeSGD,
    "rprop": Rprop,
    "lion": Lion,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "radam": RAdam,
    "adamax": Adamax,
    "adabelief": AdaBelief,
    "adan": Adan,
    "ademamix": AdEMAMix,
    "cautious_adamw": CautiousAdamW,
    "schedule_free_adamw": ScheduleFreeAdamW,
    "prodigy": Prodigy,
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
