"""``history_`` is the mean of ``member_histories_``, whoever stops, fails or goes on."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from support import basic

from sknnopt import NNClassifier

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 6, "batch_size": 32, "learning_rate": 0.02, "random_state": 0}
FIGURES = ["train_loss", "learning_rate", "gradient_norm", "weight_norm", "seconds"]


def assert_is_the_mean(estimator, n_members):
    for name, curves in estimator.member_histories_.items():
        assert curves.shape == (n_members, estimator.n_iter_)
        mean = np.nansum(curves, axis=0) if name == "seconds" else np.nanmean(curves, axis=0)
        assert_allclose(mean, [record[name] for record in estimator.history_], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("n_members", [1, 3])
def test_history_is_their_mean(n_members):
    clf = basic(NNClassifier, **QUICK, n_members=n_members).fit(*IRIS)
    assert list(clf.member_histories_) == FIGURES
    assert_is_the_mean(clf, n_members)
    assert len(np.unique(clf.member_histories_["train_loss"][:, -1])) == n_members
    again = pickle.loads(pickle.dumps(clf))
    assert_array_equal(again.member_histories_["train_loss"], clf.member_histories_["train_loss"])


def test_a_member_is_what_it_is_in_its_own_recipe():
    recipes = [{"learning_rate": 0.05, "max_epochs": 9}]
    clf = basic(NNClassifier, **QUICK, schedule="constant", recipes=recipes).fit(*IRIS)
    assert_is_the_mean(clf, 2)
    rates, losses = clf.member_histories_["learning_rate"], clf.member_histories_["train_loss"]
    assert rates[:, 0].tolist() == [0.02, 0.05]
    assert np.isnan(losses).sum(axis=1).tolist() == [3, 0], "the first trains 6 epochs, the second 9"
    assert np.isnan(losses[0, 6:]).all()


def test_scores_are_there_where_rows_are_withheld():
    clf = basic(NNClassifier, **QUICK, n_members=2, early_stopping=True, scoring="accuracy").fit(*CANCER)
    assert {"valid_loss", "valid_score"} <= set(clf.member_histories_)
    assert_is_the_mean(clf, 2)
    best = np.atleast_1d(clf.best_epoch_) - 1
    assert_array_equal(clf.member_histories_["valid_loss"][range(2), best], clf.best_loss_)


def test_partial_fit_adds_to_them():
    clf = basic(NNClassifier, **QUICK, n_members=2)
    for _ in range(3):
        clf.partial_fit(*IRIS)
        assert_is_the_mean(clf, 2)
    before = clf.member_histories_["train_loss"]
    assert before.shape == (2, 3)
    clf.fit(*IRIS)
    assert_is_the_mean(clf, 2)
    assert clf.n_iter_ == 6


def test_who_diverges_at_once_is_left_out():
    recipes = [{"learning_rate": 1e30, "optimizer": "sgd", "gradient_clipping": None}]
    clf = basic(NNClassifier, **QUICK, recipes=recipes)
    with pytest.warns(ConvergenceWarning, match="left out"):
        clf.fit(*IRIS)
    assert_is_the_mean(clf, 1)
    assert clf.partial_fit(*IRIS).member_histories_["train_loss"].shape == (1, 7)
