"""The engine's door: jobs in, trained members out."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from sknnopt._threads import single_thread
from sknnopt.engine._cohort import Cohort
from sknnopt.engine.job import Job, Result

MAX_MEMBERS = 16
"""Members a cohort: more do not fit a core's cache and train no faster."""


def train(jobs: Sequence[Job]) -> list[Result]:
    """Train every job; those of equal structure together, in cohorts.

    A member's result is the same, on the CPU to the bit, whatever other jobs are given.

    Parameters
    ----------
    jobs : sequence of Job

    Returns
    -------
    list of Result
        In the order of `jobs`.
    """
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, job in enumerate(jobs):
        groups[job.structure()].append(i)
    results: dict[int, Result] = {}
    with single_thread(), torch.no_grad():
        for indices in groups.values():
            for first in range(0, len(indices), MAX_MEMBERS):
                part = indices[first : first + MAX_MEMBERS]
                with _random_scope([jobs[i] for i in part]):
                    results |= dict(zip(part, Cohort([jobs[i] for i in part]).train(), strict=True))
    return [results[i] for i in range(len(jobs))]


def _random_scope(jobs: Sequence[Job]) -> AbstractContextManager[None]:
    """Return a context in which a user's module may draw from torch's global generator, seeded by its member."""
    return nullcontext() if jobs[0].network.stackable else _forked(jobs[0])


@contextmanager
def _forked(job: Job) -> Iterator[None]:
    devices = [job.device] if job.device.type == "cuda" else []
    epochs = 0 if job.progress is None else job.progress.epochs
    seed = int(job.seed.generate_state(epochs + 1)[epochs])
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(job.device):
                torch.cuda.manual_seed(seed)
        yield
