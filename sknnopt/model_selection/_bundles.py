"""Tasks on the workers of another joblib backend: a bundle goes to a worker and trains in lockstep there."""

import math
import pickle
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib.parallel import BatchedCalls, ParallelBackendBase
from scipy import sparse
from sklearn.utils.parallel import Parallel, delayed

from sknnopt.checkpoints import Checkpoint
from sknnopt.checkpoints._checkpoint import absolute
from sknnopt.model_selection._backend import NestedBackend
from sknnopt.model_selection._sweep import Sweep
from sknnopt.model_selection._task import Task

MOST_TASKS = 64
"""Tasks a bundle, where there are more than so many for each worker."""

ATTEMPTS = 3
"""How often in a row workers may be lost without the end of a single bundle before the loss is raised."""

LARGE = 100_000
"""Bytes from which an array is an argument by itself, which backends can keep on their workers."""

Outcome = tuple[Any, BaseException | None]


class _Queued(NamedTuple):
    """A task: what to call, and who takes the outcome."""

    calls: list[tuple[Any, ...]]
    callback: Callable[[Outcome], None]


class BundleBackend(ParallelBackendBase):
    """The backend of one outermost ``Parallel`` whose tasks go to another backend's workers.

    Parameters
    ----------
    sweep : Sweep
    workers : ParallelBackendBase
        Runs the bundles.
    width : int
        Tasks that may be dispatched at once.
    """

    supports_retrieve_callback = True

    def __init__(self, sweep: Sweep, workers: ParallelBackendBase, width: int) -> None:
        super().__init__(nesting_level=0)
        self._sweep, self._workers, self._width = sweep, workers, width
        self._queue: list[_Queued] = []

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks joblib should read from the call's iterator at a time; one would be no call at all."""
        return 2

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Let the call read its tasks ahead, however few it would dispatch."""
        self.parallel = parallel
        parallel.pre_dispatch = self._width
        self._n_jobs = self._sweep.n_jobs or n_jobs
        return self.effective_n_jobs(n_jobs)

    def submit(self, func: Any, callback: Callable[[Outcome], None]) -> None:
        """Queue a batch of calls."""
        self._queue.append(_Queued(func.items, callback))

    def retrieve_result_callback(self, outcome: Outcome) -> Any:
        """Return a task's results or raise its error."""
        results, error = outcome
        if error is not None:
            raise error
        return results

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Send no more bundles."""
        self._queue = []

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Run what has been dispatched, and what that brings, before joblib looks at the results."""
        attempts = 0
        while self._queue:
            queue, self._queue = self._queue, []
            left, loss = self._run(queue, math.ceil(len(queue) / 2**attempts))
            attempts = attempts + 1 if len(left) == len(queue) else 0
            if loss is not None and attempts == ATTEMPTS:
                raise loss
            self._queue = left + self._queue
        yield

    def _run(self, tasks: list[_Queued], most: int) -> tuple[list[_Queued], Exception | None]:
        """Run tasks in bundles; return those that were lost with their workers, and the loss."""
        workers = max(1, self._workers.effective_n_jobs(self._n_jobs))
        size = max(1, min(MOST_TASKS, most, math.ceil(len(tasks) / workers)))
        left = {first: tasks[first : first + size] for first in range(0, len(tasks), size)}
        unordered = self._workers.supports_return_generator
        parallel = Parallel(
            n_jobs=self._n_jobs, backend=self._workers, pre_dispatch="all", batch_size=1,
            return_as="generator_unordered" if unordered else "list",
        )  # fmt: skip
        try:
            outputs = parallel(delayed(run_bundle)(*self._payload(first, bundle)) for first, bundle in left.items())
            for first, outcomes, sizes in outputs:
                self._sweep.cohort_sizes.extend(sizes)
                if not _deliver(left.pop(first), outcomes):
                    _give_up(outputs)
                    return [], None
        except (pickle.PicklingError, TypeError, AttributeError):
            raise
        except Exception as loss:
            return [task for bundle in left.values() for task in bundle], loss
        return [], None

    def _payload(self, first: int, bundle: Sequence[_Queued]) -> tuple[Any, ...]:
        """Return the arguments of :func:`run_bundle`."""
        large: dict[int, Any] = {}

        def detach(value: Any) -> Any:
            if not _is_large(value):
                return value
            large.setdefault(id(value), value)
            return _Slot(list(large).index(id(value)))

        calls = [
            [
                (f, [detach(a) for a in args], {n: detach(a) for n, a in kwargs.items()})
                for f, args, kwargs in task.calls
            ]
            for task in bundle
        ]
        return first, calls, self._sweep.max_members, absolute(self._sweep.checkpoint), *large.values()


class _Slot(NamedTuple):
    """Stands for a large argument of a bundle."""

    place: int


def _is_large(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.nbytes >= LARGE
    return hasattr(value, "iloc") or sparse.issparse(value)


def _deliver(tasks: Sequence[_Queued], outcomes: Sequence[Outcome]) -> bool:
    """Hand outcomes to those who wait for them; return whether all tasks have succeeded."""
    for task, outcome in zip(tasks, outcomes, strict=True):
        task.callback(outcome)
    return all(error is None for _, error in outcomes)


def _give_up(outputs: Any) -> None:
    """Abort what still runs, which joblib would warn of."""
    if hasattr(outputs, "close"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs.close()


def run_bundle(
    first: int, calls: Sequence[Sequence[tuple[Any, ...]]], max_members: int | str, checkpoint: Checkpoint | None,
    *large: Any,
) -> tuple[int, list[Outcome], list[int]]:  # fmt: skip
    """Run tasks in lockstep, on a worker.

    Parameters
    ----------
    first : int
        The bundle's name.
    calls : sequence
        For each task its calls: function, arguments, keyword arguments.
    max_members : int or "auto"
    checkpoint : Checkpoint or None
    *large
        What the arguments' slots stand for.

    Returns
    -------
    first : int
    outcomes : list of (results, error)
    cohort_sizes : list of int
    """

    def attach(value: Any) -> Any:
        return large[value.place] if isinstance(value, _Slot) else value

    sweep = Sweep(max_members, 1, checkpoint=checkpoint)
    outcomes: list[Outcome] = [(None, None)] * len(calls)
    finished = threading.Semaphore(0)

    def finish(i: int, outcome: Outcome) -> None:
        outcomes[i] = outcome
        finished.release()

    with sweep.call(1, patience=1.0) as call:
        for i, task in enumerate(calls):
            items = [
                (f, [attach(a) for a in args], {n: attach(a) for n, a in kwargs.items()}) for f, args, kwargs in task
            ]
            work = BatchedCalls(items, (NestedBackend(sweep, nesting_level=1), None))
            sweep.scheduler.submit(Task(call, work, partial(finish, i)))
        sweep.scheduler.dispatched(call)
        for _ in calls:
            finished.acquire()
    return first, [_portable(outcome) for outcome in outcomes], sweep.cohort_sizes


def _portable(outcome: Outcome) -> Outcome:
    """Return an outcome whose error can be sent, with the worker's traceback as its cause."""
    results, error = outcome
    if error is None:
        return outcome
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return results, RuntimeError(f"A task failed on its worker with an error that cannot be sent:\n{text}")
    error.add_note(f"On its worker:\n{text}")
    return results, error.with_traceback(None)
