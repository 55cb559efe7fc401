"""From the user's arrays to the engine's table: checks, split, encoding."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing, check_array, check_consistent_length

from sknnopt._compat import dispatches_to_others
from sknnopt.data import TableEncoder
from sknnopt.data.batches import Matrix, Table
from sknnopt.data.on_disk import EncodedOnDisk, OnDisk
from sknnopt.data.reading import is_plain
from sknnopt.engine import share

AUTO_STOPPING_ROWS = 5000
"""Rows from which ``early_stopping="auto"`` withholds some from a single network."""

SHARED_STOPPING_ROWS = 50
"""The same of several members, which withhold different rows."""


_NO_NUMBERS = ("could not convert", "Cannot cast", "setting an array element with a sequence.")
"""How numpy and pandas begin to say that a column holds something else than numbers."""


@dataclass(frozen=True)
class HeldOut:
    """The rows that a member is judged by.

    Attributes
    ----------
    table, rows
        The encoded rows; the table may be the one that is trained on.
    raw : tuple (X, y)
        The same rows as the user gave them, for scorers.
    """

    table: Table
    rows: NDArray[np.int64]
    raw: tuple[Any, Any]

    @property
    def weight(self) -> NDArray[np.float64] | None:
        """What each row counts."""
        if self.table.weight is None:
            return None
        weights: NDArray[np.float64] = self.table.weight.numpy()[self.rows]
        return weights


@dataclass(frozen=True)
class MemberData:
    """What a member is trained on, the `rows` of a table weighed for it, and what it is judged by."""

    table: Table
    rows: NDArray[np.int64]
    held_out: HeldOut | None = None


@dataclass(frozen=True)
class Prepared:
    """What a fit is given.

    Attributes
    ----------
    rows
        Those that a member is trained on, whichever: what members share is learnt from them.
    parts : sequence of MemberData
        Those of the members, in turn. Their tables have their inputs and target in common.
    """

    rows: NDArray[np.int64]
    parts: Sequence[MemberData]

    def of(self, member: int) -> MemberData:
        """Return what a member, counted from 0, is trained and judged on."""
        return self.parts[member % len(self.parts)]

    @property
    def inputs(self) -> Matrix:
        """All encoded rows."""
        return self.parts[0].table.inputs


def check_held_out(X: Any, y: Any, sample_weight: Any) -> None:
    """Refuse one of ``X_val`` and ``y_val`` without the other, and weights without both."""
    if (X is None) != (y is None):
        given, other = ("X_val", "y_val") if y is None else ("y_val", "X_val")
        raise ValueError(f"{given} was given without {other}.")
    if X is None and sample_weight is not None:
        raise ValueError("sample_weight_val was given without X_val and y_val.")


@contextmanager
def naming_held_out() -> Iterator[None]:
    """Say that it is the rows to be judged by with which something is wrong."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Of X_val, y_val and sample_weight_val: {error}") from error


def as_two_dimensional(X: Any, *, allow_nd: bool = False) -> Any:
    """Return `X`, as an array if it only converts to one; raise sklearn's own error if it is no table."""
    if hasattr(X, "collect"):
        raise TypeError(f"X is a {type(X).__name__}, whose rows are not there yet; pass X.collect().")
    X = as_array(X)
    shape = X.shape if hasattr(X, "shape") else np.shape(np.asarray(X, dtype=object))
    if len(shape) > 2 and not allow_nd:
        raise ValueError(
            f"Found array with dim {len(shape)}, while dim <= 2 is required. Rows of more axes, such as images, need "
            "preprocessing=None and a network of one's own."
        )
    if len(shape) < 2:
        check_array(X, dtype=None, ensure_all_finite=False)
    return X


