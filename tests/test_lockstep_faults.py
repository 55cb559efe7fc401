"""Faults stay with their member, nothing hangs, and no thread is left over."""

import _thread
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt.losses import Loss
from sknnopt.model_selection._backend import NestedBackend
from sknnopt.model_selection._scheduler import Scheduler
from sknnopt.model_selection._sweep import Sweep

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite"),
]

X, y = load_iris(return_X_y=True)
NETWORK = basic(NNClassifier, hidden_layer_sizes=(6,), max_epochs=4, random_state=0)
LONG = basic(NNClassifier, hidden_layer_sizes=(6,), max_epochs=100_000, random_state=0)
FOLDS = 3


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive(), thread


class Failing(TransformerMixin, BaseEstimator):
    """Raises where it is told to."""

    def __init__(self, where: str = "nowhere") -> None:
        self.where = where

    def fit(self, X: Any, y: Any = None) -> "Failing":
        if self.where == "fit":
            raise RuntimeError("a transformer's fault")
        return self

    def transform(self, X: Any) -> Any:
        return X

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Faulty(Callback):
    """Raises in the third epoch."""

    def __init__(self, error: type[BaseException] = RuntimeError) -> None:
        self.error = error

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if len(net.history) == 3:
            raise self.error("a callback's fault")


class Rows(ClassifierMixin, BaseEstimator):
    """Fits so many networks in a row."""

    def __init__(self, count: int = 1) -> None:
        self.count = count

    def fit(self, X: Any, y: Any) -> "Rows":
        self.classes_ = np.unique(y)
        self.networks_ = [clone(NETWORK).set_params(random_state=seed).fit(X, y) for seed in range(self.count)]
        return self

    def predict(self, X: Any) -> Any:
        votes = [network.predict_proba(X) for network in self.networks_]
        return self.classes_[np.mean(votes, axis=0).argmax(1)] if votes else np.repeat(self.classes_[0], len(X))


