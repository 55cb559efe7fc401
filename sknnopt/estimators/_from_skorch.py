"""Fitted estimators from fitted skorch nets."""

import copy
import math
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data
from skorch import NeuralNet
from skorch.exceptions import NotInitializedError
from torch import Tensor, nn

from sknnopt._random import forked_torch_random
from sknnopt._threads import single_thread
from sknnopt.estimators._calibration import Settings
from sknnopt.estimators._data import as_two_dimensional, select
from sknnopt.estimators._histories import Record, member_histories
from sknnopt.estimators._preparation import PRECISIONS
from sknnopt.estimators._range_test import Rate
from sknnopt.estimators._skorch_parameters import Criterion, criterion_of, network_of, parameters_of
from sknnopt.nn import AsScores, CustomNetwork, Module, Remade


class Taken(NamedTuple):
    """What is taken over: the net, its criterion, and a copy of its module with the number of scores it returns."""

    net: NeuralNet
    criterion: Criterion
    module: nn.Module
    n_scores: int


class FromSkorchMixin:
    """Takes fitted skorch nets over."""

    @classmethod
    def from_skorch(cls, net: NeuralNet, X: Any = None) -> Self:
        """Return a fitted estimator that predicts as a fitted skorch net does, and goes on from its weights.

        Parameters are carried over where there is an equivalent, see ``docs/skorch.md``. The optimizer's state is not:
        its moments begin anew. Cloned and fitted, the estimator trains a network of the same architecture from new
        weights.

        Parameters
        ----------
        net : skorch.NeuralNet
            Fitted, or with weights loaded. Its module is copied; the net stays as it is.
        X : array-like or frame, default=None
            Rows as the net takes them, for the number of columns (and their names) where the module does not tell it.

        Returns
        -------
        estimator

        Raises
        ------
        TypeError
            If it is no net, or one for another task.
        sklearn.exceptions.NotFittedError
            If the net is not fitted.
        ValueError
            If its criterion has no equivalent, if it has several modules, or if `X` is needed.

        Warns
        -----
        UserWarning
            Of what is not carried over.
        """
        _check_net(net, cls._skorch_kinds(), cls.__name__)
        classifies = cls._classifies()
        criterion = criterion_of(net, classifies=classifies)
        params, lost = parameters_of(net, classifies=classifies)
        module, first = _module(net), next(iter(net.module_.parameters()), None)
        dtype = torch.float32 if first is None else first.dtype
        precision = next((name for name, one in PRECISIONS.items() if one.tensor == dtype), None)
        if precision is None:
            raise ValueError(f"from_skorch takes modules of float32 or float64 parameters. This one has {dtype}.")
        returns = criterion.returns
        scoring = module if returns is None else AsScores(module, returns).eval()
        columns, n_scores = _probed(scoring, X, PRECISIONS[precision].array)
        factory, own = network_of(net, returns)
        if isinstance(factory, Remade) and factory.kept():
            lost.append(f"how to draw {', '.join(factory.kept())} anew (fits begin with the values they have)")
        network = Module(factory, **own)
        taken = Taken(net, criterion, scoring, n_scores)
        make: Any = cls
        estimator: Self = make(
            network=network, precision=precision, loss=criterion.loss, **{**params, **criterion.params}
        )
        estimator._set_target(taken)
        _set_columns(estimator, X, columns)
        _set_fitted(estimator, taken)
        lost = criterion.lost + lost
        if lost:
            warnings.warn(f"Not carried over from the skorch net: {'; '.join(lost)}.", UserWarning, stacklevel=2)
        return estimator

    @classmethod
    @abstractmethod
    def _skorch_kinds(cls) -> tuple[type[NeuralNet], ...]:
        """Return the classes of nets that are taken."""

    @classmethod
    @abstractmethod
    def _classifies(cls) -> bool:
        """Return whether nets are classifiers."""

    @abstractmethod
    def _set_target(self, taken: Taken) -> None:
        """Set ``target_``, and what else depends on the task."""


def _check_net(net: Any, kinds: tuple[Any, ...], caller: str) -> None:
    names = " or ".join(f"skorch.{kind.__name__}" for kind in kinds)
    if not isinstance(net, kinds):
        got = f"the class {net.__name__}" if isinstance(net, type) else f"an object of {type(net).__name__}"
        raise TypeError(f"{caller}.from_skorch takes a fitted {names}. Got {got}.")
    try:
        net.check_is_fitted()
    except NotInitializedError:
        raise NotFittedError(
            f"This {type(net).__name__} is not fitted: call its fit, or initialize and load_params, before from_skorch."
        ) from None
    for what in ("modules", "criteria", "optimizers"):
        if len(getattr(net, f"_{what}")) != 1:
            raise ValueError(f"from_skorch takes nets of one module, criterion and optimizer; this has several {what}.")


