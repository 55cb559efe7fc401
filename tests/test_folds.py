"""An ensemble's members withhold different rows: each a fold of its own, so that every row trains someone."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt.engine import Job, attend, train
from sknnopt.engine.job import place
from sknnopt.estimators._folds import member_splits, split_rows
from sknnopt.optimizers import SGD

CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
IRIS = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {
    "hidden_layer_sizes": (8,),
    "max_epochs": 3,
    "batch_size": 64,
    "random_state": 0,
    "early_stopping": True,
    "n_members": 3,
}


class Stop(BaseException):
    """Ends a fit whose jobs have been seen."""


class Catch:
    """A meeting that keeps the jobs it is given."""

    def train(self, jobs: Any) -> Any:
        self.jobs = list(jobs)
        raise Stop

    def share(self, table: Any) -> Any:
        return table


def jobs_of(network: Any, X: Any, y: Any, weight: Any = None, **given: Any) -> list[Job]:
    meeting = Catch()
    with attend(meeting), pytest.raises(Stop):
        network.fit(X, y, weight, **given)
    return meeting.jobs


def states(network: Any) -> list[dict[str, np.ndarray]]:
    return [{name: value.numpy() for name, value in one.state_dict().items()} for one in network.module_.members]


def assert_same_members(one: Any, other: Any) -> None:
    for first, second in zip(states(one), states(other), strict=True):
        for name, value in first.items():
            assert_array_equal(value, second[name], err_msg=name)


class TestSplits:
    @pytest.mark.parametrize("labelled", [False, True])
    @pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 0.5, 0.9])
    @pytest.mark.parametrize("n", [2, 7, 103])
    def test_every_row_trains_and_folds_are_disjoint(self, n, fraction, labelled):
        labels = np.random.RandomState(0).randint(2, size=n) if labelled else None
        folds = min(n, max(2, round(1 / fraction)))
        everyone = member_splits(n, labels, fraction, 3, members=40)
        assert len(everyone) == 2 * folds
        for one, other in zip(everyone[::2], everyone[1::2], strict=True):
            assert one is other  # by which the engine knows who is judged by the same rows
        splits = everyone[::2]
        for split in splits:
            assert_array_equal(np.sort(np.concatenate(split)), np.arange(n))
            assert (np.diff(split.rows) > 0).all()
            assert (np.diff(split.withheld) > 0).all()
        assert_array_equal(np.sort(np.concatenate([split.withheld for split in splits])), np.arange(n))
        assert {len(split.withheld) - n // folds for split in splits} <= ({0, 1} if not labelled else {-1, 0, 1, 2})
        for two in combinations(splits, 2):
            assert_array_equal(np.union1d(*(split.rows for split in two)), np.arange(n))

    @pytest.mark.parametrize(
        ("members", "folds"),
        [(2, [0, 1]), (3, [0, 1, 2]), (4, [0, 0, 1, 1]), (5, [0, 0, 1, 1, 2]), (6, [0, 0, 1, 1, 2, 2])],
    )
    def test_fewer_members_have_the_first_folds_and_from_four_on_by_twos(self, members, folds):
        all_of_them = member_splits(50, None, 0.1, 0, members=20)[::2]
        some = member_splits(50, None, 0.1, 0, members=members)
        assert len(some) == members
        for fold, split in zip(folds, some, strict=True):
            assert_array_equal(all_of_them[fold].withheld, split.withheld)
            assert_array_equal(all_of_them[fold].rows, split.rows)

    def test_are_stratified_where_every_class_has_rows_enough(self):
        labels = np.repeat([0, 1], [180, 20])
        for split in member_splits(200, labels, 0.1, 0, members=10):
            assert labels[split.withheld].sum() == 2
        labels[-1] = 2
        labels[-2] = 2
        splits = member_splits(200, labels, 0.1, 0, members=10)
        assert [len(split.withheld) for split in splits] == [20] * 10
        assert len({split.withheld[0] for split in splits}) == 5

    def test_the_seed_shuffles(self):
        first, same, other = (member_splits(90, None, 0.1, seed, members=2)[0].withheld for seed in (0, 0, 1))
        assert_array_equal(first, same)
        assert set(first) != set(other)
        assert (np.diff(first) > 1).any()

    def test_a_single_member_withholds_a_random_part(self):
        (split,) = member_splits(50, None, 0.3, 5, members=1)
        for one, other in zip(split, split_rows(50, None, 0.3, 5), strict=True):
            assert_array_equal(one, other)

    def test_one_row_is_too_few(self):
        with pytest.raises(ValueError, match="use early_stopping=False"):
            basic(NNRegressor, **QUICK).fit([[1.0]], [2.0])


class TestMembers:
    @pytest.mark.parametrize("n_members", [2, 3, 5, 23])
    def test_each_trains_on_the_rest_of_its_fold(self, n_members):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK | {"n_members": n_members, "label_smoothing": 0.05})
        jobs = jobs_of(clf, X, y)
        splits = member_splits(len(y), y, 0.1, basic(NNClassifier, **QUICK).fit(X, y)._seed, n_members)
        assert len(jobs) == n_members
        for k, job in enumerate(jobs):
            split = splits[k % len(splits)]
            assert_array_equal(job.rows, split.rows)
            assert job.validation.rows is jobs[k % len(splits)].validation.rows
            assert_array_equal(job.validation.rows, split.withheld)
            assert job.table is job.validation.table is jobs[0].table
        trained = np.concatenate([job.rows for job in jobs])
        assert set(trained) == set(range(len(y)))

    def test_restarts_have_their_members_rows(self):
        X, y = CANCER
        jobs = jobs_of(basic(NNClassifier, **QUICK, n_restarts=2), X, y)
        assert len(jobs) == 6
        for first, second in zip(jobs[::2], jobs[1::2], strict=True):
            assert_array_equal(first.rows, second.rows)
        assert not np.array_equal(jobs[0].rows, jobs[2].rows)

    def test_scorers_are_given_each_members_rows(self):
        X, y = CANCER
        seen: list[tuple[np.ndarray, np.ndarray]] = []

        def look(estimator, X, y):
            seen.append((X, y))
            return estimator.score(X, y)

        clf = basic(NNClassifier, **QUICK | {"max_epochs": 1}, scoring=look).fit(X, y)
        assert len(seen) == 3
        expected = member_splits(len(y), y, 0.1, clf._seed, 3)
        found = {len(rows): (rows, labels) for rows, labels in seen}
        for split, (rows, labels) in zip(expected, seen, strict=True):
            assert_array_equal(rows, X[split.withheld])
            assert_array_equal(labels, y[split.withheld])
        assert clf.n_validation_samples_ == max(found) == 57

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_a_members_result_alone_is_that_in_the_ensemble(self, make):
        """But for the epoch that is kept, which they choose together: here it is the last."""
        X, y = CANCER
        settings = {**QUICK, "dropout": 0.3, "normalization": "batch", "scoring": Rising()}
        fitted = basic(make, **settings).fit(X, y)
        assert list(fitted.best_epoch_) == [3, 3, 3]
        for k, job in enumerate(jobs_of(basic(make, **settings), X, y)):
            job.devices = (torch.device("cpu"),)
            (alone,) = train([job])
            own = fitted.module_.members[k].state_dict()
            for name, value in job.network.layout.single(alone.parameters).items():
                assert_array_equal(own[name], value)

    def test_withheld_rows_teach_their_member_nothing(self):
        """Neither by their numbers nor by their labels, where the encoding learns nothing from rows."""
        X, y = CANCER
        X = X / X.max(0)
        network = basic(NNClassifier, **QUICK, preprocessing=None, scoring=Rising(), class_weight="balanced")
        before = states(network.fit(X, y))
        fold = jobs_of(network, X, y)[1].validation.rows
        wild = X.copy()
        wild[fold] *= 100
        after = states(network.set_params(scoring=Rising()).fit(wild, y))
        for k, (one, other) in enumerate(zip(before, after, strict=True)):
            assert all(np.array_equal(one[name], other[name]) for name in one) == (k == 1)

    def test_rows_are_given(self):
        X, y = CANCER
        network = basic(NNClassifier, **QUICK, class_weight="balanced")
        jobs = jobs_of(network, X[:400], y[:400], X_val=X[400:], y_val=y[400:])
        for job in jobs:
            assert_array_equal(job.rows, np.arange(400))
            assert_array_equal(job.validation.rows, np.arange(169))
            assert job.table is jobs[0].table
            assert job.validation.table is jobs[0].validation.table
        assert network.fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:]).n_validation_samples_ == 169

    def test_partial_fit_withholds_none(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK).fit(X, y).partial_fit(X, y)
        assert clf.n_validation_samples_ == 0
        assert len(clf.module_.members) == 3


class Rising:
    """Each epoch is better than the one before, of whichever member."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        self.calls += 1
        return float(self.calls)


