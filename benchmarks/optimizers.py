"""Every optimizer at its defaults on digits: shuffled 5-fold accuracy, the learning rate alone chosen from five.

The five are a logarithmic grid over the optimizer's `learning_rates`. Rprop, ASGD and L-BFGS take the full batch, and
L-BFGS neither dropout nor a schedule. All fits of an optimizer train in lockstep.

    python benchmarks/optimizers.py [--only adamw lion]
"""

import argparse
import warnings
from typing import Any

from _common import PLAIN
from _table import print_table
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold

from sknnopt import NNClassifier, optimizers
from sknnopt.model_selection import GridSearchCV

TARGET = 0.95
FULL_BATCH: dict[str, dict[str, Any]] = {
    "rprop": {"batch_size": 10**6, "max_epochs": 100, "dropout": 0.0},
    "asgd": {"batch_size": 10**6, "max_epochs": 600},
    "lbfgs": {"batch_size": 10**6, "max_epochs": 60, "dropout": 0.0, "schedule": "constant"},
}
SETTINGS: dict[str, Any] = {**PLAIN, "max_epochs": 40, "early_stopping": False, "random_state": 0}


def search(name: str) -> GridSearchCV:
    network = NNClassifier(**{**SETTINGS, **FULL_BATCH.get(name, {})}, optimizer=name)
    if name.startswith("schedule_free"):
        network.set_params(schedule="constant")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    rates = optimizers.get(name).learning_rates.grid(5)
    return GridSearchCV(network, {"learning_rate": rates}, cv=folds, refit=False, n_jobs=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=optimizers.names(), help="names of optimizers")
    options = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    rows = []
    for name in options.only:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the largest rates may diverge
            found = search(name).fit(X, y)
        best = found.best_index_
        score, spread = (found.cv_results_[f"{kind}_test_score"][best] for kind in ("mean", "std"))
        rate = found.best_params_["learning_rate"]
        rows.append([name, f"{score:.4f} ± {spread:.4f}", f"{rate:g}", "" if score >= TARGET else f"under {TARGET}"])
        print(*rows[-1], flush=True)
    print()
    print_table(["optimizer", "accuracy", "learning rate", ""], rows)


if __name__ == "__main__":
    main()
