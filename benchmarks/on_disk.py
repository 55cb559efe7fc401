"""Peak memory and time of fits and predictions of an array in a file (numpy.memmap), by the file's size.

Files are made in a temporary directory and removed. Each case runs in its own process. Memory is what belongs to the
process alone (RssAnon of /proc/self/status, sampled every 5 ms, so Linux only), above what importing and a small fit
take: pages of the file that the system keeps are not counted, and can be given to others at any time. `y` counts.

    python benchmarks/on_disk.py [--gigabytes 2 4 8] [--columns 54] [--members 1 4] [--in-memory] [--cold]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import PLAIN, machine, one_thread

N_CLASSES = 7
MEGABYTE = 1e6
PIECE = 1 << 16


def anonymous() -> int:
    """Memory of this process that is no file's, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


class Peak:
    """The most of it within a block."""

    def __enter__(self) -> "Peak":
        self.before = self.most = anonymous()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.most = max(self.most, anonymous())

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        return self.most - self.before


def write(path: Path, rows: int, columns: int) -> None:
    """Write a table whose rows are sorted by class, and the classes beside it."""
    generator = np.random.default_rng(0)
    y = np.sort(generator.integers(0, N_CLASSES, rows))
    centers = generator.normal(scale=0.3, size=(N_CLASSES, columns)).astype(np.float32)
    with path.open("wb") as file:
        for start in range(0, rows, PIECE):
            part = y[start : start + PIECE]
            (generator.standard_normal((len(part), columns), dtype=np.float32) + centers[part]).tofile(file)
    np.save(path.with_suffix(".npy"), y)


def estimator(members: int, epochs: int) -> Any:
    from sknnopt import NNClassifier

    return NNClassifier(
        **{**PLAIN, "n_members": members},
        hidden_layer_sizes=(100,), learning_rate=1e-3, weight_decay=0.01, batch_size=512, max_epochs=epochs,
        early_stopping="auto", random_state=0,
    )  # fmt: skip


def measure(path: Path, columns: int, members: int, *, in_memory: bool, cold: bool) -> None:
    """Child process: print peaks and seconds of a fit of one epoch, and of predictions."""
    one_thread()
    small = np.random.default_rng(0).standard_normal((6000, columns), dtype=np.float32)
    estimator(members, 1).fit(small, np.arange(6000) % N_CLASSES).predict(small)
    X: Any = np.memmap(path, dtype=np.float32, mode="r").reshape(-1, columns)
    y = np.load(path.with_suffix(".npy"))
    with Peak() as fit:
        X = np.array(X) if in_memory else X
        if cold:
            forget(path)
        clocks = time.perf_counter(), time.process_time()
        network = estimator(members, 1).fit(X, y)
        taken = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    start = time.process_time()
    with Peak() as score:
        accuracy = network.score(X, y)
    out = {"fit": fit.bytes, "score": score.bytes, "accuracy": accuracy, "rows": len(X)}
    out |= {"wall": taken[0], "cpu": taken[1], "score_cpu": time.process_time() - start, "machine": machine()}
    print(json.dumps(out))


def forget(path: Path) -> None:
    """Let the system drop the pages of the file that it keeps."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[2, 4, 8])
    parser.add_argument("--columns", type=int, default=54)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--in-memory", action="store_true", help="the same with the array read whole beforehand")
    parser.add_argument("--cold", action="store_true", help="drop the file from the page cache before each fit")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, members = Path(options.child[0]), int(options.child[1])
        measure(path, options.columns, members, in_memory=options.in_memory, cold=options.cold)
        return
    for gigabytes in options.gigabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "X"
            write(path, int(gigabytes * 1e9 / 4 / options.columns), options.columns)
            for members in options.members:
                command = [sys.executable, *sys.argv, "--child", str(path), str(members)]
                taken = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                print(
                    f"{gigabytes:g} GB, {taken['rows']:,} rows, {members} members: "
                    f"fit {taken['fit'] / MEGABYTE:.0f} MB ({taken['fit'] / taken['rows']:.0f} bytes a row), "
                    f"CPU {taken['cpu']:.0f} s (wall {taken['wall']:.0f}); score {taken['score'] / MEGABYTE:.0f} MB, "
                    f"CPU {taken['score_cpu']:.0f} s; accuracy {taken['accuracy']:.3f}",
                    flush=True,
                )
    print(taken["machine"])


if __name__ == "__main__":
    main()
