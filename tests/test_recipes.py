"""Recipes: further members with other parameters, the first ones untouched, all weighed by withheld rows."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt._compat import InvalidParameterError
from sknnopt.estimators import _base
from sknnopt.estimators._folds import member_splits
from sknnopt.estimators._recipes import WHOLE
from sknnopt.estimators._weighting import fit_weights
from sknnopt.nn import HeadsAverage, MemberAverage, predict_scores
from sknnopt.optimizers import SGD

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(200, n_classes=3, random_state=0)
QUICK: dict[str, Any] = {
    "hidden_layer_sizes": (8,), "max_epochs": 6, "learning_rate": 0.03, "batch_size": 64, "random_state": 0,
    "early_stopping": True, "validation_fraction": 0.25,
}  # fmt: skip
RECIPES: list[dict[str, Any]] = [
    {"network": "tabm", "n_heads": 3}, {"numeric_embedding": "piecewise_linear"},
    {"optimizer": "sgd", "optimizer__momentum": 0.8},
]  # fmt: skip
USELESS = {"learning_rate": 1e-6}


@pytest.fixture
def trained(monkeypatch):
    """The jobs that the engine is given, call by call."""
    calls, train = [], _base.train

    def spy(jobs):
        calls.append(list(jobs))
        return train(jobs)

    monkeypatch.setattr(_base, "train", spy)
    return calls


def states(network, members=None):
    modules = network.module_.members if isinstance(network.module_, MemberAverage) else [network.module_]
    return [{name: value.numpy() for name, value in module.state_dict().items()} for module in modules][:members]


def assert_same_weights(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert list(one) == list(other)
        for name, value in one.items():
            assert_array_equal(other[name], value, err_msg=name)


class TestMembers:
    def test_each_recipe_trains_so_many_more_with_its_parameters(self, trained):
        clf = basic(NNClassifier, **QUICK, n_members=4, recipes=RECIPES).fit(*CANCER)
        (jobs,) = trained
        members = clf.module_.members
        assert len(jobs) == len(members) == 16
        assert all(any(isinstance(part, HeadsAverage) for part in member) for member in members[4:8])
        assert all(hasattr(member, "embedding") for member in members[8:12])
        optimizers = [job.techniques.optimizer for job in jobs[12:]]
        assert {(type(one), one.momentum) for one in optimizers} == {(SGD, 0.8)}
        assert jobs[0].techniques.optimizer.structure() != optimizers[0].structure()

    @pytest.mark.parametrize("n_members", [1, 3, 5])
    def test_the_kth_of_each_recipe_has_the_same_rows(self, n_members, trained):
        basic(NNClassifier, **QUICK | {"validation_fraction": 0.5}, n_members=n_members, recipes=RECIPES).fit(*CANCER)
        (jobs,) = trained
        for k, job in enumerate(jobs):
            assert job.rows is jobs[k % n_members].rows
            assert job.validation.rows is jobs[k % n_members].validation.rows
        assert len({id(job.validation.rows) for job in jobs}) == min(2, n_members)
        seeds = {tuple(job.seed.generate_state(2)) for job in jobs}
        assert len(seeds) == len(jobs)

    def test_each_recipe_has_a_panel_for_each_start(self, trained):
        basic(NNClassifier, **QUICK, n_members=4, n_restarts=2, recipes=RECIPES).fit(*CANCER)
        panels = [job.panel for job in trained[0]]
        assert [panels.index(panel) for panel in panels] == [
            k + r for k in (0, 8, 16, 24) for _ in range(4) for r in (0, 1)
        ]
        assert {panel.size for panel in panels} == {4}

    def test_numbers_of_epochs_are_the_recipes(self, trained):
        settings = {**QUICK, "n_iter_no_change": 3}
        reg = basic(NNRegressor, **settings, recipes=[{"max_epochs": 9, "n_iter_no_change": 5, "tol": 0.5}]).fit(
            *DIABETES
        )
        own, other = trained[0]
        assert (own.epochs, own.validation.patience, own.validation.tolerance) == (6, 3, 1e-4)
        assert (other.epochs, other.validation.patience, other.validation.tolerance) == (9, 5, 0.5)
        assert other.techniques.max_epochs == 9
        assert reg.n_iter_ == len(reg.history_) <= 9
        trained.clear()
        reg.partial_fit(*DIABETES)
        assert [job.epochs for job in trained[0]] == [1, 1]

    def test_an_empty_list_is_none(self):
        fits = [basic(NNRegressor, **QUICK, n_members=2, recipes=given).fit(*DIABETES) for given in (None, [])]
        assert_array_equal(*(reg.predict(DIABETES[0]) for reg in fits))
        for reg in fits:
            assert_array_equal(reg.recipe_weights_, [1.0])
            assert isinstance(reg.learning_rate_, float)

    def test_attributes_have_an_entry_a_member_or_a_recipe(self):
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=RECIPES).fit(*CANCER)
        assert clf.best_epoch_.shape == clf.best_loss_.shape == (8,)
        assert clf.recipe_weights_.shape == clf.temperature_.shape == clf.learning_rate_.shape == (4,)
        assert clf.restart_scores_.shape == (8, 1)
        assert clf.n_parameters_ == sum(value.numel() for value in clf.module_.parameters())
        assert len(clf.history_) == clf.n_iter_


class TestSameBits:
    """Who trains beside the estimator's own members changes nothing in them (law 1)."""

    @pytest.mark.parametrize("n_members", [1, 2, 4])
    @pytest.mark.parametrize(
        "settings",
        [
            {}, {"n_restarts": 2}, {"scoring": "accuracy"}, {"calibration": None}, {"normalization": "batch"},
            {"learning_rate": "auto"},
        ],
        ids=str,
    )  # fmt: skip
    def test_of_the_first(self, n_members, settings):
        given = {**QUICK, "n_members": n_members, **settings}
        alone = basic(NNClassifier, **given).fit(*IRIS)
        together = basic(NNClassifier, **given, recipes=RECIPES).fit(*IRIS)
        assert_same_weights(states(alone), states(together, n_members))
        assert together.temperature_[0] == alone.temperature_
        assert together.learning_rate_[0] == alone.learning_rate_
        assert_array_equal(together.best_epoch_[:n_members], alone.best_epoch_)

    def test_of_each_recipe_alike(self):
        """The k-th recipe's weights do not depend on the recipes after it, and its cohort is of its own."""
        fits = [basic(NNRegressor, **QUICK, n_members=2, recipes=RECIPES[:count]).fit(*DIABETES) for count in (1, 2, 3)]
        for count, reg in enumerate(fits, 1):
            assert_same_weights(states(reg), states(fits[-1], 2 * (1 + count)))

    @pytest.mark.usefixtures("patient")
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_in_lockstep(self, make):
        data = IRIS if make is NNClassifier else DIABETES
        grid = {"recipes": [None, RECIPES, RECIPES[:1]], "n_members": [1, 4], "learning_rate": [0.03, 0.01]}
        search = GridSearchCV(basic(make, **{**QUICK, "max_epochs": 3}), grid, cv=2)
        expected = clone(search).fit(*data)
        with lockstep(n_jobs=2) as sweep:
            found = clone(search).fit(*data)
        for name in ("split0_test_score", "split1_test_score"):
            assert_array_equal(found.cv_results_[name], expected.cv_results_[name])
        assert_same_weights(states(found.best_estimator_), states(expected.best_estimator_))
        assert_array_equal(found.best_estimator_.recipe_weights_, expected.best_estimator_.recipe_weights_)
        assert max(sweep.cohort_sizes) > 1

    def test_twice(self):
        fits = [basic(NNClassifier, **QUICK, n_members=4, recipes=RECIPES).fit(*CANCER) for _ in range(2)]
        assert_array_equal(*(clf.predict_proba(CANCER[0]) for clf in fits))


