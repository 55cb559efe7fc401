"""Estimators as scikit-learn's tools handle them: clone, set, search, pickle."""

import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import PrintLog
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor
from sknnopt.activations import Tanh
from sknnopt.averaging import SWA
from sknnopt.checkpoints import Checkpoint
from sknnopt.embeddings import Periodic
from sknnopt.initializers import KaimingNormal
from sknnopt.losses import Huber, SquaredError
from sknnopt.nn import Module
from sknnopt.optimizers import SGD, Adam
from sknnopt.regularization import L1, L2
from sknnopt.schedules import Polynomial

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "batch_size": 32, "random_state": 0}


class Small(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, width), nn.Tanh(), nn.Linear(width, n_outputs))

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows)


def minus_loss(estimator, X, y):
    return -float(np.mean((estimator.predict(X) - y) ** 2))


GRIDS = {
    "network": ["mlp", "resnet", "tabm", Small, Module(Small, width=6)],
    "hidden_layer_sizes": [(4,), 5, (4, 3), ()],
    "n_heads": [2, 32],
    "activation": ["tanh", Tanh(), "prelu", "swiglu"],
    "normalization": [None, "batch", "layer"],
    "numeric_embedding": [None, "piecewise_linear", Periodic(n_frequencies=3)],
    "categorical_embedding": [None, 3, "auto"],
    "input_scale": [False, True],
    "dropout": [0.0, 0.5],
    "initializer": ["auto", "orthogonal", KaimingNormal()],
    "optimizer": ["sgd", "adam", SGD(momentum=0.5)],
    "learning_rate": [None, 0.1, "auto"],
    "weight_decay": [None, 0.1],
    "schedule": ["constant", "cosine", Polynomial()],
    "warmup": [0.0, 0.5],
    "batch_size": ["auto", 10],
    "max_epochs": [1, 3],
    "gradient_clipping": [None, 0.1],
    "weight_averaging": [None, "ema", SWA(0.5)],
    "initial_weights": [None, {"dense_0.bias": np.ones(8)}],
    "frozen_layers": [None, 1, "dense_0", ["dense_0.*", "output.bias"]],
    "layer_rates": [None, 0.5, {"dense_*": 0.1}],
    "loss": ["auto"],
    "regularization": [None, "l2", L1(0.1) + L2(0.1)],
    "mixup": [0.0, 0.4],
    "label_smoothing": [0.0, 0.1],
    "early_stopping": [True, False, "auto"],
    "scoring": ["loss", minus_loss],
    "validation_fraction": [0.1, 0.3],
    "n_iter_no_change": [1, 5],
    "tol": [0.0, 0.1],
    "on_divergence": ["warn", "raise"],
    "calibration": [None],
    "n_members": [1, 2],
    "recipes": [None, [{"optimizer": "sgd", "optimizer__momentum": 0.5}]],
    "n_restarts": [1, 2],
    "preprocessing": ["auto", "robust", "quantile_normal", "standard", None],
    "categorical_features": ["from_dtype", None, [0]],
    "class_weight": [None, "balanced", {0: 2.0}],
    "device": ["auto", "cpu", ["cpu", "cpu"]],
    "precision": ["float32", "float64", "bf16"],
    "random_state": [0, 1],
    "warm_start": [False, True],
    "callbacks": [None, [PrintLog(sink=print)]],
    "checkpoint": [None, Checkpoint(Path(__file__).parent, interval=1e6)],
    "verbose": [0, 1],
}
OWN = {
    (NNRegressor, "loss"): [Huber(), SquaredError()],
    (NNClassifier, "calibration"): ["temperature"],
    (NNRegressor, "calibration"): ["conformal"],
}
"""What one of the two takes and the other does not."""


def parameters(make):
    return [pytest.param(make, name, id=f"{make.__name__}-{name}") for name in make().get_params(deep=False)]


