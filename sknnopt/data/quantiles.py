"""Numbers mapped to a standard normal variable by their column's quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .numeric import LARGEST, Statistics, present_values, robust_statistics
from .scaling import missing_in

__all__ = ["BOUND", "N_QUANTILES", "NormalScores", "Quantiles", "from_normal", "quantile_statistics"]

#: At most so many quantiles are kept of a column.
N_QUANTILES = 1000

#: Shares are kept so far from 0 and 1, by which encoded numbers lie within plus and minus 5.2.
BOUND = 1e-7

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantiles:
    """The distribution of a column.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Distinct quantiles, ascending; a single one of a column that is constant.
    first, last : ndarray of shape (m,)
        The share of rows up to each, in [0, 1]: the least and the largest, where several quantiles coincide.
    """

    values: Floats
    first: Floats
    last: Floats

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantiles) and all(
            np.array_equal(own, its)
            for own, its in ((self.values, other.values), (self.first, other.first), (self.last, other.last))
        )

    __hash__ = None  # type: ignore[assignment]

    def untied(self) -> "Quantiles":
        """Return the same quantiles, each with the one share by which it is encoded."""
        share = (self.first + self.last) / 2
        if len(share) > 1:
            share[[0, -1]] = 0.0, 1.0
        return Quantiles(self.values, share, share)


_CONSTANT = Quantiles(np.zeros(1), np.zeros(1), np.ones(1))


def quantile_statistics(values: NDArray[Any], weights: Floats | None = None) -> Statistics:
    """Median, robust factor and quantiles of a column.

    With n rows, missing ones counted, there are ``m = min(n, N_QUANTILES)`` quantiles: the i-th is that of the share
    ``i / (m - 1)`` of the rows present, interpolated between two rows where it falls between them.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Integers, bools or floats; NaN is missing.
    weights : ndarray of shape (n_rows,), default=None
        Positive weights. If all are integers, each counts as so many rows, to the bit; others are relative.

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
    >>> column = quantile_statistics(np.array([3.0, 1.0, 3.0, 7.0, np.nan]))
    >>> column.center, column.quantiles.values, column.quantiles.first
    (3.0, array([1. , 2.5, 3. , 4. , 7. ]), array([0.  , 0.25, 0.5 , 0.75, 1.  ]))
    """
    statistics = robust_statistics(values, weights)
    if not statistics.scale:
        return replace(statistics, quantiles=_CONSTANT)
    whole = weights is not None and bool((weights == np.rint(weights)).all())
    count = min(N_QUANTILES, int(weights.sum()) if whole and weights is not None else len(values))
    present, weights, _ = present_values(values, weights)
    present = np.clip(present.astype(np.float64), -LARGEST, LARGEST)
    if weights is None:
        present.sort()
        mass = None
    else:
        order = present.argsort(kind="stable")
        present, mass = present[order], np.cumsum(weights[order])
        mass = mass if whole else mass * (len(mass) / mass[-1])
    return replace(statistics, quantiles=_collapsed(_quantiles(present, mass, count)))


def _quantiles(values: Floats, mass: Floats | None, count: int) -> Floats:
    """Return `count` quantiles of sorted values, each of which stands for the rows up to its `mass`."""
    total = len(values) if mass is None else mass[-1]
    position = np.arange(count) * (total - 1) / (count - 1)
    below = np.floor(position)
    share = position - below

    def row(number: Floats) -> Floats:
        places = number.astype(np.intp) if mass is None else mass.searchsorted(number, side="right")
        return values[np.minimum(places, len(values) - 1)]

    low, high = row(below), row(below + 1)
    out: Floats = np.where(low == high, low, low * (1 - share) + high * share)
    out[-1] = values[-1]
    return np.maximum.accumulate(out)


def _collapsed(quantiles: Floats) -> Quantiles:
    """Return the quantiles, each once, with the first and the last share at which it stands."""
    last = np.flatnonzero(np.append(quantiles[1:] != quantiles[:-1], True))
    first = np.append(0, last[:-1] + 1)
    most = len(quantiles) - 1
    return Quantiles(quantiles[last], first / most, last / most)


class NormalScores:
    """The map of some columns to a standard normal variable, ready to be applied.

    A number's share is interpolated between its neighbours among the quantiles. One that is itself a quantile, or
    several, has the mean of their shares; the least has 0 and the largest 1, as has what lies beyond. The encoding is
    the normal quantile of the share, cut at that of 1e-7 and of 1 - 1e-7; of a constant column it is 0.

    Parameters
    ----------
    columns : sequence of Quantiles

    Examples
    --------
    >>> import numpy as np
    >>> column = Quantiles(np.array([0.0, 1.0, 5.0]), np.array([0.0, 0.25, 1.0]), np.array([0.0, 0.75, 1.0]))
    >>> out = np.empty((4, 1))
    >>> NormalScores([column]).write(np.array([[-2.0], [1.0], [3.0], [np.nan]]), out).ravel()
    array([False, False, False,  True])
    >>> out.ravel().round(2)
    array([-5.2 ,  0.  ,  1.15,  0.  ])
    """

    def __init__(self, columns: Sequence[Quantiles]) -> None:
        self._columns = [column.values for column in columns]
        sizes = [len(column) for column in self._columns]
        self._before = np.array([0, *accumulate(sizes)][:-1], dtype=np.intp) - 1
        self._least, self._most = (np.array([column[end] for column in self._columns]) for end in (0, -1))
        self._values = np.concatenate(self._columns)
        self._last = np.concatenate([column.last for column in columns])
        self._tied = np.concatenate([column.untied().first for column in columns])
        self._gap = np.concatenate([np.append(column.first[1:] - column.last[:-1], 0.0) for column in columns])
        self._width = np.concatenate([np.append(np.diff(column.values), 1.0) for column in columns])

    def write(self, values: NDArray[Any], out: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Write the encoding of values of shape (n_rows, n_columns) into `out`, 0 where one is missing.

        Returns
        -------
        ndarray of bool of shape (n_rows, n_columns) or None
            Where values are missing; None if nowhere.

        Raises
        ------
        ValueError
            If a value is infinite.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            missing = missing_in(values)
        numbers = np.minimum(np.maximum(values.astype(np.float64), self._least), self._most)
        places = np.empty(numbers.shape, dtype=np.intp)
        for number, column in enumerate(self._columns):
            places[:, number] = column.searchsorted(numbers[:, number], side="right")
        places += self._before
        below = self._values[places]
        share = (numbers - below) / self._width[places]
        share *= self._gap[places]
        share += self._last[places]
        share = np.where(numbers == below, self._tied[places], share)
        out[...] = ndtri(np.minimum(np.maximum(share, BOUND), 1 - BOUND))
        if missing is not None:
            out[missing] = 0
        return missing


def from_normal(encoded: Floats, column: Quantiles) -> Floats:
    """Return numbers that a column's map encodes so; those at the ends stand for all beyond.

    Examples
    --------
    >>> import numpy as np
    >>> column = Quantiles(np.array([0.0, 1.0, 5.0]), np.array([0.0, 0.25, 1.0]), np.array([0.0, 0.75, 1.0]))
    >>> from_normal(np.array([-5.2, 0.0, 1.15]), column).round(2)
    array([0., 1., 3.])
    """
    share = ndtr(encoded)
    share = np.where(share < 2 * BOUND, 0.0, np.where(share > 1 - 2 * BOUND, 1.0, share))
    shares = np.column_stack([column.first, column.last]).ravel()
    return np.interp(share, shares, np.repeat(column.values, 2))
