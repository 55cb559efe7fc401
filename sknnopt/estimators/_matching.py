"""What one fitted estimator's inputs and outputs mean to another: columns, categories, classes, units."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sknnopt.data.categorical import Levels
from sknnopt.data.numeric import CLIP
from sknnopt.data.quantiles import NormalScores, Quantiles, from_normal

ROWS = 10_000
"""Most rows by which the encodings of a number are compared."""

ROUNDING = 1e-6
"""Share of a column's range within which a number that was decoded is taken for one of its quantiles."""

_CELLS = 1 << 22

_BENDS = {"robust": "clip", "quantile_normal": "quantiles"}

Floats = NDArray[np.float64]


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
    width: int

    @classmethod
    def of(cls, estimator: Any, keys: list[Hashable]) -> Self:
        """Return those of an estimator whose table has columns of these keys."""
        encoder, n = estimator.preprocessor_, len(keys)
        if encoder is None:
            numbers = {key: place for place, key in enumerate(keys)}
            return cls(numbers, {}, {}, np.zeros(n), np.ones(n), np.zeros(n), None, [None] * n, n)
        encoding = encoder.encoding
        numeric = {keys[column]: place for place, column in enumerate(encoder.numeric_columns_.tolist())}
        marked = encoder.indicator_columns_.tolist()
        categorical = [keys[column] for column in encoder.categorical_columns_.tolist()]
        return cls(
            numeric,
            {keys[column]: len(numeric) + place for place, column in enumerate(marked)},
            dict(zip(categorical, zip(encoding.starts, encoding.levels, strict=True), strict=True)),
            encoding.center, encoding.factor, encoder.center_, _BENDS.get(encoding.numbers), encoding.quantiles,
            encoding.width,
        )  # fmt: skip

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


def input_map(before: Inputs, now: Inputs, table: Any, rows: NDArray[np.int64]) -> tuple[sparse.csr_array, Floats]:
    """Return what makes the old encoding of the new one: old = new @ map.T + shift, as near as may be.

    A first layer of weights W and bias b becomes W @ map and b + W @ shift. Encoded columns that were unknown have
    zeros in the map. Numbers that are encoded otherwise, where the smooth clip or quantiles make that a curve, are
    fitted by least squares on the new rows; everything else is exact.

    Parameters
    ----------
    before, now : Inputs
    table : Tensor or CSR matrix of shape (n, now.width)
        The new encoding.
    rows : ndarray of int
        The training rows.

    Returns
    -------
    map : CSR matrix of shape (before.width, now.width)
    shift : ndarray of shape (before.width,)
    """
    entries: list[tuple[int, int, float]] = []
    shift = np.zeros(before.width)
    shared = [key for key in now.numeric if key in before.numeric]
    slopes, shifts = _lines(before, now, shared, table, rows)
    for key, slope, offset in zip(shared, slopes, shifts, strict=True):
        old = before.numeric[key]
        entries.append((old, now.numeric[key], slope))
        shift[old] = offset
        if key in now.marks and offset:
            entries.append((old, now.marks[key], -offset))  # a missing number is 0 in either encoding
    entries += [(before.marks[key], place, 1.0) for key, place in now.marks.items() if key in before.marks]
    for key in now.levels.keys() & before.levels.keys():
        entries += _levels(*before.levels[key], *now.levels[key])
    places = np.array([entry[:2] for entry in entries], dtype=np.intp).reshape(-1, 2).T
    values = np.array([entry[2] for entry in entries], dtype=np.float64)
    return sparse.coo_array((values, tuple(places)), shape=(before.width, now.width)).tocsr(), shift


