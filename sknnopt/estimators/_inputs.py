"""What becomes of the columns before the first layer, from the constructor's parameters."""

from collections.abc import Mapping
from typing import Any

from scipy import sparse

from sknnopt import embeddings
from sknnopt._compat import InvalidParameterError
from sknnopt.data import TableEncoder
from sknnopt.nn import Inputs

OFF = {"numeric_embedding": None, "categorical_embedding": None, "input_scale": False}
"""What leaves the columns as they are; "auto" does so where they cannot be embedded."""


def resolve_inputs(params: Mapping[str, Any], encoder: TableEncoder | None, table: Any) -> Inputs | None:
    """Return how the encoded columns are embedded; None where they stay as they are.

    Parameters
    ----------
    params : dict
    encoder : TableEncoder or None
        The fitted one; without it all columns are numbers.
    table : Tensor or CSR matrix of shape (n, F)

    Raises
    ------
    InvalidParameterError
        If numbers of a sparse table, or of a network of one's own, are to be embedded.
    """
    embedding = embeddings.get(params["numeric_embedding"])
    if not isinstance(params["network"], str):
        _refuse(params, "network is one's own; begin it with such layers")
        return None
    if sparse.issparse(table):
        _refuse(params, "X is sparse; pass a dense table")
        return None
    numbers = int(table.shape[1]) if encoder is None else len(encoder.numeric_columns_)
    scale = bool(params["input_scale"])
    found = Inputs(numbers, embedding, _categories(params["categorical_embedding"], encoder), scale)
    return found if found.embeds or scale else None


def _categories(size: Any, encoder: TableEncoder | None) -> tuple[tuple[int, int, int], ...]:
    """Return first column, levels and embedding size of each category that is embedded."""
    if encoder is None or size is None:
        return ()
    pairs = list(zip(encoder.encoding.starts, encoder.encoding.levels, strict=True))
    return tuple((start, one.width, int(size)) for start, one in pairs if one.width > 1)


def takes_sparse(params: Mapping[str, Any]) -> bool:
    """Return whether nothing is asked for that needs a dense table."""
    return not any(_asked(params, name, off) for name, off in OFF.items())


def _refuse(params: Mapping[str, Any], why: str) -> None:
    for name, off in OFF.items():
        if _asked(params, name, off):
            raise InvalidParameterError(
                f"The {name!r} parameter must be {off} where {why}. Got {params[name]!r} instead."
            )


def _asked(params: Mapping[str, Any], name: str, off: Any) -> bool:
    return params[name] not in (off, "auto")
