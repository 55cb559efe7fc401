"""What is found from the data: the learning rate, the batch size, the best of several starts."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GridSearchCV, KFold
from skorch.callbacks import Callback
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor, lockstep, optimizers
from sknnopt.engine import Result
from sknnopt.estimators._batch_size import SIZES, auto_batch_size
from sknnopt.estimators._folds import split_rows
from sknnopt.estimators._range_test import COST, FACTORS, FEWEST_ROWS, best_rate, plan_of
from sknnopt.estimators._restarts import best_restarts

CANCER = tuple(part[:240] for part in load_breast_cancer(return_X_y=True))
DIABETES = tuple(part[:240] for part in load_diabetes(return_X_y=True))
QUICK: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_epochs": 4, "random_state": 0}
AUTO: dict[str, Any] = {**QUICK, "learning_rate": "auto"}
TASKS = [(NNClassifier, CANCER), (NNRegressor, DIABETES)]


class Small(nn.Module):
    """With dropout and normalisation, which draw and remember."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, n_outputs)
        )

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows)


def weights(network: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in network.module_.state_dict().items()}


def assert_same_training(one: Any, other: Any) -> None:
    for name, value in weights(one).items():
        assert_array_equal(value, weights(other)[name], err_msg=name)
    for record, same in zip(one.history_, other.history_, strict=True):
        assert {**record, "seconds": 0} == {**same, "seconds": 0}


def assert_same_test(one: Any, other: Any) -> None:
    assert one.learning_rate_ == other.learning_rate_
    assert one.learning_rate_test_.keys() == other.learning_rate_test_.keys()
    for name, value in one.learning_rate_test_.items():
        assert_array_equal(value, other.learning_rate_test_[name], err_msg=name)


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "members": {"n_members": 2},
    "restarts": {"n_restarts": 2},
    "early stopping": {"early_stopping": True},
    "module": {"network": Small},
    "instance": {"network": Small(30, 2)},
    "averaged": {"weight_averaging": "ema", "normalization": "batch"},
    "mixup": {"mixup": 0.2, "schedule": "plateau", "warmup": 0.2},
    "weighted": {"class_weight": "balanced"},
    "float64": {"precision": "float64"},
}


