"""One column of a table: what kind of data it holds, and its values as numbers or as levels."""

from abc import ABC, abstractmethod
from collections.abc import Hashable
from datetime import UTC, date, datetime, time, timedelta
from numbers import Number
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayColumn", "Column", "Kind", "seconds", "unsupported"]

Kind: TypeAlias = Literal["number", "category"]
Mask: TypeAlias = NDArray[np.bool_] | None

_BOOLEANS = (bool, np.bool_)
_SECONDS = {"W": 604800.0, "D": 86400.0, "h": 3600.0, "m": 60.0}
_PER_SECOND = {"ms": 1e3, "us": 1e6, "ns": 1e9, "ps": 1e12, "fs": 1e15, "as": 1e18}
_TIMES = (date, timedelta, np.datetime64, np.timedelta64)  # a datetime is a date, a Timestamp a datetime


class Column(ABC):
    """One column of a table, whatever library holds it."""

    @property
    @abstractmethod
    def untyped(self) -> bool:
        """Whether the column may hold values of any kind, so that each value is looked at."""

    @abstractmethod
    def kind(self, rows: Mask) -> Kind:
        """Whether the column is to be taken as numbers or as categories.

        An untyped column without any value present is a category.

        Parameters
        ----------
        rows : ndarray of bool of shape (n_rows,) or None
            The rows that count, where the values must be looked at; None for all.

        Raises
        ------
        TypeError
            If the column is neither.
        """

    @abstractmethod
    def has_missing(self, rows: Mask) -> bool:
        """Whether any of the rows is missing (None, NaN, NaT or NA)."""

    @abstractmethod
    def numbers(self, *, strict: bool = True) -> NDArray[Any]:
        """The values as a float, integer or bool array of shape (n_rows,).

        A missing value is NaN; dates are seconds since 1970 (UTC), durations seconds.

        Parameters
        ----------
        strict : bool, default=True
            False: an object or string that is no number is missing.

        Raises
        ------
        TypeError or ValueError
            If the column's type, or with `strict` any value, is not to be made a number.
        """

    @abstractmethod
    def levels(self) -> tuple[NDArray[Any], list[Hashable]]:
        """Codes of shape (n_rows,), -1 where missing, and the levels that they count."""


class ArrayColumn(Column):
    """A one-dimensional numpy array.

    Examples
    --------
    >>> import numpy as np
    >>> column = ArrayColumn(np.array(["b", None, "a", "b"], dtype=object))
    >>> column.kind(None)
    'category'
    >>> column.levels()
    (array([ 0, -1,  1,  0]), ['b', 'a'])
    """

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    @property
    def untyped(self) -> bool:
        return self.values.dtype.kind == "O"

    def kind(self, rows: Mask) -> Kind:
        kind = self.values.dtype.kind
        if kind in "biufMm":
            return "number"
        if kind in "UST":
            return "category"
        if kind == "O":
            return _kind_of_objects(self.values if rows is None else self.values[rows])
        raise unsupported(self.values.dtype)

    def has_missing(self, rows: Mask) -> bool:
        return bool(self._missing()[slice(None) if rows is None else rows].any())

    def _missing(self) -> NDArray[np.bool_]:
        if self.values.dtype.kind in "OT":
            return np.fromiter(map(_is_missing, self.values.tolist()), bool, len(self.values))
        if self.values.dtype.kind in "fMm":
            return np.asarray(np.isnan(self.values))
        return np.zeros(len(self.values), dtype=bool)

    def numbers(self, *, strict: bool = True) -> NDArray[Any]:
        if self.values.dtype.kind in "Mm":
            return seconds(self.values)
        if self.values.dtype.kind in "biuf":
            return self.values
        if self.values.dtype.kind in "cV":
            raise unsupported(self.values.dtype)
        values = self.values.astype(object)
        values[self._missing()] = np.nan
        if any(issubclass(kind, _TIMES) for kind in set(map(type, values))):
            return np.array([_seconds_of(value) if strict else _number_or_nan(value) for value in values])
        try:
            try:
                return values.astype(np.float64)
            except (TypeError, ValueError):
                if strict:
                    raise
            return np.array([_number_or_nan(value) for value in values])
        except OverflowError:
            raise ValueError("Input X contains infinity or a value too large for dtype('float64').") from None

    def levels(self) -> tuple[NDArray[Any], list[Hashable]]:
        codes = np.full(len(self.values), -1)
        present = ~self._missing()
        values = self.values[present]
        if values.dtype.kind in "biuf":
            unique, codes[present] = np.unique(values, return_inverse=True)
            return codes, unique.tolist()
        code_of: dict[Hashable, int] = {}
        codes[present] = [code_of.setdefault(value, len(code_of)) for value in values.tolist()]
        return codes, list(code_of)


def seconds(values: NDArray[Any]) -> NDArray[np.float64]:
    """Seconds, as float64, of an array of datetime64 (since 1970) or timedelta64; NaT is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> seconds(np.array(["1970-01-02", "NaT"], dtype="datetime64[D]"))
    array([86400.,    nan])

    Raises
    ------
    TypeError
        If they are durations in years or months, which are not of one length.
    """
    unit, count = np.datetime_data(values.dtype)
    if unit in ("Y", "M"):
        if values.dtype.kind == "m":
            raise TypeError(f"holds {values.dtype}, which has no fixed length. Convert it to days")
        values, unit, count = values.astype("datetime64[D]"), "D", 1
    ticks = values.astype(np.int64).astype(np.float64) * count  # in integers days of far dates would overflow
    out = ticks * _SECONDS[unit] if unit in _SECONDS else ticks / _PER_SECOND.get(unit, 1.0)
    out[np.isnat(values)] = np.nan
    return np.asarray(out)


def unsupported(kind: object) -> TypeError:
    """The error for a column that is neither numbers nor categories."""
    return TypeError(
        f"holds {kind}, which is neither a number, a date, a bool nor a category. Convert the column, "
        "drop it, or make it a category"
    )


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, Number | np.datetime64 | np.timedelta64):
        return bool(value != value)
    return False


def _kind_of_objects(values: NDArray[Any]) -> Kind:
    """An object column is what its values are."""
    kinds = {type(value) for value in values.tolist() if not _is_missing(value)}
    for kind in kinds:
        if kind.__hash__ is None or issubclass(kind, complex | np.complexfloating | tuple | frozenset):
            raise TypeError(f"float() argument must be a string or a real number, not {kind.__name__!r}")
    if all(issubclass(kind, _BOOLEANS) for kind in kinds):
        return "category"
    if all(issubclass(kind, (Number, *_BOOLEANS)) for kind in kinds):
        return "number"
    return "number" if all(issubclass(kind, _TIMES) for kind in kinds) else "category"


def _seconds_of(value: Any) -> float:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return float(seconds(np.asarray(value)[None])[0])
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):
        if not isinstance(value, datetime):
            value = datetime.combine(value, time())
        return float((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    return float(value)


def _number_or_nan(value: Any) -> float:
    try:
        return _seconds_of(value)
    except (TypeError, ValueError):
        return np.nan
