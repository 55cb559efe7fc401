"""What the two estimators learn and how they say it: tasks, losses, labels, predictions, members."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_softmax, logit
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    make_multilabel_classification,
)
from sklearn.metrics import d2_pinball_score
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor, losses, optimizers

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 20,
    "batch_size": 32,
    "learning_rate": 0.03,
    "random_state": 0,
}

IRIS = load_iris(return_X_y=True)
CANCER = tuple(part[:300] for part in load_breast_cancer(return_X_y=True))
DIABETES = load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(300, n_classes=4, random_state=0)


def two_targets() -> tuple[np.ndarray, np.ndarray]:
    """The second target on a scale a thousand times smaller."""
    X, y = DIABETES
    return X, np.column_stack([y, X[:, 2]])


class TestTasks:
    def test_binary(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        probability = clf.predict_proba(X)
        assert probability.shape == (300, 2)
        assert probability.dtype == np.float64
        assert_allclose(probability.sum(axis=1), 1, rtol=1e-12)
        assert_array_equal(clf.predict(X), clf.classes_[probability.argmax(axis=1)])
        assert clf.score(X, y) > 0.95

    def test_multiclass(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        assert clf.predict_proba(X).shape == (150, 3)
        assert clf.score(X, y) > 0.93

    def test_multilabel(self):
        X, Y = LABELS
        clf = basic(NNClassifier, **QUICK).fit(X, Y)
        probability = clf.predict_proba(X)
        assert probability.shape == Y.shape
        assert_array_equal(clf.predict(X), probability > 0.5)
        assert (clf.predict(X) == Y).mean() > 0.85
        assert_array_equal(clf.classes_, [0, 1, 2, 3])

    def test_regression_in_the_targets_units(self):
        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK).fit(X, y)
        assert reg.predict(X).shape == (442,)
        assert reg.predict(X).dtype == np.float64
        assert reg.score(X, y) > 0.45
        moved = clone(reg).fit(X, 1000 * y + 5)
        assert_allclose(moved.predict(X), 1000 * reg.predict(X) + 5, rtol=1e-3)

    def test_several_targets_are_scaled_each(self):
        X, Y = two_targets()
        reg = basic(NNRegressor, **{**QUICK, "max_epochs": 30}).fit(X, Y)
        assert reg.predict(X).shape == Y.shape
        residual = ((reg.predict(X) - Y) ** 2).mean(axis=0) / Y.var(axis=0)
        assert (residual < [0.55, 0.2]).all()

    def test_a_column_of_targets_is_one_target(self):
        X, y = DIABETES
        with pytest.warns(UserWarning, match="A column-vector y was passed"):
            reg = basic(NNRegressor, **QUICK).fit(X, y[:, None])
        assert_array_equal(reg.predict(X), basic(NNRegressor, **QUICK).fit(X, y).predict(X))

    def test_no_hidden_layer_is_a_linear_model(self):
        X, y = DIABETES
        reg = basic(NNRegressor, **{**QUICK, "hidden_layer_sizes": ()}, preprocessing=None).fit(X, y)
        base, step = reg.predict(np.zeros((1, 10))), np.eye(10)
        assert_allclose(reg.predict(2 * step) - base, 2 * (reg.predict(step) - base), rtol=1e-3, atol=1e-3)


class TestLosses:
    @pytest.mark.parametrize("name", ["auto", *losses.names("classification")])
    def test_classification(self, name):
        X, y = IRIS
        assert basic(NNClassifier, **QUICK, loss=name).fit(X, y).score(X, y) > 0.93

    @pytest.mark.parametrize("name", ["auto", *losses.names("multilabel")])
    def test_multilabel(self, name):
        X, Y = LABELS
        assert (basic(NNClassifier, **QUICK, loss=name).fit(X, Y).predict(X) == Y).mean() > 0.85

    @pytest.mark.parametrize("name", ["auto", *losses.names("regression")])
    def test_regression(self, name):
        X, y = DIABETES
        assert basic(NNRegressor, **{**QUICK, "max_epochs": 30}, loss=name).fit(X, y).score(X, y) > 0.4

    @pytest.mark.parametrize("quantile", [0.1, 0.9])
    def test_a_quantile_lies_above_that_share_of_the_targets(self, quantile):
        X, y = DIABETES
        reg = basic(NNRegressor, **{**QUICK, "max_epochs": 40}, loss=losses.Quantile(quantile=quantile)).fit(X, y)
        assert (y <= reg.predict(X)).mean() == pytest.approx(quantile, abs=0.06)
        assert d2_pinball_score(y, reg.predict(X), alpha=quantile) > 0.15

    def test_poisson_predicts_positive_means(self):
        rng = np.random.RandomState(0)
        X = rng.normal(size=(400, 3))
        y = rng.poisson(np.exp(1 + X[:, 0]))
        predicted = basic(NNRegressor, **{**QUICK, "max_epochs": 40}, loss="poisson").fit(X, y).predict(X)
        assert (predicted > 0).all()
        assert predicted.mean() == pytest.approx(y.mean(), rel=0.1)

    def test_a_function(self):
        X, y = DIABETES

        def squared(output: Tensor, target: Tensor) -> Tensor:
            return (output - target).square().mean(1)

        own = basic(NNRegressor, **QUICK, loss=squared).fit(X, y)
        assert_allclose(own.predict(X), basic(NNRegressor, **QUICK).fit(X, y).predict(X), rtol=1e-4)

    def test_loss_curve_is_the_losses_mean(self):
        """With a full batch and no dropout, the first epoch's loss is that of the initial weights."""
        X, y = IRIS
        settings = {**QUICK, "batch_size": 10**6, "dropout": 0.0, "learning_rate": 1e-12}
        clf = basic(NNClassifier, **settings, label_smoothing=0.0).fit(X, y)
        expected = -np.log(clf.predict_proba(X)[np.arange(150), y]).mean()
        assert clf.loss_curve_[0] == pytest.approx(expected, rel=1e-5)


