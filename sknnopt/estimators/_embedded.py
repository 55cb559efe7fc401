"""What embedded columns of one fitted network are in another: columns by name, edges by value, levels by name."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sknnopt.embeddings import NumericEmbedding
from sknnopt.estimators._encodings import Floats, Inputs, encoded_alike, reencoded
from sknnopt.estimators._matching import Lines, level_entries, some_values
from sknnopt.nn import ColumnwiseLinear, InputEmbedding

Tensors = dict[str, Tensor]
Block = tuple[Any, Any, Any]
"""Rows, columns and values of a part of a sparse matrix."""

NUMERIC = "embedding.numeric."


class Places(NamedTuple):
    """Where encoded columns lie once they are embedded.

    Attributes
    ----------
    plain : ndarray of shape (n_columns,)
        The place of a column that stays as it is, or is kept beside its embedding; -1 for others.
    size : int
        The embedded column j of numbers is at ``j * size`` and the next; 0 if none is embedded.
    categories : dict
        By first encoded column: number, place and embedding size of each category that is embedded.
    width : int
    """

    plain: NDArray[np.intp]
    size: int
    categories: dict[int, tuple[int, int, int]]
    width: int

    @classmethod
    def of(cls, embedding: InputEmbedding | None, n_columns: int) -> Self:
        """Return those of a network's embedding; None embeds nothing."""
        if embedding is None:
            return cls(np.arange(n_columns), 0, {}, n_columns)
        numbers, categories = embedding.numbers, {}
        size = 0 if embedding.numeric is None else int(embedding.numeric.weight.shape[1])
        plain = np.full(n_columns, -1, dtype=np.intp)
        start, column = size * numbers, 0 if embedding.dense else numbers
        for number, (first, levels, own) in enumerate(embedding.categories):
            plain[column:first] = np.arange(start, start + first - column)
            start += first - column
            categories[first] = number, start, own
            start, column = start + own, first + levels
        plain[column:] = np.arange(start, start + n_columns - column)
        return cls(plain, size, categories, start + n_columns - column)


