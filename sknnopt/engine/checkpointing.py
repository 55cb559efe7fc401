"""What of a call's jobs is told apart from all others, and what is taken from its checkpoint."""

import warnings
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from sknnopt.checkpoints import CheckpointWarning
from sknnopt.checkpoints._bytes import Unkeyable
from sknnopt.checkpoints._content import Fixed, digest
from sknnopt.checkpoints._files import Entry
from sknnopt.checkpoints._store import Store
from sknnopt.checkpoints._versions import code_version, torch_settings
from sknnopt.data.batches import Table
from sknnopt.engine._module_state import restore_counters
from sknnopt.engine._standing import Standing, made_result, progress_content
from sknnopt.engine.job import Job, Result


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
        key = digest(code_version(), torch_settings(), [_content(job) for job in jobs])
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
