"""Threads, forks and worker processes: the same bits, nothing waits for ever, and nothing is left to other threads."""

import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.model_selection import GridSearchCV
from soaked import TARGET, Small, X, Y, frame, network

import sknnopt
from sknnopt import NNRegressor, _threads, lockstep, losses
from sknnopt._layout import Layout
from sknnopt._threads import set_threads_here, single_thread
from sknnopt.activations import ReLU
from sknnopt.data.batches import Table
from sknnopt.model_selection._shared import SharedTensors
from sknnopt.nn import MLP

pytestmark = pytest.mark.timeout(300)

THREADS = 32


def at_once(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """Return what each of some threads has returned, all of which began together."""
    barrier = threading.Barrier(count)

    def run(i: int) -> Any:
        barrier.wait(30)
        return work(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def in_a_new_thread(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def settings() -> dict[str, Any]:
    """What belongs to the process, as this thread and a new one see it."""
    return {
        "threads": (torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)),
        "random": torch.get_rng_state().tolist(),
        "dtype": torch.get_default_dtype(),
        "grad": (torch.is_grad_enabled(), in_a_new_thread(torch.is_grad_enabled)),
        "inference": torch.is_inference_mode_enabled(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
        "errors": np.geterr(),
    }


@contextmanager
def settings_stay() -> Iterator[None]:
    given = settings()
    yield
    assert settings() == given


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    found = torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)
    torch.set_num_threads(before)
    assert found == (3, 3)


SERVED: dict[str, Callable[[], tuple[Any, Any]]] = {
    "array": lambda: (network().fit(X, Y), X),
    "frame": lambda: (network().fit(frame(), Y), frame()),
    "ensemble": lambda: (network(n_members=3, numeric_embedding="periodic").fit(frame(), Y), frame()),
    "normal scores": lambda: (network(preprocessing="quantile_normal").fit(X, Y), X),
    "sparse": lambda: (network().fit(sparse.csr_array(X), Y), sparse.csr_array(X)),
    "no encoder": lambda: (network(preprocessing=None).fit(X.astype(np.float32), Y), X.astype(np.float32)),
    "heads": lambda: (network(NNRegressor, network="tabm", n_heads=2).fit(X, TARGET), X),
    "a network of one's own": lambda: (network(NNRegressor, network=Small).fit(X, TARGET), X),
    "quantiles": lambda: (
        network(NNRegressor, loss=losses.Quantile(quantile=[0.1, 0.5, 0.9]), n_members=2).fit(X, TARGET), X
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SERVED)
def test_predictions_of_many_threads_at_once(kind: str, tmp_path: Path) -> None:
    """Calls of every shape, the first ones of an estimator that has just been unpickled among them."""
    fitted, table = SERVED[kind]()
    stored = pickle.dumps(fitted)
    methods = [name for name in ("predict", "predict_proba", "predict_quantiles") if hasattr(fitted, name)]
    parts = [table[i : i + n] for i, n in ((0, 1), (3, 1), (0, table.shape[0]), (5, 40))]
    expected = [[getattr(pickle.loads(stored), method)(part) for part in parts] for method in methods]
    served = pickle.loads(stored)

    def serve(i: int) -> list[list[Any]]:
        order = [(m, p) for m in range(len(methods)) for p in range(len(parts))]
        found: list[list[Any]] = [[None] * len(parts) for _ in methods]
        for m, p in order[i % len(order) :] + order[: i % len(order)]:
            found[m][p] = getattr(served, methods[m])(parts[p])
        return found

    with settings_stay():
        answers = at_once(serve)
    for found in answers:
        for one, other in zip(expected, found, strict=True):
            for a, b in zip(one, other, strict=True):
                assert_array_equal(a, b)


def test_everything_else_of_many_threads_at_once(tmp_path: Path) -> None:
    fitted = network().fit(frame(), Y)
    sknnopt.save(fitted, tmp_path / "network")
    expected, loaded = fitted.score(frame(), Y), sknnopt.load(tmp_path / "network")

    def use(i: int) -> float:
        repr(loaded)
        assert len(loaded.net_.history) == 2
        again = pickle.loads(pickle.dumps(loaded)) if i % 2 else sknnopt.load(tmp_path / "network")
        sknnopt.save(again, tmp_path / f"network {i}")
        return float(again.score(frame(), Y) + loaded.score(frame(), Y))

    assert at_once(use, 4) == [2 * expected] * 4


def test_fits_of_many_threads_at_once() -> None:
    makes = [lambda i: network(random_state=i), lambda i: network(network=Small, random_state=i)]
    expected = [makes[i % 2](i).fit(X, Y).predict_proba(X) for i in range(8)]
    tasks = [joblib.delayed(lambda i: makes[i % 2](i).fit(X, Y).predict_proba(X))(i) for i in range(8)]
    with settings_stay():
        assert_array_equal(at_once(lambda i: makes[i % 2](i).fit(X, Y).predict_proba(X), 8), expected)
        assert_array_equal(joblib.Parallel(n_jobs=4, backend="threading")(tasks), expected)


def test_sweeps_of_threads_whose_settings_differ() -> None:
    """Each thread's number of threads is its own after a sweep, and that of threads yet to start is the process's."""

    def sweep(i: int) -> int:
        set_threads_here(1 + i)
        with lockstep(n_jobs=2):
            GridSearchCV(network(), {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(X, Y)
        return torch.get_num_threads()

    assert at_once(sweep, 3) == [1, 2, 3]


@pytest.mark.parametrize("own", [True, False])
def test_a_thread_that_begins_while_another_trains(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not own:
        monkeypatch.setattr(_threads, "_setters", lambda: [torch.set_num_threads])
    elif _threads._setters() == [torch.set_num_threads]:
        pytest.skip("this torch does not count its threads by OpenMP")
    inside, other, outside = threading.Event(), threading.Event(), threading.Event()

    def first() -> int:
        with single_thread():
            inside.set()
            other.wait(30)
        outside.set()
        return torch.get_num_threads()

    def second() -> int:
        inside.wait(30)
        with single_thread():
            other.set()
            outside.wait(30)
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        numbers = [future.result() for future in [pool.submit(first), pool.submit(second)]]
    if own:
        assert numbers == [3, 3]
    torch.set_num_threads(3)


def test_what_is_computed_on_first_use_is_the_same_for_all() -> None:
    for width in range(3, 23):
        mlp = MLP(4, (width, 5), 2, ReLU(), None, (0.0, 0.0))
        layouts: list[Layout] = at_once(lambda i, mlp=mlp: mlp.layout, 8)
        assert all(one.blocks == layouts[0].blocks for one in layouts)
        assert mlp.layout is mlp.layout


def test_classes_come_and_go_in_threads() -> None:
    """What is known of a class is kept in weak dictionaries."""

    def make(i: int) -> None:
        for _ in range(20):

            class Squared(losses.SquaredError):
                pass

            Squared().validate()
            Squared().get_params()
            del Squared
            gc.collect(0)

    at_once(make, 8)


def test_equal_tables_of_threads_that_come_and_go() -> None:
    shared = SharedTensors()

    def share(i: int) -> float:
        total = 0.0
        for k in range(50):
            inputs = torch.full((20, 2), float(k % 3))
            found = shared.share(Table(inputs, torch.zeros(20), None))
            total += float(found.inputs.sum())
        return total

    assert at_once(share, 8) == [40.0 * sum(k % 3 for k in range(50))] * 8


SCRIPT = Path(__file__).parent / "processes.py"
FORKED = [
    "predict", "predict with a network of one's own", "unpickle", "unpickle a training", "load", "save", "export",
    "clone", "fit", "fit a network of one's own", "partial_fit", "sweep", "a search in threads",
]  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_processes() -> None:
    """What came of each piece of work in children of a process that has trained with several threads."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=280, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    works = [*FORKED, "with locks held", "inside a sweep's task", "fork pool", "spawn pool"]
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(works, "same")