class EmbeddedColumns:
    """Makes the embeddings of a fitted network fit another table.

    Shared columns of numbers are embedded as they were: piecewise-linear edges lie where they lay in raw numbers, which
    is exact at the edges, and in between where the encoding is scaled otherwise alone; frequencies and phases follow
    the lines. Levels of categories that either network embeds are read as they were read.

    Parameters
    ----------
    before, now : Inputs
    lines : Lines
    encoding : tuple of CSR matrix (before.width, now.width) and ndarray (before.width,)
        The old encoding of the new one.
    modules : tuple of InputEmbedding or None
        Those of the two networks.
    embedding : NumericEmbedding or None
        What both do with numbers.
    table, rows
        The new encoding and its training rows.
    """

    def __init__(
        self,
        before: Inputs,
        now: Inputs,
        lines: Lines,
        encoding: tuple[sparse.csr_array, Floats],
        modules: tuple[InputEmbedding | None, InputEmbedding | None],
        embedding: NumericEmbedding | None,
        table: Any,
        rows: NDArray[np.int64],
    ) -> None:
        self._before, self._now, self._lines, self._encoding = before, now, lines, encoding
        self._old, self._new = (Places.of(*pair) for pair in zip(modules, (before.width, now.width), strict=True))
        self._embedding = embedding
        keys = lines.keys if self._old.size and self._new.size else []
        self._keys = keys
        self._columns = tuple(np.array([own.numeric[key] for key in keys], dtype=np.intp) for own in (before, now))
        self._ends = np.zeros((2, len(keys)))
        if len(keys):
            values, _ = some_values(table, rows, self._columns[1].tolist(), [-1] * len(keys))
            self._ends = np.array([values.min(0), values.max(0)])

    def apply(self, tensors: Tensors, drawn: Tensors) -> tuple[Tensors, sparse.csr_array, Floats]:
        """Return the new embeddings, and what makes old embedded rows of new ones: ``new @ map.T + shift``."""
        out = {name: value.double().clone() for name, value in drawn.items() if name.startswith("embedding.")}
        blocks = [self._kept()]
        if self._keys:
            self._move_numbers(tensors, out)
            blocks += self._numbers(tensors, out)
        blocks += self._categories(tensors, out)
        parts = [[np.ravel(part) for part in np.broadcast_arrays(*block)] for block in blocks]
        rows, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        shape = self._old.width, self._new.width
        table = sparse.coo_array((values, (rows, columns)), shape=shape).tocsr()
        table.eliminate_zeros()
        shift, kept = np.zeros(shape[0]), self._old.plain >= 0
        shift[self._old.plain[kept]] = self._encoding[1][kept]
        return out, table, shift

    def _kept(self) -> Block:
        """Return the part of columns that neither network embeds."""
        entries = self._encoding[0].tocoo()
        rows, columns = self._old.plain[entries.row], self._new.plain[entries.col]
        there = (rows >= 0) & (columns >= 0)
        return rows[there], columns[there], entries.data[there]

    def _numbers(self, tensors: Tensors, out: Tensors) -> Iterator[Block]:
        """Yield the parts of embedded numbers: they are what they were, but for missing ones, which are 0 in either."""
        size = np.arange(self._old.size)
        (old, new), now = self._columns, self._now
        at = [columns[:, None] * self._old.size + size for columns in self._columns]
        yield at[0], at[1], 1.0
        zeros = [_at_zero(_layer(self._embedding, own)) for own in (tensors, out)]
        marked = [place for place, key in enumerate(self._keys) if key in now.marks]
        marks = self._new.plain[[now.marks[self._keys[place]] for place in marked]]
        difference = zeros[0][old[marked]] - zeros[1][new[marked]]
        yield at[0][marked], marks[:, None], np.where(np.abs(difference) > 1e-12, difference, 0.0)

    def _move_numbers(self, tensors: Tensors, out: Tensors) -> None:
        """Write the parameters and edges of shared columns."""
        old, new = (torch.from_numpy(columns) for columns in self._columns)
        for name in [name for name in out if name.startswith(NUMERIC) and not name.endswith("edges")]:
            out[name][new] = tensors[name].double()[old]
        if f"{NUMERIC}edges" in out:
            self._move_edges(tensors, out)
        else:
            self._move_waves(out, new)

    def _move_waves(self, out: Tensors, new: Tensor) -> None:
        """cos(2 pi c (r x + s) + p) has the frequency c r and the phase p + 2 pi c s; or a rotation in its place."""
        slope, offset = (torch.from_numpy(values).unsqueeze(1) for values in self._lines[1:])
        frequency = out[f"{NUMERIC}frequency"][new]
        out[f"{NUMERIC}frequency"][new] = frequency * slope
        angle = 2 * np.pi * frequency * offset
        if f"{NUMERIC}phase" in out:
            out[f"{NUMERIC}phase"][new] += angle
            return
        cosine, sine = angle.cos().unsqueeze(1), angle.sin().unsqueeze(1)
        weight = out[f"{NUMERIC}weight"]
        even, odd = weight[new].chunk(2, 2)
        weight[new] = torch.cat([even * cosine + odd * sine, odd * cosine - even * sine], 2)

    def _move_edges(self, tensors: Tensors, out: Tensors) -> None:
        before, now, (old, new) = self._before, self._now, self._columns
        edges, reached = tensors[f"{NUMERIC}edges"].double().numpy()[old], self._ends
        flat = (before.factor[old] == 0) | (now.factor[new] == 0)
        moved = reencoded(edges.T, before.untied(), old, now, new).T
        same = encoded_alike(before, old, now, new)
        moved[same | flat] = np.where(flat[:, None], 0.0, edges)[same | flat]
        passed = (np.diff(moved) == 0) & (np.diff(edges) > 0) & (moved[:, 1:] <= reached[0, :, None])
        ends = reencoded(reached, now, new, before, old)
        for column in np.flatnonzero(~same & ~flat):
            _hold_ends(edges[column], moved[column], ends[:, column], reached[:, column])
        out[f"{NUMERIC}edges"][torch.from_numpy(new)] = torch.from_numpy(moved)
        # Where all rows lie above a bin that has lost its width, or a column is always the same, the bias is left.
        place, bias = torch.from_numpy(new), out[f"{NUMERIC}bias"]
        bias[place] += (out[f"{NUMERIC}weight"][place] * torch.from_numpy(passed & ~flat[:, None]).unsqueeze(1)).sum(2)
        if flat.any():
            x = np.zeros(tensors[f"{NUMERIC}edges"].shape[0])
            x[old[flat]] = reencoded(np.zeros((1, flat.sum())), now, new[flat], before, old[flat])[0]
            layer = _layer(self._embedding, tensors)
            own = torch.bmm(layer.weight, layer.features(torch.from_numpy(x[None, :, None]))[0])
            bias[torch.from_numpy(new[flat])] += own[torch.from_numpy(old[flat]), :, 0]

    def _categories(self, tensors: Tensors, out: Tensors) -> Iterator[Block]:
        """Yield the parts of categories that either network embeds, and write the new embeddings."""
        for key in [key for key in self._now.levels if key in self._before.levels]:
            (first, old), (new_first, new) = self._before.levels[key], self._now.levels[key]
            was, is_now = self._old.categories.get(first), self._new.categories.get(new_first)
            levels = np.zeros((old.width, new.width))
            for row, column, value in level_entries(0, old, 0, new):
                levels[row, column] += value
            if was is not None:
                levels = tensors[f"embedding.category_{was[0]}.weight"].double().numpy() @ levels
            rows = np.arange(len(levels)) + (self._old.plain[first] if was is None else was[1])
            if is_now is not None:
                number, start, _ = is_now
                out[f"embedding.category_{number}.weight"][: len(levels)] = torch.from_numpy(levels)
                yield rows, start + np.arange(len(levels)), 1.0
            elif was is not None:
                columns = self._new.plain[new_first] + np.arange(new.width)
                yield rows[:, None], columns, levels


