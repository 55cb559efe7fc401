"""The temperature that makes a classifier as sure as it is right."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sknnopt.engine import JUDGED, Job, fit_temperature
from sknnopt.nn import predict_scores


def ensemble_temperature(jobs: Sequence[Job], modules: Sequence[nn.Module]) -> float | None:
    """Return the temperature of trained members, by the rows that each has withheld; None if none has withheld any.

    It is that of the members and not of their average, for which there are no rows that all of them withhold. Their
    scores are divided by it before they are averaged: see docs/estimators.md for what that is worth.

    Parameters
    ----------
    jobs : sequence of Job
    modules : sequence of nn.Module
        Of the same members, fitted.
    """
    pairs = zip(jobs, modules, strict=True)
    parts = [_judged(job, module) for job, module in pairs if job.validation is not None and job.validation.stop]
    if not parts or jobs[0].techniques.loss.link not in JUDGED:
        return None
    scores, target, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return fit_temperature(scores, target, weight)


def _judged(job: Job, module: nn.Module) -> tuple[NDArray[np.floating], NDArray[np.number], NDArray[np.float64]]:
    """Return scores, target and weights of the rows that a member has withheld."""
    validation = job.validation
    assert validation is not None
    table, rows = validation.table, validation.rows
    inputs = table.inputs.numpy()[rows] if isinstance(table.inputs, torch.Tensor) else table.inputs[rows]
    weight = np.ones(len(rows)) if table.weight is None else table.weight.double().numpy()[rows]
    return predict_scores(module, inputs), table.target.numpy()[rows], weight
