"""Any table that scikit-learn accepts, as a numeric array, a CSR matrix, or named columns."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array

from .columns import ArrayColumn, Column
from .frames import PandasColumn, PolarsColumn

__all__ = ["Columns", "Table", "as_columns", "categorical_mask", "is_plain", "naming", "read_table"]


@dataclass(frozen=True)
class Columns:
    """A table of named columns.

    Parameters
    ----------
    names : sequence
        What errors call each column.
    columns : sequence of Column
    n_rows : int
    """

    names: Sequence[Any]
    columns: Sequence[Column]
    n_rows: int

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        return self.n_rows, len(self.columns)


Table: TypeAlias = NDArray[Any] | sparse.csr_array | Columns


def as_columns(table: NDArray[Any] | Columns) -> Columns:
    """Return a dense table as columns."""
    if isinstance(table, Columns):
        return table
    return Columns(range(table.shape[1]), [ArrayColumn(column) for column in table.T], len(table))


def is_plain(X: Any) -> bool:
    """Whether a table is rows of numbers in a numpy array, whose kind, names and columns need no looking at.

    Examples
    --------
    >>> is_plain(np.ones((2, 3))), is_plain(np.ones((0, 3))), is_plain([[1, 2]])
    (True, False, False)
    """
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "biuf" and X.size > 0


def read_table(X: Any) -> Table:
    """The table as a two-dimensional array of numbers, a CSR matrix, or columns.

    Parameters
    ----------
    X : pandas or polars frame, ndarray, sparse matrix or list of lists of shape (n_rows, n_columns)

    Raises
    ------
    TypeError
        If the table is a polars LazyFrame.
    ValueError
        If the table is empty, not two-dimensional, or complex, or two columns have one name; with sklearn's messages.

    Examples
    --------
    >>> read_table([[1, 2.5], [3, 4]])
    array([[1. , 2.5],
           [3. , 4. ]])
    >>> read_table([[1, "red"], [2, None]]).shape
    (2, 2)
    """
    if is_plain(X):
        plain: NDArray[Any] = X
        return plain
    for library, column in (("pandas", PandasColumn), ("polars", PolarsColumn)):
        module = sys.modules.get(library)
        if module is not None and isinstance(X, module.DataFrame):
            return _read_frame(X, column)
        if module is not None and library == "polars" and isinstance(X, module.LazyFrame):
            raise TypeError("A polars LazyFrame has no rows yet. Call .collect() on it and pass the DataFrame.")
    if sparse.issparse(X):
        return check_array(X, accept_sparse="csr", ensure_all_finite=False)
    values = check_array(X, dtype=None, ensure_all_finite=False)
    if values.dtype.kind in "biuf":
        return np.asarray(values)
    if values.dtype.kind in "US" and not hasattr(X, "dtype"):
        values = np.array(X, dtype=object)
    names = range(values.shape[1])
    return Columns(names, [ArrayColumn(values[:, place]) for place in names], len(values))


def _read_frame(frame: Any, column: type[PandasColumn] | type[PolarsColumn]) -> Columns:
    if 0 in frame.shape:
        check_array(np.empty(frame.shape))
    times = Counter(frame.columns)
    if len(times) < len(frame.columns):
        repeated = [f"- {name!r} {count} times" for name, count in times.items() if count > 1]
        raise ValueError("\n".join(["Expected unique column names, got:", *repeated]))
    places = range(frame.shape[1])
    series = [frame.iloc[:, place] if hasattr(frame, "iloc") else frame[:, place] for place in places]
    return Columns(list(frame.columns), [column(one) for one in series], len(frame))


@contextmanager
def naming(name: Any) -> Iterator[None]:
    """Name the column in whatever TypeError or ValueError it causes."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Column {name!r}: {error}") from error


def categorical_mask(categorical_features: Any, names: Sequence[Any] | None, n_features: int) -> NDArray[np.bool_]:
    """The columns that a list of names, of indices or a mask asks to be categories.

    The meanings and errors are those of HistGradientBoosting.

    Parameters
    ----------
    categorical_features : array-like of bool, int or str
    names : sequence of str or None
        The names of the columns; None if they have none.
    n_features : int

    Returns
    -------
    ndarray of bool of shape (n_features,)

    Raises
    ------
    ValueError
        If they are of another type, or not in the table.

    Examples
    --------
    >>> categorical_mask(["b"], ["a", "b"], 2)
    array([False,  True])
    """
    wanted = np.asarray(categorical_features)
    found = {type(one).__name__ for one in wanted.ravel().tolist()}
    if wanted.ndim != 1 or len(found) > 1 or not found <= {"bool", "int", "str"}:
        raise ValueError(
            "categorical_features must be 'from_dtype', None, or an array-like of bool, int or str, "
            f"got: {categorical_features!r}."
        )
    mask = np.zeros(n_features, dtype=bool)
    if wanted.dtype.kind == "b" and wanted.shape != mask.shape:
        raise ValueError(
            f"categorical_features set as a boolean mask must have shape (n_features,), got: {wanted.shape}"
        )
    if found == {"int"} and (wanted.max() >= n_features or wanted.min() < 0):
        raise ValueError("categorical_features set as integer indices must be in [0, n_features - 1]")
    places = _places(wanted.tolist(), names) if found == {"str"} else wanted
    if len(wanted):
        mask[places] = True
    return mask


def _places(wanted: list[str], names: Sequence[Any] | None) -> list[int]:
    if names is None:
        raise ValueError(
            "categorical_features should be passed as an array of integers or as a boolean mask when the "
            "model is fitted on data without feature names."
        )
    known = list(names)
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"categorical_features has an item value {name!r} which is not a valid feature name of the "
                f"training data. Observed feature names: {known}"
            )
    return [known.index(name) for name in wanted]
