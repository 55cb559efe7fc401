"""Activation and dropout of K networks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sknnopt._random import MemberRandom
from sknnopt.activations import Activation
from sknnopt.nn._layer import Pass
from sknnopt.nn._workspace import Rows, Workspace


class Activate:
    """An activation function on every element, in place where its derivative can be had from its output.

    Parameters
    ----------
    name : str
        Names its buffer in the workspace.
    activation : Activation
    features : int
    space : Workspace
    """

    def __init__(self, name: str, activation: Activation, features: int, space: Workspace) -> None:
        self._activation = activation
        self._in_place = activation.saved == "output"
        self._out = None if self._in_place else space.features(f"{name}.out", features)
        self._saved: Tensor | None = None

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return f(x)."""
        out = x if self._out is None else self._out
        self._saved = x.flat
        self._activation.forward(x.flat, out.flat)
        return out

    def backward(self, gradient: Rows) -> Rows:
        """Return g f'(x), written over g."""
        assert self._saved is not None
        self._activation.backward(gradient.flat, self._saved, gradient.flat)
        return gradient


class Dropout:
    """Inverted dropout: each element is zeroed with its member's probability, the others scaled by 1 / (1 - p).

    Masks come from 16-bit pieces of each member's own random bits, so probabilities are multiples of 2^-16.

    Parameters
    ----------
    name : str
        Names its buffers in the workspace.
    rates : sequence of float
        One probability in [0, 1) a member.
    random : sequence of MemberRandom
    features : int
    space : Workspace

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15, 2014.
    """

    def __init__(
        self,
        name: str,
        rates: Sequence[float],
        random: Sequence[MemberRandom],
        features: int,
        space: Workspace,
    ) -> None:
        thresholds = torch.tensor([min(round(rate * 2**16), 2**16 - 1) for rate in rates], dtype=torch.int32)
        scale = 2**16 / (2**16 - thresholds.double())
        self._threshold = (thresholds - 2**15).to(torch.int16).unsqueeze(1).to(space.device)
        self._scale = scale.to(space.dtype).unsqueeze(1).to(space.device)
        self._random = random
        self._out = space.features(f"{name}.out", features)
        size = self._out.flat.shape[1]
        self._bits = space.flat(f"{name}.bits", size, torch.int16)
        self._mask = space.flat(f"{name}.mask", size)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return x * mask with a fresh mask in training, x otherwise."""
        if not step.training:
            return x
        if not step.again:
            self._draw()
        torch.mul(x.flat, self._mask, out=self._out.flat)
        return self._out

    def _draw(self) -> None:
        for bits, random in zip(self._bits, self._random, strict=True):
            random.fill_bits(bits)
        torch.ge(self._bits, self._threshold, out=self._mask)
        self._mask.mul_(self._scale)

    def backward(self, gradient: Rows) -> Rows:
        """Return g * mask, written over g."""
        gradient.flat.mul_(self._mask)
        return gradient
