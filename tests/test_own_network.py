"""A user's module in the place of the built-in network, with every technique of the engine."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import GridSearchCV, train_test_split
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor, initializers, optimizers, regularization, schedules
from sknnopt.nn import Module

IRIS = load_iris(return_X_y=True)
QUICK = {"max_epochs": 3, "batch_size": 32, "random_state": 0}


class TwoLayers(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int, width: int = 16) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_inputs, width)
        self.out = nn.Linear(width, n_outputs)

    def forward(self, rows: Tensor) -> Tensor:
        return self.out(self.hidden(rows).tanh())


def two_layers(rows: int, scores: int) -> nn.Module:
    return TwoLayers(rows, scores)


def one_too_many(rows: int, scores: int) -> nn.Module:
    return nn.Linear(rows, scores + 1)


def two_tensors(rows: int, scores: int) -> nn.Module:
    return nn.LSTM(rows, scores)


class ConvNet(nn.Module):
    """Rows of 64 pixels, or images (1, 8, 8)."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Flatten(),
            nn.Linear(16 * 16, n_outputs),
        )

    def forward(self, rows: Tensor) -> Tensor:
        return self.body(rows.reshape(-1, 1, 8, 8))


def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, stratify=y, random_state=0)


class TestConvolution:
    def test_learns_digits(self):
        X, X_test, y, y_test = digits()
        settings = {"batch_size": 64, "max_epochs": 8, "learning_rate": 0.003, "random_state": 0}
        clf = basic(NNClassifier, network=ConvNet, preprocessing=None, **settings).fit(X, y)
        assert clf.score(X_test, y_test) > 0.95
        assert {str(value.dtype) for value in clf.module_.parameters()} == {"torch.float32"}
        images = clone(clf).fit(X.reshape(-1, 1, 8, 8), y)
        assert_array_equal(images.predict_proba(X_test.reshape(-1, 1, 8, 8)), clf.predict_proba(X_test))

    def test_stops_early_and_restores_the_best(self):
        X, X_test, y, y_test = digits()
        settings = {"batch_size": 64, "learning_rate": 0.02, "schedule": "constant", "n_iter_no_change": 2}
        settings["early_stopping"] = True
        clf = basic(NNClassifier, network=ConvNet, preprocessing=None, **settings, scoring="accuracy", random_state=0)
        clf.fit(X, y, X_val=X_test, y_val=y_test)
        assert clf.n_iter_ < 100
        assert clf.score(X_test, y_test) == max(clf.validation_scores_)


def weights_after(network: str | type[nn.Module] = TwoLayers, **settings):
    X, y = IRIS
    clf = basic(NNClassifier, **QUICK, network=network, **settings).fit(X, y)
    return torch.cat([value.detach().flatten() for value in clf.module_.parameters()])


class TestTechniques:
    """Each acts on the module's weights: training with it differs from training without."""

    @pytest.mark.parametrize("name", sorted(set(optimizers.names()) - {"adamw"}))
    def test_optimizers(self, name):
        got = weights_after(optimizer=name, learning_rate=0.01, weight_decay=0)
        assert got.isfinite().all()
        assert not torch.equal(got, weights_after(optimizer="adamw", learning_rate=0.0099, weight_decay=0))

    @pytest.mark.parametrize("name", sorted(set(schedules.names()) - {"constant", "plateau", "multistep"}))
    def test_schedules(self, name):
        assert not torch.equal(weights_after(schedule=name), weights_after(schedule="constant"))

    @pytest.mark.parametrize("name", regularization.names())
    def test_penalties(self, name):
        strong = {"l1": regularization.L1(0.1), "l2": regularization.L2(0.1)}
        penalty = strong.get(name, regularization.ElasticNet(0.1))
        assert weights_after(regularization=penalty).norm() < weights_after().norm()

    @pytest.mark.parametrize("name", [name for name in initializers.names() if name != "ntk"])
    def test_initializers(self, name):
        assert not torch.equal(weights_after(initializer=name), weights_after())

    @pytest.mark.parametrize(
        "settings",
        [
            {"gradient_clipping": 1e-3},
            {"weight_decay": 0.5},
            {"label_smoothing": 0.2},
            {"warmup": 0.5},
            {"class_weight": {0: 9}},
        ],
        ids=lambda one: next(iter(one)),
    )  # fmt: skip
    def test_others(self, settings):
        optimizer = {"optimizer": "sgd", "learning_rate": 0.1}
        assert not torch.equal(weights_after(**settings, **optimizer), weights_after(**optimizer))

    def test_initializer_auto_keeps_the_modules_own_weights(self):
        X, y = IRIS
        module = TwoLayers(4, 3)
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 1}, network=module, learning_rate=1e-12).fit(X, y)
        for name, value in clf.module_.state_dict().items():
            np.testing.assert_allclose(value, module.state_dict()[name], atol=1e-6)


