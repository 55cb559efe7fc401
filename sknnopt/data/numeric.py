"""What is to be known of columns of numbers: median and quartiles, ends, what is missing."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .scaling import check_finite

if TYPE_CHECKING:
    from .quantiles import Quantiles
    from .ranks import Ranks

__all__ = [
    "IQR_OF_NORMAL",
    "LARGEST",
    "Statistics",
    "column_statistics",
    "present_values",
    "robust_statistics",
    "table_statistics",
    "weighted_quantiles",
]

#: Distance of the quartiles of a standard normal variable: data scaled by it over their own quartiles'
#: distance have, where normal, unit variance (as in ``RobustScaler(unit_variance=True)``).
IQR_OF_NORMAL = 1.3489795003921634

#: Numbers are cut at plus and minus this where they are subtracted from each other.
LARGEST = sys.float_info.max / 4

_QUARTILES = (0.25, 0.5, 0.75)


# Values looked at together in `table_statistics`: their copy stays in the processor's cache.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Statistics:
    """What scaling needs to know of a column, from its training rows.

    Parameters
    ----------
    center : float
        The median, or the mean, which is also what a missing value is replaced by; 0 if all are missing.
    scale : float
        The factor; 0 if the column is constant or all missing.
    missing : bool
        Whether any value is missing.
    tied : bool
        Whether the quartiles coincide, and have been looked at, though the column is not constant.
    quantiles : Quantiles or None
    ranks : Ranks or None
        Where either, and neither centre nor factor, encodes the column.
    """

    center: float
    scale: float
    missing: bool = False
    tied: bool = False
    quantiles: "Quantiles | None" = None
    ranks: "Ranks | None" = None


Measure: TypeAlias = Callable[[NDArray[Any], NDArray[np.float64] | None, float, float], Statistics]


def robust_statistics(values: NDArray[Any], weights: NDArray[np.float64] | None = None) -> Statistics:
    """Median and factor of a column.

    The factor is ``IQR_OF_NORMAL / (q75 - q25)``; where the quartiles coincide, ``2 / (max - min)``.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Integers, bools or floats; NaN is missing.
    weights : ndarray of shape (n_rows,), default=None
        Positive weights; an integer weight counts as that many rows, to the bit.

    Returns
    -------
    Statistics

    Raises
    ------
    ValueError
        If a value is infinite.

    References
    ----------
    Holzmüller, Grinsztajn and Steinwart (2024). Better by default: strong pre-tuned MLPs and boosted
    trees on tabular data. NeurIPS 37. Appendix A.1.

    Examples
    --------
    >>> import numpy as np
    >>> robust_statistics(np.array([0.0, 1.0, 2.0, 3.0, 100.0, np.nan]))
    Statistics(center=2.0, scale=0.6744897501960817, missing=True, tied=False, quantiles=None, ranks=None)
    """
    return column_statistics(values, weights, _robust)


def column_statistics(values: NDArray[Any], weights: NDArray[np.float64] | None, measure: Measure) -> Statistics:
    """Statistics by `measure`, which is given what is there of a column that varies, weights, and both ends."""
    present, weights, missing = present_values(values, weights)
    if not len(present):
        return Statistics(0.0, 0.0, missing)
    low, high = float(present.min()), float(present.max())
    check_finite(np.array([low, high]), values.dtype)
    if low == high:
        return Statistics(low, 0.0, missing)
    return replace(measure(present, weights, low, high), missing=missing)


def _robust(values: NDArray[Any], weights: NDArray[np.float64] | None, low: float, high: float) -> Statistics:
    return _from_quartiles(low, high, *weighted_quantiles(values, _QUARTILES, weights))


def _from_quartiles(low: float, high: float, lower: float, center: float, upper: float) -> Statistics:
    """The statistics of a column from its ends, quartiles and median."""
    if low == high:
        return Statistics(low, 0.0)
    half, factor = upper / 2 - lower / 2, IQR_OF_NORMAL / 2
    tied = half == 0
    if tied:
        half, factor = high / 2 - low / 2, 1.0
    return Statistics(center, min(factor / half, sys.float_info.max) if half else sys.float_info.max, tied=tied)


def table_statistics(
    table: NDArray[Any], rows: NDArray[np.bool_] | None = None, weights: NDArray[np.float64] | None = None
) -> list[Statistics]:
    """`robust_statistics` of each column, to the bit, and faster where there are many columns of few rows.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
        Integers, bools or floats; NaN is missing.
    rows : ndarray of bool of shape (n_rows,), default=None
        The rows that count; all by default.
    weights : ndarray, default=None
        Positive weights of these.

    Raises
    ------
    ValueError
        If a value is infinite.

    Examples
    --------
    >>> import numpy as np
    >>> table_statistics(np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]]))[1]
    Statistics(center=5.0, scale=0.0, missing=False, tied=False, quantiles=None, ranks=None)
    """
    out: list[Statistics] = []
    step = max(1, _BLOCK // len(table))
    for first in range(0, table.shape[1], step):
        block = table[:, first : first + step]
        out += _block_statistics(block.T if rows is None else block[rows].T, weights)
    return out


def _block_statistics(columns: NDArray[Any], weights: NDArray[np.float64] | None) -> list[Statistics]:
    """Statistics of columns of shape (n_columns, n_rows)."""
    values = np.array(columns, dtype=np.uint8 if columns.dtype.kind == "b" else None, order="C")
    with np.errstate(over="ignore"):
        ends = np.array([values.min(axis=1), values.max(axis=1)], dtype=np.float64)
    if weights is not None or not np.isfinite(ends).all():
        return [robust_statistics(column, weights) for column in values]
    places = [_places(probability * values.shape[1]) for probability in _QUARTILES]
    values.partition(sorted({place for pair in places for place in pair}), axis=1)
    below, above = (values[:, list(side)].astype(np.float64) for side in zip(*places, strict=True))
    quartiles = (below / 2 + above / 2).tolist()
    return [_from_quartiles(low, high, *each) for low, high, each in zip(*ends.tolist(), quartiles, strict=True)]


def present_values(
    values: NDArray[Any], weights: NDArray[np.float64] | None
) -> tuple[NDArray[Any], NDArray[np.float64] | None, bool]:
    """A contiguous copy of the values that are there, their weights, and whether any is missing."""
    values = np.array(values, dtype=np.uint8 if values.dtype.kind == "b" else None, order="C")
    if values.dtype.kind == "f" and np.isnan(values.max(initial=-np.inf)):
        present = ~np.isnan(values)
        return values[present], None if weights is None else weights[present], True
    return values, weights, False


def weighted_quantiles(
    values: NDArray[Any], probabilities: tuple[float, ...], weights: NDArray[np.float64] | None = None
) -> list[float]:
    """Quantiles by numpy's method "averaged_inverted_cdf", in which a weight of 2 is a row given twice.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Without NaN; overwritten.
    probabilities : tuple of float
        Where to look, above 0 and below 1.
    weights : ndarray of shape (n_rows,), default=None
        Positive weights.

    Examples
    --------
    >>> import numpy as np
    >>> weighted_quantiles(np.array([1.0, 2.0, 3.0, 4.0]), (0.25, 0.5))
    [1.5, 2.5]
    >>> weighted_quantiles(np.array([4.0, 1.0]), (0.25, 0.5), np.array([2.0, 2.0]))
    [1.0, 2.5]
    """
    if weights is None:
        places = [_places(probability * len(values)) for probability in probabilities]
        values.partition(sorted({place for pair in places for place in pair}))
    else:
        order = values.argsort()
        values, mass = values[order], np.cumsum(weights[order])
        places = [_weighted_places(mass, probability * mass[-1]) for probability in probabilities]
    return [float(values[low]) / 2 + float(values[high]) / 2 for low, high in places]


def _places(target: float) -> tuple[int, int]:
    place = int(target)
    return (place - 1, place) if place == target else (place, place)


def _weighted_places(mass: NDArray[np.float64], target: float) -> tuple[int, int]:
    place = int(np.searchsorted(mass, target))
    return (place, place + 1) if mass[place] == target else (place, place)
