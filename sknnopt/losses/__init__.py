"""Losses: what training makes small, one number a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, overload

from .._choices import resolve
from .._compat import InvalidParameterError
from .._literals import ClassificationLossName, RegressionLossName
from ._base import FunctionLoss, Link, Loss
from ._classification import CrossEntropy, SigmoidCrossEntropy
from ._focal import Focal, SigmoidFocal
from ._hinge import BinaryHinge, Hinge
from ._log_link import Gamma, Poisson, Tweedie
from ._quantile import Quantile
from ._regression import AbsoluteError, Huber, LogCosh, SquaredError

__all__ = [
    "REGISTRY",
    "AbsoluteError",
    "BinaryHinge",
    "CrossEntropy",
    "Focal",
    "FunctionLoss",
    "Gamma",
    "Hinge",
    "Huber",
    "LogCosh",
    "Loss",
    "Poisson",
    "Quantile",
    "SigmoidCrossEntropy",
    "SigmoidFocal",
    "SquaredError",
    "Tweedie",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Loss]] = {
    "cross_entropy": CrossEntropy,
    "log_loss": CrossEntropy,
    "binary_cross_entropy": SigmoidCrossEntropy,
    "focal": Focal,
    "hinge": Hinge,
    "squared_hinge": partial(Hinge, squared=True),
    "squared_error": SquaredError,
    "mse": SquaredError,
    "absolute_error": AbsoluteError,
    "mae": AbsoluteError,
    "l1": AbsoluteError,
    "huber": Huber,
    "log_cosh": LogCosh,
    "poisson": Poisson,
    "gamma": Gamma,
    "tweedie": Tweedie,
    "quantile": Quantile,
    "pinball": Quantile,
}

_AUTO: dict[str, Callable[[], Loss]] = {
    "classification": CrossEntropy,
    "multilabel": SigmoidCrossEntropy,
    "regression": SquaredError,
}
_LINK: dict[str, Link] = {"classification": "softmax", "multilabel": "sigmoid", "regression": "identity"}


@overload
def names(task: Literal["classification", "multilabel"]) -> list[ClassificationLossName]: ...
@overload
def names(task: Literal["regression"]) -> list[RegressionLossName]: ...
@overload
def names(task: str | None = None) -> list[ClassificationLossName | RegressionLossName]: ...
def names(task: str | None = None) -> list[Any]:
    """All accepted names, sorted.

    Parameters
    ----------
    task : {"classification", "multilabel", "regression"}, optional
        Only those for this task.

    Examples
    --------
    >>> names("multilabel")
    ['binary_cross_entropy', 'cross_entropy', 'focal', 'hinge', 'log_loss', 'squared_hinge']
    """
    return sorted(REGISTRY if task is None else _registry(task))


def _registry(task: str) -> dict[str, Callable[[], Loss]]:
    return {name: partial(_make, make, task) for name, make in REGISTRY.items() if task in _make(make, task).tasks}


def _make(make: Callable[[], Loss], task: str) -> Loss:
    return make().for_task(task)


def get(value: object, *, task: str) -> Loss:
    """The loss of a name ("auto" included), a `Loss`, or a function ``(output, target) -> losses``.

    Parameters
    ----------
    value : str, Loss or callable
    task : {"classification", "multilabel", "regression"}

    Returns
    -------
    Loss
        The same word for each label by itself where the target is multilabel. A function becomes a `FunctionLoss`
        with the link of the task.

    Raises
    ------
    InvalidParameterError
        A ``ValueError``, also for a loss that is for another task.

    Examples
    --------
    >>> get("auto", task="regression"), get("cross_entropy", task="multilabel")
    (SquaredError(), SigmoidCrossEntropy())
    """
    registry = _registry(task)
    if isinstance(value, str) and value in REGISTRY and value not in registry:
        raise _wrong_task(value, REGISTRY[value](), task)
    wrap: Callable[[Callable[..., Any]], Loss] = partial(FunctionLoss, link=_LINK[task])
    loss = resolve(value, registry | {"auto": _AUTO[task]}, parameter="loss", base=Loss, wrap=wrap).for_task(task)
    if task not in loss.tasks:
        raise _wrong_task(value, loss, task)
    return loss


def _wrong_task(value: object, loss: Loss, task: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"The 'loss' parameter got {value!r}, which is for {' and '.join(sorted(loss.tasks))} targets;"
        f" for {task} choose from 'auto', {', '.join(map(repr, names(task)))}."
    )