class TestLearningRate:
    @pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
    def test_training_is_that_with_the_number_given(self, settings: dict[str, Any]) -> None:
        chosen = basic(NNClassifier, **AUTO, **settings).fit(*CANCER)
        given = basic(NNClassifier, **QUICK, **settings, learning_rate=chosen.learning_rate_).fit(*CANCER)
        assert_same_training(chosen, given)
        assert given.learning_rate_ == chosen.learning_rate_

    @pytest.mark.parametrize(("make", "data"), TASKS)
    def test_attributes(self, make: Any, data: Any) -> None:
        network = basic(make, **AUTO).fit(*data)
        test = network.learning_rate_test_
        assert_array_equal(test["learning_rate"], optimizers.AdamW().default_learning_rate * FACTORS)
        assert test["loss"].shape == FACTORS.shape
        assert test["learning_rate"].min() <= network.learning_rate_ <= test["learning_rate"].max()
        assert isinstance(network.learning_rate_, float)
        assert (test["n_samples"], test["epochs"]) == plan_of(240, 64, 4)
        for given in (None, 0.05):
            network.set_params(learning_rate=given).fit(*data)
            assert network.learning_rate_ == (given or optimizers.AdamW().default_learning_rate)
            assert network.learning_rate_test_ is None

    @pytest.mark.parametrize("network", ["mlp", Small])
    @pytest.mark.parametrize(("make", "data"), TASKS)
    def test_is_the_same_in_lockstep(self, make: Any, data: Any, network: Any) -> None:
        grid = {"dropout": [0.0, 0.2], "learning_rate": ["auto", 0.01], "batch_size": ["auto", 50]}
        if network is Small:
            grid, data = {"weight_decay": [0.0, 0.1]}, (data[0][:100], data[1][:100])
        search = GridSearchCV(basic(make, **AUTO, network=network), grid, cv=KFold(2), error_score="raise")
        alone = clone(search).fit(*data)
        with lockstep(n_jobs=2):
            together = clone(search).fit(*data)
        assert_array_equal(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
        search = search.set_params(param_grid={"dropout": [0.2]})
        assert_same_test(
            clone(search).fit(*data).best_estimator_, basic(make, **AUTO, network=network, dropout=0.2).fit(*data)
        )

    def test_does_not_see_rows_withheld(self) -> None:
        X, y = DIABETES
        settings = {**AUTO, "early_stopping": True}
        before = basic(NNRegressor, **settings).fit(X, y)
        train, withheld = split_rows(len(y), None, 0.1, before._seed)
        for rows, seen in ((withheld, False), (train, True)):
            changed = y.copy()
            changed[rows[0]] += 100
            after = basic(NNRegressor, **settings).fit(X, changed)
            assert (after.learning_rate_test_["loss"] != before.learning_rate_test_["loss"]).any() == seen

    def test_does_not_see_validation_rows_given(self) -> None:
        X, y = DIABETES
        fits = [
            basic(NNRegressor, **AUTO).fit(X[40:], y[40:], X_val=X[:40], y_val=y[:40] + shift) for shift in (0, 500)
        ]
        assert_same_test(*fits)
        assert fits[0].best_loss_ != fits[1].best_loss_

    def test_a_zero_weight_is_the_row_left_out(self) -> None:
        X, y = DIABETES
        weight = np.where(np.arange(len(y)) % 3 == 0, 0.0, 2.0)
        kept = weight > 0
        fits = [
            basic(NNRegressor, **AUTO).fit(X, y, weight),
            basic(NNRegressor, **AUTO).fit(X[kept], y[kept], weight[kept]),
        ]
        assert_same_test(*fits)
        assert_same_training(*fits)

    @pytest.mark.parametrize("name", optimizers.names())
    def test_trains_better_than_at_the_lowest_rate(self, name: str) -> None:
        epochs = 40 if name == "prodigy" else 8  # it must first find how far it has to go
        settings = {**QUICK, "optimizer": name, "max_epochs": epochs, "dropout": 0.0}
        auto = basic(NNRegressor, **settings, learning_rate="auto").fit(*DIABETES)
        rates = auto.learning_rate_test_["learning_rate"]
        assert_array_equal(rates, optimizers.get(name).default_learning_rate * FACTORS)
        if optimizers.get(name).line_search:
            pytest.skip("its search finds much the same step from every rate")
        low = basic(NNRegressor, **settings, learning_rate=rates[0]).fit(*DIABETES)
        assert auto.loss_curve_[-1] < low.loss_curve_[-1]

    def test_rates_that_diverge_are_bad_and_silent(self) -> None:
        settings = {**AUTO, "optimizer": "sgd", "gradient_clipping": None, "max_epochs": 30, "activation": "identity"}
        settings["hidden_layer_sizes"] = (64, 64, 64)
        network = basic(NNRegressor, **settings).fit(*DIABETES)
        losses = network.learning_rate_test_["loss"]
        assert np.isinf(losses[-1])
        assert np.isfinite(losses[0])
        assert network.learning_rate_ < network.learning_rate_test_["learning_rate"][np.isinf(losses)].min()

    def test_a_loss_that_is_never_finite_is_the_fits_own_error(self) -> None:
        with pytest.raises(ValueError, match="Training diverged"):
            basic(NNRegressor, **AUTO, loss=lambda output, target: (output - target).sum(1) * np.nan).fit(*DIABETES)

    @pytest.mark.parametrize(
        ("make", "n"), [(NNRegressor, 1), *((make, n) for make, _ in TASKS for n in (2, 9, 10, 40))]
    )
    def test_few_rows(self, make: Any, n: int) -> None:
        network = basic(make, **AUTO).fit(DIABETES[0][:n], np.arange(n) % 2)
        assert np.isfinite(network.learning_rate_)

    def test_sparse_rows(self) -> None:
        X, y = CANCER
        fits = [
            basic(NNClassifier, **AUTO, preprocessing=None).fit(kind(X), y) for kind in (np.asarray, sparse.csr_array)
        ]
        assert_same_test(*fits)

    def test_several_outputs(self) -> None:
        X, y = DIABETES
        assert np.isfinite(basic(NNRegressor, **AUTO).fit(X, np.c_[y, -y]).learning_rate_)
        assert np.isfinite(basic(NNClassifier, **AUTO).fit(X, np.c_[y > 100, y > 150].astype(int)).learning_rate_)

    def test_is_kept_while_training_goes_on(self) -> None:
        X, y = CANCER
        network = basic(NNClassifier, **AUTO, warm_start=True, schedule="constant").fit(X, y)
        test = network.learning_rate_test_
        network.fit(X[:100], y[:100]).partial_fit(X[100:], y[100:])
        assert network.learning_rate_test_ is test
        assert network.history_[-1]["learning_rate"] == network.learning_rate_
        network.set_params(optimizer="sgd").fit(X, y)
        assert_array_equal(network.learning_rate_test_["learning_rate"], 1e-2 * FACTORS)
        network.set_params(learning_rate=0.5).partial_fit(X, y)
        assert network.learning_rate_ == 0.5

    def test_partial_fit_chooses_at_its_first_call(self) -> None:
        network = basic(NNClassifier, **AUTO).partial_fit(*CANCER)
        assert network.n_iter_ == 1
        assert_same_test(network, basic(NNClassifier, **AUTO).fit(*CANCER))

    def test_a_fit_anew_chooses_anew(self) -> None:
        X, y = DIABETES
        network = basic(NNRegressor, **AUTO).fit(X, y)
        test = network.learning_rate_test_
        assert network.fit(X[:200], y[:200]).learning_rate_test_ is not test

    def test_callbacks_see_the_training_alone(self) -> None:
        class Spy(Callback):
            epochs = 0

            def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
                Spy.epochs += 1

        basic(NNClassifier, **AUTO, callbacks=[Spy()]).fit(*CANCER)
        assert Spy.epochs == 4

    def test_leaves_a_given_module_as_it_was(self) -> None:
        module = Small(30, 2)
        before = copy.deepcopy(module.state_dict())
        basic(NNClassifier, **AUTO, network=module).fit(*CANCER)
        for name, value in module.state_dict().items():
            assert_array_equal(value, before[name])

    def test_says_what_was_chosen(self, capsys: pytest.CaptureFixture[str]) -> None:
        network = basic(NNClassifier, **AUTO, verbose=1).fit(*CANCER)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"learning_rate {network.learning_rate_:.3g} of 12 tried"
        assert len(lines) == 5

    def test_is_pickled(self) -> None:
        network = basic(NNClassifier, **AUTO).fit(*CANCER)
        assert_same_test(pickle.loads(pickle.dumps(network)), network)


class TestBestRate:
    RATES = np.array([0.01, 0.1, 1.0, 10.0])

    def test_is_the_best_where_it_is_clearly_so(self) -> None:
        noise = np.random.default_rng(0).normal(size=50)
        losses = np.array([3.0, 1.0, 2.0, 4.0])[:, None] + noise
        assert best_rate(self.RATES, losses, np.ones(50)) == pytest.approx(0.1)

    def test_is_in_the_middle_of_equals_next_to_it(self) -> None:
        losses = np.array([1.0, 1.0, 1.0, 2.0])[:, None] + np.zeros(5)
        assert best_rate(self.RATES, losses, np.ones(5)) == pytest.approx(0.1)
        losses[1] = 3.0
        assert best_rate(self.RATES, losses, np.ones(5)) == pytest.approx(0.01)

    def test_counts_weights(self) -> None:
        losses = np.array([[0.0, 9.0], [1.0, 1.0], [9.0, 0.0], [9.0, 9.0]])
        for weight, rate in (([1.0, 1e-9], 0.01), ([1e-9, 1.0], 1.0)):
            assert best_rate(self.RATES, losses, np.array(weight)) == pytest.approx(rate)

    def test_is_none_that_diverged(self) -> None:
        losses = np.array([2.0, 1.0, np.inf, np.inf])[:, None] + np.zeros(5)
        assert best_rate(self.RATES, losses, np.ones(5)) == pytest.approx(0.1)
        assert best_rate(self.RATES, losses + np.inf, np.ones(5)) == 0.01


@pytest.mark.parametrize("n_rows", [1000, 5000, 60_000, 10**6])
@pytest.mark.parametrize("epochs", [1, 3, 30, 100, 1000])
def test_probes_cost_less_than_a_fit(n_rows: int, epochs: int) -> None:
    plan = plan_of(n_rows, auto_batch_size(n_rows), epochs)
    cost = len(FACTORS) * plan.rows * plan.epochs / (n_rows * epochs)
    few = plan.rows == FEWEST_ROWS
    assert cost < (2.0 if few else 1.2 * COST)
    assert 1 <= plan.epochs <= epochs


class TestBatchSize:
    def test_grows_with_the_rows_by_powers_of_two(self) -> None:
        sizes = [auto_batch_size(n) for n in np.geomspace(1, 10**7, 200).astype(int)]
        assert sizes == sorted(sizes)
        assert set(sizes) == {64, 128, 256, 512}

    def test_folds_that_differ_by_a_row_share_it(self) -> None:
        for total in [*range(100, 1100, 100), *range(1000, 21_000, 1000), *(2**k for k in range(6, 20)), 10**5, 10**6]:
            for folds in (2, 3, 4, 5, 10):
                fewest = total - -(-total // folds)
                assert auto_batch_size(fewest) == auto_batch_size(fewest + 1)

    @pytest.mark.parametrize(("n", "size"), [(457, 64), (458, 128)])
    def test_counts_training_rows(self, n: int, size: int) -> None:
        X = np.random.default_rng(0).normal(size=(n, 2))
        settings = {**QUICK, "max_epochs": 1}
        fits = [basic(NNRegressor, **settings, batch_size=batch).fit(X, X[:, 0]) for batch in ("auto", size)]
        assert_same_training(*fits)
        assert SIZES[64] == 457


class TestRestarts:
    SETTINGS: dict[str, Any] = {**QUICK, "max_epochs": 6, "learning_rate": 0.01}

    @pytest.mark.parametrize("network", ["mlp", Small])
    def test_keeps_the_best(self, network: Any) -> None:
        fits = [basic(NNClassifier, **self.SETTINGS, network=network, n_restarts=n).fit(*CANCER) for n in (1, 2, 5)]
        scores = fits[-1].restart_scores_
        assert len(set(scores)) == 5
        for fit, n in zip(fits, (1, 2, 5), strict=True):
            assert_array_equal(fit.restart_scores_, scores[:n])
            assert fit.loss_curve_[-1] == -scores[:n].max()
            assert fit.n_iter_ == 6

    def test_of_the_first_is_the_fit_with_one(self) -> None:
        X, y = CANCER
        for seed in range(8):
            settings = {**self.SETTINGS, "random_state": seed}
            several = basic(NNClassifier, **settings, n_restarts=2).fit(X, y)
            if several.restart_scores_.argmax() == 0:
                assert_same_training(several, basic(NNClassifier, **settings).fit(X, y))
                return
        raise AssertionError("the first start was never the best")

    @pytest.mark.parametrize("scoring", ["loss", "accuracy"])
    def test_are_judged_by_rows_withheld(self, scoring: str) -> None:
        settings = {**self.SETTINGS, "early_stopping": True, "scoring": scoring, "max_epochs": 3}
        fit = basic(NNClassifier, **settings, n_restarts=6).fit(*CANCER)
        assert fit.restart_scores_.max() == fit.validation_scores_[fit.best_epoch_ - 1]
        assert fit.restart_scores_.max() > fit.restart_scores_.min()

    def test_of_each_member(self) -> None:
        fits = [basic(NNClassifier, **self.SETTINGS, n_members=3, n_restarts=n).fit(*CANCER) for n in (1, 4)]
        scores = fits[1].restart_scores_
        assert scores.shape == (3, 4)
        assert len(set(scores.ravel())) == 12
        assert_array_equal(fits[0].restart_scores_[:, 0], scores[:, 0])
        assert_array_equal(fits[1].best_loss_, -scores.max(1))
        assert len(fits[1].module_.members) == 3

    def test_are_the_same_in_lockstep(self) -> None:
        search = GridSearchCV(basic(NNClassifier, **self.SETTINGS), {"n_restarts": [1, 3], "n_members": [1, 2]}, cv=2)
        alone = clone(search).fit(*CANCER)
        with lockstep(n_jobs=2):
            together = clone(search).fit(*CANCER)
        assert_array_equal(alone.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
        assert_array_equal(alone.best_estimator_.restart_scores_, together.best_estimator_.restart_scores_)

    def test_are_none_while_training_goes_on(self) -> None:
        X, y = CANCER
        fit = basic(NNClassifier, **self.SETTINGS, n_restarts=3, warm_start=True).fit(X, y)
        scores, loss = fit.restart_scores_, fit.loss_curve_[-1]
        assert fit.fit(X, y).loss_curve_[0] < loss * 1.5
        assert fit.restart_scores_ is scores
        first = basic(NNClassifier, **self.SETTINGS, n_restarts=3).partial_fit(X, y)
        assert_same_training(first, basic(NNClassifier, **self.SETTINGS).partial_fit(X, y))
        assert first.restart_scores_.shape == (1,)

    def test_that_diverge_are_not_kept(self) -> None:
        def result(best_epoch: int, **record: float) -> Result:
            nothing = Tensor()
            return Result(nothing, nothing, [{"train_loss": 1.0, **record}], best_epoch)

        results = [
            result(-1),
            result(0),
            result(0, train_loss=0.5),
            result(0, valid_score=np.nan),
            result(-1),
            result(-1),
        ]
        kept, scores = best_restarts(results, 3)
        assert kept == [2, 3]
        assert_array_equal(scores, [[-np.inf, -1.0, -0.5], [-np.inf] * 3])

    def test_say_who_they_are(self, capsys: pytest.CaptureFixture[str]) -> None:
        basic(NNClassifier, **{**self.SETTINGS, "max_epochs": 1}, n_members=2, n_restarts=2, verbose=1).fit(*CANCER)
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition("epoch")[0] for line in lines] == [
            f"member {k}/2  restart {r}/2  " for k in (1, 2) for r in (1, 2)
        ]

    def test_of_a_given_module_start_from_its_weights(self) -> None:
        module = Small(30, 2)
        settings = {**self.SETTINGS, "learning_rate": 1e-12, "max_epochs": 1, "network": module}
        fit = basic(NNClassifier, **settings, n_restarts=3).fit(*CANCER)
        trained = weights(fit)["layers.0.weight"]
        assert np.abs(trained - module.layers[0].weight.detach().numpy()).max() < 1e-6
