"""One candidate on one fold: its scores, and the figures of its network."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from sknnopt._compat import InvalidParameterError, _check_method_params, _safe_split
from sknnopt._threads import single_thread
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Meeting, Result, attend, current_meeting, peak_bytes, share, train
from sknnopt.estimators import NNClassifier, NNRegressor

CONVERGED = 0.99
"""Part of the way to its lowest value after which a loss counts as converged."""


class _Witness:
    """Goes to a meeting for a fit and keeps the jobs of its last training."""

    def __init__(self, meeting: Meeting | None) -> None:
        self._meeting = meeting
        self.jobs: list[Job] = []

    def train(self, jobs: Sequence[Job]) -> list[Result]:
        self.jobs = list(jobs)
        with attend(self._meeting):
            return train(jobs) if self._meeting is None else self._meeting.train(jobs)

    def share(self, table: Table) -> Table:
        with attend(self._meeting):
            return share(table)


def fit_and_measure(
    estimator: Any,
    X: Any,
    y: Any,
    train_rows: Any,
    test_rows: Any,
    *,
    parameters: Mapping[str, Any],
    scorer: Any,
    fit_params: Mapping[str, Any],
    score_params: Mapping[str, Any],
    measure_memory: bool,
) -> dict[str, Any]:
    """Fit a candidate on a fold, score it and read off the figures of its network.

    Returns
    -------
    dict
        Always ``fit_time`` and ``score_time``, which lockstep corrects, and ``test_scores``, for its progress bar. Then
        ``error``, or ``test_score``, ``train_score`` and those figures that there are.
    """
    out: dict[str, Any] = {"fit_time": 0.0, "score_time": 0.0, "test_scores": np.nan}
    witness = _Witness(current_meeting())
    started = time.perf_counter()
    estimator.set_params(**clone(parameters, safe=False))
    trained_on = _safe_split(estimator, X, y, train_rows)
    tested_on = _safe_split(estimator, X, y, test_rows, train_rows)
    try:
        with attend(witness):
            estimator.fit(*trained_on, **_check_method_params(X, fit_params, train_rows))
        out["fit_time"] = time.perf_counter() - started
        for name, data, rows in (("test", tested_on, test_rows), ("train", trained_on, train_rows)):
            score = scorer(estimator, *data, **_check_method_params(X, score_params, rows))
            out[f"{name}_score"] = _number(score)
        out["score_time"] = time.perf_counter() - started - out["fit_time"]
    except InvalidParameterError:
        raise
    except Exception as error:
        out["fit_time"] = out["fit_time"] or time.perf_counter() - started
        return out | {"test_score": np.nan, "error": f"{type(error).__name__}: {error}"}
    network = find_network(estimator)
    if network is not None:
        out |= _figures(network)
        if measure_memory and witness.jobs:
            with suppress(Exception):  # code of the user's own that trains once only need not cost the row
                out["memory_bytes"] = peak_bytes(witness.jobs)
    return out | {"test_scores": out["test_score"]}


def _number(score: Any) -> float:
    if not isinstance(score, Real):
        raise InvalidParameterError(
            "The 'scoring' parameter of compare must return one number. "
            f"Got {score!r} ({type(score).__name__}) instead."
        )
    return float(score)


def find_network(estimator: Any) -> NNClassifier | NNRegressor | None:
    """Return the fitted network at the end of pipelines and inside of meta-estimators; None if there is none.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> find_network(LogisticRegression()) is None
    True
    """
    while not isinstance(estimator, NNClassifier | NNRegressor):
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
            continue
        inside = (getattr(estimator, name, None) for name in ("regressor_", "best_estimator_", "estimator_"))
        estimator = next((one for one in inside if one is not None), None)
        if estimator is None:
            return None
    return estimator


@single_thread()
def _figures(network: NNClassifier | NNRegressor) -> dict[str, float]:
    best = np.atleast_1d(network.best_epoch_) - 1
    weights = [parameter for parameter in network.module_.parameters() if parameter.ndim > 1]
    return {
        "final_loss": float(np.mean([network.history_[epoch]["train_loss"] for epoch in best])),
        "convergence_epoch": convergence_epoch(
            [record.get("valid_loss", record["train_loss"]) for record in network.history_]
        ),
        "n_parameters": network.n_parameters_,
        "n_nonzero_weights": sum(int(weight.count_nonzero()) for weight in weights),
    }


def convergence_epoch(losses: Sequence[float]) -> int:
    """Return the first epoch, from 1, whose loss has come 99 % of the way from the first one to the lowest.

    Examples
    --------
    >>> convergence_epoch([1.0, 0.5, 0.2, 0.1001, 0.1, 0.3])
    4
    """
    curve = np.asarray(losses, dtype=np.float64)
    lowest = np.nanmin(curve)
    return int(np.argmax(curve <= curve[0] - CONVERGED * (curve[0] - lowest))) + 1
