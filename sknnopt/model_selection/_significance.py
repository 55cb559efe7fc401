"""Whether scores on the same folds differ by more than chance."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def corrected_t_test(differences: ArrayLike, test_share: float) -> float:
    r"""Return the two-sided p-value of the corrected resampled t-test.

    Scores of folds share training rows, so that their variance alone says too little of how they scatter. The variance
    of the mean of J paired differences d with sample variance s² is taken as

    .. math:: \left(\frac{1}{J} + \frac{n_{test}}{n_{train}}\right) s^2

    and their mean over its root as Student's t with J − 1 degrees of freedom.

    Parameters
    ----------
    differences : array-like of shape (J,)
        Of two scores on each fold.
    test_share : float
        Test rows over training rows of a fold.

    Returns
    -------
    float
        1 if all differences are zero. NaN where there is no variance to judge by: with one fold, or if all differences
        are one number other than zero; and where a difference is NaN.

    References
    ----------
    Nadeau and Bengio (2003). Inference for the generalization error. Machine Learning 52: the corrected resampled
    t-test.

    Examples
    --------
    >>> round(corrected_t_test([0.02, 0.01, 0.03, 0.01, 0.02], test_share=0.25), 4)
    0.0327
    """
    d = np.asarray(differences, dtype=np.float64)
    if np.isnan(d).any() or len(d) < 2:
        return float("nan")
    if not d.any():
        return 1.0
    spread = d.std(ddof=1)
    if spread <= 1e-12 * np.abs(d).max():
        return float("nan")
    t = d.mean() / (spread * np.sqrt(1 / len(d) + test_share))
    return float(2 * stats.t.sf(abs(t), len(d) - 1))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values corrected for their number; those that are NaN stay so and do not count.

    The i-th smallest of m is multiplied by m − i + 1, and none is less than one before it, nor more than 1.

    References
    ----------
    Holm (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6.

    Examples
    --------
    >>> holm([0.04, 0.01, float("nan"), 0.03]).tolist()
    [0.06, 0.03, nan, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    factors = np.arange(len(order), 0, -1)
    out = np.full_like(p, np.nan)
    out[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return out