LABEL_KINDS = {
    "str": np.array(["one", "two", "three"]),
    "object": np.array(["one", "two", "three"], dtype=object),
    "int": np.array([7, -3, 4]),
    "float": np.array([2.0, 1.0, 5.0]),
}


class TestLabels:
    @pytest.mark.parametrize("names", LABEL_KINDS.values(), ids=LABEL_KINDS.keys())
    @pytest.mark.parametrize(
        "stopping",
        [
            {},
            {"early_stopping": True},
            {"early_stopping": True, "scoring": "accuracy"},
            {"early_stopping": True, "scoring": "neg_log_loss"},
            {"early_stopping": True, "scoring": "roc_auc_ovr"},
        ],
        ids=lambda one: one.get("scoring", "loss") if one else "off",
    )
    def test_come_back_as_given(self, names, stopping):
        X, codes = IRIS
        clf = basic(NNClassifier, **QUICK, **stopping).fit(X, names[codes])
        assert_array_equal(clf.classes_, np.unique(names))
        predicted = clf.predict(X)
        assert predicted.dtype == names.dtype
        assert (predicted == names[codes]).mean() > 0.8
        assert clf.score(X, names[codes]) > 0.8

    @pytest.mark.parametrize("scoring", ["loss", "accuracy", "average_precision", "f1"])
    def test_bools(self, scoring):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring=scoring).fit(X, y == 1)
        assert clf.predict(X).dtype == bool
        assert (clf.predict(X) == (y == 1)).mean() > 0.95


