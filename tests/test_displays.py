"""Pictures of trainings, schedules, searches and weights show what was recorded; the odd cases can be drawn too."""

import pickle
import sys
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import loguniform, uniform
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, optimizers, schedules
from sknnopt import model_selection as ours
from sknnopt.inspection import LossCurveDisplay, RecordWeights, ScheduleDisplay, SearchDisplay, WeightsDisplay
from sknnopt.inspection._record_weights import _evaluating
from sknnopt.inspection._search_values import Found, effect, read_values
from sknnopt.optimizers import SGD
from sknnopt.schedules import OneCycle, Plateau, Scheduled

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (6,), "max_epochs": 6, "learning_rate": 0.02, "random_state": 0}


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def drawn(display: Any) -> Any:
    """The display, once its figure has been laid out and drawn without a warning, nothing beyond its edges."""
    display.figure_.canvas.draw()
    for ax in display.figure_.axes:
        for text in [ax.xaxis.label, ax.yaxis.label, ax.title]:
            if text.get_text() and ax.axison:
                box = text.get_window_extent()
                width, height = display.figure_.bbox.size
                assert box.x0 >= -1, text
                assert box.y0 >= -1, text
                assert box.x1 <= width + 1, text
                assert box.y1 <= height + 1, text
    return display


def labels(ax: Any) -> list[str]:
    return ax.get_legend_handles_labels()[1]


