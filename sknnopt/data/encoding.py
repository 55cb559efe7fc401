"""The columns of an encoded table, and the one path by which they are written."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from .categorical import Levels
from .max_abs import scale_sparse
from .numeric import Statistics, scale

__all__ = ["Encoding"]

# Numbers encoded at a time: their float64 copies stay in the processor's cache.
_CHUNK = 1 << 16


class Encoding:
    """Numbers first, then the marks of missing numbers, then the levels of the categories.

    Parameters
    ----------
    missing : sequence of bool of length n_numeric
        The columns of numbers whose missing values are marked.
    levels : sequence of Levels
        One for each categorical column.
    dtype : {numpy.float32, numpy.float64}
    clip : bool
        Whether numbers are clipped smoothly.

    Attributes
    ----------
    center, factor : ndarray of float64 of shape (n_numeric,)
        What is subtracted from the numbers, and what the difference is multiplied by; `learn` sets them.
    marked : ndarray of int
        Places, among the numbers, of those whose missing values are marked.
    starts : list of int
        The first column of each categorical one.
    width : int
        Number of columns.

    Examples
    --------
    >>> import numpy as np
    >>> encoding = Encoding([False, True], [], np.float32, clip=True)
    >>> encoding.learn(0, Statistics(center=5.0, scale=2.0, missing=False))
    >>> encoding.array(np.array([[5.0, 1.0], [5.5, np.nan]])).round(2)
    array([[0.  , 0.  , 0.  ],
           [0.95, 0.  , 1.  ]], dtype=float32)
    """

    def __init__(self, missing: Sequence[bool], levels: Sequence[Levels], dtype: DTypeLike, *, clip: bool) -> None:
        self.center, self.factor = np.zeros(len(missing)), np.zeros(len(missing))
        self.marked = np.flatnonzero(missing)
        self.levels, self.dtype, self.clip = levels, np.dtype(dtype), clip
        widths = [len(missing) + len(self.marked), *(one.width for one in levels)]
        *self.starts, self.width = np.cumsum(widths).tolist()

    def learn(self, place: int, statistics: Statistics) -> None:
        """Set centre and factor of one column of numbers."""
        if statistics.scale:
            self.center[place], self.factor[place] = statistics.center, statistics.scale

    def empty(self, n_rows: int) -> NDArray[Any]:
        """The array to write to."""
        return np.empty((n_rows, self.width), self.dtype)

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        """Encode a table of shape (n_rows, n_numeric) that has numbers only."""
        n_rows, width = values.shape
        out = self.empty(n_rows)
        step = max(1, _CHUNK // width)
        for start in range(0, n_rows, step):
            part = out[start : start + step]
            missing = scale(values[start : start + step], self.center, self.factor, part[:, :width], clip=self.clip)
            if len(self.marked):
                part[:, width:] = 0 if missing is None else missing[:, self.marked]
        return out

    def sparse(self, X: sparse.csr_array) -> sparse.csr_array:
        """Encode a sparse table of shape (n_rows, n_numeric)."""
        return scale_sparse(X, self.factor, self.marked, self.dtype)

    def write_numbers(self, values: NDArray[Any], place: int, out: NDArray[Any]) -> None:
        """Write one column of numbers, of shape (n_rows,), and the marks of those missing."""
        column = slice(place, place + 1)
        mark = np.flatnonzero(self.marked == place) + len(self.center)
        for start in range(0, len(values), _CHUNK):
            rows = slice(start, start + _CHUNK)
            missing = scale(
                values[rows, None],
                self.center[column],
                self.factor[column],
                out[rows, column],
                clip=self.clip,
            )
            out[rows, mark] = 0 if missing is None else missing

    def write_levels(self, positions: Iterable[NDArray[np.int8]], out: NDArray[Any]) -> None:
        """Write the categorical columns, given as `Levels.positions` gives them."""
        if not self.levels:
            return
        out[:, self.starts[0] :] = 0
        for start, places in zip(self.starts, positions, strict=True):
            rows = np.flatnonzero(places >= 0)
            out[rows, places[rows] + np.intp(start)] = 1
