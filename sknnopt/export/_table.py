"""What the encoder of a raw table does, in torch: numbers and codes of categories to a network's inputs."""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sknnopt.data import TableEncoder
from sknnopt.data.categorical import Levels
from sknnopt.data.encoding import ROBUST, Encoding
from sknnopt.data.quantiles import BOUND, Quantiles
from sknnopt.data.ranks import Ranks
from sknnopt.data.scaling import CLIP, FAR

Floats = NDArray[np.float64]


class Table(nn.Module):
    """Raw columns to encoded ones.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted.
    """

    def __init__(self, encoder: TableEncoder) -> None:
        super().__init__()
        encoding = encoder.encoding
        dtype = torch.from_numpy(np.empty(0, encoding.dtype)).dtype
        self.numbers = Numbers(encoding, dtype) if len(encoding.center) else None
        self.categories = nn.ModuleList(Category(one, dtype) for one in encoding.levels)

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Tensor:
        """Return the encoded rows of numbers (B, C) and codes (B, D)."""
        parts = [] if self.numbers is None else [self.numbers(numbers)]
        if len(self.categories):
            assert codes is not None
            parts += [category(codes[:, place]) for place, category in enumerate(self.categories)]
        return torch.cat(parts, 1)


class Numbers(nn.Module):
    """Columns of numbers (B, C), encoded, then the marks of the missing ones, (B, C + M)."""

    center: Tensor
    factor: Tensor
    marked: Tensor
    order: Tensor

    def __init__(self, encoding: Encoding, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.marks = len(encoding.marked) > 0
        self.clips = encoding.numbers in ROBUST
        self.register_buffer("center", torch.from_numpy(encoding.center.copy()))
        self.register_buffer("factor", torch.from_numpy(encoding.factor.copy()))
        if self.marks:  # torch.export.save fails on a tensor of no elements
            self.register_buffer("marked", torch.from_numpy(encoding.marked.astype(np.int64)))
        self.scores: NormalScores | None = None
        self.ranks: RankScores | None = None
        if encoding.numbers == "quantile_normal":
            self.scores = NormalScores([one for one in encoding.quantiles if one is not None])
        if encoding.ranks:
            self.ranks = RankScores(encoding.ranks)
            order = np.arange(len(encoding.center))
            order[list(encoding.ranks)] = len(order) + np.arange(len(encoding.ranks))
            self.register_buffer("order", torch.from_numpy(order))

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the encoded columns and the marks."""
        values, missing = numbers.double(), torch.isnan(numbers)
        largest = sys.float_info.max
        values = torch.where(missing, 0.0, values).clamp(-largest, largest)
        encoded = torch.where(missing, 0.0, self._encoded(values))
        if self.marks:
            encoded = torch.cat([encoded, torch.index_select(missing, 1, self.marked).to(self.dtype)], 1)
        return encoded

    def _encoded(self, values: Tensor) -> Tensor:
        if self.scores is not None:
            return self.scores(values).to(self.dtype)
        scaled = ((values - self.center) * self.factor).clamp(-FAR, FAR).to(self.dtype)
        if self.ranks is not None:
            ranks = self.ranks(values).to(self.dtype)
            scaled = torch.index_select(torch.cat([scaled, ranks], 1), 1, self.order)
        return scaled / torch.sqrt((scaled * (1 / CLIP)) * (scaled * (1 / CLIP)) + 1) if self.clips else scaled


class RankScores(nn.Module):
    """Some of the columns (B, C), by the ranks of their values, between which there are straight lines."""

    places: Tensor
    values: Tensor
    ranks: Tensor

    def __init__(self, ranks: Mapping[int, Ranks]) -> None:
        super().__init__()
        columns = list(ranks.values())
        self.register_buffer("places", torch.tensor(list(ranks)))
        self.register_buffer("values", _rows([one.values for one in columns], np.inf))
        self.register_buffer("ranks", _rows([one.ranks for one in columns]))

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the ranks (B, R)."""
        values = torch.index_select(numbers, 1, self.places).transpose(0, 1).contiguous()
        below = (torch.searchsorted(self.values, values, right=True) - 1).clamp(min=0)
        low, high = torch.gather(self.values, 1, below), torch.gather(self.values, 1, below + 1)
        first, last = torch.gather(self.ranks, 1, below), torch.gather(self.ranks, 1, below + 1)
        share = ((values - low) / (high - low)).clamp(min=0)
        return (first + share * (last - first)).transpose(0, 1)


class NormalScores(nn.Module):
    """Columns (B, C) mapped to standard normal variables by their quantiles; see `sknnopt.data.quantiles`."""

    least: Tensor
    most: Tensor
    values: Tensor
    last: Tensor
    tied: Tensor
    gap: Tensor
    width: Tensor

    def __init__(self, columns: Sequence[Quantiles]) -> None:
        super().__init__()
        self.register_buffer("least", torch.tensor([[one.values[0]] for one in columns]))
        self.register_buffer("most", torch.tensor([[one.values[-1]] for one in columns]))
        self.register_buffer("values", _rows([one.values for one in columns], np.inf))
        self.register_buffer("last", _rows([one.last for one in columns]))
        self.register_buffer("tied", _rows([one.untied().first for one in columns]))
        self.register_buffer("gap", _rows([np.append(one.first[1:] - one.last[:-1], 0.0) for one in columns]))
        self.register_buffer("width", _rows([np.append(np.diff(one.values), 1.0) for one in columns]))
        self.normal = NormalQuantile()

    def forward(self, numbers: Tensor) -> Tensor:
        """Return the normal quantiles (B, C) of the shares of rows below."""
        values = numbers.transpose(0, 1).contiguous()
        values = torch.minimum(torch.maximum(values, self.least), self.most)
        place = torch.searchsorted(self.values, values, right=True) - 1
        below = torch.gather(self.values, 1, place)
        share = (values - below) / torch.gather(self.width, 1, place) * torch.gather(self.gap, 1, place)
        share = share + torch.gather(self.last, 1, place)
        share = torch.where(values == below, torch.gather(self.tied, 1, place), share)
        normal: Tensor = self.normal(share)
        return normal.transpose(0, 1)


class NormalQuantile(nn.Module):
    """Normal quantiles of shares, which are cut at 1e-7 and 1 - 1e-7."""

    def forward(self, share: Tensor) -> Tensor:
        """Return them, of the same shape."""
        return torch.special.ndtri(share.clamp(BOUND, 1 - BOUND))


class Category(nn.Module):
    """Codes (B,) of one column of categories, one-hot encoded."""

    positions: Tensor
    columns: Tensor

    def __init__(self, levels: Levels, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        positions = [levels.position(object()), *(levels.position(one) for one in levels.categories)]
        self.register_buffer("positions", torch.tensor(positions))
        self.register_buffer("columns", torch.arange(levels.width))

    def forward(self, codes: Tensor) -> Tensor:
        """Return columns (B, width), one of them 1, or none."""
        position = torch.index_select(self.positions, 0, codes.clamp(min=-1) + 1)
        return (position.unsqueeze(1) == self.columns).to(self.dtype)


def _rows(parts: Sequence[Floats], end: float | None = None) -> Tensor:
    """Return rows of several lengths as one table, each filled up by one number or more: its last, or `end`."""
    out = np.empty((len(parts), max(map(len, parts)) + 1))
    for row, part in zip(out, parts, strict=True):
        row[: len(part)] = part
        row[len(part) :] = part[-1] if end is None else end
    return torch.from_numpy(out)
