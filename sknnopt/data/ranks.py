"""Numbers encoded by the ranks of their distinct values, where the quartiles of a column coincide."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .numeric import LARGEST, Statistics, present_values, robust_statistics
from .quantiles import N_QUANTILES
from .scaling import smooth_clip

__all__ = ["Ranks", "rank_statistics", "with_ranks", "write_ranks"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranks:
    """The map of a column to the ranks of its distinct values.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Distinct values, ascending.
    ranks : ndarray of shape (m,)
        The rank of each, less that of the median: the largest is 2 above the least.

    Examples
    --------
    >>> import numpy as np
    >>> column = Ranks(np.array([0.0, 5.0, 900.0]), np.array([0.0, 1.0, 2.0]))
    >>> column.of(np.array([0.0, 2.5, 900.0, 1e6]))
    array([0. , 0.5, 2. , 2. ])
    """

    values: Floats
    ranks: Floats

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Ranks)
            and np.array_equal(self.values, other.values)
            and np.array_equal(self.ranks, other.ranks)
        )

    __hash__ = None  # type: ignore[assignment]

    def of(self, numbers: NDArray[Any]) -> Floats:
        """Return the ranks of numbers: between two values along a line, beyond the ends those of the ends."""
        return np.interp(numbers, self.values, self.ranks)

    def numbers(self, ranks: Floats) -> Floats:
        """Return the numbers of such ranks; those at the ends stand for all beyond."""
        return np.interp(ranks, self.ranks, self.values)


def write_ranks(columns: Mapping[int, Ranks], values: NDArray[Any], out: NDArray[Any]) -> None:
    """Write the ranks of some columns, smoothly clipped, 0 where a value is missing.

    Parameters
    ----------
    columns : dict of Ranks
        By their place in the table.
    values : ndarray of shape (n_rows, n_columns)
        Finite, or missing.
    out : ndarray of shape (n_rows, n_columns)
        Written where `columns` has a place.

    Examples
    --------
    >>> import numpy as np
    >>> column, out = Ranks(np.array([0.0, 5.0, 900.0]), np.array([0.0, 1.0, 2.0])), np.empty((5, 1))
    >>> write_ranks({0: column}, np.array([[0.0], [2.5], [900.0], [1e6], [np.nan]]), out)
    >>> out.ravel().round(2)
    array([0.  , 0.49, 1.66, 1.66, 0.  ])
    """
    work = np.empty((len(columns), len(values)), out.dtype)
    for own, (place, ranks) in zip(work, columns.items(), strict=True):
        own[:] = ranks.of(values[:, place])
    work[np.isnan(work)] = 0
    smooth_clip(work)
    out[:, list(columns)] = work.T


def rank_statistics(values: NDArray[Any], weights: Floats | None = None) -> Statistics:
    """`robust_statistics`, and the ranks of the distinct values where the quartiles coincide.

    The i-th of m distinct values has the rank ``-1 + 2 (i - 1) / (m - 1)``, however many rows share it. Where there
    are more than `N_QUANTILES`, so many are kept, evenly spread. Two values need none: whatever tells them apart is as
    good.

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
    >>> column = rank_statistics(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 900.0, np.nan]))
    >>> column.center, column.scale, column.ranks.values, column.ranks.ranks
    (0.0, 0.0022222222222222222, array([  0.,   5., 900.]), array([0., 1., 2.]))
    """
    return with_ranks(robust_statistics(values, weights), values)


def with_ranks(statistics: Statistics, values: NDArray[Any], rows: NDArray[np.bool_] | None = None) -> Statistics:
    """Return robust statistics of a column with its ranks, where they are to encode it.

    Parameters
    ----------
    statistics : Statistics
    values : ndarray of shape (n_rows,)
    rows : ndarray of bool of shape (n_rows,), default=None
        The rows that count; all by default.
    """
    if not statistics.tied:
        return statistics
    present, _, _ = present_values(values if rows is None else values[rows], None)
    distinct = np.unique(np.clip(present.astype(np.float64), -LARGEST, LARGEST))
    # Nearer values are as one: a line from one to the other would be too steep for a float.
    distinct = distinct[np.append(True, np.diff(distinct) >= sys.float_info.min)]
    most = len(distinct) - 1
    if most < 2:
        return statistics
    kept = min(len(distinct), N_QUANTILES)
    places = np.arange(kept) * most // (kept - 1)
    column = Ranks(distinct[places], 2 * places / most - 1)
    return replace(statistics, ranks=replace(column, ranks=column.ranks - column.of(np.array(statistics.center))))
