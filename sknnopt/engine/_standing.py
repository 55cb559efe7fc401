"""Where a member stands after an epoch, and what it has become in the end, as a checkpoint keeps it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from sknnopt.engine.job import Progress, Result
from sknnopt.schedules import PlateauState

Parts = dict[str, Tensor]


@dataclass
class Standing:
    """A member between two epochs: what training needs in order to go on with the same bits.

    Attributes
    ----------
    progress : Progress
        Weights, statistics, random streams, steps and epochs; and all that techniques carry.
    counts : dict
        The member's own: records, best epoch, patience; see :meth:`Member.counts`.
    best : dict of str to Tensor
        What it would go back to; see :meth:`Tensors.snapshot`.
    others : dict of str to Tensor
        Statistics that are judged, what a user's module keeps besides, torch's random state.
    """

    progress: Progress
    counts: dict[str, Any]
    best: Parts
    others: Parts = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return what JSON holds of it."""
        return {"progress": _document(self.progress), "counts": self.counts}

    def tensors(self) -> Parts:
        """Return the tensors."""
        return _named("progress", _parts(self.progress)) | _named("best", self.best) | _named("others", self.others)

    @classmethod
    def made(cls, document: dict[str, Any], tensors: Parts) -> "Standing":
        """Return what these were taken from."""
        progress = _progress(document["progress"], _under("progress", tensors))
        return cls(progress, document["counts"], _under("best", tensors), _under("others", tensors))


def result_document(result: Result) -> dict[str, Any]:
    """Return what JSON holds of a result."""
    return {
        "history": result.history,
        "best_epoch": result.best_epoch,
        "diverged": result.diverged,
        "seconds": result.seconds,
        "progress": None if result.progress is None else _document(result.progress),
    }


def result_tensors(result: Result) -> Parts:
    """Return a result's tensors."""
    own = {"parameters": result.parameters, "buffers": result.buffers}
    return own if result.progress is None else own | _named("progress", _parts(result.progress))


def made_result(document: dict[str, Any], tensors: Parts) -> Result:
    """Return the result that these were taken from."""
    progress = document.pop("progress")
    return Result(
        tensors["parameters"],
        tensors["buffers"],
        progress=None if progress is None else _progress(progress, _under("progress", tensors)),
        **document,
    )


def can_be_kept(schedule_state: Any) -> bool:
    """Whether a schedule's state is one that JSON can hold."""
    return schedule_state is None or type(schedule_state) is PlateauState


def progress_content(progress: Progress) -> Any:
    """Return what tells where a member stands, whether it comes from training or from a checkpoint."""
    counts = _plain(progress.random), progress.steps, progress.epochs, progress.schedule_state
    return [*sorted(_parts(progress).items()), *counts]


def _document(progress: Progress) -> dict[str, Any]:
    state = progress.schedule_state
    return {
        "random": _plain(progress.random),
        "steps": progress.steps,
        "epochs": progress.epochs,
        "schedule_state": None if state is None else dataclasses.asdict(state),
    }


def _parts(progress: Progress) -> Parts:
    own = {"parameters": progress.parameters, "buffers": progress.buffers}
    return own | _named("state", progress.state)


def _progress(document: dict[str, Any], tensors: Parts) -> Progress:
    state = document["schedule_state"]
    return Progress(
        tensors["parameters"],
        tensors["buffers"],
        state=_under("state", tensors),
        random=_rich(document["random"]),
        steps=document["steps"],
        epochs=document["epochs"],
        schedule_state=None if state is None else PlateauState(**state),
    )


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> Parts:
    return {f"{prefix}/{name}": value for name, value in tensors.items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> Parts:
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def _plain(value: Any) -> Any:
    """Return the states of random streams as JSON can hold them."""
    if isinstance(value, np.ndarray):
        return {"array": value.dtype.name, "values": value.tolist()}
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _rich(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"array", "values"}:
            return np.array(value["values"], dtype=value["array"])
        return {name: _rich(one) for name, one in value.items()}
    return value
