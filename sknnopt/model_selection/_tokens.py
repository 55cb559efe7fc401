"""Who runs, who waits, and when a cohort starts: the rule, without the threads.

There are so many run tokens. A task holds one while it runs; it gives it up while it waits for its members to be
trained, or for the tasks of a call of its own, and takes one back to go on. Whoever leads a cohort holds one too. A
cohort starts when it is full, or when a token is free and nobody who could still join is to be expected.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from sknnopt.engine import Job
from sknnopt.model_selection._shared import affordable_tasks, table_bytes
from sknnopt.model_selection._task import Call, Seat, Task
from sknnopt.model_selection._waiting import WaitingRoom

LEAST_PATIENCE = 0.02
"""Seconds that a running task has to reach its fit before a cohort starts without it; or else twice what the slowest
so far has taken, if that is more."""

WIDTH = 2048
"""Tasks that a call may have queued or running; its iterator is read on as they finish."""

RETURN = 0.05
"""Seconds that a task has to come back from a call of its own whose tasks are all done; joblib looks every 0.01 s."""


class Tokens:
    """The run tokens of a sweep. Every method is called with `lock` held.

    Parameters
    ----------
    suitable : callable
        From a job to how many like it make a full cohort.
    start : callable
        Starts a task, which has its token, in a thread of its own.
    appoint : callable
        Told of each cohort that starts.

    Attributes
    ----------
    number : int
        How many tokens there are.
    lock : RLock
    waiting : set of Task
        Tasks that wait for a token, with their members trained or not.
    reporting : set of Task
        Tasks that have ended and are handing on their outcome, which may bring new ones.
    calls : set of Call
        Those that are open.
    """

    def __init__(
        self,
        suitable: Callable[[Job], int],
        start: Callable[[Task], None],
        appoint: Callable[[Sequence[Job]], None],
    ) -> None:
        self.number = 1
        self.lock = threading.RLock()
        self.waiting: set[Task] = set()
        self.reporting: set[Task] = set()
        self.calls: set[Call] = set()
        self._start, self._on_cohort = start, appoint
        self._used = 0
        self._running: set[Task] = set()
        self._queues: list[deque[Task]] = []
        self._ready: deque[Task] = deque()
        self._room = WaitingRoom(suitable)
        self._slowest, self._widest, self._members_a_task = 0.0, 0, 1
        self._limit = affordable_tasks(0)
        self._timer: threading.Timer | None = None
        self._no_more_threads = False

    def queue(self, task: Task) -> None:
        """Let a task wait for its start."""
        while len(self._queues) <= task.call.depth:
            self._queues.append(deque())
        self._queues[task.call.depth].append(task)
        self.schedule()

    def take_queued(self, parent: Task, call: Call) -> Task | None:
        """Start a queued task of a call, if there is one, with the token of the task that made the call."""
        queue = self._queues[call.depth] if call.depth < len(self._queues) else deque[Task]()
        task = next((task for task in queue if task.call is call), None)
        if task is not None:
            queue.remove(task)
            self.hand_over(parent, task)
        return task

    def hand_over(self, giver: Task, taker: Task) -> None:
        """Move a token."""
        giver.has_token, taker.has_token = False, True
        self._running.discard(giver)
        self._running.add(taker)
        taker.since = time.monotonic()

    def enter(self, task: Task, seats: Sequence[Seat]) -> None:
        """Let a task's members wait, and the task without its token."""
        self._slowest = max(self._slowest, time.monotonic() - task.since)
        widest = max(table_bytes(seat.job.table) for seat in seats)
        if widest > self._widest:
            self._widest, self._limit = widest, affordable_tasks(widest)
        self._members_a_task = len(seats)
        self._room.enter(seats)
        self.waiting.add(task)
        self.release(task)

    def ready(self, task: Task) -> None:
        """Let a task have the next token."""
        self._ready.append(task)

    def release(self, task: Task) -> None:
        """Take back the token that a task may have."""
        if task.has_token:
            self._used -= 1
            task.has_token = False
            self._running.discard(task)
        self.schedule()

    def leave(self, task: Task) -> None:
        """Note that a task has handed on its outcome."""
        self.reporting.discard(task)
        self.schedule()

    def successor(self, task: Task) -> Task | None:
        """Start a queued task, if it cannot have a thread of its own, in that of a task of the same call."""
        queue = self._queues[task.call.depth]
        queued = next((other for other in queue if other.call is task.call), None)
        if queued is None or not self._no_more_threads or self._used >= self.number:
            return None
        queue.remove(queued)
        self._take(queued)
        self._running.add(queued)
        return queued

    def drop(self) -> list[Task]:
        """Forget what belongs to calls that have been given up and wake those who wait; return what was queued."""
        dropped = [task for queue in self._queues for task in queue if task.call.is_over]
        self._queues = [deque(task for task in queue if not task.call.is_over) for queue in self._queues]
        self._room.leave()
        for task in self.waiting:
            if task.call.is_over:
                task.wake.set()
        self.schedule()
        return dropped

    def withdraw(self, task: Task, cohort: Sequence[Seat]) -> None:
        """Let a waiting task end; somebody else leads the cohort it was to lead."""
        if task in self._ready:
            self._ready.remove(task)
        self._room.enter(seat for seat in cohort if not seat.task.call.is_over)
        self.release(task)

    def schedule(self) -> None:
        """Give free tokens away, in order: to those who go on, a full cohort, a new task, a cohort that has to do."""
        while self._used < self.number:
            if self._ready:
                self._grant(self._ready.popleft(), [])
                continue
            leader = next((task for task in self.waiting if _may_lead(task)), None)
            if leader is not None and (cohort := self._room.full_cohort(*self._prospects())):
                self._appoint(leader, cohort)
            elif len(self._running) + len(self.waiting) < self._limit and (task := self._next()) is not None:
                self._begin(task)
            elif leader is not None and self._room and not self._expects_more():
                self._appoint(leader, self._room.partial_cohort(self.number - self._used))
            else:
                return

    def _prospects(self) -> tuple[int, int]:
        """Return how many members may still come, and how many cohorts can be led at once.

        A call that still reads its iterator may bring any number, and so may tasks that make calls of their own; other
        tasks bring as many as those before them.
        """
        if any(call.dispatching or call.parent is not None for call in self.calls):
            return WIDTH, self.number
        return (sum(map(len, self._queues)) + len(self._running)) * self._members_a_task, self.number

    def _next(self) -> Task | None:
        """Remove and return the task to start: of the innermost calls, which others wait for, the first."""
        queue = next((queue for queue in reversed(self._queues) if queue), None)
        return None if queue is None else queue.popleft()

    def _begin(self, task: Task) -> None:
        """Start a task; if there can be no more threads, those that there are have to do."""
        self._take(task)
        self._running.add(task)
        try:
            self._start(task)
        except BaseException as error:
            self._used -= 1
            task.has_token = False
            self._running.discard(task)
            if not isinstance(error, RuntimeError) or (self._under_way() == 1 and not self._running):
                raise
            self._queues[task.call.depth].appendleft(task)
            self._no_more_threads = True
            self._limit = len(self._running) + len(self.waiting)

    def _under_way(self) -> int:
        """Return how many tasks have been taken from the queues and have not come to their end."""
        return sum(call.pending for call in self.calls) + len(self.reporting) - sum(map(len, self._queues))

    def _appoint(self, leader: Task, cohort: list[Seat]) -> None:
        """Let one of a cohort's tasks lead it, or else this one."""
        leader = next((seat.task for seat in cohort if _may_lead(seat.task)), leader)
        self._on_cohort([seat.job for seat in cohort])
        self._grant(leader, cohort)

    def _grant(self, task: Task, cohort: list[Seat]) -> None:
        task.cohort = cohort
        self._take(task)
        if not cohort:
            self._running.add(task)
        task.wake.set()

    def _take(self, task: Task) -> None:
        self._used += 1
        task.has_token, task.since = True, time.monotonic()

    def _expects_more(self) -> bool:
        """Whether somebody may soon join who waits; if so, look again when it is no longer soon."""
        patience = max(LEAST_PATIENCE, 2 * self._slowest)
        until = [task.since + patience for task in self._running | self.reporting]
        for call in self.calls:
            if call.parent is None and call.dispatching:
                until.append(call.last_event + call.patience)
            elif call.parent is not None and not call.pending and not call.parent.has_token:
                until.append(call.last_event + RETURN)
        left = max(until, default=0.0) - time.monotonic()
        return left > 0 and (self._timer is not None or self._look_in(left))

    def _look_in(self, seconds: float) -> bool:
        """Schedule again after a while; return whether there is a thread to wait in."""
        timer = threading.Timer(seconds, self._look_again)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:
            return False
        self._timer = timer
        return True

    def _look_again(self) -> None:
        with self.lock:
            if self._timer is threading.current_thread():  # and not one that was set since this one was cancelled
                self._timer = None
            self.schedule()

    def stop_timer(self) -> threading.Timer | None:
        """Cancel and return what would look again; without calls nothing is to be looked for."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self.schedule()
        return timer


def _may_lead(task: Task) -> bool:
    """Whether a waiting task has nothing else to do."""
    return task.missing > 0 and not task.has_token and not task.away and not task.call.is_over