class TestWhatIsShared:
    def test_the_encoding_and_the_targets_scale_learn_from_all_rows(self):
        X, y = DIABETES
        kept = basic(NNRegressor, **QUICK).fit(X, y)
        everyone = basic(NNRegressor, **QUICK | {"early_stopping": False}).fit(X, y)
        assert_array_equal(kept.preprocessor_.center_, everyone.preprocessor_.center_)
        assert_array_equal(kept.preprocessor_.scale_, everyone.preprocessor_.scale_)
        assert_array_equal(kept.target_.mean_, everyone.target_.mean_)
        assert kept.target_.mean_[0] == pytest.approx(y.mean())

    def test_rows_are_copied_to_a_device_once(self):
        X, y = CANCER
        jobs = jobs_of(basic(NNClassifier, **QUICK, class_weight="balanced"), X, y)
        assert len({id(job.table) for job in jobs}) == 3
        assert len({id(job.table.inputs) for job in jobs}) == 1
        placed = place(jobs, torch.device("meta"))
        parts = [table for job in placed for table in (job.table, job.validation.table)]
        assert all(part.inputs.device.type == part.weight.device.type == "meta" for part in parts)
        assert len({id(part.inputs) for part in parts}) == len({id(part.target) for part in parts}) == 1
        assert len({id(part.weight) for part in parts}) == 3


