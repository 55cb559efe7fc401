"""Checking, splitting and encoding what is given to ``fit``."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import validate_data

from sknnopt import losses
from sknnopt.data import ClassTarget, RegressionTarget, TableEncoder, check_weights
from sknnopt.data.batches import Table
from sknnopt.data.on_disk import OnDisk, as_on_disk
from sknnopt.engine import current_meeting
from sknnopt.estimators._data import (
    AUTO_STOPPING_ROWS,
    SHARED_STOPPING_ROWS,
    HeldOut,
    MemberData,
    Prepared,
    as_array,
    as_table,
    as_two_dimensional,
    encode,
    naming_held_out,
    select,
    weighed,
    withheld_in_memory,
)
from sknnopt.estimators._devices import resolve_devices
from sknnopt.estimators._folds import Split, member_splits, split_on_disk
from sknnopt.estimators._kinds import MOST_COLUMNS
from sknnopt.estimators._parameterized import ParameterizedEstimator


class Precision(NamedTuple):
    """What ``precision`` stands for: numpy's and torch's type of data and weights, and that of factors if another."""

    array: np.dtype[Any]
    tensor: torch.dtype
    products: torch.dtype | None


PRECISIONS = {
    "float32": Precision(np.dtype(np.float32), torch.float32, None),
    "float64": Precision(np.dtype(np.float64), torch.float64, None),
    "bf16": Precision(np.dtype(np.float32), torch.float32, torch.bfloat16),
}


class PreparingEstimator(ParameterizedEstimator, ABC):
    """Turns the user's data into what the engine trains on, and fits the encoders."""

    target_: ClassTarget | RegressionTarget
    loss_: losses.Loss

    @abstractmethod
    def _new_target(self, y: Any, weight: Any, classes: Any) -> NDArray[Any] | None:
        """Set ``loss_`` and ``target_``, fitted as far as that needs no training rows; return the codes of classes."""

    @property
    @abstractmethod
    def _task(self) -> str:
        """Which of the tasks the fitted target is."""

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, held_out: tuple[Any, Any, Any] | None, *, reset: bool,
        classes: Any = None,
    ) -> Prepared:  # fmt: skip
        """Check and encode the data; with `reset` the encoders learn from the training rows."""
        numpy_dtype = PRECISIONS[self.precision].array
        X = as_two_dimensional(X, allow_nd=self._takes_nd())
        validate_data(self, X, y, reset=reset, skip_check_array=True)
        X, y = as_on_disk(X), as_array(y)
        check_consistent_length(X, y)
        weight = check_weights(sample_weight, X)
        self._devices = resolve_devices(self.device)
        if not reset:
            loss = losses.get(self.loss, task=self._task)
            self._check_continues(loss)
            self.loss_, codes = loss, None
        else:
            self._seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            codes = self._new_target(y, weight, classes)
            self._embeds = not sparse.issparse(X) and self.n_features_in_ <= MOST_COLUMNS
        X, y, weight, codes = _without_zero_weights(X, y, weight, codes)
        codes = self._codes(y) if codes is None else codes
        splits = self._splits(X, codes, held_out)
        rows = splits[0].rows if len(splits) == 1 else np.arange(_length(X))
        target = self._encode_target(y, codes, weight, rows, fit=reset)
        if reset:
            self.preprocessor_ = self._new_encoder()
        inputs = encode(
            self.preprocessor_, X, numpy_dtype, estimator=self, fit=reset, allow_nd=self._takes_nd(),
            fit_weight=_on_rows(weight, rows, X), seed=self._seed,
        )  # fmt: skip
        if current_meeting() is not None and isinstance(X, np.ndarray) and np.may_share_memory(inputs, X):
            inputs = inputs.copy()  # while this fit waits, others run, and may write into what is theirs
        weights = [self._row_weights(weight, y, codes, split.rows) for split in splits]
        table = as_table(inputs, target, weights[0])
        given = self._given_rows(*held_out) if held_out is not None and held_out[0] is not None else None
        parts = [
            _part(table if own is weights[0] else weighed(table, own), split, X, y, given)
            for split, own in zip(splits, weights, strict=True)
        ]
        self.n_validation_samples_ = max(0 if part.held_out is None else len(part.held_out.rows) for part in parts)
        return Prepared(rows, parts)

    def _new_encoder(self) -> TableEncoder | None:
        if self.preprocessing is None:
            return None
        dtype = PRECISIONS[self.precision].array.type
        return TableEncoder(categorical_features=self.categorical_features, numbers=self.preprocessing, dtype=dtype)

    def _given_rows(self, X: Any, y: Any, sample_weight: Any) -> HeldOut:
        """Return the encoded ``X_val`` and ``y_val``."""
        with naming_held_out():
            return self._checked_rows(X, y, sample_weight)

    def _checked_rows(self, X: Any, y: Any, sample_weight: Any) -> HeldOut:
        X = as_two_dimensional(X, allow_nd=self._takes_nd())
        validate_data(self, X, reset=False, skip_check_array=True)
        check_consistent_length(X, y)
        weight = check_weights(sample_weight, X)
        dtype = PRECISIONS[self.precision].array
        inputs = encode(self.preprocessor_, as_on_disk(X), dtype, estimator=self, allow_nd=self._takes_nd())
        codes = self._codes(y)
        counted = self._held_out_weights(weight, codes)
        table = as_table(inputs, self._encode_target(y, codes, weight, None, fit=False), counted)
        return HeldOut(table, np.arange(len(table.target)), (X, y))

    def _takes_nd(self) -> bool:
        networks = [self.network, *(one["network"] for one in self._plain_recipes() if "network" in one)]
        return self.preprocessing is None and not any(isinstance(network, str) for network in networks)

    def _splits(self, X: Any, codes: Any, held_out: Any) -> list[Split]:
        """Return the rows to train on and those to withhold, of the members in turn."""
        n = _length(X)
        explicit = held_out is None or held_out[0] is not None
        members = max(kind.size for kind in self._kinds())
        least = SHARED_STOPPING_ROWS if members > 1 else AUTO_STOPPING_ROWS
        wanted = self.early_stopping is True or (self.early_stopping == "auto" and n >= least)
        if explicit or not wanted:
            return [Split(np.arange(n))]
        if isinstance(X, OnDisk):
            return [split_on_disk(n, self.validation_fraction, self._seed, X.row_size)]
        strata = codes if codes is not None and codes.ndim == 1 else None
        return member_splits(n, strata, self.validation_fraction, self._seed, members)

    @abstractmethod
    def _codes(self, y: Any) -> NDArray[Any] | None:
        """Return the codes of classes, of several labels a row their indicators; None for numbers."""

    @abstractmethod
    def _encode_target(
        self, y: Any, codes: NDArray[Any] | None, weight: Any, rows: NDArray[np.int64] | None, *, fit: bool
    ) -> NDArray[Any]:
        """Return the target as the loss takes it; with `fit` its scale is learnt from `rows`."""

    def _row_weights(
        self, weight: Any, y: Any, codes: NDArray[Any] | None, rows: NDArray[np.int64]
    ) -> NDArray[np.float64] | None:
        """Return what each row counts in the loss."""
        out: NDArray[np.float64] | None = weight
        return out

    def _held_out_weights(self, weight: Any, codes: NDArray[Any] | None) -> NDArray[np.float64] | None:
        """Return what each row of ``X_val`` counts."""
        out: NDArray[np.float64] | None = weight
        return out


