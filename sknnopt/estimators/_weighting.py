"""What each recipe of an ensemble counts: weights that suit the rows withheld from its members."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import softmax
from torch import Tensor

from sknnopt.data.weights import in_reach
from sknnopt.losses import Loss
from sknnopt.nn import average

Floats = NDArray[np.float64]

PRIOR = 1.0
"""Exponent a of the prior on the weights, proportional to prod_r w_r^a: it is as if each recipe had explained one row.

A recipe that is of no use so keeps a weight of about a / (n g), where g is what weight of it costs in loss a row: no
weight is zero, and the prior costs about a / n, no more than what fitting the weights to n rows costs anyway.
"""


def fit_weights(scores: Floats, target: NDArray[np.number], loss: Loss, weight: Floats | None = None) -> Floats:
    """Return what each of R recipes is to count in their average.

    The weights w >= 0 of sum 1 minimise ``sum_i v_i L_i(w) / (s sum_i v_i) - a / n sum_r log w_r``, where L_i is the
    loss of row i by the weighted average of the recipes' predictions, v_i is what the row counts, a is `PRIOR` and n
    the number of rows that the v are worth, ``(sum v)^2 / sum v^2``. The second term is a Dirichlet prior, which draws
    towards equal weights where there are few rows. The losses of classes have the unit of a log-likelihood, and s is 1.
    Those of numbers have a unit of their own: there s is what equal weights lose more than the target itself would.

    Predictions are averaged behind the link, so that the objective is convex wherever the loss is in what is predicted:
    log loss, squared and absolute error, quantiles, Poisson's.

    Parameters
    ----------
    scores : ndarray of shape (R, n, O)
        What each recipe predicts of rows that it has not seen, as scores.
    target : ndarray of shape (n,) or (n, T)
        As the loss takes it, but rows first.
    loss : Loss
    weight : ndarray of shape (n,), default=None

    Returns
    -------
    ndarray of float64 of shape (R,)
        Equal weights if the scores tell nothing or are not finite.

    References
    ----------
    Wolpert, "Stacked generalization", 1992: predictions of rows withheld from those who make them are combined.
    Breiman, "Stacked regressions", 1996, section 3: by weights that are not negative.

    Examples
    --------
    >>> from sknnopt.losses import SquaredError
    >>> target = np.random.RandomState(0).normal(size=(1000, 1))
    >>> right_and_wrong = np.stack([target + 0.1, -target])
    >>> fit_weights(right_and_wrong, target, SquaredError()).round(2)
    array([0.99, 0.01])
    """
    count = len(scores)
    equal = np.full(count, 1 / count)
    rows = np.ones(scores.shape[1]) if weight is None else in_reach(weight)
    if count == 1 or not rows.any() or not np.isfinite(scores).all():
        return equal
    objective = _Objective(scores, target, loss, rows)
    found = minimize(objective, np.zeros(count), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9})
    out: Floats = softmax(found.x)
    return out if np.isfinite(out).all() else equal


class _Objective:
    """The objective, of the weights' logarithms up to a constant in common, and its gradient."""

    def __init__(self, scores: Floats, target: NDArray[np.number], loss: Loss, weight: Floats) -> None:
        self._scores, self._loss, given = torch.from_numpy(scores), loss, torch.from_numpy(target)
        self._target = (given if given.ndim == 1 else given.T.double()).unsqueeze(0)
        self._weight = torch.from_numpy(weight / weight.sum())
        self._prior = PRIOR * float((weight**2).sum() / weight.sum() ** 2)
        self._unit = 1.0
        if loss.link in ("identity", "exp"):
            alike, _ = self._mean_loss(np.full(len(scores), 1 / len(scores)))
            excess = alike - self._least_loss()
            self._unit = excess if np.isfinite(excess) and excess > 0 else 1.0

    def __call__(self, logits: Floats) -> tuple[float, Floats]:
        weights = softmax(logits)
        value, slope = self._mean_loss(weights)
        penalty = self._prior * (
            np.log(np.exp(logits - logits.max()).sum()) * len(logits) - (logits - logits.max()).sum()
        )
        inner = weights * (slope - weights @ slope) / self._unit
        return value / self._unit + penalty, inner + self._prior * (len(logits) * weights - 1)

    def _least_loss(self) -> float:
        """Return the mean loss of predictions that are the target itself, 0 where each target has several scores."""
        if self._target.ndim != 3 or self._target.shape[1] != self._scores.shape[2]:
            return 0.0
        perfect = self._target.clamp_min(1e-12).log() if self._loss.link == "exp" else self._target
        return float(self._loss(perfect, self._target)[0].double() @ self._weight)

    def _mean_loss(self, weights: Floats) -> tuple[float, Floats]:
        """Return the mean loss under these weights, and its derivative by each of them."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = torch.from_numpy(weights.copy()).requires_grad_()
            together = average(self._scores, self._loss.link, leaf).T
            output: Tensor = together.detach().contiguous().unsqueeze(0)
            with torch.no_grad():
                value = float(self._loss(output, self._target)[0].double() @ self._weight)
            slope = self._loss.gradient(output, self._target)[0].double() * self._weight
            (out,) = torch.autograd.grad(together, leaf, slope)
        return value, out.numpy()
