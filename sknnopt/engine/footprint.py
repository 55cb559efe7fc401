"""How much memory training takes, seen by training for a few steps."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from scipy import sparse
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sknnopt._threads import Turns
from sknnopt.data.batches import Matrix
from sknnopt.engine._feed import AHEAD_ELEMENTS
from sknnopt.engine.job import Job
from sknnopt.engine.meeting import attend
from sknnopt.engine.train import train

_turns = Turns()


def peak_bytes(jobs: Sequence[Job]) -> int:
    """Return the most bytes that tensors take at once while these jobs are trained, by nobody else.

    That is the encoded rows, parameters, gradients, the optimizer's state, the best epoch's weights, and the buffers of
    a batch and of the withheld rows' scores: everything that torch's operations return, on whatever device. Not in it
    are what an operation takes only inside itself, torch's own memory, and the table before it was encoded.

    The jobs are trained anew for as many steps as fill every buffer, without their observers and scorers.

    Parameters
    ----------
    jobs : sequence of Job
        Those of one fit.

    Returns
    -------
    int
    """
    count = _Count()
    for job in jobs:
        count.hold(job)
    # a mode sets flags that belong to the process; in turns they are put back
    with _turns.taken(), attend(None), count:
        train([_shortened(job) for job in jobs])
    return count.most


def _shortened(job: Job) -> Job:
    """Return the job with one epoch of only so many rows as the largest gathering of batches has."""
    features = max(1, int(torch.Size(job.table.row_shape).numel()))
    rows = job.techniques.batch_size + max(job.techniques.batch_size, AHEAD_ELEMENTS // features)
    judged = None if job.validation is None else replace(job.validation, score=None)
    return replace(
        job, rows=job.rows[:rows], epochs=1, validation=judged, observer=None, progress=None, devices=job.devices[:1]
    )


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory behind the tensors that operations of this thread return, as long as it is in use.

    Attributes
    ----------
    now, most : int
        Bytes in use, and the most there have been.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known: dict[int, Any] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from loading its compiler, which takes a second, to leave it out here."""
        return False

    def hold(self, job: Job) -> None:
        """Count the job's rows."""
        tables = [job.table] if job.validation is None else [job.table, job.validation.table]
        for part in (part for table in tables for part in (table.inputs, table.target, table.weight)):
            if isinstance(part, Tensor):
                self._take(part)
            elif sparse.issparse(part) and id(part) not in self._known:
                self._known[id(part)] = part
                self._add(_sparse_bytes(part))

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._take(tensor)
        return out

    def _take(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known[key] = weakref.ref(storage, lambda _: self._release(key, size))
            self._add(size)

    def _add(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)

    def _release(self, key: int, size: int) -> None:
        del self._known[key]
        self.now -= size


def _sparse_bytes(matrix: Matrix) -> int:
    return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)