def as_array(values: Any) -> Any:
    """Return `values`, an array if it was something that only converts to one; sparse matrices as CSR.

    Raises
    ------
    TypeError
        If scikit-learn is to keep to the library of the arrays given, and that is not NumPy.
    """
    if dispatches_to_others(values):
        kind = f"{type(values).__module__.partition('.')[0]}.{type(values).__name__}"
        raise TypeError(
            f"With array_api_dispatch=True predictions would have to be of the type {kind} too, which estimators of "
            "sknnopt do not give: they take and return NumPy arrays, and train on a GPU by device='cuda'. Pass NumPy "
            "arrays (tensor.numpy(force=True)), or leave array_api_dispatch off, where tensors on the CPU are taken as "
            "NumPy arrays."
        )
    if sparse.issparse(values):
        return values.tocsr()
    return values if hasattr(values, "shape") or isinstance(values, list | tuple) else np.asarray(values)


def select(X: Any, rows: NDArray[np.int64]) -> Any:
    """Return some rows of an array, frame, sparse matrix or list; those of a table that stays on disk stay there."""
    if isinstance(X, OnDisk):
        return X.select(rows)
    return _safe_indexing(X, rows)


def encode(
    encoder: TableEncoder | None,
    X: Any,
    dtype: np.dtype[Any],
    *,
    estimator: Any,
    fit: bool = False,
    fit_weight: Any = None,
    allow_nd: bool = False,
    seed: int = 0,
) -> Any:
    """Return the encoded rows, an ndarray or CSR matrix of `dtype`; the encoder learns from them if `fit`.

    Those of a table that stays on disk stay there too; `seed` is what its samples and orders follow from.
    """
    if isinstance(X, OnDisk):
        if encoder is not None:
            if fit:
                encoder.fit_on_disk(X, fit_weight, seed=seed)
            return encoder.on_disk(X, seed=seed, check=not fit)
        cast = partial(encode, None, dtype=dtype, estimator=estimator, allow_nd=allow_nd)
        for part in X.chunks():
            cast(X.read(part))
        return EncodedOnDisk(X, cast, dtype, seed)
    if encoder is not None:
        return encoder.fit_transform(X, sample_weight=fit_weight) if fit else encoder.transform(X)
    if is_plain(X):
        with np.errstate(over="ignore", invalid="ignore"):
            values = X.astype(dtype, copy=False)
            finite = np.isfinite(values.sum())
        if finite:
            return values
    _check_kinds(X, dtype)
    options = {"dtype": dtype, "accept_sparse": "csr", "estimator": estimator, "input_name": "X", "allow_nd": allow_nd}
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return check_array(X, **options)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, ValueError) and not str(error).startswith(_NO_NUMBERS):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"With preprocessing=None, X must hold numbers of {dtype} alone. {error!s:.200}") from error


def _check_kinds(X: Any, dtype: np.dtype[Any]) -> None:
    """Refuse what would become some number or other: dates, in whatever unit they have, and frames without columns."""
    kinds = [X.dtype] if hasattr(X, "dtype") else list(getattr(X, "dtypes", []))
    for kind in kinds:
        if getattr(kind, "kind", "") in ("M", "m") or getattr(kind, "is_temporal", bool)():
            raise TypeError(f"With preprocessing=None, X must hold numbers of {dtype} alone. Got {kind}.")
    if 0 in getattr(X, "shape", ()):
        check_array(np.empty(X.shape))


def as_table(X: Any, target: NDArray[Any], weight: NDArray[np.float64] | None) -> Table:
    """Return encoded rows, target and weights as the engine's table, which fits in lockstep share."""
    check_consistent_length(X, target, weight)
    if isinstance(X, np.ndarray):
        X = torch.from_numpy(X if X.flags.writeable and X.flags.c_contiguous else np.array(X, order="C"))
    return share(Table(X, torch.from_numpy(target), None if weight is None else torch.from_numpy(weight)))


def withheld_in_memory(table: Table, rows: NDArray[np.int64], X: OnDisk, y: Any) -> HeldOut:
    """Return the withheld rows of a table on disk, read and encoded."""
    weight = None if table.weight is None else table.weight[rows]
    own = Table(torch.from_numpy(table.inputs[rows]), table.target[rows], weight)
    return HeldOut(own, np.arange(len(rows)), (X.read(rows), select(y, rows)))


def weighed(table: Table, weight: NDArray[np.float64] | None) -> Table:
    """Return the same rows with other weights."""
    return share(replace(table, weight=None if weight is None else torch.from_numpy(weight)))
