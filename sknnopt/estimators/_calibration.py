"""What makes predictions as sure as they are right, and the weights of kinds of members."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sknnopt.data.on_disk import EncodedOnDisk
from sknnopt.engine import Job, fit_temperature
from sknnopt.estimators._conformal import Conformal, fit_conformal
from sknnopt.estimators._weighting import Floats, fit_weights
from sknnopt.losses import Loss, Quantile
from sknnopt.nn import Link, average, predict_scores

FARTHEST = 2.0
"""Largest power to which the temperature of some members' average is raised for that of all, and its noise with it."""


class Judged(NamedTuple):
    """Scores (n, O) of the rows that a member withholds, their target and weights."""

    scores: NDArray[np.floating]
    target: NDArray[np.number]
    weight: NDArray[np.float64]


class Settings(NamedTuple):
    """What becomes of members' scores.

    Attributes
    ----------
    temperatures : tuple of float
        What the scores of each recipe's members are divided by.
    weights : tuple of float
        What each recipe counts in the average, of sum 1; its members share it equally.
    average : float
        What the scores of the average are divided by.
    quantiles : Conformal or None
        What becomes of predicted quantiles.
    """

    temperatures: tuple[float, ...]
    weights: tuple[float, ...]
    average: float
    quantiles: Conformal | None = None

    @classmethod
    def plain(cls, kinds: int) -> "Settings":
        """Return those that divide nothing and weigh all alike."""
        return cls((1.0,) * kinds, (1 / kinds,) * kinds, 1.0)

    def of_members(self, kind_of: Sequence[int]) -> list[float]:
        """Return what members of these kinds count, of sum 1; others have been lost."""
        there = sum(self.weights[r] for r in set(kind_of))
        return [self.weights[r] / there / kind_of.count(r) for r in kind_of]


def settle(
    jobs: Sequence[Job], modules: Sequence[nn.Module], kind_of: Sequence[int], *, kinds: int, calibrates: bool,
    conforms: bool = False,
) -> Settings | None:  # fmt: skip
    """Return the temperatures, weights and widths that suit withheld rows; None if none were withheld to stop members.

    The members of a recipe have one temperature, fitted to the rows that each has withheld. The weights are fitted to
    what each recipe predicts of a fold, by the average of its members that withhold it. An average of calibrated
    members is less sure than it is right, the more so the more they are; no rows are withheld by all of them, but if s
    of the M members share a fold, the temperature that their average wants there is known. As its logarithm falls about
    in proportion to 1 - 1 / s, what all M want is its (1 - 1 / M) / (1 - 1 / s)-th power. Members that do not count the
    same, with shares w of a sum of 1, are as good as ``1 / sum w^2``.

    Parameters
    ----------
    jobs : sequence of Job
    modules : sequence of nn.Module
        Of the same members, fitted, without temperatures.
    kind_of : sequence of int
        The recipe of each.
    kinds : int
        How many there are.
    calibrates : bool
        Whether there are to be temperatures other than 1.
    conforms : bool
        Whether predicted quantiles are to be corrected, by what the averages of members predict of a fold.
    """
    judged = all(job.validation is not None and job.validation.stop for job in jobs)
    if not judged or not (calibrates or conforms or kinds > 1):
        return None
    parts = [_judged(*pair) for pair in zip(jobs, modules, strict=True)]
    link, found = jobs[0].techniques.loss.link, Settings.plain(kinds)
    if calibrates:
        found = found._replace(temperatures=_temperatures(parts, kind_of, kinds))
    scores = [
        torch.from_numpy(part.scores).double() / found.temperatures[r]
        for part, r in zip(parts, kind_of, strict=True)
    ]  # fmt: skip
    folds = _Folds(jobs, parts, scores, link)
    if kinds > 1:
        found = found._replace(weights=_weights(folds, jobs, kind_of, kinds))
    if calibrates and len(jobs) > 1:
        found = found._replace(average=_of_average(folds, found.of_members(kind_of)))
    if conforms:
        found = found._replace(quantiles=_conformal(folds, found.of_members(kind_of), jobs[0].techniques.loss))
    return found


