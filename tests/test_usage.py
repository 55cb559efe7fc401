"""What a user ran into once: each of these was a defect."""

import subprocess
import sys
import warnings
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import cross_val_score
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping, EpochScoring, Freezer
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor
from sknnopt.regularization import L2, Regularizer

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_epochs": 4, "random_state": 0}
WILD = {"optimizer": "sgd", "learning_rate": 1e38, "gradient_clipping": None, "schedule": "constant"}


def with_dropout(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_inputs, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, n_outputs))


class TestAFitThatFails:
    def test_leaves_the_fit_before_as_it_was(self) -> None:
        X, y = DIABETES
        network = basic(NNRegressor, **QUICK).fit(X, y)
        before = network.predict(X)
        network.set_params(**WILD)
        with pytest.raises(ValueError, match="Training diverged"):
            network.fit(X[:, :2] * 100 + 5, y * 1000)
        assert_array_equal(network.predict(X), before)
        with pytest.raises(ValueError, match="NaN"):
            network.fit(X[:, :3], np.full(len(X), np.nan))
        assert_array_equal(network.predict(X), before)

    def test_leaves_an_unfitted_one_unfitted(self) -> None:
        network = basic(NNClassifier, **{**QUICK, **WILD})
        with pytest.raises(ValueError, match="Training diverged"):
            network.fit(*IRIS)
        assert not hasattr(network, "classes_")
        with pytest.raises(NotFittedError):
            check_is_fitted(network)
        with pytest.raises(NotFittedError):
            network.predict(IRIS[0])

    def test_interrupted_leaves_the_fit_before(self) -> None:
        def interrupt(estimator: Any, X: Any, y: Any) -> float:
            raise KeyboardInterrupt

        X, y = IRIS
        network = basic(NNClassifier, **QUICK).fit(X, y)
        before = network.predict_proba(X)
        network.set_params(scoring=interrupt, early_stopping=True)
        with pytest.raises(KeyboardInterrupt):
            network.fit(X, np.array(["x", "y", "z"])[y])
        assert_array_equal(network.predict_proba(X), before)
        assert_array_equal(network.classes_, [0, 1, 2])


class TestThreads:
    def test_a_users_module_learns_the_same_in_threads(self) -> None:
        network = basic(NNClassifier, network=with_dropout, max_epochs=10, learning_rate=0.01, random_state=0)
        alone = cross_val_score(network, *IRIS, cv=4)
        before = torch.get_rng_state()
        with joblib.parallel_config(backend="threading"):
            beside = cross_val_score(network, *IRIS, cv=4, n_jobs=2)
        assert_array_equal(alone, beside)
        assert_array_equal(torch.get_rng_state(), before)

    def test_fits_under_inference_mode(self) -> None:
        with torch.inference_mode():
            network = basic(NNClassifier, network=with_dropout, **{**QUICK, "hidden_layer_sizes": ()})
            network.fit(*IRIS)
        assert network.n_iter_ == 4


class TestScoring:
    def test_validation_scores_after_partial_fit(self) -> None:
        network = basic(NNClassifier, early_stopping=True, **QUICK).fit(*IRIS)
        network.partial_fit(*IRIS)
        assert network.validation_scores_ is not None
        assert len(network.validation_scores_) == network.n_iter_ - 1

    def test_class_weights_count_the_same_withheld_or_given(self) -> None:
        X, y = IRIS
        weights = {0: 1, 1: 1, 2: 50}
        plain = basic(NNClassifier, **QUICK).fit(X, y, X_val=X[1::2], y_val=y[1::2])
        heavy = basic(NNClassifier, class_weight=weights, calibration=None, **QUICK).fit(
            X, y, X_val=X[1::2], y_val=y[1::2]
        )
        given = np.array([1, 1, 50])[y[1::2]]
        log_p = heavy.predict_log_proba(X[1::2])[np.arange(75), y[1::2]]
        best = heavy.history_[heavy.best_epoch_ - 1]["valid_loss"]
        assert best == pytest.approx(-np.average(log_p, weights=given), rel=1e-4)
        assert plain.history_[0]["valid_loss"] != pytest.approx(heavy.history_[0]["valid_loss"], rel=1e-3)

    def test_scorers_see_the_weights_of_the_withheld_rows(self) -> None:
        X, y = IRIS
        weight = np.where(y == 2, 1000.0, 1.0)
        fit = {"X_val": X[1::2], "y_val": y[1::2], "sample_weight_val": weight[1::2]}
        network = basic(NNClassifier, scoring="accuracy", **QUICK).fit(X, y, **fit)
        expected = accuracy_score(y[1::2], network.predict(X[1::2]), sample_weight=weight[1::2])
        assert network.validation_scores_ is not None
        assert max(network.validation_scores_) == pytest.approx(expected)

    def test_nan_is_said(self) -> None:
        network = basic(NNClassifier, early_stopping=True, scoring=lambda *_: float("nan"), **QUICK)
        with pytest.warns(UserWarning, match="gave NaN on the withheld rows"):
            network.fit(*IRIS)

    def test_a_metric_is_no_scorer(self) -> None:
        with pytest.raises(ValueError, match="make_scorer"):
            basic(NNClassifier, scoring=accuracy_score, early_stopping=True, **QUICK).fit(*IRIS)
        basic(NNClassifier, scoring=make_scorer(accuracy_score), early_stopping=True, **QUICK).fit(*IRIS)


