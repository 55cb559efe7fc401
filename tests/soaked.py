"""Small pieces of work of every kind, done over and over by a soak, which then looks at what the process holds."""

import gc
import os
import pickle
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from support import basic
from torch import nn

import sknnopt
from sknnopt import NNClassifier, NNRegressor, export_torch, lockstep
from sknnopt.losses import Loss
from sknnopt.persistence import FileFormatError

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
TARGET = X @ [1.0, -1.0, 0.5, 0.0]
Y = (TARGET > 0).astype(int) + (TARGET > 1)
SIZES = np.where(RNG.random(N) < 0.1, np.nan, X[:, 0])
WORDS = RNG.choice(["u", "v", None], N)


def frame() -> pd.DataFrame:
    """Return a frame that nobody has seen: pandas notes in a frame who has looked at it."""
    return pd.DataFrame({"a": SIZES.copy(), "b": WORDS.copy(), "c": pd.Categorical(WORDS[::-1].copy())})


class Small(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 5), nn.ReLU(), nn.Dropout(0.1), nn.Linear(5, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def network(make: Any = NNClassifier, **settings: Any) -> Any:
    return basic(make, **{"hidden_layer_sizes": (5,), "max_epochs": 2, "random_state": 0, **settings})


def classify_an_array(i: int) -> None:
    network(random_state=i, hidden_layer_sizes=(3 + i % 5,)).fit(X, Y).predict_proba(X[: 1 + i % N])


def regress_an_array(i: int) -> None:
    network(NNRegressor, random_state=i, batch_size=8 + i % 9).fit(X, TARGET).predict(X)


def classify_a_frame(i: int) -> None:
    classes = np.array(["no", "yes", "so"])[Y]
    network(random_state=i).fit(frame(), classes).score(frame(), classes)


def the_defaults(i: int) -> None:
    NNClassifier(max_epochs=1, random_state=i).fit(frame(), Y).predict(frame())


def early_stopping(i: int) -> None:
    stopping = {"early_stopping": True, "validation_fraction": 0.3, "scoring": "accuracy", "n_iter_no_change": 2}
    network(random_state=i, **stopping).fit(X, Y)


def an_ensemble(i: int) -> None:
    network(NNRegressor, n_members=3, random_state=i, optimizer=["sgd", "adam", "rprop"][i % 3]).fit(X, TARGET)


def partial_fits(i: int) -> None:
    estimator = network(random_state=i)
    for _ in range(3):
        estimator.partial_fit(X, Y, classes=[0, 1, 2])


def a_network_of_ones_own(i: int) -> None:
    network(network=Small, random_state=i).fit(X, Y).predict(X)


def a_grid_in_lockstep(i: int) -> None:
    with lockstep(n_jobs=1 + i % 2):
        GridSearchCV(network(random_state=i), {"learning_rate": [1e-3, 1e-2 + i * 1e-6]}, cv=2).fit(X, Y)


def bagging_in_lockstep(i: int) -> None:
    with lockstep(n_jobs=2):
        BaggingClassifier(network(), n_estimators=3, random_state=i).fit(X, Y).predict(X)


def a_pickle(i: int) -> None:
    pickle.loads(pickle.dumps(network(random_state=i, warm_start=True).fit(frame(), Y))).predict(frame())


def a_file(i: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        sknnopt.save(network(random_state=i).fit(frame(), Y), path)
        sknnopt.load(path).predict(frame())
        path.write_bytes(path.read_bytes()[:-1])
        _raises(FileFormatError, lambda: sknnopt.load(path))


def many_predictions(i: int) -> None:
    estimator = network(random_state=i).fit(X, Y)
    for n in range(1, N, 7):
        estimator.predict(X[:n])


def a_divergence(i: int) -> None:
    wild = {"optimizer": "sgd", "learning_rate": 1e30, "gradient_clipping": None, "max_epochs": 4}
    _raises(ValueError, lambda: network(random_state=i, **wild).fit(X, Y))


def exceptions(i: int) -> None:
    def broken(progress: Any) -> Any:
        raise RuntimeError(f"a schedule's fault {i}")

    _raises(RuntimeError, lambda: network(schedule=broken).fit(X, Y))
    _raises(ValueError, lambda: network(optimizer=f"adm{i}").fit(X, Y))
    _raises(ValueError, lambda: network().fit(X * np.inf, Y))


def a_fault_in_lockstep(i: int) -> None:
    search = GridSearchCV(network(random_state=i), {"learning_rate": [1e-2, -1.0]}, cv=2)
    with lockstep(n_jobs=1 + i % 2):
        search.fit(X, Y)
        _raises(ValueError, lambda: clone(search).set_params(error_score="raise").fit(X, Y))


def nested_in_lockstep(i: int) -> None:
    search = GridSearchCV(network(random_state=i, max_epochs=1), {"dropout": [0.0, 0.1]}, cv=2)
    with lockstep():
        cross_val_score(search, X, Y, cv=2)


def other_doors(i: int) -> None:
    estimator = network(random_state=i, callbacks=None).fit(X, Y)
    export_torch(estimator)(torch.from_numpy(X))
    assert len(estimator.net_.history) == 2
    repr(estimator)
    clone(estimator)


def techniques_made_anew(i: int) -> None:
    class Fresh(nn.Module):
        def __init__(self, n_inputs: int, n_outputs: int) -> None:
            super().__init__()
            self.layer = nn.Linear(n_inputs, n_outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x)

    class Squared(Loss):
        tasks = frozenset({"regression"})

        def __call__(self, output: Any, target: Any) -> Any:
            return (output - target).square().sum(1)

    network(NNRegressor, network=Fresh, loss=Squared(), schedule=lambda t: 1 - t / 2).fit(X, TARGET).predict(X)


def a_comparison(i: int) -> None:
    sknnopt.compare(network(random_state=i), X, Y, {"optimizer": ["sgd", "adam"]}, cv=2)


def a_curve(i: int) -> None:
    from matplotlib.figure import Figure

    from sknnopt.inspection import LossCurveDisplay

    figure = Figure()
    LossCurveDisplay.from_estimator(network(random_state=i).fit(X, Y), ax=figure.subplots())


def fits_in_threads(i: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(classify_an_array, range(i, i + 3)))


def _raises(kind: type[Exception], work: Callable[[], object]) -> None:
    try:
        work()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


WORKS: list[Callable[[int], None]] = [
    classify_an_array, regress_an_array, classify_a_frame, the_defaults, early_stopping, an_ensemble, partial_fits,
    a_network_of_ones_own, a_grid_in_lockstep, bagging_in_lockstep, a_pickle, a_file, many_predictions, a_divergence,
    exceptions, a_fault_in_lockstep, nested_in_lockstep, other_doors, techniques_made_anew, a_comparison, a_curve,
    fits_in_threads,
]  # fmt: skip


def work(i: int) -> None:
    """Do the i-th piece of work, every kind in turn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FitFailedWarning)
        warnings.filterwarnings("ignore", message="One or more of the test scores are non-finite")
        WORKS[i % len(WORKS)](i)


class Held(NamedTuple):
    """What a process holds."""

    memory: int
    objects: int
    threads: int
    handles: int
    files: int

    @classmethod
    def now(cls) -> "Held":
        """Count, once what is garbage is gone."""
        gc.collect()
        return cls(
            _resident(), len(gc.get_objects()), len(threading.enumerate()), _entries("/proc/self/fd"),
            _entries(tempfile.gettempdir()),
        )  # fmt: skip

    def __str__(self) -> str:
        return (
            f"{self.memory / 2**20:7.1f} MB, {self.objects} objects, {self.threads} threads, {self.handles} open files,"
            f" {self.files} temporary files"
        )


def _resident() -> int:
    """Return the resident set in bytes, 0 where the system does not tell it in this way."""
    if not sys.platform.startswith("linux"):
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _entries(folder: str) -> int:
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0