class TestLossCurve:
    def test_one_network(self):
        reg = basic(NNRegressor, **QUICK, early_stopping=True).fit(*DIABETES)
        display = drawn(LossCurveDisplay.from_estimator(reg))
        assert_array_equal(display.lines_["train_loss"].get_ydata(), reg.loss_curve_)
        assert_array_equal(display.lines_["train_loss"].get_xdata(), range(1, reg.n_iter_ + 1))
        assert_array_equal(display.lines_["valid_loss"].get_ydata(), [one["valid_loss"] for one in reg.history_])
        assert list(display.lines_) == ["train_loss", "valid_loss"]
        assert display.bands_ == {}
        assert display.score_ax_ is None
        assert display.ax_.get_ylabel() == "squared error of the scaled target (mean over rows)"
        assert labels(display.ax_)[-1] == f"weights kept, epoch {reg.best_epoch_}"
        assert [line[0, 0] for line in display.best_[0].get_segments()] == [reg.best_epoch_]

    def test_members_have_a_band_and_a_range_of_best_epochs(self):
        recipes = [{"max_epochs": 9}]
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=recipes).fit(*IRIS)
        display = drawn(LossCurveDisplay.from_estimator(clf))
        at, mean = display.lines_["train_loss"].get_data()
        whole = at == np.round(at)
        assert_allclose(mean[whole], clf.loss_curve_)
        assert at[np.isnan(mean)].tolist() == [6.5], "a gap where members end"
        band = display.bands_["train_loss"].get_paths()
        corners = np.concatenate([path.vertices for path in band])
        each = clf.member_histories_["train_loss"]
        for epoch in (1, 9):
            ys = corners[corners[:, 0] == epoch, 1]
            assert_allclose([ys.min(), ys.max()], [np.nanmin(each[:, epoch - 1]), np.nanmax(each[:, epoch - 1])])
        assert labels(display.ax_)[-1] == "weights kept, epochs 6 to 9"

    def test_quartiles_or_no_band(self):
        clf = basic(NNClassifier, **QUICK, n_members=5).fit(*IRIS)
        each = clf.member_histories_["train_loss"]
        band = LossCurveDisplay.from_estimator(clf, band="quartiles").bands_["train_loss"]
        corners = np.concatenate([path.vertices for path in band.get_paths()])
        ys = corners[corners[:, 0] == 1, 1]
        assert_allclose([ys.min(), ys.max()], np.percentile(each[:, 0], [25, 75]))
        assert LossCurveDisplay.from_estimator(clf, band=None).bands_ == {}
        with pytest.raises(ValueError, match=r"'quartiles' or None. Got 'quartile' instead. Did you mean 'quartiles'"):
            LossCurveDisplay.from_estimator(clf, band="quartile")

    def test_what_calibration_judges_by_is_a_line(self):
        clf = basic(NNClassifier, **QUICK, early_stopping=True).fit(*CANCER)
        display = drawn(LossCurveDisplay.from_estimator(clf))
        assert_allclose(display.lines_["judged"].get_ydata(), -np.array(clf.validation_scores_))
        assert display.score_ax_ is None

    def test_a_score_has_its_own_panel(self):
        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring="accuracy").fit(*CANCER)
        display = drawn(LossCurveDisplay.from_estimator(clf, log_scale=True))
        assert_array_equal(display.lines_["score"].get_ydata(), clf.validation_scores_)
        assert display.score_ax_.get_ylabel() == "accuracy"
        assert display.ax_.get_yscale() == "log"
        assert display.score_ax_.get_yscale() == "linear"
        assert len(display.best_) == 2
        assert display.lines_["score"] in display.score_ax_.lines

    def test_several_in_given_axes_of_any_holder(self):
        import matplotlib.pyplot as plt

        clf = basic(NNClassifier, **QUICK)
        piped = make_pipeline(StandardScaler(), clf).fit(*IRIS)
        searched = GridSearchCV(clf, {"dropout": [0.0]}, cv=2).fit(*IRIS)
        _, ax = plt.subplots(layout="constrained")
        for name, one, style in (("a", piped, {"color": "red"}), ("b", searched, {"marker": "*"})):
            display = LossCurveDisplay.from_estimator(one, ax=ax, name=name, curve_kwargs=style)
            assert display.ax_ is ax
            assert getattr(display.lines_["train_loss"], f"get_{next(iter(style))}")() == next(iter(style.values()))
        assert [label[:3] for label in labels(ax)] == ["a: ", "a: ", "b: ", "b: "]

    def test_one_axes_is_divided_and_two_are_taken(self):
        import matplotlib.pyplot as plt

        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring="accuracy").fit(*CANCER)
        figure, axes = plt.subplots(1, 2, layout="constrained")
        divided = drawn(LossCurveDisplay.from_estimator(clf, ax=axes[0]))
        assert not axes[0].axison
        assert divided.figure_ is figure
        assert not axes[1].has_data()
        _, pair = plt.subplots(2, 1)
        given = LossCurveDisplay.from_estimator(clf, ax=pair)
        assert (given.ax_, given.score_ax_) == tuple(pair)
        with pytest.raises(ValueError, match="2 panels: the 'ax' parameter must be"):
            LossCurveDisplay.from_estimator(clf, ax=[*pair, pair[0]])
        with pytest.raises(ValueError, match="not in a grid that could be divided"):
            LossCurveDisplay.from_estimator(clf, ax=plt.figure().add_axes((0, 0, 1, 1)))

    @pytest.mark.parametrize("epochs", [1, 2, 200])
    def test_of_any_length_and_with_infinite_losses(self, epochs):
        losses = np.linspace(2, 1, epochs)[None]
        losses[0, -1] = np.inf if epochs > 1 else 1
        drawn(LossCurveDisplay({"train_loss": losses, "valid_loss": losses}, epochs).plot())


