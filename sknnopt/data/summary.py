"""What is to be known of a table that stays on disk, from one reading of it: all that can be counted, and a sample."""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .categorical import Levels
from .numeric import LARGEST, Statistics
from .on_disk import OnDisk
from .scaling import check_finite, missing_in

__all__ = ["SAMPLE_NUMBERS", "SAMPLE_ROWS", "Summary", "exact_moments", "sampled", "summarize"]

#: Training rows of a table on disk that quantiles are taken from, ...
SAMPLE_ROWS = 1 << 17

#: ... and their numbers at most; 1000 rows at least.
SAMPLE_NUMBERS = 1 << 24

_SAMPLING = 7

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_] | None


class Summary(NamedTuple):
    """The columns of numbers by a sample of the training rows, those of categories by their levels.

    Attributes
    ----------
    sample : ndarray of shape (n_sample, n_numeric)
        Of the table's type. Where rows are left out, what a column has in them is there all the same: its least and
        its largest number, and that something is missing.
    weights : ndarray of shape (n_sample,) or None
    complete : bool
        Whether all training rows are in the sample.
    low, high : ndarray of shape (n_numeric,)
        The ends of the columns.
    missing : ndarray of bool of shape (n_numeric,)
    levels : list of Levels
    numeric : ndarray of int
        The columns of numbers.
    """

    sample: NDArray[Any]
    weights: Floats | None
    complete: bool
    low: NDArray[Any]
    high: NDArray[Any]
    missing: NDArray[np.bool_]
    levels: list[Levels]
    numeric: NDArray[np.intp]


class _Part(NamedTuple):
    """Some of the training rows: their values, their weights, and the number of those before."""

    values: NDArray[Any]
    weights: Floats | None
    before: int


def summarize(table: OnDisk, rows: Mask, weights: Floats | None, categorical: NDArray[np.bool_], seed: int) -> Summary:
    """Read the table once.

    Parameters
    ----------
    table : OnDisk of shape (n_rows, n_columns)
    rows : ndarray of bool of shape (n_rows,) or None
        The training rows; None for all.
    weights : ndarray or None
        Positive weights of these.
    categorical : ndarray of bool of shape (n_columns,)
    seed : int
        What the sample follows from.

    Raises
    ------
    ValueError
        If a value of any row is infinite.
    """
    places = _sample_places(len(table) if rows is None else int(rows.sum()), table.row_size, seed)
    numeric, sample = np.flatnonzero(~categorical), np.empty((len(places), int((~categorical).sum())), table.dtype)
    columns = {place: _Counts() for place in np.flatnonzero(categorical).tolist()}
    ends, seen = _Ends(), 0
    for part in _parts(table, rows, weights):
        seen = part.before + len(part.values)
        own = slice(*np.searchsorted(places, (part.before, seen)))
        numbers = part.values[:, numeric] if columns else part.values
        sample[own] = numbers[places[own] - part.before]
        ends.take(numbers)
        for place, counts in columns.items():
            counts.take(part.values[:, place], part.weights)
    with np.errstate(over="ignore"):  # a long double that float64 does not hold
        check_finite(np.array([ends.low, ends.high]).astype(np.float64), table.dtype)
    if len(places) < seen:
        _complete(sample, ends)
    chosen = None if weights is None else weights[places]
    levels = [counts.levels() for counts in columns.values()]
    return Summary(sample, chosen, len(places) == seen, ends.low, ends.high, ends.missing, levels, numeric)


