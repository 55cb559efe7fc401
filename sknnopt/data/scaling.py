"""Numbers made fit for a network: scaling, a smooth clip, and marks for what was missing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLIP", "FAR", "check_finite", "missing_in", "scale", "smooth_clip"]

#: Encoded numbers lie between minus and plus this.
CLIP = 3.0

#: From here on the smooth clip is CLIP in float32 and float64 alike, so nothing is lost by cutting.
FAR = 1e9


def check_finite(values: NDArray[Any], dtype: np.dtype[Any] | None = None) -> None:
    """Raise sklearn's ValueError if any value is infinite; NaN is let through."""
    if np.isinf(values).any():
        raise ValueError(f"Input X contains infinity or a value too large for {dtype or values.dtype!r}.")


def missing_in(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where values are missing, None if nowhere; may overflow on the way, which callers are to silence.

    Raises
    ------
    ValueError
        If a value is infinite.
    """
    if values.dtype.kind != "f" or np.isfinite(values.sum()):
        return None
    check_finite(values)
    return np.isnan(values)


def scale(
    values: NDArray[Any],
    center: NDArray[np.float64],
    factor: NDArray[np.float64],
    out: NDArray[Any],
    *,
    clip: bool = True,
    bound: bool = True,
) -> NDArray[np.bool_] | None:
    """Write ``c(factor * (values - center))`` into `out`, 0 where the value is missing; c is `smooth_clip`.

    The difference is taken in float64, so that neither dates nor numbers beyond float32 lose digits.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Integers, bools or floats.
    center, factor : ndarray of shape (n_columns,)
        `center` must be 0 where `factor` is.
    out : ndarray of shape (n_rows, n_columns)
        Written, float32 or float64.
    clip : bool, default=True
        Whether ``c`` is applied.
    bound : bool, default=True
        Whether what lies beyond plus and minus 1e9 is cut, which ``c`` needs.

    Returns
    -------
    ndarray of bool of shape (n_rows, n_columns) or None
        Where values are missing; None if nowhere.

    Raises
    ------
    ValueError
        If a value is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty((1, 3), dtype=np.float32)
    >>> scale(np.array([[1.0, np.nan, 1e300]]), np.zeros(3), np.ones(3), out)
    array([[False,  True, False]])
    >>> out.round(3)
    array([[0.949, 0.   , 3.   ]], dtype=float32)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        missing = missing_in(values)
        work = values.astype(np.float64)
        work -= center
        work *= factor
        if bound:
            np.maximum(work, -FAR, out=work)
            np.minimum(work, FAR, out=work)
        out[...] = work
    if clip:
        smooth_clip(out)
    if missing is not None:
        out[missing] = 0
    return missing


def smooth_clip(values: NDArray[Any]) -> None:
    """Replace each number x by ``c(x) = x / sqrt(1 + (x / 3) ** 2)``.

    It is nearly the identity about 0 and stays within plus and minus 3.

    Examples
    --------
    >>> values = np.array([0.1, 4.0, -1e6])
    >>> smooth_clip(values)
    >>> values.round(3)
    array([ 0.1,  2.4, -3. ])
    """
    bend = values * (1 / CLIP)
    bend *= bend
    bend += 1
    np.sqrt(bend, out=bend)
    np.divide(values, bend, out=values)
