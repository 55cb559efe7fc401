"""Embedding of columns, and the scale of inputs, of K networks."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from sknnopt.embeddings import NumericEmbedding, Periodic
from sknnopt.nn._embedding import bins, clip_bins
from sknnopt.nn._layer import Pass
from sknnopt.nn._parts import Binding
from sknnopt.nn._workspace import Rows


class _Features(Protocol):
    """phi of C columns, (K, C, B) -> (K, C, T, B), and the gradients of what it has learnt."""

    out: Tensor

    def forward(self, x: Rows) -> None: ...

    def backward(self, x: Rows, weight: Tensor, gradient: Tensor) -> None: ...


class Embed:
    """Embed the first C columns, and some categories, of K members: (K, F, B) -> (K, F', B).

    Each member's products are a call of their own: those of its columns, all of one size.

    Parameters
    ----------
    name : str
        Parameters are ``name.numeric.weight`` (K, C, D, T), ``name.numeric.bias`` (K, C, D), those of the features, and
        ``name.category_i.weight`` (K, D_i, L_i).
    numbers : int
        C.
    embedding : NumericEmbedding or None
    categories : sequence of (int, int, int)
        As in :class:`~sknnopt.nn._embedding.InputEmbedding`.
    inputs, features : int
        F and F'.
    to : Binding
    """

    def __init__(
        self,
        name: str,
        numbers: int,
        embedding: NumericEmbedding | None,
        categories: Sequence[tuple[int, int, int]],
        inputs: int,
        features: int,
        to: Binding,
    ) -> None:
        self._out = to.space.features(f"{name}.out", features)
        self._numbers = None
        start = 0
        self._copies: list[tuple[slice, Tensor]] = []
        if embedding is not None:
            start = embedding.embedding_size * numbers
            out = self._out.view[:, :start]
            self._numbers = _Numbers(f"{name}.numeric", numbers, embedding, out, to)
            if isinstance(embedding, Periodic) and embedding.dense:
                self._copies.append((slice(0, numbers), self._out.view[:, start : start + numbers]))
                start += numbers
        self._categories: list[tuple[slice, slice, Tensor, Tensor | None]] = []
        column = numbers if embedding is not None else 0
        for place, (first, levels, size) in enumerate(categories):
            self._copy(column, first, start)
            start += first - column
            weight = f"{name}.category_{place}.weight"
            slope = None if to.gradients is None else to.gradients[weight]
            columns, embedded = slice(first, first + levels), slice(start, start + size)
            self._categories.append((columns, embedded, to.parameters[weight], slope))
            column, start = first + levels, start + size
        self._copy(column, inputs, start)
        self._x = self._out.view

    def _copy(self, first: int, end: int, start: int) -> None:
        if end > first:
            self._copies.append((slice(first, end), self._out.view[:, start : start + end - first]))

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return the embedded rows."""
        self._x = x.view
        if self._numbers is not None:
            self._numbers.forward(x.view)
        for columns, out in self._copies:
            out.copy_(x.view[:, columns])
        for columns, embedded, weight, _ in self._categories:
            for k, own in enumerate(weight):
                torch.mm(own, x.view[k, columns], out=self._out.view[k, embedded])
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Write the gradients of the embeddings; the rows themselves need none."""
        if self._numbers is not None:
            self._numbers.backward(gradient.view)
        for columns, embedded, _, slope in self._categories:
            assert slope is not None
            for k, own in enumerate(slope):
                torch.mm(gradient.view[k, embedded], self._x[k, columns].T, out=own)
        return gradient


class _Numbers:
    """f(W phi(x) + b) of C columns; writes into ``out`` (K, C D, B)."""

    def __init__(self, name: str, columns: int, embedding: NumericEmbedding, out: Tensor, to: Binding) -> None:
        self._x = to.space.features(f"{name}.x", columns)
        kind = _Waves if isinstance(embedding, Periodic) else _Pieces
        self._features: _Features = kind(name, columns, embedding, to)
        self._weight, self._relu = to.parameters[f"{name}.weight"], embedding.activation == "relu"
        self._bias = to.parameters[f"{name}.bias"].flatten(1).unsqueeze(2)
        self._out, self._size = out, (columns, embedding.embedding_size, to.space.rows)
        if to.gradients is not None:
            self._weight_gradient = to.gradients[f"{name}.weight"]
            self._bias_gradient = to.gradients[f"{name}.bias"]

    def forward(self, x: Tensor) -> None:
        """Embed the first columns of x (K, F, B)."""
        self._x.view.copy_(x[:, : self._size[0]])
        self._features.forward(self._x)
        for weight, features, out in zip(self._weight, self._features.out, self._out, strict=True):
            torch.bmm(weight, features, out=out.view(self._size))
        self._out.add_(self._bias)
        if self._relu:
            self._out.clamp_(min=0.0)

    def backward(self, gradient: Tensor) -> None:
        """Write the gradients, given that of all embedded rows (K, F', B), which is overwritten."""
        gradient = gradient[:, : self._out.shape[1]]
        if self._relu:
            torch.ops.aten.threshold_backward.grad_input(gradient, self._out, 0.0, grad_input=gradient)
        for slope, features, own in zip(self._weight_gradient, self._features.out, gradient, strict=True):
            torch.bmm(own.view(self._size), features.transpose(1, 2), out=slope)
        self._bias_gradient.copy_(gradient.sum(2).view_as(self._bias_gradient))
        self._features.backward(self._x, self._weight, gradient)


def columnwise(rows: Rows, columns: int) -> Tensor:
    """Return the view (K, C T, B) of activations as (K, C, T, B)."""
    members, _, count = rows.view.shape
    return rows.view.view(members, columns, -1, count)


class _Pieces:
    """Piecewise-linear encoding of C columns."""

    def __init__(self, name: str, columns: int, embedding: NumericEmbedding, to: Binding) -> None:
        count = embedding.n_features
        flat = to.space.features(f"{name}.features", columns * count)
        self.out = columnwise(flat, columns)
        self._bins = [one.unsqueeze(3) for one in bins(to.buffers[f"{name}.edges"])]

    def forward(self, x: Rows) -> None:
        """Encode x (K, C, B)."""
        low, factor = self._bins
        torch.sub(x.view.unsqueeze(2), low, out=self.out)
        self.out.mul_(factor)
        clip_bins(self.out, 2)

    def backward(self, x: Rows, weight: Tensor, gradient: Tensor) -> None:
        """Nothing is learnt."""


class _Waves:
    """Periodic features of C columns."""

    def __init__(self, name: str, columns: int, embedding: NumericEmbedding, to: Binding) -> None:
        assert isinstance(embedding, Periodic)
        count = embedding.n_frequencies
        self._shape = (columns, count)
        self._frequency = to.parameters[f"{name}.frequency"].unsqueeze(3)
        self._phase = to.parameters[f"{name}.phase"].unsqueeze(3) if embedding.phases else None
        self._angle, self._cosine, self._sine = (
            to.space.features(f"{name}.{word}", columns * count) for word in ("angle", "cosine", "sine")
        )
        self._angles = columnwise(self._angle, columns)
        self._cosines, self._sines = (columnwise(rows, columns) for rows in (self._cosine, self._sine))
        self.out = self._cosines
        if not embedding.phases:
            both = to.space.features(f"{name}.features", columns * 2 * count)
            self.out = columnwise(both, columns)
        if to.gradients is not None:
            self._slope = to.space.features(f"{name}.slope", columns * embedding.n_features)
            self._frequency_gradient = to.gradients[f"{name}.frequency"]
            self._phase_gradient = to.gradients.get(f"{name}.phase")

    def forward(self, x: Rows) -> None:
        """Compute cosines and sines of x (K, C, B)."""
        torch.mul(x.view.unsqueeze(2), self._frequency, out=self._angles)
        self._angle.flat.mul_(2 * math.pi)
        if self._phase is not None:
            self._angles.add_(self._phase)
        torch.cos(self._angle.flat, out=self._cosine.flat)
        torch.sin(self._angle.flat, out=self._sine.flat)
        if self._phase is None:
            count = self._shape[1]
            self.out[:, :, :count].copy_(self._cosines)
            self.out[:, :, count:].copy_(self._sines)

    def backward(self, x: Rows, weight: Tensor, gradient: Tensor) -> None:
        """Write the gradients of frequencies and phases."""
        columns, count = self._shape
        slopes = columnwise(self._slope, columns)
        size = (columns, weight.shape[2], gradient.shape[2])
        for own, out, slope in zip(weight, slopes, gradient, strict=True):
            torch.bmm(own.transpose(1, 2), slope.view(size), out=out)
        angles = self._angles  # d cos = -sin, d sin = cos
        torch.mul(slopes[:, :, :count], self._sines, out=angles).neg_()
        if self._phase is None:
            angles.add_(self._cosines.mul_(slopes[:, :, count:]))
        if self._phase_gradient is not None:
            torch.sum(angles, 3, out=self._phase_gradient)
        angles.mul_(x.view.unsqueeze(2))
        torch.sum(angles, 3, out=self._frequency_gradient)
        self._frequency_gradient.mul_(2 * math.pi)


class ScaleInputs:
    """y = s x, (K, F, B) -> (K, F, B), with factors ``name.weight`` (K, F)."""

    def __init__(self, name: str, to: Binding, *, input_gradient: bool) -> None:
        self._weight = to.parameters[f"{name}.weight"].unsqueeze(2)
        features = self._weight.shape[1]
        self._out = to.space.features(f"{name}.out", features)
        self._x, self._input_gradient = self._out.view, input_gradient
        if to.gradients is not None:
            self._gradient = to.gradients[f"{name}.weight"]
            self._work = to.space.features(f"{name}.work", features)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return s x."""
        self._x = x.view
        torch.mul(x.view, self._weight, out=self._out.view)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Write ds = sum of g x over rows, return s g."""
        torch.mul(gradient.view, self._x, out=self._work.view)
        torch.sum(self._work.view, 2, out=self._gradient)
        if self._input_gradient:
            gradient.view.mul_(self._weight)
        return gradient
