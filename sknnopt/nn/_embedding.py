"""Plain modules that embed the columns of a table, for one network."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sknnopt.embeddings import NumericEmbedding, Periodic


def _empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape, device="meta"))


class ColumnwiseLinear(nn.Module):
    """Features of each column, mapped linearly by weights of the column's own: ``f(W_j phi(x_j) + b_j)``.

    Parameters
    ----------
    columns : int
        C.
    embedding : NumericEmbedding

    Attributes
    ----------
    weight, bias : Tensor (C, D, T), (C, D)
    """

    def __init__(self, columns: int, embedding: NumericEmbedding) -> None:
        super().__init__()
        self.weight = _empty(columns, embedding.embedding_size, embedding.n_features)
        self.bias = _empty(columns, embedding.embedding_size)
        self.relu = embedding.activation == "relu"

    def features(self, x: Tensor) -> Tensor:
        """Return phi of the columns (N, C, B), as (N, C, T, B)."""
        raise NotImplementedError

    def feature_major(self, x: Tensor) -> Tensor:
        """Return the embedded columns (N, C D, B) of N batches (N, C, B), each batch by products of its own."""
        out = torch.stack([torch.bmm(self.weight, features) for features in self.features(x.contiguous())])
        out = out.add(self.bias.unsqueeze(2)).flatten(1, 2)
        return torch.relu(out) if self.relu else out

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded columns (B, C D), column by column."""
        return self.feature_major(x.T.unsqueeze(0))[0].T


class PiecewiseLinearFeatures(ColumnwiseLinear):
    """Piecewise-linear encoding between ``edges`` (C, T + 1); see :class:`~sknnopt.embeddings.PiecewiseLinear`."""

    edges: Tensor

    def __init__(self, columns: int, embedding: NumericEmbedding) -> None:
        super().__init__(columns, embedding)
        self.register_buffer("edges", torch.empty((columns, embedding.n_features + 1), device="meta"))

    def features(self, x: Tensor) -> Tensor:
        low, factor = bins(self.edges)
        values = (x.unsqueeze(2) - low.unsqueeze(2)) * factor.unsqueeze(2)
        clip_bins(values, 2)
        return values


def bins(edges: Tensor) -> tuple[Tensor, Tensor]:
    """Return lower edge and 1 / width of each bin, (..., T), of edges (..., T + 1); 0 for a bin without width."""
    width = edges.diff(dim=-1)
    there = width > 0
    return edges[..., :-1], torch.where(there, 1 / torch.where(there, width, 1.0), 0.0)


def clip_bins(values: Tensor, dim: int) -> None:
    """Clip to 0 and 1, but for the first bin below and the last one above, in place."""
    last = values.shape[dim] - 1
    if last > 0:
        values.narrow(dim, 0, 1).clamp_(max=1.0)
        values.narrow(dim, 1, last - 1).clamp_(0.0, 1.0)
        values.narrow(dim, last, 1).clamp_(min=0.0)


class PeriodicFeatures(ColumnwiseLinear):
    """Cosines and sines of learnt ``frequency`` (C, k), or cosines of learnt ``phase``; see \
:class:`~sknnopt.embeddings.Periodic`.
    """

    def __init__(self, columns: int, embedding: Periodic) -> None:
        super().__init__(columns, embedding)
        self.frequency = _empty(columns, embedding.n_frequencies)
        self.phase = _empty(columns, embedding.n_frequencies) if embedding.phases else None

    def features(self, x: Tensor) -> Tensor:
        angle = x.unsqueeze(2) * (2 * math.pi * self.frequency).unsqueeze(2)
        if self.phase is not None:
            return torch.cos(angle + self.phase.unsqueeze(2))
        return torch.cat([torch.cos(angle), torch.sin(angle)], 2)


class InputEmbedding(nn.Module):
    """Columns of numbers and of categories, embedded: (B, F) -> (B, F').

    First come the embedded numbers, then, where the embedding is dense, the numbers themselves, then all other columns
    in their order, those of an embedded category as its embedding.

    Parameters
    ----------
    numbers : int
        C, the first columns.
    embedding : NumericEmbedding or None
        None leaves them as they are.
    categories : sequence of (int, int, int)
        First column, number of levels and embedding size of each category that is embedded, in order.
    """

    def __init__(
        self, numbers: int, embedding: NumericEmbedding | None, categories: Sequence[tuple[int, int, int]]
    ) -> None:
        super().__init__()
        self.numbers = numbers if embedding is not None else 0
        self.dense = isinstance(embedding, Periodic) and embedding.dense
        self.numeric: ColumnwiseLinear | None = None
        if isinstance(embedding, Periodic):
            self.numeric = PeriodicFeatures(numbers, embedding)
        elif embedding is not None:
            self.numeric = PiecewiseLinearFeatures(numbers, embedding)
        self.categories = list(categories)
        for place, (_, levels, size) in enumerate(self.categories):
            layer = nn.Linear(levels, size, bias=False, device="meta")
            self.add_module(f"category_{place}", layer)

    def feature_major(self, x: Tensor) -> Tensor:
        """Return N batches of embedded rows, (N, F, B) -> (N, F', B)."""
        parts = [self.numeric.feature_major(x[:, : self.numbers])] if self.numeric is not None else []
        if self.dense:
            parts.append(x[:, : self.numbers])
        start = self.numbers
        for place, (first, levels, _) in enumerate(self.categories):
            weight = self.get_parameter(f"category_{place}.weight").expand(len(x), -1, -1)
            parts += [x[:, start:first], torch.bmm(weight, x[:, first : first + levels])]
            start = first + levels
        return torch.cat([*parts, x[:, start:]], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded rows."""
        return self.feature_major(x.T.unsqueeze(0))[0].T


class InputScale(nn.Module):
    """y = s * x with a learnt factor for each input.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    2024, section 3.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = _empty(features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled rows (B, F)."""
        return x * self.weight
