"""Tables, splits, measurement and the results file of benchmarks/accuracy.py.

The data directory holds a ``load.py`` with ``load(name) -> X, y, task``, ``info(name)`` and ``official_split(name)``.
"""

import fcntl
import importlib.util
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _peers import Setting, build, versions

TABLES = (
    "adult", "churn", "magic", "phoneme", "credit_g", "letter", "satimage", "students_dropout", "splice",
    "california", "diamonds", "ames", "bike_sharing", "wine_quality", "cpu_act", "concrete",
)  # fmt: skip
HELD_OUT = (
    "bank_marketing", "give_me_credit", "bank_churn", "online_shoppers", "hr_job_change", "electricity", "higgs_7k",
    "covtype_20k", "connect4", "anneal", "house_sales", "miami_housing", "house_16h", "pol", "elevators", "ailerons",
)  # fmt: skip
LARGE = ("adult", "bank_marketing", "diamonds", "connect4")
MAX_TRAIN = 5000
MAX_TEST = 5000
ALL_ROWS = 0
LEAST_PROBABILITY = 1e-7  # some models give float32
PLAIN = (str, int, float, list, dict, type(None))
KEY = ("table", "rows", "model", "seed")
Record = dict[str, Any]


class Run(NamedTuple):
    """One fit: a model (recorded under ``label``) on a table, a seed and at most ``rows`` training rows."""

    model: str
    label: str
    table: str
    seed: int
    rows: int
    params: Mapping[str, Any]

    @property
    def key(self) -> tuple[Any, ...]:
        return (self.table, self.rows, self.label, self.seed)


@cache
def tables(data: Path) -> Any:
    """The module that loads the tables."""
    spec = importlib.util.spec_from_file_location("data_load", data / "load.py")
    if spec is None or spec.loader is None or not (data / "load.py").exists():
        raise FileNotFoundError(f"{data} has no load.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def split(y: np.ndarray, regression: bool, seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of min(60 %, 5,000) rows to train on and up to 5,000 others to test on, shuffled, classes in proportion.

    Fewer training rows are drawn from the same 5,000, so that the test rows stay. ``ALL_ROWS``: 80 % and 20 %.
    """
    from sklearn.model_selection import train_test_split

    def shuffled(index: np.ndarray, **sizes: float) -> list[np.ndarray]:
        return train_test_split(index, **sizes, stratify=None if regression else y[index], random_state=seed)

    if rows == ALL_ROWS:
        train, test = shuffled(np.arange(len(y)), test_size=0.2)
        return train, test
    n_train = min(int(0.6 * len(y)), MAX_TRAIN)
    train, test = shuffled(np.arange(len(y)), train_size=n_train, test_size=min(MAX_TEST, len(y) - n_train))
    return (shuffled(train, train_size=rows)[0] if rows < n_train else train), test


def log_loss(y: np.ndarray, classes: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative log of the true class's probability, clipped at 1e-7; a class never trained on has 0."""
    column = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    true = np.asarray(probabilities, dtype=np.float64)[np.arange(len(y)), column]
    return float(-np.log(np.clip(np.where(classes[column] == y, true, 0.0), LEAST_PROBABILITY, 1.0)).mean())


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """The result, wall seconds and CPU seconds of all threads of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - cpu


@cache
def warm(model: str, regression: bool) -> None:
    """Fit 100 rows untimed, once a process, so that no import or compilation counts as fitting."""
    import pandas as pd

    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=100), "b": pd.Categorical(np.repeat(["p", "q"], 50))})
    y = random.normal(size=100) if regression else np.tile(["n", "y"], 50)
    estimator = build(model, Setting(X, regression), {})
    estimator.fit(X, y).predict(X)


def measure(data: Path, run: Run) -> Record:
    """Fit and score one model; score is accuracy or R2."""
    warnings.simplefilter("ignore")
    source = tables(data)
    X, y, task = source.load(run.table)
    regression = task == "regression"
    official = source.official_split(run.table) if run.rows == ALL_ROWS else None
    train, test = official or split(y, regression, run.seed, run.rows)
    warm(run.model, regression)
    estimator = build(run.model, Setting(X.iloc[train], regression), run.params)
    _, wall, cpu = timed(lambda: estimator.fit(X.iloc[train], y[train]))
    predicted, predict, _ = timed(lambda: np.asarray(estimator.predict(X.iloc[test])).ravel())
    record: Record = dict(zip(KEY, run.key, strict=True))
    if regression:
        record["score"] = 1 - np.mean((y[test] - predicted) ** 2) / np.var(y[test])
    else:
        record["score"] = np.mean(predicted == y[test])
        record["log_loss"] = log_loss(y[test], estimator.classes_, estimator.predict_proba(X.iloc[test]))
    record |= {"fit_wall": wall, "fit_cpu": cpu, "predict_wall": predict, "n_train": len(train), "n_test": len(test)}
    record = {name: round(float(v), 6) if isinstance(v, float) else v for name, v in record.items()}
    given = {name: value if isinstance(value, PLAIN) else repr(value) for name, value in run.params.items()}
    return record | ({"params": given} if given else {}) | {"versions": versions(run.model)}


def cells(data: Path, table: str, rows: int) -> int:
    """About as many as a training frame has."""
    info = tables(data).info(table)
    return int(
        (info["rows"] if rows == ALL_ROWS else min(info["rows"], rows)) * (info["numeric"] + info["categorical"])
    )


def read(paths: Iterable[Path]) -> list[Record]:
    """The records of all files that exist; of records with one key, the last."""
    found = {}
    for path in paths:
        for record in json.loads(path.read_text()) if path.exists() else []:
            found[tuple(record[name] for name in KEY)] = record
    return [found[key] for key in sorted(found)]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """No other process is between reading and writing a results file of that folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(path: Path, new: Sequence[Record]) -> None:
    """Add records to the file, one line each, in order; one with the key of an old one replaces it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.parent):
        old = {tuple(record[name] for name in KEY): record for record in read([path])}
        old |= {tuple(record[name] for name in KEY): record for record in new}
        draft = path.with_suffix(".draft")
        draft.write_text("[\n" + ",\n".join(json.dumps(old[key]) for key in sorted(old)) + "\n]\n")
        draft.replace(path)
