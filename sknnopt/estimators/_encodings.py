"""How fitted estimators encode their columns, and what a number that one has encoded is to another."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from sknnopt.data.categorical import Levels
from sknnopt.data.encoding import ROBUST
from sknnopt.data.quantiles import NormalScores, Quantiles, from_normal
from sknnopt.data.ranks import Ranks
from sknnopt.data.scaling import CLIP

ROUNDING = 1e-6
"""Share of a column's range within which a number that was decoded is taken for one of its quantiles or values."""

SHARE = 0.01
"""Share of the distance of two values within which it is taken for one of them, where ranks tell more apart."""

_BENDS = {**dict.fromkeys(ROBUST, "clip"), "quantile_normal": "quantiles"}

Floats = NDArray[np.float64]
Columns = Sequence[int] | NDArray[np.intp]


class Inputs(NamedTuple):
    """The encoded columns of a fitted estimator, by the table's columns.

    Attributes
    ----------
    numeric, marks : dict
        The encoded column of each column of numbers, and that which marks its missing values.
    levels : dict
        The first encoded column of each categorical one, and its levels.
    center, factor : ndarray of shape (n_numeric,)
        A number is encoded as ``factor * (number - center)``, or as what `bend` makes of that.
    constant : ndarray of shape (n_numeric,)
        The number that a column of factor 0 was full of.
    bend : {"clip", "quantiles"} or None
        Smoothly to within plus and minus 3, or by the quantiles of the column, or not.
    quantiles : sequence of Quantiles or None of length n_numeric
    ranks : dict of Ranks
        By their place, those of columns of numbers whose ranks are encoded in place of the numbers.
    width : int
    """

    numeric: dict[Hashable, int]
    marks: dict[Hashable, int]
    levels: dict[Hashable, tuple[int, Levels]]
    center: Floats
    factor: Floats
    constant: Floats
    bend: str | None
    quantiles: Sequence[Quantiles | None]
    ranks: Mapping[int, Ranks]
    width: int

    @classmethod
    def of(cls, estimator: Any, keys: list[Hashable]) -> Self:
        """Return those of an estimator whose table has columns of these keys."""
        encoder, n = estimator.preprocessor_, len(keys)
        if encoder is None:
            numbers = {key: place for place, key in enumerate(keys)}
            return cls(numbers, {}, {}, np.zeros(n), np.ones(n), np.zeros(n), None, [None] * n, {}, n)
        encoding = encoder.encoding
        numeric = {keys[column]: place for place, column in enumerate(encoder.numeric_columns_.tolist())}
        marked = encoder.indicator_columns_.tolist()
        categorical = [keys[column] for column in encoder.categorical_columns_.tolist()]
        return cls(
            numeric,
            {keys[column]: len(numeric) + place for place, column in enumerate(marked)},
            dict(zip(categorical, zip(encoding.starts, encoding.levels, strict=True), strict=True)),
            encoding.center, encoding.factor, encoder.center_, _BENDS.get(encoding.numbers), encoding.quantiles,
            encoding.ranks, encoding.width,
        )  # fmt: skip

    def untied(self) -> Self:
        """Return the same, with a range of encoded numbers between two quantiles wherever one is several."""
        return self._replace(quantiles=[None if one is None else one.untied() for one in self.quantiles])

    def labels(self) -> list[tuple[Any, ...]]:
        """Return what each encoded column stands for, scales left out."""
        numbers = [("number", key) for key in self.numeric]
        marks = [("missing", key) for key in self.marks]
        levels = [
            ("level", key, str(one))
            for key, (_, own) in self.levels.items()
            for one in [*own.frequent, *(["rare"] if len(own.infrequent) else [])]
        ]
        return [*numbers, *marks, *levels]


def inputs_of(before: Any, now: Any) -> tuple[Inputs, Inputs]:
    """Return the inputs of two estimators; columns are known by name where both have names, else by position."""
    named = hasattr(before, "feature_names_in_") and hasattr(now, "feature_names_in_")
    keys = [
        list(estimator.feature_names_in_ if named else range(estimator.n_features_in_)) for estimator in (before, now)
    ]
    return Inputs.of(before, keys[0]), Inputs.of(now, keys[1])


