"""Where fits in several threads wait for each other and train together.

The engine knows how to get there, not who is there: whoever runs the threads brings a meeting (see
``sknnopt.model_selection``).
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from sknnopt._threads import after_fork
from sknnopt.data.batches import Table
from sknnopt.engine.job import Job, Result


class Meeting(Protocol):
    """Trains the jobs of several threads together."""

    def train(self, jobs: Sequence[Job]) -> list[Result]:
        """Return the results of these jobs, once they and whatever else is here have been trained."""

    def share(self, table: Table) -> Table:
        """Return a table of equal content that somebody else already holds, or this one."""


_place = threading.local()
after_fork(lambda: setattr(_place, "meeting", None))


def current_meeting() -> Meeting | None:
    """Return the meeting that this thread's fits go to, None if they train at once."""
    return getattr(_place, "meeting", None)


@contextmanager
def attend(meeting: Meeting | None) -> Iterator[None]:
    """Let this thread's fits go to a meeting; with None they train at once."""
    before = current_meeting()
    _place.meeting = meeting
    try:
        yield
    finally:
        _place.meeting = before


def share(table: Table) -> Table:
    """Return a table of equal content that another fit of this thread's meeting holds, or else this one."""
    meeting = current_meeting()
    return table if meeting is None else meeting.share(table)
