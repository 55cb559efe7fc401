"""Activations: functions between layers, each with its derivatives written by hand.

Most are element-wise and without parameters; a `LearnableActivation` has some that are trained with the weights, and a
`GLU` halves a layer of twice the width. Every class takes float32 and float64 tensors on any device. `forward` and
`backward` write into a buffer that the caller gives, and are meant to be called without autograd (``torch.no_grad``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from .._choices import resolve
from .._literals import ActivationName
from ._base import Activation, FunctionActivation
from ._gated import GLU
from ._hard import HardSigmoid, HardSwish, HardTanh, ReLU6
from ._learnable import LearnableActivation, LearnableSwish, Parametric, PReLU
from ._names import ELEMENTWISE
from ._rectifiers import CELU, ELU, SELU, Identity, LeakyReLU, ReLU
from ._smooth import GELU, Mish, Sigmoid, SiLU, Softplus, Softsign, Tanh

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "REGISTRY",
    "SELU",
    "Activation",
    "FunctionActivation",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Identity",
    "LeakyReLU",
    "LearnableActivation",
    "LearnableSwish",
    "Mish",
    "PReLU",
    "Parametric",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Activation]] = ELEMENTWISE | {
    "prelu": PReLU,
    "parametric_relu": PReLU,
    "learnable_swish": LearnableSwish,
    "parametric_mish": Parametric,
    "parametric_selu": partial(Parametric, "selu"),
    "parametric_silu": partial(Parametric, "silu"),
    "glu": GLU,
    "reglu": partial(GLU, "relu"),
    "geglu": partial(GLU, "gelu"),
    "swiglu": partial(GLU, "silu"),
}


def names() -> list[ActivationName]:
    """All accepted names, sorted."""
    return cast("list[ActivationName]", sorted(REGISTRY))


def get(value: object) -> Activation:
    """The activation of a name, an `Activation`, or an element-wise torch function.

    Examples
    --------
    >>> import torch
    >>> get("swish"), get(torch.sin).saved
    (SiLU(), 'input')
    """
    return resolve(value, REGISTRY, parameter="activation", base=Activation, wrap=FunctionActivation)
