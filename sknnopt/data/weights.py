"""What each row counts for: sample weights times class weights."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.class_weight import compute_class_weight

from .._compat import _check_sample_weight

__all__ = ["check_weights", "counted_rows", "in_reach"]

#: Only the ratios of weights count, so that a largest one beyond two to the power of plus or minus this is halved or
#: doubled until it is about 1.
REACH = 64


def check_weights(
    sample_weight: ArrayLike | None,
    X: Any,
    class_weight: Mapping[Any, float] | str | list[Mapping[Any, float]] | None = None,
    y: NDArray[Any] | None = None,
    classes: NDArray[Any] | None = None,
) -> NDArray[np.float64] | None:
    """Check the sample weights and multiply them by the weights of the rows' classes.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), float or None
    X : array-like
        Only its length counts.
    class_weight : dict, "balanced" or None, default=None
        As in ``sklearn.utils.class_weight``, with the rows counted by their weights. For several labels:
        "balanced", or a list of a dict for each label, whose weights are multiplied.
    y : ndarray of shape (n_rows,) or (n_rows, n_labels), default=None
        The class labels; needed with `class_weight`.
    classes : ndarray, default=None
        All class labels; by default those in `y`. Of no account for several labels.

    Returns
    -------
    ndarray of float64 of shape (n_rows,) or None
        None if neither kind of weight is given.

    Raises
    ------
    ValueError
        If a weight of a row or a class is negative, NaN, infinite or no number, if there are not as many as rows,
        or if all are zero.

    Examples
    --------
    >>> import numpy as np
    >>> X, y = np.zeros((3, 1)), np.array(["a", "a", "b"])
    >>> check_weights([1, 2, 1], X, "balanced", y)
    array([0.66666667, 1.33333333, 2.        ])
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = in_reach(_numbers(sample_weight, X))
    if class_weight is not None and y is not None:
        _check_class_weight(class_weight)
        known = classes if np.ndim(y) == 1 else None
        each = [_class_weights(one, labels, known, weights) for labels, one in _by_label(class_weight, y)]
        weights = in_reach(weights * in_reach(np.prod(each, axis=0)))
        if not weights.any():
            raise ValueError("class_weight leaves no row with a sample_weight above zero.")
    return weights


def _numbers(sample_weight: ArrayLike | None, X: Any) -> NDArray[np.float64]:
    """Return checked sample weights, which can be written to."""
    try:
        if sample_weight is not None and np.size(given := np.asarray(sample_weight)) and not given.any():
            raise ValueError("sample_weight must contain at least one non-zero number, but all are zero.")
        with np.errstate(over="ignore", invalid="ignore"):
            checked = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True)
    except (TypeError, ValueError) as error:
        if "sample_weight" in str(error) or "Sample weights" in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"sample_weight must be numbers. {error!s:.200}") from error
    return np.require(checked, requirements="W")


def _check_class_weight(class_weight: Any) -> None:
    """Refuse weights by which a loss would be none."""
    for one in class_weight if isinstance(class_weight, list) else [class_weight]:
        for label, weight in one.items() if isinstance(one, Mapping) else ():
            if not (isinstance(weight, Real) and 0 <= float(weight) < np.inf):
                raise ValueError(f"class_weight must have finite numbers of at least 0. Got {weight!r} of {label!r}.")


def in_reach(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights whose sums and squares are numbers: far too large or too small ones times a power of two."""
    exponent = int(np.frexp(weights.max(initial=0.0))[1])
    return weights if abs(exponent) <= REACH else np.ldexp(weights, -exponent)


def counted_rows(
    sample_weight: ArrayLike | None, n_rows: int, *, keep: bool
) -> tuple[NDArray[np.bool_] | None, NDArray[np.float64] | None]:
    """The rows that count, None for all, and their weights, None if they are equal.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,) or None
    n_rows : int
    keep : bool
        Whether equal weights are told from none where they are whole numbers above 1: every row several times.

    Examples
    --------
    >>> counted_rows([2, 0, 2], 3, keep=False)
    (array([ True, False,  True]), None)
    >>> counted_rows([2, 2], 2, keep=True)
    (None, array([2., 2.]))
    """
    weights = check_weights(sample_weight, range(n_rows))
    if weights is None:
        return None, None
    rows = None if weights.all() else weights > 0
    weights = weights if rows is None else weights[rows]
    several = keep and weights[0] > 1 and weights[0] == np.rint(weights[0])
    return rows, None if (weights == weights[0]).all() and not several else weights


def _by_label(class_weight: Any, y: NDArray[Any]) -> list[tuple[NDArray[Any], Any]]:
    if y.ndim == 1:
        return [(y, class_weight)]
    if isinstance(class_weight, Mapping):
        raise ValueError("For multi-output, class_weight should be a list of dicts, or the string 'balanced'.")
    each = [class_weight] * y.shape[1] if isinstance(class_weight, str) else class_weight
    if len(each) != y.shape[1]:
        raise ValueError(
            "For multi-output, number of elements in class_weight should match number of outputs. "
            f"Got {len(each)} element(s) while having {y.shape[1]} outputs."
        )
    return list(zip(y.T, each, strict=True))


def _class_weights(
    class_weight: Any, y: NDArray[Any], classes: NDArray[Any] | None, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The class weight of each row, that of a class without any weight being 1."""
    counted = weights > 0
    present = np.unique(y[counted])
    known = present if classes is None or class_weight == "balanced" else np.unique(classes)
    each = compute_class_weight(class_weight, classes=known, y=y[counted], sample_weight=weights[counted])
    of_row = np.ones(len(y))
    of_row[counted] = each[np.searchsorted(known, y[counted])]
    return of_row
