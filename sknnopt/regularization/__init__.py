"""Penalties on weights, limits that they are held within, and noise.

Here K members have flat weights of shape (K, P): weights alone and zeros of padding, which every regulariser
leaves at zero. Biases and normalisation parameters are never regularised and not given. Strengths reach every
method through `hyper`, as (K, 1) tensors made from each member's own `strengths`; of the object only its
`structure` counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from .._choices import resolve
from .._literals import PenaltyName
from ._base import FunctionRegularizer, Regularizer
from ._constraints import MaxNorm, SpectralNorm
from ._depth import StochasticDepth
from ._gradients import GradientCentralization, GradientNoise
from ._groups import GroupLasso
from ._noise import DropConnect, InputNoise, WeightNoise
from ._norms import L1, L2, ElasticNet
from ._orthogonality import Orthogonality
from ._sum import Sum

__all__ = [
    "L1",
    "L2",
    "REGISTRY",
    "DropConnect",
    "ElasticNet",
    "FunctionRegularizer",
    "GradientCentralization",
    "GradientNoise",
    "GroupLasso",
    "InputNoise",
    "MaxNorm",
    "Orthogonality",
    "Regularizer",
    "SpectralNorm",
    "StochasticDepth",
    "Sum",
    "WeightNoise",
    "get",
    "names",
]

REGISTRY: dict[str, Callable[[], Regularizer]] = {
    "l1": L1,
    "l2": L2,
    "elastic_net": ElasticNet,
    "elasticnet": ElasticNet,
    "group_lasso": GroupLasso,
    "max_norm": MaxNorm,
    "spectral_norm": SpectralNorm,
    "orthogonality": Orthogonality,
    "input_noise": InputNoise,
    "weight_noise": WeightNoise,
    "drop_connect": DropConnect,
    "gradient_noise": GradientNoise,
    "gradient_centralization": GradientCentralization,
    "stochastic_depth": StochasticDepth,
}


def names() -> list[PenaltyName]:
    """All accepted names, sorted."""
    return cast("list[PenaltyName]", sorted(REGISTRY))


def get(value: object) -> Regularizer | None:
    """The regulariser of a name, a `Regularizer`, a function of the weights, or None for none.

    Examples
    --------
    >>> get("l2"), get(None)
    (L2(), None)
    """
    if value is None:
        return None
    return resolve(value, REGISTRY, parameter="regularization", base=Regularizer, wrap=FunctionRegularizer)
