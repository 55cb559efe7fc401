"""The columns of an encoded table, and the one path by which they are written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from .categorical import Levels
from .max_abs import scale_sparse
from .numeric import Statistics, robust_statistics, table_statistics
from .quantiles import NormalScores, Quantiles, quantile_statistics
from .ranks import Ranks, rank_statistics, with_ranks, write_ranks
from .scaling import scale
from .standard import standard_statistics

__all__ = ["ROBUST", "STATISTICS", "Encoding", "statistics_of"]

#: How numbers can be encoded, and what is to be known of a column of them.
STATISTICS: Mapping[str, Callable[..., Statistics]] = {
    "robust": robust_statistics,
    "auto": rank_statistics,
    "standard": standard_statistics,
    "quantile_normal": quantile_statistics,
}

#: Those by which numbers are centred on the median and clipped smoothly; sparse tables are scaled in their stead.
ROBUST = ("robust", "auto")

# Numbers encoded at a time: their float64 copies stay in the processor's cache.
_CHUNK = 1 << 16

# The same where there are many copies.
_SMALL_CHUNK = 1 << 14


def statistics_of(
    table: NDArray[Any], rows: NDArray[np.bool_] | None, weights: NDArray[np.float64] | None, *, numbers: str
) -> list[Statistics]:
    """Return the statistics of each column of a table of numbers.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
    rows : ndarray of bool of shape (n_rows,) or None
        The rows that count; None for all.
    weights : ndarray or None
        Positive weights of these.
    numbers : str
        A name in `STATISTICS`.
    """
    if numbers not in ROBUST:
        learn = STATISTICS[numbers]
        return [learn(column if rows is None else column[rows], weights) for column in table.T]
    statistics = table_statistics(table, rows, weights)
    if numbers == "robust":
        return statistics
    return [with_ranks(one, column, rows) for one, column in zip(statistics, table.T, strict=True)]


class Encoding:
    """Numbers first, then the marks of missing numbers, then the levels of the categories.

    Parameters
    ----------
    missing : sequence of bool of length n_numeric
        The columns of numbers whose missing values are marked.
    levels : sequence of Levels
        One for each categorical column.
    dtype : {numpy.float32, numpy.float64}
    numbers : {"robust", "auto", "standard", "quantile_normal", "max_abs"}
        How numbers are encoded; the last is that of sparse tables.

    Attributes
    ----------
    center, factor : ndarray of float64 of shape (n_numeric,)
        What is subtracted from the numbers, and what the difference is multiplied by; `learn` sets them. Where
        numbers are encoded by quantiles or ranks, 0 and 1, and of a constant column 0 and 0.
    quantiles : list of Quantiles or None
        Those of each column of numbers, where they are encoded by them.
    ranks : dict of Ranks
        By their place among the numbers, those of columns that are encoded by them.
    marked : ndarray of int
        Places, among the numbers, of those whose missing values are marked.
    starts : list of int
        The first column of each categorical one.
    width : int
        Number of columns.

    Examples
    --------
    >>> import numpy as np
    >>> encoding = Encoding([False, True], [], np.float32, numbers="robust")
    >>> encoding.learn(0, Statistics(center=5.0, scale=2.0, missing=False))
    >>> encoding.array(np.array([[5.0, 1.0], [5.5, np.nan]])).round(2)
    array([[0.  , 0.  , 0.  ],
           [0.95, 0.  , 1.  ]], dtype=float32)
    """

    def __init__(self, missing: Sequence[bool], levels: Sequence[Levels], dtype: DTypeLike, *, numbers: str) -> None:
        self.center, self.factor = np.zeros(len(missing)), np.zeros(len(missing))
        self.marked = np.flatnonzero(missing)
        self.levels, self.dtype, self.numbers = levels, np.dtype(dtype).type, numbers
        self.quantiles: list[Quantiles | None] = [None] * len(missing)
        self.ranks: dict[int, Ranks] = {}
        self._scores: NormalScores | None = None
        widths = [len(missing) + len(self.marked), *(one.width for one in levels)]
        *self.starts, self.width = np.cumsum(widths).tolist()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is computed on first use."""
        return {**self.__dict__, "_scores": None}

    def learn(self, place: int, statistics: Statistics) -> None:
        """Set centre and factor, or the quantiles or ranks, of one column of numbers."""
        self.quantiles[place], self._scores = statistics.quantiles, None
        if statistics.ranks is not None:
            self.ranks[place] = statistics.ranks
        if statistics.quantiles is not None or statistics.ranks is not None:
            self.factor[place] = float(statistics.scale > 0)
        elif statistics.scale:
            self.center[place], self.factor[place] = statistics.center, statistics.scale

    def empty(self, n_rows: int) -> NDArray[Any]:
        """The array to write to."""
        return np.empty((n_rows, self.width), self.dtype)

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """Encode a table of shape (n_rows, n_numeric) that has numbers only."""
        n_rows, width = values.shape
        out = self.empty(n_rows)
        scores = self._all_scores()
        step = max(1, (_CHUNK if scores is None else _SMALL_CHUNK) // width)
        for start in range(0, n_rows, step):
            part = out[start : start + step]
            given, to = values[start : start + step], part[:, :width]
            missing = self._write(given, self.center, self.factor, scores, to)
            if self.ranks:
                write_ranks(self.ranks, given, to)
            if len(self.marked):
                part[:, width:] = 0 if missing is None else missing[:, self.marked]
        return out

    def _write(
        self,
        values: NDArray[Any],
        center: NDArray[np.float64],
        factor: NDArray[np.float64],
        scores: NormalScores | None,
        out: NDArray[Any],
    ) -> NDArray[np.bool_] | None:
        if scores is not None:
            return scores.write(values, out)
        return scale(values, center, factor, out, clip=self.numbers in ROBUST)

    def _all_scores(self) -> NormalScores | None:
        if self.numbers != "quantile_normal":
            return None
        if self._scores is None:
            self._scores = NormalScores([one for one in self.quantiles if one is not None])
        return self._scores

    def sparse(self, X: sparse.csr_array) -> sparse.csr_array:
        """Encode a sparse table of shape (n_rows, n_numeric)."""
        return scale_sparse(X, self.factor, self.marked, self.dtype)

    def write_numbers(self, values: NDArray[Any], place: int, out: NDArray[Any]) -> None:
        """Write one column of numbers, of shape (n_rows,), and the marks of those missing."""
        column = slice(place, place + 1)
        mark = np.flatnonzero(self.marked == place) + len(self.center)
        center, factor, quantiles = self.center[column], self.factor[column], self.quantiles[place]
        scores = None if quantiles is None else NormalScores([quantiles])
        step = _CHUNK if scores is None else _SMALL_CHUNK
        for start in range(0, len(values), step):
            rows = slice(start, start + step)
            missing = self._write(values[rows, None], center, factor, scores, out[rows, column])
            if place in self.ranks:
                write_ranks({0: self.ranks[place]}, values[rows, None], out[rows, column])
            out[rows, mark] = 0 if missing is None else missing

    def write_levels(self, positions: Iterable[NDArray[np.int8]], out: NDArray[Any]) -> None:
        """Write the categorical columns, given as `Levels.positions` gives them."""
        if not self.levels:
            return
        out[:, self.starts[0] :] = 0
        for start, places in zip(self.starts, positions, strict=True):
            rows = np.flatnonzero(places >= 0)
            out[rows, places[rows] + np.intp(start)] = 1
