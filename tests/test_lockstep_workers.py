"""Bundles on the workers of other joblib backends: the same bits, also when a worker is killed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import joblib.externals.loky.reusable_executor as loky
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic
from threadpoolctl import threadpool_info

from sknnopt import NNClassifier, lockstep, model_selection
from sknnopt.model_selection import _bundles

distributed = pytest.importorskip("distributed")

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]

OLD_JOBLIB = pytest.mark.filterwarnings("ignore:`apply_async` is deprecated:DeprecationWarning")
"""joblib 1.5 has not renamed the method of its own Dask backend."""

X, y = load_digits(return_X_y=True)
NETWORK = basic(NNClassifier, hidden_layer_sizes=(16,), batch_size=64, max_epochs=4, random_state=0)
PIPELINE = make_pipeline(StandardScaler(), NETWORK)
RATES = list(np.logspace(-3, -1, 4))
SEARCH = GridSearchCV(PIPELINE, {"nnclassifier__learning_rate": RATES}, cv=3, n_jobs=2, return_train_score=True)


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    search = GridSearchCV(PIPELINE, {"nnclassifier__learning_rate": RATES}, cv=3, return_train_score=True).fit(X, y)
    return {name: value for name, value in search.cv_results_.items() if name.endswith("score")}


@pytest.fixture(scope="module", autouse=True)
def no_workers_stay() -> Iterator[None]:
    yield
    loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as local,
        distributed.Client(local) as client,
    ):
        yield client


def check(expected: dict[str, Any], search: GridSearchCV, sizes: list[int]) -> None:
    for name, value in expected.items():
        assert_array_equal(search.cv_results_[name], value, err_msg=name)
    assert sum(sizes) == 12
    assert max(sizes) >= 3


@pytest.mark.parametrize("way", ["by name", "a configuration around it", "processes preferred", "a search of ours"])
def test_processes(way: str, expected: dict[str, Any]) -> None:
    if way == "by name":
        with lockstep(backend="loky") as sweep:
            SEARCH.fit(X, y)
    elif way == "a configuration around it":
        with joblib.parallel_config(backend="loky", n_jobs=2), lockstep() as sweep:
            SEARCH.fit(X, y)
    elif way == "processes preferred":
        with joblib.parallel_config(prefer="processes"), lockstep() as sweep:
            SEARCH.fit(X, y)
    else:
        search = model_selection.GridSearchCV(**SEARCH.get_params(deep=False))
        with joblib.parallel_config(backend="loky"), lockstep() as sweep:
            search.fit(X, y)
        check(expected, search, sweep.cohort_sizes)
        return
    check(expected, SEARCH, sweep.cohort_sizes)


def test_the_members_really_train_elsewhere(tmp_path: Path) -> None:
    def where(estimator: Any, X: Any, y: Any) -> float:
        """Where the other worker is slow to start, the first waits for it, and does not take its work."""
        (tmp_path / str(os.getpid())).touch()
        deadline = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return float(os.getpid())

    with lockstep(n_jobs=2, backend="loky"):
        pids = cross_val_score(NETWORK, X, y, scoring=where, cv=4)
    assert os.getpid() not in pids
    assert len(set(pids)) == 2


def computing() -> set[str]:
    """The process's threads but for those of Python's own, which wait or hold the interpreter's lock."""
    return set(os.listdir("/proc/self/task")) - {str(thread.native_id) for thread in threading.enumerate()}


class Counting(TransformerMixin, BaseEstimator):
    """Notes which threads the process has before the network is fitted."""

    def fit(self, X: Any, y: Any = None) -> "Counting":
        self.threads_ = computing()
        return self

    def transform(self, X: Any) -> Any:
        return X


