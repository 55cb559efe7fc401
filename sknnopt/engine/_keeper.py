"""What of a cohort's members is written to checkpoints while they train."""

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from sknnopt._random import shared_torch_random
from sknnopt.checkpoints import CheckpointWarning
from sknnopt.checkpoints._bytes import Unkeyable
from sknnopt.checkpoints._content import digest
from sknnopt.checkpoints._files import Entry
from sknnopt.checkpoints._store import Clock, Slot, Store
from sknnopt.engine._module_state import counters_of, frozen_digests, random_states, restore_module
from sknnopt.engine._ours import techniques_are_ours
from sknnopt.engine._standing import Standing, can_be_kept, result_document, result_tensors
from sknnopt.engine.checkpointing import Crew, Kept
from sknnopt.engine.job import Result
from sknnopt.nn import CustomNetwork

if TYPE_CHECKING:
    from sknnopt.engine._cohort import Cohort
    from sknnopt.engine._member import Member

JUDGED = "judged_buffers"


class Keeper:
    """Lets the members of a cohort go on where their checkpoints say, and writes them there.

    Parameters
    ----------
    cohort : Cohort
        With its members before their first epoch.
    """

    def __init__(self, cohort: "Cohort") -> None:
        self._cohort = cohort
        self._crews: dict[Crew, list[Member]] = defaultdict(list)
        self._frozen: dict[int, dict[str, bytes]] = {}
        for k, member in enumerate(cohort.members):
            if member.job.kept is not None:
                self._crews[member.job.kept.crew].append(member)
                self._frozen[id(member)] = frozen_digests(member.job)
                self._go_on(k, member, member.job.kept)
        for members in self._crews.values():
            members.sort(key=_place)
        self._memory = {crew: _memory(members) for crew, members in self._crews.items()}
        intervals: dict[Store, float] = {}
        for crew in self._crews:
            intervals[crew.store] = min(crew.interval, intervals.get(crew.store, math.inf))
        self._places = [(store, store.slot(), Clock(interval)) for store, interval in intervals.items()]

    def _go_on(self, k: int, member: "Member", kept: Kept) -> None:
        """Let a member stand where it stood; what it carries besides is in its job's progress."""
        cohort, standing = self._cohort, kept.standing
        if kept.result is not None:
            member.finished = True
            cohort.results[id(member)] = kept.result
        if standing is None:
            return
        member.go_on(standing.counts)
        cohort.best[k] = {name: value.to(member.job.device) for name, value in standing.best.items()}
        if JUDGED in standing.others:
            cohort.tensors.judged_buffers[k] = standing.others[JUDGED]
        if isinstance(member.job.network, CustomNetwork):
            restore_module(member.job, standing)

    def epoch_done(self) -> None:
        """Hand over those who have been trained, and write how far the others are, if it is time."""
        if self._crews:
            for place in self._places:
                self._keep(*place)

    def _keep(self, store: Store, slot: Slot, clock: Clock) -> None:
        """Do so with those of a directory."""
        results = self._cohort.results
        own = [crew for crew in self._crews if crew.store is store]
        trained = [crew for crew in own if all(id(member) in results for member in self._crews[crew])]
        final = [entry for crew in trained if (entry := self._entry(crew)) is not None]
        for crew in trained:
            self._crews.pop(crew, None)
        own = [crew for crew in own if crew in self._crews]
        if final:
            store.add(final, trained[0].interval, now=slot.written and not own)
        if own and clock.due():
            began = time.monotonic()
            entries = [entry for crew in own if (entry := self._entry(crew)) is not None]
            if entries:
                slot.write(entries)
            clock.wrote(began)

    def _entry(self, crew: Crew) -> Entry | None:
        """Return what is to be written of a crew; None if it could not go on, or a member's own code has failed."""
        known = self._memory[crew]
        if known != Memory() and known.differs(_memory(self._crews[crew])):
            del self._crews[crew]
            warnings.warn(
                "This fit is not checkpointed: while it trains, something of your own changes besides weights and "
                "buffers, such as an attribute of a module or of a function, or torch's random state, from which a "
                "function draws; a later run could not bring it back.",
                CheckpointWarning,
                stacklevel=2,
            )
            return None
        documents, tensors = [], dict[str, Tensor]()
        for i, member in enumerate(self._crews[crew]):
            result = self._cohort.results.get(id(member))
            standing = None if result is not None else self._standing(member)
            if result is not None and result.error is None and _can_be_kept(result):
                documents.append({"result": result_document(result)})
                parts = result_tensors(result) | counters_of(member.job, self._frozen[id(member)])
            elif standing is not None:
                documents.append({"standing": standing.document()})
                parts = standing.tensors()
            else:
                return None
            tensors |= {f"{i}:{name}": value for name, value in parts.items()}
        final = all("result" in document for document in documents)
        return Entry(crew.key, final, {"members": documents}, tensors)

    def _standing(self, member: "Member") -> Standing | None:
        """Return where a member stands; None if it could not go on from there."""
        if not (member.job.techniques.optimizer.resumes and can_be_kept(member.schedule_state)):
            return None
        tensors, k = self._cohort.tensors, self._cohort.members.index(member)
        best = {name: value.clone().cpu() for name, value in self._cohort.best[k].items()}
        standing = Standing(member.progress(*tensors.standing(k)), member.counts(), best)
        if tensors.judged_buffers is not tensors.buffers:
            standing.others[JUDGED] = tensors.judged_buffers[k].clone().cpu()
        if isinstance(member.job.network, CustomNetwork):
            standing.others |= counters_of(member.job, self._frozen[id(member)]) | random_states(member.job.device)
        return standing


def _can_be_kept(result: Result) -> bool:
    return result.progress is None or can_be_kept(result.progress.schedule_state)


@dataclass(frozen=True)
class Memory:
    """What is equal as long as code of the user's own changes nothing but tensors that are kept.

    Attributes
    ----------
    content : str or None
        The digest of that code; None if there is none, or if it cannot be told.
    random : bytes or None
        The state of torch's generators, where that code has none to itself; None if another thread has them just now.
    """

    content: str | None = None
    random: bytes | None = None

    def differs(self, now: "Memory") -> bool:
        """Whether something has been changed since."""
        drawn = self.random is not None and now.random is not None and self.random != now.random
        return drawn or (self.content is not None and self.content != now.content)


def _memory(members: Sequence["Member"]) -> Memory:
    jobs = [member.job for member in members]
    scores = [job.validation.score for job in jobs if job.validation is not None]
    scorers = [getattr(score, "scoring", score) for score in scores]
    ours = all(map(techniques_are_ours, jobs))
    if ours and not any(map(callable, scorers)):
        return Memory()
    drawn = None if ours or not jobs[0].network.stackable else shared_torch_random(jobs[0].device)
    calls = [(job.techniques, getattr(job.network, "activation", None)) for job in jobs]
    modules = [job.network.attributes() for job in jobs if isinstance(job.network, CustomNetwork)]
    try:
        return Memory(digest(calls, scorers, modules), drawn)
    except Unkeyable:
        return Memory(None, drawn)


def _place(member: "Member") -> int:
    assert member.job.kept is not None
    return member.job.kept.place
