"""Rows withheld or given, what judges them, when training stops, and whose weights are kept."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_multilabel_classification
from sklearn.metrics import fbeta_score, get_scorer, log_loss, make_scorer, roc_auc_score
from sklearn.model_selection import train_test_split
from support import basic

from sknnopt import NNClassifier, NNRegressor
from sknnopt.estimators._data import AUTO_STOPPING_ROWS, SHARED_STOPPING_ROWS
from sknnopt.nn import predict_scores

CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
DIGITS = load_digits(return_X_y=True)

OVERFITS = {
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "learning_rate": 0.02,
    "schedule": "constant",
    "dropout": 0.0,
    "max_epochs": 40,
    "n_iter_no_change": 5,
    "random_state": 0,
}
"""Settings under which the best epoch is not the last."""
STOPS = {**OVERFITS, "early_stopping": True}


def half_right(estimator, X, y):
    return float((estimator.predict(X) == y).mean()) / 2


CLASSIFICATION = {
    "loss": "loss",
    "accuracy": "accuracy",
    "roc_auc": "roc_auc",
    "neg_log_loss": "neg_log_loss",
    "callable": half_right,
    "labels": make_scorer(fbeta_score, beta=2),
    "probabilities": make_scorer(log_loss, response_method="predict_proba", greater_is_better=False),
    "decisions": make_scorer(roc_auc_score, response_method="decision_function"),
}


def split(data):
    return train_test_split(*data, test_size=0.4, random_state=0)


def own_score(estimator, scoring, X, y):
    if scoring == "loss":
        return -log_loss(y, estimator.predict_proba(X))
    return (get_scorer(scoring) if isinstance(scoring, str) else scoring)(estimator, X, y)


class TestRestoring:
    """The fitted network scores what the best epoch scored, and that is the best score recorded."""

    @pytest.mark.parametrize("scoring", CLASSIFICATION.values(), ids=CLASSIFICATION.keys())
    def test_classifier(self, scoring):
        X, X_val, y, y_val = split(CANCER)
        names = np.array(["good", "bad"])
        if CLASSIFICATION["labels"] is scoring:
            names = np.array([0, 1])
        clf = basic(NNClassifier, **STOPS, scoring=scoring, calibration=None)
        clf.fit(X, names[y], X_val=X_val, y_val=names[y_val])
        best = max(clf.validation_scores_)
        assert own_score(clf, scoring, X_val, names[y_val]) == pytest.approx(best, rel=1e-5)
        assert clf.validation_scores_[clf.best_epoch_ - 1] == best
        assert clf.validation_scores_.index(best) == clf.best_epoch_ - 1
        assert clf.n_iter_ < 40

    @pytest.mark.parametrize("scoring", ["loss", "r2", "neg_mean_absolute_error"])
    def test_regressor(self, scoring):
        X, X_val, y, y_val = split(DIABETES)
        reg = basic(NNRegressor, **STOPS, scoring=scoring).fit(X, y, X_val=X_val, y_val=y_val)
        got = reg.predict(X_val)
        if scoring == "loss":
            score = -(((got - y_val) / reg.target_.scale_[0]) ** 2).mean()
        else:
            score = get_scorer(scoring)(reg, X_val, y_val)
        assert score == pytest.approx(max(reg.validation_scores_), rel=1e-5)
        assert reg.best_epoch_ == np.argmax(reg.validation_scores_) + 1 < reg.n_iter_ < 40

    @pytest.mark.parametrize("normalization", ["batch", "layer"])
    def test_with_running_statistics(self, normalization):
        X, X_val, y, y_val = split(CANCER)
        clf = basic(NNClassifier, **STOPS, normalization=normalization, calibration=None)
        clf.fit(X, y, X_val=X_val, y_val=y_val)
        assert clf.best_epoch_ < clf.n_iter_
        assert own_score(clf, "loss", X_val, y_val) == pytest.approx(max(clf.validation_scores_), rel=1e-4)

    def test_weights_are_those_of_a_fit_of_that_many_epochs(self):
        X, X_val, y, y_val = split(CANCER)
        clf = basic(NNClassifier, **STOPS, calibration=None).fit(X, y, X_val=X_val, y_val=y_val)
        short = basic(NNClassifier, **{**OVERFITS, "max_epochs": clf.best_epoch_}, early_stopping=False).fit(X, y)
        assert clf.best_epoch_ < clf.n_iter_
        assert_array_equal(clf.predict_proba(X_val), short.predict_proba(X_val))

    def test_multilabel(self):
        X, Y = make_multilabel_classification(300, n_classes=3, random_state=0)
        X, X_val, Y, Y_val = train_test_split(X, Y, test_size=0.4, random_state=0)
        clf = basic(NNClassifier, **STOPS, scoring="f1_macro").fit(X, Y, X_val=X_val, y_val=Y_val)
        assert get_scorer("f1_macro")(clf, X_val, Y_val) == pytest.approx(max(clf.validation_scores_))

    def test_several_targets(self):
        X, y = DIABETES
        X, X_val, Y, Y_val = train_test_split(X, np.column_stack([y, -y]), test_size=0.4, random_state=0)
        reg = basic(NNRegressor, **STOPS, scoring="r2").fit(X, Y, X_val=X_val, y_val=Y_val)
        assert reg.score(X_val, Y_val) == pytest.approx(max(reg.validation_scores_), rel=1e-5)

    @pytest.mark.parametrize("scoring", ["loss", "accuracy"])
    def test_members_keep_the_epoch_that_is_best_for_their_average(self, scoring):
        X, X_val, y, y_val = split(CANCER)
        clf = basic(NNClassifier, **STOPS, n_members=3, calibration=None, scoring=scoring)
        clf.fit(X, y, X_val=X_val, y_val=y_val)
        assert clf.best_epoch_.shape == clf.best_loss_.shape == (3,)
        (best,) = set(clf.best_epoch_)
        assert best == np.argmax(clf.validation_scores_) + 1 < clf.n_iter_ < 40
        assert own_score(clf, scoring, X_val, y_val) == pytest.approx(max(clf.validation_scores_), rel=1e-4)
        rows = clf.preprocessor_.transform(X_val)
        for member, loss in zip(clf.module_.members, clf.best_loss_, strict=True):
            assert log_loss(y_val, softmax(predict_scores(member, rows), axis=1)) == pytest.approx(loss, rel=1e-4)


class TestStopping:
    def test_after_that_many_epochs_without_improvement(self):
        X, y = CANCER
        settings = {**OVERFITS, "early_stopping": True, "tol": 0.0}
        for patience in (1, 4, 9):
            clf = basic(NNClassifier, **{**settings, "n_iter_no_change": patience}).fit(X, y)
            assert clf.n_iter_ == clf.best_epoch_ + patience

    def test_tol_is_the_least_improvement(self):
        X, y = CANCER
        epochs = [
            basic(NNClassifier, **{**OVERFITS, "tol": tol}, early_stopping=True).fit(X, y).n_iter_ for tol in (0.0, 0.5)
        ]
        assert epochs[1] < epochs[0]
        assert basic(NNClassifier, **{**OVERFITS, "tol": 10.0}, early_stopping=True).fit(X, y).n_iter_ == 6

    def test_false_never_stops_but_records_the_given_rows(self):
        X, X_val, y, y_val = split(CANCER)
        clf = basic(NNClassifier, **OVERFITS, early_stopping=False, scoring="accuracy")
        clf.fit(X, y, X_val=X_val, y_val=y_val)
        assert clf.n_iter_ == clf.best_epoch_ == 40
        assert len(clf.validation_scores_) == 40
        assert clf.score(X_val, y_val) == clf.validation_scores_[-1]
        assert_array_equal(
            clf.predict_proba(X), basic(NNClassifier, **OVERFITS, early_stopping=False).fit(X, y).predict_proba(X)
        )

    def test_auto_stops_by_given_rows(self):
        X, X_val, y, y_val = split(CANCER)
        auto, told = (
            basic(NNClassifier, **OVERFITS, early_stopping=value).fit(X, y, X_val=X_val, y_val=y_val)
            for value in ("auto", True)
        )
        assert auto.n_iter_ < 40
        assert auto.history_[-1]["valid_loss"] == told.history_[-1]["valid_loss"]


class TestWithheldRows:
    @pytest.mark.parametrize(
        ("n_members", "n", "withheld"),
        [
            (1, AUTO_STOPPING_ROWS - 1, 0),
            (1, AUTO_STOPPING_ROWS, 500),
            (2, SHARED_STOPPING_ROWS - 1, 0),
            (2, SHARED_STOPPING_ROWS, 5),
        ],
    )
    def test_auto(self, n_members, n, withheld):
        rng = np.random.RandomState(0)
        X = rng.normal(size=(n, 2)).astype(np.float32)
        settings = {"hidden_layer_sizes": (2,), "max_epochs": 2, "batch_size": 1000}
        for make in (NNClassifier, NNRegressor):
            network = basic(make, **settings, early_stopping="auto", n_members=n_members)
            network.fit(X, (X[:, 0] > 0).astype(int))
            assert network.n_validation_samples_ == withheld
            assert (network.validation_scores_ is None) == (withheld == 0)

    def test_auto_counts_rows_with_weight(self):
        X = np.random.RandomState(0).normal(size=(AUTO_STOPPING_ROWS + 10, 2))
        weight = np.ones(len(X))
        weight[:11] = 0
        settings = {"hidden_layer_sizes": (2,), "max_epochs": 1, "batch_size": 1000}
        assert basic(NNRegressor, **settings, early_stopping="auto").fit(X, X[:, 0], weight).n_validation_samples_ == 0

    def test_documented_number_of_rows(self):
        text = " ".join(NNClassifier.__doc__.split())
        assert f"from {AUTO_STOPPING_ROWS:,} rows on, with several members from {SHARED_STOPPING_ROWS}," in text

    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
    def test_fraction(self, fraction):
        X, y = CANCER
        clf = basic(
            NNClassifier, **{**OVERFITS, "max_epochs": 1}, early_stopping=True, validation_fraction=fraction
        ).fit(X, y)
        assert clf.n_validation_samples_ == np.ceil(fraction * 569)

    def test_false_withholds_none(self):
        X, y = CANCER
        assert (
            basic(NNClassifier, **{**OVERFITS, "max_epochs": 1}, early_stopping=False).fit(X, y).n_validation_samples_
            == 0
        )

    def test_are_stratified(self):
        y = np.repeat([0, 1], [900, 100])
        X = np.random.RandomState(0).normal(size=(1000, 3))
        shares = []

        def share(estimator, X, y):
            shares.append(y.mean())
            return 0.0

        for seed in range(5):
            settings = {**OVERFITS, "max_epochs": 1, "random_state": seed}
            basic(NNClassifier, **settings, early_stopping=True, scoring=share).fit(X, y)
        assert shares == [0.1] * 5

    def test_a_class_of_one_row_is_no_obstacle(self):
        X, y = CANCER
        y = y.copy()
        y[0] = 2
        clf = basic(NNClassifier, **{**OVERFITS, "max_epochs": 2}, early_stopping=True).fit(X, y)
        assert clf.predict_proba(X).shape == (569, 3)

    def test_are_given_to_scorers_as_the_user_gave_them(self):
        X, y = CANCER
        frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(30)])
        seen = []

        def look(estimator, X, y):
            seen.append((X, y))
            return estimator.score(X, y)

        names = np.array(["bad", "good"])
        clf = basic(NNClassifier, **{**OVERFITS, "max_epochs": 3}, early_stopping=True, scoring=look).fit(
            frame, names[y]
        )
        assert len(seen) == 3
        for rows, labels in seen:
            assert rows.columns.tolist() == frame.columns.tolist()
            assert_array_equal(labels, names[y[rows.index]])
        assert clf.score(frame.loc[seen[0][0].index], seen[0][1]) == max(clf.validation_scores_)

    def test_scorers_that_predict_other_rows_are_told(self):
        X, y = CANCER

        def first_rows(estimator, X, y):
            return float((estimator.predict(X[:5]) == y[:5]).mean())

        clf = basic(NNClassifier, **OVERFITS, early_stopping=True, scoring=first_rows)
        with pytest.raises(ValueError, match="predicts the withheld rows"):
            clf.fit(X, y)
        clf.set_params(scoring="accuracy").fit(X, y)


class TestGivenRows:
    def test_count_and_are_no_training_rows(self):
        X, X_val, y, y_val = split(DIGITS)
        settings = {**OVERFITS, "max_epochs": 3}
        clf = basic(NNClassifier, **settings).fit(X, y, X_val=X_val, y_val=y_val)
        assert clf.n_validation_samples_ == len(X_val)
        assert clf.n_parameters_ == basic(NNClassifier, **settings).fit(X, y).n_parameters_
        assert_array_equal(clf.preprocessor_.center_, basic(NNClassifier, **settings).fit(X, y).preprocessor_.center_)

    def test_weights_count_in_the_loss(self):
        X, X_val, y, y_val = split(CANCER)
        weight = np.random.RandomState(0).randint(0, 4, len(y_val))
        settings = {**OVERFITS, "max_epochs": 3, "early_stopping": False}
        weighted = basic(NNClassifier, **settings).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
        repeated = basic(NNClassifier, **settings).fit(
            X, y, X_val=X_val.repeat(weight, axis=0), y_val=y_val.repeat(weight)
        )
        assert weighted.validation_scores_ == pytest.approx(repeated.validation_scores_, rel=1e-5)
        expected = log_loss(y_val, weighted.predict_proba(X_val), sample_weight=weight)
        assert -weighted.validation_scores_[-1] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"X_val": CANCER[0]}, "X_val was given without y_val"),
            ({"y_val": CANCER[1]}, "y_val was given without X_val"),
            ({"sample_weight_val": CANCER[1]}, "sample_weight_val was given without X_val"),
            ({"X_val": CANCER[0], "y_val": CANCER[1][:-1]}, "inconsistent numbers of samples: \\[569, 568\\]"),
            (
                {"X_val": CANCER[0], "y_val": CANCER[1], "sample_weight_val": CANCER[1][:-1]},
                "sample_weight.shape == \\(568,\\), expected \\(569,\\)",
            ),
            ({"X_val": CANCER[0][:, :9], "y_val": CANCER[1]}, "X has 9 features, but .* expecting 30"),
            ({"X_val": CANCER[0], "y_val": CANCER[1] + 5}, "previously unseen labels"),
            ({"X_val": CANCER[0], "y_val": CANCER[1], "sample_weight_val": 0 * CANCER[1]}, "all are zero"),
            ({"X_val": CANCER[0], "y_val": CANCER[1], "sample_weight_val": -CANCER[1]}, "Negative values"),
            ({"X_val": CANCER[0][:0], "y_val": CANCER[1][:0]}, "0 sample"),
        ],
    )  # fmt: skip
    def test_mistakes(self, given, message):
        X, y = CANCER
        clf = basic(NNClassifier, **{**OVERFITS, "max_epochs": 1})
        with pytest.raises(ValueError, match=message):
            clf.fit(X, y, **given)
        clf.fit(X, y, X_val=X[:50], y_val=y[:50]).predict(X)