class TestWeights:
    def test_class_weights_are_those_of_the_members_own_rows(self):
        X, y = CANCER
        y = np.where(np.arange(len(y)) % 9 == 0, 2, y)  # counts that no fold divides
        weight = np.random.RandomState(0).randint(1, 4, len(y)).astype(float)
        jobs = jobs_of(basic(NNClassifier, **QUICK, class_weight="balanced"), X, y, weight)
        assert len({job.table.weight[0].item() for job in jobs}) > 1
        for job in jobs:
            rows, labels = job.rows, y[job.rows]
            totals = np.array([weight[rows][labels == c].sum() for c in range(3)])
            factor = totals.sum() / (3 * totals)
            assert_allclose(job.table.weight.numpy(), weight * factor[y])
            assert job.validation.table is job.table

    def test_class_weights_of_several_labels(self):
        X, _ = CANCER
        Y = (X[:, :2] > np.median(X[:, :2], axis=0)).astype(int)
        Y[:30] = [1, 0]
        for job in jobs_of(basic(NNClassifier, **QUICK, class_weight="balanced"), X, Y):
            expected = compute_sample_weight("balanced", Y[job.rows])
            assert_allclose(job.table.weight.numpy()[job.rows], expected)

    @pytest.mark.parametrize(
        "network", [basic(NNClassifier, **QUICK, class_weight="balanced"), basic(NNRegressor, **QUICK)]
    )
    def test_a_row_of_no_weight_is_a_row_removed(self, network):
        X, y = CANCER
        weight = np.random.RandomState(0).randint(0, 3, len(y)).astype(float)
        some = weight > 0
        one = network.fit(X, y, weight)
        scores = one.validation_scores_
        first = states(one)
        other = network.fit(X[some], y[some], weight[some])
        assert scores == other.validation_scores_
        for before, after in zip(first, states(other), strict=True):
            for name, value in before.items():
                assert_array_equal(value, after[name])


class TestGoingOn:
    def test_a_warm_start_has_the_same_folds(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, warm_start=True).fit(X, y)
        again = jobs_of(clf, X, y)
        for job, first in zip(again, jobs_of(basic(NNClassifier, **QUICK), X, y), strict=True):
            assert_array_equal(job.rows, first.rows)

    def test_who_is_left_keeps_the_own_fold(self):
        class SometimesWild(torch.nn.Linear):
            """The first to be built starts where every loss is infinite."""

            built = 0

            def __init__(self, n_inputs: int, n_outputs: int) -> None:
                super().__init__(n_inputs, n_outputs)
                SometimesWild.built += 1
                if SometimesWild.built == 1:
                    torch.nn.init.constant_(self.weight, 1e38)

        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK, network=SometimesWild, warm_start=True)
        with pytest.warns(ConvergenceWarning, match="left out"):
            reg.fit(X, y)
        splits = member_splits(len(y), None, 0.1, reg._seed, 3)
        for _ in range(2):
            jobs = jobs_of(reg, X, y)
            assert [len(job.rows) for job in jobs] == [len(split.rows) for split in splits[1:]]
            for job, split in zip(jobs, splits[1:], strict=True):
                assert_array_equal(job.rows, split.rows)
            reg.fit(X, y)


class TestSearches:
    @pytest.mark.parametrize(
        ("network", "data"),
        [
            (basic(NNClassifier, **QUICK, class_weight="balanced", dropout=0.2), IRIS),
            (basic(NNClassifier, **QUICK, scoring="accuracy", n_restarts=2), IRIS),
            (basic(NNRegressor, **QUICK, normalization="batch"), DIABETES),
            (basic(NNRegressor, **QUICK | {"n_members": 2}, learning_rate="auto"), DIABETES),
        ],
    )
    def test_lockstep_changes_no_bit(self, network, data):
        grid = {"n_members": [1, 3], "optimizer": [SGD(momentum=0.9), "adamw"], "validation_fraction": [0.1, 0.3]}
        search = GridSearchCV(network, grid, cv=2)
        alone = search.fit(*data)
        scores, weights = alone.cv_results_, alone.best_estimator_
        with lockstep():
            together = GridSearchCV(network, grid, cv=2).fit(*data)
        for name, value in scores.items():
            if name.endswith("test_score"):
                assert_array_equal(value, together.cv_results_[name])
        for name, value in weights.module_.state_dict().items():
            assert_array_equal(value, together.best_estimator_.module_.state_dict()[name])
