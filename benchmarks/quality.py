"""Scores with no argument but ``random_state=0``: scikit-learn's small data sets, and the raw adult table.

The data directory for adult holds a ``load.py`` with ``load(name) -> X, y, task`` and ``official_split``;
adult is left out without it.

    python benchmarks/quality.py [--data DIRECTORY] [--only digits wine] [--peers]
"""

import argparse
import importlib.util
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _table import print_table
from sklearn.base import is_classifier
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TARGETS = {"digits": 0.955, "breast_cancer": 0.96, "wine": 0.96, "diabetes": 0.42, "adult": 0.853}
ADULT_SECONDS = 60.0
LOADERS: dict[str, Callable[..., Any]] = {
    "digits": load_digits,
    "breast_cancer": load_breast_cancer,
    "wine": load_wine,
    "diabetes": load_diabetes,
}


def peer(regression: bool) -> Any:
    network = MLPRegressor if regression else MLPClassifier
    encoder = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        ),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    return make_pipeline(encoder, network(random_state=0))


def ours(regression: bool) -> Any:
    from sknnopt import NNClassifier, NNRegressor

    return (NNRegressor if regression else NNClassifier)(random_state=0)


def cross_validated(name: str, make: Callable[[bool], Any]) -> tuple[float, float]:
    """Mean score over 5 folds and the seconds they took."""
    import pandas as pd

    X, y = LOADERS[name](return_X_y=True)
    estimator = make(name == "diabetes")
    if make is peer:
        X = pd.DataFrame(X)
    start = time.perf_counter()
    return float(np.mean(cross_val_score(estimator, X, y, cv=5))), time.perf_counter() - start


def load_adult(data: Path) -> tuple[Any, Any, int]:
    """The raw frame, its labels, and the number of training rows of the published split."""
    spec = importlib.util.spec_from_file_location("data_load", data / "load.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{data} has no load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    X, y, _ = module.load("adult")
    train, _ = module.official_split("adult")
    return X, y, len(train)


def held_out(data: Path, make: Callable[[bool], Any]) -> tuple[float, float]:
    """Accuracy on the published test rows and the seconds of fitting and scoring."""
    X, y, n_train = load_adult(data)
    estimator = make(False)
    assert is_classifier(estimator)
    start = time.perf_counter()
    estimator.fit(X[:n_train], y[:n_train])
    return float(estimator.score(X[n_train:], y[n_train:])), time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("SKNNOPT_DATA"))
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--peers", action="store_true", help="score only scikit-learn's scaled MLP")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    makers = {"sklearn": peer} if options.peers else {"sklearn": peer, "sknnopt": ours}
    table = []
    for name in options.only:
        if name == "adult" and not options.data:
            print("adult left out: give --data or set SKNNOPT_DATA")
            continue
        for maker_name, make in makers.items():
            score, taken = held_out(Path(options.data), make) if name == "adult" else cross_validated(name, make)
            good = score >= TARGETS[name] and (name != "adult" or taken < ADULT_SECONDS)
            verdict = "" if make is peer else "met" if good else "MISSED"
            table.append([name, maker_name, f"{score:.4f}", f"{TARGETS[name]:g}", verdict, f"{taken:.1f}"])
    print_table(["data", "estimator", "score", "target", "", "seconds"], table)


if __name__ == "__main__":
    main()
