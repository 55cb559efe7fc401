"""Several members: their predictions are averaged, and the first is the one that would train alone."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.datasets import load_diabetes, load_digits, load_iris, make_multilabel_classification
from support import basic

from sknnopt import NNClassifier, NNRegressor

QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 20,
    "batch_size": 32,
    "learning_rate": 0.03,
    "random_state": 0,
}

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(300, n_classes=4, random_state=0)


def test_average_of_the_members_probabilities():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    clf = basic(NNClassifier, **QUICK, n_members=3).fit(X, y)
    rows = torch.from_numpy(clf.preprocessor_.transform(X))
    with torch.no_grad():
        each = [softmax(member(rows).double().numpy(), axis=1) for member in clf.module_.members]
    assert not np.allclose(each[0], each[1], atol=0.01)
    assert_allclose(clf.predict_proba(X), np.mean(each, axis=0), atol=1e-6)
    assert_allclose(clf.predict_log_proba(X), np.log(np.mean(each, axis=0)), atol=1e-4)


def test_average_of_the_members_multilabel_probabilities():
    X, Y = LABELS
    clf = basic(NNClassifier, **QUICK, n_members=3).fit(X, Y)
    rows = torch.from_numpy(clf.preprocessor_.transform(X))
    with torch.no_grad():
        each = [expit(member(rows).double().numpy()) for member in clf.module_.members]
    assert_allclose(clf.predict_proba(X), np.mean(each, axis=0), atol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_average_of_the_members_means(loss):
    X, y = DIABETES
    reg = basic(NNRegressor, **QUICK, n_members=3, loss=loss).fit(X, y)
    rows = torch.from_numpy(reg.preprocessor_.transform(X))
    with torch.no_grad():
        each = np.array([member(rows).double().numpy()[:, 0] for member in reg.module_.members])
    means = np.exp(each) * y.mean() if loss == "poisson" else each * y.std() + y.mean()
    assert_allclose(reg.predict(X), means.mean(axis=0), rtol=1e-4)


@pytest.mark.parametrize("given", [False, True])
def test_the_first_is_the_solo_fit_to_the_bit(given):
    """Where all members have the same rows, and no epoch is chosen, which they do together (see ``test_panel``)."""
    X, y = IRIS
    settings = {**QUICK, "early_stopping": False}
    held_out = {"X_val": X[::5], "y_val": y[::5]} if given else {}
    solo = basic(NNClassifier, **settings, n_members=1).fit(X, y, **held_out)
    several = basic(NNClassifier, **settings, n_members=3).fit(X, y, **held_out)
    for name, value in solo.module_.state_dict().items():
        assert_array_equal(several.module_.members[0].state_dict()[name], value, err_msg=name)
    assert several.n_parameters_ == 3 * solo.n_parameters_
    assert several.best_epoch_[0] == solo.best_epoch_
    assert several.best_loss_[0] == solo.best_loss_
    assert several.n_iter_ == solo.n_iter_


def test_history_is_the_mean_of_the_members_still_training():
    X, y = IRIS
    settings = {**QUICK, "early_stopping": True, "n_iter_no_change": 2, "max_epochs": 30}
    several = basic(NNClassifier, **settings, n_members=3, scoring="accuracy").fit(X, y)
    assert len(several.history_) == several.n_iter_ == several.history_[-1]["epoch"]
    assert several.best_epoch_.max() <= several.n_iter_
    assert len(several.validation_scores_) == several.n_iter_
