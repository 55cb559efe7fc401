"""The levels of a categorical column, one-hot encoded."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder

__all__ = ["MAX_CATEGORIES", "Levels"]

#: Most columns that a categorical column is encoded to; the rarest levels then share the last of them.
MAX_CATEGORIES = 100


class Levels:
    """The levels that a column has in its training rows, and the column that each is encoded to.

    It is what ``OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=100)`` fits, with weights
    counted: a missing value is a level of its own, after the others; from `MAX_CATEGORIES` on the lightest
    levels share one column, the last; a level unseen is encoded by that column, or else by zeros.

    Parameters
    ----------
    codes : ndarray of int of shape (n_rows,)
        For each training row its place in `levels`, -1 if missing.
    levels : sequence
        The levels, in any order; those without a row are left out.
    weights : ndarray of shape (n_rows,), default=None
        Positive weights.

    Attributes
    ----------
    categories : ndarray of object of shape (n_categories,)
        The levels seen, sorted, a missing one (NaN) last.
    infrequent : ndarray of object
        Those that share the last column.
    width : int
        Number of columns of the encoding.

    Raises
    ------
    TypeError
        If the levels cannot be sorted, such as strings and numbers in one column.

    Examples
    --------
    >>> import numpy as np
    >>> levels = Levels(np.array([1, 0, -1]), ["b", "a", "absent"])
    >>> levels.categories
    array(['a', 'b', nan], dtype=object)
    >>> levels.positions(np.array([0, 1, -1]), ["b", "unseen"])
    array([ 1, -1,  2], dtype=int8)
    """

    def __init__(
        self, codes: NDArray[Any], levels: Sequence[Hashable], weights: NDArray[np.float64] | None = None
    ) -> None:
        missing, *seen = np.bincount(codes.astype(np.intp) + 1, weights, minlength=len(levels) + 1)
        mass = {level: weight for level, weight in zip(levels, seen, strict=True) if weight > 0}
        categories = _sorted(list(mass), missing=missing > 0)
        masses = np.array([mass.get(level, missing) for level in categories])
        rare = np.zeros(len(masses), dtype=bool)
        if len(masses) >= MAX_CATEGORIES:
            rare[masses.argsort(kind="stable")[: 1 - MAX_CATEGORIES]] = True
        self._keep(categories, rare)

    def _keep(self, categories: NDArray[Any], rare: NDArray[np.bool_]) -> None:
        """Set all that is known of sorted levels of which these share a column."""
        self.categories, self._rare = categories, rare
        self.infrequent, self.frequent = categories[rare], categories[~rare]
        self.width = len(self.frequent) + bool(rare.any())
        self._position = {level: place for place, level in enumerate(self.frequent)}
        self._unknown = self.width - 1 if rare.any() else -1
        kept = categories[-1] != categories[-1] and not rare[-1]
        self._missing = len(self.frequent) - 1 if kept else self._unknown

    def __getstate__(self) -> dict[str, NDArray[Any]]:
        return {"categories": self.categories, "rare": self._rare}

    def __setstate__(self, state: dict[str, NDArray[Any]]) -> None:
        self._keep(**state)

    def positions(self, codes: NDArray[Any], levels: Sequence[Hashable]) -> NDArray[np.int8]:
        """For each row the encoding's column that is 1, or -1 where all are 0."""
        places = [self._position.get(level, self._unknown) for level in levels]
        return np.asarray(np.array([*places, self._missing], dtype=np.int8)[codes])

    def position(self, level: Hashable) -> int:
        """The encoding's column of one level, NaN being a missing one; -1 where all are 0."""
        return self._missing if level != level else self._position.get(level, self._unknown)

    def names(self, name: str) -> list[str]:
        """Names of the encoding's columns, as OneHotEncoder gives them."""
        suffixes = [*self.frequent, "infrequent_sklearn"] if len(self.infrequent) else self.frequent
        return [f"{name}_{suffix}" for suffix in suffixes]


def _sorted(levels: list[Hashable], *, missing: bool) -> NDArray[Any]:
    if any(isinstance(level, tuple) for level in levels):  # an encoder would take them for rows
        raise TypeError("holds tuples as categories. Make each a column, or join them to a string")
    column = np.empty((len(levels) + missing, 1), dtype=object)
    column[-1, 0] = np.nan
    for row, level in enumerate(levels):
        column[row, 0] = level
    categories: NDArray[Any] = OneHotEncoder().fit(column).categories_[0]
    return categories
