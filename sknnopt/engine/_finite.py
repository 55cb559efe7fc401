"""Whether what a member is judged by, and predicts, is finite."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sknnopt.engine._member import Member
from sknnopt.engine._statistics import plain_module
from sknnopt.engine._step import row_norms
from sknnopt.engine._tensors import Tensors
from sknnopt.engine.job import Job

ROWS = 512
"""Rows by whose scores a network is judged to be sound."""

FAR, STEEP, LEAP = 1e3, 1e12, 10.0
"""Norm of the weights, training loss, and growth of the norm in an epoch, beyond which scores may not be finite."""

_STATISTICS = ("running_mean", "running_var")


def sound_norms(job: Job, tensors: Tensors) -> Tensor:
    """Return the norm of each member's weights (K,), NaN where the weights or statistics that count are not finite.

    Buffers of a module of one's own that are no statistics, such as masks, may be infinite.
    """
    norms = row_norms(tensors.parameters)
    sound = torch.isfinite(norms)
    if tensors.averages:
        sound &= torch.isfinite(row_norms(tensors.judged))
    for buffers in {id(own): own for own in (tensors.buffers, tensors.judged_buffers)}.values():
        for name, values in job.network.buffers.views(buffers).items():
            if name.rpartition(".")[2] in _STATISTICS:
                sound &= torch.isfinite(values).flatten(1).all(1)
    return torch.where(sound, norms, torch.nan)


def epoch_is_sound(member: Member, record: Mapping[str, Any], parameters: Tensor, buffers: Tensor) -> bool:
    """Return whether the weights after an epoch, with its record, predict finite numbers, as far as that is open.

    Withheld rows would tell by their loss. Without such, the loss is that before each step, not after the last.
    """
    if member.job.validation is not None or not _is_far(record, *member.history[-1:]):
        return True
    return _predicts(member.job, parameters, buffers)


def predicts_finite(member: Member, kept: Mapping[str, Tensor]) -> bool:
    """Return whether the weights that a finished member is to keep predict finite numbers, as far as that is open."""
    if member.error is not None or member.best_epoch < 0 or member.job.validation is not None:
        return True
    if not (_may_overflow(member.job) or _is_far(member.history[member.best_epoch])):
        return True
    with member.guard():
        return _predicts(member.job, kept["parameters"], kept["buffers"])
    return True


def _is_far(record: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> bool:
    """Return whether an epoch's figures, and those of the one before, leave it open what its weights predict."""
    most = FAR if before is None else min(FAR, LEAP * before["weight_norm"])
    return not (record["weight_norm"] <= most and record["train_loss"] <= STEEP)


def _may_overflow(job: Job) -> bool:
    """Return whether predictions may overflow whatever the figures: by a module of one's own or an exponential."""
    return not job.network.stackable or job.techniques.loss.link == "exp"


def _predicts(job: Job, parameters: Tensor, buffers: Tensor) -> bool:
    """Return whether what a member predicts of its training rows, 512 at most, is finite."""
    module = plain_module(job, parameters, buffers).eval()
    index = torch.from_numpy(job.rows[:ROWS]).to(parameters.device)
    x = torch.empty((len(index), *job.table.row_shape), dtype=parameters.dtype, device=parameters.device)
    job.table.gather(index, x)
    scores = module(x).double()
    scores = (scores.unsqueeze(1) if scores.ndim == 1 else scores).T.unsqueeze(0)
    return bool(torch.isfinite(job.techniques.loss.predict(scores)).all())
