"""Activation and dropout of K networks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sknnopt._random import MemberRandom
from sknnopt.activations import GLU, Activation, LearnableActivation
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


class ActivateLearnable:
    """An activation with parameters, each spread over the rows before and its derivative summed over them after.

    Parameters
    ----------
    name : str
        The parameters are ``name.<leaf>`` (K, features), or (K, 1) for one that all units share.
    activation : LearnableActivation
    features : int
    parameters, gradients : mapping of str to Tensor
    space : Workspace
    """

    def __init__(
        self,
        name: str,
        activation: LearnableActivation,
        features: int,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
    ) -> None:
        leaves = activation.parameters(features)
        self._activation = activation.resolved()
        self._parameters = {leaf: parameters[f"{name}.{leaf}"].unsqueeze(2) for leaf in leaves}
        self._values = {leaf: space.features(f"{name}.{leaf}", features) for leaf in leaves}
        self._flat_values = {leaf: rows.flat for leaf, rows in self._values.items()}
        self._out = space.features(f"{name}.out", features)
        self._saved = self._out.flat
        if gradients is not None:
            self._gradients = {leaf: gradients[f"{name}.{leaf}"] for leaf in leaves}
            self._slopes = {leaf: space.features(f"{name}.{leaf}.slope", features) for leaf in leaves}
            self._flat_slopes = {leaf: rows.flat for leaf, rows in self._slopes.items()}

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return f(x, p)."""
        for leaf, value in self._parameters.items():
            self._values[leaf].view.copy_(value)
        self._saved = x.flat
        self._activation.forward(x.flat, self._out.flat, self._flat_values)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Write dp = g df/dp summed over rows, return g df/dx written over g."""
        self._activation.backward(gradient.flat, self._saved, gradient.flat, self._flat_values, self._flat_slopes)
        for leaf, slope in self._slopes.items():
            own = self._gradients[leaf]
            if own.shape[1] == slope.view.shape[1]:
                torch.sum(slope.view, 2, out=own)
            else:
                torch.sum(slope.view.sum(2), 1, keepdim=True, out=own)
        return gradient


class Gate:
    """A gated linear unit, (K, 2 F, B) -> (K, F, B): the first half of the features times g of the second.

    The second half has memory of its own, on the grid: g would round otherwise where members lie apart.

    Parameters
    ----------
    name : str
        Names its buffers in the workspace.
    activation : GLU
    features : int
        F, of the output.
    space : Workspace
    """

    def __init__(self, name: str, activation: GLU, features: int, space: Workspace) -> None:
        self._features, self._gate = features, activation.resolved_gate()
        self._gates, self._opened, self._out, self._slope = (
            space.features(f"{name}.{word}", features) for word in ("gates", "opened", "out", "slope")
        )
        self._input_gradient = space.features(f"{name}.input_gradient", 2 * features)
        self._of_values, self._of_gates = self._halves(self._input_gradient)
        self._values = self._of_values

    def _halves(self, rows: Rows) -> tuple[Tensor, Tensor]:
        return rows.view[:, : self._features], rows.view[:, self._features :]

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return a g(b)."""
        self._values, gates = self._halves(x)
        self._gates.view.copy_(gates)
        self._gate.forward(self._gates.flat, self._opened.flat)
        torch.mul(self._values, self._opened.view, out=self._out.view)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Return the gradients of a and b."""
        torch.mul(gradient.view, self._opened.view, out=self._of_values)
        torch.mul(gradient.view, self._values, out=self._slope.view)
        saved = self._opened if self._gate.saved == "output" else self._gates
        self._gate.backward(self._slope.flat, saved.flat, self._slope.flat)
        self._of_gates.copy_(self._slope.view)
        return self._input_gradient


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
        self._space = space
        self.set_rates(rates)
        self._random = random
        self._out = space.features(f"{name}.out", features)
        size = self._out.flat.shape[1]
        self._bits = space.flat(f"{name}.bits", size, torch.int16)
        self._mask = space.flat(f"{name}.mask", size)

    def set_rates(self, rates: Sequence[float]) -> None:
        """Take other probabilities, one a member."""
        self._threshold, self._scale = thresholds(rates, self._space)

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


def thresholds(rates: Sequence[float], space: Workspace) -> tuple[Tensor, Tensor]:
    """Return, each (K, 1), the least of 16 random bits (int16) that keeps an element, and the scale of what is kept."""
    dropped = torch.tensor([min(round(rate * 2**16), 2**16 - 1) for rate in rates], dtype=torch.int32)
    scale = 2**16 / (2**16 - dropped.double())
    least = (dropped - 2**15).to(torch.int16)
    return least.unsqueeze(1).to(space.device), scale.to(space.dtype).unsqueeze(1).to(space.device)
