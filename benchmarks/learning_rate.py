"""How well ``learning_rate="auto"`` chooses, and what that costs, beside a grid of 30 full trainings.

Each table is cut down to a few thousand rows. Over its folds a grid of learning rates is trained in full, as one
plain network of the default size; those whose mean loss on the test folds is within one standard
error (over the folds) of the best make the range. Beside it stands what "auto" chooses on each fold, from the training
rows alone.

The data directory holds a ``load.py`` with ``load(name) -> X, y, task``.

    python benchmarks/learning_rate.py --data DIRECTORY [--tables churn california] [--rows 2000] [--epochs 40]
"""

import argparse
import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _common import PLAIN, machine, one_thread
from _table import print_table
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold

from sknnopt import NNClassifier, NNRegressor, optimizers
from sknnopt.model_selection import GridSearchCV, cross_validate

TABLES = [
    "churn", "phoneme", "credit_g", "satimage", "students_dropout", "online_shoppers", "california", "wine_quality",
    "concrete", "cpu_act",
]  # fmt: skip
POINTS = 30
FACTORS = np.logspace(-2.5, 2, POINTS)
FACTOR = 3.0
HEADER = ["table", "best rate", "range", "chosen", "inside", f"within {FACTOR:g}", "factor", "excess", "cost"]


def loader(data: Path) -> Callable[[str], Any]:
    """The ``load`` of a data directory."""
    spec = importlib.util.spec_from_file_location("data_load", data / "load.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{data} has no load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    load: Callable[[str], Any] = module.load
    return load


def some_rows(X: Any, y: np.ndarray, task: str, count: int) -> tuple[Any, np.ndarray]:
    """Random rows, regression targets standardised, without classes too rare to be in every fold."""
    rows = np.random.default_rng(0).permutation(len(y))[:count]
    X, y = X.iloc[rows].reset_index(drop=True), y[rows]
    if task == "regression":
        return X, (y - y.mean()) / y.std()
    labels, counts = np.unique(y, return_counts=True)
    common = np.isin(y, labels[counts >= 10])
    return X[common].reset_index(drop=True), y[common]


def loss(estimator: Any, X: Any, y: np.ndarray) -> float:
    """Minus the logarithmic loss, or minus the squared error; what is not finite counts as a large one."""
    if hasattr(estimator, "predict_proba"):
        value = float(log_loss(y, estimator.predict_proba(X), labels=estimator.classes_))
    else:
        value = float(np.mean((estimator.predict(X) - y) ** 2))
    return -value if np.isfinite(value) else -1e9


def grid_losses(network: Any, X: Any, y: np.ndarray, cv: Sequence[Any], rates: np.ndarray) -> np.ndarray:
    """The test loss (rates, folds) of a full training at each rate; of one that diverges a large one."""
    search = GridSearchCV(network, {"learning_rate": list(rates)}, cv=cv, scoring=loss, refit=False, error_score=-1e9)
    results = search.fit(X, y).cv_results_
    return -np.stack([results[f"split{i}_test_score"] for i in range(len(cv))], axis=1)


def range_of(losses: np.ndarray) -> tuple[int, int, int]:
    """Indices of the best rate and of the lowest and the highest within one standard error of it."""
    means = losses.mean(1)
    best = int(means.argmin())
    error = losses[best].std(ddof=1) / np.sqrt(losses.shape[1])
    near = np.flatnonzero(means <= means[best] + error)
    return best, int(near[0]), int(near[-1])


def cost(network: Any, X: Any, y: np.ndarray) -> float:
    """Time of a fit that chooses its rate, in those of one that is given it, less one."""
    start = time.process_time()
    chosen = clone(network).set_params(learning_rate="auto").fit(X, y)
    middle = time.process_time()
    clone(network).set_params(learning_rate=chosen.learning_rate_).fit(X, y)
    return (middle - start) / (time.process_time() - middle) - 1


def measure(name: str, load: Callable[[str], Any], options: argparse.Namespace) -> tuple[list[str], bool]:
    """A row of the report, and whether the median of what the folds choose is near enough."""
    X, y, task = load(name)
    X, y = some_rows(X, y, task, options.rows)
    regression = task == "regression"
    network: Any = (NNRegressor if regression else NNClassifier)(
        **({**PLAIN, "activation": "relu", "dropout": 0.1} if regression else PLAIN),
        max_epochs=options.epochs,
        optimizer=options.optimizer,
        early_stopping=options.early_stopping,
        random_state=0,
    )
    folds = (KFold if regression else StratifiedKFold)(options.folds, shuffle=True, random_state=0)
    cv = list(folds.split(X, y))
    auto = clone(network).set_params(learning_rate="auto")
    fitted = cross_validate(auto, X, y, cv=cv, scoring=loss, return_estimator=True)
    chosen = np.array([fit.learning_rate_ for fit in fitted["estimator"]])
    rates = optimizers.get(options.optimizer).default_learning_rate * FACTORS
    losses = grid_losses(network, X, y, cv, rates)
    best, first, last = range_of(losses)
    low, high = rates[first], rates[last]
    factors = np.maximum(1, np.maximum(low / chosen, chosen / high))
    excess = -fitted["test_score"].mean() / losses[best].mean() - 1
    median = float(np.median(chosen))
    factor = max(1.0, low / median, median / high)
    row = [
        name, f"{rates[best]:.2g}", f"{low:.2g} to {high:.2g}", f"{median:.2g}",
        f"{(factors == 1).sum()}/{len(chosen)}", f"{(factors <= FACTOR).sum()}/{len(chosen)}", f"{factor:.2f}",
        f"{100 * excess:+.1f} %", f"{cost(network, X.iloc[cv[0][0]], y[cv[0][0]]):.2f}",
    ]  # fmt: skip
    return row, factor <= FACTOR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKNNOPT_DATA"))
    parser.add_argument("--tables", nargs="+", default=TABLES)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--early-stopping", action="store_true")
    options = parser.parse_args()
    if not options.data:
        parser.error("give --data or set SKNNOPT_DATA")
    one_thread()
    print(machine())
    load = loader(Path(options.data))
    table, near = [], 0
    for name in options.tables:
        row, met = measure(name, load, options)
        table.append(row)
        near += met
        print(*row, sep="  ", flush=True)
    print_table(HEADER, table)
    print(f"{near} of {len(table)} tables: the median rate is within a factor of {FACTOR:g} of the range")


if __name__ == "__main__":
    main()
