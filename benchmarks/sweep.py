"""Time of a grid search in lockstep as a ratio to GridSearchCV(n_jobs=2) over scikit-learn's MLP and over skorch.

Same network, batch size, Adam, epochs, folds, a scaler in the pipeline, two cores on every side; workers of process
pools are started before the first measured run. Sweeps: digits, 16 learning rates x 5 folds, (32,) batch 32; 20,000 x
54, 16 x 3, (100,) batch 200; 20,000 x 54, 8 x 3, (256, 256, 256) batch 256; 10 epochs each (2 for the last).

    python benchmarks/sweep.py [--cases digits wide deep] [--repeats 3]
    python benchmarks/sweep.py --cohorts     seconds a member against the size of its cohort
    python benchmarks/sweep.py --memory      peak memory against the number of members
    python benchmarks/sweep.py --devices cuda:0 cuda:1    the digits sweep on 1, 2, 4 ... of these, beside 80 solo fits
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import skorch
import torch
from _common import classification_table, interleaved, machine, median_ratio
from _table import print_table
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.toy import MLPModule
from torch import nn

from sknnopt import NNClassifier, lockstep

COHORTS = (1, 2, 4, 8, 16, 32, 64, 128)
MEMBERS = (20, 100, 500, 1000)
MEMORY_TARGET = 2e9


@dataclass(frozen=True)
class Case:
    """A sweep, and how many times faster than the peers it is to be."""

    hidden: tuple[int, ...]
    batch_size: int
    rates: int
    folds: int
    epochs: int
    than_sklearn: float
    than_skorch: float


CASES = {
    "digits": Case((32,), 32, 16, 5, 10, 8, 20),
    "wide": Case((100,), 200, 16, 3, 10, 4, 12),
    "deep": Case((256, 256, 256), 256, 8, 3, 2, 1.3, 1.5),
}


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return X.astype(np.float32), y
    return classification_table(20_000)


def our_network(case: Case) -> NNClassifier:
    return NNClassifier(
        hidden_layer_sizes=case.hidden,
        activation="relu",
        numeric_embedding=None,
        categorical_embedding=None,
        dropout=0.0,
        optimizer="adam",
        weight_decay=0.0,
        schedule="constant",
        batch_size=case.batch_size,
        max_epochs=case.epochs,
        gradient_clipping=None,
        weight_averaging=None,
        label_smoothing=0.0,
        early_stopping=False,
        n_members=1,
        preprocessing=None,
        random_state=0,
    )


def search(network: Any, rate: str, case: Case) -> GridSearchCV:
    grid = {f"network__{rate}": np.logspace(-4, -2, case.rates)}
    pipeline: Pipeline = Pipeline([("scale", StandardScaler()), ("network", network)])
    return GridSearchCV(pipeline, grid, cv=case.folds, n_jobs=2)


def searches(case: Case, X: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    mlp = MLPClassifier(
        case.hidden, alpha=0.0, batch_size=case.batch_size, max_iter=case.epochs, n_iter_no_change=1000, random_state=0
    )
    net = skorch.NeuralNetClassifier(
        MLPModule,
        module__input_units=X.shape[1],
        module__output_units=len(np.unique(y)),
        module__hidden_units=case.hidden[0],
        module__num_hidden=len(case.hidden),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        max_epochs=case.epochs,
        batch_size=case.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    theirs = search(mlp, "learning_rate_init", case)
    nets = search(net, "lr", case)
    ours = search(our_network(case), "learning_rate", case)

    def in_lockstep(backend: str | None) -> Callable[[], object]:
        def run() -> object:
            with lockstep(backend=backend):
                return ours.fit(X, y)

        return run

    return {
        "scikit-learn": lambda: theirs.fit(X, y),
        "skorch": lambda: nets.fit(X, y),
        "one by one": lambda: ours.fit(X, y),
        "lockstep, threads": in_lockstep(None),
        "lockstep, processes": in_lockstep("loky"),
    }


def compare(names: list[str], repeats: int) -> None:
    rows = []
    for name in names:
        case = CASES[name]
        runs = searches(case, *table(name))
        interleaved(runs, 1)
        times = interleaved(runs, repeats)
        best = min(("lockstep, threads", "lockstep, processes"), key=lambda way: statistics.median(times[way]))
        rows += [[name, way, f"{statistics.median(taken):.2f}", "", "", "", ""] for way, taken in times.items()]
        for peer, target in (("scikit-learn", case.than_sklearn), ("skorch", case.than_skorch), ("one by one", 1)):
            ratio, least, most = median_ratio(times, peer, best)
            verdict = "met" if ratio >= target else "MISSED"
            rows.append(
                [name, f"{peer} / {best}", "", f"{ratio:.2f}", f"{least:.2f} to {most:.2f}", f"{target:g}", verdict]
            )
    print_table(["sweep", "search", "seconds", "ratio", "least to largest", "target", ""], rows)


def against_cohort_size() -> None:
    """Milliseconds a member and epoch, in one thread and as shards in two."""
    rows = []
    for name in CASES:
        X, y = table(name)
        case = replace(CASES[name], epochs=2)
        for n_jobs in (1, 2):
            row = [f"{case.hidden} / {case.batch_size}", str(n_jobs)]
            for size in COHORTS:
                if case.hidden[0] > 100 and size > 16:
                    row.append("")
                    continue
                grid = {"learning_rate": np.logspace(-4, -2, max(2, size * n_jobs // 2))}
                sweep = GridSearchCV(our_network(case), grid, cv=2, refit=False)
                with lockstep(max_members=size, n_jobs=n_jobs):
                    sweep.fit(X[:4000], y[:4000])
                    times = sweep.fit(X[:4000], y[:4000]).cv_results_["mean_fit_time"]
                row.append(f"{1000 * times.mean() / case.epochs / n_jobs:.2f}")
            rows.append(row)
    print_table(["network / batch", "n_jobs", *(f"K={size}" for size in COHORTS)], rows)


def peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def child(members: int) -> None:
    X, y = table("digits")
    imported = peak()
    sweep = search(our_network(CASES["digits"]), "learning_rate", replace(CASES["digits"], rates=members // 5))
    start = time.perf_counter()
    with lockstep() as block:
        sweep.fit(X, y)
    taken = time.perf_counter() - start
    largest = max(block.cohort_sizes)
    print(json.dumps({"peak": peak(), "imported": imported, "seconds": taken, "largest": largest}))


def memory() -> None:
    rows = []
    for members in MEMBERS:
        out = subprocess.run(
            [sys.executable, __file__, "--child", str(members)], check=True, capture_output=True, text=True
        ).stdout
        found = json.loads(out)
        verdict = "" if members != 1000 else "met" if found["peak"] <= MEMORY_TARGET else "MISSED"
        figures = [f"{found[name] / 1e6:.0f}" for name in ("imported", "peak")]
        rows.append([str(members), *figures, f"{found['seconds']:.1f}", str(found["largest"]), verdict])
    print_table(["members", "imported, MB", "peak, MB", "seconds", "largest cohort", "under 2 GB"], rows)


def on_devices(devices: list[str]) -> None:
    """The digits sweep one fit after another on the first device, and in lockstep on more and more of them."""
    X, y = table("digits")
    case = CASES["digits"]
    counts = [count for count in (1, 2, 4, 8) if count <= len(devices)]
    runs: dict[str, Callable[[], object]] = {}
    solo = search(our_network(case).set_params(device=devices[0]), "learning_rate", case).set_params(n_jobs=1)
    runs["solo fits, 1 device"] = lambda: solo.fit(X, y)
    for count in counts:
        sweep = search(our_network(case).set_params(device=devices[:count]), "learning_rate", case)

        def run(sweep: GridSearchCV = sweep) -> object:
            with lockstep(n_jobs=1):
                return sweep.fit(X, y)

        runs[f"lockstep, {count} device(s)"] = run
    interleaved(runs, 1)
    times = interleaved(runs, 3)
    rows = [
        [name, f"{statistics.median(taken):.2f}", f"{median_ratio(times, 'solo fits, 1 device', name)[0]:.2f}"]
        for name, taken in times.items()
    ]
    print_table([", ".join(devices), "seconds", "solo / this"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cohorts", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--devices", nargs="+")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child:
        child(options.child)
        return
    print(machine())
    if options.cohorts:
        against_cohort_size()
    if options.memory:
        memory()
    if options.devices:
        on_devices(options.devices)
    if not (options.cohorts or options.memory or options.devices):
        compare(options.cases, options.repeats)


if __name__ == "__main__":
    main()
