"""Members of an ensemble that are judged together: the epoch that is best for their average."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

from sknnopt.engine.job import Job, Validation
from sknnopt.engine.temperature import fit_temperature
from sknnopt.losses import Loss
from sknnopt.nn import average

Score = Callable[[NDArray[np.floating]], float]


class Panel:
    """Judges an epoch by what the ensemble would lose at it, estimated from rows that some of its members withhold.

    No row is withheld by all, where members withhold different folds. But the expected loss of the average of m members
    falls with their number about as ``L_m = B + V / m``: exactly so for the squared error, where V is the variance
    between members. A fold withheld by s > 1 members gives L_1 and L_s, and so B and V; the panel's value is minus
    L_M, averaged over folds, for all M members. So training goes on for as long as the ensemble gains, which may be
    long after its members by themselves overfit, and all stop at one epoch. Where one member withholds a fold, its own
    loss stands for the ensemble's.

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
        pairs = [(job.validation, output) for job, output in zip(jobs, outputs, strict=True) if job.validation]
        pairs.sort(key=lambda pair: id(pair[0].rows))
        values, counts = [], []
        for _, group in groupby(pairs, key=lambda pair: id(pair[0].rows)):
            members = list(group)
            values.append(self._fold([validation for validation, _ in members], [output for _, output in members]))
            counts.append(len(members[0][0].rows))
        order = np.argsort(values, kind="stable")  # whatever the order of folds in memory
        return float(np.average(np.array(values)[order], weights=np.array(counts)[order]))

    def _fold(self, validations: Sequence[Validation], outputs: Sequence[NDArray[np.floating]]) -> float:
        """Return the value on the rows of one fold, which all of these members withhold."""
        first, count = validations[0], len(outputs)
        scores = torch.from_numpy(np.stack(outputs)).double()
        if first.score is not None:
            return first.score(average(scores.transpose(1, 2), self._loss.link).T.numpy())
        judge = _Judge(first, self._loss)
        if self._calibrates:
            scores = torch.stack([own / judge.temperature(own) for own in scores])
        alone = float(np.mean([judge.loss(own) for own in scores]))
        if count == 1 or self.size == 1:
            return -alone
        together = judge.loss(average(scores.transpose(1, 2), self._loss.link).T)
        spread = (alone - together) / (1 - 1 / count)
        return -(alone - spread * (1 - 1 / self.size))


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


def panel_values(jobs: Sequence[Job], outputs: Sequence[NDArray[np.floating] | None]) -> Mapping[int, float]:
    """Return, by a job's place, what its panel makes of the epoch; jobs without one or without outputs are left out."""
    seats: dict[int, list[int]] = {}
    for k, job in enumerate(jobs):
        if job.panel is not None and outputs[k] is not None:
            seats.setdefault(id(job.panel), []).append(k)
    found: dict[int, float] = {}
    for places in seats.values():
        panel = jobs[places[0]].panel
        assert panel is not None
        given = [output for k in places if (output := outputs[k]) is not None]
        found |= dict.fromkeys(places, panel.value([jobs[k] for k in places], given))
    return found
