"""One temperature for a classifier: how it is found, from which rows, and that every way to a probability has it."""

import copy
import pickle
from collections import OrderedDict
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_multilabel_classification
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from support import basic
from torch import nn

from sknnopt import NNClassifier, lockstep
from sknnopt.engine import fit_temperature
from sknnopt.engine import temperature as temperature_module
from sknnopt.engine.temperature import PRIOR
from sknnopt.estimators._folds import member_splits
from sknnopt.estimators._modules import members
from sknnopt.losses import CrossEntropy
from sknnopt.nn import MemberAverage, Temperature, predict_scores, set_temperature

CANCER = load_breast_cancer(return_X_y=True)
DIGITS = load_digits(return_X_y=True)
IRIS = load_iris(return_X_y=True)
LABELS = make_multilabel_classification(300, n_classes=3, random_state=0)
QUICK: dict[str, Any] = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 5,
    "batch_size": 64,
    "random_state": 0,
    "early_stopping": True,
}


class TwoLayers(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(n_inputs, 8), nn.Linear(8, n_outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.last(torch.tanh(self.first(rows)))


def draw(n: int, classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of any size and labels that follow their probabilities."""
    rng = np.random.RandomState(seed)
    scores = rng.normal(scale=2, size=(n, classes))
    return scores, (softmax(scores, axis=1).cumsum(1) < rng.uniform(size=(n, 1))).sum(1)


def loss(scores: np.ndarray, target: np.ndarray, temperature: float = 1.0, weight: Any = None) -> float:
    rows = -log_softmax(scores / temperature, axis=1)[np.arange(len(target)), target]
    return float(np.average(rows, weights=weight))


class Scores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose input is its scores."""

    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return X.argmax(1)

    def decision_function(self, X: Any) -> Any:
        return X


@pytest.mark.parametrize("temperature", [0.3, 0.7, 1.0, 1.5, 4.0])
def test_the_temperature_of_over_confident_scores_is_found(temperature):
    """And of scores that are not sure enough: calibration undoes the factor that they were multiplied by."""
    scores, target = draw(20_000)
    assert fit_temperature(scores * temperature, target) == pytest.approx(temperature, rel=0.03)


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_without_the_prior_it_is_sklearns(factor, monkeypatch):
    monkeypatch.setattr(temperature_module, "PRIOR", 1e-9)
    scores, target = draw(500)
    scores *= factor
    theirs = CalibratedClassifierCV(FrozenEstimator(Scores().fit(scores, target)), method="temperature", ensemble=False)
    theirs.fit(scores, target)
    ours = softmax(scores / fit_temperature(scores, target), axis=1)
    assert_allclose(ours, theirs.predict_proba(scores), atol=1e-4)


@pytest.mark.parametrize("n", [5, 50, 500])
def test_it_is_the_minimum_of_loss_and_prior(n):
    scores, target = draw(n)
    weight = np.random.RandomState(1).uniform(size=n)
    worth = weight.sum() ** 2 / (weight**2).sum()

    def objective(log_b: float) -> float:
        b = np.exp(log_b)
        return worth * loss(2 * scores, target, 1 / b, weight) + PRIOR * (b - 1 - log_b)

    expected = np.exp(-minimize_scalar(objective, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x)
    assert fit_temperature(2 * scores, target, weight) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_the_rows_it_was_found_on_are_never_less_probable(seed):
    rng = np.random.RandomState(seed)
    n = int(rng.randint(2, 60))
    scores, target = draw(n, seed=seed)
    scores, weight = scores * rng.choice([0.01, 0.5, 3, 100]), rng.uniform(size=n) ** 3
    if seed % 3 == 0:
        target = rng.randint(4, size=n)
    found = fit_temperature(scores, target, weight)
    assert loss(scores, target, found, weight) <= loss(scores, target, weight=weight) * (1 + 1e-12)


class TestFewRows:
    @pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1000.0])
    @pytest.mark.parametrize("n", [1, 20, 200])
    def test_that_are_all_right_do_not_make_it_zero(self, n, scale):
        target = np.arange(n) % 2
        scores = scale * np.eye(2)[target]
        found = fit_temperature(scores, target)
        assert 0 < found <= 1
        assert n * scale * expit(-scale / found) == pytest.approx(PRIOR * (1 - found), abs=1e-4)

    def test_twenty_that_are_all_right_say_little(self):
        target = np.arange(20) % 2
        assert fit_temperature(np.eye(2)[target], target) > 0.6

    @pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1000.0])
    def test_that_are_all_wrong_leave_it_finite(self, scale):
        target = np.arange(20) % 2
        found = fit_temperature(scale * np.eye(2)[1 - target], target)
        assert 1 < found <= 1 + 20 * scale / PRIOR

    def test_there_is_nothing_to_find(self):
        assert fit_temperature(np.zeros((9, 3)), np.arange(9) % 3) == 1
        assert fit_temperature(np.full((9, 3), np.inf), np.arange(9) % 3) == 1
        assert fit_temperature(np.ones((9, 3)), np.arange(9) % 3, np.zeros(9)) == 1
        assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1

    def test_the_prior_gives_way_to_many(self):
        found = [fit_temperature(3 * scores, target) for scores, target in map(draw, (10, 100, 1000, 10_000))]
        assert found[0] < 2.5 < found[2]
        assert found[3] == pytest.approx(3, rel=0.03)


