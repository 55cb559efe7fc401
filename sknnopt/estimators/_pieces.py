"""Predictions of more rows than fit into memory."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse

from sknnopt._memory import OutOfMemoryError, explained, is_out_of_memory
from sknnopt.data.on_disk import stays_on_disk

F = TypeVar("F", bound=Callable[..., Any])

PIECE = 1 << 20
"""Numbers of a piece; what a row's prediction is depends on no other row."""

FEWER_ROWS = "Predict fewer rows at once, or a numpy.memmap, which is read a piece at a time."


def in_pieces(method: F) -> F:
    """Let a method of rows go through a table that stays on disk a piece at a time; where memory is short, say so."""

    @wraps(method)
    def whole(self: Any, X: Any) -> Any:
        try:
            return pieces(self, X) if stays_on_disk(X) and "_epoch" not in self.__dict__ else method(self, X)
        except Exception as error:
            if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
                raise
            raise explained(error, "rows were predicted", FEWER_ROWS) from error

    def pieces(self: Any, X: Any) -> Any:
        X = np.asarray(X)
        step = max(1, PIECE // max(1, X[:1].size))
        first = method(self, X[:step])
        if sparse.issparse(first):
            return sparse.vstack([first, *(method(self, X[a : a + step]) for a in range(step, len(X), step))], "csr")
        out = np.empty((len(X), *first.shape[1:]), first.dtype)
        out[:step] = first
        for start in range(step, len(X), step):
            out[start : start + step] = method(self, X[start : start + step])
        return out

    return cast(F, whole)
