"""The learning rate that a range test chooses."""

import copy
import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sknnopt.engine import Job, Result, Validation, train
from sknnopt.estimators._folds import split_rows
from sknnopt.estimators._modules import fitted_module
from sknnopt.nn import padded, predict_scores
from sknnopt.optimizers import Optimizer

FACTORS = np.logspace(-2.5, 1.5, 12)
"""Learning rates that a range test tries, as multiples of the optimizer's default.

Higher ones may do well for a probe, and fail in the many more steps of the fit.
"""

COST = 0.6
"""What the probes of a range test cost together, in rows trained on, as a share of the fit."""

MOST_STEPS = 1000
"""Steps that a probe is given at most, about."""

FEWEST_ROWS = 150
"""Rows that a probe trains on at least, where there are so many."""

MOST_JUDGED = 4000
"""Rows that probes are judged by at most."""

RANGE_TEST = 2
"""Word of the seeds of range tests, which keeps their streams apart from those of members and of restarts."""


class Plan(NamedTuple):
    """How probes train: on how many rows, and for how many epochs."""

    rows: int
    epochs: int


def plan_of(n_rows: int, batch_size: int, epochs: int) -> Plan:
    """Return how probes train for a fit on `n_rows` for `epochs`.

    A share q of the rows is trained on for a share sqrt(q) of the epochs. Where overfitting limits the learning rate
    the two changes make up for each other: fewer rows want a lower rate, fewer epochs a higher one. Where stability
    limits it, neither matters. So what is best for a probe is best for the fit.

    Examples
    --------
    >>> plan_of(10_000, 128, 100)
    Plan(rows=1357, epochs=37)
    """
    steps = epochs * n_rows / batch_size
    share = min(COST / len(FACTORS), MOST_STEPS / steps)
    least = int(min(share ** (2 / 3), share * epochs) * n_rows)  # the second where that is for less than an epoch
    rows = max(1, int(min(0.8 * n_rows, max(FEWEST_ROWS, least))))
    return Plan(rows, max(1, round(math.sqrt(rows / n_rows) * epochs)))


class RangeTest(NamedTuple):
    """The rate that was chosen; the rates tried, each one's loss on each judged row (P, rows), the rows' weights."""

    learning_rate: float
    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    weight: NDArray[np.float64]
    plan: Plan


def range_test(job: Job, seed: int) -> RangeTest:
    """Train probes of a job at several learning rates, and choose by their loss on rows of its own they did not see.

    Parameters
    ----------
    job : Job
        What is to be trained; its learning rate does not matter.
    seed : int
    """
    plan = plan_of(len(job.rows), job.techniques.batch_size, job.techniques.max_epochs)
    trained, judged = _split(job, plan.rows, seed)
    rates = job.techniques.optimizer.default_learning_rate * FACTORS
    probes = [_probe(job, float(rate), trained, judged, plan.epochs, seed) for rate in rates]
    results = train(probes)
    inputs, target = job.table.inputs[judged], job.table.target[torch.from_numpy(judged)]
    inputs = inputs.numpy() if isinstance(inputs, Tensor) else inputs
    losses = np.array([_losses(*pair, inputs, target) for pair in zip(probes, results, strict=True)])
    weight = np.ones(len(judged)) if job.table.weight is None else job.table.weight[judged].double().numpy()
    return RangeTest(best_rate(rates, losses, weight), rates, losses, weight, plan)


