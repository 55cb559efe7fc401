"""A diverging network says so, with what to change; what can be kept is kept."""

import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import GridSearchCV
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep, optimizers

X, y = load_iris(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
DIVERGES = {
    "optimizer": "sgd",
    "gradient_clipping": None,
    "schedule": "constant",
    "dropout": 0.0,
    "batch_size": 32,
}


@pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_at_once_is_an_error_with_advice(make, method):
    network = basic(make, **{**QUICK, **DIVERGES, "learning_rate": 1e38})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"Training diverged.*Lower learning_rate, set gradient_clipping"):
            getattr(network, method)(X, y)
    assert not hasattr(network, "module_")
    network.set_params(learning_rate=0.01).fit(X, y).predict(X)


def test_later_is_a_warning_and_the_best_epoch_is_kept():
    linear = {"hidden_layer_sizes": (), "preprocessing": None, "batch_size": 10**6, "max_epochs": 100}
    reg = basic(NNRegressor, **{**QUICK, **DIVERGES, **linear, "learning_rate": 0.05})
    with pytest.warns(ConvergenceWarning, match=r"Training diverged: .*Lower learning_rate") as caught:
        reg.fit(X, y)
    kept = f"not finite in epoch {reg.n_iter_}, and the weights of epoch {reg.best_epoch_} were kept"
    assert kept in str(caught[0].message)
    assert caught[0].filename == __file__
    assert 1 <= reg.best_epoch_ < reg.n_iter_ < 100
    assert reg.best_loss_ == np.nanmin(reg.loss_curve_)
    assert np.isfinite(reg.predict(X)).all()
    assert reg.set_params(learning_rate=1e-4).fit(X, y).n_iter_ == 100


def test_takes_no_other_member_down():
    class SometimesWild(torch.nn.Linear):
        """The second to be built starts where every loss is infinite."""

        built = 0

        def __init__(self, n_inputs: int, n_outputs: int) -> None:
            super().__init__(n_inputs, n_outputs)
            SometimesWild.built += 1
            if SometimesWild.built == 2:
                torch.nn.init.constant_(self.weight, 1e38)

    settings = {**QUICK, "network": SometimesWild, "n_members": 3}
    with pytest.warns(ConvergenceWarning, match="the loss of a network was not finite in epoch 1, and it was left out"):
        reg = basic(NNRegressor, **settings).fit(X, y)
    assert len(reg.module_.members) == 2
    assert np.isfinite(reg.predict(X)).all()
    reg.partial_fit(X, y)
    assert len(reg.module_.members) == 2


class Jump:
    """A schedule by which the rate is a thousand times, or more, what it was from some progress on."""

    def __init__(self, at: float, factor: float = 1e18) -> None:
        self.at, self.factor = at, factor

    def __call__(self, progress):
        return np.where(progress < self.at, 1.0, self.factor)


FULL_BATCH = {**QUICK, **DIVERGES, "batch_size": 10**6, "hidden_layer_sizes": (8, 8)}


