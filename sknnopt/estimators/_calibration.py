"""The temperatures that make a classifier as sure as it is right."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sknnopt.engine import JUDGED, Job, fit_temperature
from sknnopt.nn import MemberAverage, predict_scores, set_temperature
from sknnopt.nn import average as mean_scores


class Judged(NamedTuple):
    """Scores (n, O) of the rows that a member withholds, their target and weights."""

    scores: NDArray[np.floating]
    target: NDArray[np.number]
    weight: NDArray[np.float64]


class Temperatures(NamedTuple):
    """What the scores of each member, and those of their average, are divided by."""

    members: float
    average: float


def calibrate(jobs: Sequence[Job], modules: Sequence[nn.Module], average: MemberAverage | None) -> Temperatures | None:
    """Set the temperatures of trained members and of their average; None if no row was withheld to stop any of them.

    The members' is one for all, fitted to the rows that each has withheld. An average of calibrated members is less
    sure than it is right, the more so the more they are; no rows are withheld by all of them, but if s of the M members
    share a fold, the temperature that their average wants there is known. As its logarithm falls about in proportion to
    1 - 1 / s, what all M want is its (1 - 1 / M) / (1 - 1 / s)-th power.

    Parameters
    ----------
    jobs : sequence of Job
    modules : sequence of nn.Module
        Of the same members, fitted.
    average : MemberAverage or None
        Of these modules, if there are several.

    """
    judged = [k for k, job in enumerate(jobs) if job.validation is not None and job.validation.stop]
    if not judged or jobs[0].techniques.loss.link not in JUDGED:
        return None
    parts = [_judged(jobs[k], modules[k]) for k in judged]
    temperature = fit_temperature(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    behind = 1.0 if average is None else _of_average([jobs[k] for k in judged], parts, temperature, average)
    found = Temperatures(temperature, behind)
    set_temperatures(modules, average, found)
    return found


def set_temperatures(modules: Sequence[nn.Module], average: MemberAverage | None, values: Temperatures) -> None:
    """Let modules, and their average if there is one, have these temperatures."""
    for module in modules:
        set_temperature(module, values.members)
    if average is not None:
        average.temperature = values.average


def _of_average(jobs: Sequence[Job], parts: Sequence[Judged], temperature: float, average: MemberAverage) -> float:
    """Return the temperature of the average, from the folds that several of the members withhold."""
    folds: dict[int, list[int]] = {}
    for k, job in enumerate(jobs):
        assert job.validation is not None
        folds.setdefault(id(job.validation.rows), []).append(k)
    size = max(len(group) for group in folds.values())
    if size == 1:
        return 1.0
    shared = []
    for group in folds.values():
        if len(group) == size:
            scores = torch.from_numpy(np.stack([parts[k].scores for k in group])).double() / temperature
            shared.append(parts[group[0]]._replace(scores=mean_scores(scores, average.link).numpy()))
    wanted = fit_temperature(*(np.concatenate(part) for part in zip(*shared, strict=True)))
    return float(wanted ** ((1 - 1 / len(average.members)) / (1 - 1 / size)))


def _judged(job: Job, module: nn.Module) -> Judged:
    """Return scores, target and weights of the rows that a member has withheld."""
    validation = job.validation
    assert validation is not None
    table, rows = validation.table, validation.rows
    inputs = table.inputs.numpy()[rows] if isinstance(table.inputs, torch.Tensor) else table.inputs[rows]
    weight = np.ones(len(rows)) if table.weight is None else table.weight.double().numpy()[rows]
    return Judged(predict_scores(module, inputs), table.target.numpy()[rows], weight)