def head_inputs(
    table: sparse.csr_array, before: NDArray[np.float64], drawn: NDArray[np.float64]
) -> tuple[sparse.csr_array, Floats]:
    """Return an input map for weights that heads share, and what each head's inputs are to be scaled by.

    Heads scale their inputs before the weights, so that a new column has one scale a head for all that comes from it:
    that of the old column which it stands for most, or what is drawn. Another old column behind it is taken in as far
    as heads scale it alike, by least squares; the only one is exact.

    Parameters
    ----------
    table : CSR matrix of shape (old inputs, new inputs)
    before, drawn : ndarray of shape (H, old inputs), (H, new inputs)
        The heads' scales of old inputs, and those that new ones begin with.

    Returns
    -------
    map : CSR matrix of shape (old inputs, new inputs)
    scales : ndarray of shape (H, new inputs)
    """
    entries, scales = table.tocoo(), drawn.copy()
    order = np.argsort(np.abs(entries.data), kind="stable")
    old, new, values = (part[order] for part in (entries.row, entries.col, entries.data))
    main = np.full(table.shape[1], -1, dtype=np.intp)
    main[new] = old  # of several, the last
    scales[:, main >= 0] = before[:, main[main >= 0]]
    own, others = scales[:, new], before[:, old]
    power = (own * own).sum(0)
    alike = np.where(power > 0, (others * own).sum(0) / np.where(power > 0, power, 1.0), 1.0)
    return sparse.coo_array((values * alike, (old, new)), shape=table.shape).tocsr(), scales


def _levels(first_before: int, before: Levels, first: int, now: Levels) -> list[tuple[int, int, float]]:
    """Return the entries of a categorical column: a level is encoded as it was, levels that share as their mean."""
    entries = []
    for place in range(now.width):
        alone = place < len(now.frequent)
        group = now.frequent[place : place + 1] if alone else now.infrequent
        old = [before.position(level) for level in group]
        entries += [(first_before + one, first + place, 1 / len(group)) for one in old if one >= 0]
    return entries


