"""Predicted quantiles hold as many rows as they say."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_regression
from sklearn.model_selection import GridSearchCV, train_test_split
from support import basic

from sknnopt import NNRegressor, lockstep
from sknnopt.estimators._conformal import Conformal, fit_conformal
from sknnopt.estimators._folds import member_splits
from sknnopt.losses import Quantile

LEVELS = [0.1, 0.3, 0.5, 0.8, 0.95]
CENTER = 2
DIABETES = load_diabetes(return_X_y=True)
QUICK = {
    "hidden_layer_sizes": (16,), "max_epochs": 30, "early_stopping": True, "random_state": 0,
    "loss": Quantile(quantile=LEVELS),
}  # fmt: skip


def drawn(n: int, n_targets: int = 1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles that are too narrow, by factors that differ, and not in the middle; and what they should hold."""
    generator = np.random.RandomState(seed)
    scale = generator.uniform(0.5, 3, size=(n, n_targets))
    quantiles = np.array([-0.6, -0.3, 0.0, 0.5, 0.7]) * scale[:, :, None]
    return quantiles, scale * (generator.normal(size=(n, n_targets)) + 0.4)


class TestFit:
    @pytest.mark.parametrize("n_targets", [1, 3])
    def test_as_many_rows_are_below_each_as_its_level_says(self, n_targets):
        quantiles, target = drawn(4000, n_targets)
        found = fit_conformal(quantiles, target, np.ones(4000), LEVELS, CENTER)
        assert found.shift.shape == (n_targets,)
        assert found.factors.shape == (n_targets, 5)
        below = (target[:, :, None] < found(quantiles)).mean(axis=0)
        assert_allclose(below, [LEVELS] * n_targets, atol=1e-3)
        fresh, drawn_anew = drawn(20000, n_targets, seed=1)
        assert_allclose((drawn_anew[:, :, None] < found(fresh)).mean(axis=0), [LEVELS] * n_targets, atol=0.02)

    def test_of_few_rows_the_mean_share_of_new_ones_is_the_level(self):
        """Over many draws of 19 rows, the smallest number for which 0.05 and 0.95 are ends."""
        held = []
        for seed in range(2000):
            quantiles, target = drawn(20, seed=seed)
            found = fit_conformal(quantiles[:19], target[:19], np.ones(19), [0.05, 0.3, 0.5, 0.8, 0.95], CENTER)
            held.append(target[19, 0] < found(quantiles[19:])[0, 0])
        assert_allclose(np.mean(held, axis=0), [0.05, 0.3, 0.5, 0.8, 0.95], atol=0.04)

    def test_one_level_is_shifted(self):
        target = np.arange(9.0)[:, None]
        found = fit_conformal(np.full((9, 1, 1), 3.0), target, np.ones(9), [0.7], 0)
        assert found.shift == [3.0]  # the 7th of 9 is 6
        assert_array_equal(found(np.zeros((1, 1, 1))), [[[3.0]]])

    def test_weights(self):
        quantiles, target = drawn(300)
        weight = np.random.RandomState(1).randint(0, 3, 300).astype(float)
        found = fit_conformal(quantiles, target, weight, LEVELS, CENTER)
        there = fit_conformal(quantiles[weight > 0], target[weight > 0], 7 * weight[weight > 0], LEVELS, CENTER)
        assert_allclose(found.factors, there.factors, rtol=1e-12)
        rows = np.repeat(np.arange(300), weight.astype(int))
        repeated = fit_conformal(quantiles[rows], target[rows], np.ones(len(rows)), LEVELS, CENTER)
        assert_allclose(found.factors, repeated.factors, atol=0.1)
        assert not np.allclose(found.factors, fit_conformal(quantiles, target, np.ones(300), LEVELS, CENTER).factors)

    def test_the_result_ascends(self):
        found = Conformal(1, np.zeros(1), np.array([[1.0, 1.0, 3.0, 1.0]]))
        assert_array_equal(found(np.array([[[-1.0, 0.0, 1.0, 2.0]]])), [[[-1.0, 0.0, 2.0, 3.0]]])

    def test_odd_rows(self):
        """None, one, all the same, and quantiles that coincide: nothing but finite numbers."""
        for n in (0, 1, 5):
            found = fit_conformal(np.zeros((n, 1, 5)), np.ones((n, 1)), np.ones(n), LEVELS, CENTER)
            assert np.isfinite(found(np.zeros((2, 1, 5)))).all()
        assert_array_equal(found(np.zeros((2, 1, 5))), np.ones((2, 1, 5)))


