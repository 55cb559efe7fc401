"""Some hundred small fits and sweeps leave nothing, once caches are full; ``benchmarks/soak.py`` does ten thousand."""

import tempfile
from pathlib import Path

import pytest
from soaked import WORKS, Held, work

WARM, ROUNDS = 2, 3


@pytest.mark.timeout(120)
def test_some_hundred_fits_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for i in range(WARM * len(WORKS)):
        work(i)
    first = Held.now()
    for i in range(WARM * len(WORKS), ROUNDS * len(WORKS)):
        work(i)
    last = Held.now()
    assert (last.threads, last.handles, last.files) == (first.threads, first.handles, first.files)
    assert last.objects - first.objects < len(WORKS)
    assert last.memory - first.memory < 20 * 2**20