class Interrupt:
    """Presses Ctrl-C in the first epoch of a sweep, which ends when the sweep has been given up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given_up, self.pressed, self.late = threading.Event(), False, Counter[int]()
        self._patch, before = monkeypatch, Scheduler.abort

        def abort(scheduler: Scheduler, call: Any) -> None:
            before(scheduler, call)
            self.given_up.set()

        monkeypatch.setattr(Scheduler, "abort", abort)
        monkeypatch.setattr(Sweep, "epoch", lambda sweep, members: self._epoch())

    def _epoch(self) -> None:
        if self.given_up.is_set():
            self.late[threading.get_ident()] += 1
        elif not self.pressed:
            self.pressed = True
            _thread.interrupt_main()
            self.given_up.wait(30)

    def is_over(self) -> None:
        """Check that each cohort has ended with the epoch that it was in; from now on nothing is pressed."""
        assert self.pressed
        assert self.given_up.is_set()
        assert set(self.late.values()) <= {1}
        self._patch.undo()


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    return Interrupt(monkeypatch)


def broken_score(estimator: Any, X: Any, y: Any) -> float:
    if estimator.learning_rate == 0.02:
        raise RuntimeError("a scorer's fault")
    return float(estimator.score(X, y))


def broken_schedule(progress: Any) -> Any:
    raise RuntimeError("a schedule's fault")


def broken_initializer(weight: Any, *, generator: Any, gain: float) -> None:
    raise RuntimeError("an initializer's fault")


BASE = Pipeline([("first", Failing()), ("network", NETWORK)])
GOOD = [{"network__learning_rate": [rate]} for rate in (1e-3, 1e-2, 3e-2)]
FAULTS: dict[str, dict[str, Any]] = {
    "diverges": {"network__learning_rate": [1e30], "network__gradient_clipping": [None], "network__optimizer": ["sgd"]},
    "diverges with the others": {"network__learning_rate": [1e38]},
    "raises in fit": {"network__learning_rate": [-1.0]},
    "its transformer raises": {"first__where": ["fit"]},
    "its scorer raises while it trains": {
        "network__scoring": [broken_score], "network__learning_rate": [0.02], "network__early_stopping": [True]
    },
    "its callback raises": {"network__callbacks": [[Faulty]]},
    "its schedule raises": {"network__schedule": [broken_schedule]},
    "its initializer raises": {"network__initializer": [broken_initializer]},
}  # fmt: skip


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
def test_others_are_unchanged(fault: str, n_jobs: int) -> None:
    alone = GridSearchCV(BASE, GOOD, cv=FOLDS).fit(X, y)
    search = GridSearchCV(BASE, [*GOOD[:2], FAULTS[fault], *GOOD[2:]], cv=FOLDS)
    with lockstep(n_jobs=n_jobs) as sweep, pytest.warns(FitFailedWarning, match="3 fits failed"):
        search.fit(X, y)
    found = search.cv_results_["mean_test_score"]
    assert np.isnan(found[2])
    assert_array_equal(np.delete(found, 2), alone.cv_results_["mean_test_score"])
    assert max(sweep.cohort_sizes) >= 9 // n_jobs


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_scorer_that_raises(n_jobs: int) -> None:
    search = GridSearchCV(NETWORK, {"learning_rate": [0.01, 0.02, 0.03]}, scoring=broken_score, cv=FOLDS)
    with pytest.warns(UserWarning, match="Scoring failed"):
        expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
    with lockstep(n_jobs=n_jobs), pytest.warns(UserWarning, match="Scoring failed"):
        found = search.fit(X, y).cv_results_["mean_test_score"]
    assert_array_equal(expected, found)
    assert np.isnan(found[1])


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("fault", ["raises in fit", "its callback raises", "its schedule raises"])
def test_the_first_error_ends_the_search_if_it_is_to(fault: str, n_jobs: int) -> None:
    search = GridSearchCV(BASE, [*GOOD, FAULTS[fault]], cv=FOLDS, error_score="raise")
    with lockstep(n_jobs=n_jobs), pytest.raises((RuntimeError, ValueError), match=r"fault|learning_rate"):
        search.fit(X, y)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_inside_a_nested_search_ends_that_search_alone(n_jobs: int) -> None:
    inner = GridSearchCV(BASE, [*GOOD, FAULTS["raises in fit"]], cv=FOLDS, error_score="raise")
    outer = GridSearchCV(
        Pipeline([("search", inner)]), {"search__param_grid": [GOOD, inner.param_grid]}, cv=FOLDS, refit=False
    )
    expected = cross_val_score(clone(inner).set_params(param_grid=GOOD), X, y, cv=FOLDS)
    with lockstep(n_jobs=n_jobs), pytest.warns(FitFailedWarning):
        results = outer.fit(X, y).cv_results_
    assert_array_equal([results[f"split{i}_test_score"][0] for i in range(FOLDS)], expected)
    assert np.isnan(results["mean_test_score"][1])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_ends_everything_within_an_epoch(n_jobs: int, interrupt: Interrupt) -> None:
    search = GridSearchCV(LONG, {"learning_rate": np.logspace(-4, -2, 8)}, cv=FOLDS)
    with lockstep(n_jobs=n_jobs), pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    interrupt.is_over()
    with lockstep(n_jobs=n_jobs):
        assert cross_val_score(NETWORK, X, y).shape == (5,)


def test_an_interrupt_while_searches_are_nested(interrupt: Interrupt) -> None:
    search = GridSearchCV(LONG, {"learning_rate": np.logspace(-4, -2, 3)}, cv=FOLDS)
    with lockstep(), pytest.raises(KeyboardInterrupt):
        cross_val_score(search, X, y)
    interrupt.is_over()


def test_a_callback_that_raises_keyboard_interrupt_is_the_users_wish() -> None:
    search = GridSearchCV(NETWORK, {"callbacks": [None, [Faulty(KeyboardInterrupt)]]}, cv=FOLDS)
    with lockstep(), pytest.raises(KeyboardInterrupt):
        search.fit(X, y)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_tasks_may_fit_none_one_or_ten_networks(n_jobs: int) -> None:
    search = GridSearchCV(Rows(), {"count": [0, 1, 10]}, cv=FOLDS)
    expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
    with lockstep(n_jobs=n_jobs) as sweep:
        found = search.fit(X, y).cv_results_["mean_test_score"]
    assert_array_equal(expected, found)
    assert sum(sweep.cohort_sizes) == 33
    assert max(sweep.cohort_sizes) >= 6 // n_jobs


def test_a_slow_task_does_not_hold_up_the_networks() -> None:
    """It ends when all networks have been scored, which would be never if they waited for it."""
    first, scored, networks = threading.Lock(), threading.Semaphore(0), 4

    class Slow(Rows):
        def fit(self, X: Any, y: Any) -> Rows:
            if first.acquire(blocking=False):
                for _ in range(networks):
                    assert scored.acquire(timeout=30)
            return super().fit(X, y)

    def score(estimator: Any, X: Any, y: Any) -> float:
        if not isinstance(estimator[-1], Slow):
            scored.release()
        return 0.0

    grid = [{"model": [Slow(count=0)]}, {"model__learning_rate": [1e-3, 1e-2]}]
    search = GridSearchCV(Pipeline([("model", NETWORK)]), grid, scoring=score, refit=False, cv=2, error_score="raise")
    with lockstep(n_jobs=2) as sweep:
        search.fit(X, y)
    assert sum(sweep.cohort_sizes) == networks


def test_two_sweeps_from_two_threads() -> None:
    expected = GridSearchCV(NETWORK, {"learning_rate": [1e-3, 1e-2]}).fit(X, y).cv_results_["mean_test_score"]
    found: list[Any] = [None, None]

    def run(i: int) -> None:
        with lockstep(n_jobs=i + 1) as sweep:
            search = GridSearchCV(NETWORK, {"learning_rate": [1e-3, 1e-2]}).fit(X, y)
        found[i] = search.cv_results_["mean_test_score"], sum(sweep.cohort_sizes)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for scores, members in found:
        assert_array_equal(scores, expected)
        assert members == 10


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("return_as", ["list", "generator", "generator_unordered"])
def test_joblibs_own_calls(return_as: str) -> None:
    def fit(seed: int) -> np.ndarray:
        return clone(NETWORK).set_params(random_state=seed).fit(X, y).predict_proba(X)

    with lockstep(n_jobs=1) as sweep:
        found = list(joblib.Parallel(return_as=return_as)(joblib.delayed(fit)(seed) for seed in range(5)))
    expected = [fit(seed) for seed in range(5)]
    for proba in expected:
        assert any(np.array_equal(proba, other) for other in found)
    assert sweep.cohort_sizes == [5]


def test_a_generator_that_nobody_reads_yet_trains_all_the_same() -> None:
    trained = threading.Semaphore(0)

    def fit(seed: int) -> int:
        clone(NETWORK).fit(X, y)
        trained.release()
        return seed

    with lockstep(n_jobs=1):
        outputs = joblib.Parallel(return_as="generator")(joblib.delayed(fit)(seed) for seed in range(3))
        assert all(trained.acquire(timeout=30) for _ in range(3))
        assert list(outputs) == [0, 1, 2]


def test_an_iterator_slower_than_the_fits_is_not_waited_for() -> None:
    done = threading.Event()

    def fit(i: int) -> int:
        clone(NETWORK).fit(X, y)
        if i == 1:
            done.set()
        return i

    def tasks() -> Iterator[Any]:
        for i in range(4):
            assert i < 2 or done.wait(30)
            yield joblib.delayed(fit)(i)

    with lockstep(n_jobs=1):
        assert joblib.Parallel(n_jobs=2)(tasks()) == [0, 1, 2, 3]


def test_a_network_of_ones_own_trains_among_the_others() -> None:
    from torch import nn

    search = GridSearchCV(NETWORK, {"network": ["mlp", nn.Linear]})
    expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
    with lockstep(n_jobs=2):
        assert_array_equal(expected, search.fit(X, y).cv_results_["mean_test_score"])


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("nested", [False, True])
def test_a_block_serves_again_after_an_interrupt(nested: bool, n_jobs: int, interrupt: Interrupt) -> None:
    search: Any = GridSearchCV(LONG, {"learning_rate": np.logspace(-4, -2, 4)}, cv=FOLDS)
    with lockstep(n_jobs=n_jobs):
        with pytest.raises(KeyboardInterrupt):
            cross_val_score(search, X, y) if nested else search.fit(X, y)
        interrupt.is_over()
        assert cross_val_score(NETWORK, X, y).shape == (5,)
        with pytest.raises(ValueError, match="learning_rate"):
            GridSearchCV(NETWORK, {"learning_rate": [0.1, -1.0]}, error_score="raise").fit(X, y)
        assert cross_val_score(NETWORK, X, y).shape == (5,)


def test_a_progress_bar_that_cannot_write_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        encoding = "utf-8"

        def write(self, text: str) -> None:
            raise OSError("closed")

        def flush(self) -> None:
            raise OSError("closed")

    with lockstep(verbose=1) as sweep:
        monkeypatch.setattr("sknnopt.model_selection._progress.Progress.arrived", lambda *args: Closed().write(""))
        assert cross_val_score(NETWORK, X, y).shape == (5,)
    assert sum(sweep.cohort_sizes) == 5


def limit_threads(monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> list[str]:
    """Let only so many threads of a kind live at once; return where it is noted who could not start."""
    start, begun, refused = threading.Thread.start, list[threading.Thread](), list[str]()

    def limited(thread: threading.Thread) -> None:
        if name in (thread.name, type(thread).__name__):
            if sum(other.is_alive() for other in begun) >= most:
                refused.append(name)
                raise RuntimeError("can't start new thread")
            begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return refused


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    ("estimator", "most", "n_jobs"),
    [("networks", 1, 1), ("networks", 3, 2), ("none", 1, 2), ("nested", 1, 1), ("nested", 2, 2)],
)
def test_threads_that_cannot_start_leave_the_work_to_the_others(
    estimator: str, most: int, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = GridSearchCV(NETWORK, {"learning_rate": [1e-3, 1e-2, 3e-2]}, cv=2)
    model = {"networks": NETWORK, "none": Rows(count=0), "nested": search}[estimator]
    expected = cross_val_score(model, X, y, cv=4)
    refused = limit_threads(monkeypatch, "sknnopt task", most)
    with lockstep(n_jobs=n_jobs):
        assert_array_equal(cross_val_score(model, X, y, cv=4), expected)
    assert refused or model is not NETWORK  # whose threads all wait for each other


def test_a_search_says_that_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_threads(monkeypatch, "sknnopt task", 0)
    with lockstep(), pytest.raises(RuntimeError, match="can't start new thread"):
        cross_val_score(NETWORK, X, y, cv=3)


def test_without_a_thread_to_wait_in_nobody_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer's thread."""
    expected = cross_val_score(NETWORK, X, y, cv=3)
    refused = limit_threads(monkeypatch, "Timer", 0)
    trained = threading.Event()

    def fit(i: int) -> int:
        clone(NETWORK).fit(X, y)
        trained.set()
        return i

    def tasks() -> Iterator[Any]:
        for i in range(4):  # which joblib reads in pairs
            assert i < 2 or trained.wait(30)
            yield joblib.delayed(fit)(i)

    with lockstep(n_jobs=1):
        assert joblib.Parallel()(tasks()) == [0, 1, 2, 3]
        assert refused
        assert_array_equal(cross_val_score(NETWORK, X, y, cv=3), expected)


