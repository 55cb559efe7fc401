"""Training goes on: ``partial_fit`` epoch by epoch, ``warm_start`` fit by fit."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, optimizers, schedules

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 5,
    "batch_size": 32,
    "random_state": 0,
    "early_stopping": False,
}


def own_network(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_outputs))


def equal_weights(first, second):
    pairs = zip(first.module_.state_dict().items(), second.module_.state_dict().items(), strict=True)
    for (name, one), (_, other) in pairs:
        if "num_batches" not in name:
            assert_array_equal(one.numpy(), other.numpy(), err_msg=name)


class TestPartialFit:
    @pytest.mark.parametrize("optimizer", optimizers.names())
    def test_five_calls_are_five_epochs_to_the_bit(self, optimizer):
        """So the optimizer's state, the random streams and the schedule go on where they were."""
        X, y = IRIS
        whole = basic(NNClassifier, **QUICK, optimizer=optimizer, dropout=0.3).fit(X, y)
        steps = clone(whole)
        for _ in range(5):
            steps.partial_fit(X, y)
        equal_weights(steps, whole)
        assert steps.loss_curve_ == whole.loss_curve_

    @pytest.mark.parametrize("schedule", schedules.names())
    def test_schedules_advance_by_epochs_seen(self, schedule):
        X, y = IRIS
        whole = basic(NNClassifier, **QUICK, schedule=schedule, warmup=0.3).fit(X, y)
        steps = clone(whole)
        for _ in range(5):
            steps.partial_fit(X, y)
        rates = [[record["learning_rate"] for record in one.history_] for one in (whole, steps)]
        assert rates[0] == rates[1]
        equal_weights(steps, whole)

    @pytest.mark.parametrize(
        "settings",
        [
            {"normalization": "batch"},
            {"network": own_network, "preprocessing": None},
            {"n_members": 2},
            {"regularization": "l1"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_statistics_and_members_go_on(self, settings):
        X, y = DIABETES
        whole = basic(NNRegressor, **QUICK, **settings).fit(X, y)
        steps = clone(whole)
        for _ in range(5):
            steps.partial_fit(X, y)
        equal_weights(steps, whole)

    @pytest.mark.parametrize("schedule", ["cosine", "linear", "polynomial"])
    def test_a_schedule_that_ends_at_zero_keeps_one_percent(self, schedule):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, schedule=schedule, learning_rate=0.01)
        for _ in range(8):
            clf.partial_fit(X, y)
        rates = [record["learning_rate"] for record in clf.history_]
        assert rates[5:] == pytest.approx([0.0001] * 3)
        assert len({record["weight_norm"] for record in clf.history_}) == 8

    def test_a_constant_schedule_stays(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, schedule="constant", learning_rate=0.01)
        for _ in range(8):
            clf.partial_fit(X, y)
        assert [record["learning_rate"] for record in clf.history_] == [0.01] * 8
        assert clf.n_iter_ == clf.best_epoch_ == 8
        assert [record["epoch"] for record in clf.history_] == list(range(1, 9))

    def test_encoders_stay_as_first_fitted(self):
        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK).partial_fit(X[:100], y[:100])
        center, mean = reg.preprocessor_.center_.copy(), reg.target_.mean_.copy()
        encoder = reg.preprocessor_
        reg.partial_fit(100 * X[100:] + 7, 100 * y[100:])
        assert reg.preprocessor_ is encoder
        assert_array_equal(reg.preprocessor_.center_, center)
        assert_array_equal(reg.target_.mean_, mean)
        assert mean[0] == pytest.approx(y[:100].mean())

    def test_classes_that_come_later(self):
        X, y = IRIS
        names = np.array(["a", "b", "c"])[y]
        clf = basic(NNClassifier, **QUICK).partial_fit(X[:60], names[:60], classes=["c", "a", "b"])
        assert clf.classes_.tolist() == ["a", "b", "c"]
        for _ in range(30):
            clf.partial_fit(X, names, classes=["a", "b", "c"])
        assert set(clf.predict(X)) == {"a", "b", "c"}

    def test_one_class_is_enough_where_all_are_named(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).partial_fit(X[:50], y[:50], classes=[0, 1, 2])
        assert clf.predict_proba(X).shape == (150, 3)

    def test_new_classes_raise(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).partial_fit(X[:100], y[:100])
        with pytest.raises(ValueError, match="previously unseen labels"):
            clf.partial_fit(X, y)
        assert clf.predict(X).max() == 1

    def test_other_classes_raise(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).partial_fit(X, y, classes=[0, 1, 2])
        with pytest.raises(ValueError, match="not the same as on last call to partial_fit"):
            clf.partial_fit(X, y, classes=[0, 1, 2, 3])

    def test_another_width_raises(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).partial_fit(X, y)
        with pytest.raises(ValueError, match="X has 3 features, but NNClassifier is expecting 4"):
            clf.partial_fit(X[:, :3], y)

    def test_multilabel(self):
        X, Y = make_multilabel_classification(100, n_classes=3, random_state=0)
        whole = basic(NNClassifier, **QUICK).fit(X, Y)
        steps = clone(whole)
        for _ in range(5):
            steps.partial_fit(X, Y)
        equal_weights(steps, whole)

    def test_weights_of_one_call_count_in_it(self):
        X, y = DIABETES
        weight = np.random.RandomState(0).randint(0, 3, 442)
        settings = {**QUICK, "batch_size": 10**6, "dropout": 0.0}
        weighted = basic(NNRegressor, **settings).partial_fit(X, y).partial_fit(X, y, weight)
        repeated = basic(NNRegressor, **settings).partial_fit(X, y)
        repeated.partial_fit(X.repeat(weight, axis=0), y.repeat(weight))
        assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4)

    def test_withholds_no_rows(self):
        X, y = IRIS
        clf = basic(NNClassifier, **{**QUICK, "early_stopping": True}).partial_fit(X, y)
        assert clf.n_validation_samples_ == 0
        assert clf.validation_scores_ is None

    def test_fit_begins_anew(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).partial_fit(X, y).partial_fit(X, y)
        equal_weights(clf.fit(X, y), basic(NNClassifier, **QUICK).fit(X, y))
        assert clf.n_iter_ == 5

    def test_after_fit_the_weights_go_on_but_not_the_optimizer(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, learning_rate=1e-12).fit(X, y)
        before = clf.predict_proba(X)
        clf.partial_fit(X, y)
        assert_allclose(clf.predict_proba(X), before, rtol=1e-5)
        assert clf.n_iter_ == 6

    def test_fit_forgets_what_partial_fit_kept(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).partial_fit(X, y).fit(X, y).partial_fit(X, y)
        equal_weights(clf, basic(NNClassifier, **QUICK).fit(X, y).partial_fit(X, y))

    def test_another_optimizer_begins_with_a_state_of_its_own(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, optimizer="sgd", learning_rate=1e-12, schedule="constant").partial_fit(X, y)
        clf.set_params(optimizer="adam", learning_rate=0.01).partial_fit(X, y)
        fresh = basic(NNClassifier, **QUICK, optimizer="adam", learning_rate=0.01, schedule="constant").partial_fit(
            X, y
        )
        assert clf.history_[1]["weight_norm"] == pytest.approx(fresh.history_[0]["weight_norm"], rel=0.02)
        assert clf._progress[0].steps == fresh._progress[0].steps