def sampled(n: int, row_size: int) -> int:
    """Return how many of n rows, each of so many numbers, are a sample.

    Examples
    --------
    >>> sampled(1_000, 10), sampled(10**9, 54), sampled(10**9, 5_000)
    (1000, 131072, 3355)
    """
    return min(n, SAMPLE_ROWS, max(1000, SAMPLE_NUMBERS // row_size))


def _sample_places(n: int, row_size: int, seed: int) -> NDArray[np.int64]:
    count = sampled(n, row_size)
    if count == n:
        return np.arange(n)
    return np.sort(np.random.default_rng([seed, _SAMPLING]).choice(n, count, replace=False))


def _parts(table: OnDisk, rows: Mask, weights: Floats | None) -> Iterator[_Part]:
    """Yield the training rows; what is infinite is found in any row."""
    before = 0
    for chunk in table.chunks():
        values = table.read(chunk)
        with np.errstate(over="ignore", invalid="ignore"):
            missing_in(values)
        values = values if rows is None else values[rows[chunk]]
        end = before + len(values)
        if len(values):
            yield _Part(values, None if weights is None else weights[before:end], before)
        before = end


class _Ends:
    """The least and the largest number of each column so far, NaN where there is none, and what misses any."""

    low: NDArray[Any]
    high: NDArray[Any]
    missing: NDArray[np.bool_]

    def take(self, values: NDArray[Any]) -> None:
        values = values.view(np.uint8) if values.dtype.kind == "b" else values
        low, high = values.min(axis=0), values.max(axis=0)
        missing = np.isnan(low) if values.dtype.kind == "f" else np.zeros(len(low), dtype=bool)
        for place in np.flatnonzero(missing):
            low[place], high[place] = np.fmin.reduce(values[:, place]), np.fmax.reduce(values[:, place])
        if not hasattr(self, "low"):
            self.low, self.high, self.missing = low, high, missing
            return
        self.missing |= missing
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)


def _complete(sample: NDArray[Any], ends: _Ends) -> None:
    """Give each column of the sample the ends of the whole, and a missing value where there is one."""
    for column, low, high, missing in zip(sample.T, ends.low, ends.high, ends.missing, strict=True):
        if np.isnan(low):
            continue
        gone = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), dtype=bool)
        least = int(np.where(gone, np.inf, column).argmin())
        most = int(np.where(gone, -np.inf, column).argmax())
        most = (least + 1) % len(column) if most == least else most
        column[least], column[most] = low, high
        if missing and not np.isnan(column).any():
            column[next(place for place in range(3) if place not in (least, most))] = np.nan


@dataclass
class _Counts:
    """What each level of a column weighs."""

    mass: Counter[Hashable] = field(default_factory=Counter)
    missing: float = 0.0

    def take(self, values: NDArray[Any], weights: Floats | None) -> None:
        weights = np.ones(len(values)) if weights is None else weights
        if values.dtype.kind == "f":
            gone = np.isnan(values)
            self.missing += float(weights[gone].sum())
            values, weights = values[~gone], weights[~gone]
        levels, codes = np.unique(values, return_inverse=True)
        for level, weight in zip(levels.tolist(), np.bincount(codes, weights).tolist(), strict=True):
            self.mass[level] += weight

    def levels(self) -> Levels:
        """Return the levels, as if each were a row of this weight."""
        codes = np.arange(-1 if self.missing else 0, len(self.mass))
        weights = np.array([self.missing] * bool(self.missing) + list(self.mass.values()))
        return Levels(codes, list(self.mass), weights)


def exact_moments(table: OnDisk, rows: Mask, weights: Floats | None, summary: Summary) -> list[Statistics]:
    """Return mean and one over the standard deviation of each column of numbers, by another reading of the table.

    Numbers are taken as shares of their column's range, and moments of parts joined as in the paper.

    References
    ----------
    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979,
    equations (2.1).
    """
    low, high = (np.clip(np.asarray(end, dtype=np.float64), -LARGEST, LARGEST) for end in (summary.low, summary.high))
    spread = np.where(high > low, high - low, 1.0)
    mass, mean, square = (np.zeros(len(low)) for _ in range(3))
    for part in _parts(table, rows, weights):
        share = (np.clip(part.values[:, summary.numeric].astype(np.float64), -LARGEST, LARGEST) - low) / spread
        weight = np.where(np.isnan(share), 0.0, 1.0 if part.weights is None else part.weights[:, None])
        share[np.isnan(share)] = 0.0
        own = weight.sum(axis=0)
        there = np.maximum(own, np.finfo(float).tiny)
        center = (weight * share).sum(axis=0) / there
        total = np.maximum(mass + own, np.finfo(float).tiny)
        square += (weight * (share - center) ** 2).sum(axis=0) + (center - mean) ** 2 * mass * own / total
        mean += (center - mean) * own / total
        mass += own
    return [_moments(*each) for each in zip(low, high, spread, mass, mean, square, summary.missing, strict=True)]


def _moments(*column: Any) -> Statistics:
    low, high, spread, mass, mean, square, missing = column
    if not high > low:
        return Statistics(0.0 if np.isnan(low) else float(low), 0.0, bool(missing))
    deviation = float(spread * np.sqrt(square / mass))
    largest = float(np.finfo(float).max)
    return Statistics(float(low + spread * mean), min(1 / deviation, largest) if deviation else largest, bool(missing))
