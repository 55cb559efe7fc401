"""Initializers: how the weights of one layer start.

Each is called on one member's weight, of shape ``(n_outputs, n_inputs)``, with that member's own generator.
Values are drawn contiguously, in the weight's dtype and on the generator's device, and then copied: what a
weight becomes depends neither on the memory layout of the tensor nor, with a CPU generator, on its device. Some look
at the whole network afterwards, and at what some of the member's training rows become in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from .._choices import resolve
from .._literals import InitializerName
from ._adapted import LSUV, DataDependent, ZeroOutput
from ._base import FunctionInitializer, Initializer
from ._fixed import Constant, Normal, TruncatedNormal, Uniform, Zeros
from ._hull import HullBias
from ._patterned import Identity, Sparse
from ._scaled import (
    NTK,
    KaimingNormal,
    KaimingUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    XavierNormal,
    XavierUniform,
)

__all__ = [
    "LSUV",
    "NTK",
    "REGISTRY",
    "Constant",
    "DataDependent",
    "FunctionInitializer",
    "HullBias",
    "Identity",
    "Initializer",
    "KaimingNormal",
    "KaimingUniform",
    "LecunNormal",
    "LecunUniform",
    "Normal",
    "Orthogonal",
    "Sparse",
    "TruncatedNormal",
    "Uniform",
    "XavierNormal",
    "XavierUniform",
    "ZeroOutput",
    "Zeros",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Initializer]] = {
    "zeros": Zeros,
    "constant": Constant,
    "uniform": Uniform,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
    "xavier_uniform": XavierUniform,
    "glorot_uniform": XavierUniform,
    "xavier_normal": XavierNormal,
    "glorot_normal": XavierNormal,
    "kaiming_uniform": KaimingUniform,
    "he_uniform": KaimingUniform,
    "kaiming_normal": KaimingNormal,
    "he_normal": KaimingNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
    "ntk": NTK,
    "identity": Identity,
    "sparse": Sparse,
    "lsuv": LSUV,
    "data_dependent": DataDependent,
    "hull_bias": HullBias,
    "zero_output": ZeroOutput,
}


def names() -> list[InitializerName]:
    """All accepted names, sorted."""
    return cast("list[InitializerName]", sorted(REGISTRY))


def get(value: object) -> Initializer:
    """The initializer of a name, an `Initializer`, or a function ``(weight, generator=, gain=)``.

    Examples
    --------
    >>> get("glorot_uniform")
    XavierUniform()
    """
    return resolve(value, REGISTRY, parameter="initializer", base=Initializer, wrap=FunctionInitializer)
