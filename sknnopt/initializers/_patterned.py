"""Initializers in which most weights are zero."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import init

from .._choices import Range
from .._compat import Interval
from ._base import Initializer

__all__ = ["Identity", "Sparse"]


class Identity(Initializer):
    """The identity matrix times the gain, and a little noise: ``w = gain I + N(0, noise^2)``.

    Each unit begins as a copy of one of its inputs. A matrix that is not square is the identity as far as it goes;
    without noise the units beyond stay zero under "relu".

    Parameters
    ----------
    noise : float, default=0.01
        Standard deviation, in [0, inf).

    References
    ----------
    Le, Jaitly and Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015.

    Examples
    --------
    >>> weight = torch.empty(2, 3)
    >>> Identity(noise=0)(weight, generator=torch.Generator(), gain=2.0)
    >>> weight
    tensor([[2., 0., 0.],
            [0., 2., 0.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"noise": [Interval(Real, 0, None, closed="left")]}
    search_space = {"noise": Range(1e-3, 0.1, log=True)}

    def __init__(self, *, noise: float = 0.01) -> None:
        self.noise = noise

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        init.normal_(weight, 0.0, self.noise, generator=generator)
        weight.diagonal().add_(gain)


class Sparse(Initializer):
    """Few inputs a unit: each unit's weights are zero but for some at random, which are ``N(0, s^2)``.

    ``s`` is `std`, or ``gain / sqrt(k)`` for the k weights that are left, which keeps the size of activations. It is
    the *incoming* weights of each unit that are counted, as in the paper; :func:`torch.nn.init.sparse_` counts those
    of each column, which in torch's layout are the outgoing ones.

    Parameters
    ----------
    sparsity : float, default=0.9
        Fraction of zeros, rounded up, in [0, 1); one weight a unit stays.
    std : float or None, default=None
        Standard deviation of the others, in (0, inf).

    References
    ----------
    Martens, "Deep learning via Hessian-free optimization", 2010, section 5.

    Examples
    --------
    >>> weight = torch.empty(2, 50)
    >>> Sparse(sparsity=0.8)(weight, generator=torch.Generator(), gain=1.0)
    >>> (weight != 0).sum(1)
    tensor([10, 10])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "sparsity": [Interval(Real, 0, 1, closed="left")],
        "std": [Interval(Real, 0, None, closed="neither"), None],
    }
    search_space = {"sparsity": Range(0.5, 0.95)}

    def __init__(self, *, sparsity: float = 0.9, std: float | None = None) -> None:
        self.sparsity = sparsity
        self.std = std

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        n_inputs = weight.shape[1]
        zeros = min(math.ceil(self.sparsity * n_inputs), n_inputs - 1)
        std = gain / math.sqrt(n_inputs - zeros) if self.std is None else self.std
        init.normal_(weight, 0.0, std, generator=generator)
        lots = torch.rand(weight.shape, dtype=weight.dtype, device=weight.device, generator=generator)
        weight.scatter_(1, lots.argsort(1)[:, :zeros], 0.0)