class TestWeights:
    def test_of_zero_are_rows_removed(self):
        scores, target = draw(80)
        weight = np.random.RandomState(0).randint(0, 3, 80).astype(float)
        some = weight > 0
        found = fit_temperature(scores, target, weight)
        assert found == pytest.approx(fit_temperature(scores[some], target[some], weight[some]), rel=1e-9)

    def test_have_no_unit(self):
        scores, target = draw(80)
        plain = fit_temperature(3 * scores, target)
        for unit in (1e-6, 1.0, 1e6):
            assert fit_temperature(3 * scores, target, np.full(80, unit)) == pytest.approx(plain, rel=1e-9)

    def test_count(self):
        scores, target = draw(4000)
        scores[:2000] *= 4
        weight = np.repeat([100.0, 1.0], 2000)
        assert fit_temperature(scores, target, weight) > 3 > 1.5 > fit_temperature(scores, target, weight[::-1])


def test_labels_are_choices_between_two_classes():
    scores, _ = draw(400, 3)
    target = (np.random.RandomState(0).uniform(size=scores.shape) < expit(scores / 2)).astype(np.float32)
    two = np.stack([np.zeros(1200), scores.ravel()], axis=1)
    found = fit_temperature(scores, target)
    assert found == pytest.approx(fit_temperature(two, target.ravel().astype(int)), rel=1e-9)
    assert found == pytest.approx(2, rel=0.2)


NETWORKS: dict[str, tuple[dict[str, Any], Any, type[nn.Module]]] = {
    "mlp": ({}, CANCER, nn.Sequential),
    "resnet": ({"network": "resnet"}, CANCER, nn.Sequential),
    "own": ({"network": TwoLayers}, CANCER, TwoLayers),
    "ensemble": ({"n_members": 3}, CANCER, MemberAverage),
    "own, ensemble": ({"n_members": 2, "network": TwoLayers}, CANCER, MemberAverage),
    "classes": ({}, DIGITS, nn.Sequential),
    "labels": ({}, LABELS, nn.Sequential),
    "labels, ensemble": ({"n_members": 3}, LABELS, MemberAverage),
    "float64": ({"precision": "float64"}, CANCER, nn.Sequential),
    "batch normalization": ({"normalization": "batch"}, CANCER, nn.Sequential),
}
each_network = pytest.mark.parametrize(("settings", "data", "kind"), NETWORKS.values(), ids=NETWORKS.keys())


