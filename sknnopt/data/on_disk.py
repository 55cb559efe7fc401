"""Arrays that stay in their file: read, and encoded, a few rows at a time."""

import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from .._random import MemberRandom

__all__ = ["IN_MEMORY", "EncodedOnDisk", "OnDisk", "Windows", "as_on_disk", "stays_on_disk"]

#: Bytes up to which an array in a file is read whole and treated as any other, as it is or as float32.
IN_MEMORY = 1 << 30

#: Rows that an epoch mixes at once come from so many places of the file, ...
BLOCKS = 1024

#: ... and are at most so many, ...
WINDOW_ROWS = 1 << 20

#: ... of so many bytes of the file.
WINDOW_BYTES = 1 << 28

# Numbers read at a time where the whole file is gone through.
_CHUNK = 1 << 18

# joblib hands large arrays to its workers in files of its own, in folders of this name.
_JOBLIB = "joblib_memmapping_folder"

Rows = NDArray[np.int64]


def stays_on_disk(X: Any) -> bool:
    """Whether `X` is an array of numbers in a file (``numpy.memmap``, or a view of one), larger than `IN_MEMORY`.

    What joblib has put into a file for its workers was in memory before, and counts as such: results do not depend on
    the number of workers.
    """
    if not isinstance(X, np.ndarray) or X.base is None or X.ndim < 2 or X.dtype.kind not in "biuf":
        return False
    if max(X.nbytes, 4 * X.size) <= IN_MEMORY:
        return False
    base: Any = X
    while isinstance(base, np.ndarray):
        if _JOBLIB in str(getattr(base, "filename", "")):
            return False
        base = base.base
    return isinstance(base, mmap.mmap)


def as_on_disk(X: Any) -> Any:
    """Return `X`, as `OnDisk` if it is to stay on disk."""
    return OnDisk(X) if stays_on_disk(X) else X


class OnDisk:
    """Rows of an array in a file, none of which is read before it is asked for.

    Parameters
    ----------
    values : ndarray of shape (n, ...)
        Of numbers.
    rows : ndarray of int64 or None
        Those that count, ascending; None for all.

    Examples
    --------
    >>> table = OnDisk(np.arange(12.0).reshape(6, 2)).select(np.array([0, 2, 5]))
    >>> table.shape, table.read(np.array([1, 2])).tolist()
    ((3, 2), [[4.0, 5.0], [10.0, 11.0]])
    """

    def __init__(self, values: NDArray[Any], rows: Rows | None = None) -> None:
        self._values, self._rows = np.asarray(values), rows

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of each."""
        return (len(self), *self._values.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self._values.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self._values.ndim

    @property
    def row_size(self) -> int:
        """How many numbers a row has."""
        return max(1, int(np.prod(self._values.shape[1:])))

    def __len__(self) -> int:
        return len(self._values) if self._rows is None else len(self._rows)

    def read(self, rows: Any) -> NDArray[Any]:
        """Return some rows, given by a slice or an array of their numbers, in an array that may be the file's."""
        if self._rows is not None:
            rows = self._rows[rows]
        flags = self._values.flags
        if isinstance(rows, slice) or not (flags.c_contiguous and flags.aligned):  # of others take copies all
            return np.asarray(self._values[rows])
        return self._values.take(rows, axis=0)

    def select(self, rows: Rows) -> "OnDisk":
        """Return some of the rows."""
        return OnDisk(self._values, rows if self._rows is None else self._rows[rows])

    def chunks(self) -> Iterator[slice]:
        """Yield all rows, a few at a time, in order."""
        step = max(1, _CHUNK // self.row_size)
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))