def _split(job: Job, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of a job to train on, and others in random order to judge by; the same if there are hardly any."""
    n, target = len(job.rows), job.table.target
    if n < 10:
        return job.rows, job.rows
    labels = target.numpy()[job.rows] if target.ndim == 1 else None
    trained, rest = split_rows(n, labels, 1 - count / n, seed)
    return job.rows[trained], job.rows[np.random.RandomState(seed).permutation(rest)[:MOST_JUDGED]]


def _probe(job: Job, rate: float, trained: NDArray[np.int64], judged: NDArray[np.int64], epochs: int, seed: int) -> Job:
    techniques, network = job.techniques, job.network
    fullest = padded(len(trained)) if network.stackable else len(trained)
    return replace(
        job,
        network=network if network.stackable else copy.deepcopy(network),
        rows=trained,
        techniques=replace(
            techniques, learning_rate=rate, max_epochs=epochs, batch_size=min(techniques.batch_size, fullest)
        ),
        seed=np.random.SeedSequence((seed, RANGE_TEST)),
        epochs=epochs,
        panel=None,
        validation=_stopping(job, judged[: max(1, len(trained) // 2)], epochs),
        progress=None if job.progress is None else replace(job.progress, epochs=0, random=None, schedule_state=None),
        keep_progress=False,
        observer=None,
    )


def _stopping(job: Job, judged: NDArray[np.int64], epochs: int) -> Validation | None:
    """Return the early stopping of a probe, by the loss and as patient for its epochs as the fit is for its own."""
    validation = job.validation
    if validation is None or not validation.stop:
        return None
    patience = max(1, round(validation.patience * epochs / job.techniques.max_epochs))
    return replace(validation, table=job.table, rows=judged, score=None, patience=patience)


def _losses(job: Job, result: Result, inputs: Any, target: Tensor) -> NDArray[np.float64]:
    """Return a probe's loss on each judged row, infinite if it has diverged."""
    if result.diverged is None and result.best_epoch >= 0:
        scores = torch.from_numpy(predict_scores(fitted_module(job, result).eval(), inputs))
        values = job.techniques.loss(scores.T.unsqueeze(0), (target if target.ndim == 1 else target.T).unsqueeze(0))
        out: NDArray[np.float64] = values[0].detach().double().numpy()
        if np.isfinite(out).all():
            return out
    return np.full(len(target), np.inf)


def best_rate(rates: NDArray[np.float64], losses: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Return the middle, on a logarithmic scale, of the rates around the best that are as good as it.

    A rate is as good as the best if its loss is greater by less than one standard error of the difference, which is
    taken row by row. The lowest rate is returned if every probe has diverged.

    Parameters
    ----------
    rates : ndarray of shape (P,)
        Ascending.
    losses : ndarray of shape (P, n)
        Infinite where a probe has diverged.
    weight : ndarray of shape (n,)

    Examples
    --------
    >>> losses = np.array([[3.0, 3.0, 3.0], [1.0, 0.0, 2.0], [0.0, 1.0, 1.9], [2.0, 2.0, 2.0], [np.inf] * 3])
    >>> best_rate(np.array([0.01, 0.1, 1.0, 10.0, 100.0]), losses, np.ones(3))
    0.31622776601683794
    """
    means = np.average(losses, axis=1, weights=weight)
    best = int(means.argmin())
    if not np.isfinite(means[best]):
        return float(rates[0])
    first = last = best
    while first > 0 and _as_good(losses[first - 1], losses[best], weight):
        first -= 1
    while last + 1 < len(rates) and _as_good(losses[last + 1], losses[best], weight):
        last += 1
    return float(np.sqrt(rates[first] * rates[last]))


def _as_good(losses: NDArray[np.float64], best: NDArray[np.float64], weight: NDArray[np.float64]) -> bool:
    if not np.isfinite(losses).all():
        return False
    difference = losses - best
    mean = np.average(difference, weights=weight)
    error = math.sqrt(((weight * (difference - mean)) ** 2).sum()) / weight.sum()
    return bool(mean <= error)


class Rate(NamedTuple):
    """The base learning rate of a kind of members, and what the user may read of its range test."""

    value: float
    test: dict[str, Any] | None


class AutoRateMixin:
    """Gives an estimator's jobs the learning rates that range tests have chosen."""

    recipes: Any
    verbose: int
    learning_rate_: float | NDArray[np.float64]
    learning_rate_test_: dict[str, Any] | list[dict[str, Any] | None] | None
    _seed: int
    _rates: list[Rate]
    _optimizers: list[Optimizer]

    def _with_learning_rate(self, jobs: list[Job], kind_of: NDArray[np.intp], *, again: bool) -> list[Job]:
        """Return the jobs with their learning rate, and set what the user may read of it.

        All of a kind have the first one's; where training goes on it is the one chosen at first, unless the optimizer
        is another.
        """
        rates = []
        for r, one in enumerate(self._kinds()):  # type: ignore[attr-defined]
            own = np.flatnonzero(kind_of == r)
            first = jobs[own[0]] if len(own) else None
            rates.append(self._rate(r, one.params["learning_rate"], first, self._rates[r] if again else None))
        self._rates = rates
        several = len(rates) > 1 and (bool(self.recipes) or any(rate.test is not None for rate in rates))
        self.learning_rate_ = np.array([rate.value for rate in rates]) if several else rates[0].value
        self.learning_rate_test_ = [rate.test for rate in rates] if several else rates[0].test
        return [
            replace(job, techniques=replace(job.techniques, learning_rate=rates[r].value))
            for job, r in zip(jobs, kind_of, strict=True)
        ]

    def _rate(self, kind: int, wanted: Any, first: Job | None, before: Rate | None) -> Rate:
        """Return the rate of a kind, whose first member is to be trained; None if none is left."""
        if first is None:
            assert before is not None
            return before
        techniques = first.techniques
        if wanted != "auto":
            return Rate(techniques.learning_rate, None)
        same = before is not None and techniques.optimizer.structure() == self._optimizers[kind].structure()
        if before is not None and before.test is not None and same:
            return before
        test = range_test(first, self._seed)
        if self.verbose:
            print(f"learning_rate {test.learning_rate:.3g} of {len(test.rates)} tried")  # noqa: T201
        losses = np.average(test.losses, axis=1, weights=test.weight)
        plan = {"epochs": test.plan.epochs, "n_samples": test.plan.rows}
        return Rate(test.learning_rate, {"learning_rate": test.rates, "loss": losses, **plan})
