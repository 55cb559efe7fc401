"""Some hundred small fits and sweeps leave nothing, once caches are full; ``benchmarks/soak.py`` does ten thousand."""

import tempfile
from pathlib import Path

import pytest
from soaked import WORKS, Held, work

WARM, ROUNDS = 2, 4


@pytest.mark.timeout(180)
def test_some_hundred_fits_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left by each fit is left by every round of them; a cache that grows leaves some round alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for i in range(WARM * len(WORKS)):
        work(i)
    held = [Held.now()]
    for turn in range(WARM, WARM + ROUNDS):
        for i in range(len(WORKS)):
            work(turn * len(WORKS) + i)
        held.append(Held.now())
        if held[-1].objects - held[-2].objects < len(WORKS):
            break
    first, before, last = held[0], *held[-2:]
    assert (last.threads, last.handles, last.files) == (first.threads, first.handles, first.files)
    assert last.objects - before.objects < len(WORKS)
    assert last.memory - before.memory < 20 * 2**20
