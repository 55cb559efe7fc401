"""The threads of a sweep, and the meeting where their fits wait for each other."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from joblib import parallel_config

from sknnopt._threads import after_fork, set_threads_here
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Result, attend, train_together
from sknnopt.model_selection._shared import SharedTensors
from sknnopt.model_selection._task import Aborted, Call, Seat, Task
from sknnopt.model_selection._tokens import Tokens
from sknnopt.model_selection._watcher import Watcher

_here = threading.local()
after_fork(lambda: setattr(_here, "task", None))


def current_task() -> Task | None:
    """Return the innermost task that this thread runs."""
    return getattr(_here, "task", None)


class Scheduler:
    """Runs the tasks of a sweep's calls and trains their members together; see :class:`sknnopt.engine.Meeting`.

    Parameters
    ----------
    suitable : callable
        From a job to how many like it make a full cohort.
    watcher : Watcher

    Attributes
    ----------
    torch_threads : int
        torch's intra-op threads in a task, but for what trains.
    """

    def __init__(self, suitable: Callable[[Job], int], watcher: Watcher) -> None:
        self._tokens = Tokens(suitable, self._start, watcher.started)
        self._lock = self._tokens.lock
        self._watcher = watcher
        self._shared = SharedTensors()
        self.torch_threads = torch.get_num_threads()

    @property
    def tokens(self) -> int:
        """How many tasks and cohorts may run at once."""
        return self._tokens.number

    @tokens.setter
    def tokens(self, number: int) -> None:
        self._tokens.number = number

    # -- for those who bring tasks

    def open(self, patience: float) -> Call:
        """Begin a call, made by the task of this thread if there is one."""
        call = Call(current_task(), patience)
        with self._lock:
            if call.is_over:
                raise Aborted
            self._tokens.calls.add(call)
        return call

    def submit(self, task: Task) -> None:
        """Queue a task, which starts once there is a token."""
        with self._lock:
            if task.call.is_over:
                raise Aborted
            task.call.pending += 1
            task.call.last_event = time.monotonic()
            self._watcher.submitted(task)
            self._tokens.queue(task)

    def dispatched(self, call: Call) -> None:
        """Note that a call has read its iterator."""
        with self._lock:
            call.dispatching = False
            self._tokens.schedule()

    def abort(self, call: Call) -> None:
        """Give a call up: what is queued is dropped, what waits is woken, what trains ends with its epoch."""
        with self._lock:
            call.aborted = True
            dropped = self._tokens.drop()
        for task in dropped:
            task.callback((None, Aborted()))

    def close(self, call: Call, wait: float) -> None:
        """End a call and wait for its threads, so many seconds if it was given up."""
        with self._lock:
            call.dispatching = False
            self._tokens.calls.discard(call)
            threads = [thread for thread in call.threads if thread.ident is not None]
            call.threads = []
            timer = self._tokens.stop_timer()
        if timer is not None:
            timer.join()
        deadline = time.monotonic() + wait
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()) if call.aborted else None)

    @contextmanager
    def absence(self, call: Call) -> Iterator[None]:
        """While the tasks of its call run: the task around them does some itself, then gives its token up."""
        task = call.parent
        assert task is not None
        began = time.perf_counter()
        self._help(call, task)
        with self._lock:
            task.away = True
            self._tokens.release(task)
        try:
            yield
        finally:
            with self._lock:
                self._tokens.ready(task)
                self._tokens.schedule()
            self._wait(task)
            task.away = False
            task.correct(began, call.cost)

    def _help(self, call: Call, parent: Task) -> None:
        """Run queued tasks of a call in the thread that made it, until there are none or one has failed."""
        failed = False
        while not failed:
            with self._lock:
                task = self._tokens.take_queued(parent, call)
            if task is None:
                return
            try:
                outcome = self._run(task)
                task.callback(outcome)
                failed = outcome[1] is not None
            finally:
                with self._lock:
                    if task.has_token:
                        self._tokens.hand_over(task, parent)

    # -- for the tasks' fits

    def train(self, jobs: Sequence[Job]) -> list[Result]:
        """Wait until these jobs have been trained, with those of other tasks, and return their results."""
        task = current_task()
        assert task is not None
        began = time.perf_counter()
        seats = [Seat(job, task) for job in jobs]
        with self._lock:
            if task.call.is_over:
                raise Aborted
            task.missing = len(seats)
            self._watcher.arrived(jobs)
            self._tokens.enter(task, seats)
        self._wait(task)
        results = [seat.result for seat in seats if seat.result is not None]
        task.correct(began, sum(result.seconds for result in results))
        return results

    def share(self, table: Table) -> Table:
        """Return the table with those of its tensors that another task holds already."""
        return self._shared.share(table)

    # -- threads

    def _start(self, task: Task) -> None:
        thread = threading.Thread(target=self._thread, args=(task,), name="sknnopt task", daemon=True)
        task.call.threads.append(thread)
        thread.start()

    def _thread(self, task: Task) -> None:
        set_threads_here(self.torch_threads)
        going: Task | None = task
        while going is not None:
            going = self._work(going)

    def _work(self, task: Task) -> Task | None:
        """Run a task, report, and return the one to go on with where there can be no more threads."""
        try:
            outcome = task.call.context.copy().run(self._run, task)
        except BaseException as error:  # joblib has to hear of every task, or it waits for ever
            outcome = None, error
        with self._lock:  # joblib may wait for its iterator, and nobody else should wait for that
            task.since = time.monotonic()
            self._tokens.reporting.add(task)
            self._tokens.release(task)
        try:
            task.callback(outcome)
        except BaseException:
            with self._lock:
                self._tokens.leave(task)
            raise
        with self._lock:
            successor = self._tokens.successor(task)
            self._tokens.leave(task)
        return successor

    def _run(self, task: Task) -> tuple[object, BaseException | None]:
        """Run a task in this thread and return its outcome."""
        before, _here.task = current_task(), task
        try:
            with attend(self):
                outcome = task.run()
        finally:
            _here.task = before
            with self._lock:
                task.call.cost += task.cost
                task.call.pending -= 1
                task.call.last_event = time.monotonic()
        if outcome[1] is None:
            self._watcher.finished(task, outcome[0])
        return outcome

    def _wait(self, task: Task) -> None:
        """Wait for a token, and lead cohorts meanwhile."""
        with self._lock:
            self._tokens.waiting.add(task)
            if task.call.is_over:
                task.wake.set()
        try:
            while True:
                task.wake.wait()
                with self._lock:
                    task.wake.clear()
                    cohort, task.cohort = task.cohort, []
                    if task.call.is_over:
                        self._tokens.withdraw(task, cohort)
                        raise Aborted
                if not cohort:
                    return
                self._lead(task, cohort)
        finally:
            with self._lock:
                self._tokens.waiting.discard(task)

    def _lead(self, task: Task, cohort: Sequence[Seat]) -> None:
        """Train a cohort for everyone in it, in the thread of one of its tasks.

        What members' own code does meanwhile, a scorer that cross-validates say, is no part of the sweep.
        """

        def after_epoch(members: int) -> None:
            self._watcher.epoch(members)
            if all(seat.task.call.is_over for seat in cohort):
                raise Aborted

        jobs, results = [seat.job for seat in cohort], list[Result]()
        _here.task = None
        try:
            with attend(None), parallel_config(backend="sequential"):
                results = train_together(jobs, after_epoch)
        except BaseException as error:
            results = [Result(torch.empty(0), torch.empty(0), error=error) for _ in cohort]
        finally:
            _here.task = task
        with self._lock:
            for seat, result in zip(cohort, results, strict=True):
                seat.result = result
                seat.task.missing -= 1
            for other in dict.fromkeys([*(seat.task for seat in cohort), task]):
                leads_another = other.has_token and other is not task  # then it goes on when that has been trained
                if other.missing == 0 and not leads_another and not other.call.is_over:
                    self._tokens.ready(other)
            self._tokens.release(task)
        self._watcher.trained(jobs, results)