class TestSchedule:
    def test_curves_are_the_schedules(self):
        display = drawn(ScheduleDisplay.from_schedules(["linear", OneCycle()], warmup=0.25))
        line = display.lines_[0][0]
        assert labels(display.ax_) == ["linear", "OneCycle()"]
        at, factors = np.asarray(line.get_xdata()), line.get_ydata()
        assert_allclose(factors[at >= 0.25], 1 - (at[at >= 0.25] - 0.25) / 0.75, atol=1e-9)
        assert_allclose(factors[at < 0.25], (at[at < 0.25] + 0.001) / 0.25)
        assert display.ax_.get_xlabel() == "progress, as a fraction of training"
        assert display.ax_.get_ylabel() == "factor of the base learning rate"

    def test_in_epochs_and_rates(self):
        given = {"mine": lambda progress: 1 - progress / 2}
        display = drawn(ScheduleDisplay.from_schedules(given, learning_rate=0.5, max_epochs=80, log_scale=True))
        line = display.lines_[0][0]
        assert (line.get_xdata()[0], line.get_ydata()[0]) == (0, 0.5)
        assert line.get_xdata()[-1] == pytest.approx(80, rel=0.01)
        assert line.get_ydata()[-1] == pytest.approx(0.25, rel=0.01)
        assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", "learning rate")
        assert line.get_label() == "mine"
        assert display.ax_.get_yscale() == "log"

    def test_all_of_them_differ_without_colour(self):
        display = drawn(ScheduleDisplay.from_schedules(schedules.names()))
        looks = [(line.get_linestyle(), line.get_marker()) for line in display.lines_[0]]
        assert len(set(looks)) == len(looks) == len(schedules.names())
        assert "plateau (until the loss stalls)" in labels(display.ax_)

    def test_unknown_ones_are_refused(self):
        with pytest.raises(ValueError, match="Did you mean 'cosine'"):
            ScheduleDisplay.from_schedules("cosin")
        with pytest.raises(ValueError, match="at least one"):
            ScheduleDisplay.from_schedules([])

    def test_plan_of_a_network_and_what_became_of_it(self):
        clf = basic(NNClassifier, **{**QUICK, "hidden_layer_sizes": (6, 6)})
        clf.set_params(dropout=Scheduled((0.4, 0.2), "linear"), weight_decay=Scheduled(0.02, "cosine"), schedule="step")
        plan = drawn(ScheduleDisplay.from_estimator(make_pipeline(StandardScaler(), clf)))
        assert [ax.get_ylabel() for ax in plan.axes_] == ["learning rate", "dropout", "weight decay"]
        assert [line.get_ydata()[0] for line in plan.lines_[1]] == [0.4, 0.2]
        assert plan.lines_[2][0].get_ydata()[0] == 0.02
        assert plan.lines_[0][0].get_xdata()[-1] == pytest.approx(6, rel=0.01)
        done = drawn(ScheduleDisplay.from_estimator(clf.fit(*IRIS)))
        assert_array_equal(done.lines_[0][0].get_ydata(), [one["learning_rate"] for one in clf.history_])
        assert done.lines_[1][0].get_xdata()[-1] == pytest.approx(6, rel=0.01)

    def test_recipes_that_differ_have_lines(self):
        recipes = [{"dropout": 0.2}, {"learning_rate": 0.5, "max_epochs": 3}]
        clf = basic(NNClassifier, **{**QUICK, "schedule": "constant"}, n_members=2, recipes=recipes)
        for one in (clf, clf.fit(*IRIS)):
            display = drawn(ScheduleDisplay.from_estimator(one))
            assert labels(display.ax_) == ["own parameters", "recipe 2"]
            assert [line.get_ydata()[0] for line in display.lines_[0]] == [0.02, 0.5]
            assert display.lines_[0][1].get_xdata()[-1] <= 3

    def test_members_of_a_plateau_scatter(self):
        settings = {**QUICK, "max_epochs": 12, "schedule": Plateau(patience=0, threshold=0.1), "learning_rate": 0.1}
        clf = basic(NNClassifier, **settings, n_members=3).fit(*IRIS)
        display = drawn(ScheduleDisplay.from_estimator(clf))
        assert_allclose(display.lines_[0][0].get_ydata(), np.mean(clf.member_histories_["learning_rate"], axis=0))
        assert len(display.ax_.collections) == 1

    def test_an_undecided_rate_is_a_factor(self):
        display = ScheduleDisplay.from_estimator(NNClassifier(learning_rate="auto"))
        assert display.ax_.get_ylabel() == "factor of the base learning rate"

    def test_partial_fit_beyond_the_plan_shows_the_floor(self):
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 2})
        for _ in range(4):
            clf.partial_fit(*IRIS)
        line = drawn(ScheduleDisplay.from_estimator(clf)).lines_[0][0]
        assert_allclose(line.get_ydata()[2:], 0.02 * 0.01)


