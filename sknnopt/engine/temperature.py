"""The temperature that makes a classifier as sure as it is right."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import softmax

from sknnopt.data.weights import in_reach

Floats = NDArray[np.float64]

PRIOR = 10.0
"""What is known of the temperature T before a row is seen, as information on log T: that it is 1, give or take 32 %.

It is the strength k of a Gamma prior on 1/T with its mode at 1. Measured on 13 tables with 10 to 200 rows withheld: 5
and 16 are about as good on average, 0 (maximum likelihood) does harm where there are few.
"""

JUDGED = ("softmax", "sigmoid")
"""Links whose scores are logarithms of probabilities or odds, so that a temperature means something."""


def fit_temperature(scores: NDArray[np.floating], target: NDArray[np.number], weight: Floats | None = None) -> float:
    """Return the temperature T by which scores are to be divided.

    With b = 1/T it minimises ``sum_i w_i L_i(b) + k (b - 1 - log b)``, where L_i is the log loss of row i, whose scores
    are multiplied by b, and k is `PRIOR`. Both terms are convex in b. The second is a Gamma prior, least at b = 1: so
    rows that are all predicted rightly do not make T zero, the sum of the L_i is never greater than at T = 1, and
    where there are many rows it does not matter. The weights are scaled to sum to the number of rows that they are
    worth, ``(sum w)^2 / sum w^2``.

    Parameters
    ----------
    scores : ndarray of shape (n, O)
    target : ndarray of shape (n,) or (n, O)
        Codes of classes, or 0 and 1 for each of several labels.
    weight : ndarray of shape (n,), default=None

    Returns
    -------
    float
        Above 0; 1 if the scores tell nothing or are not finite.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", 2017, section 4.2: temperature scaling.

    Examples
    --------
    >>> scores = np.tile([[0.0, 4.0]], (1000, 1))
    >>> target = (np.arange(1000) % 10 > 0).astype(int)  # 90 % and not 98 %
    >>> round(fit_temperature(scores, target), 1)
    1.8
    """
    weight = np.ones(len(scores)) if weight is None else in_reach(weight)
    if not weight.any() or not np.isfinite(scores).all():
        return 1.0
    weight = weight * (weight.sum() / (weight**2).sum())
    rows: Floats = scores.astype(np.float64)
    if target.ndim == 2:  # each label is a choice between the scores 0 and s
        weight = np.repeat(weight, rows.shape[1])
        rows = np.stack([np.zeros(rows.size), rows.ravel()], axis=1)
        target = target.ravel()
    rows -= rows.max(1, keepdims=True)
    own = np.take_along_axis(rows, target.astype(np.intp)[:, None], axis=1)[:, 0]
    return 1 / _least(rows, weight, float(weight @ own))


def _least(scores: Floats, weight: Floats, own: float) -> float:
    """Return b at the minimum of the convex objective; the largest score of each row is 0."""

    def slope(b: float) -> float:
        expected = (softmax(b * scores, axis=1) * scores).sum(1)
        return float(weight @ expected) - own + PRIOR * (1 - 1 / b)

    if slope(1.0) > 0:
        # no row's expected score is above 0, so the slope is at most PRIOR - own - PRIOR / b
        low, high = 0.5 * PRIOR / (PRIOR - own), 1.0
    else:
        low, high = 1.0, 2.0
        while slope(high) < 0:
            low, high = high, 2 * high
    return float(brentq(slope, low, high, xtol=1e-9, rtol=1e-9))
