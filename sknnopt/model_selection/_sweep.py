"""What the calls within one ``lockstep`` block share."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import joblib
import torch

from sknnopt.engine import Job, Result, suitable_members
from sknnopt.model_selection._progress import Progress
from sknnopt.model_selection._scheduler import Scheduler, current_task
from sknnopt.model_selection._task import Call, Task


class Sweep:
    """A scheduler with its settings and its record.

    Parameters
    ----------
    max_members : int or "auto"
    n_jobs : int or None
    verbose : int

    Attributes
    ----------
    scheduler : Scheduler
    cohort_sizes : list of int
        Members of each cohort that was started, in order.
    """

    def __init__(self, max_members: int | str = "auto", n_jobs: int | None = None, verbose: int = 0) -> None:
        self.max_members, self.n_jobs, self.verbose = max_members, n_jobs, verbose
        self.cohort_sizes: list[int] = []
        self.scheduler = Scheduler(self._suitable, self)
        self.progress: Progress | None = None
        self._open, self._lock = 0, threading.Lock()

    def _suitable(self, job: Job) -> int:
        size = suitable_members(job) if isinstance(self.max_members, str) else self.max_members
        if self.progress is not None:
            self.progress.say(
                f"lockstep: up to {size} members a cohort ({job.network.layout.n_parameters:,} parameters, batches of "
                f"{job.techniques.batch_size}), {self.scheduler.tokens} cohorts at once"
            )
        return size

    def submitted(self, task: Task) -> None:
        """See :class:`Watcher`, as for the other methods of its names."""
        if self.progress is not None and task.call.parent is None:
            self.progress.submitted()

    def arrived(self, jobs: Sequence[Job]) -> None:
        if self.progress is not None:
            self.progress.arrived(jobs)

    def started(self, jobs: Sequence[Job]) -> None:
        self.cohort_sizes.append(len(jobs))

    def epoch(self, members: int) -> None:
        if self.progress is not None:
            self.progress.epoch(members)

    def trained(self, jobs: Sequence[Job], results: Sequence[Result]) -> None:
        if self.progress is not None:
            self.progress.trained(jobs, sum(len(result.history) for result in results))

    def finished(self, task: Task, results: Sequence[Any]) -> None:
        if self.progress is not None and task.call.parent is None and len(results) == 1:
            self.progress.finished(task.work.items[0][2], results[0])

    @contextmanager
    def call(self, n_jobs: int, *, patience: float, abort_wait: float = 0.0) -> Iterator[Call]:
        """Open a call for tasks; an outermost one says how many jobs there are to be.

        Parameters
        ----------
        n_jobs : int
            As the call asks; the sweep's own setting comes first.
        patience, abort_wait : float
            Seconds; see :class:`Call` and :meth:`Scheduler.close`.
        """
        outermost = current_task() is None
        if outermost:
            self._begin(resolve_n_jobs(n_jobs if self.n_jobs is None else self.n_jobs))
        call = self.scheduler.open(patience)
        try:
            yield call
        except BaseException:
            self.scheduler.abort(call)
            raise
        finally:
            self.scheduler.close(call, abort_wait if outermost else 0.0)
            if outermost:
                self._end()

    def _begin(self, tokens: int) -> None:
        with self._lock:
            self._open += 1
            if self._open == 1:
                self._before = list(warnings.filters), torch.get_num_threads()
                self.scheduler.torch_threads = torch.get_num_threads()
                self.progress = Progress() if self.verbose else None
        self.scheduler.tokens = tokens

    def _end(self) -> None:
        """Put back what threads share, when no call is left."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                filters, threads = self._before
                if list(warnings.filters) != filters:
                    warnings.filters[:] = filters  # type: ignore[index]
                    warnings._filters_mutated()  # type: ignore[attr-defined]
                torch.set_num_threads(threads)
                if self.progress is not None:
                    self.progress.close()
                    self.progress = None


def resolve_n_jobs(n_jobs: int) -> int:
    """Return a number of jobs; a negative one counts back from all cores, and more than those are not taken."""
    cores: int = joblib.cpu_count()
    return max(cores + 1 + n_jobs, 1) if n_jobs < 0 else min(n_jobs, cores)
