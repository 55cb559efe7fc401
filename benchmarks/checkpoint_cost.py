"""What checkpoints cost at the default interval: the same training with and without, taken in turns.

    python benchmarks/checkpoint_cost.py

Each pair runs for so long that several checkpoints are written, or, of sweeps of tiny networks, that many fits are
looked up. The median ratio of the pairs is given, and how many files and bytes were written.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _common import classification_table, machine, one_thread
from _table import print_table
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from sknnopt import NNClassifier, lockstep
from sknnopt.checkpoints import _store

PLAIN: dict[str, Any] = {"n_members": 1, "numeric_embedding": None, "early_stopping": False, "random_state": 0}


def fitted(n_rows: int, **settings: Any) -> Callable[[str | None], None]:
    """Return what fits one estimator."""
    X, y = classification_table(n_rows)

    def run(folder: str | None) -> None:
        NNClassifier(**settings, device="cpu", checkpoint=folder).fit(X, y)

    return run


def sweep(repeats: int) -> Callable[[str | None], None]:
    """Return what searches 16 rates on 5 folds of the digits by tiny networks, so many times with other seeds."""
    X, y = load_digits(return_X_y=True)
    rates = {"learning_rate": np.geomspace(1e-4, 1e-1, 16).tolist()}

    def run(folder: str | None) -> None:
        for seed in range(repeats):
            settings = {**PLAIN, "random_state": seed, "hidden_layer_sizes": 32, "batch_size": 32, "max_epochs": 10}
            with lockstep(n_jobs=1, checkpoint=folder):
                GridSearchCV(NNClassifier(**settings), rates, cv=5).fit(X / 16, y)

    return run


RUNS = {
    "(100,), 20,000 rows, one network": lambda: fitted(20_000, **PLAIN, hidden_layer_sizes=100, max_epochs=500),
    "(256, 256, 256), 5,000 rows, one network": lambda: fitted(
        5_000, **PLAIN, hidden_layer_sizes=(256,) * 3, max_epochs=120
    ),
    "defaults, 2,000 rows, 12 networks": lambda: fitted(2_000, random_state=0, max_epochs=40),
    "sweeps of 80 tiny networks": lambda: sweep(10),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    one_thread()
    print(machine())
    rows = []
    for name, make in RUNS.items():
        run, seconds, ratios, files, size = make(), [], [], 0, 0
        run(None)  # what is done once in a process is done
        for _ in range(options.pairs):
            folder = tempfile.mkdtemp()
            times = []
            for place in (None, folder):
                began = time.perf_counter()
                run(place)
                times.append(time.perf_counter() - began)
            seconds.append(times[0])
            ratios.append(times[1] / times[0])
            found = list(Path(folder).iterdir())
            files, size = len(found), sum(path.stat().st_size for path in found)
            shutil.rmtree(folder)
            _store.store_of.__self__.begin()  # the next run is to find nothing in memory either
        cells = [
            f"{statistics.median(seconds):.1f}",
            f"{statistics.median(ratios):.3f}",
            str(files),
            f"{size / 1e6:.1f}",
        ]
        rows.append([name, *cells])
    print_table(["training", "seconds without", "with / without", "files", "MB"], rows)


if __name__ == "__main__":
    main()
