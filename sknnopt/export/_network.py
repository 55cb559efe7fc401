"""Fitted networks as modules that can be traced: no loop over rows, no shape that Python has to know."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sknnopt.activations._modules import ParametricUnit, SwishUnit
from sknnopt.nn import (
    Heads,
    HeadsAverage,
    HeadsLinear,
    HeadsOutput,
    InputEmbedding,
    Link,
    MemberAverage,
    Residual,
    ScaledLinear,
    Temperature,
)
from sknnopt.nn._embedding import ColumnwiseLinear, PeriodicFeatures, PiecewiseLinearFeatures, bins

__all__ = ["Ensemble", "traceable"]


class Ensemble(nn.Module):
    """The scores (B, O) of a fitted network, or of the average of several; what counts nothing is left out.

    Parameters
    ----------
    module : nn.Module
        A copy that may be changed.
    n_scores : int
        O.
    link : {"identity", "softmax", "sigmoid", "exp"}
    """

    def __init__(self, module: nn.Module, n_scores: int, link: Link) -> None:
        super().__init__()
        self.n_scores, self.temperature = n_scores, 1.0
        members, weights = [module], None
        if isinstance(module, MemberAverage):
            members, weights, self.temperature = list(module.members), module.weights, module.temperature
        if weights is not None:
            members = [one for one, weight in zip(members, weights, strict=True) if weight > 0]
            weights = tuple(weight for weight in weights if weight > 0)
        self.members = nn.ModuleList(traceable(one) for one in members)
        self.average = Average(len(members), link, weights)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of encoded rows."""
        scores = [member(x).reshape(-1, self.n_scores) for member in self.members]
        if len(scores) == 1:
            return scores[0] / self.temperature
        averaged: Tensor = self.average(torch.stack(scores))
        return averaged / self.temperature


