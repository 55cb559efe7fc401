"""Memory of the tasks that wait: one copy of equal data, and how many tasks there may be."""

import threading
import weakref
from collections import defaultdict
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from sknnopt._memory import available_memory
from sknnopt.data.batches import Table
from sknnopt.data.on_disk import EncodedOnDisk

MOST_TASKS = 1024
"""Tasks that may be under way at once; each has a thread."""

MEMORY_SHARE = 0.4
"""Fraction of the available memory that waiting tasks may hold."""

COPIES = 4
"""How many times its encoded rows a task holds, about: scikit-learn's cut of the training and test rows in float64,
what a pipeline made of them, and the encoded rows unless they are shared."""

SAMPLE = 64
"""Elements of an array that must agree before all of it is compared."""


def table_bytes(table: Table) -> int:
    """Return the size of a table's rows, 0 if they stay on disk."""
    inputs = table.inputs
    if isinstance(inputs, EncodedOnDisk):
        return 0
    return int(inputs.nbytes if isinstance(inputs, Tensor) else inputs.data.nbytes + inputs.indices.nbytes)


def affordable_tasks(size: int) -> int:
    """Return how many tasks of `size` bytes of encoded rows may be under way at once.

    Examples
    --------
    >>> affordable_tasks(0)
    1024
    """
    return max(2, min(MOST_TASKS, int(MEMORY_SHARE * available_memory() / max(1, COPIES * size))))


class SharedTensors:
    """Finds tables of equal content among those that are in use."""

    def __init__(self) -> None:
        self._known: dict[Any, list[weakref.ref[Any]]] = defaultdict(list)
        self._lock = threading.Lock()

    def share(self, table: Table) -> Table:
        """Return the table with each of its parts replaced by an equal one that is in use, where there is one."""
        with self._lock:
            return Table(*(self._one(part) for part in (table.inputs, table.target, table.weight)))

    def _one(self, value: Any) -> Any:
        if value is None or isinstance(value, EncodedOnDisk):
            return value
        key = _key(value)
        others = [other for ref in self._known[key] if (other := ref()) is not None]
        same = next((other for other in others if other is value or _equal(other, value)), value)
        self._known[key] = [weakref.ref(other) for other in others]
        if same is value:
            self._known[key].append(weakref.ref(value))
        return same


def _key(value: Any) -> tuple[Any, ...]:
    flat = (value.data if sparse.issparse(value) else value.numpy()).reshape(-1)
    return type(value), tuple(value.shape), str(value.dtype), flat[:: max(1, len(flat) // SAMPLE)].tobytes()


def _equal(a: Any, b: Any) -> bool:
    """Compare by numpy: torch would start its threads anew in each task's thread."""
    if isinstance(a, Tensor):
        return np.array_equal(a.numpy(), b.numpy())
    return all(np.array_equal(getattr(a, part), getattr(b, part)) for part in ("data", "indices", "indptr"))
