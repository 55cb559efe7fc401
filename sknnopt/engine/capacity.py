"""How many members a cohort should have."""

import math
from collections.abc import Sequence

import torch

from sknnopt._memory import OutOfMemoryError, available_memory, explained
from sknnopt.data.on_disk import EncodedOnDisk
from sknnopt.engine.job import Job

MOST = 128
"""Members of the largest cohorts: more gained nothing for the smallest networks."""

COST = 5e4
"""Members times the square root of a member's multiply-adds a step, where members train fastest.

Small networks want large cohorts, which share the cost of a step's 40 calls from Python; large ones want small
cohorts, which stay in the cache. Measured with one hidden layer of 8 units to two of 512, each within 5 % of its best.
"""

MEMORY_SHARE = 0.25
"""Fraction of the available memory that a cohort may take."""


def suitable_members(job: Job) -> int:
    """Return how many members like this one train fastest together, a power of two, within the available memory."""
    if not job.network.stackable:
        return 1
    work = 3 * job.network.multiply_adds * job.techniques.batch_size
    fastest = 2 ** round(math.log2(max(1.0, COST / math.sqrt(max(1, work)))))
    affordable = int(MEMORY_SHARE * available_memory() / member_bytes(job))
    return max(1, min(MOST, fastest, affordable)) * len(job.devices)


def member_bytes(job: Job) -> int:
    """Return about how much memory a member takes in its cohort.

    That is parameters three times (with gradients and the best epoch's), an average of them if there is one, what the
    optimizer carries, and, of a batch, every layer's rows four times (products, activations and the gradients of both);
    where columns are embedded, theirs and those of all their features.
    """
    features = math.prod(job.table.row_shape)
    rows = job.techniques.batch_size * (features + 4 * job.network.row_size)
    copies = 3 if job.techniques.weight_averaging is None else 4
    return (copies * job.network.layout.size + _state_size(job) + rows) * job.dtype.itemsize


def _state_size(job: Job) -> int:
    """Return how many numbers the optimizer carries for a member, twice the parameters' where it cannot tell."""
    layout = job.network.layout
    try:
        state = job.techniques.optimizer.start(torch.empty((1, layout.size), dtype=job.dtype, device="meta"), layout)
    except Exception:  # an optimizer of the user's may want numbers in its parameters
        return 2 * layout.size
    return sum(value.numel() for value in state.values())


def too_large(error: Exception, jobs: Sequence[Job], device: torch.device) -> OutOfMemoryError:
    """Return the error of a cohort for which memory does not suffice, with what it was and what to reduce."""
    job = jobs[0]
    what = "a network" if len(jobs) == 1 else f"{len(jobs)} networks that stop together,"
    doing = (
        f"training {what} of {job.network.layout.size:,} parameters in batches of {job.techniques.batch_size} rows on "
        f"{device}, from a table of {' x '.join(map(str, job.table.inputs.shape))}"
    )
    smaller = "batch_size, hidden_layer_sizes or the size of embeddings"
    if len(jobs) > 1:
        smaller += ", n_members (or early_stopping=False, by which members are trained in smaller groups)"
    advice = f"Reduce {smaller}; choose precision='float32'" if job.dtype == torch.float64 else f"Reduce {smaller}"
    table = "" if isinstance(job.table.inputs, EncodedOnDisk) else "; pass a table larger than memory as numpy.memmap"
    out = explained(error, doing, f"{advice}; in lockstep, max_members and n_jobs{table}.")
    out.__cause__ = error
    return out
