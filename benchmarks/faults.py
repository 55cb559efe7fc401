"""Kill training at random moments, with ``kill -9``, until it has come to its end; and compare with one never killed.

    python benchmarks/faults.py                # 70 kills of each of three kinds of run, about 10 minutes
    python benchmarks/faults.py --kills 2      # as the tests run it

Between some of the kills a checkpoint file is damaged: cut, or one of its bytes changed. What comes out in the end must
have the same bits in scores, predictions, weights and figures; any other outcome ends with an error.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _table import print_table
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sknnopt import NNClassifier, lockstep
from sknnopt.checkpoints import Checkpoint, CheckpointWarning, _store
from sknnopt.engine._cohort import Cohort

_store.SHARE = 0.5  # these runs are short: half of their time may be spent on writing, not a fiftieth

X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
ONE: dict[str, Any] = {"n_members": 1, "random_state": 0, "device": "cpu"}


def single(checkpoint: Checkpoint | None) -> list[Any]:
    """Train one network, stopped early by the accuracy of withheld rows."""
    settings = {"early_stopping": True, "scoring": "accuracy", "normalization": "batch", "max_epochs": 30}
    network = NNClassifier(**ONE, **settings, n_iter_no_change=30, checkpoint=checkpoint).fit(X, Y)
    return outcome(network)


def ensemble(checkpoint: Checkpoint | None) -> list[Any]:
    """Train the default ensemble, of three kinds of members that are judged together."""
    return outcome(NNClassifier(max_epochs=6, random_state=0, device="cpu", checkpoint=checkpoint).fit(X, Y))


def sweep(checkpoint: Checkpoint | None) -> list[Any]:
    """Search in lockstep, in two threads: 8 candidates of two shapes, 3 folds, and the refit."""
    network = NNClassifier(**ONE, max_epochs=10, early_stopping=False)
    grid = {"nnclassifier__learning_rate": [3e-4, 1e-3, 3e-3, 1e-2], "nnclassifier__hidden_layer_sizes": [32, (24, 24)]}
    with lockstep(n_jobs=2, checkpoint=checkpoint):
        search = GridSearchCV(make_pipeline(MinMaxScaler(), network), grid, cv=3).fit(X, Y)
    return [search.cv_results_["mean_test_score"].tolist(), *outcome(search.best_estimator_[-1])]


RUNS = {"single fit": single, "ensemble": ensemble, "sweep": sweep}


def outcome(network: Any) -> list[Any]:
    """Return all that a fit has made, but for the times that it took."""
    weights = hashlib.sha256()
    for name, value in network.module_.state_dict().items():
        weights.update(name.encode() + value.numpy().tobytes())
    figures = [
        network.n_iter_,
        network.loss_curve_,
        network.validation_scores_,
        np.asarray(network.best_loss_).tolist(),
    ]
    return [weights.hexdigest(), hashlib.sha256(network.predict_proba(X).tobytes()).hexdigest(), figures]


class Child(NamedTuple):
    """A process that trains."""

    pid: int
    started: float

    def alive(self) -> bool:
        """Whether it has not ended."""
        return os.waitpid(self.pid, os.WNOHANG)[0] == 0


def start(run: Callable[[Checkpoint | None], list[Any]], checkpoint: Checkpoint | None, path: Path) -> Child:
    """Train in a process of its own, which writes what came out, and the epochs that its members were trained for."""
    pid = os.fork()
    if pid:
        return Child(pid, time.monotonic())
    try:
        if checkpoint is None:
            warnings.simplefilter("error")
        else:
            warnings.simplefilter("ignore", CheckpointWarning)  # damaged files are told of
        train, counted = Cohort._train_epoch, path.with_suffix(".epochs")

        def epoch(self: Cohort) -> Any:
            out = train(self)
            with counted.open("a") as file:
                file.write(f"{len(self.members)}\n")
            return out

        Cohort._train_epoch = epoch
        found = run(checkpoint)
        path.with_suffix(".part").write_text(json.dumps(found))
        path.with_suffix(".part").rename(path)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def damage(folder: Path, chance: random.Random) -> bool:
    """Cut a checkpoint file short or change a byte of it, as a disk might."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return False
    path = chance.choice(files)
    data = bytearray(path.read_bytes())
    if chance.random() < 0.5:
        path.write_bytes(bytes(data[: chance.randrange(len(data))]))
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(data))
    return True


def tormented(name: str, kills: int, interval: float, chance: random.Random, folder: Path) -> list[str]:
    """Kill and begin again until there have been so many kills, and return a row of the table."""
    run, out = RUNS[name], folder / "out"
    child = start(run, None, out)
    os.waitpid(child.pid, 0)
    expected, seconds = out.read_text(), time.monotonic() - child.started
    needed = epochs_of(out)
    out.unlink()
    killed = damaged = ended = spent = 0
    while killed < kills:
        kept = folder / f"kept{ended}"
        while not out.exists():
            child = start(run, Checkpoint(kept, interval=interval), out)
            end = child.started + chance.uniform(0.0, 0.8 * seconds)
            while (alive := child.alive()) and time.monotonic() < end:
                time.sleep(0.001)
            if alive and killed < kills:
                os.kill(child.pid, signal.SIGKILL)
                os.waitpid(child.pid, 0)
                killed += 1
                damaged += chance.random() < 0.1 and damage(kept, chance)
            elif alive:
                os.waitpid(child.pid, 0)
            elif not out.exists():
                raise SystemExit(f"{name}: a run has ended with an error")
        if out.read_text() != expected:
            raise SystemExit(f"{name}: after {killed} kills another outcome\n{out.read_text()[:500]}\n{expected[:500]}")
        spent += epochs_of(out)
        out.unlink()
        shutil.rmtree(kept)
        ended += 1
    again = f"{spent / (ended * needed) - 1:.0%}"
    return [name, str(killed), str(damaged), str(ended), "0", again, f"{seconds:.1f}"]


def epochs_of(out: Path) -> int:
    """Return the epochs that were trained for an outcome, by all processes that worked on it."""
    path = out.with_suffix(".epochs")
    total = sum(map(int, path.read_text().split()))
    path.unlink()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=70, help="of each kind of run")
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between checkpoints")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    rows = []
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(tormented(name, options.kills, options.interval, chance, Path(folder)))
    heads = [
        "run",
        "kills",
        "files damaged",
        "runs to the end",
        "other outcomes",
        "epochs trained again",
        "seconds alone",
    ]
    print_table(heads, rows)


if __name__ == "__main__":
    main()
