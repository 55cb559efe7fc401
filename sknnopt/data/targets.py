"""Targets to what a loss compares with, and a network's output back to targets."""

import sys
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.multiclass import unique_labels

from .checks import PLAIN, check_labels, check_numbers

__all__ = ["ClassTarget", "RegressionTarget"]

#: Least standard deviation of a target, as a share of its range; only weights that leave next to one value have less.
LEAST_DEVIATION = 1e-9

# Labels looked at together.
_PART = 1 << 20


class ClassTarget:
    """Class labels as codes, or several labels a row as an indicator matrix.

    Attributes
    ----------
    kind : "binary", "multiclass" or "multilabel"
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; for "multilabel" the numbers of the labels, as in sklearn's MLPClassifier.
    n_outputs_ : int
        Outputs of the network: the number of classes (2 for "binary") or of labels.

    Examples
    --------
    >>> import numpy as np
    >>> target = ClassTarget().fit(["no", "yes", "no"])
    >>> target.kind, target.n_outputs_, target.encode(["yes", "no"])
    ('binary', 2, array([1, 0]))
    >>> target.decode(np.array([[0.2, 0.8], [0.9, 0.1]]))
    array(['yes', 'no'], dtype='<U3')
    """

    kind: Literal["binary", "multiclass", "multilabel"]
    classes_: NDArray[Any]
    n_outputs_: int

    def fit(
        self, y: Any, sample_weight: NDArray[np.float64] | None = None, *, classes: ArrayLike | None = None
    ) -> Self:
        """Learn the classes.

        Parameters
        ----------
        y : array-like of shape (n_rows,), or of 0 and 1 of shape (n_rows, n_labels), which may be sparse
            One column is the same as none, but for a DataConversionWarning, which `encode` does not repeat.
        sample_weight : ndarray of shape (n_rows,), default=None
            Classes of rows of weight zero do not count.
        classes : array-like, default=None
            All classes, where `y` may hold only some of them.

        Raises
        ------
        ValueError
            If `y` has numbers that are not classes, several classes a row, NaN, or fewer than two classes.
        """
        self._learn(check_labels(y, warn=True), sample_weight, classes)
        return self

    def fit_encode(
        self, y: Any, sample_weight: NDArray[np.float64] | None = None, *, classes: ArrayLike | None = None
    ) -> NDArray[Any]:
        """The same as ``fit(y, sample_weight, classes=classes).encode(y, sample_weight)``, with `y` looked at once."""
        y = check_labels(y, warn=True)
        codes = self._learn(y, sample_weight, classes)
        return self._encode(y, sample_weight) if codes is None else codes

    def _learn(
        self, y: Any, sample_weight: NDArray[np.float64] | None, classes: ArrayLike | None
    ) -> NDArray[Any] | None:
        """Learn the classes of checked labels; return the codes if they come with it."""
        self._sparse = sparse.issparse(y)
        if y.ndim == 2:
            self.kind, self.n_outputs_ = "multilabel", y.shape[1]
            self.classes_ = np.arange(self.n_outputs_)
            return None
        codes, self._labels = None, LabelEncoder()
        if classes is not None:
            self._labels.fit(unique_labels(classes))
        elif sample_weight is not None:
            self._labels.fit(y[sample_weight > 0])
        elif y.dtype.kind in PLAIN:
            self._labels.classes_, codes = _classes_and_codes(y)
        else:
            codes = self._labels.fit_transform(y)
        self.classes_ = self._labels.classes_
        self.n_outputs_ = len(self.classes_)
        self.kind = "binary" if self.n_outputs_ == 2 else "multiclass"
        if self.n_outputs_ < 2:
            raise ValueError(
                "A classifier requires at least 2 classes; got 1 class"
                + ("." if sample_weight is None else " in the rows with a sample_weight above zero.")
            )
        return None if codes is None else np.asarray(codes, dtype=np.int64)

    def encode(self, y: Any, sample_weight: NDArray[np.float64] | None = None) -> NDArray[Any]:
        """Codes, int64 of shape (n_rows,); for "multilabel" 0 and 1, float32 of shape (n_rows, n_labels).

        Parameters
        ----------
        y : array-like, as in `fit`
        sample_weight : ndarray of shape (n_rows,), default=None
            A row of weight zero may have an unseen label; its code is 0.

        Raises
        ------
        ValueError
            If a label was not seen in `fit`.
        """
        y = check_labels(y, warn=False)
        if (y.ndim == 2) != (self.kind == "multilabel") or (y.ndim == 2 and y.shape[1] != self.n_outputs_):
            raise ValueError(
                f"y has shape {y.shape}, but the targets seen in fit were {self.kind} with {self.n_outputs_} "
                f"{'labels' if self.kind == 'multilabel' else 'classes'}."
            )
        return self._encode(y, sample_weight)

    def _encode(self, y: Any, sample_weight: NDArray[np.float64] | None) -> NDArray[Any]:
        if y.ndim == 2:
            return np.asarray(y.toarray() if sparse.issparse(y) else y, dtype=np.float32)
        if sample_weight is None:
            return np.asarray(self._labels.transform(y), dtype=np.int64)
        codes, counted = np.zeros(len(y), dtype=np.int64), sample_weight > 0
        codes[counted] = self._labels.transform(y[counted])
        return codes

    def decode(self, probability: NDArray[Any]) -> Any:
        """The likeliest label of each row; for "multilabel" 1 for each label likelier than not.

        Parameters
        ----------
        probability : ndarray of shape (n_rows, n_outputs)

        Returns
        -------
        ndarray of shape (n_rows,) or (n_rows, n_labels)
            A CSR matrix if the labels given to `fit` were sparse.
        """
        if self.kind == "multilabel":
            labels = (probability > 0.5).astype(np.int64)
            return sparse.csr_matrix(labels) if self._sparse else labels
        return self.classes_[np.argmax(probability, axis=1)]


