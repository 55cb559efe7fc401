"""The encoder of a table that stays on disk: learnt from a reading of the file, applied a few rows at a time."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.utils.validation import validate_data

from .columns import Mask
from .encoding import Encoding, statistics_of
from .numeric import Statistics
from .on_disk import EncodedOnDisk, OnDisk
from .scaling import missing_in
from .summary import exact_moments, summarize
from .weights import counted_rows

__all__ = ["FromDisk"]


class FromDisk(ABC):
    """What `TableEncoder` does with a table on disk."""

    numbers: str
    dtype: DTypeLike
    numeric_columns_: NDArray[np.intp]
    categorical_columns_: NDArray[np.intp]
    _untyped: list[bool]
    _encoding: Encoding

    @abstractmethod
    def _check_numbers(self, table: Any) -> None:
        """Refuse a way to encode numbers that there is not, or that does not suit the table."""

    @abstractmethod
    def _categorical(self, table: Any, rows: Mask) -> NDArray[np.bool_]:
        """Which columns are categories."""

    @abstractmethod
    def _keep(self, statistics: Sequence[Statistics]) -> None:
        """Set what the columns of numbers are encoded by."""

    @abstractmethod
    def _encode(self, table: Any) -> Any:
        """Encode rows."""

    def fit_on_disk(self, X: OnDisk, sample_weight: ArrayLike | None = None, *, seed: int) -> Self:
        """Learn the encoding from a table that stays on disk: ends, missing values, levels and moments from all rows.

        Quantiles, and distinct values to be ranked, are those of a sample of at most
        `sknnopt.data.summary.SAMPLE_ROWS` of the rows that count; of fewer rows the encoding is that of `fit`.

        Parameters
        ----------
        X : OnDisk of shape (n_rows, n_columns)
        sample_weight : array-like of shape (n_rows,), default=None
            Booleans say which rows count.
        seed : int
            What the sample follows from.
        """
        validate_data(self, X, reset=True, skip_check_array=True)
        self._check_numbers(X)
        rows: Mask = None
        weights = None
        if isinstance(sample_weight, np.ndarray) and sample_weight.dtype == bool:
            rows = sample_weight
        else:
            rows, weights = counted_rows(sample_weight, len(X), keep=self.numbers == "quantile_normal")
        categorical = self._categorical(X, rows)
        self.numeric_columns_ = np.flatnonzero(~categorical)
        self.categorical_columns_ = np.flatnonzero(categorical)
        summary = summarize(X, rows, weights, categorical, seed)
        if self.numbers == "standard" and not summary.complete:
            statistics = exact_moments(X, rows, weights, summary)
        else:
            statistics = statistics_of(summary.sample, None, summary.weights, numbers=self.numbers)
        self._untyped = [False] * len(statistics)
        missing = [one.missing for one in statistics]
        self._encoding = Encoding(missing, summary.levels, self.dtype, numbers=self.numbers)
        self._keep(statistics)
        return self

    def on_disk(self, X: OnDisk, *, seed: int, check: bool = True) -> EncodedOnDisk:
        """Return the encoded rows of a table that stays on disk, encoded when they are asked for.

        Parameters
        ----------
        X : OnDisk of shape (n_rows, n_columns)
        seed : int
            What an epoch's order of blocks follows from.
        check : bool, default=True
            Whether to look for infinite values now.

        Raises
        ------
        ValueError
            If the table is infinite, or not as wide as in `fit`.
        """
        validate_data(self, X, reset=False, skip_check_array=True)
        for part in X.chunks() if check else ():
            with np.errstate(over="ignore", invalid="ignore"):
                missing_in(X.read(part))
        return EncodedOnDisk(X, self._encode, self.dtype, seed)
