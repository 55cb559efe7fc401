"""A fitted estimator as one plain torch module."""

import copy
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sknnopt._threads import single_thread
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.estimators._preparation import PRECISIONS
from sknnopt.export._network import Ensemble
from sknnopt.export._predictions import Numbers, Probabilities, Quantiles
from sknnopt.export._table import Table
from sknnopt.losses import Quantile


class Served(nn.Module):
    """What a fitted estimator predicts of raw columns; see :func:`export_torch`.

    Attributes
    ----------
    table : nn.Module or None
        Numbers and codes to encoded rows; None with ``preprocessing=None``.
    network : nn.Module
        Encoded rows to scores.
    prediction : nn.Module
        Scores to predictions.
    """

    def __init__(self, table: nn.Module | None, network: nn.Module, prediction: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.table, self.network, self.prediction, self.dtype = table, network, prediction, dtype

    def forward(self, numbers: Tensor, codes: Tensor | None = None) -> Any:
        """Return what is predicted of rows of numbers (B, C) and codes of categories (B, D)."""
        rows = numbers.to(self.dtype) if self.table is None else self.table(numbers, codes)
        return self.prediction(self.network(rows))


@single_thread()
def export_torch(estimator: NNClassifier | NNRegressor, *, quantiles: bool = False) -> Served:
    """Return a fitted estimator as a torch module: preprocessing, members, their average, calibration, units and all.

    Its call is ``module(numbers, codes)``:

    - ``numbers`` (B, C), of any numeric type: the C columns of numbers, in the order of
      ``estimator.preprocessor_.numeric_columns_``. NaN is missing, dates are seconds since 1970 in UTC, durations
      seconds, bools 0 and 1. With ``preprocessing=None`` it is what the network takes.
    - ``codes`` (B, D), int64: the D columns of categories, in the order of ``categorical_columns_``; not needed where
      there are none. A code is the place of a value in ``estimator.preprocessor_.categories_[d]``, where NaN stands for
      a missing one; -1 is whatever is not there, a missing value among it.

    Rows are not checked: an infinite number, which ``predict`` refuses, counts as the largest.

    Parameters
    ----------
    estimator : NNClassifier or NNRegressor
        Fitted.
    quantiles : bool, default=False
        Whether a regressor with ``loss=Quantile(...)`` returns what `predict_quantiles` does too.

    Returns
    -------
    nn.Module
        In eval mode, on the CPU, a copy. A classifier's returns float64 probabilities (B, n_classes), in the order of
        ``classes_``, or (B, n_labels), a regressor's float64 predictions (B,) or (B, n_targets) in the target's units,
        with `quantiles` the pair of these and all quantiles. ``torch.export.export`` takes it with any number of rows.

    Raises
    ------
    TypeError
        If it is another estimator.
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    ValueError
        If quantiles are asked for that the loss does not learn.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from sknnopt import NNClassifier, export_torch
    >>> X, y = load_wine(return_X_y=True)
    >>> clf = NNClassifier(n_members=1, max_epochs=2, random_state=0).fit(X, y)
    >>> module = export_torch(clf)
    >>> bool(np.allclose(module(torch.from_numpy(X)), clf.predict_proba(X), atol=1e-6))
    True
    """
    if not isinstance(estimator, NNClassifier | NNRegressor):
        raise TypeError(
            f"estimator must be an NNClassifier or NNRegressor, got {type(estimator).__name__}. Of a Pipeline or a"
            " search pass the fitted network itself, such as search.best_estimator_."
        )
    check_is_fitted(estimator)
    encoder, loss = estimator.preprocessor_, estimator.loss_
    target: Any = estimator.target_
    if quantiles and not isinstance(loss, Quantile):
        raise ValueError(f"quantiles=True needs a regressor with loss=Quantile(...), got loss={loss!r}.")
    prediction: nn.Module
    if isinstance(estimator, NNClassifier):
        prediction = Probabilities(labels=target.kind == "multilabel")
    elif isinstance(loss, Quantile):
        widths = estimator.quantile_shift_, estimator.quantile_factors_
        prediction = Quantiles(loss, target, *widths, every=quantiles)
    else:
        prediction = Numbers(loss, target)
    with torch.no_grad():
        network = Ensemble(copy.deepcopy(estimator.module_), loss.n_scores(target.n_outputs_), loss.link)
    table = None if encoder is None else Table(encoder)
    dtype = PRECISIONS[estimator._fitted_shape["precision"]].tensor
    return Served(table, network, prediction, dtype).eval().requires_grad_(False)