class TestEstimator:
    @pytest.mark.parametrize("settings", [{}, {"n_members": 3}, {"n_members": 2, "recipes": [{"learning_rate": 0.01}]}])
    def test_new_rows_are_held(self, settings):
        data = make_regression(3000, 10, noise=50.0, random_state=0)
        X, X_test, y, y_test = train_test_split(*data, train_size=1000, random_state=0)
        few = {"learning_rate": 0.003, "hidden_layer_sizes": (32,), "max_epochs": 8, "validation_fraction": 0.3}
        far = []
        for calibration in (None, "conformal"):
            reg = basic(NNRegressor, **{**QUICK, **few}, **settings, calibration=calibration).fit(X, y)
            below = (y_test[:, None] < reg.predict_quantiles(X_test)).mean(axis=0)
            far.append(np.abs(below - LEVELS).max())
        assert far[1] < 0.04 < 0.06 < far[0]

    def test_it_is_fitted_to_the_rows_withheld(self):
        X, y = DIABETES
        plain = basic(NNRegressor, **QUICK, calibration=None).fit(X, y)
        reg = basic(NNRegressor, **QUICK).fit(X, y)
        ((_, rows),) = member_splits(len(y), None, 0.1, reg._seed, 1)
        raw = plain.predict_quantiles(X)
        found = fit_conformal(raw[rows][:, None], y[rows, None], np.ones(len(rows)), LEVELS, CENTER)
        assert_allclose(reg.quantile_shift_, found.shift, rtol=1e-5)
        assert_allclose(reg.quantile_factors_, found.factors, rtol=1e-5)
        assert_allclose(reg.predict_quantiles(X), found(raw[:, None])[:, 0], rtol=1e-6)
        assert_allclose(reg.predict(X), plain.predict(X) + found.shift, rtol=1e-6)
        assert_array_equal(reg.module_.state_dict()["output.bias"], plain.module_.state_dict()["output.bias"])

    def test_an_ensemble_by_the_average_of_those_that_withhold(self):
        X, y = DIABETES
        settings = {**QUICK, "n_members": 4}
        plain = basic(NNRegressor, **settings, calibration=None).fit(X, y)
        reg = basic(NNRegressor, **settings).fit(X, y)
        encoded = reg.preprocessor_.transform(X)
        splits = member_splits(len(y), None, 0.1, reg._seed, 4)
        pooled, targets = [], []
        for pair in (0, 2):  # each two withhold the same
            own, rows = plain.module_.members[pair : pair + 2], splits[pair].withheld
            assert rows is splits[pair + 1].withheld
            inputs = reg.module_.members[0][0].weight.new_tensor(encoded[rows])
            scores = np.mean([member(inputs).detach().double().numpy() for member in own], axis=0)
            pooled.append(np.sort(scores, axis=1))
            targets.append(reg.target_.encode(y[rows]).astype(float))
        pooled, targets = np.concatenate(pooled)[:, None], np.concatenate(targets)
        found = fit_conformal(pooled, targets, np.ones(len(targets)), LEVELS, CENTER)
        assert_allclose(reg.quantile_factors_, found.factors, rtol=1e-4)
        assert_allclose(reg.quantile_shift_, found.shift * reg.target_.scale_, rtol=1e-4)

    def test_several_targets(self):
        X, y = DIABETES
        both = np.column_stack([y, -3 * y + 5])
        reg = basic(NNRegressor, **QUICK).fit(X, both)
        assert reg.quantile_shift_.shape == (2,)
        assert reg.quantile_factors_.shape == (2, 5)
        assert reg.predict(X).shape == (442, 2)
        assert (np.diff(reg.predict_quantiles(X), axis=2) >= 0).all()
        assert_array_equal(reg.predict_quantiles(X)[:, :, CENTER], reg.predict(X))

    def test_one_level(self):
        reg = basic(NNRegressor, **{**QUICK, "loss": Quantile(quantile=0.9)}).fit(*DIABETES)
        assert_array_equal(reg.quantile_factors_, [[1.0]])
        assert reg.quantile_shift_ != 0
        assert_array_equal(reg.predict_quantiles(DIABETES[0])[:, 0], reg.predict(DIABETES[0]))

    def test_without_withheld_rows_nothing_changes(self):
        settings = {**QUICK, "early_stopping": False}
        reg, plain = (basic(NNRegressor, **settings, calibration=c).fit(*DIABETES) for c in ("conformal", None))
        assert_array_equal(reg.predict_quantiles(DIABETES[0]), plain.predict_quantiles(DIABETES[0]))
        for one in (reg, plain):
            assert_array_equal(one.quantile_shift_, [0.0])
            assert_array_equal(one.quantile_factors_, [[1.0] * 5])

    def test_given_rows(self):
        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
        below = (y[300:, None] < reg.predict_quantiles(X[300:])).mean(axis=0)
        assert_allclose(below, LEVELS, atol=0.01)

    def test_going_on_keeps_it(self):
        reg = basic(NNRegressor, **QUICK).fit(*DIABETES)
        before = reg.quantile_factors_
        going = copy.deepcopy(reg).partial_fit(*DIABETES)
        assert_array_equal(going.quantile_factors_, before)
        assert_array_equal(going.set_params(calibration=None).partial_fit(*DIABETES).quantile_factors_, [[1.0] * 5])
        assert not np.array_equal(reg.set_params(warm_start=True).fit(*DIABETES).quantile_factors_, before)

    def test_other_losses_have_none(self):
        reg = basic(NNRegressor, **QUICK).fit(*DIABETES)
        assert not hasattr(reg.set_params(loss="squared_error").fit(*DIABETES), "quantile_factors_")
        assert not hasattr(reg, "quantile_shift_")

    def test_a_scorer_sees_the_quantiles_that_a_fit_without_has(self):
        """While it trains nothing is known yet, and what an earlier fit has found says nothing about this one."""
        settings = {**QUICK, "scoring": "neg_mean_absolute_error"}
        reg, plain = (basic(NNRegressor, **settings, calibration=c).fit(*DIABETES) for c in ("conformal", None))
        assert reg.validation_scores_ == plain.validation_scores_
        assert reg.fit(*DIABETES).validation_scores_ == plain.validation_scores_

    def test_pickles_and_clones(self):
        reg = basic(NNRegressor, **QUICK).fit(*DIABETES)
        again = pickle.loads(pickle.dumps(reg))
        assert_array_equal(again.predict_quantiles(DIABETES[0]), reg.predict_quantiles(DIABETES[0]))
        assert clone(reg).get_params()["calibration"] == "conformal"

    def test_lockstep_changes_no_bit(self):
        grid = {"n_members": [1, 3], "calibration": [None, "conformal"]}
        searches = [
            GridSearchCV(basic(NNRegressor, **QUICK), grid, cv=2, scoring="neg_mean_absolute_error") for _ in range(2)
        ]
        searches[0].fit(*DIABETES)
        with lockstep():
            searches[1].fit(*DIABETES)
        one, other = (search.cv_results_["split0_test_score"] for search in searches)
        assert_array_equal(one, other)
        assert len(set(one)) == 4