class Average(nn.Module):
    """The scores (B, O) of the average prediction of M networks, from theirs (M, B, O); see `sknnopt.nn.average`."""

    shares: Tensor

    def __init__(self, count: int, link: Link, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.link = link
        shares = torch.tensor(weights or [1 / count] * count, dtype=torch.float64)
        self.register_buffer("shares", shares.view(-1, 1, 1))

    def forward(self, scores: Tensor) -> Tensor:
        """Return them."""
        if self.link == "identity":
            return (scores * self.shares).sum(0)
        logs = self.shares.log()
        if self.link == "exp":
            return torch.logsumexp(scores + logs, 0)
        if self.link == "softmax":
            return torch.logsumexp(functional.log_softmax(scores, -1) + logs, 0)
        yes, no = functional.logsigmoid(scores), functional.logsigmoid(-scores)
        return torch.logsumexp(yes + logs, 0) - torch.logsumexp(no + logs, 0)


def traceable(module: nn.Module) -> nn.Module:
    """Return a module that computes the same, made of the given one, which is changed.

    A module that is none of this package is left as it is, but for the temperature, which becomes a layer of its own.
    """
    for key, hook in list(module._forward_hooks.items()):
        temperature = getattr(hook, "__self__", None)
        if isinstance(temperature, Temperature):
            del module._forward_hooks[key]
            return nn.Sequential(traceable(module), temperature)
    if type(module) in (nn.Sequential, Residual):
        children = OrderedDict((name, traceable(child)) for name, child in module.named_children())
        return type(module)(children)
    return _TRACEABLE.get(type(module), _unchanged)(module)


def _unchanged(module: nn.Module) -> nn.Module:
    return module


class Swish(nn.Module):
    """``x sigmoid(beta x)`` of rows (B, F)."""

    def __init__(self, given: SwishUnit) -> None:
        super().__init__()
        self.beta = given.beta

    def forward(self, x: Tensor) -> Tensor:
        """Return rows (B, F)."""
        return x * torch.sigmoid(self.beta * x)


class Blend(nn.Module):
    """``x + alpha (base(x) - x)`` of rows (B, F)."""

    def __init__(self, given: ParametricUnit) -> None:
        super().__init__()
        self.base, self.alpha = given.base, given.alpha

    def forward(self, x: Tensor) -> Tensor:
        """Return rows (B, F)."""
        return x + self.alpha * (self.base(x) - x)


class Embedding(nn.Module):
    """Rows (B, F) with numbers and categories embedded, (B, F'); see `sknnopt.nn.InputEmbedding`."""

    def __init__(self, given: InputEmbedding) -> None:
        super().__init__()
        self.numbers, self.dense, self.spans = given.numbers, given.dense, given.categories
        self.numeric = None if given.numeric is None else Columns(given.numeric)
        self.categories = nn.ModuleList(given.get_submodule(f"category_{i}") for i in range(len(self.spans)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded rows."""
        parts = [] if self.numeric is None else [self.numeric(x[:, : self.numbers])]
        if self.dense:
            parts.append(x[:, : self.numbers])
        start = self.numbers
        for (first, levels, _), layer in zip(self.spans, self.categories, strict=True):
            if first > start:
                parts.append(x[:, start:first])
            parts.append(layer(x[:, first : first + levels]))
            start = first + levels
        return torch.cat([*parts, x[:, start:]], 1)


class Columns(nn.Module):
    """Columns (B, C) of numbers, each mapped linearly after its features, (B, C D)."""

    def __init__(self, given: ColumnwiseLinear) -> None:
        super().__init__()
        self.features = Periodic(given) if isinstance(given, PeriodicFeatures) else PiecewiseLinear(given)
        self.weight, self.bias, self.relu = nn.Parameter(given.weight.mT.contiguous()), given.bias, given.relu
        self.width = given.bias.numel()

    def forward(self, x: Tensor) -> Tensor:
        """Return the embedded columns, column by column."""
        features = self.features(x).transpose(0, 1)
        out = torch.matmul(features, self.weight).transpose(0, 1) + self.bias
        out = out.reshape(-1, self.width)
        return torch.relu(out) if self.relu else out


class Periodic(nn.Module):
    """Cosines and sines of columns (B, C), or cosines with phases, (B, C, T)."""

    def __init__(self, given: PeriodicFeatures) -> None:
        super().__init__()
        self.frequency, self.phase = given.frequency, given.phase

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        angle = x.unsqueeze(2) * (2 * math.pi * self.frequency)
        if self.phase is not None:
            return torch.cos(angle + self.phase)
        return torch.cat([torch.cos(angle), torch.sin(angle)], 2)


class PiecewiseLinear(nn.Module):
    """Shares of bins of columns (B, C), (B, C, T); the first has no lower end, the last no upper one."""

    low: Tensor
    factor: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, given: ColumnwiseLinear) -> None:
        super().__init__()
        assert isinstance(given, PiecewiseLinearFeatures)
        low, factor = bins(given.edges)
        least, most = torch.zeros_like(low[0]), torch.ones_like(low[0])
        least[0], most[-1] = -math.inf, math.inf
        for name, values in (("low", low.clone()), ("factor", factor), ("least", least), ("most", most)):
            self.register_buffer(name, values)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        share = (x.unsqueeze(2) - self.low) * self.factor
        return torch.minimum(torch.maximum(share, self.least), self.most)


class Spread(nn.Module):
    """Rows (B, F) for each of H heads, (H B, F)."""

    def __init__(self, given: Heads) -> None:
        super().__init__()
        self.heads, self.features, self.r = given.heads, given.features, given.r

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows of all heads."""
        return (x.unsqueeze(0) * self.r.view(self.heads, 1, self.features)).reshape(-1, self.features)


class SharedLinear(nn.Module):
    """Rows (H B, F) through a layer whose weights the heads share, (H B, O)."""

    def __init__(self, given: HeadsLinear) -> None:
        super().__init__()
        self.heads, self.inputs, self.outputs = given.heads, given.in_features, given.out_features
        self.weight, self.r, self.s, self.b = nn.Parameter(given.scaled_weight()), given.r, given.s, given.b

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows of all heads."""
        heads = self.heads
        if self.r is not None:
            x = (x.reshape(heads, -1, self.inputs) * self.r.view(heads, 1, -1)).reshape(-1, self.inputs)
        x = functional.linear(x, self.weight).reshape(heads, -1, self.outputs)
        return (x * self.s.view(heads, 1, -1) + self.b.view(heads, 1, -1)).reshape(-1, self.outputs)


class OwnLinear(nn.Module):
    """Rows (H B, F) through each head's own layer, (H, B, O)."""

    def __init__(self, given: HeadsOutput) -> None:
        super().__init__()
        self.heads, self.inputs = given.heads, given.in_features
        self.weight = nn.Parameter(given.scaled_weight().mT.contiguous())
        self.bias = nn.Parameter(given.bias.view(self.heads, 1, -1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of all heads."""
        return torch.matmul(x.reshape(self.heads, -1, self.inputs), self.weight) + self.bias


def _linear(given: ScaledLinear) -> nn.Linear:
    layer = nn.Linear(given.in_features, given.out_features, device="meta")
    layer.weight, layer.bias = nn.Parameter(given.scaled_weight()), given.bias
    return layer


def _average(given: HeadsAverage) -> Average:
    return Average(given.heads, given.link)


_TRACEABLE: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    ScaledLinear: _linear,
    SwishUnit: Swish,
    ParametricUnit: Blend,
    InputEmbedding: Embedding,
    Heads: Spread,
    HeadsLinear: SharedLinear,
    HeadsOutput: OwnLinear,
    HeadsAverage: _average,
}