def in_use(estimator: Any, X: Any, y: Any) -> dict[str, float]:
    """What a worker has after a fit."""
    until = time.monotonic() + 5
    while (new := computing() - estimator[0].threads_) and time.monotonic() < until:
        time.sleep(0.01)  # one that Python has just taken leave of is gone soon; those of a pool stay
    return {
        "accuracy": float(estimator.score(X, y)),
        "worker": float(os.getpid()),
        "torch": float(torch.get_num_threads()),
        "pools": float(max((pool["num_threads"] for pool in threadpool_info()), default=1)),
        "new": float(len(new)),
    }


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")
@pytest.mark.parametrize("together", [False, True])
def test_workers_do_not_take_more_threads_than_there_are_cores(together: bool) -> None:
    wide = clone(NETWORK).set_params(hidden_layer_sizes=(200, 200), max_epochs=1)
    search = GridSearchCV(
        Pipeline([("count", Counting()), ("network", wide)]), {"network__learning_rate": RATES[:2]}, cv=2, n_jobs=2,
        scoring=in_use, refit=False,
    )  # fmt: skip
    expected = clone(search).set_params(n_jobs=1).fit(X, y).cv_results_["mean_test_accuracy"]
    loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)  # whose pools would be there already
    with lockstep(n_jobs=2, backend="loky") if together else joblib.parallel_config(backend="loky"):
        results = search.fit(X, y).cv_results_
    found = {
        name: np.array([results[f"split{i}_test_{name}"] for i in range(2)])
        for name in ("worker", "torch", "pools", "new")
    }
    assert_array_equal(results["mean_test_accuracy"], expected)
    assert os.getpid() not in found["worker"]
    share = max(1, joblib.cpu_count() // 2)
    assert found["torch"].max() <= share
    assert found["pools"].max() <= share
    assert found["new"].max() <= 0  # a fit trains in the thread that it is in


def test_faults_stay_with_their_member_on_workers(expected: dict[str, Any]) -> None:
    search = GridSearchCV(PIPELINE, {"nnclassifier__learning_rate": [*RATES, -1.0]}, cv=3)
    with (
        lockstep(n_jobs=2, backend="loky"),
        pytest.warns(FitFailedWarning, match="3 fits failed"),
        pytest.warns(UserWarning, match="non-finite"),
    ):
        search.fit(X, y)
    assert_array_equal(search.cv_results_["mean_test_score"][:4], expected["mean_test_score"])
    assert np.isnan(search.cv_results_["mean_test_score"][4])


def test_the_first_error_ends_the_search_on_workers() -> None:
    search = GridSearchCV(PIPELINE, {"nnclassifier__learning_rate": [*RATES, -1.0]}, cv=3, error_score="raise")
    with lockstep(n_jobs=2, backend="loky"), pytest.raises(ValueError, match="learning_rate"):
        search.fit(X, y)


def test_a_search_inside_a_cross_validation_on_workers() -> None:
    search = GridSearchCV(PIPELINE, {"nnclassifier__learning_rate": RATES[:2]}, cv=2)
    expected = cross_val_score(search, X, y, cv=3)
    with lockstep(n_jobs=2, backend="loky") as sweep:
        assert_array_equal(cross_val_score(search, X, y, cv=3), expected)
    assert sum(sweep.cohort_sizes) == 3 * (4 + 1)


def test_what_cannot_be_sent_says_so() -> None:
    lock = threading.Lock()

    def score(estimator: Any, X: Any, y: Any) -> float:
        with lock:
            return 0.0

    with lockstep(n_jobs=2, backend="loky"), pytest.raises(Exception, match="pickle"):
        cross_val_score(NETWORK, X, y, scoring=score)


def killed_after(seconds: float, pids: Callable[[], list[int]]) -> threading.Thread:
    def kill() -> None:
        time.sleep(seconds)
        os.kill(pids()[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


LONG = GridSearchCV(
    make_pipeline(StandardScaler(), basic(NNClassifier, hidden_layer_sizes=(16,), max_epochs=30, random_state=0)),
    {"nnclassifier__learning_rate": RATES}, cv=3, n_jobs=2, refit=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def expected_of_long() -> np.ndarray:
    scores: np.ndarray = LONG.fit(X, y).cv_results_["mean_test_score"]
    return scores


@pytest.mark.parametrize("seconds", [0.1, 0.6])
def test_a_killed_process_loses_nothing(seconds: float, expected_of_long: np.ndarray) -> None:
    with lockstep(backend="loky"):
        cross_val_score(NETWORK, X, y, n_jobs=2)  # its workers are there now
        thread = killed_after(seconds, lambda: list(loky._executor._processes))
        found = LONG.fit(X, y).cv_results_["mean_test_score"]
    thread.join()
    assert_array_equal(found, expected_of_long)


def test_a_task_that_kills_its_worker_every_time_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bundles, "ATTEMPTS", 2)

    def score(estimator: Any, X: Any, y: Any) -> float:
        os._exit(1)

    with (
        lockstep(n_jobs=2, backend="loky"),
        pytest.raises(joblib.externals.loky.process_executor.TerminatedWorkerError),
    ):
        cross_val_score(NETWORK, X, y, scoring=score, cv=2)


@OLD_JOBLIB
def test_a_cluster(cluster: Any, expected: dict[str, Any]) -> None:
    with joblib.parallel_config(backend="dask"), lockstep() as sweep:
        SEARCH.fit(X, y)
    check(expected, SEARCH, sweep.cohort_sizes)


@OLD_JOBLIB
@pytest.mark.parametrize("seconds", [0.1, 0.6])
def test_a_killed_worker_of_a_cluster_loses_nothing(cluster: Any, seconds: float, expected_of_long: np.ndarray) -> None:
    thread = killed_after(seconds, lambda: list(cluster.run(os.getpid).values()))
    with joblib.parallel_config(backend="dask"), lockstep():
        found = LONG.fit(X, y).cv_results_["mean_test_score"]
    thread.join()
    assert_array_equal(found, expected_of_long)
    cluster.wait_for_workers(2, timeout=60)