class Formula(ClassifierMixin, BaseEstimator):
    """Scores by a formula, so that a search takes no time."""

    def __init__(self, rate=0.01, dropout=0.0, kind="adam", sizes=(8,)):
        self.rate, self.dropout, self.kind, self.sizes = rate, dropout, kind, sizes

    def fit(self, X, y):
        if self.rate is not None and self.rate > 5:
            raise ValueError("diverged")
        self.classes_, self.fold_ = np.unique(y), X[0, 0]
        return self

    def score(self, X, y):
        rate = 0.001 if self.rate is None else self.rate
        worth = 0.9 - 0.1 * (np.log10(rate) + 2) ** 2 - 0.01 * self.dropout + 0.01 * np.size(self.sizes)
        return float(worth + 0.002 * (self.fold_ % 1)) - 1e9 * (rate == 4)


RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def fitted(search):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(*IRIS)


def grid(**values):
    return fitted(GridSearchCV(Formula(), values, cv=3))


def draws(n, **values):
    return fitted(RandomizedSearchCV(Formula(), values, n_iter=n, cv=3, random_state=0))


def offsets(points):
    return np.asarray(points.get_offsets())


class TestSearch:
    def test_one_number(self):
        search = grid(rate=RATES)
        display = drawn(SearchDisplay.from_search(search))
        r = search.cv_results_
        assert_allclose(offsets(display.points_), np.transpose([RATES, r["mean_test_score"]]))
        ends = np.diff([one[:, 1] for one in display.bars_.lines[2][0].get_segments()])[:, 0]
        assert_allclose(ends, 2 * r["std_test_score"])
        assert display.ax_.get_xscale() == "log"
        assert_allclose(offsets(display.best_), [[0.01, search.best_score_]])
        assert (display.ax_.get_xlabel(), display.params_, display.metric_) == ("rate", ["rate"], "accuracy")
        assert display.ax_.get_ylabel() == "test accuracy\nmean ± standard deviation over folds"

    def test_of_candidates_with_the_same_value_the_best_counts(self):
        search = grid(rate=RATES, dropout=[0.0, 0.5, 0.9])
        display = drawn(SearchDisplay.from_search(search, "dropout"))
        assert_allclose(offsets(display.points_)[:, 0], [0.0, 0.5, 0.9])
        r = search.cv_results_
        best = [r["mean_test_score"][r["param_dropout"] == value].max() for value in (0.0, 0.5, 0.9)]
        assert_allclose(offsets(display.points_)[:, 1], best)
        assert len(offsets(display.others_)) == 12
        assert display.ax_.get_xscale() == "linear"

    def test_names_objects_tuples_and_none_are_rows(self):
        kinds = ["sgd", SGD(momentum=0.9), None, (64, 64), *optimizers.names()[:2]]
        display = drawn(SearchDisplay.from_search(grid(kind=kinds)))
        rows = [" ".join(text.get_text().split()) for text in display.ax_.get_yticklabels()]
        assert rows[:4] == ["sgd", "SGD(momentum=0.9)", "None", "(64, 64)"]
        assert display.ax_.yaxis_inverted()
        assert display.ax_.get_ylabel() == "kind"
        assert_allclose(offsets(display.points_)[:, 1], range(6))

    def test_failures_and_what_lies_far_below(self):
        display = drawn(SearchDisplay.from_search(grid(rate=[*RATES, 4.0, 10.0])))
        assert display.failed_.get_xdata().tolist() == [10.0]
        assert {"failed", "far below"} <= set(labels(display.ax_))
        assert display.ax_.get_ylim()[0] > -1
        assert display.ax_.get_xlim()[1] > 10
        assert len(offsets(display.points_)) == 5

    def test_a_map_of_two(self):
        search = grid(rate=[*RATES, 10.0], dropout=[0.0, 0.5, 0.9])
        display = drawn(SearchDisplay.from_search(search, ["rate", "dropout"]))
        image = np.ma.filled(display.points_.get_array(), np.nan)
        assert_allclose(image, search.cv_results_["mean_test_score"].reshape(3, 6))
        assert len(display.failed_) == 3
        assert display.best_.get_xy() == (1.5, -0.5)
        assert [text.get_text() for text in display.ax_.get_xticklabels()] == [
            "0.0001",
            "0.001",
            "0.01",
            "0.1",
            "1",
            "10",
        ]
        assert len(display.ax_.texts) == 15
        assert display.colorbar_.ax.get_ylabel() == "test accuracy\nmean over folds"

    def test_grids_that_do_not_meet(self):
        search = fitted(GridSearchCV(Formula(), [{"rate": [0.01]}, {"kind": ["a", "b"], "rate": [None, 0.1]}], cv=3))
        display = drawn(SearchDisplay.from_search(search))
        assert {"not tried"} <= set(labels(display.ax_))
        assert "not set" in [text.get_text() for text in display.ax_.get_yticklabels()]

    def test_the_two_that_tell_most_are_shown(self):
        search = grid(kind=["a", "b"], sizes=[(8,), (8, 8, 8, 8)], rate=RATES, dropout=[0.0, 0.1])
        assert sorted(SearchDisplay.from_search(search).params_) == ["rate", "sizes"]
        noise = np.random.default_rng(0).normal(size=40)
        values = read_values("a", [{"a": value} for value in np.repeat(range(20), 2)])
        assert effect(values, noise) < 0.3
        assert effect(values, np.repeat(np.arange(20.0), 2)) > 0.9

    def test_random_draws_are_points(self):
        search = draws(30, rate=loguniform(1e-4, 50), dropout=uniform(0, 0.6))
        display = drawn(SearchDisplay.from_search(search, ["rate", "dropout"]))
        assert (display.ax_.get_xscale(), display.ax_.get_yscale()) == ("log", "linear")
        ok = np.isfinite(search.cv_results_["mean_test_score"])
        rates = search.cv_results_["param_rate"].astype(float)
        assert_allclose(offsets(display.points_)[:, 0], rates[ok])
        assert_allclose(display.points_.get_array(), search.cv_results_["mean_test_score"][ok])
        assert len(offsets(display.failed_)) == (~ok).sum() > 0
        alone = drawn(SearchDisplay.from_search(search, "rate"))
        assert alone.bars_.lines[0].get_linestyle() == "None"
        named = drawn(SearchDisplay.from_search(draws(30, rate=loguniform(1e-4, 1), kind=optimizers.names())))
        assert named.params_ == ["rate", "kind"]

    def test_halving_shows_the_last_iteration_of_each(self):
        search = fitted(HalvingGridSearchCV(Formula(), {"rate": RATES}, cv=3, min_resources=30, factor=2))
        display = drawn(SearchDisplay.from_search(search))
        r = search.cv_results_
        for (rate, score), face in zip(offsets(display.points_), display.points_.get_facecolors(), strict=True):
            own = np.flatnonzero(r["param_rate"] == rate)
            last = own[np.argmax(r["iter"][own])]
            assert score == r["mean_test_score"][last]
            assert face[0] == (0 if r["iter"][last] == r["iter"].max() else 1)
        assert offsets(display.best_)[0, 0] == search.best_params_["rate"]

    def test_who_got_further_is_the_better(self):
        score = np.array([0.9, 0.8, np.nan, 0.8])
        found = Found([{}] * 4, score, score, np.array([0, 1, 1, 1]), 1, "accuracy")
        assert found.order().tolist() == [0, 2, 3, 1]

    def test_several_metrics(self):
        network = basic(NNClassifier, **QUICK)
        scoring = ["accuracy", "neg_log_loss"]
        search = ours.GridSearchCV(network, {"dropout": [0.0, 0.5]}, scoring=scoring, refit="neg_log_loss", cv=2)
        search.fit(*IRIS)
        display = drawn(SearchDisplay.from_search(search))
        assert_allclose(offsets(display.points_)[:, 1], search.cv_results_["mean_test_neg_log_loss"])
        display = drawn(SearchDisplay.from_search(search, metric="accuracy"))
        assert_allclose(offsets(display.points_)[:, 1], search.cv_results_["mean_test_accuracy"])
        search.refit = False
        with pytest.raises(ValueError, match=r"several scores.*'accuracy', 'neg_log_loss'. Got None"):
            SearchDisplay.from_search(search)
        with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
            SearchDisplay.from_search(search, metric="acuracy")

    def test_what_is_wrong_is_said(self):
        search = grid(rate=RATES, dropout=[0.0, 0.5])
        with pytest.raises(ValueError, match=r"'dropout', 'rate'\. Got 'rte'"):
            SearchDisplay.from_search(search, "rte")
        with pytest.raises(ValueError, match="Did you mean 'rate'"):
            SearchDisplay.from_search(search, ["rte"])
        with pytest.raises(ValueError, match="one or two parameters"):
            SearchDisplay.from_search(search, ["rate", "rate"])
        with pytest.raises(ValueError, match="one score, metric='accuracy'"):
            SearchDisplay.from_search(search, metric="r2")
        with pytest.raises(NotFittedError, match="GridSearchCV has not been fitted"):
            SearchDisplay.from_search(GridSearchCV(Formula(), {"rate": RATES}))
        with pytest.raises(TypeError, match="must be a fitted search"):
            SearchDisplay.from_search(Formula())
        with pytest.raises(ValueError, match="no parameter"):
            SearchDisplay.from_search(fitted(GridSearchCV(Formula(), {}, cv=3)))

    def test_one_value_and_given_axes(self):
        import matplotlib.pyplot as plt

        _, axes = plt.subplots(1, 2, layout="constrained")
        display = drawn(SearchDisplay.from_search(grid(rate=[0.01]), ax=axes[1]))
        assert display.ax_ is axes[1]
        assert not axes[0].has_data()

    def test_all_have_failed(self):
        results = {"params": [{"a": 1}, {"a": 2}], "mean_test_score": [np.nan] * 2, "std_test_score": [np.nan] * 2}
        search = SimpleNamespace(cv_results_=results, estimator=Formula(), scoring=None, refit=True, fit=None)
        display = drawn(SearchDisplay.from_search(search))
        assert display.best_ is None
        assert len(display.failed_.get_xdata()) == 2

    @pytest.mark.parametrize(
        ("values", "log"),
        [
            ([0.001, 0.01, 0.1], True),
            ([0.001, 0.003, 0.01, 0.03], True),
            ([1, 10], True),
            ([1, 2, 4, 8], False),
            ([0.0, 0.01, 0.1], False),
            ([1, 5, 8, 12], False),
            ([0.1, 0.2, 0.3, 0.4], False),
            ([*np.random.default_rng(0).uniform(0, 1, 50)], False),
            ([*np.exp(np.random.default_rng(0).uniform(-9, 0, 50))], True),
            (["a", 1, 100], False),
            ([True, False], False),
            ([7.0], False),
        ],
    )
    def test_when_an_axis_is_logarithmic(self, values, log):
        assert read_values("a", [{"a": value} for value in values]).log is log


