"""What every embedding of numbers has."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from .._choices import Choice
from .._compat import Interval, StrOptions

__all__ = ["ACTIVATION", "COUNT", "NumericEmbedding"]

COUNT = Interval(Integral, 1, None, closed="left")
ACTIVATION = [StrOptions({"relu"}), None]

Floats = NDArray[np.float64]


class NumericEmbedding(Choice):
    """Base of the embeddings: a column's features, and a linear map of them with weights of the column's own.

    A column ``x`` becomes ``f(W phi(x) + b)``: `n_features` features ``phi``, mapped to `embedding_size` numbers; the
    activation ``f`` is ReLU or none. What ``phi`` is, the subclasses say.

    Attributes
    ----------
    learns : bool
        Whether the features need `edges`, which are taken from each member's own training rows.
    of_start : frozenset of str
        Parameters that matter only where training begins: members of a cohort may differ in them.

    Examples
    --------
    A piecewise-linear encoding with edges of one's own:

    >>> from sknnopt.embeddings import PiecewiseLinear
    >>> class EqualWidth(PiecewiseLinear):
    ...     def edges(self, values, target, weight):
    ...         return np.linspace(values.min(), values.max(), self.n_bins + 1)
    >>> EqualWidth(n_bins=4).edges(np.array([0.0, 0.3, 8.0]), np.zeros(3), None)
    array([0., 2., 4., 6., 8.])
    """

    learns: ClassVar[bool] = False
    of_start: ClassVar[frozenset[str]] = frozenset()

    embedding_size: int
    activation: str | None

    @property
    def n_features(self) -> int:
        """T, the features of a column."""
        raise NotImplementedError(f"{type(self).__name__} must define n_features")

    @property
    def width(self) -> int:
        """Inputs of the network that a column becomes."""
        return self.embedding_size

    def shape(self) -> Self:
        """Return the embedding without what matters only where training begins; of it members of a cohort share."""
        values = self.get_params(deep=False)
        return type(self)(**{name: value for name, value in values.items() if name not in self.of_start})

    def edges(self, values: Floats, target: NDArray[Any], weight: Floats | None) -> Floats:
        """Return what the features of a column need to know of its training rows, ``(n_features + 1,)``.

        Parameters
        ----------
        values : ndarray of shape (n_rows,)
            The column, encoded.
        target : ndarray of shape (n_rows,) or (n_rows, n_outputs)
            Codes of classes as integers, or numbers.
        weight : ndarray of shape (n_rows,) or None
            Positive weights.
        """
        raise NotImplementedError(f"{type(self).__name__} learns nothing from rows")
