"""What one fitted estimator's inputs and outputs mean to another: columns, categories, classes, units."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sknnopt.data.categorical import Levels
from sknnopt.estimators._encodings import Floats, Inputs, encoded_alike, reencoded, rescaling

ROWS = 10_000
"""Most rows by which the encodings of a number are compared."""

_CELLS = 1 << 22


class Lines(NamedTuple):
    """The old encoding of each shared column of numbers, over the new one: ``slope * new + offset``."""

    keys: list[Hashable]
    slope: Floats
    offset: Floats


def input_map(before: Inputs, now: Inputs, lines: Lines) -> tuple[sparse.csr_array, Floats]:
    """Return what makes the old encoding of the new one: old = new @ map.T + shift, as near as may be.

    A first layer of weights W and bias b becomes W @ map and b + W @ shift. Encoded columns that were unknown have
    zeros in the map. Numbers that are encoded otherwise, where the smooth clip, quantiles or ranks make that a curve,
    are as near as their lines; everything else is exact.

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
    table : Tensor, CSR matrix or EncodedOnDisk of shape (n, now.width)
        The new encoding.
    rows : ndarray of int
        The training rows.
    """
    keys = [key for key in now.numeric if key in before.numeric]
    old = [before.numeric[key] for key in keys]
    new = [now.numeric[key] for key in keys]
    slope, offset = np.ones(len(keys)), np.zeros(len(keys))
    ratio, step = rescaling(now, new, before, old)
    same = encoded_alike(before, old, now, new)
    straight = np.zeros(len(keys), dtype=bool) if before.bend or now.bend else now.factor[new] != 0
    slope[straight], offset[straight] = ratio[straight], step[straight]
    curved = np.flatnonzero(~same & ~straight)
    if len(curved):
        columns = [new[place] for place in curved]
        marks = [now.marks.get(keys[place], -1) for place in curved]
        values, present = some_values(table, rows, columns, marks)
        target = reencoded(values, now, columns, before, [old[place] for place in curved])
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
        if not isinstance(table, Tensor):
            return np.asarray(table[some][:, wanted], dtype=np.float64)
        return np.asarray(table.cpu().numpy()[some[:, None], wanted], dtype=np.float64)

    present = np.ones((len(some), len(columns)), dtype=bool)
    marked = [place for place, mark in enumerate(marks) if mark >= 0]
    if marked:
        present[:, marked] = take([marks[place] for place in marked]) == 0
    return take(columns), present


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
