"""Predictions of a table that stays on disk, piece by piece."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse

from sknnopt.data.on_disk import stays_on_disk

F = TypeVar("F", bound=Callable[..., Any])

PIECE = 1 << 20
"""Numbers of a piece; what a row's prediction is depends on no other row."""


def in_pieces(method: F) -> F:
    """Let a method of rows go through a table that stays on disk a piece at a time."""

    @wraps(method)
    def whole(self: Any, X: Any) -> Any:
        if not stays_on_disk(X) or "_epoch" in self.__dict__:
            return method(self, X)
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