def rescaling(given: Inputs, columns: Columns, wanted: Inputs, others: Columns) -> tuple[Floats, Floats]:
    """Return the ratio and the step by which numbers scaled by one encoding, not bent, are those scaled by another."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        constant = given.factor[columns] == 0
        ratio = np.where(constant, 0.0, wanted.factor[others] / given.factor[columns])
        center = np.where(constant, given.constant[columns], given.center[columns])
        return ratio, wanted.factor[others] * (center - wanted.center[others])


def encoded_alike(one: Inputs, columns: Columns, other: Inputs, others: Columns) -> NDArray[np.bool_]:
    """Return which columns of numbers are encoded alike."""
    ratio, step = rescaling(one, columns, other, others)
    pairs = zip(columns, others, strict=True)
    curves = [one.quantiles[i] == other.quantiles[k] and one.ranks.get(i) == other.ranks.get(k) for i, k in pairs]
    same: NDArray[np.bool_] = (ratio == 1) & (step == 0) & np.array(curves, dtype=bool) & (one.bend == other.bend)
    return same


def reencoded(values: Floats, given: Inputs, columns: Columns, wanted: Inputs, others: Columns) -> Floats:
    """Return what an encoding makes of numbers given in another.

    Parameters
    ----------
    values : ndarray of shape (n, n_columns)
    given, wanted : Inputs
    columns, others : sequence of int of length n_columns
        The columns of numbers there and here.
    """
    ratio, step = rescaling(given, columns, wanted, others)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = _unbent(values, given, columns) * ratio + step
    return _bent(scaled, wanted, others)


def _unbent(values: Floats, inputs: Inputs, columns: Columns) -> Floats:
    """Return scaled numbers of some columns, given their encoding."""
    if inputs.bend == "clip":
        bent = np.clip(values / CLIP, -1 + 1e-7, 1 - 1e-7)
        scaled: Floats = CLIP * bent / np.sqrt(1 - bent**2)
        for place, ranks in _ranked(inputs, columns):
            scaled[:, place] = ranks.numbers(_on_points(scaled[:, place], ranks.ranks, share=SHARE))
        return scaled
    if inputs.bend == "quantiles":
        pairs = zip(values.T, (inputs.quantiles[column] for column in columns), strict=True)
        return np.column_stack([one if own is None else from_normal(one, own) for one, own in pairs])
    return values


def _bent(values: Floats, inputs: Inputs, columns: Columns) -> Floats:
    """Return the encoding of scaled numbers of some columns."""
    values = np.clip(np.nan_to_num(values), -1e100, 1e100)
    if inputs.bend == "clip":
        for place, ranks in _ranked(inputs, columns):
            values[:, place] = ranks.of(_on_points(values[:, place], ranks.values, share=SHARE))
        return values / np.sqrt(1 + (values / CLIP) ** 2)
    if inputs.bend == "quantiles":
        own = [one for column in columns if (one := inputs.quantiles[column]) is not None]
        values = np.column_stack([_on_points(one, each.values) for one, each in zip(values.T, own, strict=True)])
        NormalScores(own).write(values, values)
    return values


def _ranked(inputs: Inputs, columns: Columns) -> list[tuple[int, Ranks]]:
    """Return the ranks of those of some columns that have such, by their place among these."""
    return [(place, inputs.ranks[column]) for place, column in enumerate(columns) if column in inputs.ranks]


def _on_points(values: Floats, points: Floats, *, share: float = 1.0) -> Floats:
    """Return values, those that rounding has moved off a point, which rows may share, moved back on it.

    A value is moved by at most `share` of the distance of its neighbours.
    """
    above = np.clip(points.searchsorted(values), 1, max(1, len(points) - 1))
    pair = points[above - 1], points[np.minimum(above, len(points) - 1)]
    nearest = np.where(values - pair[0] < pair[1] - values, *pair)
    reach = np.minimum(ROUNDING * (points[-1] - points[0]), share * (pair[1] - pair[0]))
    return np.where(np.abs(values - nearest) <= reach, nearest, values)
