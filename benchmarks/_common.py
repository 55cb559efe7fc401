"""What the timings share: one thread, the table of the speed figures, interleaved runs."""

import platform
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info, threadpool_limits

N_FEATURES = 54
N_CLASSES = 7
PLAIN: dict[str, Any] = {
    "activation": "silu",
    "numeric_embedding": None,
    "categorical_embedding": None,
    "dropout": 0.2,
    "schedule": "cosine",
    "weight_averaging": None,
    "n_members": 1,
}
"""One network of the columns as they are: what is measured stays the same, whatever the defaults are."""


def one_thread() -> None:
    """Hold BLAS, OpenMP and torch to one thread for the rest of the process."""
    torch.set_num_threads(1)
    threadpool_limits(limits=1)


def machine() -> str:
    """Versions, processor and BLAS kernels, so that figures can be told apart."""
    blas = sorted({f"{p['internal_api']}/{p['architecture']}" for p in threadpool_info() if "architecture" in p})
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}, "
        f"{platform.machine()}, torch {torch.backends.cpu.get_cpu_capability()}, BLAS {', '.join(blas)}"
    )


def classification_table(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised float32 rows and int64 classes."""
    X, y = make_classification(
        n_samples=n_rows, n_features=N_FEATURES, n_informative=20, n_classes=N_CLASSES, random_state=0
    )
    return StandardScaler().fit_transform(X).astype(np.float32), y.astype(np.int64)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call, its ConvergenceWarning (few epochs on purpose) left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        work()
        return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each work in each repeat; within a repeat all run in turn, every other repeat backwards."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(repeats):
        order = list(works) if repeat % 2 == 0 else list(reversed(works))
        for name in order:
            times[name].append(seconds(works[name]))
    return times


def median_ratio(times: Mapping[str, Sequence[float]], name: str, reference: str) -> tuple[float, float, float]:
    """Median, least and largest of the ratios taken repeat by repeat."""
    ratios = [a / b for a, b in zip(times[name], times[reference], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)
