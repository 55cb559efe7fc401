"""Sample weights and class weights: a zero weight is the row left out, an integer weight the row repeated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.utils.class_weight import compute_class_weight
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (16,), "max_epochs": 5, "batch_size": 32, "random_state": 0}
SETTINGS = {
    "plain": {},
    "dropout": {"dropout": 0.4},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2},
    "scorer": {"early_stopping": True, "scoring": "accuracy"},
    "batch normalization": {"normalization": "batch", "dropout": 0.2},
    "raw numbers": {"preprocessing": None},
    "quantiles": {"preprocessing": "quantile_normal"},
    "standard": {"preprocessing": "standard"},
    "members": {"n_members": 2},
    "balanced": {"class_weight": "balanced"},
}


def own_network(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, n_outputs))


def equal_weights(first, second):
    pairs = zip(first.module_.state_dict().items(), second.module_.state_dict().items(), strict=True)
    for (name, one), (_, other) in pairs:
        assert_array_equal(one.numpy(), other.numpy(), err_msg=name)


class TestZeroWeight:
    """The same bits as without the row, whatever that row holds."""

    @pytest.mark.parametrize("settings", [*SETTINGS.values(), {"network": own_network}], ids=[*SETTINGS, "module"])
    def test_classifier(self, settings):
        X, y = IRIS
        counted = np.random.RandomState(0).rand(150) > 0.3
        wild = np.where(counted[:, None], X, 1e6)
        weighted = basic(NNClassifier, **QUICK, **settings).fit(wild, y, counted.astype(float))
        removed = basic(NNClassifier, **QUICK, **settings).fit(X[counted], y[counted], np.ones(counted.sum()))
        equal_weights(weighted, removed)
        assert_array_equal(weighted.predict_proba(X), removed.predict_proba(X))
        unweighted = basic(NNClassifier, **QUICK, **settings).fit(X[counted], y[counted])
        equal_weights(weighted, unweighted)

    @pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
    @pytest.mark.parametrize("early_stopping", [False, True])
    def test_regressor(self, loss, early_stopping):
        X, y = DIABETES
        weight = np.random.RandomState(0).randint(0, 3, 442).astype(float)
        wild = np.where(weight > 0, y, 1e9)
        settings = {**QUICK, "loss": loss, "early_stopping": early_stopping}
        weighted = basic(NNRegressor, **settings).fit(X, wild, weight)
        removed = basic(NNRegressor, **settings).fit(X[weight > 0], y[weight > 0], weight[weight > 0])
        equal_weights(weighted, removed)
        assert_array_equal(weighted.predict(X), removed.predict(X))

    def test_a_class_without_weight_is_not_a_class(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y, (y != 1).astype(float))
        assert clf.classes_.tolist() == [0, 2]
        assert clf.predict_proba(X).shape == (150, 2)


class TestIntegerWeight:
    """Within rtol 1e-4 of the repeated row after five full-batch epochs, in float32."""

    @pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
    def test_classifier(self, activation):
        X, y = IRIS
        weight = np.random.RandomState(0).randint(1, 5, 150)
        settings = {**QUICK, "batch_size": 10**6, "dropout": 0.0, "activation": activation}
        weighted = basic(NNClassifier, **settings).fit(X, y, weight)
        repeated = basic(NNClassifier, **settings).fit(X.repeat(weight, axis=0), y.repeat(weight))
        assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-4)
        assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-4)

    @pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
    def test_regressor(self, loss):
        X, y = DIABETES
        weight = np.random.RandomState(0).randint(0, 5, 442)
        settings = {**QUICK, "batch_size": 10**6, "dropout": 0.0, "loss": loss}
        weighted = basic(NNRegressor, **settings).fit(X, y, weight)
        repeated = basic(NNRegressor, **settings).fit(X.repeat(weight, axis=0), y.repeat(weight))
        assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4)

    def test_only_ratios_count(self):
        X, y = IRIS
        weight = np.random.RandomState(0).randint(1, 5, 150)
        first, second = (basic(NNClassifier, **QUICK).fit(X, y, factor * weight) for factor in (1, 1024))
        assert_allclose(first.predict_proba(X), second.predict_proba(X), rtol=1e-5)


class TestClassWeight:
    def settings(self, **more):
        """Without preprocessing, whose statistics count sample weights but no class weights."""
        return {**QUICK, "batch_size": 10**6, "dropout": 0.0, "preprocessing": None, **more}

    def test_a_dict_is_the_sample_weights(self):
        X, y = IRIS
        weights = {0: 1.0, 1: 5.0, 2: 0.5}
        first = basic(NNClassifier, **self.settings(class_weight=weights)).fit(X, y)
        second = basic(NNClassifier, **self.settings()).fit(X, y, np.array([1.0, 5.0, 0.5])[y])
        equal_weights(first, second)

    def test_names_of_classes(self):
        X, y = IRIS
        names = np.array(["a", "b", "c"])
        first = basic(NNClassifier, **self.settings(class_weight={"b": 5.0})).fit(X, names[y])
        second = basic(NNClassifier, **self.settings()).fit(X, y, np.array([1.0, 5.0, 1.0])[y])
        equal_weights(first, second)

    def test_balanced(self):
        X, y = CANCER
        balanced = compute_class_weight("balanced", classes=np.array([0, 1]), y=y)
        first = basic(NNClassifier, **self.settings(class_weight="balanced")).fit(X, y)
        second = basic(NNClassifier, **self.settings()).fit(X, y, balanced[y])
        equal_weights(first, second)

    def test_balanced_is_counted_with_the_sample_weights(self):
        X, y = IRIS
        weight = np.random.RandomState(0).randint(0, 4, 150)
        first = basic(NNClassifier, **self.settings(class_weight="balanced")).fit(X, y, weight)
        second = basic(NNClassifier, **self.settings(class_weight="balanced")).fit(
            X.repeat(weight, axis=0), y.repeat(weight)
        )
        assert_allclose(first.predict_proba(X), second.predict_proba(X), rtol=1e-4)

    def test_balanced_is_counted_from_training_rows_alone(self):
        """Of the withheld rows all labels become the first class: training is the same to the bit."""
        X, y = CANCER
        clf = basic(NNClassifier, **self.settings(class_weight="balanced", early_stopping=True, n_iter_no_change=99))
        held_out = np.arange(len(y)) % 5 == 0
        first = clf.fit(X[~held_out], y[~held_out], X_val=X[held_out], y_val=y[held_out])
        losses = first.loss_curve_
        second = clf.fit(X[~held_out], y[~held_out], X_val=X[held_out], y_val=0 * y[held_out])
        assert second.loss_curve_ == losses

    def test_multilabel(self):
        X, Y = make_multilabel_classification(200, n_classes=2, random_state=0)
        factors = [{0: 1, 1: 3}, {0: 2, 1: 1}]
        first = basic(NNClassifier, **self.settings(class_weight=factors)).fit(X, Y)
        weight = np.array([1, 3])[Y[:, 0]] * np.array([2, 1])[Y[:, 1]]
        equal_weights(first, basic(NNClassifier, **self.settings()).fit(X, Y, weight))

    def test_moves_the_decision(self):
        X, y = CANCER
        settings = self.settings(max_epochs=20, learning_rate=0.01)
        shares = [
            (basic(NNClassifier, **settings, class_weight={0: 1, 1: w}).fit(X, y).predict(X) == 1).mean()
            for w in (0.02, 1, 50)
        ]
        assert shares == sorted(shares)
        assert shares[0] < shares[2]
