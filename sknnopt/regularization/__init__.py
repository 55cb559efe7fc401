"""Penalties on weights.

Here K members have flat weights of shape (K, P): weights alone and zeros of padding, which every penalty
leaves at zero. Biases and normalisation parameters are never penalised and not given. Strengths reach every
method through `hyper`, as (K, 1) tensors made from each member's own `strengths`; of the object only its
`structure` counts.
"""

from __future__ import annotations

from collections.abc import Callable

from .._choices import resolve
from ._base import Regularizer
from ._norms import L1, L2, ElasticNet
from ._sum import Sum

__all__ = ["L1", "L2", "REGISTRY", "ElasticNet", "Regularizer", "Sum", "get", "names"]

REGISTRY: dict[str, Callable[[], Regularizer]] = {"l1": L1, "l2": L2, "elastic_net": ElasticNet}


def names() -> list[str]:
    """All accepted names, sorted."""
    return sorted(REGISTRY)


def get(value: object) -> Regularizer | None:
    """The penalty of a name, a `Regularizer`, or None for none.

    Examples
    --------
    >>> get("l2"), get(None)
    (L2(), None)
    """
    if value is None:
        return None
    return resolve(value, REGISTRY, parameter="regularization", base=Regularizer)
