"""What each loss promises, seen in what the estimators learn with it."""

import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_blobs, make_multilabel_classification
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from support import basic

from sknnopt import NNClassifier, NNRegressor, losses
from sknnopt.losses import BinaryHinge, Focal, Hinge, LogCosh, Quantile, SigmoidFocal, Tweedie

LEVELS = [0.1, 0.5, 0.9]
QUICK: dict[str, Any] = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 20,
    "batch_size": 32,
    "learning_rate": 0.03,
    "random_state": 0,
}
LINEAR: dict[str, Any] = {
    "hidden_layer_sizes": (),
    "preprocessing": None,
    "optimizer": "adam",
    "learning_rate": 0.05,
    "max_epochs": 150,
    "batch_size": 100,
    "random_state": 0,
}
BLOBS = make_blobs(300, centers=3, random_state=0, cluster_std=0.6)
LABELS = make_multilabel_classification(300, n_classes=4, random_state=0)


def spread(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform noise that grows with x: the q-quantile is ``x + (1 + x) q``."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 2, n)
    return x[:, None], x + (1 + x) * rng.random(n)


def log_linear(kind: str, n: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Positive numbers whose mean is log-linear in X; for "tweedie" a third of them zero."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    mean = np.exp(1.5 + X @ [0.5, -0.3, 0.2])
    y = mean * rng.gamma(2, 0.5, n)
    return X, np.where(rng.random(n) < 0.33, 0, y / 0.67) if kind == "tweedie" else y


class TestQuantiles:
    settings: dict[str, Any] = {**QUICK, "max_epochs": 60, "dropout": 0.0, "weight_decay": 0.01}

    def regressor(self, quantile=LEVELS, **settings):
        return basic(NNRegressor, **self.settings | {"loss": Quantile(quantile=quantile), **settings})

    def test_each_lies_above_its_share_of_new_rows(self):
        reg = self.regressor().fit(*spread(2000, 0))
        X, y = spread(4000, 1)
        found = reg.predict_quantiles(X)
        assert found.shape == (4000, 3)
        assert found.dtype == np.float64
        assert_allclose((y[:, None] <= found).mean(0), LEVELS, atol=0.05)
        for wide in (X[:, 0] < 1, X[:, 0] > 1):
            assert_allclose((y[wide, None] <= found[wide]).mean(0), LEVELS, atol=0.08)
        assert_allclose(found, X + (1 + X) * LEVELS, atol=0.2)

    def test_the_prediction_is_the_median(self):
        X, y = spread(300, 0)
        reg = self.regressor(max_epochs=5).fit(X, y)
        assert_array_equal(reg.predict(X), reg.predict_quantiles(X)[:, 1])
        assert reg.n_outputs_ == 3
        assert reg.predict(X).shape == (300,)
        assert_array_equal(pickle.loads(pickle.dumps(reg)).predict_quantiles(X), reg.predict_quantiles(X))

    def test_they_never_cross(self):
        X, y = spread(200, 0)
        levels = np.linspace(0.05, 0.95, 19).tolist()
        reg = self.regressor(levels, max_epochs=1).fit(X, y)
        assert (np.diff(reg._raw_scores(X), axis=1) < 0).any()
        assert (np.diff(reg.predict_quantiles(X), axis=1) >= 0).all()

    def test_several_targets(self):
        X, y = spread(1000, 0)
        Y = np.column_stack([y, 100 - 10 * y])
        reg = self.regressor().fit(X, Y)
        found = reg.predict_quantiles(X)
        assert found.shape == (1000, 2, 3)
        assert reg.n_outputs_ == 6
        assert_array_equal(reg.predict(X), found[:, :, 1])
        assert_allclose((Y[:, :, None] <= found).mean(0), [LEVELS, LEVELS], atol=0.06)

    def test_an_ensemble_averages(self):
        X, y = spread(300, 0)
        reg = self.regressor(n_members=3, max_epochs=5).fit(X, y)
        scores = np.mean([member(_tensor(reg, X)).detach().numpy() for member in reg.module_.members], axis=0)
        expected = np.sort(scores.astype(float), axis=1) * reg.target_.scale_ + reg.target_.mean_
        assert_allclose(reg.predict_quantiles(X), expected, rtol=1e-4, atol=1e-5)

    def test_one_number_is_as_ever(self):
        X, y = spread(300, 0)
        one, sequence = (self.regressor(q, max_epochs=5).fit(X, y) for q in (0.3, [0.3]))
        assert one.predict_quantiles(X).shape == (300, 1)
        assert_array_equal(one.predict_quantiles(X)[:, 0], one.predict(X))
        assert_array_equal(one.predict(X), sequence.predict(X))
        assert self.regressor(loss="quantile", max_epochs=5).fit(X, y).predict_quantiles(X).shape == (300, 1)

    def test_other_losses_have_none(self):
        X, y = spread(50, 0)
        assert hasattr(basic(NNRegressor, loss="pinball"), "predict_quantiles")
        for reg in (
            basic(NNRegressor),
            basic(NNRegressor, **QUICK).fit(X, y).set_params(loss="quantile"),
            basic(NNClassifier),
        ):
            assert not hasattr(reg, "predict_quantiles")
        with pytest.raises(AttributeError, match="has no attribute 'predict_quantiles'") as caught:
            basic(NNRegressor, loss="huber").predict_quantiles(X)
        assert "loss=Quantile(quantile=[0.1, 0.5, 0.9]); got Huber()" in str(caught.value.__cause__)

    @pytest.mark.parametrize("settings", [{"early_stopping": True, "scoring": "neg_mean_absolute_error"}, {}])
    def test_searches_and_scorers_take_it(self, settings):
        X, y = spread(300, 0)
        reg = self.regressor(max_epochs=5, **settings)
        search = GridSearchCV(reg, {"loss__quantile": [[0.5], [0.2, 0.5, 0.8], 0.4]}, cv=2).fit(X, y)
        assert len(search.cv_results_["mean_test_score"]) == 3
        assert np.isfinite(cross_val_score(reg, X, y, cv=2)).all()

    def test_training_goes_on_with_as_many(self):
        X, y = spread(300, 0)
        reg = self.regressor(max_epochs=2, warm_start=True).fit(X, y)
        first = reg.predict_quantiles(X)
        assert (reg.set_params(loss__quantile=[0.2, 0.5, 0.8]).fit(X, y).predict_quantiles(X) != first).any()
        with pytest.raises(ValueError, match=r"cannot go on with loss=Quantile\(\) \(was Quantile\("):
            reg.set_params(loss=Quantile()).fit(X, y)

    def test_partial_fit(self):
        X, y = spread(300, 0)
        reg = self.regressor().partial_fit(X[:200], y[:200]).partial_fit(X[200:], y[200:])
        assert reg.predict_quantiles(X).shape == (300, 3)

    def test_several_at_once_are_about_as_good_as_each_alone(self):
        X, y = spread(2000, 0)
        new = spread(2000, 1)
        together = self.regressor().fit(X, y).predict_quantiles(new[0])
        for i, q in enumerate(LEVELS):
            alone = self.regressor(q).fit(X, y)
            best = mean_pinball_loss(new[1], alone.predict(new[0]), alpha=q)
            assert mean_pinball_loss(new[1], together[:, i], alpha=q) < 1.02 * best


def _tensor(network: Any, X: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(network.preprocessor_.transform(X))


class TestLogLink:
    @pytest.mark.parametrize(
        ("kind", "loss", "reference"),
        [
            ("gamma", "gamma", GammaRegressor(alpha=0)),
            ("gamma", "poisson", PoissonRegressor(alpha=0)),
            ("tweedie", "tweedie", TweedieRegressor(power=1.5, link="log", alpha=0)),
            ("tweedie", Tweedie(power=1.2), TweedieRegressor(power=1.2, link="log", alpha=0)),
        ],
        ids=repr,
    )
    def test_a_linear_network_is_the_generalised_linear_model(self, kind, loss, reference):
        X, y = log_linear(kind)
        reg = basic(NNRegressor, **LINEAR, loss=loss).fit(X, y)
        assert_allclose(reg.predict(X), reference.fit(X, y).predict(X), rtol=0.02)
        assert_allclose(np.log(reg.predict(np.eye(3)) / reg.predict(np.zeros((1, 3)))), [0.5, -0.3, 0.2], atol=0.15)

    @pytest.mark.parametrize("loss", ["gamma", "tweedie", "poisson"])
    def test_units_do_not_matter(self, loss):
        X, y = log_linear("gamma", 200)
        settings = {**QUICK, "max_epochs": 3, "loss": loss}
        one, other = (basic(NNRegressor, **settings).fit(X, unit * y).predict(X) for unit in (1, 2**20))
        assert_allclose(other, one * 2**20, rtol=1e-5)
        assert (one > 0).all()

    def test_two_targets(self):
        X, y = log_linear("gamma", 400)
        predicted = basic(NNRegressor, **LINEAR, loss="gamma").fit(X, np.column_stack([y, 1e3 * y])).predict(X)
        assert_allclose(predicted[:, 1], 1e3 * predicted[:, 0], rtol=0.02)

    @pytest.mark.parametrize(("loss", "y"), [("gamma", [0.0, 1.0]), ("tweedie", [-1.0, 3.0]), (Tweedie(), [0.0, 0.0])])
    def test_a_target_out_of_range_is_refused(self, loss, y):
        with pytest.raises(ValueError, match=r"requires (non-negative|strictly positive) y"):
            basic(NNRegressor, **QUICK, loss=loss).fit(np.arange(4.0)[:, None], y * 2)

    def test_so_are_rows_to_judge_by(self):
        X, y = log_linear("gamma", 50)
        with pytest.raises(ValueError, match="requires strictly positive y"):
            basic(NNRegressor, **QUICK, loss="gamma").fit(X, y, X_val=X[:5], y_val=np.zeros(5))


def test_log_cosh_does_not_mind_outliers():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 2))
    clean = X @ [1.0, 2.0]
    y = np.where(rng.random(500) < 0.05, clean + 100, clean)
    errors = [
        np.abs(basic(NNRegressor, **LINEAR, loss=loss).fit(X, y).predict(X) - clean).mean()
        for loss in (LogCosh(), "squared_error")
    ]
    assert errors[0] < 0.5 * errors[1]


class TestHinge:
    @pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
    def test_it_separates_with_a_margin(self, loss):
        X, y = BLOBS[0], np.array(["a", "b", "c"])[BLOBS[1]]
        clf = basic(NNClassifier, **QUICK, loss=loss).set_params(dropout=0.0, max_epochs=60).fit(X, y)
        assert clf.score(X, y) > 0.98
        assert clf.loss_.squared == (loss == "squared_hinge")
        assert clf.loss_curve_[-1] < 0.1
        scores = clf._raw_scores(X)
        margins = np.sort(scores, axis=1)
        assert np.mean(margins[:, 2] - margins[:, 1] > 0.9) > 0.95
        assert_allclose(clf.predict_proba(X).sum(1), 1)
        assert_array_equal(clf.predict(X), clf.classes_[scores.argmax(1)])

    def test_two_classes(self):
        X, y = make_blobs(200, centers=2, random_state=0)
        clf = basic(NNClassifier, **QUICK, loss=Hinge()).fit(X, y)
        assert clf.score(X, y) > 0.95
        assert_array_equal(clf.predict(X), clf.decision_function(X) > 0)

    @pytest.mark.parametrize("loss", ["hinge", Hinge(squared=True)])
    def test_labels(self, loss):
        X, Y = LABELS
        clf = basic(NNClassifier, **QUICK, loss=loss).set_params(max_epochs=60).fit(X, Y)
        assert isinstance(clf.loss_, BinaryHinge)
        assert (clf.predict(X) == Y).mean() > 0.9
        assert_array_equal(clf.predict(X), clf.decision_function(X) > 0)

    def test_labels_are_not_smoothed(self):
        with pytest.raises(ValueError, match=r"'label_smoothing' parameter must be 0 or 'auto' with loss=Hinge\(\)"):
            basic(NNClassifier, **QUICK, loss="hinge", label_smoothing=0.1).fit(*BLOBS)


class TestFocal:
    @pytest.mark.parametrize(("data", "kind"), [(BLOBS, Focal), (LABELS, SigmoidFocal)], ids=["classes", "labels"])
    def test_without_gamma_it_is_the_cross_entropy(self, data, kind):
        settings = {**QUICK, "label_smoothing": 0.0}
        focal = basic(NNClassifier, **settings, loss=Focal(gamma=0.0)).fit(*data)
        plain = basic(NNClassifier, **settings).fit(*data)
        assert isinstance(focal.loss_, kind)
        assert_allclose(focal.predict_proba(data[0]), plain.predict_proba(data[0]), atol=5e-3)
        assert_allclose(focal.loss_curve_, plain.loss_curve_, rtol=1e-3, atol=1e-4)

    def test_the_larger_gamma_the_less_sure(self):
        X, y = BLOBS
        clf = basic(NNClassifier, **QUICK, loss="focal", label_smoothing=0.0)
        means = [clf.set_params(loss__gamma=g).fit(X, y).predict_proba(X).max(1).mean() for g in (0.0, 2.0, 5.0)]
        assert means[0] > means[1] > means[2]
        assert clf.score(X, y) > 0.95

    def test_gamma_is_swept_from_the_name_for_labels_too(self):
        clf = basic(NNClassifier, **QUICK, loss="focal").set_params(loss__gamma=1.0).fit(*LABELS)
        assert clf.loss_.key() == SigmoidFocal(gamma=1.0).key()


@pytest.mark.parametrize("name", losses.names("regression"))
def test_a_zero_weight_is_the_row_removed(name):
    X, y = log_linear("gamma", 120)
    weight = np.where(np.arange(120) % 3 == 0, 0.0, 1.0)
    settings = {**QUICK, "max_epochs": 2, "loss": name}
    weighted = basic(NNRegressor, **settings).fit(X, y, sample_weight=weight)
    removed = basic(NNRegressor, **settings).fit(X[weight > 0], y[weight > 0])
    assert_array_equal(weighted.predict(X), removed.predict(X))
