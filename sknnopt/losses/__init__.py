"""Losses: what training makes small, one number a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .._choices import resolve
from .._compat import InvalidParameterError
from ._base import FunctionLoss, Link, Loss
from ._classification import CrossEntropy, SigmoidCrossEntropy
from ._regression import AbsoluteError, Huber, Poisson, Quantile, SquaredError

__all__ = [
    "REGISTRY",
    "AbsoluteError",
    "CrossEntropy",
    "FunctionLoss",
    "Huber",
    "Loss",
    "Poisson",
    "Quantile",
    "SigmoidCrossEntropy",
    "SquaredError",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Loss]] = {
    "cross_entropy": CrossEntropy,
    "log_loss": CrossEntropy,
    "binary_cross_entropy": SigmoidCrossEntropy,
    "squared_error": SquaredError,
    "mse": SquaredError,
    "absolute_error": AbsoluteError,
    "mae": AbsoluteError,
    "l1": AbsoluteError,
    "huber": Huber,
    "poisson": Poisson,
    "quantile": Quantile,
    "pinball": Quantile,
}

# The same word for "each label by itself" where the target is multilabel, and what "auto" is.
_MULTILABEL: dict[str, Callable[[], Loss]] = {
    "cross_entropy": SigmoidCrossEntropy,
    "log_loss": SigmoidCrossEntropy,
}
_AUTO: dict[str, Callable[[], Loss]] = {
    "classification": CrossEntropy,
    "multilabel": SigmoidCrossEntropy,
    "regression": SquaredError,
}
_LINK: dict[str, Link] = {"classification": "softmax", "multilabel": "sigmoid", "regression": "identity"}


def names(task: str | None = None) -> list[str]:
    """All accepted names, sorted.

    Parameters
    ----------
    task : {"classification", "multilabel", "regression"}, optional
        Only those for this task.

    Examples
    --------
    >>> names("multilabel")
    ['binary_cross_entropy', 'cross_entropy', 'log_loss']
    """
    return sorted(REGISTRY if task is None else _registry(task))


def _registry(task: str) -> dict[str, Callable[[], Loss]]:
    known = REGISTRY | (_MULTILABEL if task == "multilabel" else {})
    return {name: make for name, make in known.items() if task in make().tasks}


def get(value: object, *, task: str) -> Loss:
    """The loss of a name ("auto" included), a `Loss`, or a function ``(output, target) -> losses``.

    Parameters
    ----------
    value : str, Loss or callable
    task : {"classification", "multilabel", "regression"}

    Returns
    -------
    Loss
        A function becomes a `FunctionLoss` with the link of the task.

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
    loss = resolve(value, registry | {"auto": _AUTO[task]}, parameter="loss", base=Loss, wrap=wrap)
    if task not in loss.tasks:
        raise _wrong_task(value, loss, task)
    return loss


def _wrong_task(value: object, loss: Loss, task: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"The 'loss' parameter got {value!r}, which is for {' and '.join(sorted(loss.tasks))} targets;"
        f" for {task} choose from 'auto', {', '.join(map(repr, names(task)))}."
    )