class TestCallbacks:
    def test_observing_changes_nothing(self) -> None:
        settings = {"network": with_dropout, "max_epochs": 5, "random_state": 0}
        before = torch.get_rng_state()
        watched = basic(NNClassifier, callbacks=[EpochScoring("accuracy", on_train=True)], **settings).fit(*IRIS)
        assert_array_equal(torch.get_rng_state(), before)
        assert_array_equal(
            watched.predict_proba(IRIS[0]), basic(NNClassifier, **settings).fit(*IRIS).predict_proba(IRIS[0])
        )

    def test_freezer_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"Freezer has no effect here.*require no gradient"):
            basic(NNClassifier, callbacks=[Freezer("*")], **QUICK).fit(*IRIS)

    def test_early_stopping_is_quiet(self, capsys: pytest.CaptureFixture[str]) -> None:
        stop = EarlyStopping(monitor="train_loss", patience=1, threshold=10.0)
        network = basic(NNClassifier, callbacks=[stop], **QUICK).fit(*IRIS)
        assert network.n_iter_ < 4
        assert capsys.readouterr().out == ""


class TestMessages:
    def test_images_need_preprocessing_none(self) -> None:
        with pytest.raises(ValueError, match="preprocessing=None and a network"):
            basic(NNClassifier, **QUICK).fit(np.zeros((6, 1, 2, 2)), [0, 1] * 3)

    def test_one_row_cannot_be_split(self) -> None:
        with pytest.raises(ValueError, match="use early_stopping=False"):
            basic(NNRegressor, early_stopping=True, **QUICK).fit([[1.0]], [2.0])

    def test_categorical_features_need_preprocessing(self) -> None:
        with pytest.raises(ValueError, match="'categorical_features' parameter needs preprocessing='auto'"):
            basic(NNClassifier, categorical_features=[0], preprocessing=None, **QUICK).fit(*IRIS)


class Ridge(Regularizer):
    """A user's penalty whose strength has a name that the engine might use itself."""

    def __init__(self, clip: float = 1e-3) -> None:
        self.clip = clip

    def strengths(self) -> dict[str, float]:
        return {"clip": self.clip}

    def gradient(self, parameters: torch.Tensor, hyper: Any, out: torch.Tensor) -> None:
        out.addcmul_(parameters, hyper["clip"])


@pytest.mark.parametrize("clipping", [None, 0.1])
def test_strengths_may_have_any_name(clipping: float | None) -> None:
    settings = {**QUICK, "gradient_clipping": clipping}
    own = basic(NNClassifier, regularization=Ridge(), **settings).fit(*IRIS)
    ours = basic(NNClassifier, regularization=L2(1e-3), **settings).fit(*IRIS)
    np.testing.assert_allclose(own.predict_proba(IRIS[0]), ours.predict_proba(IRIS[0]), atol=1e-6)


def test_no_warning_on_plain_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        basic(NNClassifier, **QUICK).fit(*IRIS).predict(IRIS[0])


IMPORTED = """
import importlib, pkgutil, sys
import skorch.callbacks, sklearn.base, torch
before = set(sys.modules)
import sknnopt
new = {name.partition(".")[0] for name in set(sys.modules) - before}
optional = {
    "matplotlib", "pandas", "polars", "rich", "onnx", "onnxruntime", "skops", "tensorboard", "mlflow", "wandb",
    "distributed", "IPython",
}
assert not new & optional, new & optional
late = {"sklearn.tree", "sknnopt.export", "onnx"} & set(sys.modules)  # trees: a sixth of what importing would then take
assert not late, late

had = "pandas" in sys.modules
encoder = sknnopt.data.TableEncoder()
encoder.fit_transform([[1, "a"], [2, "b"]])
encoder.transform([[None, None]])
assert "polars" not in sys.modules and had == ("pandas" in sys.modules)

for module in pkgutil.walk_packages(sknnopt.__path__, "sknnopt."):
    importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("sknnopt.")]))
"""


def test_an_import_loads_nothing_that_is_optional_and_none_warns() -> None:
    """Nor does encoding a list; and no module of ours, or of what it imports, warns when it is imported."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", IMPORTED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
    assert done.stderr == ""