class TestRaising:
    SETTINGS = {**FULL_BATCH, "learning_rate": 0.01, "max_epochs": 4, "schedule": Jump(0.5), "on_divergence": "raise"}

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    @pytest.mark.parametrize("n_members", [1, 3])
    def test_leaves_the_estimator_as_it_was(self, make, n_members):
        network = basic(make, **self.SETTINGS, n_members=n_members)
        with pytest.raises(ValueError, match=r"Training diverged: .*Lower learning_rate.*on_divergence='warn'"):
            network.fit(X, y)
        assert not hasattr(network, "module_")
        network.set_params(schedule="constant", warm_start=True).fit(X, y)
        before = network._raw_scores(X)
        with pytest.raises(ValueError, match="Training diverged"):
            network.set_params(schedule=Jump(0.5)).fit(X, y)
        assert_array_equal(network._raw_scores(X), before)
        assert network.n_iter_ == 4
        assert network.set_params(schedule="constant").fit(X, y).n_iter_ == 4

    def test_by_partial_fit(self):
        settings = self.SETTINGS | {"schedule": Jump(0.75)}
        network = basic(NNRegressor, **settings).partial_fit(X, y).partial_fit(X, y).partial_fit(X, y)
        before = network.predict(X)
        for choice in ("raise", "warn"):
            with pytest.raises(ValueError, match="there are no finite weights to go back to"):
                network.set_params(on_divergence=choice).partial_fit(X, y)
            assert_array_equal(network.predict(X), before)
            assert network.n_iter_ == 3

    def test_of_one_member_raises_for_all(self):
        settings = {**FULL_BATCH, "n_members": 2, "max_epochs": 3, "recipes": [{"learning_rate": 1e30}]}
        with pytest.warns(ConvergenceWarning, match="of a network were not finite in epoch 1, and it was left out"):
            assert len(basic(NNRegressor, **settings).fit(X, y).module_.members) == 2
        with pytest.raises(ValueError, match="Training diverged: weights or predictions of a network"):
            basic(NNRegressor, **settings, on_divergence="raise").fit(X, y)

    def test_ends_one_candidate_of_a_sweep_alone(self):
        base = basic(NNRegressor, **{**FULL_BATCH, "max_epochs": 4, "learning_rate": 0.01})
        good = [{"learning_rate": [rate]} for rate in (0.01, 0.02)]
        wild = {"schedule": [Jump(0.5)], "on_divergence": ["raise"]}
        alone = GridSearchCV(base, good, cv=3).fit(X, y).cv_results_["mean_test_score"]
        with (
            lockstep(n_jobs=1) as sweep,
            pytest.warns(FitFailedWarning, match=r"3 fits failed(?s:.*)Training diverged"),
        ):
            search = GridSearchCV(base, [good[0], wild, good[1]], cv=3, error_score=-7.0).fit(X, y)
        assert_array_equal(search.cv_results_["mean_test_score"], [alone[0], -7.0, alone[1]])
        assert sweep.cohort_sizes == [9]
        with lockstep(), pytest.raises(ValueError, match="Training diverged"):
            GridSearchCV(base, [*good, wild], cv=3, error_score="raise").fit(X, y)

    def test_a_candidate_that_warns_is_scored_by_what_it_kept(self):
        base = basic(NNRegressor, **{**FULL_BATCH, "max_epochs": 4, "learning_rate": 0.01})
        with lockstep(), pytest.warns(ConvergenceWarning, match="the weights of epoch 2 were kept"):
            found = GridSearchCV(base, {"schedule": ["constant", Jump(0.5)]}, cv=3, refit=False).fit(X, y)
        twice = clone(base).set_params(schedule=lambda progress: np.where(progress < 0.5, 1.0, 0.0))
        same = GridSearchCV(twice, {"dropout": [0.0]}, cv=3, refit=False).fit(X, y)
        assert found.cv_results_["mean_test_score"][1] == same.cv_results_["mean_test_score"][0]