CASES = {
    "classes": (NNClassifier, CANCER, {}),
    "hinge": (NNClassifier, IRIS, {"loss": "hinge"}),
    "labels": (NNClassifier, LABELS, {}),
    "numbers": (NNRegressor, DIABETES, {}),
    "quantiles": (NNRegressor, DIABETES, {"loss": "quantile"}),
    "counts": (NNRegressor, DIABETES, {"loss": "poisson"}),
    "a scorer": (NNRegressor, DIABETES, {"scoring": "r2"}),
}
each_case = pytest.mark.parametrize(("make", "data", "settings"), CASES.values(), ids=CASES.keys())


class TestWeights:
    @each_case
    @pytest.mark.parametrize("n_members", [1, 4])
    def test_favour_what_predicts_well(self, make, data, settings, n_members):
        settings = {**QUICK, "max_epochs": 30, **settings}
        network = basic(make, **settings, n_members=n_members, recipes=[USELESS]).fit(*data)
        weights = network.recipe_weights_
        assert weights.sum() == pytest.approx(1)
        assert 0 < weights[1] < 0.35 < weights[0]
        assert_allclose(network.module_.weights, np.repeat(weights / n_members, n_members))

    def test_are_those_of_the_recipes_calibrated_averages_on_each_fold(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, n_members=4, recipes=RECIPES).fit(X, y)
        rows, splits = clf.preprocessor_.transform(X), member_splits(len(y), y, 0.25, clf._seed, 4)
        folds = [splits[0].withheld, splits[2].withheld]
        members = list(clf.module_.members)
        scores = [
            np.concatenate(
                [
                    predict_scores(MemberAverage(members[4 * r + k : 4 * r + k + 2], "softmax"), rows[fold])
                    for k, fold in zip((0, 2), folds, strict=True)
                ]
            )
            for r in range(4)
        ]
        target = y[np.concatenate(folds)]
        assert_allclose(clf.recipe_weights_, fit_weights(np.array(scores, float), target, clf.loss_), atol=1e-4)
        assert len(set(clf.temperature_)) == 4

    def test_weigh_the_prediction(self):
        X, _ = DIABETES
        reg = basic(NNRegressor, **QUICK, n_members=2, recipes=RECIPES).fit(*DIABETES)
        rows = reg.preprocessor_.transform(X)
        each = np.array([predict_scores(member, rows)[:, 0] for member in reg.module_.members])
        each = reg.target_.decode(each.reshape(-1, 1)).reshape(each.shape)
        shares = np.repeat(reg.recipe_weights_ / 2, 2)
        assert_allclose(reg.predict(X), shares @ each, rtol=1e-4)
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=RECIPES, calibration=None).fit(*CANCER)
        rows = clf.preprocessor_.transform(CANCER[0])
        each = np.array([softmax(predict_scores(member, rows), axis=1) for member in clf.module_.members])
        shares = np.repeat(clf.recipe_weights_ / 2, 2)
        assert_allclose(clf.predict_proba(CANCER[0]), np.tensordot(shares, each, 1), atol=1e-5)

    def test_of_rows_that_are_given(self):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=[USELESS]).fit(
            X[:300], y[:300], X_val=X[300:], y_val=y[300:]
        )
        assert clf.recipe_weights_[0] > 0.8
        for stopping, n, watched in ((False, 300, {"X_val": X[300:], "y_val": y[300:]}), ("auto", 49, {})):
            plain = basic(NNClassifier, **{**QUICK, "early_stopping": stopping}, n_members=2, recipes=[USELESS])
            assert_array_equal(plain.fit(X[:n], y[:n], **watched).recipe_weights_, [0.5, 0.5])
            assert plain.module_.weights is None

    def test_the_averages_temperature_is_that_of_the_weighed_average(self):
        """With rows that all members are judged by, what is fitted is the average itself."""
        from sknnopt.engine import fit_temperature

        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=[*RECIPES, USELESS])
        clf.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
        behind, rows = clf.module_.temperature, clf.preprocessor_.transform(X[300:])
        clf.module_.temperature = 1.0
        assert clf.module_.weights is not None
        assert behind == pytest.approx(fit_temperature(predict_scores(clf.module_, rows), y[300:]), rel=1e-4)
        assert behind != 1.0

    def test_rows_of_no_weight_are_rows_removed(self):
        X, y = CANCER
        weight = np.random.RandomState(0).randint(0, 3, len(y)).astype(float)
        some = weight > 0
        for settings in ({}, {"class_weight": "balanced"}):
            clf = basic(NNClassifier, **QUICK, **settings, n_members=2, recipes=RECIPES)
            found = clf.fit(X, y, weight).recipe_weights_
            assert_array_equal(clf.fit(X[some], y[some], weight[some]).recipe_weights_, found)
            assert not np.array_equal(clf.fit(X[some], y[some]).recipe_weights_, found)

    def test_a_better_loss_than_that_of_equal_weights(self):
        X, y = CANCER
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 20}, n_members=4, recipes=[USELESS]).fit(X[::2], y[::2])
        fitted = log_loss(y[1::2], clf.predict_proba(X[1::2]))
        clf.module_.weights = None
        assert fitted < log_loss(y[1::2], clf.predict_proba(X[1::2]))


