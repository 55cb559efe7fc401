"""Time of ``predict_proba`` of one row of a numeric array against a scaled MLPClassifier of the same shape.

One process, one thread; the two are called in turn in rounds, and the ratio is taken within a round.

    python benchmarks/latency.py [--rounds 30] [--calls 100] [--peers]
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import PLAIN, classification_table, interleaved, machine, median_ratio, one_thread, seconds
from _table import print_table
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

N_ROWS = 2_000
EPOCHS = 5
TARGET = 1.5
PEER = "StandardScaler + MLPClassifier((100,))"


def fitted(X: np.ndarray, y: np.ndarray, ours: bool) -> dict[str, Any]:
    estimators: dict[str, Any] = {
        PEER: make_pipeline(StandardScaler(), MLPClassifier((100,), max_iter=EPOCHS, random_state=0))
    }
    if ours:
        from sknnopt import NNClassifier

        estimators["sknnopt"] = NNClassifier(
            **PLAIN,
            hidden_layer_sizes=(100,),
            learning_rate=1e-3,
            weight_decay=0.01,
            max_epochs=EPOCHS,
            early_stopping=False,
            random_state=0,
        )
    for estimator in estimators.values():
        seconds(lambda estimator=estimator: estimator.fit(X, y))
    return estimators


def caller(estimator: Any, row: np.ndarray, calls: int) -> Callable[[], None]:
    def call() -> None:
        for _ in range(calls):
            estimator.predict_proba(row)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=100, help="calls of each in a round")
    parser.add_argument("--peers", action="store_true", help="time only scikit-learn")
    options = parser.parse_args()
    one_thread()
    print(machine())
    X, y = classification_table(N_ROWS)
    X = X.astype(np.float64)
    estimators = fitted(X, y, not options.peers)
    works = {name: caller(estimator, X[:1], options.calls) for name, estimator in estimators.items()}
    interleaved(works, 1)
    times = interleaved(works, options.rounds)
    table = [
        [name, f"{statistics.median(taken) / options.calls * 1e6:.0f}", "", "", ""] for name, taken in times.items()
    ]
    if "sknnopt" in times:
        ratio, least, largest = median_ratio(times, "sknnopt", PEER)
        verdict = "met" if ratio <= TARGET else "MISSED"
        spread = f"{least:.2f} to {largest:.2f}"
        table.append(["sknnopt / peer", "", f"{ratio:.2f} ({spread})", f"{TARGET:g}", verdict])
    print_table(["predict_proba of one row", "µs", "ratio", "target", ""], table)


if __name__ == "__main__":
    main()
