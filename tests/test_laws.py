"""Reproducibility, no leakage, nothing left behind."""

# ruff: noqa: NPY002  (numpy's global state is what some of these tests are about)

import os
import random
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.model_selection import cross_val_score
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (16,), "max_epochs": 4, "batch_size": 32, "dropout": 0.3}


class Noisy(nn.Module):
    """Draws from torch's global generator when built and at each pass in training."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(n_inputs, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, n_outputs))

    def forward(self, rows: Tensor) -> Tensor:
        return self.body(rows + 0.01 * torch.randn_like(rows) if self.training else rows)


def assert_same_bits(one: Any, other: Any) -> None:
    first, second = one.module_.state_dict(), other.module_.state_dict()
    assert list(first) == list(second)
    for name in first:
        assert_array_equal(first[name].numpy(), second[name].numpy(), err_msg=name)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "early stopping": {"early_stopping": True, "scoring": "accuracy"},
    "members": {"n_members": 2},
    "module": {"network": Noisy},
    "module, early stopping": {"network": Noisy, "early_stopping": True},
    "float64": {"precision": "float64"},
    "batch normalization": {"normalization": "batch"},
}
each_setting = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


class TestReproducibility:
    @each_setting
    def test_same_seed_same_bits(self, settings):
        X, y = IRIS
        first = basic(NNClassifier, **QUICK, **settings, random_state=7).fit(X, y)
        np.random.rand(3)
        torch.rand(3)
        second = basic(NNClassifier, **QUICK, **settings, random_state=7).fit(X, y)
        assert_same_bits(first, second)
        assert first.loss_curve_ == second.loss_curve_
        assert_same_bits(first.fit(X, y), second)

    @each_setting
    def test_another_seed_other_bits(self, settings):
        X, y = IRIS
        curves = [basic(NNClassifier, **QUICK, **settings, random_state=seed).fit(X, y).loss_curve_ for seed in (7, 8)]
        assert curves[0] != curves[1]

    def test_a_random_state_object_is_drawn_from_once(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, early_stopping=True, random_state=np.random.RandomState(3))
        first, second = clone(clf).fit(X, y), clone(clf).fit(X, y)
        assert_same_bits(first, second)
        reference = np.random.RandomState(3)
        reference.randint(np.iinfo(np.int32).max)
        assert clf.fit(X, y).random_state.rand() == reference.rand()

    def test_none_draws_one_number_of_numpys(self):
        X, y = IRIS
        kept = np.random.get_state()
        try:
            np.random.seed(11)
            first = basic(NNClassifier, **QUICK, early_stopping=True, n_members=2).fit(X, y)
            after = np.random.rand()
            second = basic(NNClassifier, **QUICK, early_stopping=True, n_members=2).fit(X, y)
            np.random.seed(11)
            np.random.randint(np.iinfo(np.int32).max)
            assert np.random.rand() == after
            np.random.seed(11)
            again = basic(NNClassifier, **QUICK, early_stopping=True, n_members=2).fit(X, y)
        finally:
            np.random.set_state(kept)
        assert first.loss_curve_ != second.loss_curve_
        assert_same_bits(first, again)

    def test_whatever_n_jobs(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, random_state=0)
        scores = [cross_val_score(clf, X, y, cv=3, n_jobs=n, scoring="neg_log_loss") for n in (1, 2)]
        assert_array_equal(*scores)

    def test_whatever_the_number_of_threads(self):
        X, y = CANCER
        before = torch.get_num_threads()
        fitted = []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                clf = basic(
                    NNClassifier, **{**QUICK, "hidden_layer_sizes": (300,), "batch_size": 500}, random_state=0
                ).fit(X, y)
                fitted.append((clf, clf.predict_proba(X)))
        finally:
            torch.set_num_threads(before)
        assert_same_bits(fitted[0][0], fitted[1][0])
        assert_array_equal(fitted[0][1], fitted[1][1])


class Counting:
    """Each epoch is better than the one before; notes the withheld rows."""

    def __init__(self) -> None:
        self.rows: Any = None
        self.calls = 0

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        self.rows, self.calls = X, self.calls + 1
        return float(self.calls)


def raw_frame(X: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=[f"number {i}" for i in range(X.shape[1])])
    frame["category"] = np.where(X[:, 0] > np.median(X[:, 0]), "high", "low")
    frame["missing"] = frame["number 1"].where(np.arange(len(X)) % 7 > 0)
    return frame


def withheld(network: Any, frame: pd.DataFrame, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """The fitted network and its withheld rows."""
    scoring = Counting()
    fitted = clone(network).set_params(scoring=scoring).fit(frame, y)
    return fitted, scoring.rows.index.to_numpy()


def spoil(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Other rows than training has seen: huge, missing, of a new category."""
    frame = frame.copy()
    frame.loc[rows, "number 0"] = 1e30
    frame.loc[rows, "number 2"] = np.nan
    frame.loc[rows, "number 1"] *= -1e6
    frame.loc[rows, "missing"] = -1e6
    frame.loc[rows, "category"] = "new"
    return frame


