"""Numbers scaled to mean 0 and variance 1."""

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .numeric import LARGEST, Statistics, column_statistics

__all__ = ["standard_statistics"]


def standard_statistics(values: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Statistics:
    """Mean of a column, and one over its standard deviation.

    Both are sums over its distinct values in ascending order, times the share of rows that have each: so they depend
    neither on the order of the rows nor on how often the table is repeated, to the bit.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Integers, bools or floats; NaN is missing.
    weights : ndarray of shape (n_rows,), default=None
        Positive weights; an integer weight counts as that many rows, to the bit.

    Returns
    -------
    Statistics

    Raises
    ------
    ValueError
        If a value is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> standard_statistics(np.array([1.0, 1.0, 5.0, 5.0, np.nan]))
    Statistics(center=3.0, scale=0.5, missing=True, tied=False, quantiles=None, ranks=None)
    """
    return column_statistics(values, weights, _moments)


def _moments(values: NDArray[Any], weights: NDArray[np.float64] | None, low: float, high: float) -> Statistics:
    distinct, share = _shares(np.clip(values.astype(np.float64), -LARGEST, LARGEST), weights)
    mean = float((share * distinct).sum())
    difference = distinct - mean
    reach = float(np.abs(difference).max())
    deviation = reach * math.sqrt((share * np.square(difference / reach)).sum())
    return Statistics(mean, min(1 / deviation, sys.float_info.max) if deviation else sys.float_info.max)


def _shares(
    values: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the distinct values in ascending order, and the share of rows that have each."""
    if weights is None:
        values.sort()
    else:
        order = values.argsort(kind="stable")
        values, weights = values[order], weights[order]
    starts = np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)
    count = np.diff(starts, append=len(values)) if weights is None else np.add.reduceat(weights, starts)
    return values[starts], count / count.sum()
