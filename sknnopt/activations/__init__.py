"""Activations: element-wise functions between layers, each with its derivative written by hand.

Every class takes float32 and float64 tensors of any shape on any device. `forward` and `backward` write into
a buffer that the caller gives, and are meant to be called without autograd (``torch.no_grad``).
"""

from __future__ import annotations

from collections.abc import Callable

from .._choices import resolve
from ._base import Activation, FunctionActivation
from ._rectifiers import ELU, SELU, Identity, LeakyReLU, ReLU
from ._smooth import GELU, Mish, Sigmoid, SiLU, Softplus, Tanh

__all__ = [
    "ELU",
    "GELU",
    "REGISTRY",
    "SELU",
    "Activation",
    "FunctionActivation",
    "Identity",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Activation]] = {
    "identity": Identity,
    "linear": Identity,
    "sigmoid": Sigmoid,
    "logistic": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "swish": SiLU,
    "mish": Mish,
    "softplus": Softplus,
}


def names() -> list[str]:
    """All accepted names, sorted."""
    return sorted(REGISTRY)


def get(value: object) -> Activation:
    """The activation of a name, an `Activation`, or an element-wise torch function.

    Examples
    --------
    >>> import torch
    >>> get("swish"), get(torch.sin).saved
    (SiLU(), 'input')
    """
    return resolve(value, REGISTRY, parameter="activation", base=Activation, wrap=FunctionActivation)
