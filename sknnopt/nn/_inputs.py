"""What a network does with the columns before its first dense layer, as parts."""

import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt._random import MemberRandom
from sknnopt.embeddings import NumericEmbedding, Periodic
from sknnopt.initializers import Initializer
from sknnopt.nn._embed import Embed, ScaleInputs
from sknnopt.nn._embedding import InputEmbedding, InputScale
from sknnopt.nn._layer import Layer
from sknnopt.nn._parts import Binding, Part, Rowset, Shapes


@dataclass(frozen=True)
class Inputs:
    """How the columns of a table are embedded.

    Parameters
    ----------
    numbers : int
        C, the first columns, which are numbers.
    embedding : NumericEmbedding or None
        What becomes of them.
    categories : tuple of (int, int, int)
        First column, number of levels and embedding size of each category that is embedded, in order.
    scale : bool
        Whether each input has a learnt factor.

    Examples
    --------
    >>> from sknnopt.embeddings import PiecewiseLinear
    >>> Inputs(2, PiecewiseLinear(embedding_size=4), ((3, 20, 5),)).width(24)
    15
    """

    numbers: int = 0
    embedding: NumericEmbedding | None = None
    categories: tuple[tuple[int, int, int], ...] = ()
    scale: bool = False

    @property
    def embeds(self) -> bool:
        """Whether any column is embedded."""
        return bool(self.categories) or (self.embedding is not None and self.numbers > 0)

    def structure(self) -> Hashable:
        """Return what two networks must share to be stacked."""
        key = None if self.embedding is None else self.embedding.shape().key()
        return self.numbers, key, self.categories, self.scale

    def width(self, n_inputs: int) -> int:
        """Return how many inputs so many columns become."""
        more = sum(size - levels for _, levels, size in self.categories)
        if self.embedding is not None:
            more += self.numbers * (self.embedding.width - 1)
        return n_inputs + more

    def parts(self, n_inputs: int) -> Iterator[Part]:
        """Yield the parts."""
        if self.embeds:
            yield EmbeddingPart("embedding", n_inputs, self)
        if self.scale:
            yield InputScalePart("input_scale", self.width(n_inputs), input_gradient=self.embeds)


@dataclass(frozen=True)
class EmbeddingPart(Part):
    """Embedding of columns of numbers and of categories."""

    n_inputs: int
    spec: Inputs

    @property
    def _embedding(self) -> NumericEmbedding | None:
        return self.spec.embedding if self.spec.numbers else None

    def others(self) -> Shapes:
        embedding, columns = self._embedding, self.spec.numbers
        if embedding is not None:
            shape = (columns, embedding.embedding_size)
            yield f"{self.name}.numeric.weight", (*shape, embedding.n_features)
            yield f"{self.name}.numeric.bias", shape
            if isinstance(embedding, Periodic):
                for leaf in ("frequency", "phase") if embedding.phases else ("frequency",):
                    yield f"{self.name}.numeric.{leaf}", (columns, embedding.n_frequencies)
        for place, (_, levels, size) in enumerate(self.spec.categories):
            yield f"{self.name}.category_{place}.weight", (size, levels)

    def buffers(self) -> Shapes:
        if self.learns:
            assert self._embedding is not None
            yield f"{self.name}.numeric.edges", (self.spec.numbers, self._embedding.n_features + 1)

    @property
    def learns(self) -> bool:
        return self._embedding is not None and self._embedding.learns

    def learn(self, buffers: Mapping[str, Tensor], rows: Rowset) -> None:
        assert self._embedding is not None
        edges = buffers[f"{self.name}.numeric.edges"]
        for own, column in zip(edges, rows.inputs.T, strict=False):
            found = self._embedding.edges(column.astype(np.float64), rows.target, rows.weight)
            own.copy_(torch.from_numpy(found))

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        """Draw weights as `torch.nn.Linear` draws them, frequencies and phases as the papers say."""
        embedding, name = self._embedding, f"{self.name}.numeric"
        if embedding is not None:
            bound = 1 / math.sqrt(embedding.n_features)
            for leaf in ("weight", "bias"):
                values[f"{name}.{leaf}"].uniform_(-bound, bound, generator=random.initial)
            if isinstance(embedding, Periodic):
                drawn = values[f"{name}.frequency"].normal_(generator=random.initial)
                drawn.mul_(torch.from_numpy(embedding.scales()).to(drawn))
                if embedding.phases:
                    values[f"{name}.phase"].uniform_(-math.pi, math.pi, generator=random.initial)
        for place in range(len(self.spec.categories)):
            values[f"{self.name}.category_{place}.weight"].normal_(generator=random.initial)

    def bind(self, to: Binding) -> Layer:
        spec, sizes = self.spec, (self.n_inputs, self.spec.width(self.n_inputs))
        columns = (spec.numbers, self._embedding, spec.categories)
        return Embed(self.name, *columns, *sizes, to)

    def module(self) -> nn.Module:
        return InputEmbedding(self.spec.numbers, self._embedding, self.spec.categories)


@dataclass(frozen=True)
class InputScalePart(Part):
    """A learnt factor for each input."""

    features: int
    input_gradient: bool

    def others(self) -> Shapes:
        yield f"{self.name}.weight", (self.features,)

    def initialize(self, values: Mapping[str, Tensor], initializer: Initializer, random: MemberRandom) -> None:
        values[f"{self.name}.weight"].fill_(1.0)

    def bind(self, to: Binding) -> Layer:
        return ScaleInputs(self.name, to, input_gradient=self.input_gradient)

    def module(self) -> nn.Module:
        return InputScale(self.features)