class EncodedOnDisk:
    """The encoded rows of an array that stays on disk, computed whenever they are asked for.

    Parameters
    ----------
    source : OnDisk
    encode : callable
        From rows to encoded rows, of the same number; finite.
    dtype : dtype
        Of the encoded rows.
    seed : int
        What the order of blocks follows from.
    """

    def __init__(
        self, source: OnDisk, encode: Callable[[NDArray[Any]], NDArray[Any]], dtype: DTypeLike, seed: int
    ) -> None:
        self._source, self._encode, self._seed = source, encode, seed
        self.dtype = np.dtype(dtype)
        self._row_shape = self[:1].shape[1:]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of each."""
        return (len(self._source), *self._row_shape)

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return 1 + len(self._row_shape)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Return one row, or those of a slice or of an array of numbers; what follows in a tuple cuts these."""
        if isinstance(rows, tuple):
            return self[rows[0]][(slice(None), *rows[1:])]
        if isinstance(rows, int | np.integer):
            return self[np.array([rows])][0]
        return self._encode(self._source.read(rows)).astype(self.dtype, copy=False)

    def select(self, rows: Rows) -> "EncodedOnDisk":
        """Return some of the rows."""
        return EncodedOnDisk(self._source.select(rows), self._encode, self.dtype, self._seed)

    def digest_chunks(self) -> Iterator[NDArray[Any]]:
        """Yield what training depends on, C-contiguous, a little at a time: all encoded rows, and what orders them."""
        yield np.array([self._seed, *self._window()])
        for part in self._source.chunks():
            yield np.ascontiguousarray(self[part])

    def order(self, rows: Rows, length: int, epoch: int, random: MemberRandom) -> "Windows":
        """Return an epoch's order of a member's `rows`, filled up to `length` with the first one."""
        window, block = self._window()
        number = -(-len(rows) // block)
        blocks = np.random.default_rng([self._seed, epoch]).permutation(number)
        parts = np.array_split(blocks, -(-number * block // window))
        return Windows(rows, length, parts, block, random.words())

    def _window(self) -> tuple[int, int]:
        """Return how many rows are mixed at once, and how many of them lie together."""
        row_bytes = self._source.row_size * self._source.dtype.itemsize
        rows = max(BLOCKS, min(WINDOW_ROWS, WINDOW_BYTES // row_bytes))
        return rows, max(1, rows // BLOCKS)


class Windows:
    """An epoch's order of rows, in which only those mix that are in one window; it is drawn window by window.

    Parameters
    ----------
    rows : ndarray of int64 of shape (n,)
        Ascending.
    length : int
        At least n; what is beyond is the first row of the order again.
    parts : sequence of ndarray of int
        The blocks of each window: places in `rows`, in units of `block`.
    block : int
    seed : tuple of int
        The member's own, of this epoch.

    Examples
    --------
    >>> parts = [np.array([2, 0]), np.array([1])]
    >>> order = Windows(np.arange(10), 12, parts, 4, (0,))
    >>> order[0:6].sort().values, order[6:10].sort().values, bool((order[10:12] == order[0:1]).all())
    (tensor([0, 1, 2, 3, 8, 9]), tensor([4, 5, 6, 7]), True)
    """

    def __init__(self, rows: Rows, length: int, parts: list[Rows], block: int, seed: tuple[int, ...]) -> None:
        self._rows, self._length, self._parts, self._block, self._seed = rows, length, parts, block, seed
        sizes = [int((np.minimum((part + 1) * block, len(rows)) - part * block).sum()) for part in parts]
        self._starts = np.cumsum([0, *sizes])
        self._known: tuple[int, Rows] | None = None
        self._device = torch.device("cpu")
        self._first = int(self._window(0)[0])

    def __len__(self) -> int:
        return self._length

    def to(self, device: torch.device) -> "Windows":
        """Let what is asked for be on a device."""
        self._device = device
        return self

    def __getitem__(self, part: slice) -> Tensor:
        """Return the rows at some places of the order, int64."""
        start, stop, _ = part.indices(self._length)
        out = np.full(max(0, stop - start), self._first)
        place = start
        while place < min(stop, len(self._rows)):
            number = int(np.searchsorted(self._starts, place, side="right")) - 1
            first, end = self._starts[number], min(stop, int(self._starts[number + 1]))
            out[place - start : end - start] = self._window(number)[place - first : end - first]
            place = end
        return torch.from_numpy(out).to(self._device)

    def _window(self, number: int) -> Rows:
        """Return the rows of a window, in random order."""
        if self._known is None or self._known[0] != number:
            self._known = None
            firsts = (self._parts[number] * self._block).tolist()
            rows = np.concatenate([self._rows[first : first + self._block] for first in firsts])
            np.random.default_rng([*self._seed, number]).shuffle(rows)
            self._known = number, rows
        return self._known[1]