class TestSearch:
    @pytest.mark.parametrize(("make", "name"), parameters(NNClassifier) + parameters(NNRegressor))
    def test_every_parameter_is_swept(self, make, name):
        X, y = IRIS
        assert name in GRIDS, f"there is no grid over {name!r}: write one"
        grid = [*GRIDS[name], *OWN.get((make, name), [])]
        search = GridSearchCV(basic(make, **QUICK), {name: grid}, cv=2, error_score="raise").fit(X, y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert len(search.cv_results_["params"]) == len(grid)
        swept = search.best_estimator_.get_params(deep=False)[name]
        assert repr(swept) == repr(search.best_params_[name])

    @pytest.mark.parametrize(
        ("settings", "grid"),
        [
            ({"optimizer": "sgd"}, {"optimizer__momentum": [0.0, 0.9]}),
            ({"optimizer": "adamw"}, {"optimizer__beta_1": [0.5, 0.9]}),
            ({"optimizer": SGD(momentum=0.3)}, {"optimizer__momentum": [0.0, 0.9]}),
            ({"schedule": "polynomial"}, {"schedule__power": [1.0, 3.0]}),
            ({"regularization": "l1"}, {"regularization__strength": [0.0, 10.0]}),
            ({"initializer": "auto"}, {"initializer__fan_mode": ["fan_in", "fan_out"]}),
            ({"initializer": "he_normal"}, {"initializer__fan_mode": ["fan_in", "fan_out"]}),
            ({"activation": "leaky_relu"}, {"activation__negative_slope": [0.0, 0.5]}),
            ({"activation": "prelu"}, {"activation__initial": [0.0, 0.5]}),
            ({"activation": "glu"}, {"activation__gate": ["sigmoid", "relu"]}),
            ({"activation": "parametric_mish"}, {"activation__base": ["mish", "selu"]}),
            ({"numeric_embedding": "periodic"}, {"numeric_embedding__frequency_scale": [0.01, 1.0]}),
            ({"numeric_embedding": "piecewise_linear"}, {"numeric_embedding__bins": ["quantile", "target"]}),
            ({"loss": "huber"}, {"loss__delta": [0.01, 1.0]}),
            ({"network": Small}, {"network__width": [2, 9]}),
        ],
        ids=lambda value: next(iter(value)),
    )
    def test_a_techniques_own_parameters_are_swept(self, settings, grid):
        X, y = DIABETES
        network = basic(NNRegressor, **{**QUICK, "learning_rate": 0.01}, **settings)
        search = GridSearchCV(network, grid, cv=2, error_score="raise").fit(X, y)
        scores = search.cv_results_["mean_test_score"]
        assert scores[0] != scores[1]
        (name, value), = search.best_params_.items()  # fmt: skip
        assert search.best_estimator_.get_params()[name] == value
        assert repr(network) == repr(basic(NNRegressor, **{**QUICK, "learning_rate": 0.01}, **settings))

    def test_scores_of_a_name_are_those_of_its_object(self):
        X, y = DIABETES
        scores = [
            GridSearchCV(basic(NNRegressor, **QUICK, optimizer=optimizer), {"optimizer__momentum": [0.9, 0.0]}, cv=2)
            .fit(X, y)
            .cv_results_["mean_test_score"]
            for optimizer in ("sgd", SGD())
        ]
        assert_array_equal(*scores)

    def test_a_name_and_its_parameter_in_one_grid(self):
        X, y = DIABETES
        grid = [
            {"optimizer": ["sgd"], "optimizer__momentum": [0.1]},
            {"optimizer": ["adam"], "optimizer__beta_1": [0.7]},
        ]
        search = GridSearchCV(basic(NNRegressor, **QUICK), grid, cv=2, error_score="raise").fit(X, y)
        assert len(set(search.cv_results_["mean_test_score"])) == 2

    def test_in_pipelines_and_around_targets(self):
        X, y = DIABETES
        inner = make_pipeline(StandardScaler(), basic(NNRegressor, **QUICK, preprocessing=None))
        outer = TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
        grid = {"regressor__nnregressor__optimizer__beta_2": [0.9, 0.99]}
        search = GridSearchCV(outer, grid, cv=2, error_score="raise").fit(X, y)
        assert len(set(search.cv_results_["mean_test_score"])) == 2

    def test_cross_val_predict(self):
        X, y = IRIS
        for method, shape in (
            ("predict", (150,)),
            ("predict_proba", (150, 3)),
            ("decision_function", (150, 3)),
        ):
            assert cross_val_predict(basic(NNClassifier, **QUICK), X, y, cv=2, method=method).shape == shape


class TestParameters:
    @pytest.mark.parametrize(("make", "name"), parameters(NNClassifier) + parameters(NNRegressor))
    def test_survive_get_set_and_clone(self, make, name):
        for value in GRIDS[name]:
            network = basic(make).set_params(**{name: value})
            assert network.get_params(deep=False)[name] is value
            assert make(**{name: value}).get_params(deep=False)[name] is value
            again = clone(network)
            assert repr(again.get_params(deep=False)[name]) == repr(value) or callable(value) or name == "callbacks"
            assert again.get_params(deep=False).keys() == network.get_params(deep=False).keys()

    def test_nested_ones_are_listed_and_cloned(self):
        network = basic(NNClassifier, optimizer=Adam(beta_1=0.8), regularization=L1(0.5) + L2(0.25))
        params = clone(network).get_params()
        assert params["optimizer__beta_1"] == 0.8
        assert clone(network).optimizer is not network.optimizer

    def test_setting_one_leaves_the_given_object_of_a_clone(self):
        optimizer = SGD(momentum=0.1)
        network = basic(NNClassifier, optimizer=optimizer)
        clone(network).set_params(optimizer__momentum=0.9)
        assert optimizer.momentum == 0.1

    def test_a_name_becomes_its_object_only_when_needed(self):
        network = basic(NNClassifier, optimizer="momentum")
        assert network.set_params(max_epochs=3).optimizer == "momentum"
        assert repr(network.set_params(optimizer__nesterov=True).optimizer) == "SGD(momentum=0.9, nesterov=True)"

    def test_a_new_name_and_its_parameter_at_once(self):
        network = basic(NNClassifier, optimizer=Adam()).set_params(optimizer__momentum=0.5, optimizer="sgd")
        assert repr(network.optimizer) == "SGD(momentum=0.5)"

    def test_fit_changes_none(self):
        X, y = IRIS
        for settings in ({}, {"optimizer": SGD(), "regularization": "l1", "callbacks": [PrintLog(sink=str)]}):
            network = basic(NNClassifier, **QUICK, **settings)
            before = {name: (value, repr(value)) for name, value in network.get_params().items()}
            network.fit(X, y)
            for name, value in network.get_params().items():
                assert value is before[name][0]
                assert repr(value) == before[name][1]

    def test_repr_shows_what_is_set(self):
        assert repr(NNClassifier(optimizer=SGD(momentum=0.9))) == "NNClassifier(optimizer=SGD(momentum=0.9))"


class TestPickling:
    SETTINGS = {
        "plain": {},
        "members": {"n_members": 2},
        "early stopping": {"early_stopping": True, "scoring": "accuracy"},
        "module": {"network": Small},
        "warm": {"warm_start": True},
        "callbacks": {"callbacks": [PrintLog(sink=str)]},
        "techniques": {"optimizer": SGD(momentum=0.5), "schedule": "plateau", "regularization": "l2"},
        "batch normalization": {"normalization": "batch"},
    }

    @pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
    def test_round_trip(self, settings, tmp_path):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, **settings).fit(X, y)
        clf.net_  # noqa: B018
        joblib.dump(clf, tmp_path / "network")
        for again in (pickle.loads(pickle.dumps(clf)), joblib.load(tmp_path / "network")):
            assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
            assert again.history_ == clf.history_
            rows = again.preprocessor_.transform(X)
            assert_array_equal(again.net_.predict_proba(rows), clf.net_.predict_proba(rows))
        again.partial_fit(X, y)
        clf.partial_fit(X, y)
        assert_array_equal(again.predict_proba(X), clf.predict_proba(X))

    def test_size_is_that_of_the_weights(self):
        X, y = IRIS
        sizes = []
        for members in (1, 4):
            clf = basic(NNClassifier, **{**QUICK, "hidden_layer_sizes": (256, 256)}, n_members=members).fit(X, y)
            sizes.append(len(pickle.dumps(clf)) / (4 * clf.n_parameters_))
        assert max(sizes) < 1.1

    def test_holds_no_training_rows(self):
        X, y = np.tile(IRIS[0], (100, 1)), np.tile(IRIS[1], 100)
        for settings in ({"early_stopping": True, "scoring": "accuracy"}, {"warm_start": True}):
            clf = basic(NNClassifier, **QUICK, **settings).fit(X, y)
            assert len(pickle.dumps(clf)) < 30_000