def _hold_ends(edges: Floats, moved: Floats, ends: Floats, reached: Floats) -> None:
    """Move the outer edges where new rows lie beyond them, so that the outer bins give at their ends what they gave.

    These bins go on beyond their edges, along a line where there is a curve.
    """
    if len(edges) < 3:
        return
    if reached[0] < moved[0] and edges[1] > edges[0]:
        value = min(0.0, (ends[0] - edges[0]) / (edges[1] - edges[0]))
        moved[0] = (reached[0] - value * moved[1]) / (1 - value)
    if reached[1] > moved[-1] and edges[-1] > edges[-2]:
        value = max(1.0, (ends[1] - edges[-2]) / (edges[-1] - edges[-2]))
        moved[-1] = moved[-2] + (reached[1] - moved[-2]) / value


def _layer(embedding: NumericEmbedding | None, tensors: Tensors) -> ColumnwiseLinear:
    """Return the plain module of embedded numbers, in float64."""
    own = {name.removeprefix(NUMERIC): value for name, value in tensors.items() if name.startswith(NUMERIC)}
    module = InputEmbedding(len(own["weight"]), embedding, ()).numeric
    assert module is not None
    module.load_state_dict({name: value.detach().double() for name, value in own.items()}, assign=True)
    return module.requires_grad_(requires_grad=False)


def _at_zero(layer: ColumnwiseLinear) -> Floats:
    """Return what zeros are embedded as, (C, D)."""
    columns, size, _ = layer.weight.shape
    found: Floats = layer(torch.zeros(1, columns, dtype=torch.float64)).view(columns, size).numpy()
    return found
