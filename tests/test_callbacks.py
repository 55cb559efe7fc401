"""scikit-learn's callbacks: the tasks they are told of, what they get, and what they may ask for."""

import io
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
IRIS, DIABETES = load_iris(return_X_y=True), load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 4, "random_state": 0}
TOGETHER = {"n_members": 4, "early_stopping": True, "n_iter_no_change": 100}


class Spy:
    """Notes every task, and what it is given."""

    def __init__(self, stop_after: int = 10**6, fail_at: str = "") -> None:
        self.begun: list[tuple[Any, ...]] = []
        self.ended: list[tuple[Any, ...]] = []
        self.fitted: list[Any] = []
        self.metadata: list[Any] = []
        self.scores: list[float] = []
        self.calls: list[str] = []
        self.stop_after, self.fail_at = stop_after, fail_at

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.task_id, context.max_subtasks))
        if context.task_name == self.fail_at:
            raise RuntimeError("no further")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.ended.append((context.task_name, context.task_id))
        self.metadata.append(metadata)
        if fitted_estimator is not None:
            self.fitted.append(fitted_estimator)
            self.scores.append(fitted_estimator.score(X, y))
        return sum(name == "epoch" for name, _ in self.ended) >= self.stop_after


class TestTasks:
    @pytest.mark.parametrize("settings", [{}, TOGETHER], ids=["one network", "together"])
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_epochs_are_below_the_fit(self, make, settings):
        spy = Spy()
        basic(make, **QUICK, **settings).set_callbacks(spy).fit(*(IRIS if make is NNClassifier else DIABETES))
        epochs = [("epoch", k, 0) for k in range(4)]
        assert spy.begun == [("fit", 0, 4), *epochs]
        assert spy.ended == [*(epoch[:2] for epoch in epochs), ("fit", 0)]
        assert spy.calls == ["setup", "teardown"]

    def test_members_by_themselves_are_tasks(self):
        spy = Spy()
        basic(NNRegressor, **QUICK, n_members=2, early_stopping=False).set_callbacks(spy).fit(*DIABETES)
        assert spy.begun[0] == ("fit", 0, 2)
        assert [task for task in spy.begun if task[0] == "members"] == [("members", 0, 4), ("members", 1, 4)]
        assert len([task for task in spy.ended if task[0] == "epoch"]) == 8
        assert [task for task in spy.ended if task[0] == "members"] == [("members", 0), ("members", 1)]

    def test_recipes_and_starts_are_groups(self):
        spy = Spy()
        settings = {**TOGETHER, "recipes": [{"optimizer": "sgd"}], "n_restarts": 2}
        basic(NNRegressor, **QUICK, **settings).set_callbacks(spy).fit(*DIABETES)
        assert spy.begun[0] == ("fit", 0, 4)
        assert len([task for task in spy.ended if task[0] == "epoch"]) == 16

    def test_a_fit_without_is_the_same_to_the_bit(self):
        plain = basic(NNClassifier, **QUICK, **TOGETHER, dropout=0.2).fit(*IRIS)
        clf = basic(NNClassifier, **QUICK, **TOGETHER, dropout=0.2).set_callbacks(Spy()).fit(*IRIS)
        assert_array_equal(clf.predict_proba(IRIS[0]), plain.predict_proba(IRIS[0]))
        assert not [name for name in vars(clf) if name.startswith(("_callback", "_skl_callbacks_to"))]

    def test_early_stopping_ends_the_fit(self):
        spy = Spy()
        settings = {**QUICK, "max_epochs": 50, "early_stopping": True, "n_iter_no_change": 2, "tol": 1e6}
        clf = basic(NNClassifier, **settings).set_callbacks(spy).fit(*IRIS)
        assert len([task for task in spy.ended if task[0] == "epoch"]) == clf.n_iter_ == 3

    def test_clones_and_pipelines_have_them(self):
        spy = Spy()
        clone(basic(NNClassifier, **QUICK).set_callbacks(spy)).fit(*IRIS)
        assert len(spy.ended) == 5
        make_pipeline(StandardScaler(), basic(NNClassifier, **QUICK).set_callbacks(spy)).fit(*IRIS)
        assert len(spy.ended) == 10


