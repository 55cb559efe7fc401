"""What every embedding of numbers has."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._choices import Choice
from .._compat import StrOptions

__all__ = ["NumericEmbedding"]

Floats = NDArray[np.float64]


class NumericEmbedding(Choice):
    """Base of the embeddings: a column's features, and a linear map of them with weights of the column's own.

    A column ``x`` becomes ``f(W phi(x) + b)``: `n_features` features ``phi``, mapped to `embedding_size` numbers; the
    activation ``f`` is ReLU or none. What ``phi`` is, the subclasses say.

    Attributes
    ----------
    learns : bool
        Whether the features need `edges`, which are taken from each member's own training rows.
    """

    learns: ClassVar[bool] = False

    embedding_size: int
    activation: str | None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"activation": [StrOptions({"relu"}), None]}

    @property
    def n_features(self) -> int:
        """T, the features of a column."""
        raise NotImplementedError(f"{type(self).__name__} must define n_features")

    @property
    def width(self) -> int:
        """Inputs of the network that a column becomes."""
        return self.embedding_size

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
