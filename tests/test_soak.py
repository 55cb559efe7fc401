"""Some hundred small fits and sweeps leave nothing, once caches are full; ``benchmarks/soak.py`` does ten thousand."""

import tempfile
from pathlib import Path

import pytest
from soaked import WORKS, Held, work

WARM, ROUNDS = 2, 6
MEMORY = 20 * 2**20


@pytest.mark.timeout(180)
def test_some_hundred_fits_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left by each fit is left by every round of them; a cache or a heap that grows leaves some round alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for i in range(WARM * len(WORKS)):
        work(i)
    first = last = Held.now()
    for turn in range(WARM, WARM + ROUNDS):
        before = last
        for i in range(len(WORKS)):
            work(turn * len(WORKS) + i)
        last = Held.now()
        grown = last.objects - before.objects, last.memory - before.memory
        if grown[0] < len(WORKS) and grown[1] < MEMORY:
            break
    assert (last.threads, last.handles, last.files) == (first.threads, first.handles, first.files)
    assert grown[0] < len(WORKS)
    assert grown[1] < MEMORY
