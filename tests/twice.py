"""Run tests twice in one process, in two random orders: what they leave in modules must not matter to them.

    python -X dev -W error tests/twice.py [files]

Without files, those of tests whose subjects keep something in a module: registries, caches, pools, streams, settings.
"""

import sys
from pathlib import Path

import pytest

FILES = [
    "callbacks", "choices", "compat", "divergence", "fit_data", "footprint", "laws", "lockstep_progress",
    "own_techniques", "parameters", "presets", "skops", "skorch", "types", "usage",
]  # fmt: skip


def main(files: list[str]) -> int:
    here = Path(__file__).parent
    chosen = files or [str(here / f"test_{name}.py") for name in FILES]
    return next((int(code) for _ in range(2) if (code := pytest.main(["-q", "-n", "0", *chosen]))), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
