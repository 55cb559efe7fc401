"""How many intra-op threads the arithmetic uses, and what threads and forks must not leave behind."""

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

_LIBRARIES = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch's kernels in the calling thread alone, then restore the caller's setting.

    Reductions over many elements give other bits on two threads than on one, and small networks run several
    times slower on two. No other thread's setting changes, and none that is yet to start will begin with this one.
    """
    before, setters = torch.get_num_threads(), _setters()
    for setter in setters:
        setter(1)
    try:
        yield
    finally:
        for setter in setters:
            setter(before)


def set_threads_here(count: int) -> None:
    """Set the number of torch's intra-op threads for the calling thread.

    ``torch.set_num_threads`` sets it for this thread, for all that have not used torch so far, and, where OpenMP was
    never asked, for those that have set it themselves: of two fits that overlap the later one would put "one" back.
    OpenMP and MKL keep a number a thread, which is all that torch reads from then on.
    """
    torch.get_num_threads()  # a thread's first call takes what torch.set_num_threads was last given anywhere
    for setter in _setters():
        setter(count)


@cache
def _setters() -> list[Callable[[int], Any]]:
    """Return what sets the calling thread's number; torch's own function if its threads are not those of OpenMP."""
    try:
        library = ctypes.PyDLL(str(Path(torch.__file__).parent / "lib" / _LIBRARIES[sys.platform]))
        names = ["omp_set_num_threads", *(["MKL_Set_Num_Threads_Local"] if torch._C.has_mkl else [])]
        setters: list[Callable[[int], Any]] = [getattr(library, name) for name in names]
    except (KeyError, OSError, AttributeError):
        return [torch.set_num_threads]
    before = torch.get_num_threads()
    setters[0](before + 1)
    obeyed = torch.get_num_threads() == before + 1
    setters[0](before)
    return setters if obeyed else [torch.set_num_threads]


def after_fork(work: Callable[[], object]) -> None:
    """Do this in each child that is forked from this process.

    Only the forking thread goes on there: a lock that another thread held is never given back, and whoever that thread
    waited for will never come.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=work)


class Turns:
    """A lock, for a whole process, that a forked child finds free, whoever held it in the parent."""

    def __init__(self) -> None:
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    @contextmanager
    def taken_if_free(self) -> Iterator[bool]:
        """Hold the lock, unless another thread does; say whether it is held."""
        taken = self._lock.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._lock.release()

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the lock; the thread that holds it may take it again."""
        with self._lock:
            yield
