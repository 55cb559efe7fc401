"""The engine's door: jobs in, trained members out."""

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import torch

from sknnopt._memory import is_out_of_memory
from sknnopt._random import forked_torch_random
from sknnopt._threads import single_thread
from sknnopt.engine._cohort import Cohort
from sknnopt.engine._ours import techniques_are_ours
from sknnopt.engine.capacity import suitable_members, too_large
from sknnopt.engine.checkpointing import kept_jobs
from sknnopt.engine.job import Job, Result, place
from sknnopt.engine.meeting import current_meeting

AfterEpoch = Callable[[int], None]


def train(jobs: Sequence[Job]) -> list[Result]:
    """Train every job; those of equal structure together, in cohorts.

    A member's result is the same, on the CPU to the bit, whatever other jobs are given. In a thread that attends a
    meeting the jobs of other threads join the cohorts. Those with a checkpoint go on where it says that they stand, and
    are not trained again if it has their results.

    Parameters
    ----------
    jobs : sequence of Job

    Returns
    -------
    list of Result
        In the order of `jobs`.

    Raises
    ------
    Exception
        What the first member to fail has raised; the others are trained all the same.
    """
    jobs, trained = kept_jobs(jobs)
    left = [job for i, job in enumerate(jobs) if i not in trained]
    meeting = current_meeting()
    new = iter([] if not left else _train_here(left) if meeting is None else meeting.train(left))
    results = [trained[i] if i in trained else next(new) for i in range(len(jobs))]
    for result in results:
        if result.error is not None:
            raise result.error
    return results


def _train_here(jobs: Sequence[Job]) -> list[Result]:
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, job in enumerate(jobs):
        groups[job.structure()].append(i)
    results: dict[int, Result] = {}
    for indices in groups.values():
        size = len(indices) if jobs[indices[0]].crew else suitable_members(jobs[indices[0]])
        for first in range(0, len(indices), size):
            part = indices[first : first + size]
            results |= dict(zip(part, train_together([jobs[i] for i in part]), strict=True))
    return [results[i] for i in range(len(jobs))]


def train_together(jobs: Sequence[Job], after_epoch: AfterEpoch | None = None) -> list[Result]:
    """Train jobs of equal structure as one cohort, or as one shard on each of their devices, side by side.

    Parameters
    ----------
    jobs : sequence of Job
        Of equal :meth:`~sknnopt.engine.job.Job.structure`.
    after_epoch : callable or None
        Called with the number of members that have trained an epoch, by several threads if there are several devices;
        what it raises ends the training.

    Returns
    -------
    list of Result
        In the order of `jobs`; what a member's own code has raised is in its result.
    """
    devices = jobs[0].devices[: 1 if jobs[0].crew else len(jobs)]
    if len(devices) == 1:
        return _train_or_halve(jobs, devices[0], after_epoch)
    halted = threading.Event()

    def carry_on(members: int) -> None:
        if halted.is_set():
            raise _Halted
        if after_epoch is not None:
            after_epoch(members)

    shards = [jobs[i :: len(devices)] for i in range(len(devices))]
    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            futures = [
                pool.submit(_train_or_halve, shard, device, carry_on)
                for shard, device in zip(shards, devices, strict=True)
            ]
            parts = [future.result() for future in futures]
        except BaseException:
            halted.set()
            raise
    return [parts[i % len(devices)][i // len(devices)] for i in range(len(jobs))]


class _Halted(BaseException):
    """Ends a shard when another one has failed."""


def _train_or_halve(jobs: Sequence[Job], device: torch.device, after_epoch: AfterEpoch | None) -> list[Result]:
    """Train a cohort; if its arithmetic raises, each half by itself, until the fault lies with one member."""
    try:
        return _train_cohort(place(jobs, device), after_epoch)
    except Exception as error:
        fault = too_large(error, jobs, device) if is_out_of_memory(error) else error
        if len(jobs) == 1 or jobs[0].crew:
            nothing = torch.empty(0)
            return [Result(nothing, nothing, error=fault) for _ in jobs]
        del fault
    middle = len(jobs) // 2
    return [part for half in (jobs[:middle], jobs[middle:]) for part in _train_or_halve(half, device, after_epoch)]


def _train_cohort(jobs: Sequence[Job], after_epoch: AfterEpoch | None = None) -> list[Result]:
    closed = all(_is_closed(job) for job in jobs)
    with single_thread(), _random_scope(jobs[0]), torch.inference_mode(closed), torch.no_grad():
        results = Cohort(jobs).train(after_epoch)
    if closed:  # tensors made in inference mode would be refused by autograd for ever
        for result in results:
            _make_ordinary(result)
    return results


def _make_ordinary(result: Result) -> None:
    for part in (result, result.progress):
        if part is not None:
            part.parameters, part.buffers = part.parameters.clone(), part.buffers.clone()
    if result.progress is not None:
        result.progress.state = {name: value.clone() for name, value in result.progress.state.items()}


def _is_closed(job: Job) -> bool:
    """Whether nobody but this package computes with the job's tensors, so that autograd need not follow them.

    Torch's calls are then a fifth cheaper, which small networks consist of.
    """
    return job.observer is None and techniques_are_ours(job)


def _random_scope(job: Job) -> AbstractContextManager[None]:
    """Return a context in which a user's module may draw from torch's global generator, seeded by its member."""
    if job.network.stackable:
        return nullcontext()
    epochs = 0 if job.progress is None else job.progress.epochs
    return forked_torch_random(int(job.seed.generate_state(epochs + 1)[epochs]), job.device)
