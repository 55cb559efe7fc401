"""Piecewise-linear encoding of numbers, with bins by quantiles or by a tree."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._choices import Range
from .._compat import StrOptions
from ._base import ACTIVATION, COUNT, Floats, NumericEmbedding

__all__ = ["PiecewiseLinear"]

LEAF = 64
"""Rows, or their weight, that a bin by target has at least; fewer in small tables."""


class PiecewiseLinear(NumericEmbedding):
    """Piecewise-linear encoding: bin t of a column gives ``min(max((x - b_t) / (b_{t+1} - b_t), 0), 1)``.

    The first bin goes on below its lower edge, the last above its upper one. So each embedding is a continuous,
    piecewise-linear function of the column, with kinks at the edges, before its activation. Edges come from each
    member's own training rows. Columns with few distinct values have fewer bins.

    Parameters
    ----------
    n_bins : int, default=24
        Most bins of a column; at least 1.
    embedding_size : int, default=8
        Inputs of the network that a column becomes; at least 1.
    bins : {"quantile", "target"}, default="quantile"
        Edges at quantiles of the column, or where a decision tree splits it to tell the target.
    activation : {"relu", None}, default="relu"
        What is applied to the embedding.

    References
    ----------
    Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", 2022, equation 1
    and sections 3.2.1 and 3.2.2.

    Examples
    --------
    >>> import numpy as np
    >>> embedding = PiecewiseLinear(n_bins=4)
    >>> embedding.edges(np.arange(9.0), np.zeros(9), None)
    array([0., 2., 4., 6., 8.])
    >>> embedding.edges(np.array([0.0, 0.0, 1.0, 2.0]), np.zeros(4), None)
    array([0., 1., 1., 1., 2.])
    """

    learns = True
    of_start = frozenset({"bins"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_bins": [COUNT],
        "embedding_size": [COUNT],
        "bins": [StrOptions({"quantile", "target"})],
        "activation": ACTIVATION,
    }
    search_space: ClassVar[dict[str, Range | list[Any]]] = {
        "n_bins": [8, 16, 24, 48],
        "embedding_size": [4, 8, 16],
        "bins": ["quantile", "target"],
    }

    def __init__(
        self, *, n_bins: int = 24, embedding_size: int = 8, bins: str = "quantile", activation: str | None = "relu"
    ) -> None:
        self.n_bins = n_bins
        self.embedding_size = embedding_size
        self.bins = bins
        self.activation = activation

    @property
    def n_features(self) -> int:
        return self.n_bins

    def edges(self, values: Floats, target: NDArray[Any], weight: Floats | None) -> Floats:
        low, high = values.min(), values.max()
        inner = self._thresholds(values, target, weight) if self.bins == "target" else self._quantiles(values, weight)
        found = np.unique(np.clip([low, *inner, high], low, high))
        before_last = len(found) - 1  # so that the last bin, which goes on, is the last in any column
        empty = np.full(self.n_bins - before_last, found[max(before_last - 1, 0)])
        return np.concatenate([found[:before_last], empty, found[before_last:]])

    def _quantiles(self, values: Floats, weight: Floats | None) -> list[float]:
        """Return the least values with these shares of all weight up to them; a weight of 2 is a row given twice."""
        order = values.argsort(kind="stable")
        mass = np.cumsum(np.ones(len(values)) if weight is None else weight[order])
        places = np.searchsorted(mass, np.arange(1, self.n_bins) / self.n_bins * mass[-1])
        found: list[float] = values[order[places]].tolist()
        return found

    def _thresholds(self, values: Floats, target: NDArray[Any], weight: Floats | None) -> list[float]:
        if self.n_bins == 1:
            return []
        from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor  # a sixth of the time of our import

        kind = DecisionTreeClassifier if target.dtype.kind in "iu" else DecisionTreeRegressor
        mass = len(values) if weight is None else float(weight.sum())
        leaf = min(LEAF / mass, 0.5 / self.n_bins)
        tree = kind(max_leaf_nodes=self.n_bins, min_weight_fraction_leaf=leaf, random_state=0)
        tree.fit(values[:, None], target, sample_weight=weight)
        return [float(one) for one in tree.tree_.threshold[tree.tree_.feature >= 0]]
