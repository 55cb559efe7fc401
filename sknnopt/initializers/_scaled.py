"""Initializers whose scale follows from the size of the layer."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from torch import Generator, Tensor
from torch.nn import init

from .._compat import StrOptions
from ._base import Initializer

__all__ = [
    "NTK",
    "KaimingNormal",
    "KaimingUniform",
    "LecunNormal",
    "LecunUniform",
    "Orthogonal",
    "XavierNormal",
    "XavierUniform",
]


class XavierUniform(Initializer):
    """Xavier or Glorot, ``w ~ U(-r, r)`` with ``r = gain sqrt(6 / (n_inputs + n_outputs))``.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, eq.
    16.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(300, 300)
    >>> XavierUniform()(weight, generator=torch.Generator(), gain=1.0)
    >>> round(weight.max().item(), 3)
    0.1
    """

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.xavier_uniform_(weight, gain, generator=generator)


class XavierNormal(Initializer):
    """Xavier or Glorot, ``w ~ N(0, s^2)`` with ``s = gain sqrt(2 / (n_inputs + n_outputs))``.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, eq.
    12.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(100, 100)
    >>> XavierNormal()(weight, generator=torch.Generator(), gain=1.0)
    >>> round(weight.std().item(), 2)
    0.1
    """

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.xavier_normal_(weight, gain, generator=generator)


class _Kaiming(Initializer):
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"fan_mode": [StrOptions({"fan_in", "fan_out"})]}

    def __init__(self, *, fan_mode: Literal["fan_in", "fan_out"] = "fan_in") -> None:
        self.fan_mode = fan_mode

    def _std(self, weight: Tensor, gain: float) -> float:
        n_outputs, n_inputs = weight.shape
        return gain / math.sqrt(n_inputs if self.fan_mode == "fan_in" else n_outputs)


class KaimingUniform(_Kaiming):
    """Kaiming or He, ``w ~ U(-r, r)`` with ``r = gain sqrt(3 / fan)``.

    Parameters
    ----------
    fan_mode : {"fan_in", "fan_out"}, default="fan_in"
        ``fan`` is the number of inputs (keeps the size of activations) or of outputs (of gradients).

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015, eq. 10 and 14.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(300, 300)
    >>> KaimingUniform()(weight, generator=torch.Generator(), gain=1.0)
    >>> round(weight.max().item(), 3)
    0.1
    """

    search_space = {"fan_mode": ["fan_in", "fan_out"]}

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        reach = math.sqrt(3) * self._std(weight, gain)
        init.uniform_(weight, -reach, reach, generator=generator)


class KaimingNormal(_Kaiming):
    """Kaiming or He, ``w ~ N(0, s^2)`` with ``s = gain / sqrt(fan)``.

    Parameters
    ----------
    fan_mode : {"fan_in", "fan_out"}, default="fan_in"
        ``fan`` is the number of inputs (keeps the size of activations) or of outputs (of gradients).

    References
    ----------
    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015, eq. 10 and 14.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(100, 400)
    >>> KaimingNormal()(weight, generator=torch.Generator(), gain=2.0)
    >>> round(weight.std().item(), 2)
    0.1
    """

    search_space = {"fan_mode": ["fan_in", "fan_out"]}

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.normal_(weight, 0.0, self._std(weight, gain), generator=generator)


class LecunUniform(Initializer):
    """LeCun, ``w ~ U(-r, r)`` with ``r = sqrt(3 / n_inputs)``; ignores the gain.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, section 4.6.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(300, 300)
    >>> LecunUniform()(weight, generator=torch.Generator(), gain=2.0)
    >>> round(weight.max().item(), 3)
    0.1
    """

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        reach = math.sqrt(3 / weight.shape[1])
        init.uniform_(weight, -reach, reach, generator=generator)


class LecunNormal(Initializer):
    """LeCun, ``w ~ N(0, 1 / n_inputs)``; ignores the gain. The one that SELU asks for.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, section 4.6; Klambauer et al.,
    "Self-normalizing neural networks", 2017.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(100, 100)
    >>> LecunNormal()(weight, generator=torch.Generator(), gain=2.0)
    >>> round(weight.std().item(), 2)
    0.1
    """

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.normal_(weight, 0.0, 1 / math.sqrt(weight.shape[1]), generator=generator)


class NTK(Initializer):
    """NTK parametrisation, ``w ~ N(0, gain^2)`` in layers that compute ``w x / sqrt(n_inputs) + b``.

    Outputs begin as with `KaimingNormal`, but each weight's share of them is so much smaller: a step of Adam's, as long
    for all weights, changes wide layers no more than narrow ones. Weight decay and penalties see the unscaled weights.
    For built-in networks alone.

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural tangent kernel: convergence and generalization in neural networks", 2018,
    section 2; Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on
    tabular data", 2024, section 3.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(100, 100)
    >>> NTK()(weight, generator=torch.Generator(), gain=2.0)
    >>> round(weight.std().item(), 1)
    2.0
    """

    @property
    def scales_layers(self) -> bool:
        return True

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.normal_(weight, 0.0, gain, generator=generator)


class Orthogonal(Initializer):
    """A random orthogonal matrix times the gain: ``w w^T = gain^2 I``, or ``w^T w`` for a tall matrix.

    References
    ----------
    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", 2014.

    Examples
    --------
    >>> import torch
    >>> weight = torch.empty(2, 5)
    >>> Orthogonal()(weight, generator=torch.Generator(), gain=2.0)
    >>> (weight @ weight.T).round(decimals=3).abs()
    tensor([[4., 0.],
            [0., 4.]])
    """

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.orthogonal_(weight, gain, generator=generator)