class TestPredictions:
    def test_binary_definitions(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        probability = clf.predict_proba(X)
        odds = clf.decision_function(X)
        assert odds.shape == (300,)
        assert odds.dtype == np.float64
        assert_allclose(probability[:, 1], expit(odds), rtol=1e-10)
        assert_array_equal(clf.predict(X), clf.classes_[(odds > 0).astype(int)])
        assert_allclose(np.exp(clf.predict_log_proba(X)), probability, rtol=1e-12)

    def test_multiclass_definitions(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        assert_allclose(clf.decision_function(X), np.log(clf.predict_proba(X)), rtol=1e-10)
        assert_array_equal(clf.decision_function(X), clf.predict_log_proba(X))

    def test_multilabel_definitions(self):
        X, Y = LABELS
        clf = basic(NNClassifier, **QUICK).fit(X, Y)
        assert_allclose(clf.decision_function(X), logit(clf.predict_proba(X)), rtol=1e-6, atol=1e-9)
        assert_allclose(np.exp(clf.predict_log_proba(X)), clf.predict_proba(X), rtol=1e-12)

    def test_log_probabilities_stay_finite_where_probabilities_vanish(self):
        X, y = IRIS
        network = basic(NNClassifier, **QUICK, preprocessing=None).fit(X, y)
        assert np.isfinite(network.predict_log_proba(1e4 * X)).all()

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_a_row_alone_has_the_same_bits_as_among_others(self, make):
        X, y = IRIS
        network = basic(make, **QUICK).fit(X, y)
        predict = network.predict_proba if make is NNClassifier else network.predict
        alone = np.concatenate([predict(X[i : i + 1]) for i in range(0, 150, 7)])
        assert_array_equal(predict(X)[::7], alone)


class TestFittedAttributes:
    def test_are_those_documented(self):
        X, y = IRIS
        regressor = basic(NNRegressor, **QUICK, loss="quantile")
        for network in (basic(NNClassifier, **QUICK).fit(X, y), regressor.fit(X, y)):
            documented = network.__doc__.partition("Attributes\n    ----------")[2].partition("Examples")[0]
            for line in documented.splitlines():
                if line.startswith("    ") and not line.startswith("     "):
                    names = [name.strip() for name in line.partition(":")[0].split(",")]
                    for name in set(names) - {"", "feature_names_in_"}:
                        assert hasattr(network, name), name

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_every_parameter_is_documented(self, make):
        documented = make.__doc__.partition("Parameters\n    ----------")[2].partition("Attributes")[0]
        names = [line.split(" :")[0].strip() for line in documented.splitlines() if line[4:5].strip()]
        assert sorted(names) == sorted(make().get_params())
        for name, value in make().get_params().items():
            shown = f'"{value}"' if isinstance(value, str) else str(value)
            assert f"{name} : " in documented
            default = documented.partition(f"\n    {name} : ")[2].partition("\n")[0].partition("default=")[2]
            assert default in {shown, shown.replace("0.0001", "1e-4")}, name

    def test_values(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring="accuracy").fit(X, y)
        assert clf.n_features_in_ == 4
        assert clf.n_outputs_ == 3
        assert clf.n_iter_ == len(clf.history_) == len(clf.loss_curve_) == len(clf.validation_scores_)
        assert clf.n_parameters_ == 4 * 16 + 16 + 16 * 3 + 3
        assert clf.n_validation_samples_ == 15
        assert isinstance(clf.module_, nn.Module)
        assert not clf.module_.training
        assert clf.best_loss_ == clf.history_[clf.best_epoch_ - 1]["valid_loss"]
        for record in clf.history_:
            assert set(record) == {
                "epoch", "train_loss", "valid_loss", "valid_score", "learning_rate", "gradient_norm",
                "weight_norm", "seconds",
            }  # fmt: skip
            assert all(np.isfinite(list(record.values())))
        assert [record["epoch"] for record in clf.history_] == list(range(1, clf.n_iter_ + 1))

    def test_without_withheld_rows(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        assert clf.validation_scores_ is None
        assert clf.n_validation_samples_ == 0
        assert clf.best_epoch_ == clf.n_iter_ == 20
        assert clf.best_loss_ == clf.loss_curve_[-1]

    def test_weight_norm_is_that_of_the_fitted_parameters(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        flat = torch.cat([parameter.flatten() for parameter in clf.module_.parameters()])
        assert clf.history_[-1]["weight_norm"] == pytest.approx(flat.norm().item(), rel=1e-5)

    @pytest.mark.parametrize("activation", ["silu", "prelu", "learnable_swish", "parametric_selu", "geglu"])
    @pytest.mark.parametrize("network", ["mlp", "resnet", "tabm"])
    def test_module_scores_are_the_log_odds(self, network, activation):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, network=network, activation=activation, normalization="batch").fit(X, y)
        before = clf.decision_function(X)
        assert_array_equal(pickle.loads(pickle.dumps(clf)).decision_function(X), before)
        assert clf.n_parameters_ == sum(parameter.numel() for parameter in clf.module_.parameters())
        with torch.no_grad():
            scores = clf.module_(torch.from_numpy(clf.preprocessor_.transform(X))).double().numpy()
        assert_allclose(log_softmax(scores, axis=1), clf.decision_function(X), atol=1e-5)


@pytest.mark.parametrize("optimizer", optimizers.names())
def test_every_optimizer_learns_in_the_engine(optimizer: str) -> None:
    X, y = load_digits(return_X_y=True)
    network = basic(NNClassifier, optimizer=optimizer, hidden_layer_sizes=(32,), max_epochs=10, random_state=0).fit(
        X, y
    )
    assert network.loss_curve_[-1] < 0.95 * network.loss_curve_[0]
    assert network.history_[-1]["weight_norm"] > 0.5 * network.history_[0]["weight_norm"]


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["silu", "prelu", "learnable_swish", "parametric_mish", "reglu", "swiglu"])
@pytest.mark.parametrize("network", ["mlp", "resnet", "tabm"])
def test_every_network_learns_and_goes_on(network: str, activation: str, normalization: str | None) -> None:
    X, y = load_digits(return_X_y=True)
    settings = {"hidden_layer_sizes": (32, 32), "max_epochs": 8, "learning_rate": 0.01, "random_state": 0}
    settings |= {"network": network, "n_heads": 2, "activation": activation, "normalization": normalization}
    clf = basic(NNClassifier, schedule="constant", **settings)
    assert clf.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.9
    before = clf.loss_curve_[-1]
    assert clf.partial_fit(X[::2], y[::2]).loss_curve_[-1] < 1.2 * before


@pytest.mark.parametrize("preprocessing", ["auto", None])
def test_a_precision_set_after_fit_waits_for_the_next(preprocessing):
    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    clf = basic(NNClassifier, preprocessing=preprocessing, max_epochs=2, random_state=0).fit(X, y)
    expected = clf.predict_proba(X)
    assert_array_equal(clf.set_params(precision="float64").predict_proba(X), expected)
    assert not np.array_equal(clf.fit(X.astype(float), y).predict_proba(X.astype(float)), expected)