class TestForms:
    def test_class_factory_and_instance(self):
        X, y = IRIS
        for network in (
            TwoLayers,
            two_layers,
            lambda n_outputs: TwoLayers(4, n_outputs),
            TwoLayers(4, 3),
        ):
            assert basic(NNClassifier, **QUICK, network=network).fit(X, y).predict_proba(X).shape == (150, 3)

    def test_an_instance_is_copied(self):
        X, y = IRIS
        module = TwoLayers(4, 3)
        before = module.hidden.weight.detach().clone()
        clf = basic(NNClassifier, **QUICK, network=module).fit(X, y)
        assert_array_equal(module.hidden.weight.detach(), before)
        assert module.training
        first = clf.predict_proba(X)
        assert_array_equal(clf.fit(X, y).predict_proba(X), first)

    def test_a_modules_parameters_are_swept(self):
        X, y = IRIS
        for network in (TwoLayers, Module(TwoLayers, width=3)):
            search = GridSearchCV(basic(NNClassifier, **QUICK, network=network), {"network__width": [2, 8]}, cv=2).fit(
                X, y
            )
            assert search.best_estimator_.module_.hidden.out_features == search.best_params_["network__width"]

    def test_one_output_may_have_no_axis(self):
        class Flat(nn.Module):
            def __init__(self, n_inputs):
                super().__init__()
                self.linear = nn.Linear(n_inputs, 1)

            def forward(self, rows):
                return self.linear(rows)[:, 0]

        X, y = load_diabetes(return_X_y=True)
        assert basic(NNRegressor, **QUICK, network=Flat).fit(X, y).predict(X).shape == (442,)

    def test_layers_without_bias(self):
        X, y = IRIS
        clf = basic(NNClassifier, network=lambda n, m: nn.Sequential(nn.Linear(n, m, bias=False)), **QUICK).fit(X, y)
        scores = clf.preprocessor_.transform(X) @ clf.module_[0].weight.detach().numpy().T
        np.testing.assert_allclose(clf.predict_log_proba(X), scores - np.log(np.exp(scores).sum(1))[:, None], atol=1e-5)

    def test_frozen_and_unused_parameters(self):
        class Partly(TwoLayers):
            def __init__(self, n_inputs, n_outputs):
                super().__init__(n_inputs, n_outputs)
                self.hidden.requires_grad_(False)
                self.unused = nn.Linear(3, 3)

        X, y = IRIS
        module = Partly(4, 3)
        clf = basic(NNClassifier, **QUICK, network=module).fit(X, y)
        assert_array_equal(clf.module_.hidden.weight, module.hidden.weight)
        assert not torch.equal(clf.module_.out.weight, module.out.weight)

    def test_members_differ(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, network=TwoLayers, n_members=2).fit(X, y)
        one, other = (member.hidden.weight for member in clf.module_.members)
        assert not torch.equal(one, other)

    @pytest.mark.parametrize(
        ("network", "error", "message"),
        [
            (one_too_many, ValueError, r"one score a row and output, shape \(\d+, 3\), got \(\d+, 4\)"),
            (lambda a, b: "mlp", TypeError, "must return a torch.nn.Module, got str"),
            (two_tensors, ValueError, "one score a row and output, .* got tuple"),
        ],
        ids=["width", "no module", "no tensor"],
    )  # fmt: skip
    def test_mistakes(self, network, error, message):
        with pytest.raises(error, match=message):
            basic(NNClassifier, **QUICK, network=network).fit(*IRIS)

    def test_a_last_batch_of_one_row_joins_the_one_before(self):
        """Batch normalisation takes no batch of one row."""
        X, y = IRIS
        network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
        basic(NNClassifier, **{**QUICK, "batch_size": 149}, network=network).fit(X, y).predict(X[:1])


def test_batches_of_one_row_that_a_module_normalises_over() -> None:
    """Found among random settings: torch's own message knows of no ``batch_size``."""

    def normalised(rows: int, scores: int) -> nn.Module:
        return nn.Sequential(nn.Linear(rows, 4), nn.BatchNorm1d(4), nn.Linear(4, scores))

    network = basic(NNClassifier, **{**QUICK, "batch_size": 1}, network=normalised)
    with pytest.raises(ValueError, match=r"Sequential normalises over the rows.*set batch_size to at least 2"):
        network.fit(*IRIS)
