"""How many new rows the intervals of quantile regression hold, and how wide they are, beside gradient boosting.

Tables, splits and sizes are those of benchmarks/accuracy.py. One ``NNRegressor`` learns all quantiles at once;
``HistGradientBoostingRegressor`` is fitted once a quantile. The pinball loss is the mean over the quantiles, in units
of the target's standard deviation, as are widths.

    python benchmarks/coverage.py --data DIRECTORY [--tables concrete] [--seeds 0 1]
"""

import argparse
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import numpy as np
from _common import one_thread
from _peers import Setting, hgb
from _protocol import MAX_TRAIN, TABLES, split, tables
from _ranking import markdown
from sklearn.base import clone
from sklearn.metrics import mean_pinball_loss

from sknnopt import NNRegressor
from sknnopt.losses import Quantile

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
Figures = tuple[float, float, float, float, float]  # held by 90 % and 50 % intervals, width of the first, loss, seconds


def figures(predicted: np.ndarray, y: np.ndarray, seconds: float) -> Figures:
    """Coverage, width and loss of predicted quantiles (n, 5)."""
    low, lower, _, upper, high = predicted.T
    loss = np.mean([mean_pinball_loss(y, own, alpha=q) for own, q in zip(predicted.T, LEVELS, strict=True)])
    held = np.mean((low <= y) & (y <= high)), np.mean((lower <= y) & (y <= upper))
    return (*map(float, held), float(np.mean(high - low) / y.std()), float(loss / y.std()), seconds)


def networks(X: Any, y: np.ndarray, X_test: Any, **settings: Any) -> tuple[np.ndarray, float]:
    start = time.process_time()
    network = NNRegressor(loss=Quantile(quantile=list(LEVELS)), random_state=0, **settings).fit(X, y)
    return network.predict_quantiles(X_test), time.process_time() - start


def boosting(X: Any, y: np.ndarray, X_test: Any) -> tuple[np.ndarray, float]:
    start = time.process_time()
    model = hgb(Setting(X, True))
    own = _prefix(model)
    models = [clone(model).set_params(**{f"{own}quantile": q, f"{own}loss": "quantile"}) for q in LEVELS]
    return np.column_stack([one.fit(X, y).predict(X_test) for one in models]), time.process_time() - start


def _prefix(model: Any) -> str:
    """Prefix of the boosting's own parameters."""
    return next(name.removesuffix("quantile") for name in model.get_params() if name.endswith("quantile"))


MODELS = {"sknnopt": networks, "without calibration": partial(networks, calibration=None), "hgb": boosting}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SKNNOPT_DATA"), help="or SKNNOPT_DATA")
    parser.add_argument("--tables", nargs="+", metavar="TABLE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    options = parser.parse_args()
    if not options.data:
        parser.error("give --data or set SKNNOPT_DATA")
    one_thread()
    source = tables(options.data)
    names = options.tables or [name for name in TABLES if source.info(name)["task"] == "regression"]
    rows = []
    for name in names:
        X, y, _ = source.load(name)
        found: dict[str, list[Figures]] = {}
        for seed in options.seeds:
            train, test = split(y, True, seed, MAX_TRAIN)
            for label, model in MODELS.items():
                predicted, seconds = model(X.iloc[train], y[train], X.iloc[test])
                found.setdefault(label, []).append(figures(predicted, y[test], seconds))
        for label, values in found.items():
            mean = np.mean(values, axis=0)
            rows.append([name, label, *(f"{100 * v:.1f} %" for v in mean[:2]), *(f"{v:.3f}" for v in mean[2:4])])
            rows[-1].append(f"{mean[4]:.1f}")
            print(" | ".join(rows[-1]), flush=True)
    header = [
        "table",
        "model",
        "90 % interval holds",
        "50 % interval holds",
        "width of the first",
        "loss",
        "CPU seconds",
    ]
    print("\n" + markdown(header, rows))


if __name__ == "__main__":
    main()