def test_losses_that_differ_deep_inside_do_not_share_a_cohort() -> None:
    class Weighted(Loss):
        tasks = frozenset({"regression"})

        def __init__(self, weights: Any) -> None:
            self.weights = weights

        def __call__(self, output: Any, target: Any) -> Any:
            return (output - target).square().sum(1) * float(self.weights[1000])

    low, high = np.ones(3000), np.ones(3000)
    high[1000] = 50.0
    network = basic(
        NNRegressor, hidden_layer_sizes=(4,), max_epochs=3, optimizer="sgd", learning_rate=1e-3, random_state=0
    )
    search = GridSearchCV(network, {"loss": [Weighted(low), Weighted(high)]}, cv=2, refit=False)
    expected = clone(search).fit(X, X[:, 0]).cv_results_["mean_test_score"]
    with lockstep(n_jobs=1) as sweep:
        found = search.fit(X, X[:, 0]).cv_results_["mean_test_score"]
    assert_array_equal(expected, found)
    assert expected[0] != expected[1]
    assert sum(sweep.cohort_sizes) == 4


@pytest.mark.parametrize("max_members", [2, 3])
def test_every_token_comes_back_when_tasks_lead_cohorts_of_others(
    max_members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps: list[Sweep] = []
    anew = Sweep.anew
    monkeypatch.setattr(Sweep, "anew", lambda sweep: sweeps.append(anew(sweep)) or sweeps[-1])
    network = clone(NETWORK).set_params(n_members=5)
    expected = cross_val_score(network, X, y, cv=4)
    with lockstep(n_jobs=2, max_members=max_members):
        for _ in range(10):
            assert_array_equal(cross_val_score(network, X, y, cv=4), expected)
    for sweep in sweeps:
        tokens = sweep.scheduler._tokens
        assert (tokens._used, tokens.waiting, tokens._running, tokens.calls, bool(tokens._room)) == (
            0, set(), set(), set(), False
        )  # fmt: skip


def test_a_block_entered_twice_ends_twice() -> None:
    block = lockstep(n_jobs=1)
    with block, block:
        assert cross_val_score(NETWORK, X, y, cv=2).shape == (2,)
    assert not isinstance(joblib.parallel.get_active_backend()[0], NestedBackend)


@pytest.mark.parametrize("max_members", [2, "auto"])
def test_a_scorer_may_cross_validate_while_an_ensemble_trains(max_members: Any) -> None:
    def score(estimator: Any, X: Any, y: Any) -> float:
        return float(cross_val_score(GaussianNB(), X, y, cv=2).mean())

    network = basic(NNClassifier,
        hidden_layer_sizes=(4,), max_epochs=2, n_members=5, early_stopping=True, validation_fraction=0.3, scoring=score,
        random_state=0,
    )  # fmt: skip
    expected = cross_val_score(network, X, y, cv=2)
    with lockstep(n_jobs=1, max_members=max_members):
        assert_array_equal(cross_val_score(network, X, y, cv=2), expected)


def test_a_scorer_may_fit_networks_itself() -> None:
    def score(estimator: Any, X: Any, y: Any) -> float:
        return float(cross_val_score(clone(NETWORK), X, y, cv=2).mean())

    estimator = basic(
        NNClassifier,
        hidden_layer_sizes=(4,),
        max_epochs=2,
        early_stopping=True,
        validation_fraction=0.3,
        scoring=score,
        random_state=0,
    )
    expected = GridSearchCV(estimator, {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(X, y).cv_results_["mean_test_score"]
    with lockstep(n_jobs=2):
        found = GridSearchCV(estimator, {"learning_rate": [1e-3, 1e-2]}, cv=2).fit(X, y).cv_results_["mean_test_score"]
    assert_array_equal(expected, found)


class Clock:
    """Goes on only where it is told to: 2 s when rows are prepared, 12 in a cohort's epoch, half of one for a score."""

    now = 0.0

    @classmethod
    def transform(cls, X: Any) -> Any:
        cls.now += 2.0
        return X

    @classmethod
    def epoch(cls, members: int) -> None:
        cls.now += 12.0

    @classmethod
    def score(cls, estimator: Any, X: Any, y: Any) -> float:
        cls.now += 0.5
        return 0.0


TIMED = GridSearchCV(
    Pipeline([("rows", FunctionTransformer(Clock.transform)), ("network", NETWORK)]),
    {"network__learning_rate": [1e-3, 1e-2, 3e-2]}, cv=FOLDS, scoring=Clock.score,
)  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, patient: None) -> Iterator[None]:
    monkeypatch.setattr(Clock, "now", 0.0)
    monkeypatch.setattr(Sweep, "epoch", Clock.epoch)
    for name in ("time", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: Clock.now)
    yield
    monkeypatch.undo()


@pytest.mark.usefixtures("clock")
def test_fit_times_are_shares_of_the_cohorts() -> None:
    with lockstep(n_jobs=1, max_members=3) as sweep:
        results = clone(TIMED).set_params(refit=False).fit(X, y).cv_results_
    assert sweep.cohort_sizes == [3, 3, 3]
    assert_allclose([results["mean_fit_time"], results["mean_score_time"]], [[2 + 4 * 12 / 3] * 3, [0.5] * 3])


@pytest.mark.usefixtures("clock")
def test_fit_times_of_nested_searches_do_not_count_the_others() -> None:
    with lockstep(n_jobs=1) as sweep:
        results = cross_validate(TIMED, X, y, cv=FOLDS)
    assert sweep.cohort_sizes == [27, 3]
    searched = 9 * (2 + 4 * 12 / 27 + 0.5) + 2 + 4 * 12 / 3
    assert_allclose([results["fit_time"], results["score_time"]], [[searched] * 3, [0.5] * 3])
    assert Clock.now == pytest.approx(results["fit_time"].sum() + results["score_time"].sum())