@each_network
class TestEveryWayToAProbability:
    def fits(self, settings: Any, data: Any) -> tuple[NNClassifier, NNClassifier]:
        values, wary = (None, "temperature"), {"label_smoothing": 0.3}  # scores that are far from sure enough
        plain, clf = (basic(NNClassifier, **QUICK, **wary, **settings, calibration=value) for value in values)
        return plain.fit(*data), clf.fit(*data)

    def test_has_the_temperature(self, settings, data, kind):
        X, _ = data
        plain, clf = self.fits(settings, data)
        assert plain.temperature_ == 1
        assert abs(clf.temperature_ - 1) > 0.01
        assert type(clf.module_) is type(plain.module_) is kind
        rows = torch.from_numpy(clf.preprocessor_.transform(X))
        link = expit if data is LABELS else lambda scores: softmax(scores, axis=1)
        each = [predict_scores(member, rows.numpy()).astype(float) for member in members(plain.module_)]
        expected = np.mean([link(scores / clf.temperature_) for scores in each], axis=0)
        with torch.no_grad():
            direct = link(clf.module_(rows).double().numpy())
        assert_allclose(direct, expected, atol=1e-6)
        assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
        assert_allclose(np.exp(clf.predict_log_proba(X)), expected, atol=1e-6)
        assert_allclose(clf.net_.predict_proba(rows.numpy()), expected, atol=1e-5)
        if data is CANCER:
            assert_allclose(clf.decision_function(X), np.log(expected[:, 1] / expected[:, 0]), atol=1e-4)

    def test_each_network_predicts_the_same_classes(self, settings, data, kind):
        plain, clf = self.fits(settings, data)
        rows = clf.preprocessor_.transform(data[0])
        for one, other in zip(members(plain.module_), members(clf.module_), strict=True):
            before, after = (predict_scores(module, rows) for module in (one, other))
            if data is LABELS:
                assert_array_equal(before > 0, after > 0)
            else:
                assert_array_equal(before.argmax(1), after.argmax(1))
        if "n_members" not in settings:
            assert_array_equal(clf.predict(data[0]), plain.predict(data[0]))

    def test_has_the_weights_and_their_names(self, settings, data, kind):
        plain, clf = (one.module_.state_dict() for one in self.fits(settings, data))
        assert list(plain) == list(clf)
        for name, value in plain.items():
            assert_array_equal(clf[name], value)

    def test_is_copied_and_pickled(self, settings, data, kind):
        X, _ = data
        clf = self.fits(settings, data)[1]
        for twin in (copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))):
            assert_array_equal(twin.predict_proba(X), clf.predict_proba(X))
            for member in members(twin.module_):
                set_temperature(member, 1.0)
            assert not np.array_equal(twin.predict_proba(X), clf.predict_proba(X))

    def test_goes_on_from_the_weights_alone(self, settings, data, kind):
        before = self.fits(settings, data)
        for plain, clf in (before, [one.set_params(warm_start=True).fit(*data) for one in before]):
            kept = clf.temperature_
            going = [copy.deepcopy(one).partial_fit(*data) for one in (plain, clf)]
            for name, value in going[0].module_.state_dict().items():
                assert_array_equal(going[1].module_.state_dict()[name], value, err_msg=name)
            assert going[1].temperature_ == kept
            rows = clf.preprocessor_.transform(data[0])
            for one, other in zip(*(members(network.module_) for network in going), strict=True):
                scores = predict_scores(one, rows) / kept
                assert_allclose(predict_scores(other, rows), scores, rtol=1e-4, atol=1e-4)
            assert going[1].set_params(calibration=None).partial_fit(*data).temperature_ == 1
            assert_array_equal(going[1]._raw_scores(data[0]), going[0].partial_fit(*data)._raw_scores(data[0]))

    def test_gives_its_weights_alone(self, settings, data, kind):
        X, y = data
        plain, clf = self.fits(settings, data)
        still = {**QUICK, **settings, "learning_rate": 1e-12, "max_epochs": 1, "early_stopping": False}
        for sources in ((plain, clf), (plain.module_, clf.module_)):
            one, other = (basic(NNClassifier, **still, initial_weights=source).fit(X, y) for source in sources)
            assert_array_equal(one.predict_proba(X), other.predict_proba(X))
        if "n_members" not in settings:
            encoded = plain.preprocessor_.transform(X)
            own = {**still, "preprocessing": None, "precision": settings.get("precision", "float32")}
            again = [basic(NNClassifier, **{**own, "network": one.module_}).fit(encoded, y) for one in (plain, clf)]
            assert_array_equal(again[0].predict_proba(encoded), again[1].predict_proba(encoded))