class TestGoingOn:
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_partial_fit_trains_all_and_keeps_the_weights(self, make):
        data = CANCER if make is NNClassifier else DIABETES
        network = basic(make, **QUICK, n_members=2, recipes=RECIPES).fit(*data)
        weights, before = network.recipe_weights_, states(network)
        temperature = getattr(network, "temperature_", None)
        network.partial_fit(*data)
        assert_array_equal(network.recipe_weights_, weights)
        assert_array_equal(getattr(network, "temperature_", None), temperature)
        assert network.module_.weights is not None
        after = states(network)
        assert len(after) == 8
        assert all(
            not np.array_equal(one["output.bias"], other["output.bias"])
            for one, other in zip(before, after, strict=True)
        )

    def test_partial_fit_from_nothing_weighs_alike(self):
        reg = basic(NNRegressor, **QUICK, recipes=RECIPES).partial_fit(*DIABETES).partial_fit(*DIABETES)
        assert_array_equal(reg.recipe_weights_, [0.25] * 4)
        assert reg.n_iter_ == 2

    def test_a_warm_start_weighs_anew_only_by_withheld_rows(self):
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=[USELESS], warm_start=True).fit(*IRIS)
        before = clf.recipe_weights_
        assert not np.array_equal(clf.fit(*IRIS).recipe_weights_, before)
        before = clf.recipe_weights_
        assert_array_equal(clf.set_params(early_stopping=False).fit(*IRIS).recipe_weights_, before)
        assert_array_equal(clf.temperature_, [1.0, 1.0])

    def test_the_first_members_go_on_as_without_recipes(self):
        alone, together = (
            basic(NNRegressor, **QUICK, n_members=2, warm_start=True, recipes=given).fit(*DIABETES).fit(*DIABETES)
            for given in (None, RECIPES)
        )
        assert_same_weights(states(alone), states(together, 2))
        assert_same_weights(*(states(one.partial_fit(*DIABETES), 2) for one in (alone, together)))

    @pytest.mark.parametrize(
        "changed", [None, RECIPES[:2], [*RECIPES, {}], [{"network": "tabm", "n_heads": 4}, *RECIPES[1:]]]
    )
    def test_other_recipes_are_refused(self, changed):
        reg = basic(NNRegressor, **QUICK, recipes=RECIPES).fit(*DIABETES)
        message = "cannot go on with (recipes=|members of another number of kinds)"
        with pytest.raises(ValueError, match=message):
            reg.set_params(recipes=changed).partial_fit(*DIABETES)
        with pytest.raises(ValueError, match=message):
            basic(NNRegressor, **QUICK).fit(*DIABETES).set_params(recipes=RECIPES).partial_fit(*DIABETES)

    def test_another_optimizer_begins_anew(self):
        reg = basic(NNRegressor, **QUICK, recipes=RECIPES, warm_start=True).fit(*DIABETES)
        reg.set_params(recipes=[*RECIPES[:2], {"optimizer": "lion"}]).fit(*DIABETES)
        assert reg._progress[3].state.keys() != reg._progress[0].state.keys()


