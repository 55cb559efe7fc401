"""The members that wait to be trained, and which of them make a cohort."""

import math
from collections.abc import Callable, Hashable, Iterable

from sknnopt.engine import Job
from sknnopt.model_selection._task import Seat


class WaitingRoom:
    """Members by their structure, in the order in which they came.

    Parameters
    ----------
    suitable : callable
        From a job to how many like it make a full cohort.
    """

    def __init__(self, suitable: Callable[[Job], int]) -> None:
        self._suitable = suitable
        self._groups: dict[Hashable, list[Seat]] = {}
        self._sizes: dict[Hashable, int] = {}
        self._shares: dict[Hashable, int] = {}
        self._crews: set[Hashable] = set()

    def __bool__(self) -> bool:
        return bool(self._groups)

    def enter(self, seats: Iterable[Seat]) -> None:
        """Let members wait."""
        keyed = [(seat.job.structure(), seat) for seat in seats]
        for key, seat in keyed:
            if key not in self._sizes:
                self._sizes[key] = self._suitable(seat.job)
            if seat.job.crew is not None:  # which comes whole, and is trained whole
                self._crews.add(key)
            self._groups.setdefault(key, []).append(seat)

    def leave(self) -> None:
        """Remove the members of tasks that are over."""
        for key, seats in list(self._groups.items()):
            self._keep(key, [seat for seat in seats if not seat.task.call.is_over])

    def full_cohort(self, expected: int, leaders: int) -> list[Seat]:
        """Remove and return members that fill a cohort, none if no group is large enough.

        A cohort is full with an even share of all that are to be trained: 48 for two leaders are 24 and 24, even if 32
        would be suitable. The share does not become smaller as they are trained.

        Parameters
        ----------
        expected : int
            Members that may still come, to which group is not known: any of them to each.
        leaders : int
            Cohorts that can be trained at once.
        """
        for key, seats in self._groups.items():
            if key in self._crews:
                return self._take(key, len(seats))
            everyone = len(seats) + expected
            rounds = math.ceil(everyone / (self._sizes[key] * leaders))
            share = min(self._sizes[key], math.ceil(everyone / (rounds * leaders)))
            self._shares[key] = max(share, self._shares.get(key, 0))
            if len(seats) >= self._shares[key]:
                return self._take(key, self._shares[key])
        if not self._groups and not expected:
            self._shares.clear()
        return []

    def partial_cohort(self, leaders: int) -> list[Seat]:
        """Remove and return what one of so many leaders should train: the largest group's share."""
        key = max(self._groups, key=lambda key: len(self._groups[key]))
        if key in self._crews:
            return self._take(key, len(self._groups[key]))
        shards = max(1, leaders // len(self._groups))
        return self._take(key, min(self._sizes[key], math.ceil(len(self._groups[key]) / shards)))

    def _take(self, key: Hashable, size: int) -> list[Seat]:
        seats = self._groups[key]
        self._keep(key, seats[size:])
        return seats[:size]

    def _keep(self, key: Hashable, seats: list[Seat]) -> None:
        if seats:
            self._groups[key] = seats
        else:
            del self._groups[key]
            if key in self._crews:  # whose like will not come again
                self._crews.discard(key)
                del self._sizes[key]
