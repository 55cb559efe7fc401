"""How many members a cohort should have."""

from sknnopt.engine.job import Job

MOST, FEWEST = 128, 4
"""Bounds of what is suitable; a member that needs more memory than there is trains alone."""

STEP_WORK = 4e7
"""Multiply-adds of a cohort's step (forward, both products back) that make its 40 calls from Python cheap."""

MEMORY_SHARE = 0.25
"""Fraction of the free memory that a cohort's own tensors may take."""


def step_work(job: Job) -> float:
    """Return the multiply-adds of one member's step."""
    return 3.0 * job.network.layout.weight_size * job.techniques.batch_size


def member_bytes(job: Job) -> int:
    """Return roughly how much memory a member takes in its cohort: weights, gradients, moments, best copy, rows."""
    size = job.dtype.itemsize
    parameters = job.network.layout.size * size
    features = 1
    for n in job.table.row_shape:
        features *= n
    rows = (
        job.techniques.batch_size * (features + 6 * max(job.network.layout.n_parameters // max(1, features), 1)) * size
    )
    return 6 * parameters + rows


def suitable_members(job: Job) -> int:
    """Return how many members like this one train fastest together, within the free memory."""
    return 16
