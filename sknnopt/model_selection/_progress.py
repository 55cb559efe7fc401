"""A bar over members and epochs, for ``verbose``."""

import sys
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm

from sknnopt.engine import Job


class _Bar(tqdm):  # type: ignore[type-arg, unused-ignore]
    monitor_interval = 0  # a thread that would stay


class Progress:
    """Shows how far a sweep's members have come, and the best mean score so far.

    The length of the bar is the epochs of the members that have arrived, and as many for each task still to come; an
    epoch that early stopping saves counts as done.

    Parameters
    ----------
    file : text stream or None
        Where to; None is standard error.
    """

    def __init__(self, file: Any = None) -> None:
        self._file = sys.stderr if file is None else file
        self._lock = threading.Lock()
        self._bar = _Bar(unit="epoch", desc="lockstep", file=self._file, total=0, leave=True)
        self._tasks = self._arrived = self._members = self._trained = self._epochs = 0
        self._scores: dict[int, list[float]] = defaultdict(list)

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        tqdm.write(text, file=self._file)

    def submitted(self) -> None:
        """Count a task that may bring members."""
        with self._lock:
            self._tasks += 1

    def arrived(self, jobs: Sequence[Job]) -> None:
        """Count the members of a task."""
        with self._lock:
            self._arrived += 1
            self._members += len(jobs)
            self._epochs += sum(job.epochs for job in jobs)
            expected = max(0, self._tasks - self._arrived) * self._epochs / self._arrived
            self._bar.total = round(self._epochs + expected)
            self._show()

    def epoch(self, members: int) -> None:
        """Count an epoch of so many members."""
        with self._lock:
            self._bar.update(members)

    def trained(self, jobs: Sequence[Job], epochs: int) -> None:
        """Count a cohort's members, and the epochs that they did not need after `epochs` of them."""
        with self._lock:
            self._trained += len(jobs)
            self._bar.update(sum(job.epochs for job in jobs) - epochs)
            self._show()

    def finished(self, arguments: Mapping[str, Any], result: Any) -> None:
        """Take in what a task has returned, if it is a score; folds of a candidate share its parameters."""
        scores = result.get("test_scores") if isinstance(result, dict) else None
        if isinstance(scores, dict):
            scores = scores.get("score", next(iter(scores.values()), None))
        if isinstance(scores, int | float) and scores == scores:
            with self._lock:
                self._scores[id(arguments.get("parameters"))].append(float(scores))
                self._show()

    def _show(self) -> None:
        figures = {"members": f"{self._trained}/{self._members}"}
        if self._scores:
            figures["best"] = f"{max(sum(scores) / len(scores) for scores in self._scores.values()):.4g}"
        self._bar.set_postfix(figures, refresh=False)

    def close(self) -> None:
        """Leave the bar as it is."""
        with self._lock:
            self._show()
            self._bar.total = max(self._bar.n, min(self._bar.total, self._epochs))
            self._bar.close()