class Attending(nn.Module):
    """One with a part that is not called as a module."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first, self.attention = nn.Linear(n_inputs, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        self.last = nn.Linear(4, n_outputs)

    def forward(self, x):
        rows = self.first(x).relu()[:, None]
        return self.last(self.attention(rows, rows, rows)[0][:, 0])


class TestWeights:
    def recorded(self, **settings):
        clf = basic(NNClassifier, **{**QUICK, **settings}, callbacks=[RecordWeights()]).fit(*IRIS)
        return clf, clf.net_.callbacks_[-1][1]

    def test_the_last_record_is_of_the_fitted_network(self):
        clf, record = self.recorded(normalization="layer", dropout=0.3)
        levels = [0.05, 0.25, 0.5, 0.75, 0.95]
        module, X = clf.module_, torch.from_numpy(clf.preprocessor_.transform(IRIS[0]))
        assert record.layers_ == ["dense_0", "output"]
        assert record.epochs_.tolist() == list(range(7))
        for i, name in enumerate(record.layers_):
            weight = getattr(module, name).weight.detach().numpy()
            assert_allclose(record.weights_[-1, i], np.quantile(weight, levels), rtol=1e-6)
        hidden = module[:3](X).detach().numpy()
        assert_allclose(record.activations_[-1, 0], np.quantile(hidden, levels), atol=1e-6)
        scores = module[:5](X)
        assert_allclose(record.activations_[-1, 1], np.quantile(scores.detach(), levels), rtol=1e-5)
        nn.functional.cross_entropy(scores, torch.from_numpy(IRIS[1])).backward()
        for i, name in enumerate(record.layers_):
            gradient = np.abs(getattr(module, name).weight.grad.numpy())
            assert_allclose(record.gradients_[-1, i], np.quantile(gradient, levels), rtol=1e-4)

    @pytest.mark.parametrize(
        ("make", "data", "settings"),
        [
            (NNClassifier, IRIS, {"dropout": 0.4, "normalization": "batch"}),
            (NNClassifier, IRIS, {"network": "resnet"}),
            (NNClassifier, IRIS, {"network": Attending}),
            (NNRegressor, DIABETES, {"network": "tabm", "n_heads": 3, "numeric_embedding": "periodic"}),
            (NNRegressor, DIABETES, {"loss": "poisson", "weight_averaging": "ema", "precision": "float64"}),
            (NNRegressor, (DIABETES[0], np.c_[DIABETES[1], DIABETES[0]]), {"early_stopping": True}),
        ],
    )
    def test_nothing_else_is_learnt_and_every_network_can_be_drawn(self, make, data, settings):
        plain = basic(make, **{**QUICK, **settings}).fit(*data)
        watched = basic(make, **{**QUICK, **settings}, callbacks=[RecordWeights(rows=50)]).fit(*data)
        assert_array_equal(watched.predict(data[0]), plain.predict(data[0]))
        ours, theirs = watched.module_.state_dict(), plain.module_.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert all(parameter.grad is None for parameter in watched.module_.parameters())
        display = drawn(WeightsDisplay.from_estimator(pickle.loads(pickle.dumps(watched))))
        record = display.record
        assert all(np.isfinite(one).all() for one in (record.weights_, record.gradients_, record.activations_))

    def test_layers_come_in_the_order_of_their_calls(self):
        assert self.recorded(network=Attending)[1].layers_ == ["first", "attention", "attention.out_proj", "last"]
        _, record = self.recorded(network="resnet", numeric_embedding="periodic")
        names = ["embedding.numeric", "dense", "block_0.dense_in", "block_0.dense_out", "output"]
        assert record.layers_ == names

    def test_the_first_record_is_of_the_start(self):
        clf, record = self.recorded(learning_rate=1e-12, weight_decay=0.0, optimizer="sgd")
        assert_allclose(record.weights_[0], record.weights_[-1], rtol=1e-6)
        clf, record = self.recorded()
        assert not np.allclose(record.weights_[0], record.weights_[1])
        assert record.epochs_[0] == 0
        clf.partial_fit(*IRIS)
        assert clf.net_.callbacks_[-1][1].epochs_.tolist() == [0, 1]

    def test_bands_are_the_quantiles(self):
        clf, record = self.recorded()
        display = drawn(WeightsDisplay.from_estimator(clf, kinds=["gradients", "weights"]))
        assert display.axes_.shape == (2, 2)
        assert_array_equal(display.medians_[1, 1].get_ydata(), record.weights_[:, 1, 2])
        wide, narrow = (one.get_paths()[0].vertices for one in display.bands_[1, 1])
        for corners, low, high in ((wide, 0, 4), (narrow, 1, 3)):
            ys = corners[corners[:, 0] == 3, 1]
            assert_allclose([ys.min(), ys.max()], record.weights_[3, 1, [low, high]])
        assert display.axes_[0, 0].get_yscale() == "log"
        assert display.axes_[0, 1].get_yscale() == "linear"
        assert display.axes_[0, 1].get_ylim() == display.axes_[1, 1].get_ylim()
        assert [ax.get_title() for ax in display.axes_[0]] == ["|gradients|", "weights"]

    def test_each_part_goes_back_into_its_mode(self):
        module = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2).eval())
        with _evaluating(module):
            assert not any(part.training for part in module.modules())
        assert [part.training for part in module.modules()] == [True, True, False]

    def test_dead_and_frozen_layers(self):
        clf, record = self.recorded(frozen_layers=1, hidden_layer_sizes=(4, 4))
        assert_array_equal(record.weights_[0, 0], record.weights_[-1, 0])
        drawn(WeightsDisplay.from_estimator(clf))
        record.gradients_[:, 0], record.activations_[:] = 0.0, np.nan
        drawn(WeightsDisplay(record).plot())

    def test_one_axes_is_divided(self):
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=(9, 5), layout="constrained")
        drawn(WeightsDisplay.from_estimator(self.recorded()[0], ax=ax))

    def test_what_is_wrong_is_said(self):
        with pytest.raises(ValueError, match=r"callbacks=\[RecordWeights\(\)\] from sknnopt.inspection"):
            WeightsDisplay.from_estimator(basic(NNClassifier, **QUICK).fit(*IRIS))
        several = basic(NNClassifier, **QUICK, n_members=2, callbacks=[RecordWeights()]).fit(*IRIS)
        with pytest.raises(ValueError, match="this estimator has 2 members, whose callbacks are not kept"):
            WeightsDisplay.from_estimator(several)
        with pytest.raises(ValueError, match="Did you mean 'weights'"):
            WeightsDisplay.from_estimator(self.recorded()[0], kinds="weight")
        with pytest.raises(ValueError, match=r"'rows' parameter of RecordWeights must be an int of at least 1. Got 0"):
            basic(NNClassifier, **QUICK, callbacks=[RecordWeights(rows=0)]).fit(*IRIS)


CALLS = [
    LossCurveDisplay.from_estimator,
    ScheduleDisplay.from_estimator,
    WeightsDisplay.from_estimator,
]


@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_network_is_refused(call: Any) -> None:
    with pytest.raises(TypeError, match=r"must be an NNClassifier .* Got LogisticRegression\(\) instead"):
        call(LogisticRegression())
    with pytest.raises(TypeError, match=r"Got a Pipeline that ends with LogisticRegression\(\)"):
        call(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(TypeError, match=r"did you mean NNClassifier\(\)\?"):
        call(NNClassifier)


@pytest.mark.parametrize("call", [LossCurveDisplay.from_estimator, WeightsDisplay.from_estimator])
def test_what_is_not_fitted_is_refused(call: Any) -> None:
    for unfitted in (NNClassifier(), make_pipeline(StandardScaler(), NNClassifier())):
        with pytest.raises(NotFittedError, match=r"has not been fitted.*Call fit first"):
            call(unfitted)


@pytest.mark.parametrize(
    "call",
    [
        *CALLS,
        ScheduleDisplay.from_schedules,
        SearchDisplay.from_search,
        lambda _: LossCurveDisplay({"train_loss": [[1.0]]}, 1).plot(),
        lambda _: ScheduleDisplay({}).plot(),
        lambda _: SearchDisplay(None).plot(),
        lambda _: WeightsDisplay(RecordWeights()).plot(),
    ],
)
def test_without_matplotlib_it_says_so(call: Any, monkeypatch: Any) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="requires matplotlib"):
        call(NNClassifier())