class _Folds:
    """Calibrated scores by the rows that members withhold, several of them the same."""

    def __init__(self, jobs: Sequence[Job], parts: Sequence[Judged], scores: Sequence[Tensor], link: Link) -> None:
        self.parts, self.link, self._scores = parts, link, scores
        groups: dict[int, list[int]] = {}
        for k, job in enumerate(jobs):
            assert job.validation is not None
            groups.setdefault(id(job.validation.rows), []).append(k)
        self.members = list(groups.values())

    def together(self, members: Sequence[int], weights: Sequence[float] | None = None) -> NDArray[np.float64]:
        """Return the scores of the average of members of a fold, with weights of any sum."""
        shares = None
        if weights is not None and len(set(weights)) > 1:
            shares = torch.tensor(weights, dtype=torch.float64)
            shares /= shares.sum()
        out: NDArray[np.float64] = average(torch.stack([self._scores[k] for k in members]), self.link, shares).numpy()
        return out


def _temperatures(parts: Sequence[Judged], kind_of: Sequence[int], kinds: int) -> tuple[float, ...]:
    own: list[list[Judged]] = [[] for _ in range(kinds)]
    for part, r in zip(parts, kind_of, strict=True):
        own[r].append(part)
    return tuple(fit_temperature(*_joined(group)) if group else 1.0 for group in own)


def _joined(parts: Sequence[Judged]) -> Judged:
    return Judged(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _weights(folds: _Folds, jobs: Sequence[Job], kind_of: Sequence[int], kinds: int) -> tuple[float, ...]:
    """Return the weights of kinds, 0 for those of which no member is left, from folds that all others withhold."""
    left = sorted(set(kind_of))
    scores: list[Floats] = []
    parts = []
    for fold in folds.members:
        groups = [[k for k in fold if kind_of[k] == r] for r in left]
        if all(groups):
            scores.append(np.stack([folds.together(group) for group in groups]))
            parts.append(folds.parts[fold[0]])
    found = np.full(len(left), 1 / len(left))
    if parts:
        _, target, weight = _joined(parts)
        found = fit_weights(np.concatenate(scores, axis=1), target, jobs[0].techniques.loss, weight)
    return tuple(float(found[left.index(r)]) if r in left else 0.0 for r in range(kinds))


def _of_average(folds: _Folds, weights: Sequence[float]) -> float:
    """Return the temperature of the average, from the folds that several of the members withhold."""
    own = [[weights[k] for k in fold] for fold in folds.members]
    size = max(map(_worth, own))
    if size == 1:
        return 1.0
    shared = [
        folds.parts[fold[0]]._replace(scores=folds.together(fold, given))
        for fold, given in zip(folds.members, own, strict=True)
        if math.isclose(_worth(given), size)
    ]
    power = (1 - 1 / _worth(weights)) / (1 - 1 / size)
    return float(fit_temperature(*_joined(shared)) ** min(power, FARTHEST))


def _conformal(folds: _Folds, weights: Sequence[float], loss: Loss) -> Conformal:
    """Return the widths that suit folds as predicted by the average of the members that withhold them."""
    assert isinstance(loss, Quantile)
    own = [[weights[k] for k in fold] for fold in folds.members]
    parts = [
        folds.parts[fold[0]]._replace(scores=folds.together(fold, given))
        for fold, given in zip(folds.members, own, strict=True)
        if sum(given)
    ]
    scores, target, weight = _joined(parts)
    quantiles = loss.quantiles(torch.from_numpy(scores.T).unsqueeze(0))[0].permute(2, 0, 1).numpy()
    return fit_conformal(quantiles, target.astype(np.float64), weight, loss.levels, loss.central)


def _worth(weights: Sequence[float]) -> float:
    """Return how many members of equal weight have as much to average, 1 where one has all."""
    if len(set(weights)) == 1:
        return float(len(weights))
    return float(sum(weights) ** 2 / sum(weight**2 for weight in weights))


def _judged(job: Job, module: nn.Module) -> Judged:
    """Return scores, target and weights of the rows that a member has withheld."""
    validation = job.validation
    assert validation is not None
    table, rows = validation.table, validation.rows
    if isinstance(table.inputs, EncodedOnDisk):
        inputs: Any = table.inputs.select(rows)
    else:
        inputs = table.inputs.numpy()[rows] if isinstance(table.inputs, torch.Tensor) else table.inputs[rows]
    weight = np.ones(len(rows)) if table.weight is None else table.weight.double().numpy()[rows]
    return Judged(predict_scores(module, inputs), table.target.numpy()[rows], weight)
