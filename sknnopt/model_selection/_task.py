"""One unit of work that joblib hands to the backend, and what it has cost."""

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sknnopt._compat import in_this_process
from sknnopt.engine import Job, Result


class Aborted(BaseException):
    """Ends a task whose call has been given up; no ``except Exception`` on its way may take it for a failed fit."""


@dataclass(eq=False)
class Seat:
    """A member that waits to be trained, the task whose fit it is, and in the end its result."""

    job: Job
    task: "Task"
    result: Result | None = None


@dataclass(eq=False)
class Call:
    """One ``Parallel(...)(...)``.

    Attributes
    ----------
    parent : Task or None
        The task that made it, None at the outermost level.
    patience : float
        Seconds without a new task after which a call that still dispatches is no longer waited for.
    dispatching : bool
        Whether its iterator is being read.
    last_event : float
        When a task was submitted or finished.
    pending : int
        Tasks submitted and not finished.
    threads : list of Thread
        Those of its tasks.
    aborted : bool
        Whether it has been given up.
    cost : float
        Seconds that its finished tasks have taken, each only its own.
    context : contextvars.Context
        The caller's, which each task has a copy of.
    sweep : Sweep
        What it is part of.
    """

    parent: "Task | None"
    patience: float
    dispatching: bool = True
    last_event: float = field(default_factory=time.monotonic)
    pending: int = 0
    threads: list[threading.Thread] = field(default_factory=list)
    aborted: bool = False
    cost: float = 0.0
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    sweep: Any = None

    @property
    def depth(self) -> int:
        """How many calls it lies within."""
        return 0 if self.parent is None else self.parent.call.depth + 1

    @property
    def is_over(self) -> bool:
        """Whether it, or a call around it, has been given up."""
        return self.aborted or (self.parent is not None and self.parent.call.is_over)


@dataclass(eq=False)
class Task:
    """A call's unit of work.

    Attributes
    ----------
    call : Call
    work : callable
        joblib's batch of calls, of one call as a rule.
    callback : callable
        Takes the outcome, (results, None) or (None, error).
    wake : Event
        Set when the task may go on: with a token, with a cohort to lead, or to its end.
    has_token : bool
    cohort : list of Seat
        What it is to train, for everyone in it.
    missing : int
        How many of its own members are not trained yet.
    away : bool
        Whether it waits for the tasks of a call of its own.
    since : float
        When it last was given a token.
    cost : float
        Seconds that it has taken, only its own.
    """

    call: Call
    work: Any
    callback: Callable[[Any], None]
    wake: threading.Event = field(default_factory=threading.Event)
    has_token: bool = False
    cohort: list[Seat] = field(default_factory=list)
    missing: int = 0
    away: bool = False
    since: float = 0.0
    cost: float = 0.0
    _started: float = 0.0
    _corrections: list[tuple[float, float]] = field(default_factory=list)

    def run(self) -> tuple[Any, BaseException | None]:
        """Do the work and return its outcome.

        Raises
        ------
        Aborted
            If the call has been given up.
        """
        self.work.items = [(in_this_process(function), *rest) for function, *rest in self.work.items]
        self._started = time.perf_counter()
        try:
            results = self.work()
        except Aborted:
            raise
        except BaseException as error:
            if self.call.is_over:
                raise Aborted from error
            return None, error
        self.cost = time.perf_counter() - self._started - sum(excess for _, excess in self._corrections)
        self._correct_times(results)
        return results, None

    def correct(self, began: float, cost: float) -> None:
        """Note that of the time since `began`, by ``perf_counter``, only `cost` seconds were the task's own."""
        self._corrections.append((began - self._started, time.perf_counter() - began - cost))

    def _correct_times(self, results: Sequence[Any]) -> None:
        """Take the waiting out of the times that scikit-learn has measured around it."""
        if len(results) != 1 or not isinstance(results[0], dict) or not {"fit_time", "score_time"} <= set(results[0]):
            return
        fitted = results[0]["fit_time"]
        for began, excess in self._corrections:
            results[0]["fit_time" if began < fitted else "score_time"] -= excess
