"""Noise on inputs and weights."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._choices import Range
from .._compat import Interval
from .._layout import Layout, padded
from .._random import MemberRandom
from ._base import Hyper, Regularizer, Strength
from ._layers import Layered, weight_blocks

__all__ = ["DropConnect", "InputNoise", "WeightNoise", "fill_normal"]

_NON_NEGATIVE = Interval(Real, 0, None, closed="left")

LEVELS = 2**16
"""Rates are multiples of its inverse: masks are drawn from 16 bits."""


def fill_normal(out: Tensor, random: Sequence[MemberRandom], layout: Layout) -> None:
    """Fill each member's row of `out` (K, W) with standard normal numbers, the padding with zeros."""
    for row, own in zip(out, random, strict=True):
        own.fill_normal(row)
    for block in weight_blocks(layout):
        end = block.offset + block.size
        if block.size != padded(block.size):
            out[:, end : block.offset + padded(block.size)].zero_()


class InputNoise(Regularizer):
    """Gaussian noise of standard deviation `std` on every encoded input, drawn anew for each batch.

    Numeric features are standardised, so `std` counts in their standard deviations. Predictions see no noise. Columns
    that are embedded get theirs before they are.

    Parameters
    ----------
    std : float, default=0.1
        In [0, inf).

    References
    ----------
    Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995.

    Examples
    --------
    >>> InputNoise(std=0.2).strengths()
    {'std': 0.2}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"std": [_NON_NEGATIVE]}
    search_space = {"std": Range(0.01, 0.5, log=True)}

    def __init__(self, std: float = 0.1) -> None:
        self.std = std

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"std": float(self.std)}

    def inputs(self, rows: Tensor, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        size = rows[0].numel()
        noise = self.state.get("_noise")
        if noise is None:
            noise = self.state["_noise"] = rows.new_zeros(len(rows), padded(size))
        for row, own in zip(noise, random, strict=True):
            own.fill_normal(row[:size])
        rows.add_(noise.mul_(hyper["std"])[:, :size].view(rows.shape))


class WeightNoise(Layered):
    """Gaussian noise on the weights, drawn anew for each batch: the gradient is taken at the noisy weights.

    Weights are then as they were, and predictions see no noise.

    Parameters
    ----------
    std : float or sequence of float, default=0.05
        In [0, inf); one for all layers, or one for each, the output's last.
    relative : bool, default=False
        Whether `std` counts in the size of each weight, ``w (1 + std z)``; otherwise it is ``w + std z``.

    References
    ----------
    An, "The effects of adding noise during backpropagation training on a generalization performance", 1996;
    Graves, "Practical variational inference for neural networks", 2011.

    Examples
    --------
    >>> WeightNoise(std=(0.1, 0.0)).strengths()
    {'std': (0.1, 0.0)}
    """

    _number: ClassVar[str] = "std"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "std": [_NON_NEGATIVE, "array-like"],
        "relative": ["boolean"],
    }
    search_space = {"std": Range(0.01, 0.2, log=True), "relative": [False, True]}

    def __init__(self, std: Strength = 0.05, *, relative: bool = False) -> None:
        self.std = std
        self.relative = relative

    def has(self, method: str) -> bool:
        return super().has(method) and (method != "backward" or self.relative)

    def structure(self) -> tuple[Any, ...]:
        return (*super().structure(), bool(self.relative))

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return {"std": self._times(1.0)}

    def start(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        return {"_noise": weights.new_zeros(weights.shape)}

    def draw(self, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        noise = self.state["_noise"]
        fill_normal(noise, random, self.layout)
        noise.mul_(hyper["std"])
        if self.relative:
            noise.add_(1)

    def forward(self, weights: Tensor, hyper: Hyper) -> None:
        if self.relative:
            weights.mul_(self.state["_noise"])
        else:
            weights.add_(self.state["_noise"])

    def backward(self, gradients: Tensor, hyper: Hyper) -> None:
        if self.relative:
            gradients.mul_(self.state["_noise"])


class DropConnect(Layered):
    """DropConnect: each weight is left out with probability `rate`, the others are scaled by ``1 / (1 - rate)``.

    One mask serves all rows of a batch, where the paper draws one a row. Predictions use all weights, unscaled.
    Probabilities are multiples of 2^-16.

    Parameters
    ----------
    rate : float or sequence of float, default=0.2
        In [0, 1); one for all layers, or one for each, the output's last.

    References
    ----------
    Wan et al., "Regularization of neural networks using DropConnect", 2013, algorithm 1.

    Examples
    --------
    >>> DropConnect(rate=0.5).strengths()
    {'threshold': 0.0, 'scale': 2.0}
    """

    _number: ClassVar[str] = "rate"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "rate": [Interval(Real, 0, 1, closed="left"), "array-like"]
    }
    search_space = {"rate": Range(0.05, 0.5)}

    def __init__(self, rate: Strength = 0.2) -> None:
        self.rate = rate

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        """The 16 bits, read as an integer, from which on a weight stays, and what it is then scaled by."""
        rates = self._times(1.0)
        if not isinstance(rates, tuple):
            dropped = _dropped(rates)
            return {"threshold": dropped - LEVELS / 2, "scale": LEVELS / (LEVELS - dropped)}
        several = [_dropped(rate) for rate in rates]
        return {
            "threshold": tuple(dropped - LEVELS / 2 for dropped in several),
            "scale": tuple(LEVELS / (LEVELS - dropped) for dropped in several),
        }

    def start(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        mask = weights.new_zeros(weights.shape)
        return {"_mask": mask, "_bits": mask.to(torch.int16)}

    def draw(self, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        bits, mask = self.state["_bits"], self.state["_mask"]
        for row, own in zip(bits, random, strict=True):
            own.fill_bits(row)
        torch.ge(bits, hyper["threshold"].to(torch.int16), out=mask)
        mask.mul_(hyper["scale"])

    def forward(self, weights: Tensor, hyper: Hyper) -> None:
        weights.mul_(self.state["_mask"])

    def backward(self, gradients: Tensor, hyper: Hyper) -> None:
        gradients.mul_(self.state["_mask"])


def _dropped(rate: float) -> int:
    """Of all levels, how many leave a weight out."""
    return min(round(rate * LEVELS), LEVELS - 1)