def _classes_and_codes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct labels, and the place of each row's among them; numpy's one call sorts five copies."""
    parts = [slice(start, start + _PART) for start in range(0, len(y), _PART)]
    if len(parts) == 1:
        return np.unique(y, return_inverse=True)
    classes = np.unique(np.concatenate([np.unique(y[part]) for part in parts]))
    codes = np.empty(len(y), dtype=np.int64)
    for part in parts:
        codes[part] = classes.searchsorted(y[part])
    return classes, codes


class RegressionTarget:
    """Numbers to learn, scaled.

    Parameters
    ----------
    scale : "standard", "mean" or None
        "standard": `encode` subtracts the mean and divides by the standard deviation. "mean": it divides by the mean,
        for losses whose output is a logarithm. None: neither.
    dtype : {numpy.float32, numpy.float64}, default=numpy.float32
        Type of what `encode` returns.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64 of shape (n_outputs,)
        What is subtracted, and what the difference is divided by. `mean_` is 0 but with "standard"; `scale_` is 1
        with None, with "standard" for a constant target, and with "mean" where the mean is not positive.
    n_outputs_ : int

    Examples
    --------
    >>> import numpy as np
    >>> target = RegressionTarget(scale="standard").fit([1.0, 3.0])
    >>> target.encode([1.0, 3.0, 4.0])
    array([[-1.],
           [ 1.],
           [ 2.]], dtype=float32)
    >>> target.decode(np.array([[0.5]], dtype=np.float32))
    array([2.5])
    """

    mean_: NDArray[np.float64]
    scale_: NDArray[np.float64]
    n_outputs_: int

    def __init__(self, *, scale: Literal["standard", "mean"] | None, dtype: DTypeLike = np.float32) -> None:
        self.scale = scale
        self.dtype = dtype

    def fit(self, y: Any, sample_weight: NDArray[np.float64] | None = None) -> Self:
        """Learn mean and standard deviation.

        Parameters
        ----------
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
            As in sklearn's MLPRegressor one column is the same as none, but for a DataConversionWarning, which
            `encode` does not repeat.
        sample_weight : ndarray of shape (n_rows,), default=None
            A weight of zero is the row left out, to the bit.

        Raises
        ------
        ValueError
            If `y` holds anything but finite numbers.
        """
        values = check_numbers(y, warn=True)
        self.n_outputs_ = values.shape[1]
        self.mean_, self.scale_ = np.zeros(self.n_outputs_), np.ones(self.n_outputs_)
        if self.scale is None:
            return self
        weights = np.ones(len(values)) if sample_weight is None else sample_weight
        values, weights = values[weights > 0], weights[weights > 0, None]
        low, spread = values.min(axis=0), np.ptp(values, axis=0)
        within = (values - low) / np.where(spread > 0, spread, 1.0)
        mean = (within * weights).sum(axis=0) / weights.sum()
        center = low + spread * mean
        if self.scale == "mean":
            self.scale_ = np.where(center > 0, center, 1.0)
            return self
        deviation = np.sqrt((weights * (within - mean) ** 2).sum(axis=0) / weights.sum())
        self.mean_ = center
        scale = spread * np.maximum(deviation, LEAST_DEVIATION)
        self.scale_ = np.where(spread > 0, np.maximum(scale, sys.float_info.min), 1.0)
        return self

    def encode(self, y: Any) -> NDArray[Any]:
        """The target as a network learns it, of shape (n_rows, n_outputs).

        Raises
        ------
        ValueError
            If `y` holds anything but finite numbers, or has not as many columns as in `fit`.
        """
        values = check_numbers(y, warn=False)
        if values.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {values.shape[1]} outputs, but had {self.n_outputs_} in fit.")
        with np.errstate(over="ignore"):
            encoded = ((values - self.mean_) / self.scale_).astype(self.dtype)
        if not np.isfinite(encoded).all():
            raise ValueError(
                f"Input y contains a value too large for {encoded.dtype!r} after subtracting {self.mean_} and dividing "
                f"by {self.scale_}."
            )
        return encoded

    def decode(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Predictions in the target's own units.

        Parameters
        ----------
        values : ndarray of shape (n_rows, n_outputs)

        Returns
        -------
        ndarray of float64 of shape (n_rows, n_outputs), or (n_rows,) if there is one output
        """
        numbers = values.astype(np.float64) * self.scale_ + self.mean_
        return numbers[:, 0] if self.n_outputs_ == 1 else numbers