class TestInCombination:
    def test_an_automatic_learning_rate_is_each_recipes_own(self):
        settings = {**QUICK, "learning_rate": "auto"}
        reg = basic(NNRegressor, **settings, recipes=[{"learning_rate": 0.007}, {"optimizer": "sgd"}]).fit(*DIABETES)
        own, given, other = reg.learning_rate_
        assert given == 0.007
        assert own != other
        tests = reg.learning_rate_test_
        assert tests[1] is None
        assert tests[2]["learning_rate"][0] != tests[0]["learning_rate"][0]
        kept = reg.learning_rate_
        assert_array_equal(reg.partial_fit(*DIABETES).learning_rate_, kept)

    def test_restarts_are_chosen_recipe_by_recipe(self):
        clf = basic(NNClassifier, **QUICK, n_members=2, n_restarts=3, recipes=RECIPES[:1]).fit(*IRIS)
        scores = clf.restart_scores_
        assert scores.shape == (4, 3)
        only = basic(NNClassifier, **QUICK, n_members=2, n_restarts=3).fit(*IRIS)
        assert_array_equal(scores[:2], only.restart_scores_)

    def test_a_network_of_ones_own_beside_others(self):
        for recipes in ([{"network": nn.Linear, "dropout": 0.0}], [{}]):
            network = "mlp" if len(recipes[0]) else nn.Linear
            clf = basic(NNClassifier, **QUICK, network=network, n_members=2, recipes=recipes).fit(*IRIS)
            assert isinstance(clf.module_.members[2], nn.Linear) == (network == "mlp" or recipes == [{}])
            assert len(clf.validation_scores_) == clf.n_iter_
            assert np.isfinite(clf.validation_scores_).all()
            assert clf.partial_fit(*IRIS).score(*IRIS) > 0.3

    def test_who_diverges_is_left_out(self):
        recipes = [{"optimizer": "sgd", "learning_rate": 1e30, "gradient_clipping": None, "schedule": "constant"}]
        with pytest.warns(UserWarning, match="diverged"):
            reg = basic(NNRegressor, **QUICK, n_members=2, recipes=recipes).fit(*DIABETES)
        assert_array_equal(reg.recipe_weights_, [1.0, 0.0])
        assert len(reg.module_.members) == 2
        assert reg.partial_fit(*DIABETES).n_parameters_ > 0
        alone = basic(NNRegressor, **QUICK, n_members=2).fit(*DIABETES).partial_fit(*DIABETES)
        assert_array_equal(reg.predict(DIABETES[0]), alone.predict(DIABETES[0]))

    def test_initial_weights_from_an_ensemble_of_recipes_are_those_of_its_own_members(self):
        source = basic(NNClassifier, **QUICK, n_members=2, recipes=RECIPES).fit(*IRIS)
        still = {**QUICK, "learning_rate": 1e-12, "max_epochs": 1}
        clf = basic(NNClassifier, **still, n_members=3, initial_weights=source).fit(*IRIS)
        for k, state in enumerate(states(clf)):
            for name, value in state.items():
                assert_allclose(value, states(source)[k % 2][name], atol=1e-9)

    def test_verbose_names_the_recipe(self, capsys):
        basic(NNRegressor, **{**QUICK, "max_epochs": 1}, n_members=2, recipes=[{}], verbose=1).fit(*DIABETES)
        lines = capsys.readouterr().out.splitlines()
        begins = [f"recipe {r}/2  member {k}/2  epoch 1/1" for r in (1, 2) for k in (1, 2)]
        assert [line.partition("  train")[0] for line in lines] == begins

    def test_sparse_tables_and_embeddings(self):
        from scipy import sparse

        X = sparse.csr_array(DIABETES[0])
        assert basic(NNRegressor, recipes=[{"optimizer": "sgd"}]).__sklearn_tags__().input_tags.sparse
        assert not basic(NNRegressor, recipes=RECIPES).__sklearn_tags__().input_tags.sparse
        assert (
            basic(NNRegressor, **QUICK, recipes=[{"network": "resnet"}]).fit(X, DIABETES[1]).score(X, DIABETES[1]) < 1
        )
        with pytest.raises(
            InvalidParameterError, match=r"recipes\[1\]: The 'numeric_embedding' parameter must be None"
        ):
            basic(NNRegressor, **QUICK, recipes=RECIPES).fit(X, DIABETES[1])