class TestFiniteLosses:
    """The loss is finite to the end, but what the weights after it predict, or what they are judged by, is not."""

    @pytest.mark.parametrize("name", optimizers.names())
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_after_the_last_step(self, make, name):
        """The loss of a full batch is that before its step."""
        settings = {**FULL_BATCH, "optimizer": name, "max_epochs": 1, "learning_rate": 1e18}
        if name == "lbfgs":  # it searches for its step
            assert np.isfinite(basic(make, **settings).fit(X, y)._raw_scores(X)).all()
            return
        with pytest.raises(ValueError, match="Training diverged: weights or predictions"):
            basic(make, **settings).fit(X, y)

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    @pytest.mark.parametrize("weight_averaging", [None, "ema", "swa"])
    @pytest.mark.parametrize(("at", "kept"), [(0.5, 2), (0.75, 3)])
    def test_an_epoch_before_is_kept(self, make, weight_averaging, at, kept):
        settings = {**FULL_BATCH, "learning_rate": 0.05, "max_epochs": 4, "weight_averaging": weight_averaging}
        with pytest.warns(ConvergenceWarning, match=f"not finite in epoch {kept + 1}, and the weights of epoch {kept}"):
            network = basic(make, **{**settings, "schedule": Jump(at)}).fit(X, y)
        assert network.best_epoch_ == kept
        assert np.isfinite(network._raw_scores(X)).all()

    def test_an_exponential_overflows(self):
        """Scores of some hundreds are numbers, but what they stand for is not."""
        settings = {**FULL_BATCH, "hidden_layer_sizes": (), "loss": "poisson", "max_epochs": 4, "precision": "float64"}
        settings |= {"learning_rate": 0.01, "schedule": Jump(0.75, 1e5)}
        with pytest.warns(ConvergenceWarning, match=r"weights or predictions .* epoch 4, and the weights of epoch 3"):
            reg = basic(NNRegressor, **settings).fit(X, y + 1)
        assert reg.history_[-1]["weight_norm"] < 1e3
        assert np.isfinite(reg.predict(X)).all()

    @pytest.mark.parametrize("weight_averaging", [None, "ema"])
    @pytest.mark.parametrize("network", ["mlp", "own"])
    def test_statistics_of_batch_normalization(self, network, weight_averaging):
        """Variances of 1e60 overflow; what is divided by their root is 0, and every loss finite."""

        def own(n_inputs, n_outputs):
            parts = torch.nn.Linear(n_inputs, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, n_outputs)
            return torch.nn.Sequential(*parts)

        settings = {"normalization": "batch", "weight_averaging": weight_averaging, "preprocessing": None}
        clf = basic(NNClassifier, **QUICK, **settings, network=own if network == "own" else "mlp")
        with pytest.raises(ValueError, match=r"not finite in epoch 1.* With preprocessing=None, scale the columns"):
            clf.fit(X * 1e30, y)
        clf.fit(X, y)

    def test_of_a_network_of_ones_own(self):
        class Steep(torch.nn.Linear):
            def forward(self, rows):
                return torch.exp(super().forward(rows))

        settings = {**FULL_BATCH, "network": Steep, "max_epochs": 4, "learning_rate": 1e-3, "schedule": Jump(0.75, 1e6)}
        with pytest.warns(ConvergenceWarning, match="weights or predictions of the network were not finite in epoch 4"):
            reg = basic(NNRegressor, **settings).fit(X, np.full(150, 2.0) + X[:, 0] / 100)
        assert reg.best_epoch_ == 3
        assert np.isfinite(reg.predict(X)).all()

    @pytest.mark.parametrize(("epochs", "worse", "kept"), [(1, 1.0, None), (4, 1.0, None), (4, 10.0, 3)])
    def test_of_a_network_that_breaks_at_the_end(self, epochs, worse, kept):
        """Neither losses nor norms tell; the epoch of the least loss is gone back to, unless that is the last."""

        class Brittle(torch.nn.Linear):
            def __init__(self, n_inputs, n_outputs):
                super().__init__(n_inputs, n_outputs)
                self.register_buffer("seen", torch.zeros(()))

            def forward(self, rows):
                if self.training:
                    self.seen += 1
                    return super().forward(rows)
                return super().forward(rows) / (self.seen < epochs)

        settings = {
            **FULL_BATCH,
            "network": Brittle,
            "max_epochs": epochs,
            "learning_rate": 0.1,
            "schedule": Jump(0.5, worse),
        }
        network = basic(NNRegressor, **settings)
        if kept is None:
            with pytest.raises(
                ValueError, match=f"not finite in epoch {epochs}, and there are no finite weights to go back to"
            ):
                network.fit(X, y)
            return
        with pytest.warns(
            ConvergenceWarning, match=f"not finite in epoch {epochs}, and the weights of epoch {kept} were kept"
        ):
            network.fit(X, y)
        assert (network.best_epoch_, network.n_iter_) == (kept, epochs)
        assert network.module_.seen == kept
        assert np.isfinite(network.predict(X)).all()

    def test_masks_may_be_infinite(self):
        class Masked(torch.nn.Linear):
            def __init__(self, n_inputs, n_outputs):
                super().__init__(n_inputs, n_outputs)
                self.register_buffer("mask", torch.tensor([0.0, float("-inf")]))

            def forward(self, rows):
                return super().forward(rows) * torch.softmax(self.mask, 0)[0]

        assert basic(NNRegressor, **QUICK, network=Masked).fit(X, y).n_iter_ == 2

    @pytest.mark.parametrize(("make", "scoring"), [(NNRegressor, "r2"), (NNClassifier, "neg_log_loss")])
    def test_a_scorer_is_not_asked(self, make, scoring):
        """What it would raise is that its input has NaN, which says nothing of training."""
        settings = {**QUICK, **DIVERGES, "learning_rate": 1e38, "early_stopping": True, "scoring": scoring}
        with pytest.raises(ValueError, match="Training diverged"):
            basic(make, **settings).fit(X, y)
        settings |= {"learning_rate": 1e-3, "schedule": Jump(0.5, 1e38)}
        with pytest.warns(ConvergenceWarning, match="Training diverged: the loss .* epoch 1 were kept"):
            assert basic(make, **settings).fit(X, y).best_epoch_ == 1
