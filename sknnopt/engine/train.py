"""The engine's door: jobs in, trained members out."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from sknnopt._choices import Choice
from sknnopt._random import forked_torch_random
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
    for indices in groups.values():
        for first in range(0, len(indices), MAX_MEMBERS):
            part = indices[first : first + MAX_MEMBERS]
            results |= dict(zip(part, _train_cohort([jobs[i] for i in part]), strict=True))
    return [results[i] for i in range(len(jobs))]


def _train_cohort(jobs: Sequence[Job]) -> list[Result]:
    closed = jobs[0].network.stackable and all(_is_closed(job) for job in jobs)
    with single_thread(), _random_scope(jobs[0]), torch.inference_mode(closed), torch.no_grad():
        results = Cohort(jobs).train()
    if closed:  # tensors made in inference mode would be refused by autograd for ever
        for result in results:
            _make_ordinary(result)
    return results


def _make_ordinary(result: Result) -> None:
    for part in (result, result.progress):
        if part is not None:
            part.parameters, part.buffers = part.parameters.clone(), part.buffers.clone()
    if result.progress is not None:
        result.progress.optimizer = {name: value.clone() for name, value in result.progress.optimizer.items()}


def _is_closed(job: Job) -> bool:
    """Whether nobody but this package computes with the job's tensors, so that autograd need not follow them.

    Torch's calls are then a fifth cheaper, which small networks consist of.
    """
    t = job.techniques
    activation = getattr(job.network, "activation", None)
    choices = [t.loss, t.optimizer, t.schedule, t.initializer, t.regularization, activation]
    return job.observer is None and all(choice is None or _is_ours(choice) for choice in choices)


def _is_ours(choice: Choice) -> bool:
    parts = choice.get_params(deep=True).values()
    return type(choice).__module__.startswith("sknnopt.") and all(
        _is_ours(part) if isinstance(part, Choice) else not callable(part) for part in parts
    )


def _random_scope(job: Job) -> AbstractContextManager[None]:
    """Return a context in which a user's module may draw from torch's global generator, seeded by its member."""
    if job.network.stackable:
        return nullcontext()
    epochs = 0 if job.progress is None else job.progress.epochs
    return forked_torch_random(int(job.seed.generate_state(epochs + 1)[epochs]), job.device)
