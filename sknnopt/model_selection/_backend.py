"""joblib's side of lockstep within this process: each call's tasks in threads."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from joblib.parallel import ParallelBackendBase, SequentialBackend

from sknnopt._compat import FallbackToBackend, asked_by_ensemble
from sknnopt.model_selection._sweep import Sweep, resolve_n_jobs
from sknnopt.model_selection._task import Call, Task
from sknnopt.model_selection._tokens import WIDTH

STALL = {False: 1.0, True: 0.05}
"""Seconds after which a call whose iterator is slow is no longer waited for, by whether it returns a generator: then
joblib does not say when the first tasks have all been dispatched."""

ABORT_WAIT = 5.0
"""Seconds to wait for the threads of a call that was given up; what still runs then is code of the user's."""


class NestedBackend(ParallelBackendBase):
    """The backend of calls within a sweep's tasks: they are part of the sweep.

    Parameters
    ----------
    sweep : Sweep
    nesting_level, inner_max_num_threads
        joblib's.
    """

    supports_sharedmem = True
    uses_threads = True
    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self, sweep: Sweep, nesting_level: int | None = None, inner_max_num_threads: int | None = None
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self.sweep = sweep

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return into how many parts work should be cut.

        For an ensemble that is one an estimator, so that all of them train together; for all others, as outside of
        any backend, one if they don't ask for more, so that they compute what they would elsewhere.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if asked_by_ensemble():
            return WIDTH
        return 1 if n_jobs is None else resolve_n_jobs(n_jobs)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **options: Any,
    ) -> int:
        """Hand the call over to a backend of its own.

        Calls that need shared memory add up floating-point numbers in the order in which tasks end: they run one task
        after another, as they do by default.
        """
        if require == "sharedmem":
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        raise FallbackToBackend(CallBackend(self._sweep_of_call(), self.nesting_level or 0))

    def _sweep_of_call(self) -> Sweep:
        """Return what a call that begins now is part of."""
        return self.sweep if self.sweep.process == os.getpid() else self.sweep.anew()

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
        """Not called: `configure` names another backend."""
        raise NotImplementedError


class CallBackend(ParallelBackendBase):
    """The backend of one ``Parallel``.

    Parameters
    ----------
    sweep : Sweep
    nesting_level : int
    """

    supports_sharedmem = True
    uses_threads = True
    supports_retrieve_callback = True

    def __init__(self, sweep: Sweep, nesting_level: int) -> None:
        super().__init__(nesting_level=nesting_level)
        self._sweep = sweep
        self._call: Call | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks joblib should read from the call's iterator at a time; one would be no call at all."""
        return 2

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Let the call read its tasks ahead, however few it would dispatch."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        self.parallel = parallel
        parallel.pre_dispatch = WIDTH
        self._n_jobs = n_jobs
        return self.effective_n_jobs(n_jobs)

    def start_call(self) -> None:
        """Begin to take tasks."""
        self._context = self._sweep.call(
            self._n_jobs, patience=STALL[bool(self.parallel.return_generator)], abort_wait=ABORT_WAIT
        )
        self._call = self._context.__enter__()

    def submit(self, func: Any, callback: Callable[[Any], None]) -> Task:
        """Queue a batch of calls."""
        assert self._call is not None
        task = Task(self._call, func, callback)
        self._sweep.scheduler.submit(task)
        return task

    def retrieve_result_callback(self, outcome: tuple[Any, BaseException | None]) -> Any:
        """Return a task's results or raise its error."""
        results, error = outcome
        if error is not None:
            raise error
        return results

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """While the results are waited for, the tasks may have the token of the task around them."""
        call = self._call
        assert call is not None
        self._sweep.scheduler.dispatched(call)
        if call.parent is None:
            yield
        else:
            with self._sweep.scheduler.absence(call):
                yield

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Give the call up."""
        if self._call is not None:
            self._sweep.scheduler.abort(self._call)

    def stop_call(self) -> None:
        """End the call and wait for its threads."""
        if self._call is not None:
            self._call = None
            self._context.__exit__(None, None, None)

    def get_nested_backend(self) -> tuple[ParallelBackendBase, int | None]:
        """Return this sweep's backend: calls within tasks are part of it."""
        return NestedBackend(self._sweep, nesting_level=(self.nesting_level or 0) + 1), None
