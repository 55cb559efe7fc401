"""Whether a target is one that can be learnt: class labels, or numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target

__all__ = ["PLAIN", "check_labels", "check_numbers"]

#: Farther from 0 what a network predicts may be no number, once it is scaled back.
LARGEST_TARGET = 1e300

#: Kinds of numpy data that are class labels whatever their values: bools, integers and strings.
PLAIN = "biuU"

# How Python and numpy begin to say that something is not to be made a number.
_NO_NUMBER = (
    "could not convert",
    "Cannot cast",
    "float()",
    "int too large",
    "setting an array element with a sequence",
)


def check_labels(y: Any, *, warn: bool) -> Any:
    """Class labels of shape (n_rows,), or 0 and 1 of shape (n_rows, n_labels)."""
    with np.errstate(over="ignore", invalid="ignore"):
        y = check_array(y, accept_sparse="csr", dtype=None, ensure_2d=False, ensure_all_finite=False, input_name="y")
    if y.dtype == object:
        _check_objects(y)
    elif y.dtype.kind in "Mm" and np.isnat(y).any():
        raise ValueError("Input y contains NaT.")
    with np.errstate(over="ignore", invalid="ignore"):
        assert_all_finite(y, input_name="y")
        if y.ndim == 1 and y.dtype.kind in PLAIN:
            return y
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            check_classification_targets(y)
    if kind == "multiclass-multioutput":
        raise ValueError(
            "Targets of several classes for each of several outputs (multiclass-multioutput) are not "
            "supported. Fit one classifier an output, with sklearn.multioutput.MultiOutputClassifier."
        )
    if kind != "multilabel-indicator":
        return column_or_1d(y, warn=warn)
    values = y.data if sparse.issparse(y) else y
    if not ((values == 0) | (values == 1)).all():
        raise ValueError("An indicator matrix of labels must hold 0 and 1 only.")
    return y


def _check_objects(y: NDArray[Any]) -> None:
    """Refuse labels that are missing, or cannot be sorted."""
    labels = y.ravel().tolist()
    if any(label is None for label in labels):
        raise ValueError("Input y contains None.")
    kinds = {type(label) for label in labels}
    if any(kind.__name__ == "NAType" for kind in kinds):
        raise ValueError("Input y contains NA.")
    words = {kind for kind in kinds if issubclass(kind, str)}
    others = sorted(kind.__name__ for kind in kinds - words if kind is not float)  # a float may be a NaN, told apart
    if words and others:
        raise TypeError(f"Class labels y must be all strings or all numbers. Got {['str', *others]}.")


def check_numbers(y: Any, *, warn: bool) -> NDArray[np.float64]:
    """Return numbers to learn, float64 of shape (n_rows, n_outputs)."""
    with np.errstate(over="ignore", invalid="ignore"), _naming_y():
        values = check_array(y, dtype="numeric", ensure_2d=False, ensure_all_finite=True, input_name="y")
        if values.dtype.kind in "Mm":
            raise TypeError(f"Targets y must be numbers. Got {values.dtype}; convert dates and durations, to days say.")
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=warn)
        numbers = np.asarray(values if values.ndim == 2 else values[:, None], dtype=np.float64)
    if np.isnan(numbers).any():  # a None that was an object before
        raise ValueError("Input y contains NaN.")
    if np.abs(numbers).max(initial=0.0) > LARGEST_TARGET:
        raise ValueError(f"Input y contains a value beyond plus or minus {LARGEST_TARGET:g}. Divide y by a constant.")
    return numbers


@contextmanager
def _naming_y() -> Iterator[None]:
    """Name the target where numpy and Python only say that something is no number."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        if not str(error).startswith(_NO_NUMBER):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Targets y must be numbers. {error!s:.200}") from error