@single_thread()
def _module(net: NeuralNet) -> nn.Module:
    """Return a copy of the net's module, on the CPU."""
    module: nn.Module = copy.deepcopy(getattr(net.module_, "_orig_mod", net.module_)).cpu()
    return module.eval()


@single_thread()
@forked_torch_random()
def _probed(module: nn.Module, X: Any, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return how many columns a module takes, and how many scores a row it returns.

    Raises
    ------
    ValueError
        If `X` is needed, or what is returned is not scores of each row.
    """
    for rows in _candidates(module, X, dtype):
        try:
            with torch.no_grad():
                scores = module(rows)
        except Exception:
            if X is not None:
                raise
            continue  # it is another layer that takes the rows
        if not isinstance(scores, Tensor) or scores.ndim > 2 or len(scores) != len(rows):
            got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"The net's module must return scores (n, n_outputs). For 2 rows it returns {got}.")
        return rows.shape[1], 1 if scores.ndim == 1 else scores.shape[1]
    raise ValueError(
        "The net's module does not tell how many columns its rows have. Give from_skorch rows of them: "
        "from_skorch(net, X)."
    )


def _candidates(module: nn.Module, X: Any, dtype: np.dtype[Any]) -> Iterator[Tensor]:
    """Yield two rows of `X`, or of as many columns as layers take."""
    if X is not None:
        yield torch.tensor(np.asarray(select(X, np.array([0, 0])), dtype=dtype))
        return
    sizes = [getattr(part, name, None) for part in module.modules() for name in ("in_features", "num_features")]
    for size in dict.fromkeys(one for one in sizes if isinstance(one, int)):
        yield torch.tensor(np.zeros((2, size), dtype=dtype))


def _set_columns(estimator: Any, X: Any, columns: int) -> None:
    if X is None:
        estimator.n_features_in_ = columns
    else:
        validate_data(estimator, as_two_dimensional(X, allow_nd=True), reset=True, skip_check_array=True)


@single_thread()
def _set_fitted(estimator: Any, taken: Taken) -> None:
    """Set what `fit` would have set."""
    estimator._check_params()
    history = _records(taken.net, estimator.learning_rate)
    losses = [float(record.get("valid_loss", record["train_loss"])) for record in history]  # type: ignore[arg-type]
    last = losses[-1] if losses else math.nan
    estimator.__dict__ |= {
        "loss_": taken.criterion.loss,
        "preprocessor_": None,
        "module_": taken.module,
        "n_outputs_": taken.n_scores,
        "n_parameters_": CustomNetwork(copy.deepcopy(taken.module), taken.n_scores).layout.n_parameters,
        "n_validation_samples_": _withheld(taken.net),
        "history_": history,
        "member_histories_": member_histories([history], {}) if history else {},
        "n_iter_": len(history),
        "best_epoch_": len(history),
        "best_loss_": last,
        "restart_scores_": np.array([-last]),
        "learning_rate_": estimator.learning_rate,
        "learning_rate_test_": None,
        "recipe_weights_": np.ones(1),
        "_rates": [Rate(estimator.learning_rate, None)],
        "_settings": Settings.plain(1),
        "_seed": 0,
        "_embeds": False,
        "_places": [0],
        "_member_kinds": [0],
        "_networks": [None],
        "_optimizers": [clone(estimator.optimizer)],
        "_fitted_shape": estimator._shape(),
    }


def _records(net: NeuralNet, rate: float) -> list[Record]:
    """Return the net's history as records; what it does not hold is NaN, but for losses on withheld rows."""
    out: list[Record] = []
    for row in net.history:
        record: Record = {"epoch": len(out) + 1, "train_loss": float(row.get("train_loss", math.nan))}
        if "valid_loss" in row:
            record["valid_loss"] = float(row["valid_loss"])
        record |= {"learning_rate": float(row.get("event_lr", rate)), "gradient_norm": math.nan}
        out.append(record | {"weight_norm": math.nan, "seconds": float(row.get("dur", math.nan))})
    return out


def _withheld(net: NeuralNet) -> int:
    batches = net.history[-1]["batches"] if len(net.history) else []
    return sum(int(batch.get("valid_batch_size", 0)) for batch in batches)


def net_classes(net: NeuralNet, n_classes: int) -> NDArray[Any]:
    """Return the classes of a net's scores, those it was told or has seen; else their numbers.

    Raises
    ------
    ValueError
        If they are not sorted, or not as many.
    """
    try:
        classes = np.asarray(net.classes_)
    except AttributeError:
        return np.arange(n_classes)
    if len(classes) < n_classes and np.isin(classes, np.arange(n_classes)).all():
        return np.arange(n_classes)
    if len(classes) != n_classes or not np.array_equal(classes, np.unique(classes)):
        raise ValueError(f"The net has {n_classes} scores a row, and these classes, to be sorted: {classes}.")
    return classes
