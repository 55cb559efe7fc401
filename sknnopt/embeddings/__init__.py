"""Embeddings of numbers: each column of numbers becomes several inputs of the network.

Columns are embedded one by one, each with weights of its own, which are trained with the rest of the network.
"""

from collections.abc import Mapping
from typing import cast

from .._choices import resolve
from .._literals import NumericEmbeddingName
from ._base import NumericEmbedding
from ._periodic import Periodic
from ._piecewise_linear import PiecewiseLinear

__all__ = ["REGISTRY", "NumericEmbedding", "Periodic", "PiecewiseLinear", "get", "names"]

REGISTRY: Mapping[str, type[NumericEmbedding]] = {
    "piecewise_linear": PiecewiseLinear,
    "periodic": Periodic,
}


def names() -> list[NumericEmbeddingName]:
    """Return the accepted names.

    Examples
    --------
    >>> names()
    ['periodic', 'piecewise_linear']
    """
    return cast("list[NumericEmbeddingName]", sorted(REGISTRY))


def get(value: object) -> NumericEmbedding | None:
    """Return the embedding that a name or an object stands for; None for None.

    Parameters
    ----------
    value : str, NumericEmbedding or None

    Raises
    ------
    InvalidParameterError
        If it is none of these.

    Examples
    --------
    >>> get("periodic")
    Periodic()
    """
    if value is None:
        return None
    return resolve(value, REGISTRY, parameter="numeric_embedding", base=NumericEmbedding)
