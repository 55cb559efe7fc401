"""Who is told how a sweep goes on."""

from collections.abc import Sequence
from typing import Any, Protocol

from sknnopt.engine import Job, Result
from sknnopt.model_selection._task import Task


class Watcher(Protocol):
    """Is told what happens, by any thread and sometimes under the scheduler's lock."""

    def submitted(self, task: Task) -> None:
        """Called when a task is queued."""

    def arrived(self, jobs: Sequence[Job]) -> None:
        """Called when a task's members begin to wait."""

    def started(self, jobs: Sequence[Job]) -> None:
        """Called when a cohort starts."""

    def epoch(self, members: int) -> None:
        """Called after an epoch of so many members of a cohort."""

    def trained(self, jobs: Sequence[Job], results: Sequence[Result]) -> None:
        """Called when a cohort has ended."""

    def finished(self, task: Task, results: Sequence[Any]) -> None:
        """Called when a task has ended well."""
