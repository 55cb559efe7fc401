"""What of a call's jobs is written to a checkpoint, and what is taken from it."""

import math
import time
import warnings
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from sknnopt.checkpoints import CheckpointWarning
from sknnopt.checkpoints._bytes import Unkeyable
from sknnopt.checkpoints._content import Fixed, digest
from sknnopt.checkpoints._files import Entry
from sknnopt.checkpoints._store import Clock, Slot, Store
from sknnopt.checkpoints._versions import code_version
from sknnopt.data.batches import Table
from sknnopt.engine._module_state import counters_of, random_states, restore_counters, restore_module
from sknnopt.engine._ours import techniques_are_ours
from sknnopt.engine._standing import (
    Standing,
    can_be_kept,
    made_result,
    progress_content,
    result_document,
    result_tensors,
)
from sknnopt.engine.job import Job, Result
from sknnopt.nn import CustomNetwork

if TYPE_CHECKING:
    from sknnopt.engine._cohort import Cohort
    from sknnopt.engine._member import Member


@dataclass(eq=False)
class Crew:
    """Members that are kept together, since they train together: one by itself, or those of an ensemble.

    Attributes
    ----------
    key : str
        Says what they are, by content.
    size : int
    store : Store
    interval : float
        Seconds.
    """

    key: str
    size: int
    store: Store
    interval: float


@dataclass(frozen=True)
class Kept:
    """A member's place in a checkpoint.

    Attributes
    ----------
    crew : Crew
    place : int
        Among the crew.
    standing : Standing or None
        Where it goes on; None if it begins.
    result : Result or None
        If it has been trained while others of its crew have not.
    """

    crew: Crew
    place: int
    standing: Standing | None = None
    result: Result | None = None


def kept_jobs(jobs: Sequence[Job]) -> tuple[list[Job], dict[int, Result]]:
    """Return the jobs, each where its checkpoint says that it stands, and the results of those that have been trained.

    Parameters
    ----------
    jobs : sequence of Job
        Of one fit.

    Returns
    -------
    jobs : list of Job
    results : dict of int to Result
        By place among `jobs`.
    """
    out, results = list(jobs), dict[int, Result]()
    crews: dict[Hashable, list[int]] = defaultdict(list)
    for i, job in enumerate(jobs):
        if job.checkpoint is not None:
            crews["alone", i if job.crew is None else job.crew].append(i)
    for places in crews.values():
        crew = _crew([jobs[i] for i in places])
        if crew is None:
            continue
        entry, members = _found(crew)
        for place, (i, (standing, result)) in enumerate(zip(places, members, strict=True)):
            if entry is not None and entry.final and result is not None:
                results[i] = result
                restore_counters(jobs[i], _of(entry, place))
            progress = out[i].progress if standing is None else standing.progress
            out[i] = replace(out[i], progress=progress, kept=Kept(crew, place, standing, result))
    return out, results


def _found(crew: Crew) -> tuple[Entry | None, list[tuple[Standing | None, Result | None]]]:
    """Return what is kept of a crew, and what it says of each member; nothing if it makes no sense."""
    entry = crew.store.find(crew.key)
    try:
        return entry, _members(entry, crew)
    except Exception as error:
        warnings.warn(
            f"A checkpoint holds what no training has written ({type(error).__name__}: {error!s:.200}); the fit begins "
            "anew.",
            CheckpointWarning,
            stacklevel=2,
        )
        return None, _members(None, crew)


def _crew(jobs: Sequence[Job]) -> Crew | None:
    checkpoint = jobs[0].checkpoint
    assert checkpoint is not None
    try:
        key = digest(code_version(), [_content(job) for job in jobs])
    except Unkeyable as error:
        warnings.warn(
            f"This fit is not checkpointed, since another run could not tell it from others: {error}.",
            CheckpointWarning,
            stacklevel=2,
        )
        return None
    return Crew(key, len(jobs), checkpoint.store(), checkpoint.interval)


def _content(job: Job) -> tuple[Any, ...]:
    """Return all that a job's result depends on, apart from who trains beside it."""
    judged, before = job.validation, job.progress
    return (
        job.network, _table(job.table), job.rows, job.techniques, job.seed, job.epochs, job.device, job.dtype,
        job.products, job.keep_progress, job.panel,
        None if judged is None else (_table(judged.table), replace(judged, table=None)),  # type: ignore[arg-type]
        None if before is None else progress_content(before),
    )  # fmt: skip


def _table(table: Table) -> Any:
    """Return what a table holds, which nobody changes."""
    parts = (table.inputs, table.target, table.weight)
    return [Fixed(part) if isinstance(part, Tensor) else part for part in parts]


def _members(entry: Entry | None, crew: Crew) -> list[tuple[Standing | None, Result | None]]:
    if entry is None:
        return [(None, None)] * crew.size
    if len(entry.document["members"]) != crew.size:
        raise ValueError(f"there are not {crew.size} members")
    out: list[tuple[Standing | None, Result | None]] = []
    for i, document in enumerate(entry.document["members"]):
        own = _of(entry, i)
        if "standing" in document:
            out.append((Standing.made(document["standing"], own), None))
        else:
            out.append((None, made_result(dict(document["result"]), own)))
    return out


def _of(entry: Entry, place: int) -> dict[str, Tensor]:
    """Return a member's own among an entry's tensors."""
    start = f"{place}:"
    return {name.removeprefix(start): value for name, value in entry.tensors.items() if name.startswith(start)}


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
        for k, member in enumerate(cohort.members):
            if member.job.kept is not None:
                self._crews[member.job.kept.crew].append(member)
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
        if self._memory[crew] is not None and self._memory[crew] != _memory(self._crews[crew]):
            del self._crews[crew]
            warnings.warn(
                "This fit is not checkpointed: while it trains, something of your own changes besides weights and "
                "buffers, such as an attribute of a module or of a function, which a later run could not bring back.",
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
                parts = result_tensors(result) | counters_of(member.job)
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
            standing.others |= counters_of(member.job) | random_states(member.job.device)
        return standing


def _can_be_kept(result: Result) -> bool:
    return result.progress is None or can_be_kept(result.progress.schedule_state)


def _memory(members: Sequence["Member"]) -> str | None:
    """Return what is equal as long as code of the user's own changes nothing but tensors that are kept.

    None if there is no such code, or if it cannot be told.
    """
    jobs = [member.job for member in members]
    scores = [job.validation.score for job in jobs if job.validation is not None]
    scorers = [getattr(score, "scoring", score) for score in scores]
    if all(map(techniques_are_ours, jobs)) and not any(map(callable, scorers)):
        return None
    calls = [(job.techniques, getattr(job.network, "activation", None)) for job in jobs]
    modules = [job.network.attributes() for job in jobs if isinstance(job.network, CustomNetwork)]
    try:
        return digest(calls, scorers, modules)
    except Unkeyable:
        return None


def _place(member: "Member") -> int:
    assert member.job.kept is not None
    return member.job.kept.place
