"""What "auto" stands for: one kind of members or several, each of which is as if its values were set."""

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.model_selection import GridSearchCV, ParameterGrid
from torch import nn

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt._compat import InvalidParameterError
from sknnopt.embeddings import Periodic
from sknnopt.estimators import _base
from sknnopt.estimators._kinds import AUTO_CLASSIFIER, AUTO_REGRESSOR, MEMBERS_OF_A_KIND, MOST_COLUMNS, kinds_of
from sknnopt.nn import MemberAverage

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(200, n_classes=3, random_state=0)
DATA = {NNClassifier: IRIS, NNRegressor: DIABETES}
MIXTURES = {NNClassifier: AUTO_CLASSIFIER, NNRegressor: AUTO_REGRESSOR}
QUICK: dict[str, Any] = {
    "hidden_layer_sizes": (8,), "max_epochs": 3, "batch_size": 64, "random_state": 0, "early_stopping": True,
    "validation_fraction": 0.25,
}  # fmt: skip
CAN = {"mixes": True, "embeds": True, "smooths": True}
both = pytest.mark.parametrize("make", [NNClassifier, NNRegressor])


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The jobs that the engine is given."""
    jobs: list[Any] = []
    train = _base.train

    def spy(given: Any) -> Any:
        jobs.extend(given)
        return train(given)

    monkeypatch.setattr(_base, "train", spy)
    return jobs


def table(n: int = 120) -> tuple[pd.DataFrame, Any]:
    """Numbers and a category, with which the target goes."""
    rng = np.random.default_rng(0)
    number, category = rng.standard_normal(n), rng.integers(0, 4, n)
    return pd.DataFrame({"number": number, "category": np.array(list("abcd"))[category]}), (number + category > 1.5) * 1


def states(network: Any) -> list[dict[str, Any]]:
    modules = network.module_.members if isinstance(network.module_, MemberAverage) else [network.module_]
    return [{name: value.numpy() for name, value in module.state_dict().items()} for module in modules]


def assert_same_weights(ones: Any, others: Any) -> None:
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        assert list(one) == list(other)
        for name, value in one.items():
            assert_array_equal(other[name], value, err_msg=name)


def values(mixture: Any, k: int) -> dict[str, Any]:
    """What "auto" is in the k-th kind."""
    return {name: options[k] for name, options in mixture.items()}


def sizes(network: Any) -> list[int]:
    return [kind.size for kind in network._kinds()]


def differing(network: Any) -> set[str]:
    kinds = [kind.params for kind in network._kinds()]
    return {name for name in kinds[0] if len({repr(params[name]) for params in kinds}) > 1}


class TestWhichThereAre:
    @both
    def test_the_default_has_one_for_each_value_of_auto(self, make: Any) -> None:
        kinds, mixture = make()._kinds(), MIXTURES[make]
        assert sum(kind.size for kind in kinds) == make().n_members
        assert len(kinds) == len(mixture["numeric_embedding"]) == make().n_members // MEMBERS_OF_A_KIND
        for k, kind in enumerate(kinds):
            assert {name: kind.params[name] for name in mixture} == values(mixture, k)
            assert kind.recipe == -1
        assert differing(make()) == {name for name, options in mixture.items() if len({*map(repr, options)}) > 1}

    @both
    @pytest.mark.parametrize(
        ("n_members", "expected"),
        [(1, [1]), (4, [4]), (7, [7]), (8, [4, 4]), (11, [6, 5]), (12, [4, 4, 4]), (13, [5, 4, 4]), (32, [11, 11, 10])],
    )
    def test_sizes(self, make: Any, n_members: int, expected: list[int]) -> None:
        assert sizes(make(n_members=n_members)) == expected

    def test_parameters_that_are_set_hold_for_all(self) -> None:
        auto = {"numeric_embedding", "categorical_embedding", "dropout", "label_smoothing"}
        assert differing(NNClassifier()) == auto
        for name, value in (("numeric_embedding", None), ("categorical_embedding", 3), ("dropout", 0.5)):
            clf = NNClassifier(**{name: value})
            assert differing(clf) == auto - {name}
            assert [kind.params[name] for kind in clf._kinds()] == [value] * 3

    def test_one_where_all_are_set(self) -> None:
        clf = NNClassifier(numeric_embedding=None, categorical_embedding=None, dropout=0.1, label_smoothing=0.0)
        assert sizes(clf) == [12]
        assert sizes(NNRegressor(numeric_embedding="periodic")) == [12]
        assert sizes(NNRegressor(categorical_embedding=3)) == [4, 4, 4]

    def test_as_many_as_differ(self) -> None:
        """Where only categories are left, the first and the third kind are the same."""
        clf = NNClassifier(numeric_embedding=None, dropout=0.1, label_smoothing=0.0)
        assert [(kind.size, kind.params["categorical_embedding"]) for kind in clf._kinds()] == [(6, None), (6, 2)]

    @both
    def test_one_for_a_network_of_ones_own(self, make: Any) -> None:
        for network in (nn.Linear, nn.Linear(4, 3)):
            (kind,) = make(network=network)._kinds()
            assert (kind.size, kind.params["numeric_embedding"], kind.params["categorical_embedding"]) == (
                12,
                None,
                None,
            )

    @both
    def test_one_with_initial_weights(self, make: Any) -> None:
        source = make(**QUICK, n_members=1).fit(*DATA[make])
        network = make(**QUICK, n_members=8, initial_weights=source).fit(*DATA[make])
        assert sizes(network) == [8]
        assert network._kinds()[0].params["numeric_embedding"] == MIXTURES[make]["numeric_embedding"][0]
        assert_array_equal(network.recipe_weights_, [1.0])

    @pytest.mark.parametrize(("loss", "data"), [("hinge", IRIS), ("binary_cross_entropy", LABELS), ("focal", IRIS)])
    def test_labels_are_smoothed_by_losses_that_can(self, loss: str, data: Any) -> None:
        clf = NNClassifier(**QUICK, n_members=8, loss=loss).fit(*data)
        found = [kind.params["label_smoothing"] for kind in clf._kinds()]
        assert found == ([0.05, 0.1] if clf.loss_.smooths else [0.0, 0.0])
        only = NNClassifier(
            **QUICK, n_members=8, loss=loss, numeric_embedding=None, categorical_embedding=None, dropout=0.1
        ).fit(*data)
        assert len(only.recipe_weights_) == (2 if clf.loss_.smooths else 1)

    def test_the_loss_is_that_of_this_fit(self) -> None:
        settings = {**QUICK, "n_members": 8, "numeric_embedding": None, "categorical_embedding": None, "dropout": 0.1}
        clf = NNClassifier(**settings, loss="hinge").fit(*IRIS)
        for loss, count in (("cross_entropy", 2), ("hinge", 1)):
            again = clf.set_params(loss=loss).fit(*IRIS)
            fresh = NNClassifier(**settings, loss=loss).fit(*IRIS)
            assert len(again.recipe_weights_) == count
            assert_same_weights(states(again), states(fresh))

    def test_no_embedding_where_columns_cannot_be_embedded(self) -> None:
        X, y = IRIS
        wide = np.random.default_rng(0).standard_normal((150, MOST_COLUMNS + 1))
        for rows, more in ((sparse.csr_array(X), {}), (wide, {}), (X, {"preprocessing": None})):
            clf = NNClassifier(**QUICK, n_members=8, **more).fit(rows, y)
            assert {kind.params["numeric_embedding"] for kind in clf._kinds()} == {None}
            assert {kind.params["categorical_embedding"] for kind in clf._kinds()} == {None}
            assert not any("embedding" in name for name in clf.module_.state_dict())
            assert len(clf.recipe_weights_) == 2  # dropout differs
        clf.set_params(preprocessing="auto").fit(wide[:, 1:], y)
        assert all(any(name.startswith("embedding") for name in state) for state in states(clf))

    def test_sparse_rows_after_dense_ones(self) -> None:
        X, y = DIABETES
        reg = NNRegressor(**QUICK, n_members=8).fit(X, y)
        assert len(reg.recipe_weights_) == 2
        assert len(reg.fit(sparse.csr_array(X), y).recipe_weights_) == 1
        assert np.isfinite(reg.predict(sparse.csr_array(X))).all()

    def test_an_embedding_that_was_asked_for_is_not_left_out_in_silence(self) -> None:
        with pytest.raises(InvalidParameterError, match="X is sparse"):
            NNClassifier(**QUICK, numeric_embedding="periodic").fit(sparse.csr_array(IRIS[0]), IRIS[1])

    @both
    def test_of_recipes(self, make: Any) -> None:
        recipes = [{"numeric_embedding": None}, {"network": nn.Linear}, {"dropout": 0.5}]
        own, first, second, third = (
            [kind for kind in make(n_members=9, recipes=recipes)._kinds() if kind.recipe == r] for r in (-1, 0, 1, 2)
        )
        assert [kind.size for kind in own] == [kind.size for kind in third] == [5, 4]
        assert [kind.size for kind in second] == [9]
        assert [kind.params["numeric_embedding"] for kind in first] == [None] * len(first)
        assert [kind.params["dropout"] for kind in third] == [0.5, 0.5]

    @both
    def test_parameters_are_not_changed(self, make: Any) -> None:
        params, mixture = {"n_members": 9, "dropout": "auto", "network": "mlp"}, MIXTURES[make]
        kinds_of(params, -1, mixture, **CAN)
        assert params == {"n_members": 9, "dropout": "auto", "network": "mlp"}


class TestTrained:
    def test_as_their_parameters_say(self, trained: Any) -> None:
        NNClassifier(**QUICK).fit(*table())
        assert len(trained) == 12
        for k, job in enumerate(trained):
            wanted = values(AUTO_CLASSIFIER, k // 4)
            assert set(job.techniques.dropout) == {wanted["dropout"]}
            assert job.techniques.label_smoothing == wanted["label_smoothing"]
            assert job.network.inputs.embedding == wanted["numeric_embedding"]
            assert [size for *_, size in job.network.inputs.categories] == ([2] if k // 4 == 1 else [])

    @both
    def test_each_kind_has_a_panel_and_the_same_rows(self, make: Any, trained: Any) -> None:
        make(**QUICK, n_members=8).fit(*DATA[make])
        assert [trained.index(next(other for other in trained if other.panel is job.panel)) for job in trained] == (
            [0] * 4 + [4] * 4
        )
        assert {job.panel.size for job in trained} == {4}
        for k in range(4):
            assert trained[k].rows is trained[4 + k].rows
        assert len({tuple(job.seed.generate_state(2)) for job in trained}) == 8

    @both
    @pytest.mark.parametrize("n_members", [1, 4, 8, 12])
    def test_a_weight_a_kind(self, make: Any, n_members: int) -> None:
        network = make(**QUICK, n_members=n_members).fit(*DATA[make])
        count = max(1, n_members // 4)
        assert network.recipe_weights_.shape == (count,)
        assert network.recipe_weights_.sum() == pytest.approx(1)
        assert network.best_epoch_ if n_members == 1 else network.best_epoch_.shape == (n_members,)
        assert isinstance(network.learning_rate_, float)
        if count > 1:
            weights = np.repeat(network.recipe_weights_ / 4, 4)
            np.testing.assert_allclose(network.module_.weights, weights)
            assert len(set(network.recipe_weights_)) == count

    @both
    def test_alike_where_no_rows_are_withheld(self, make: Any) -> None:
        network = make(**{**QUICK, "early_stopping": False}, n_members=8).fit(*DATA[make])
        assert_array_equal(network.recipe_weights_, [0.5, 0.5])

    @both
    def test_rates_that_are_found_are_one_a_kind(self, make: Any) -> None:
        network = make(**QUICK, n_members=8, learning_rate="auto").fit(*DATA[make])
        assert network.learning_rate_.shape == (2,)
        assert len(network.learning_rate_test_) == 2

    def test_weights_are_averaged_unless_the_optimizer_does(self, trained: Any) -> None:
        NNRegressor(**QUICK, n_members=1).fit(*DIABETES)
        NNRegressor(**QUICK, n_members=1, optimizer="schedule_free_adamw").fit(*DIABETES)
        assert [type(job.techniques.weight_averaging).__name__ for job in trained] == ["EMA", "NoneType"]

    def test_verbose_counts_all_members(self, capsys: pytest.CaptureFixture[str]) -> None:
        NNRegressor(**{**QUICK, "max_epochs": 1}, n_members=8, verbose=1).fit(*DIABETES)
        lines = capsys.readouterr().out.splitlines()
        assert [line.split("  ")[0] for line in lines] == [f"member {k}/8" for k in range(1, 9)]


class TestSameBits:
    """Members of the other kinds change nothing in those of the first (law 1)."""

    @both
    @pytest.mark.parametrize("n_members", [8, 12])
    def test_of_the_first_kind(self, make: Any, n_members: int) -> None:
        alone = make(**QUICK, n_members=4, **values(MIXTURES[make], 0)).fit(*DATA[make])
        together = make(**QUICK, n_members=n_members).fit(*DATA[make])
        assert_same_weights(states(alone), states(together)[:4])
        assert_array_equal(together.best_epoch_[:4], alone.best_epoch_)

    @both
    def test_of_the_first_kind_of_a_table_with_categories(self, make: Any) -> None:
        alone = make(**QUICK, n_members=4, **values(MIXTURES[make], 0)).fit(*table())
        assert_same_weights(states(alone), states(make(**QUICK).fit(*table()))[:4])

    @both
    def test_of_auto_and_what_it_is_below_eight_members(self, make: Any) -> None:
        said = make(**QUICK, n_members=3, **values(MIXTURES[make], 0)).fit(*DATA[make])
        assert_same_weights(states(said), states(make(**QUICK, n_members=3).fit(*DATA[make])))

    @both
    def test_with_recipes_after_them(self, make: Any) -> None:
        alone = make(**QUICK, n_members=8).fit(*DATA[make])
        together = make(**QUICK, n_members=8, recipes=[{"numeric_embedding": None}]).fit(*DATA[make])
        assert_same_weights(states(alone), states(together)[:8])
        assert together.recipe_weights_.shape == (2 + len({*map(repr, together._kinds()[2:])}),)

    @pytest.mark.usefixtures("patient")
    @both
    def test_in_lockstep(self, make: Any) -> None:
        grid = {"n_members": [1, 8], "numeric_embedding": ["auto", None], "learning_rate": [0.01, 0.003]}
        search = GridSearchCV(make(**{**QUICK, "max_epochs": 2, "batch_size": 32}), grid, cv=2)
        expected = clone(search).fit(*DATA[make])
        with lockstep(n_jobs=2) as sweep:
            found = clone(search).fit(*DATA[make])
        for name in ("split0_test_score", "split1_test_score"):
            assert_array_equal(found.cv_results_[name], expected.cv_results_[name])
        assert_same_weights(states(found.best_estimator_), states(expected.best_estimator_))
        alone = sum(2 * len(clone(search.estimator).set_params(**one)._kinds()) for one in ParameterGrid(grid))
        assert len(sweep.cohort_sizes) < alone


class TestParameters:
    @both
    def test_of_the_embedding_that_auto_is_first(self, make: Any) -> None:
        first = MIXTURES[make]["numeric_embedding"][0]
        before = repr(MIXTURES)
        network = make(**QUICK, n_members=8).set_params(numeric_embedding__n_frequencies=4)
        assert repr(network.numeric_embedding) == repr(clone(first).set_params(n_frequencies=4))
        assert repr(MIXTURES) == before
        assert {repr(kind.params["numeric_embedding"]) for kind in network._kinds()} == {
            repr(network.numeric_embedding)
        }
        network.fit(*DATA[make])
        assert not any("PiecewiseLinear" in repr(member) for member in network.module_.members)

    def test_of_the_average(self) -> None:
        assert NNClassifier().set_params(weight_averaging__decay=0.5).weight_averaging.decay == 0.5

    def test_a_recipe_of_the_embeddings_parameter(self) -> None:
        own, other = NNRegressor(n_members=1, recipes=[{"numeric_embedding__n_frequencies": 4}])._kinds()
        assert own.params["numeric_embedding"] == AUTO_REGRESSOR["numeric_embedding"][0]
        assert isinstance(other.params["numeric_embedding"], Periodic)
        assert other.params["numeric_embedding"].n_frequencies == 4

    def test_a_search_with_auto_among_the_values(self) -> None:
        grid = {"dropout": ["auto", 0.0], "numeric_embedding": ["auto", "periodic"]}
        search = GridSearchCV(NNClassifier(**QUICK, n_members=8), grid, cv=2, error_score="raise").fit(*IRIS)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.best_estimator_.recipe_weights_.shape == (2,)

    def test_a_regressor_has_no_such_dropout(self) -> None:
        with pytest.raises(InvalidParameterError, match="'dropout' parameter of NNRegressor"):
            NNRegressor(**QUICK, dropout="auto").fit(*DIABETES)

    @both
    def test_clones_and_pickles(self, make: Any) -> None:
        X, _ = DATA[make]
        network = make(**QUICK, n_members=8).fit(*DATA[make])
        again = pickle.loads(pickle.dumps(network))
        assert_array_equal(again.predict(X), network.predict(X))
        assert_array_equal(again.recipe_weights_, network.recipe_weights_)
        assert_same_weights(states(again.partial_fit(*DATA[make])), states(network.partial_fit(*DATA[make])))
        twin = clone(network)
        assert twin.numeric_embedding == twin.categorical_embedding == "auto"
        assert repr(twin) == repr(network)


class TestGoingOn:
    @both
    def test_partial_fit_trains_all_and_keeps_the_weights(self, make: Any) -> None:
        network = make(**QUICK, n_members=8).fit(*DATA[make])
        weights, before = network.recipe_weights_, states(network)
        network.partial_fit(*DATA[make])
        assert_array_equal(network.recipe_weights_, weights)
        assert len(states(network)) == 8
        for one, other in zip(before, states(network), strict=True):
            assert not np.array_equal(one["output.bias"], other["output.bias"])

    @both
    def test_partial_fit_from_nothing(self, make: Any) -> None:
        network = make(**QUICK, n_members=8).partial_fit(*DATA[make]).partial_fit(*DATA[make])
        assert_array_equal(network.recipe_weights_, [0.5, 0.5])
        assert network.n_iter_ == 2

    @both
    def test_a_warm_start(self, make: Any) -> None:
        settings = {**QUICK, "n_members": 8, "warm_start": True}
        network = make(**settings).fit(*DATA[make])
        first = network.loss_curve_
        assert len(network.fit(*DATA[make]).recipe_weights_) == 2
        assert network.loss_curve_[0] < first[0]
        alone = make(**{**settings, "n_members": 4}, **values(MIXTURES[make], 0)).fit(*DATA[make]).fit(*DATA[make])
        assert_same_weights(states(alone), states(network)[:4])

    def test_other_kinds_are_refused(self) -> None:
        clf = NNClassifier(**QUICK, n_members=8).fit(*IRIS)
        with pytest.raises(ValueError, match="cannot go on with numeric_embedding=None"):
            clf.set_params(numeric_embedding=None).partial_fit(*IRIS)
        reg = NNRegressor(**{**QUICK, "n_members": 8}).fit(*DIABETES)
        with pytest.raises(ValueError, match=r"members of another number of kinds, 1 \(was 2\)"):
            reg.set_params(numeric_embedding=AUTO_REGRESSOR["numeric_embedding"][0]).partial_fit(*DIABETES)

    def test_a_source_of_initial_weights(self) -> None:
        """What starts from an ensemble starts from its first kind."""
        source = NNRegressor(**QUICK, n_members=8).fit(*DIABETES)
        source.set_params(n_members=1)  # it is as it was fitted
        still = {**QUICK, "learning_rate": 1e-12, "max_epochs": 1, "early_stopping": False}
        for n_members in (1, 4):
            start = NNRegressor(**still, n_members=n_members, initial_weights=source).fit(*DIABETES)
            for one, other in zip(states(start), states(source), strict=False):
                for name, value in one.items():
                    np.testing.assert_allclose(value, other[name], atol=1e-6, err_msg=name)
