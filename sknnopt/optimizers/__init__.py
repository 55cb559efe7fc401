"""Optimizers: how a gradient becomes a step. Defaults are those of ``torch.optim``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from .._choices import resolve
from .._literals import OptimizerName
from ._adabelief import AdaBelief
from ._adafactor import Adafactor
from ._adam import Adam, Adamax, AdamW, NAdam, RAdam
from ._adan import Adan
from ._adaptive import Adadelta, Adagrad, RMSprop
from ._ademamix import AdEMAMix
from ._asgd import ASGD
from ._base import SHRINKAGE, Numbers, Objective, Optimizer
from ._cautious import CautiousAdamW
from ._lamb import LAMB
from ._lbfgs import LBFGS
from ._lion import Lion
from ._muon import Muon
from ._prodigy import Prodigy
from ._rprop import Rprop
from ._sam import SAM
from ._schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from ._sgd import SGD
from ._soap import SOAP
from ._torch import TorchOptimizer, is_torch_optimizer

__all__ = [
    "ASGD",
    "LAMB",
    "LBFGS",
    "REGISTRY",
    "SAM",
    "SGD",
    "SHRINKAGE",
    "SOAP",
    "AdEMAMix",
    "AdaBelief",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "CautiousAdamW",
    "Lion",
    "Muon",
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
    "TorchOptimizer",
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
    "lamb": LAMB,
    "adafactor": Adafactor,
    "muon": Muon,
    "soap": SOAP,
    "lbfgs": LBFGS,
    "sam": SAM,
}


def names() -> list[OptimizerName]:
    """All accepted names, sorted."""
    return cast("list[OptimizerName]", sorted(REGISTRY))


def get(value: object, *, parameter: str = "optimizer") -> Optimizer:
    """The optimizer of a name, an `Optimizer`, or that of a ``torch.optim`` class or a function that makes one.

    Parameters
    ----------
    value : str, Optimizer, subclass of torch.optim.Optimizer, or callable
        Of a class ``functools.partial`` may set keyword arguments; see `TorchOptimizer`.
    parameter : str, default="optimizer"
        Its name in the error message.

    Examples
    --------
    >>> get("nesterov")
    SGD(momentum=0.9, nesterov=True)
    >>> import torch
    >>> get(partial(torch.optim.Rprop, etas=(0.5, 1.1)))
    TorchOptimizer(etas=(0.5, 1.1), factory=<class 'torch.optim.rprop.Rprop'>)
    >>> get("adm")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    sklearn.utils._param_validation.InvalidParameterError: ... Did you mean 'adam'?
    """
    return resolve(
        value,
        REGISTRY,
        parameter=parameter,
        base=Optimizer,
        wrap=TorchOptimizer.of,
        wraps=is_torch_optimizer,
        wrapped="a torch.optim.Optimizer class, or a function of parameters and lr that makes such an optimizer",
    )
