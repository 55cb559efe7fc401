"""Members of an ensemble that are judged together: the epoch that is best for their average."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
import torch
from numpy.typing import NDArray

from sknnopt.engine.job import Job, Validation
from sknnopt.engine.temperature import fit_temperature
from sknnopt.losses import Loss
from sknnopt.nn import average


class Panel:
    """Judges an epoch by what the ensemble would lose at it, estimated from rows that some of its members withhold.

    No row is withheld by all, where members withhold different folds. But the expected loss of the average of m members
    falls with their number about as ``L_m = B + V / m``: exactly so for the squared error, where V is the variance
    between members. A fold withheld by s > 1 members gives L_1 and L_s, and so V; the panel's value is minus
    ``L_M = L_1 - V (1 - 1 / M)`` for all M members, where L_1 is the mean over all folds and V over those that tell it.
    So training goes on for as long as the ensemble gains, which may be long after its members by themselves overfit,
    and all stop at one epoch. Where no fold is withheld by two, V is unknown and L_1 stands for the ensemble's loss.

    Classifiers are judged as if they were calibrated: each member's scores are first divided by the temperature that
    suits the withheld rows best. A scorer in place of the loss is applied to the average of a fold's members.

    Parameters
    ----------
    size : int
        M, the members of the ensemble.
    loss : Loss
    calibrates : bool
        Whether scores are divided by a temperature.

    References
    ----------
    Krogh and Vedelsby, "Neural network ensembles, cross validation, and active learning", 1995, equation 7: an
    ensemble's squared error is its members' less their ambiguity.

    Berta, Holzmüller, Jordan and Bach, "Rethinking early stopping: refine, then calibrate", 2025: stopping by the loss
    after temperature scaling.
    """

    def __init__(self, size: int, loss: Loss, *, calibrates: bool) -> None:
        self.size, self._loss, self._calibrates = size, loss, calibrates

    def value(self, jobs: Sequence[Job], outputs: Sequence[NDArray[np.floating]]) -> float:
        """Return what the ensemble is worth at this epoch, the larger the better.

        Parameters
        ----------
        jobs : sequence of Job
            Members that are still training, each with a validation.
        outputs : sequence of ndarray of shape (O, n)
            Their scores of the rows that they withhold.
        """
        folds: dict[int, list[tuple[Validation, NDArray[np.floating]]]] = {}
        for job, output in zip(jobs, outputs, strict=True):
            if job.validation is not None:
                folds.setdefault(id(job.validation.rows), []).append((job.validation, output))
        judged = [self._fold(fold[0][0], [output for _, output in fold]) for fold in folds.values()]
        counts = [_worth(fold[0][0]) for fold in folds.values()]
        value = _mean([value for value, _ in judged], counts)
        known = [(spread, count) for (_, spread), count in zip(judged, counts, strict=True) if spread is not None]
        if known:
            value += _mean(*zip(*known, strict=True)) * (1 - 1 / self.size)
        return value

    def _fold(self, validation: Validation, outputs: Sequence[NDArray[np.floating]]) -> tuple[float, float | None]:
        """Return the value of one member on the rows of a fold, and V if there are several; by a scorer that of all."""
        scores = torch.from_numpy(np.stack(outputs)).double()
        if validation.score is not None:
            return validation.score(average(scores.transpose(1, 2), self._loss.link).T.numpy()), None
        judge = _Judge(validation, self._loss)
        if self._calibrates:
            scores = torch.stack([own / judge.temperature(own) for own in scores])
        alone = float(np.mean([judge.loss(own) for own in scores]))
        if len(scores) == 1:
            return -alone, None
        together = judge.loss(average(scores.transpose(1, 2), self._loss.link).T)
        return -alone, (alone - together) / (1 - 1 / len(scores))


def _worth(validation: Validation) -> float:
    """Return how many rows those withheld are worth."""
    weight = validation.table.weight
    return (
        len(validation.rows)
        if weight is None
        else float(weight.cpu().double()[torch.from_numpy(validation.rows)].sum())
    )


def _mean(values: Sequence[float], counts: Sequence[float]) -> float:
    return float(np.average(np.array(values), weights=np.array(counts)))


class _Judge:
    """Losses of scores (O, n) of the rows that a validation withholds."""

    def __init__(self, validation: Validation, loss: Loss) -> None:
        rows, table = torch.from_numpy(validation.rows), validation.table
        self._target = table.target[rows.to(table.target.device)].cpu()
        self._weight = None if table.weight is None else table.weight[rows.to(table.weight.device)].cpu().double()
        self._call = loss

    def loss(self, scores: torch.Tensor) -> float:
        """Return the weighted mean loss."""
        target = self._target if self._target.ndim == 1 else self._target.T.to(scores.dtype)
        value = self._call(scores.unsqueeze(0), target.unsqueeze(0))[0]
        weight = torch.ones_like(value) if self._weight is None else self._weight
        return float((value * weight).sum() / weight.sum())

    def temperature(self, scores: torch.Tensor) -> float:
        """Return the temperature that suits these rows best."""
        weight = None if self._weight is None else self._weight.numpy()
        return fit_temperature(scores.T.numpy(), self._target.numpy(), weight)


def panel_values(
    jobs: Sequence[Job], figures: Sequence[Sequence[float]], outputs: Sequence[NDArray[np.floating] | None]
) -> dict[int, float | Exception]:
    """Return, by a job's place, what its panel makes of the epoch, or what it has raised: a scorer's error, say.

    Who diverges in it, by the figures of ``Cohort``, is not judged.
    """
    seats: dict[int, list[int]] = {}
    for k, (job, (loss, _, norm, valid_loss)) in enumerate(zip(jobs, figures, strict=True)):
        if job.panel is not None and isfinite(loss) and isfinite(norm) and isfinite(valid_loss):
            seats.setdefault(id(job.panel), []).append(k)
    found: dict[int, float | Exception] = {}
    for places in seats.values():
        panel, given = jobs[places[0]].panel, [output for k in places if (output := outputs[k]) is not None]
        assert panel is not None
        try:
            value: float | Exception = panel.value([jobs[k] for k in places], given)
        except Exception as error:
            value = error
        found |= dict.fromkeys(places, value)
    return found
