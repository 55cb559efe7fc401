"""What one fitted estimator's inputs and outputs mean to another: columns, categories, classes, units."""

from collections.abc import Hashable
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sknnopt.data.categorical import Levels
from sknnopt.data.numeric import CLIP

ROWS = 10_000
"""Most rows by which the encodings of a number are compared."""

_CELLS = 1 << 22

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
        A number is encoded as ``factor * (number - center)``.
    constant : ndarray of shape (n_numeric,)
        The number that a column of factor 0 was full of.
    clip : bool
        Whether the encoding is bent smoothly to within plus and minus 3.
    width : int
    """

    numeric: dict[Hashable, int]
    marks: dict[Hashable, int]
    levels: dict[Hashable, tuple[int, Levels]]
    center: Floats
    factor: Floats
    constant: Floats
    clip: bool
    width: int

    @classmethod
    def of(cls, estimator: Any, keys: list[Hashable]) -> Self:
        """Return those of an estimator whose table has columns of these keys."""
        encoder, n = estimator.preprocessor_, len(keys)
        if encoder is None:
            numbers = {key: place for place, key in enumerate(keys)}
            return cls(numbers, {}, {}, np.zeros(n), np.ones(n), np.zeros(n), False, n)
        encoding = encoder.encoding
        numeric = {keys[column]: place for place, column in enumerate(encoder.numeric_columns_.tolist())}
        marked = encoder.indicator_columns_.tolist()
        categorical = [keys[column] for column in encoder.categorical_columns_.tolist()]
        return cls(
            numeric,
            {keys[column]: len(numeric) + place for place, column in enumerate(marked)},
            dict(zip(categorical, zip(encoding.starts, encoding.levels, strict=True), strict=True)),
            encoding.center, encoding.factor, encoder.center_, encoding.clip, encoding.width,
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


class Lines(NamedTuple):
    """The old encoding of each shared column of numbers, over the new one: ``slope * new + offset``."""

    keys: list[Hashable]
    slope: Floats
    offset: Floats


def input_map(before: Inputs, now: Inputs, lines: Lines) -> tuple[sparse.csr_array, Floats]:
    """Return what makes the old encoding of the new one: old = new @ map.T + shift, as near as may be.

    A first layer of weights W and bias b becomes W @ map and b + W @ shift. Encoded columns that were unknown have
    zeros in the map. Numbers that are scaled otherwise, where the smooth clip makes that a curve, are as near as their
    lines; everything else is exact.

    Parameters
    ----------
    before, now : Inputs
    lines : Lines

    Returns
    -------
    map : CSR matrix of shape (before.width, now.width)
    shift : ndarray of shape (before.width,)
    """
    entries: list[tuple[int, int, float]] = []
    shift = np.zeros(before.width)
    for key, slope, offset in zip(*lines, strict=True):
        old = before.numeric[key]
        entries.append((old, now.numeric[key], slope))
        shift[old] = offset
        if key in now.marks and offset:
            entries.append((old, now.marks[key], -offset))  # a missing number is 0 in either encoding
    entries += [(before.marks[key], place, 1.0) for key, place in now.marks.items() if key in before.marks]
    for key in now.levels.keys() & before.levels.keys():
        entries += level_entries(*before.levels[key], *now.levels[key])
    places = np.array([entry[:2] for entry in entries], dtype=np.intp).reshape(-1, 2).T
    values = np.array([entry[2] for entry in entries], dtype=np.float64)
    return sparse.coo_array((values, tuple(places)), shape=(before.width, now.width)).tocsr(), shift


def level_entries(first_before: int, before: Levels, first: int, now: Levels) -> list[tuple[int, int, float]]:
    """Return the entries of a categorical column: a level is encoded as it was, levels that share as their mean."""
    entries = []
    for place in range(now.width):
        alone = place < len(now.frequent)
        group = now.frequent[place : place + 1] if alone else now.infrequent
        old = [before.position(level) for level in group]
        entries += [(first_before + one, first + place, 1 / len(group)) for one in old if one >= 0]
    return entries


def lines_between(before: Inputs, now: Inputs, table: Any, rows: NDArray[np.int64]) -> Lines:
    """Return what makes the old encoding of numbers of the new one: exactly, or by least squares on training rows.

    Parameters
    ----------
    before, now : Inputs
    table : Tensor or CSR matrix of shape (n, now.width)
        The new encoding.
    rows : ndarray of int
        The training rows.
    """
    keys = [key for key in now.numeric if key in before.numeric]
    old = [before.numeric[key] for key in keys]
    new = [now.numeric[key] for key in keys]
    slope, offset = np.ones(len(keys)), np.zeros(len(keys))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        constant = now.factor[new] == 0
        ratio = np.where(constant, 0.0, before.factor[old] / now.factor[new])
        center = np.where(constant, now.constant[new], now.center[new])
        step = before.factor[old] * (center - before.center[old])
    same = (ratio == 1) & (step == 0) & (before.clip == now.clip)
    straight = ~constant if not (before.clip or now.clip) else np.zeros(len(keys), dtype=bool)
    slope[straight], offset[straight] = ratio[straight], step[straight]
    curved = np.flatnonzero(~same & ~straight)
    if len(curved):
        columns = [new[place] for place in curved]
        marks = [now.marks.get(keys[place], -1) for place in curved]
        values, present = some_values(table, rows, columns, marks)
        target = encoded(values, ratio[curved], step[curved], now.clip, before.clip)
        slope[curved], offset[curved] = _least_squares(values, target, present)
    return Lines(keys, slope, offset)


def some_values(
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


def encoded(values: Floats, ratio: Floats, step: Floats, clipped: bool, clip: bool) -> Floats:
    """Return what the old encoding makes of numbers given in the new one."""
    if clipped:
        bent = np.clip(values / CLIP, -1 + 1e-7, 1 - 1e-7)
        values = CLIP * bent / np.sqrt(1 - bent**2)
    with np.errstate(over="ignore", invalid="ignore"):
        out = np.clip(np.nan_to_num(values * ratio + step), -1e100, 1e100)
    return out / np.sqrt(1 + (out / CLIP) ** 2) if clip else out


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