class TestWarmStart:
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_starts_from_the_weights_before(self, make):
        X, y = IRIS
        network = basic(make, **QUICK, warm_start=True, learning_rate=0.01).fit(X, y)
        first = network.loss_curve_
        network.fit(X, y)
        assert network.loss_curve_[0] < first[0]
        assert len(network.loss_curve_) == 5
        assert [record["epoch"] for record in network.history_] == [1, 2, 3, 4, 5]

    def test_schedules_begin_again_and_the_optimizers_state_stays(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, warm_start=True, optimizer="adam").fit(X, y)
        rates = [record["learning_rate"] for record in clf.history_]
        steps, state = clf._progress[0].steps, clf._progress[0].state
        clf.fit(X, y)
        assert [record["learning_rate"] for record in clf.history_] == rates
        assert clf._progress[0].steps == 2 * steps
        assert set(clf._progress[0].state) == set(state)

    def test_two_constant_fits_are_one_of_twice_the_epochs(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, warm_start=True, schedule="constant", dropout=0.2).fit(X, y).fit(X, y)
        equal_weights(
            clf, basic(NNClassifier, **{**QUICK, "max_epochs": 10}, schedule="constant", dropout=0.2).fit(X, y)
        )

    def test_without_it_nothing_remains(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        first = clf.predict_proba(X)
        assert_array_equal(clf.fit(X, y).predict_proba(X), first)
        assert "_progress" not in clf.__dict__

    def test_own_module_goes_on(self):
        X, y = IRIS
        clf = (
            basic(NNClassifier, **QUICK, network=own_network, warm_start=True, schedule="constant").fit(X, y).fit(X, y)
        )
        whole = basic(NNClassifier, **{**QUICK, "max_epochs": 10}, network=own_network, schedule="constant").fit(X, y)
        equal_weights(clf, whole)

    def test_with_early_stopping_the_best_epoch_goes_on(self):
        X, y = IRIS
        settings = {**QUICK, "early_stopping": True, "max_epochs": 30, "n_iter_no_change": 3}
        clf = basic(NNClassifier, **settings, warm_start=True, learning_rate=0.05, schedule="constant").fit(X, y)
        best = clf.best_loss_
        clf.set_params(learning_rate=1e-12).fit(X, y)
        assert clf.history_[0]["valid_loss"] == pytest.approx(best, rel=1e-5)

    @pytest.mark.parametrize(
        "change",
        [
            {"n_members": 2},
            {"hidden_layer_sizes": (9,)},
            {"normalization": "layer"},
            {"precision": "float64"},
            {"network": own_network},
            {"network": "resnet"},
            {"network": "tabm"},
            {"activation": "prelu"},
            {"activation": "glu"},
            {"loss": "poisson"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_another_network_is_refused(self, change):
        X, y = IRIS
        reg = basic(NNRegressor, **QUICK, warm_start=True).fit(X, y)
        before = reg.predict(X)
        with pytest.raises(
            ValueError, match=f"Training cannot go on with .*{next(iter(change))}=.* Set warm_start=False"
        ):
            reg.set_params(**change).fit(X, y)
        assert_array_equal(
            reg.set_params(**basic(NNRegressor, **QUICK, warm_start=True).get_params()).predict(X), before
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"optimizer": "sgd"},
            {"learning_rate": 0.1},
            {"loss": "huber"},
            {"schedule": "plateau"},
            {"regularization": "l2"},
            {"dropout": 0.0},
            {"activation": "tanh"},
            {"batch_size": 10},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_another_technique_is_taken_up(self, change):
        X, y = IRIS
        same, other = (basic(NNRegressor, **QUICK, warm_start=True).fit(X, y) for _ in range(2))
        same.fit(X, y)
        other.set_params(**change).fit(X, y)
        assert not np.array_equal(same.predict(X), other.predict(X))

    def test_sizes_in_a_list_are_those_in_a_tuple_also_after_pickling(self):
        X, y = IRIS
        clf = basic(NNClassifier, **{**QUICK, "hidden_layer_sizes": [16]}, warm_start=True).fit(X, y)
        pickle.loads(pickle.dumps(clf)).set_params(hidden_layer_sizes=(16,)).fit(X, y)


def test_a_plateau_is_waited_for_across_calls():
    X, y = DIABETES
    schedule = schedules.Plateau(patience=1, factor=0.5, threshold=0.9)  # hardly an epoch is as much better
    settings = {**QUICK, "max_epochs": 8, "schedule": schedule}
    whole, parts = basic(NNRegressor, **settings).fit(X, y), basic(NNRegressor, **settings)
    for _ in range(8):
        parts.partial_fit(X, y)
    rates = [[record["learning_rate"] for record in reg.history_] for reg in (whole, parts)]
    assert rates[0] == rates[1]
    assert len(set(rates[0])) >= 3