def test_a_built_in_network_shows_it_as_its_last_layer():
    clf = basic(NNClassifier, **QUICK).fit(*CANCER)
    assert isinstance(clf.module_.temperature, Temperature)
    assert repr(clf.module_).splitlines()[-2] == f"  (temperature): Temperature({clf.temperature_:.4g})"
    assert not clf.module_.temperature.training


class TestRows:
    def test_of_a_single_network_are_those_withheld(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, calibration=None).fit(X, y)
        ((_, rows),) = member_splits(len(y), y, 0.1, clf._seed, 1)
        expected = fit_temperature(clf._raw_scores(X[rows]), y[rows])
        assert basic(NNClassifier, **QUICK).fit(X, y).temperature_ == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("n_members", [2, 3, 4, 9])
    def test_of_an_ensemble_are_judged_by_each_member_that_withheld_them(self, n_members):
        X, y = CANCER
        settings = {**QUICK, "validation_fraction": 0.3, "n_members": n_members, "label_smoothing": 0.05}
        clf = basic(NNClassifier, **settings, calibration=None).fit(X, y)
        encoded, splits = clf.preprocessor_.transform(X), member_splits(len(y), y, 0.3, clf._seed, n_members)
        judged = [splits[k % len(splits)].withheld for k in range(n_members)]
        assert len({rows[0] for rows in judged}) == {2: 2, 3: 3, 4: 2, 9: 3}[n_members]
        pairs = zip(clf.module_.members, judged, strict=True)
        scores = np.concatenate([predict_scores(member, encoded[rows]) for member, rows in pairs])
        expected = fit_temperature(scores, y[np.concatenate(judged)])
        assert basic(NNClassifier, **settings).fit(X, y).temperature_ == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("n_members", [1, 3])
    def test_given_are_judged_by_all(self, n_members):
        X, X_val, y, y_val = train_test_split(*CANCER, random_state=0)
        settings, weight = {**QUICK, "n_members": n_members}, np.random.RandomState(0).uniform(size=len(y_val))
        given = {"X_val": X_val, "y_val": y_val, "sample_weight_val": weight}
        clf = basic(NNClassifier, **settings, calibration=None).fit(X, y, **given)
        encoded = clf.preprocessor_.transform(X_val)
        scores = np.concatenate([predict_scores(member, encoded) for member in members(clf.module_)])
        expected = fit_temperature(scores, np.tile(y_val, n_members), np.tile(weight, n_members))
        assert basic(NNClassifier, **settings).fit(X, y, **given).temperature_ == pytest.approx(expected, rel=1e-6)

    def test_that_only_watch_calibrate_nothing(self):
        X, X_val, y, y_val = train_test_split(*CANCER, random_state=0)
        clf = basic(NNClassifier, **QUICK | {"early_stopping": False}).fit(X, y, X_val=X_val, y_val=y_val)
        assert clf.temperature_ == 1
        assert basic(NNClassifier, **QUICK | {"early_stopping": False}).fit(X, y).temperature_ == 1
        assert basic(NNClassifier, **QUICK).partial_fit(X, y).temperature_ == 1

    def test_a_warm_start_finds_it_anew(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, warm_start=True).fit(X, y)
        before = clf.temperature_
        assert clf.fit(X, y).temperature_ != before
        assert clf.set_params(early_stopping=False).fit(X, y).temperature_ == 1

    def test_of_no_weight_are_rows_removed(self):
        X, y = CANCER
        weight = np.random.RandomState(0).randint(0, 3, len(y)).astype(float)
        some = weight > 0
        for settings in ({}, {"n_members": 2, "class_weight": "balanced"}):
            clf = basic(NNClassifier, **QUICK, **settings)
            found = clf.fit(X, y, weight).temperature_
            assert clf.fit(X[some], y[some], weight[some]).temperature_ == found

    def test_class_weights_count(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, class_weight={0: 10, 1: 1}, calibration=None).fit(X, y)
        ((_, rows),) = member_splits(len(y), y, 0.1, clf._seed, 1)
        weight = np.where(y[rows] == 0, 10.0, 1.0)
        expected = fit_temperature(clf._raw_scores(X[rows]), y[rows], weight)
        assert clf.set_params(calibration="temperature").fit(X, y).temperature_ == pytest.approx(expected, rel=1e-6)

    def test_sparse(self):
        from scipy import sparse

        X, y = DIGITS
        settings = {**QUICK, "preprocessing": None}
        dense, thin = (basic(NNClassifier, **settings).fit(rows, y) for rows in (X, sparse.csr_array(X)))
        assert dense.temperature_ == thin.temperature_ != 1