class TestNoLeakage:
    """Withheld rows may change in every way: what is learnt stays the same to the bit."""

    SETTINGS: dict[str, Any] = {**QUICK, "early_stopping": True, "random_state": 0, "normalization": "batch"}

    def assert_same_learnt(self, one: Any, other: Any) -> None:
        assert_same_bits(one, other)
        assert one.loss_curve_ == other.loss_curve_
        assert_array_equal(one.preprocessor_.center_, other.preprocessor_.center_)
        assert_array_equal(one.preprocessor_.scale_, other.preprocessor_.scale_)
        assert one.preprocessor_.indicator_columns_.tolist() == other.preprocessor_.indicator_columns_.tolist()
        categories = [[list(levels) for levels in each.preprocessor_.categories_] for each in (one, other)]
        assert categories[0] == categories[1] == [["high", "low"]]

    def test_regressor(self):
        X, y = DIABETES
        frame = raw_frame(X)
        first, rows = withheld(basic(NNRegressor, **self.SETTINGS), frame, y)
        assert first.n_validation_samples_ == len(rows) == 45
        wild = y.copy()
        wild[rows] = 1e9
        second, again = withheld(basic(NNRegressor, **self.SETTINGS), spoil(frame, rows), wild)
        assert_array_equal(rows, again)
        self.assert_same_learnt(first, second)
        assert_array_equal(first.target_.mean_, second.target_.mean_)
        assert_array_equal(first.target_.scale_, second.target_.scale_)
        assert first.target_.mean_[0] == pytest.approx(np.delete(y, rows).mean())
        assert first.best_loss_ != second.best_loss_

    @pytest.mark.parametrize("class_weight", [None, "balanced"])
    def test_classifier(self, class_weight):
        X, y = CANCER
        frame = raw_frame(X)
        clf = basic(NNClassifier, **self.SETTINGS, class_weight=class_weight)
        first, rows = withheld(clf, frame, y)
        second, again = withheld(clf, spoil(frame, rows), y)
        assert_array_equal(rows, again)
        self.assert_same_learnt(first, second)

    @pytest.mark.parametrize(
        "network", [basic(NNClassifier), basic(NNClassifier, class_weight="balanced"), basic(NNRegressor)]
    )
    def test_weights_of_withheld_rows(self, network):
        X, y = CANCER
        frame = raw_frame(X)
        network.set_params(**self.SETTINGS)
        fitted, rows = withheld(network, frame, y)
        weight = np.ones(len(y))
        one = clone(network).set_params(scoring=Counting()).fit(frame, y, weight)
        weight[rows[y[rows] == 1]] = 1000
        other = clone(network).set_params(scoring=Counting()).fit(frame, y, weight)
        self.assert_same_learnt(one, other)
        assert_same_bits(one, fitted)

    def test_given_rows(self):
        X, y = DIABETES
        frame = raw_frame(X)
        train, rows = np.arange(300), np.arange(300, 442)
        fitted = []
        for spoilt in (frame, spoil(frame, rows)):
            reg = basic(NNRegressor, **self.SETTINGS, scoring=Counting())
            fitted.append(reg.fit(frame.loc[train], y[train], X_val=spoilt.loc[rows], y_val=y[rows] * 1e6))
        self.assert_same_learnt(*fitted)
        alone = basic(NNRegressor, **{**self.SETTINGS, "early_stopping": False}).fit(frame.loc[train], y[train])
        self.assert_same_learnt(fitted[0], alone)

    def test_a_prediction_changes_nothing(self):
        X, y = DIABETES
        reg = basic(NNRegressor, **self.SETTINGS).fit(X, y)
        before = reg.predict(X)
        reg.predict(1e6 * X)
        assert_array_equal(reg.predict(X), before)


def global_state() -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": (name, keys.tolist(), *rest),
        "random": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "dtype": torch.get_default_dtype(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.backends.cudnn.deterministic,
            torch.backends.cudnn.benchmark,
            torch.get_float32_matmul_precision(),
        ),
        "warnings": list(warnings.filters),
        "errors": np.geterr(),
        "environment": dict(os.environ),
    }


@pytest.fixture
def unlike_the_defaults():
    """Settings that a careless reset to torch's defaults would change."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)


def fails(estimator: Any, X: Any, y: Any) -> float:
    raise RuntimeError("a scorer that fails")


class TestNothingLeftBehind:
    @each_setting
    def test_after_fit_and_prediction(self, settings, capfd, unlike_the_defaults):
        X, y = IRIS
        before = global_state()
        clf = basic(NNClassifier, **QUICK, **settings, random_state=0).fit(X, y, np.ones(150))
        clf.predict_proba(X)
        clf.partial_fit(X, y)
        assert global_state() == before
        assert capfd.readouterr() == ("", "")

    def test_the_default_dtype_does_not_matter(self, unlike_the_defaults):
        X, y = IRIS
        for network in ("mlp", Noisy):
            clf = basic(NNClassifier, **QUICK, network=network, random_state=0).fit(X, y)
            torch.set_default_dtype(torch.float32)
            other = basic(NNClassifier, **QUICK, network=network, random_state=0).fit(X, y)
            torch.set_default_dtype(torch.float64)
            assert {value.dtype for value in clf.module_.parameters()} == {torch.float32}
            if network == "mlp":
                assert_same_bits(clf, other)

    @pytest.mark.parametrize("network", ["mlp", Noisy])
    def test_after_a_failure(self, network, capfd):
        X, y = IRIS
        before = global_state()
        clf = basic(NNClassifier, **QUICK, network=network, early_stopping=True, scoring=fails, random_state=0)
        with pytest.raises(RuntimeError, match="a scorer that fails"):
            clf.fit(X, y)
        assert global_state() == before
        assert capfd.readouterr() == ("", "")
        clf.set_params(scoring="accuracy").fit(X, y).predict(X)

    def test_a_users_module_is_built_under_a_forked_state(self):
        X, y = IRIS
        fitted = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            fitted.append(basic(NNClassifier, **QUICK, network=Noisy, random_state=0).fit(X, y))
        assert_same_bits(*fitted)
        torch.manual_seed(1)
        assert not torch.equal(fitted[0].module_.body[0].weight, Noisy(4, 3).body[0].weight)
