"""At home in scikit-learn: inside its meta-estimators and tools, in lockstep where these cross-validate."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import joblib
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingClassifier
from sklearn.feature_selection import RFECV, SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import DecisionBoundaryDisplay, PartialDependenceDisplay, permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    LearningCurveDisplay,
    TunedThresholdClassifierCV,
    ValidationCurveDisplay,
    cross_validate,
)
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt.data import TableEncoder

mpl.use("Agg")

IRIS, CANCER, DIABETES = (load(return_X_y=True) for load in (load_iris, load_breast_cancer, load_diabetes))
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 5, "learning_rate": 0.01, "random_state": 0}


def classifier(**settings: Any) -> NNClassifier:
    return basic(NNClassifier, **{**QUICK, **settings})


def regressor(**settings: Any) -> NNRegressor:
    return basic(NNRegressor, **{**QUICK, **settings})


def both_ways(work: Callable[[], Any], members: int) -> tuple[Any, Any]:
    """Results without and with lockstep, in which so many networks met."""
    with joblib.parallel_config(backend="threading"):
        plain = work()
    with lockstep(n_jobs=1) as sweep:
        together = work()
    assert sum(sweep.cohort_sizes) >= members
    assert max(sweep.cohort_sizes) > 1
    return plain, together


class TestMetaEstimatorsInLockstep:
    """The same bits as without."""

    @pytest.mark.parametrize(
        ("make", "data", "members"),
        [
            (lambda: CalibratedClassifierCV(classifier(), cv=3), CANCER, 3),
            (lambda: CalibratedClassifierCV(classifier(), cv=3, method="temperature", ensemble=False), IRIS, 3),
            (lambda: TunedThresholdClassifierCV(classifier(), cv=3), CANCER, 3),
            (lambda: StackingRegressor([("nn", regressor()), ("ridge", Ridge())], cv=3), DIABETES, 4),
            (lambda: StackingRegressor([("a", regressor()), ("b", regressor(dropout=0.1))], cv=2), DIABETES, 6),
            (lambda: BaggingRegressor(regressor(), n_estimators=3, random_state=0), DIABETES, 3),
            (lambda: VotingClassifier([("a", classifier()), ("b", classifier(tol=0.1))], voting="soft"), IRIS, 2),
            (lambda: MultiOutputRegressor(regressor()), (DIABETES[0], DIABETES[0][:, :3]), 3),
            (
                lambda: TransformedTargetRegressor(regressor(), func=np.log1p, inverse_func=np.expm1),
                DIABETES,
                0,
            ),
        ],
        ids=lambda value: type(value()).__name__ if callable(value) else "",
    )  # fmt: skip
    def test_fits(self, make: Callable[[], BaseEstimator], data: Any, members: int) -> None:
        X, y = data
        if not members:  # nothing meets, and nothing may differ
            with lockstep():
                together = make().fit(X, y)
            assert_array_equal(together.predict(X), make().fit(X, y).predict(X))
            return
        plain, together = both_ways(lambda: make().fit(X, y), members)
        method = "predict_proba" if hasattr(plain, "predict_proba") else "predict"
        assert_array_equal(getattr(together, method)(X), getattr(plain, method)(X))

    def test_recursive_elimination(self) -> None:
        work = lambda: RFECV(  # noqa: E731
            regressor(), cv=2, step=4, min_features_to_select=2, n_jobs=2,
            importance_getter=lambda network: network.module_.dense_0.weight.abs().sum(0).detach().numpy(),
        ).fit(*DIABETES)  # fmt: skip
        plain, together = both_ways(work, 6)
        assert_array_equal(together.ranking_, plain.ranking_)
        assert plain.n_features_ in (2, 6, 10)

    def test_learning_curve_display(self) -> None:
        sizes = {"train_sizes": [0.3, 0.6, 1.0], "cv": 2, "shuffle": True, "random_state": 0}
        plain, together = both_ways(lambda: LearningCurveDisplay.from_estimator(classifier(), *IRIS, **sizes), 6)
        assert_array_equal(together.test_scores, plain.test_scores)
        assert plain.test_scores.shape == (3, 2)

    def test_validation_curve_display(self) -> None:
        values = {"param_name": "dropout", "param_range": [0.0, 0.2], "cv": 2}
        plain, together = both_ways(lambda: ValidationCurveDisplay.from_estimator(classifier(), *IRIS, **values), 4)
        assert_array_equal(together.test_scores, plain.test_scores)


class TestMetaEstimators:
    def test_frozen(self) -> None:
        clf = classifier().fit(*CANCER)
        threshold = FixedThresholdClassifier(FrozenEstimator(clf), threshold=0.9).fit(*CANCER)
        positive = clf.predict_proba(CANCER[0])[:, 1] >= 0.9
        assert_array_equal(threshold.predict(CANCER[0]), positive)
        assert clone(FrozenEstimator(clf)).estimator is clf

    def test_self_training(self) -> None:
        X, y = IRIS
        some = y.copy()
        some[::3] = -1
        clf = SelfTrainingClassifier(classifier(max_epochs=30), threshold=0.6).fit(X, some)
        assert clf.score(X[::3], y[::3]) > 0.8
        assert (clf.transduction_ != -1).sum() > (some != -1).sum()

    def test_a_chain_of_classifiers(self) -> None:
        X, y = make_multilabel_classification(200, n_classes=3, random_state=0)
        chain = ClassifierChain(classifier(), order=[2, 0, 1], cv=2, random_state=0).fit(X, y)
        assert chain.predict_proba(X).shape == (200, 3)

    def test_permutation_importance(self) -> None:
        X, y = IRIS
        X = np.column_stack([X, np.random.RandomState(0).normal(size=150)])
        found = permutation_importance(classifier(max_epochs=40).fit(X, y), X, y, n_repeats=5, random_state=0)
        assert found.importances_mean[3] > 0.1
        assert abs(found.importances_mean[4]) < 0.05

    def test_partial_dependence_on_numbers_and_categories(self) -> None:
        X = pd.DataFrame({"size": np.linspace(0, 1, 90), "colour": np.tile(["red", "green", "blue"], 30)})
        y = X["size"] + 2.0 * (X["colour"] == "red")
        reg = regressor(max_epochs=40).fit(X, y)
        shown = PartialDependenceDisplay.from_estimator(
            reg, X, ["size", "colour"], categorical_features=["colour"], grid_resolution=5
        )
        size, colour = (result["average"][0] for result in shown.pd_results)
        assert size[-1] > size[0] + 0.3
        assert dict(zip(shown.pd_results[1]["grid_values"][0], colour, strict=True))["red"] == colour.max()

    def test_a_decision_boundary(self) -> None:
        X, y = IRIS
        shown = DecisionBoundaryDisplay.from_estimator(classifier().fit(X[:, :2], y), X[:, :2], grid_resolution=9)
        assert shown.response.shape[:2] == (9, 9)

    def test_features_are_selected_by_the_weights(self) -> None:
        getter = lambda network: network.module_.dense_0.weight.detach().numpy()  # noqa: E731
        chosen = SelectFromModel(classifier(max_epochs=40), importance_getter=getter, max_features=2).fit(*IRIS)
        assert chosen.get_support().sum() <= 2


class TestMetadataRouting:
    @pytest.fixture(autouse=True)
    def routing(self) -> Any:
        with config_context(enable_metadata_routing=True):
            yield

    @staticmethod
    def pipeline() -> Pipeline:
        network = classifier(early_stopping=True)
        network.set_fit_request(sample_weight=True, X_val=True, y_val=True, sample_weight_val=True)
        network.set_score_request(sample_weight=True)
        steps = [("scale", StandardScaler().set_fit_request(sample_weight=False)), ("net", network)]
        return Pipeline(steps, transform_input=["X_val"])

    def test_x_val_is_transformed_by_the_pipeline(self) -> None:
        X, y = IRIS
        given = {"X_val": X[1::3], "y_val": y[1::3], "sample_weight": np.ones(75), "sample_weight_val": np.ones(50)}
        fitted = self.pipeline().fit(X[::2], y[::2], **given)
        scaler = StandardScaler().fit(X[::2])
        by_hand = classifier(early_stopping=True).fit(
            scaler.transform(X[::2]), y[::2], **{**given, "X_val": scaler.transform(X[1::3])}
        )
        assert_array_equal(fitted.predict_proba(X), by_hand.predict_proba(scaler.transform(X)))
        assert fitted[-1].n_validation_samples_ == 50

    def test_weights_and_x_val_through_a_search_in_lockstep(self) -> None:
        X, y = IRIS
        weight = np.linspace(0.5, 1.5, 75)
        given = {"X_val": X[1::3], "y_val": y[1::3], "sample_weight": weight, "sample_weight_val": np.ones(50)}
        grid = {"net__dropout": [0.0, 0.2]}
        work = lambda: GridSearchCV(self.pipeline(), grid, cv=2).fit(X[::2], y[::2], **given)  # noqa: E731
        plain, together = both_ways(work, 4)
        assert_array_equal(plain.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
        assert plain.best_estimator_[-1].n_validation_samples_ == 50

    def test_what_is_not_asked_for_is_refused(self) -> None:
        with pytest.raises(ValueError, match="sample_weight"):
            cross_validate(classifier(), *IRIS, params={"sample_weight": np.ones(150)})


class TestFrames:
    def test_output_of_steps_before_is_kept_in_frames(self) -> None:
        X, y = load_iris(return_X_y=True, as_frame=True)
        steps = make_column_transformer((StandardScaler(), X.columns[:2]), remainder="passthrough")
        pipe = make_pipeline(steps, classifier()).set_output(transform="pandas").fit(X, y)
        assert pipe[-1].feature_names_in_.tolist() == pipe[:-1].get_feature_names_out().tolist()
        assert pipe.predict(X).shape == (150,)

    def test_the_encoder_names_its_columns(self) -> None:
        X = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": ["x", "y", "x"]})
        encoder = TableEncoder().fit(X)
        assert encoder.get_feature_names_out().tolist() == ["a", "missingindicator_a", "b_x", "b_y"]
        assert make_pipeline(encoder).get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()

    def test_html(self) -> None:
        clf = classifier().fit(*IRIS)
        page = clf._repr_html_()
        for word in ("NNClassifier", "hidden_layer_sizes", "n_iter_", "Fitted"):
            assert word in page
        assert "NNClassifier" in make_pipeline(StandardScaler(), clf)._repr_html_()


ARRAY_API = """
import numpy as np, sklearn, torch
from sklearn.datasets import load_iris
from sknnopt import NNClassifier
X, y = load_iris(return_X_y=True)
network = NNClassifier(n_members=1, hidden_layer_sizes=(4,), max_epochs=2, random_state=0)
plain = network.fit(X, y).predict_proba(X)
assert (network.fit(torch.tensor(X), torch.tensor(y)).predict_proba(torch.tensor(X)) == plain).all()
with sklearn.config_context(array_api_dispatch=True):
    assert (network.fit(X, y).predict_proba(X) == plain).all()
    assert network.score(X, y) == network.score(X, y, np.ones(150))
    for call in (lambda: network.fit(torch.tensor(X), y), lambda: network.fit(X, torch.tensor(y)),
                 lambda: network.predict(torch.tensor(X))):
        try:
            call()
        except TypeError as error:
            assert "torch.Tensor" in str(error) and "tensor.numpy(force=True)" in str(error), error
        else:
            raise AssertionError("taken")
"""


def test_array_api_dispatch_with_other_arrays_than_numpys_is_refused() -> None:
    """In a process of its own, as scipy must be told before it is imported."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ARRAY_API], env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_stacked_predictions_are_those_of_the_parts() -> None:
    stack = StackingRegressor([("nn", regressor())], final_estimator=Ridge(alpha=1e-9), cv=2).fit(*DIABETES)
    own = regressor().fit(*DIABETES).predict(DIABETES[0])
    final = stack.final_estimator_
    assert_allclose(stack.predict(DIABETES[0]), final.coef_[0] * own + final.intercept_, rtol=1e-9)
