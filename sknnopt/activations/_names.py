"""The names of the element-wise activations without parameters, which others are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._choices import resolve
from .._compat import InvalidParameterError
from ._base import Activation, FunctionActivation
from ._hard import HardSigmoid, HardSwish, HardTanh, ReLU6
from ._rectifiers import CELU, ELU, SELU, Identity, LeakyReLU, ReLU
from ._smooth import GELU, Mish, Sigmoid, SiLU, Softplus, Softsign, Tanh

__all__ = ["ELEMENTWISE", "elementwise"]

ELEMENTWISE: dict[str, Callable[[], Activation]] = {
    "identity": Identity,
    "linear": Identity,
    "sigmoid": Sigmoid,
    "logistic": Sigmoid,
    "hard_sigmoid": HardSigmoid,
    "hardsigmoid": HardSigmoid,
    "tanh": Tanh,
    "hard_tanh": HardTanh,
    "hardtanh": HardTanh,
    "softsign": Softsign,
    "relu": ReLU,
    "relu6": ReLU6,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "celu": CELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "swish": SiLU,
    "hard_swish": HardSwish,
    "hardswish": HardSwish,
    "hard_silu": HardSwish,
    "mish": Mish,
    "softplus": Softplus,
}


def elementwise(value: Any, *, parameter: str) -> Activation:
    """Return the activation that a gate or a base names.

    Raises
    ------
    InvalidParameterError
        For one that has parameters of its own or halves its input.
    """
    activation = resolve(value, ELEMENTWISE, parameter=parameter, base=Activation, wrap=FunctionActivation)
    if activation.expansion > 1 or activation.parameters(1):
        raise InvalidParameterError(
            f"The {parameter!r} parameter must be an element-wise activation without parameters of its own. Got "
            f"{value!r} instead."
        )
    return activation
