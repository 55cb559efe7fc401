"""One outermost call in lockstep, with its settings, and all calls within its tasks."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import joblib
import torch

from sknnopt.checkpoints import Checkpoint
from sknnopt.checkpoints._checkpoint import default_checkpoint
from sknnopt.engine import Job, Result, suitable_members
from sknnopt.model_selection._progress import Progress
from sknnopt.model_selection._scheduler import Scheduler, current_task
from sknnopt.model_selection._task import Call, Task


class Sweep:
    """A scheduler with its settings and its record; it watches the scheduler, see :class:`Watcher`.

    Parameters
    ----------
    max_members : int or "auto"
    n_jobs : int or None
    verbose : int
    cohort_sizes : list of int or None
        Where to write how many members each cohort has that is started.
    checkpoint : Checkpoint or None
        Of fits that have none of their own.

    Attributes
    ----------
    scheduler : Scheduler
    process : int
        Whose threads it has; in a child forked from that one nothing of it would go on.
    """

    def __init__(
        self,
        max_members: int | str = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
        cohort_sizes: list[int] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.max_members, self.n_jobs, self.verbose, self.checkpoint = max_members, n_jobs, verbose, checkpoint
        self.cohort_sizes = [] if cohort_sizes is None else cohort_sizes
        self.scheduler = Scheduler(self._suitable, self)
        self._progress: Progress | None = None
        self.process = os.getpid()

    def anew(self) -> "Sweep":
        """Return a sweep of these settings for another call, so that nothing is left to it of what came before."""
        return Sweep(self.max_members, self.n_jobs, self.verbose, self.cohort_sizes, self.checkpoint)

    def _suitable(self, job: Job) -> int:
        size = suitable_members(job) if isinstance(self.max_members, str) else self.max_members
        self._show(
            "say",
            f"lockstep: up to {size} members a cohort ({job.network.layout.n_parameters:,} parameters, batches of "
            f"{job.techniques.batch_size}), {self.scheduler.tokens} cohorts at once",
        )
        return size

    def _show(self, what: str, *arguments: Any) -> None:
        """Tell the progress bar, if there is one; one that cannot be written to is given up."""
        if self._progress is not None:
            try:
                getattr(self._progress, what)(*arguments)
            except Exception:
                self._progress = None

    def submitted(self, task: Task) -> None:
        if task.call.parent is None:
            self._show("submitted")

    def arrived(self, jobs: Sequence[Job]) -> None:
        self._show("arrived", jobs)

    def started(self, jobs: Sequence[Job]) -> None:
        self.cohort_sizes.append(len(jobs))

    def epoch(self, members: int) -> None:
        self._show("epoch", members)

    def trained(self, jobs: Sequence[Job], results: Sequence[Result]) -> None:
        self._show("trained", jobs, sum(len(result.history) for result in results))

    def finished(self, task: Task, results: Sequence[Any]) -> None:
        if task.call.parent is None and len(results) == 1:
            self._show("finished", task.work.items[0][2], results[0])

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
        before = list(warnings.filters), torch.get_num_threads()
        call: Call | None = None
        try:
            if outermost:
                self.scheduler.tokens = resolve_n_jobs(n_jobs if self.n_jobs is None else self.n_jobs)
                self.scheduler.torch_threads = before[1]
                self._progress = Progress() if self.verbose else None
            with default_checkpoint(self.checkpoint):  # which tasks have from the context that the call remembers
                call = self.scheduler.open(patience)
            call.sweep = self
            yield call
        except BaseException:
            if call is not None:
                self.scheduler.abort(call)
            raise
        finally:
            try:
                if call is not None:
                    self.scheduler.close(call, abort_wait if outermost else 0.0)
            finally:
                if outermost:
                    self._put_back(*before)

    def _put_back(self, filters: list[Any], threads: int) -> None:
        """Restore what threads share."""
        if list(warnings.filters) != filters:
            warnings.filters[:] = filters  # type: ignore[index]
            warnings._filters_mutated()  # type: ignore[attr-defined]
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        self._show("close")
        self._progress = None


def resolve_n_jobs(n_jobs: int) -> int:
    """Return a number of jobs; a negative one counts back from all cores, and more than those are not taken."""
    cores: int = joblib.cpu_count()
    return max(cores + 1 + n_jobs, 1) if n_jobs < 0 else min(n_jobs, cores)