def _lines(
    before: Inputs, now: Inputs, keys: list[Hashable], table: Any, rows: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return slope and offset of the old encoding over the new one, of each column of numbers in `keys`."""
    old = [before.numeric[key] for key in keys]
    new = [now.numeric[key] for key in keys]
    slope, offset = np.ones(len(keys)), np.zeros(len(keys))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        constant = now.factor[new] == 0
        ratio = np.where(constant, 0.0, before.factor[old] / now.factor[new])
        center = np.where(constant, now.constant[new], now.center[new])
        step = before.factor[old] * (center - before.center[old])
    same = (ratio == 1) & (step == 0) & (before.bend == now.bend)
    same &= np.array([before.quantiles[i] == now.quantiles[k] for i, k in zip(old, new, strict=True)], dtype=bool)
    straight = np.zeros(len(keys), dtype=bool) if before.bend or now.bend else ~constant
    slope[straight], offset[straight] = ratio[straight], step[straight]
    curved = np.flatnonzero(~same & ~straight)
    if len(curved):
        columns = [new[place] for place in curved]
        marks = [now.marks.get(keys[place], -1) for place in curved]
        values, present = _values(table, rows, columns, marks)
        with np.errstate(over="ignore", invalid="ignore"):
            target = _unbent(values, now, columns) * ratio[curved] + step[curved]
        target = _bent(target, before, [old[place] for place in curved])
        slope[curved], offset[curved] = _least_squares(values, target, present)
    return slope, offset


def _values(
    table: Any, rows: NDArray[np.int64], columns: list[int], marks: list[int]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return encoded numbers of some training rows, evenly spread, and which of them are there."""
    most = max(2, min(ROWS, _CELLS // len(columns)))
    some = rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]

    def take(wanted: list[int]) -> Floats:
        if sparse.issparse(table):
            return np.asarray(table[some][:, wanted].toarray(), dtype=np.float64)
        return np.asarray(table.cpu().numpy()[some[:, None], wanted], dtype=np.float64)

    present = np.ones((len(some), len(columns)), dtype=bool)
    marked = [place for place, mark in enumerate(marks) if mark >= 0]
    if marked:
        present[:, marked] = take([marks[place] for place in marked]) == 0
    return take(columns), present


def _unbent(values: Floats, inputs: Inputs, columns: list[int]) -> Floats:
    """Return scaled numbers of some columns, given their encoding."""
    if inputs.bend == "clip":
        bent = np.clip(values / CLIP, -1 + 1e-7, 1 - 1e-7)
        return CLIP * bent / np.sqrt(1 - bent**2)
    if inputs.bend == "quantiles":
        pairs = zip(values.T, (inputs.quantiles[column] for column in columns), strict=True)
        return np.column_stack([one if own is None else from_normal(one, own) for one, own in pairs])
    return values


def _bent(values: Floats, inputs: Inputs, columns: list[int]) -> Floats:
    """Return the encoding of scaled numbers of some columns."""
    values = np.clip(np.nan_to_num(values), -1e100, 1e100)
    if inputs.bend == "clip":
        return values / np.sqrt(1 + (values / CLIP) ** 2)
    if inputs.bend == "quantiles":
        own = [one for column in columns if (one := inputs.quantiles[column]) is not None]
        values = np.column_stack([_on_quantiles(one, each.values) for one, each in zip(values.T, own, strict=True)])
        NormalScores(own).write(values, values)
    return values


def _on_quantiles(values: Floats, quantiles: Floats) -> Floats:
    """Return values, those that rounding has moved off a quantile, which rows may share, moved back on it."""
    above = np.clip(quantiles.searchsorted(values), 1, max(1, len(quantiles) - 1))
    pair = quantiles[above - 1], quantiles[np.minimum(above, len(quantiles) - 1)]
    nearest = np.where(values - pair[0] < pair[1] - values, *pair)
    return np.where(np.abs(values - nearest) <= ROUNDING * (quantiles[-1] - quantiles[0]), nearest, values)


def _least_squares(x: Floats, y: Floats, present: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return slope and offset of each column; a column that does not vary keeps its slope of 1."""
    count = np.maximum(present.sum(0), 1)
    mean_x, mean_y = (np.where(present, value, 0.0).sum(0) / count for value in (x, y))
    dx, dy = (np.where(present, value - mean, 0.0) for value, mean in ((x, mean_x), (y, mean_y)))
    spread = (dx * dx).sum(0)
    slope = np.where(spread > 0, (dx * dy).sum(0) / np.where(spread > 0, spread, 1.0), 1.0)
    return slope, np.where(present.any(0), mean_y - slope * mean_x, 0.0)


class OutputMap(NamedTuple):
    """Where each output comes from: the row of the old last layer, -1 for none; then times `scale` plus `shift`."""

    rows: NDArray[np.intp]
    scale: Floats
    shift: Floats


def output_map(before: Any, now: Any, n_before: int, n_now: int) -> OutputMap:
    """Return which outputs of two fitted estimators mean the same.

    Classes go by their label, several labels a row and targets by their place, if there are as many. Outputs of
    another kind, or behind another link, mean nothing to each other.
    """
    rows, scale, shift = np.full(n_now, -1, dtype=np.intp), np.ones(n_now), np.zeros(n_now)
    kinds = [getattr(estimator.target_, "kind", "numbers") for estimator in (before, now)]
    if all(kind in ("binary", "multiclass") for kind in kinds):
        places = {label: place for place, label in enumerate(before.classes_.tolist())}
        rows[:] = [places.get(label, -1) for label in now.classes_.tolist()]
    elif kinds[0] == kinds[1] and n_before == n_now:
        if kinds[0] == "multilabel":
            rows[:] = np.arange(n_now)
        elif before.loss_.link == now.loss_.link and before.target_.n_outputs_ == now.target_.n_outputs_:
            rows[:] = np.arange(n_now)
            scale, shift = _units(before.target_, now.target_, n_now, now.loss_.link)
    return OutputMap(rows, scale, shift)


def _units(before: Any, now: Any, n: int, link: str) -> tuple[Floats, Floats]:
    """Return scale and shift of each output, by which predictions in the targets' own units agree."""
    each = n // now.n_outputs_
    ratio = np.repeat(before.scale_ / now.scale_, each)
    if link == "exp":
        return np.ones(n), np.log(ratio)
    return ratio, np.repeat((before.mean_ - now.mean_) / now.scale_, each)