class TestWhatTheyGet:
    @pytest.mark.parametrize("settings", [{}, TOGETHER, {"weight_averaging": "ema"}, {"normalization": "batch"}])
    def test_the_fitted_estimator_is_what_a_shorter_fit_gives(self, settings):
        spy = Spy()
        settings = {**QUICK, "calibration": None, "schedule": "constant", **settings}
        clf = basic(NNClassifier, **settings).set_callbacks(spy).fit(*IRIS)
        for epochs in (1, 3):
            short = basic(NNClassifier, **{**settings, "early_stopping": settings.get("early_stopping", False)})
            short.set_params(max_epochs=epochs).fit(*IRIS)
            if short.best_epoch_ is not None and np.max(short.best_epoch_) == epochs:  # went back to no earlier one
                then = spy.fitted[epochs - 1].predict_proba(IRIS[0])
                assert_allclose(then, short.predict_proba(IRIS[0]), rtol=1e-5, atol=1e-7)
        assert spy.fitted[0].n_iter_ == 1
        assert len(spy.fitted) == 5
        assert_array_equal(spy.fitted[-1].predict_proba(IRIS[0]), clf.predict_proba(IRIS[0]))
        first = spy.fitted[0].predict_proba(IRIS[0])
        assert np.abs(first - spy.fitted[3].predict_proba(IRIS[0])).max() > 1e-3

    def test_it_keeps_its_own_weights(self):
        spy = Spy()
        basic(NNClassifier, **QUICK).set_callbacks(spy).fit(*IRIS)
        assert spy.scores == [one.score(*IRIS) for one in spy.fitted]

    def test_sample_weights_are_metadata(self):
        spy = Spy()
        weight = np.ones(150)
        basic(NNClassifier, **QUICK).set_callbacks(spy).fit(*IRIS, sample_weight=weight)
        assert all(metadata["sample_weight"] is weight for metadata in spy.metadata)

    def test_frames_and_quantiles(self):
        spy = Spy()
        X, y = load_diabetes(return_X_y=True, as_frame=True)
        settings = {**QUICK, "loss": "quantile", "early_stopping": True}
        basic(NNRegressor, **settings).set_callbacks(spy).fit(X, y)
        assert spy.fitted[0].predict_quantiles(X).shape == (442, 1)


class TestWhatTheyAskFor:
    @pytest.mark.parametrize("settings", [{}, TOGETHER])
    def test_to_stop(self, settings):
        clf = basic(NNClassifier, **QUICK, **settings).set_callbacks(Spy(stop_after=2)).fit(*IRIS)
        assert clf.n_iter_ == 2

    @pytest.mark.parametrize("where", ["fit", "epoch"])
    def test_errors_are_raised_and_leave_nothing(self, where):
        spy = Spy(fail_at=where)
        clf = basic(NNClassifier, **QUICK).set_callbacks(spy)
        before = set(vars(clf))
        with pytest.raises(RuntimeError, match="no further"):
            clf.fit(*IRIS)
        assert spy.calls == ["setup", "teardown"]
        assert set(vars(clf)) == before

    def test_bad_data_are_refused_before(self):
        spy = Spy()
        with pytest.raises(ValueError, match="NaN"):
            basic(NNClassifier, **QUICK).set_callbacks(spy).fit(IRIS[0], np.full(150, np.nan))
        assert spy.calls == []

    def test_only_callbacks_are_taken(self):
        with pytest.raises(TypeError, match="FitCallback"):
            basic(NNClassifier).set_callbacks("progress")


class TestSklearns:
    def test_a_scoring_monitor(self):
        monitor = callback.ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
        clf = basic(NNClassifier, **QUICK).set_callbacks(monitor).fit(*IRIS)
        log = monitor.get_logs().data
        assert [row["task_name"] for row in log] == ["fit"] + ["epoch"] * 4
        assert log[0]["accuracy"] == clf.score(*IRIS)

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_a_search_hands_on_a_progress_bar(self, n_jobs, monkeypatch):
        console, out = pytest.importorskip("rich.console"), io.StringIO()
        monkeypatch.setattr(
            "rich.progress.get_console", lambda: console.Console(file=out, force_terminal=True, width=120)
        )
        grid = {"hidden_layer_sizes": [(4,), (8,)]}
        plain = GridSearchCV(basic(NNClassifier, **QUICK), grid, cv=2).fit(*IRIS)
        search = GridSearchCV(basic(NNClassifier, **QUICK), grid, cv=2, n_jobs=n_jobs)
        search.set_callbacks(callback.ProgressBar(max_propagation_depth=1))
        with lockstep():
            search.fit(*IRIS)
        assert out.getvalue().count("NNClassifier - fit") >= 4
        assert "GridSearchCV - fit" in out.getvalue()
        assert_array_equal(search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])

    def test_a_monitor_sees_all_fits_of_a_cross_validation_in_lockstep(self):
        monitor = callback.ScoringMonitor(scoring="r2")
        network = basic(NNRegressor, **QUICK).set_callbacks(monitor)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            with lockstep():
                cross_validate(network, *DIABETES, cv=3)
        logs = monitor.get_logs(select="all")
        assert len(logs) == 3
        assert all(len(log.data) == 5 for log in logs)
