"""How much memory there is."""

import os
from pathlib import Path

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
