"""A raw table to the array that a network is trained on."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from .._choices import suggestion
from .._compat import Estimator, _check_feature_names_in
from .categorical import Levels
from .columns import Mask
from .disk_table import FromDisk
from .encoding import ROBUST, STATISTICS, Encoding, statistics_of
from .max_abs import fit_max_abs
from .numeric import Statistics
from .reading import Columns, Table, as_columns, categorical_mask, is_plain, naming, read_table
from .weights import counted_rows

__all__ = ["TableEncoder"]


class TableEncoder(FromDisk, TransformerMixin, Estimator, auto_wrap_output_keys=None):  # type: ignore[call-arg]
    """Encode a raw table for a network.

    The encoding has first one column for each column of numbers, then a 0/1 column for each of those that
    had values missing in `fit`, then a 0/1 column for each level of each categorical column.

    - *Numbers* (dates and durations are numbers too, of seconds) are encoded by one of four statistics:

      - "robust": centred on the median, scaled by the distance of the quartiles so that normal data get unit
        variance, and clipped smoothly to within plus and minus 3, so that heavy tails are bounded. Where the
        quartiles coincide the factor is 2 / (max - min).
      - "auto": the same, but a column of more than two values whose quartiles coincide, such as one of zeros and a few
        large amounts, is encoded by the rank of its distinct values, from -1 to 1, less that of the median, clipped as
        before. At most 1000 values are kept, with straight lines between them; what lies beyond has the rank of an end.
      - "standard": centred on the mean and scaled by the standard deviation; cut only at plus and minus 1e9.
      - "quantile_normal": mapped by the column's quantiles to a standard normal variable, as by scikit-learn's
        QuantileTransformer: each number to the normal quantile of the share of rows below it, within plus and minus
        5.2. At most 1000 quantiles are kept, with straight lines between them.

      A constant column becomes 0. A missing number becomes 0, which is the median, or the mean.
    - *Categories* are one-hot encoded. A missing value seen in `fit` is a level of its own. At most
      `sknnopt.data.categorical.MAX_CATEGORIES` columns are made of one column: its rarest levels share one.
      A level not seen in `fit` is encoded by that shared column, or else by zeros.
    - *Objects* that are numbers in `fit` are a column of numbers; a later value that is none is missing.
    - *Sparse* tables stay sparse: each column is divided by its largest absolute value. A stored NaN
      becomes 0, with a 0/1 column as above.

    Parameters
    ----------
    categorical_features : "from_dtype", None or array-like of bool, int or str, default="from_dtype"
        Which columns are categories. With "from_dtype" those of a category, string or bool type, and those
        of objects other than numbers, bools among numbers, or dates, or of no value at all; in an array
        without column types, which a list of lists becomes, only those of strings or objects. None: none.
        Otherwise a mask, indices or names. A column of strings left out must hold numerals.
    numbers : {"robust", "auto", "standard", "quantile_normal"}, default="robust"
        How dense numbers are encoded; sparse tables take the first two alone.
    dtype : {numpy.float32, numpy.float64}, default=numpy.float32
        Type of the encoding.

    Attributes
    ----------
    numeric_columns_, categorical_columns_ : ndarray of int
        Indices of the table's columns of each kind.
    indicator_columns_ : ndarray of int
        Indices of the table's columns whose missing values are marked.
    categories_ : list of ndarray
        The levels of each categorical column, a missing one (NaN) last.
    center_, scale_ : ndarray of float64 of shape (n_numeric_columns,)
        What is subtracted from the numbers, and what the difference is divided by; a constant column has
        scale 1. Where quantiles or ranks encode a column, what they are for "robust": they describe the column.
    n_features_out_ : int
        Number of columns of the encoding.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if the table has names.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024). Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data. NeurIPS 37. Appendix A.1: the robust scaling and the smooth clip.

    Examples
    --------
    >>> import pandas as pd
    >>> from sknnopt.data import TableEncoder
    >>> X = pd.DataFrame({"size": [1.0, None, 3.0, 90.0], "colour": ["red", "blue", "red", None]})
    >>> encoder = TableEncoder().fit(X)
    >>> encoder.get_feature_names_out().tolist()
    ['size', 'missingindicator_size', 'colour_blue', 'colour_red', 'colour_nan']
    >>> encoder.transform(X).round(2)
    array([[-0.03,  0.  ,  0.  ,  1.  ,  0.  ],
           [ 0.  ,  1.  ,  1.  ,  0.  ,  0.  ],
           [ 0.  ,  0.  ,  0.  ,  1.  ,  0.  ],
           [ 1.21,  0.  ,  0.  ,  0.  ,  1.  ]], dtype=float32)
    """

    def __init__(
        self, *, categorical_features: Any = "from_dtype", numbers: str = "robust", dtype: DTypeLike = np.float32
    ) -> None:
        self.categorical_features = categorical_features
        self.numbers = numbers
        self.dtype = dtype

    def fit(self, X: Any, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn the encoding from these rows, and from no others.

        Parameters
        ----------
        X : pandas or polars frame, ndarray, sparse matrix or list of lists of shape (n_rows, n_columns)
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            A weight of zero is the row left out, an integer weight the row repeated, both to the bit.

        Raises
        ------
        TypeError
            If a column is neither numbers nor categories.
        ValueError
            If the table is empty, not two-dimensional, complex or infinite; with sklearn's messages.
        """
        self._fit(X, sample_weight, encode=False)
        return self

    def fit_transform(
        self, X: Any, y: object = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[Any] | sparse.csr_array:
        """The same as ``fit(X, y, sample_weight).transform(X)``, with each column converted once."""
        return self._fit(X, sample_weight, encode=True)

    def transform(self, X: Any) -> NDArray[Any] | sparse.csr_array:
        """Encode rows.

        Parameters
        ----------
        X : pandas or polars frame, ndarray, sparse matrix or list of lists of shape (n_rows, n_columns)

        Returns
        -------
        ndarray or CSR matrix of shape (n_rows, n_features_out)
            CSR if both this table and that of `fit` are sparse.

        Raises
        ------
        ValueError
            If the table is empty, infinite, or not as wide as in `fit`; with sklearn's messages.
        """
        if is_plain(X) and X.shape[1] == getattr(self, "n_features_in_", None) and not len(self.categorical_columns_):
            return self._encoding.array(X)
        check_is_fitted(self)
        table = read_table(X)
        validate_data(self, X if isinstance(table, Columns) else table, reset=False, skip_check_array=True)
        return self._encode(table)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Names of the encoding's columns, formed as MissingIndicator and OneHotEncoder form them.

        Parameters
        ----------
        input_features : array-like of str, default=None
            The table's names, where it has none; ``["x0", "x1", ...]`` by default.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        numeric = names[self.numeric_columns_].tolist()
        marks = [f"missingindicator_{name}" for name in names[self.indicator_columns_]]
        pairs = zip(names[self.categorical_columns_], self._encoding.levels, strict=True)
        return np.array(numeric + marks + [one for name, levels in pairs for one in levels.names(name)], object)

    @property
    def encoding(self) -> Encoding:
        """The columns of the encoding, as fitted."""
        check_is_fitted(self)
        return self._encoding

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = self.numbers in ROBUST
        tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _fit(self, X: Any, sample_weight: ArrayLike | None, *, encode: bool) -> Any:
        table = read_table(X)
        validate_data(self, X if isinstance(table, Columns) else table, reset=True, skip_check_array=True)
        self._check_numbers(table)
        rows, weights = counted_rows(sample_weight, table.shape[0], keep=self.numbers == "quantile_normal")
        categorical = self._categorical(table, rows)
        self.numeric_columns_ = np.flatnonzero(~categorical)
        self.categorical_columns_ = np.flatnonzero(categorical)
        if isinstance(table, Columns) or categorical.any():
            return self._fit_columns(as_columns(table), rows, weights, encode=encode)
        self._fit_numbers(table, rows, weights)
        return self._encode(table) if encode else None

    def _check_numbers(self, table: Table) -> None:
        if self.numbers not in STATISTICS:
            raise ValueError(
                f"numbers must be one of {', '.join(map(repr, STATISTICS))}. Got {self.numbers!r} instead."
                f"{suggestion(self.numbers, STATISTICS)}"
            )
        if sparse.issparse(table) and self.numbers not in ROBUST:
            raise ValueError(
                f"Sparse tables are scaled by their columns' largest absolute values, not by {self.numbers!r}, which "
                "would make every zero another number. Pass a dense table, or take the default."
            )

    def _categorical(self, table: Table, rows: Mask) -> NDArray[np.bool_]:
        features = self.categorical_features
        mask = np.zeros(table.shape[1], dtype=bool)
        if isinstance(features, str) and features == "from_dtype":
            if isinstance(table, Columns):
                for place, (name, column) in enumerate(zip(table.names, table.columns, strict=True)):
                    with naming(name):
                        mask[place] = column.kind(rows) == "category"
        elif features is not None:
            mask = categorical_mask(features, getattr(self, "feature_names_in_", None), len(mask))
        if mask.any() and sparse.issparse(table):
            raise ValueError("A sparse table can have no categorical_features. Pass a dense one.")
        return mask

    def _fit_numbers(self, table: Any, rows: Mask, weights: NDArray[np.float64] | None) -> None:
        if sparse.issparse(table):
            largest, marked = fit_max_abs(table if rows is None else table[rows])
            statistics = [Statistics(0.0, 1 / one, mark) for one, mark in zip(largest, marked, strict=True)]
        else:
            statistics = statistics_of(table, rows, weights, numbers=self.numbers)
        missing = [one.missing for one in statistics]
        self._untyped = [False] * len(missing)
        self._encoding = Encoding(
            missing, [], self.dtype, numbers="max_abs" if sparse.issparse(table) else self.numbers
        )
        self._keep(statistics)

    def _fit_columns(
        self, table: Columns, rows: Mask, weights: NDArray[np.float64] | None, *, encode: bool
    ) -> NDArray[Any] | None:
        counted = slice(None) if rows is None else rows
        levels, positions = [], []
        for place in self.categorical_columns_.tolist():
            with naming(table.names[place]):
                codes, found = table.columns[place].levels()
                levels.append(Levels(codes[counted], found, weights))
            if encode:
                positions.append(levels[-1].positions(codes, found))
        places = self.numeric_columns_.tolist()
        numeric = [table.columns[place] for place in places]
        missing = [column.has_missing(rows) for column in numeric]
        self._untyped = [column.untyped for column in numeric]
        looked_at = isinstance(self.categorical_features, str)
        self._encoding = Encoding(missing, levels, self.dtype, numbers=self.numbers)
        out = self._encoding.empty(table.n_rows) if encode else None
        statistics = []
        for place, column in enumerate(numeric):
            with naming(table.names[places[place]]):
                numbers = column.numbers(strict=not (looked_at and column.untyped))
                statistics.append(STATISTICS[self.numbers](numbers[counted], weights))
                self._encoding.learn(place, statistics[-1])
                if out is not None:
                    self._encoding.write_numbers(numbers, place, out)
        self._keep(statistics)
        if out is not None:
            self._encoding.write_levels(positions, out)
        return out

    def _keep(self, statistics: Sequence[Statistics]) -> None:
        for place, one in enumerate(statistics):
            self._encoding.learn(place, one)
        self.center_ = np.array([one.center for one in statistics])
        with np.errstate(over="ignore"):
            scale = 1 / np.array([one.scale or 1.0 for one in statistics])
        self.scale_ = np.minimum(scale, sys.float_info.max)
        self._describe()

    def _describe(self) -> None:
        """Set what the encoding tells of itself."""
        self.indicator_columns_ = self.numeric_columns_[self._encoding.marked]
        self.categories_ = [one.categories for one in self._encoding.levels]
        self.n_features_out_ = self._encoding.width

    def _encode(self, table: Any) -> NDArray[Any] | sparse.csr_array:
        if sparse.issparse(table):
            if self._encoding.numbers == "max_abs":
                return self._encoding.sparse(table)
            table = table.toarray()
        if not isinstance(table, Columns) and not len(self.categorical_columns_):
            return self._encoding.array(table)
        table = as_columns(table)
        out = self._encoding.empty(table.n_rows)
        for place, column in enumerate(self.numeric_columns_.tolist()):
            with naming(table.names[column]):
                numbers = table.columns[column].numbers(strict=not self._untyped[place])
                self._encoding.write_numbers(numbers, place, out)
        self._encoding.write_levels(self._positions(table), out)
        return out

    def _positions(self, table: Columns) -> Iterator[NDArray[np.int8]]:
        for column, levels in zip(self.categorical_columns_.tolist(), self._encoding.levels, strict=True):
            with naming(table.names[column]):
                yield levels.positions(*table.columns[column].levels())