class TestAsAnEstimator:
    def test_the_list_is_kept_as_it_is(self):
        given = copy.deepcopy(RECIPES)
        technique = SGD(momentum=0.5)
        given.append({"optimizer": technique, "optimizer__momentum": 0.1})
        reg = basic(NNRegressor, **QUICK, recipes=given)
        assert reg.fit(*DIABETES).recipes is given is reg.get_params()["recipes"]
        assert given[:3] == RECIPES
        assert technique.momentum == 0.5
        own = SGD(momentum=0.5)
        basic(NNRegressor, **QUICK, optimizer=own, recipes=[{"optimizer__momentum": 0.1}]).fit(*DIABETES)
        assert own.momentum == 0.5

    def test_is_cloned_copied_pickled_and_printed(self):
        clf = basic(NNClassifier, **QUICK, n_members=2, recipes=RECIPES).fit(*IRIS)
        twin = clone(clf)
        assert twin.recipes == RECIPES
        assert twin.recipes is not RECIPES
        assert "recipes=[{" in repr(clf)
        for copied in (copy.deepcopy(clf), pickle.loads(pickle.dumps(clf)), twin.fit(*IRIS)):
            assert_array_equal(copied.predict_proba(IRIS[0]), clf.predict_proba(IRIS[0]))
            assert_array_equal(copied.recipe_weights_, clf.recipe_weights_)
        rows = clf.preprocessor_.transform(IRIS[0])
        assert_allclose(clf.net_.predict_proba(rows), clf.predict_proba(IRIS[0]), atol=1e-5)

    def test_every_parameter_is_a_recipes_or_the_whole_ensembles(self):
        names = set(inspect.signature(NNClassifier).parameters) | set(inspect.signature(NNRegressor).parameters)
        assert names >= WHOLE
        for name in sorted(names - WHOLE - {"network"}):
            value = getattr(basic(NNClassifier), name)
            basic(NNClassifier, **{**QUICK, "max_epochs": 1}, recipes=[{name: value}])._check_params()

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    @pytest.mark.parametrize(
        ("recipes", "message"),
        [
            ([{}, {"networkk": "mlp"}], r"'recipes' parameter of NN.* Got 'networkk' in recipes\[1\].*'network'\?"),
            ([{"optimiser__momentum": 0.9}], r"Got 'optimiser__momentum' in recipes\[0\].*mean 'optimizer'\?"),
            ([{3: 4}], r"Got 3 in recipes\[0\]"),
            ([{}, "mlp"], r"'recipes' parameter of NN.* must hold dicts.*Got 'mlp' as recipes\[1\]"),
            ([{"network": "tabmm"}], r"^recipes\[0\]: The 'network' parameter of .* Did you mean 'tabm'\?"),
            ([{}, {"learning_rate": -1}], r"^recipes\[1\]: The 'learning_rate' parameter of .* Got -1"),
            ([{"optimizer": "AdamW "}], r"^recipes\[0\]: The 'optimizer' parameter must.* Did you mean 'adamw'\?"),
            ([{"optimizer__momentun": 0.9}], r"^recipes\[0\]: Invalid parameter 'momentun' for estimator AdamW"),
            ([{"optimizer__beta_1": 2}], r"^recipes\[0\]: The 'beta_1' parameter of AdamW must be"),
            ([{"max_epochs__more": 2}], r"^recipes\[0\]: max_epochs=6 has no parameters of its own"),
            ([{"layer_rates": {"dense": 2}}], r"^recipes\[0\]: The 'layer_rates' parameter must.*mean 'dense_0'\?"),
            ([{"dropout": (0.1, 0.1)}], r"^recipes\[0\]: The 'dropout' parameter must"),
            ([{"optimizer": "schedule_free_sgd", "weight_averaging": "ema"}], r"^recipes\[0\]: The 'weight_averaging'"),
            *([[{name: None}], f"Got {name!r} in recipes.0. instead, which all members share"] for name in
              sorted(WHOLE - {"calibration", "class_weight"})),
        ],
    )  # fmt: skip
    def test_errors_teach_before_training(self, make, recipes, message, trained):
        network = basic(make, **QUICK, recipes=recipes)
        with pytest.raises(InvalidParameterError, match=message) as caught:
            network.fit(*(IRIS if make is NNClassifier else DIABETES))
        assert "Got" in str(caught.value) or "parameters" in str(caught.value)
        assert not trained
        assert not hasattr(network, "module_")

    def test_initial_weights_are_refused(self):
        source = basic(NNRegressor, **QUICK).fit(*DIABETES)
        with pytest.raises(InvalidParameterError, match="'initial_weights' parameter of NNRegressor must be None with"):
            basic(NNRegressor, **QUICK, recipes=RECIPES, initial_weights=source).fit(*DIABETES)