def _without_zero_weights(X: Any, y: Any, weight: Any, codes: Any) -> tuple[Any, Any, Any, Any]:
    if weight is None or weight.all():
        return X, y, weight, codes
    rows = np.flatnonzero(weight)
    return select(X, rows), select(y, rows), weight[rows], None if codes is None else codes[rows]


def _length(X: Any) -> int:
    return X.shape[0] if hasattr(X, "shape") else len(X)


def _part(table: Table, split: Split, X: Any, y: Any, given: HeldOut | None) -> MemberData:
    """Return a member's data: it is judged by the rows it withholds, or else by those given, if any."""
    if split.withheld is not None and isinstance(X, OnDisk):
        given = withheld_in_memory(table, split.withheld, X, y)
    elif split.withheld is not None:
        given = HeldOut(table, split.withheld, (select(X, split.withheld), select(y, split.withheld)))
    return MemberData(table, split.rows, given)


def _on_rows(weight: Any, rows: NDArray[np.int64], X: Any) -> NDArray[Any] | None:
    """Return the weights with zeros on all rows that are not trained on; None if each counts once."""
    if weight is None and len(rows) == _length(X):
        return None
    out = np.zeros(_length(X), bool if weight is None and isinstance(X, OnDisk) else float)
    out[rows] = 1.0 if weight is None else weight[rows]
    return out