class Plain(CrossEntropy):
    """Its scores are said to be numbers and no logarithms."""

    link = "identity"
    tasks: ClassVar[frozenset[str]] = frozenset({"classification"})


def test_scores_that_are_no_logarithms_have_none():
    assert basic(NNClassifier, **QUICK, loss=Plain()).fit(*CANCER).temperature_ == 1
    for name in ("hinge", "focal"):
        assert basic(NNClassifier, **QUICK, loss=name).fit(*CANCER).temperature_ != 1


@pytest.mark.parametrize("settings", [{}, {"n_members": 3}, {"loss": "hinge"}, {"label_smoothing": 0.3}])
def test_new_rows_become_more_probable(settings):
    X, X_test, y, y_test = train_test_split(*DIGITS, random_state=0)
    fits = [
        basic(NNClassifier, **{**QUICK, "max_epochs": 30}, **settings, calibration=value).fit(X, y)
        for value in (None, "temperature")
    ]
    losses = [log_loss(y_test, clf.predict_proba(X_test)) for clf in fits]
    assert losses[1] < 0.9 * losses[0]


def test_lockstep_changes_no_bit():
    X, y = IRIS
    grid = {"n_members": [1, 3], "calibration": [None, "temperature"], "label_smoothing": [0.0, 0.1]}
    search = GridSearchCV(basic(NNClassifier, **QUICK), grid, cv=2, scoring="neg_log_loss").fit(X, y)
    with lockstep():
        together = GridSearchCV(basic(NNClassifier, **QUICK), grid, cv=2, scoring="neg_log_loss").fit(X, y)
    assert_array_equal(search.cv_results_["split0_test_score"], together.cv_results_["split0_test_score"])
    assert_array_equal(search.cv_results_["split1_test_score"], together.cv_results_["split1_test_score"])
    assert search.best_estimator_.temperature_ == together.best_estimator_.temperature_
    assert len(set(search.cv_results_["mean_test_score"])) == 8


class TestAverages:
    def test_the_average_has_the_temperature_that_its_own_rows_want(self):
        """With rows that all members are judged by, what is fitted is the average itself."""
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, n_members=4).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
        behind, rows = clf.module_.temperature, clf.preprocessor_.transform(X[300:])
        clf.module_.temperature = 1.0
        assert behind == pytest.approx(fit_temperature(predict_scores(clf.module_, rows), y[300:]), rel=1e-5)
        assert behind != 1.0

    def test_pairs_are_carried_on_to_all_members(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, validation_fraction=0.25, n_members=8, label_smoothing=0.05).fit(X, y)
        splits = member_splits(len(X), y, 0.25, clf._seed, 8)
        rows, members = clf.preprocessor_.transform(X), list(clf.module_.members)
        pairs = [(MemberAverage(members[k : k + 2], "softmax"), splits[k].withheld) for k in range(0, 8, 2)]
        scores = np.concatenate([predict_scores(pair, rows[held]) for pair, held in pairs])
        wanted = fit_temperature(scores, np.concatenate([y[held] for _, held in pairs]))
        assert clf.module_.temperature == pytest.approx(wanted ** ((1 - 1 / 8) / (1 - 1 / 2)), rel=1e-5)

    def test_members_on_folds_of_their_own_leave_it_alone(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, n_members=3).fit(X, y)
        assert clf.module_.temperature == 1.0


def test_another_temperature_renames_no_layer() -> None:
    network = nn.Sequential(OrderedDict(first=nn.Linear(2, 2), last=nn.Linear(2, 2)))
    names = list(network.state_dict())
    for value in (2.0, 3.0, 1.0):
        set_temperature(network, value)
        assert list(network.state_dict()) == names
    assert len(network) == 2
