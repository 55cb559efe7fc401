"""Numbers of each member that hold for all steps."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sknnopt.engine.job import Job


def constants_of(jobs: Sequence[Job]) -> dict[str, Tensor]:
    """Return the smoothing of labels and the largest norm of a gradient, (K, 1), where members have such."""
    techniques = [job.techniques for job in jobs]
    columns: dict[str, list[float]] = {}
    if techniques[0].label_smoothing > 0:
        columns["smoothing"] = [t.label_smoothing for t in techniques]
    if techniques[0].gradient_clipping is not None:
        columns["clip"] = [t.gradient_clipping or 0.0 for t in techniques]
    return {
        name: torch.tensor(column, dtype=jobs[0].dtype, device=jobs[0].device).unsqueeze(1)
        for name, column in columns.items()
    }


def strengths_of(jobs: Sequence[Job]) -> dict[str, Tensor]:
    """Return the strengths of penalties: a number of each member (K, 1), or those of its layers (K, W)."""
    penalties = [job.techniques.regularization for job in jobs]
    rows = [penalty.strengths() for penalty in penalties if penalty is not None]
    return {name: _strength(jobs[0], [row[name] for row in rows]) for name in rows[0]} if rows else {}


def _strength(job: Job, values: Sequence[float | tuple[float, ...]]) -> Tensor:
    """Return each member's number (K, 1), or the numbers of its layers spread over their weights (K, W)."""
    layout = job.network.layout
    layered = isinstance(values[0], tuple)
    out = torch.zeros((len(values), layout.weight_size if layered else 1), dtype=job.dtype, device=job.device)
    weights = [block for block in layout.blocks.values() if block.is_weight]
    for row, value in zip(out, values, strict=True):
        own = torch.tensor(value, dtype=torch.float64)  # what lies beyond float32 becomes infinite
        if layered:
            for block, strength in zip(weights, own, strict=True):
                row[block.offset : block.offset + block.size] = strength
        else:
            row.copy_(own)
    return out
