"""How much memory there is, and what to do where it does not suffice."""

import gc
import inspect
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType

_CGROUP = Path("/sys/fs/cgroup")
_FALLBACK = 4 * 2**30


def available_memory() -> int:
    """Return the bytes of main memory that may still be taken, within the limits of a container."""
    return min(_system(), _container())


def _system() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return _FALLBACK


def _container() -> int:
    try:
        limit, used = (_CGROUP / name for name in ("memory.max", "memory.current"))
        return max(0, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):
        return 2**62


_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class OutOfMemoryError(MemoryError):
    """There was not enough memory; the message says for what, and what to reduce."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, of Python, numpy or torch on whatever device, says that memory did not suffice.

    Examples
    --------
    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.")), is_out_of_memory(OSError())
    (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _NO_MEMORY)


def explained(error: BaseException, doing: str, advice: str) -> OutOfMemoryError:
    """Return an error for one that says that memory did not suffice, which holds no memory any more."""
    let_go(error)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return OutOfMemoryError(f"Out of memory while {doing}. {advice}")


def let_go(error: BaseException) -> None:
    """Free what is held by the functions that an error has ended."""
    one: BaseException | None = error
    while one is not None:
        traceback.clear_frames(one.__traceback__)
        for frame, _ in traceback.walk_tb(one.__traceback__):
            _clear_callers(frame)
        one = one.__cause__ or one.__context__


def _clear_callers(frame: FrameType) -> None:
    """Clear the functions that have called this one and have ended, too: a frame holds its caller's."""
    caller = frame.f_back
    while caller is not None:
        if not caller.f_code.co_flags & inspect.CO_GENERATOR:  # one that waits would be closed
            with suppress(RuntimeError):  # it has not ended
                caller.clear()
        caller = caller.f_back
