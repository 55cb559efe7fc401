"""Predicted quantiles made as wide as withheld rows say."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sknnopt.data.weights import in_reach

Floats = NDArray[np.float64]

LEAST = 1e-9
"""Least distance between two quantiles that is divided by, in units of the target's scale."""


class Conformal(NamedTuple):
    """What becomes of the Q quantiles of each of T targets.

    Attributes
    ----------
    center : int
        The place of the central quantile.
    shift : ndarray of shape (T,)
        What is added to that one.
    factors : ndarray of shape (T, Q)
        What distances from it are multiplied by.
    """

    center: int
    shift: Floats
    factors: Floats

    @classmethod
    def none(cls, n_targets: int, n_levels: int, center: int) -> "Conformal":
        """Return what changes nothing."""
        return cls(center, np.zeros(n_targets), np.ones((n_targets, n_levels)))

    def __call__(self, quantiles: Floats) -> Floats:
        """Return the calibrated quantiles (n, T, Q) of predicted ones, ascending both."""
        center = quantiles[:, :, [self.center]]
        out: Floats = np.sort(center + self.shift[:, None] + self.factors * (quantiles - center), axis=2)
        return out


def fit_conformal(quantiles: Floats, target: Floats, weight: Floats, levels: Sequence[float], center: int) -> Conformal:
    """Return what makes as many rows lie below each quantile as its level says.

    With c the central quantile and q another of level p, both as predicted, the shift s is the quantile of ``t - c``
    at the level of c, and the factor of q that of ``(t - c - s) / (q - c)`` at p, or at 1 - p where q lies below c;
    not less than 0. For n rows the i-th smallest value stands for the level i / (n + 1), with straight lines between
    them and beyond the ends the ends, so that a new row is below with the probability p if it is drawn as they are.

    Parameters
    ----------
    quantiles : ndarray of shape (n, T, Q)
        Predicted for rows not trained on, ascending.
    target : ndarray of shape (n, T)
    weight : ndarray of shape (n,)
    levels : sequence of Q floats
        Ascending.
    center : int
        The place of the central one.

    References
    ----------
    Romano, Patterson and Candès, "Conformalized quantile regression", 2019, equations (5) to (8), where all widths
    change by one amount; here each changes by a factor, as where it is wide it may be wrong by more.

    Examples
    --------
    >>> target = np.random.RandomState(0).normal(size=(2000, 1))
    >>> narrow = np.tile([[[-1.0, 0.1, 1.0]]], (2000, 1, 1))
    >>> found = fit_conformal(narrow, target, np.ones(2000), [0.05, 0.5, 0.95], 1)
    >>> found(narrow[:1]).round(1)
    array([[[-1.6, -0. ,  1.7]]])
    """
    weight = in_reach(weight)
    counted = weight > 0
    quantiles, target, weight = quantiles[counted], target[counted], weight[counted]
    _, n_targets, n_levels = quantiles.shape
    _, shift, factors = Conformal.none(n_targets, n_levels, center)
    for t in range(n_targets if len(target) else 0):
        rest = target[:, t] - quantiles[:, t, center]
        shift[t] = _quantile(rest, weight, levels[center])
        for j, level in enumerate(levels):
            side = np.sign(j - center)
            if side:
                distance = np.abs(quantiles[:, t, j] - quantiles[:, t, center])
                ratio = side * (rest - shift[t]) / np.maximum(distance, LEAST)
                factors[t, j] = max(_quantile(ratio, weight, level if side > 0 else 1 - level), 0.0)
    return Conformal(center, shift, factors)


def _quantile(values: Floats, weight: Floats, level: float) -> float:
    """Return the quantile of values with weights, which are worth ``(sum w)^2 / sum w^2`` rows."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    worth = weight.sum() ** 2 / (weight**2).sum()
    return float(np.interp(level, share * worth / (worth + 1), values[order]))
