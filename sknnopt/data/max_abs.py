"""Sparse tables of numbers: scaled by the largest absolute value, and as sparse as before."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse
from sklearn.preprocessing import MaxAbsScaler

from .scaling import check_finite, scale

__all__ = ["fit_max_abs", "scale_sparse"]

_CHUNK = 1 << 16


def fit_max_abs(X: sparse.csr_array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each column's largest absolute value, 1 where that is 0, and whether it stores a NaN.

    Raises
    ------
    ValueError
        If a value is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> fit_max_abs(sparse.csr_array([[0.0, 4.0], [0.0, np.nan]]))
    (array([1., 4.]), array([False,  True]))
    """
    check_finite(X.data)
    with np.errstate(over="ignore", invalid="ignore"):
        largest = np.asarray(MaxAbsScaler().fit(X).scale_, dtype=np.float64)
    marked = np.zeros(X.shape[1], dtype=bool)
    if X.data.dtype.kind == "f":
        marked[X.indices[np.isnan(X.data)]] = True
    return np.where(np.isfinite(largest), largest, 1.0), marked


def scale_sparse(
    X: sparse.csr_array, factor: NDArray[np.float64], marked: NDArray[Any], dtype: DTypeLike
) -> sparse.csr_array:
    """Multiply each column by its factor; a stored NaN becomes 0.

    Parameters
    ----------
    X : CSR matrix of shape (n_rows, n_columns)
    factor : ndarray of shape (n_columns,)
    marked : ndarray of int of shape (n_marked,)
        The columns whose stored NaN are marked.
    dtype : {numpy.float32, numpy.float64}

    Returns
    -------
    CSR matrix of shape (n_rows, n_columns + n_marked)
        Shares no memory with `X`.

    Raises
    ------
    ValueError
        If a value is infinite, or too large for `dtype`.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> X = sparse.csr_array([[0.0, 4.0], [0.0, np.nan]])
    >>> scale_sparse(X, np.array([1.0, 0.25]), np.array([1]), np.float32).toarray()
    array([[0., 1., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    data, center = np.empty(len(X.data), dtype), np.zeros(1)
    for start in range(0, len(data), _CHUNK):
        part = slice(start, start + _CHUNK)
        factors = factor[X.indices[part], None]
        scale(X.data[part, None], center, factors, data[part, None], clip=False, bound=False)
    check_finite(data)
    scaled = type(X)((data, X.indices.copy(), X.indptr.copy()), shape=X.shape)
    if not len(marked):
        return scaled
    marks = type(X)((np.isnan(X.data).astype(dtype), X.indices, X.indptr), shape=X.shape)[:, marked]
    marks.eliminate_zeros()
    return sparse.hstack([scaled, marks], format="csr")
