"""Residual blocks of K networks, and the plain module of one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sknnopt._random import MemberRandom
from sknnopt.nn._elementwise import thresholds
from sknnopt.nn._layer import Layer, Pass
from sknnopt.nn._workspace import Rows, Workspace


class Residual(nn.Sequential):
    """x + f(x), where f is the sequence of the modules.

    Examples
    --------
    >>> import torch
    >>> Residual(nn.Identity())(torch.ones(1, 2))
    tensor([[2., 2.]])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return x + f(x), of the shape of x."""
        out = x
        for layer in self:
            out = layer(out)
        return x + out


class Branch:
    """x + f(x) for K members, (K, F, B) -> (K, F, B), with stochastic depth.

    Parameters
    ----------
    name : str
        Names its buffers in the workspace.
    layers : sequence of Layer
        f. The last is dense, which leaves the gradient that it is given as it is.
    features : int
    space : Workspace
    depth : StochasticDepth or None
        Which rows go without f in training.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, equation 1.
    """

    def __init__(
        self, name: str, layers: Sequence[Layer], features: int, space: Workspace, depth: "StochasticDepth | None"
    ) -> None:
        self._layers, self._reversed, self._depth = layers, layers[::-1], depth
        self._out = space.features(f"{name}.out", features)
        self._masked = space.features(f"{name}.masked", features) if depth is not None else None

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return x + f(x), or x + mask f(x) in training with stochastic depth."""
        rows = x
        for layer in self._layers:
            rows = layer.forward(rows, step)
        if self._depth is not None and step.training:
            rows.view.mul_(self._depth.mask(step))
        torch.add(x.flat, rows.flat, out=self._out.flat)
        return self._out

    def backward(self, gradient: Rows) -> Rows:
        """Return g + f'(x) g, written over g."""
        through = gradient
        if self._depth is not None and self._masked is not None:
            through = self._masked
            torch.mul(gradient.view, self._depth.last, out=through.view)
        for layer in self._reversed:
            through = layer.backward(through)
        gradient.flat.add_(through.flat)
        return gradient


class StochasticDepth:
    """Masks that drop whole rows with each member's probability and scale the others by 1 / (1 - p).

    A member whose rate is zero draws nothing, whatever the others' rates are.

    Parameters
    ----------
    name : str
    rates : sequence of float
        One probability in [0, 1) a member.
    random : sequence of MemberRandom
    space : Workspace

    References
    ----------
    Huang, Sun, Liu, Sedra and Weinberger, "Deep networks with stochastic depth", 2016, equation 2; by row, as in
    Larsson, Maire and Shakhnarovich's drop-path, and scaled in training and not in testing.
    """

    def __init__(self, name: str, rates: Sequence[float], random: Sequence[MemberRandom], space: Workspace) -> None:
        self._least, self._scale = thresholds(rates, space)
        self._random = [(k, own) for k, (own, rate) in enumerate(zip(random, rates, strict=True)) if rate > 0]
        self._bits = space.flat(f"{name}.bits", space.rows, torch.int16)
        self._mask = space.flat(f"{name}.mask", space.rows)
        self.last = self._mask[:, : space.rows].unsqueeze(1)

    def mask(self, step: Pass) -> Tensor:
        """Return the mask (K, 1, B), a fresh one but where the step has been here before."""
        if not step.again:
            for k, random in self._random:
                random.fill_bits(self._bits[k])
            torch.ge(self._bits, self._least, out=self._mask)
            self._mask.mul_(self._scale)
        return self.last
