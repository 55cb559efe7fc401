"""Errors teach: parameter, allowed values, value received, nearest spelling. Nothing is broken after."""

import importlib
import inspect

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from support import basic

from sknnopt import NNClassifier, NNRegressor, losses, optimizers
from sknnopt._compat import InvalidParameterError
from sknnopt.activations import GLU, Parametric
from sknnopt.averaging import EMA
from sknnopt.embeddings import PiecewiseLinear

IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}

WRONG = {
    "network": [3, "resnet7"],
    "hidden_layer_sizes": [0, -3, (8, 0), (8, 2.5), "8", None, 2.5],
    "n_heads": [0, 2.5, None],
    "activation": [3, None, "tahn2000"],
    "normalization": ["batches of everything", 1],
    "numeric_embedding": [3, "piecewise", PiecewiseLinear],
    "categorical_embedding": [0, 2.5, "large"],
    "input_scale": [2, "yes", None],
    "dropout": [1.0, -0.1, (0.1, 0.2), (1.5,), "0.1", None],
    "initializer": [3, None],
    "optimizer": [3, None, optimizers.Adam, "gradient free"],
    "learning_rate": [0, -1.0, "fast", "atuo"],
    "weight_decay": [-1.0, "some"],
    "schedule": [3, None],
    "warmup": [1.0, -0.5, None],
    "batch_size": [0, 2.5, None, "full"],
    "max_epochs": [0, 2.5, None],
    "gradient_clipping": [0, -1.0],
    "initial_weights": [3, "the last ones"],
    "frozen_layers": [-1, 1.5, 2, ["dense_0", 3], "layer", "*", ["dense_0", "output"]],
    "layer_rates": [0.0, -1.5, float("inf"), "slow", {"dense_0": -1.0}, {"dense_0": "slow"}, {3: 1.0}, {"*": 0.0}],
    "loss": [3, None],
    "regularization": [3, 0.1],
    "weight_averaging": [3, "emma", EMA],
    "mixup": [-0.1, "yes", None],
    "label_smoothing": [1.0, -0.1, None],
    "early_stopping": ["sometimes", 2, None],
    "scoring": [None, 3],
    "validation_fraction": [0.0, 1.0, 5],
    "n_iter_no_change": [0, 1.5],
    "tol": [-1.0, None],
    "on_divergence": ["ignore", None, True],
    "calibration": ["isotonic", True, 1.5],
    "n_members": [0, 1.5, None],
    "recipes": [3, "mlp", {"network": "tabm"}],
    "n_restarts": [0, 1.5, None],
    "preprocessing": ["scale", True],
    "categorical_features": ["all of them", 3],
    "class_weight": ["even", 3],
    "device": ["abacus", "cuda:99", "meta", 3, [], ["cpu", "abacus"]],
    "precision": ["double", None, 32],
    "random_state": ["today", -1.5],
    "warm_start": ["yes", None],
    "callbacks": ["history", 3],
    "checkpoint": [3, True, ["here"]],
    "verbose": [-1, "loud"],
}

MISTYPED = {
    "network": ("mpl", "mlp"),
    "activation": ("rellu", "relu"),
    "normalization": ("bach", "batch"),
    "numeric_embedding": ("periodical", "periodic"),
    "categorical_embedding": ("atuo", "auto"),
    "initializer": ("kaimin_uniform", "kaiming_uniform"),
    "optimizer": ("AdamW ", "adamw"),
    "learning_rate": ("atuo", "auto"),
    "schedule": ("cosin", "cosine"),
    "batch_size": ("atuo", "auto"),
    "frozen_layers": ("dens_0", "dense_0"),
    "loss": ("cros_entropy", "cross_entropy"),
    "label_smoothing": ("atuo", "auto"),
    "regularization": ("elastic_nett", "elastic_net"),
    "weight_averaging": ("emma", "ema"),
    "early_stopping": ("atuo", "auto"),
    "scoring": ("acuracy", "accuracy"),
    "on_divergence": ("rais", "raise"),
    "preprocessing": ("quantile_norml", "quantile_normal"),
    "calibration": ("temprature", "temperature"),
    "categorical_features": ("from_dtypes", "from_dtype"),
    "class_weight": ("balance", "balanced"),
    "device": ("cdua", "cuda"),
    "precision": ("flaot32", "float32"),
}
MISTYPED_OF_NUMBERS = {
    "loss": ("hubber", "huber"), "scoring": ("R2", "r2"), "calibration": ("conform", "conformal"),
}  # fmt: skip
TAKES_NO_NAME = {
    "hidden_layer_sizes", "n_heads", "dropout", "weight_decay", "warmup", "max_epochs",
    "gradient_clipping", "validation_fraction", "n_iter_no_change", "tol", "n_members", "n_restarts", "random_state",
    "recipes", "warm_start", "callbacks", "checkpoint", "verbose", "initial_weights", "layer_rates", "mixup",
    "input_scale",
}  # fmt: skip
PARAMETERS = {make: list(inspect.signature(make).parameters) for make in (NNClassifier, NNRegressor)}


def data(make):
    return IRIS if make is NNClassifier else DIABETES


def wrong_values():
    for make, names in PARAMETERS.items():
        for name in names:
            for value in WRONG.get(name, ["no wrong value of it is tested"]):
                yield pytest.param(make, name, value, id=f"{make.__name__}-{name}-{value!r}")


MODULES = {"regularization": "regularization"}


class TestParameters:
    @pytest.mark.parametrize(("make", "name", "value"), list(wrong_values()))
    def test_a_wrong_value(self, make, name, value):
        assert name in WRONG, f"there is no wrong value of {name!r}: write one"
        network = basic(make, **{**QUICK, name: value})
        with pytest.raises(ValueError, match=f"The '{name}' parameter.*must") as caught:
            network.fit(*data(make))
        assert isinstance(caught.value, InvalidParameterError)
        assert str(value) in str(caught.value) or repr(value) in str(caught.value)
        assert "Got" in str(caught.value)
        assert not hasattr(network, "module_")
        network.set_params(**{name: QUICK.get(name, make().get_params()[name])}).fit(*data(make))

    def test_a_residual_network_needs_a_width(self):
        with pytest.raises(InvalidParameterError, match=r"'hidden_layer_sizes' .* with network='resnet'.* Got \(\)"):
            basic(NNClassifier, **{**QUICK, "hidden_layer_sizes": ()}, network="resnet").fit(*IRIS)

    @pytest.mark.parametrize("activation", [GLU("siluu"), Parametric("siluu")], ids=repr)
    def test_the_parts_of_an_activation_are_checked(self, activation):
        with pytest.raises(InvalidParameterError, match=r"The '(gate|base)' parameter must .* Did you mean 'silu'\?"):
            basic(NNClassifier, **QUICK, activation=activation).fit(*IRIS)

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    @pytest.mark.parametrize("name", MISTYPED)
    def test_the_nearest_spelling_is_offered(self, make, name):
        if name not in PARAMETERS[make]:
            pytest.skip("for the classifier alone")
        wrong, right = MISTYPED[name]
        if make is NNRegressor:
            wrong, right = MISTYPED_OF_NUMBERS.get(name, (wrong, right))
        with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter") as caught:
            basic(make, **{**QUICK, name: wrong}).fit(*data(make))
        assert str(caught.value).endswith(f"Did you mean {right!r}?")
        assert repr(wrong) in str(caught.value)

    def test_every_parameter_that_takes_names_is_mistyped(self):
        assert set(PARAMETERS[NNClassifier]) | set(PARAMETERS[NNRegressor]) == set(MISTYPED) | TAKES_NO_NAME

    @pytest.mark.parametrize("name", ["activation", "initializer", "optimizer", "schedule", "regularization"])
    def test_all_names_are_listed(self, name):
        module = importlib.import_module(f"sknnopt.{MODULES.get(name, name + 's')}")
        for wrong in ("nothing like it", 3):
            with pytest.raises(InvalidParameterError) as caught:
                basic(NNClassifier, **{**QUICK, name: wrong}).fit(*IRIS)
            assert all(repr(known) in str(caught.value) for known in module.names())

    def test_a_class_in_the_place_of_its_object(self):
        with pytest.raises(InvalidParameterError, match=r"Did you mean Adam\(\)\?"):
            basic(NNClassifier, **QUICK, optimizer=optimizers.Adam).fit(*IRIS)

    def test_a_technique_with_a_wrong_parameter(self):
        with pytest.raises(InvalidParameterError, match=r"'momentum' parameter of SGD must be .* Got 2 instead"):
            basic(NNClassifier, **QUICK, optimizer=optimizers.SGD(momentum=2)).fit(*IRIS)

    @pytest.mark.parametrize(("make", "loss", "task"), [
        (NNClassifier, "squared_error", "regression"), (NNRegressor, "cross_entropy", "classification"),
        (NNClassifier, losses.Huber(), "regression"),
    ])  # fmt: skip
    def test_a_loss_of_another_task(self, make, loss, task):
        with pytest.raises(
            InvalidParameterError, match=f"'loss' parameter got .*is for {task}.*targets; for .*choose from"
        ):
            basic(make, **QUICK, loss=loss).fit(*data(make))

    def test_label_smoothing_of_a_loss_that_does_not(self):
        def own(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return output.logsumexp(1) - output.gather(1, target.unsqueeze(1)).squeeze(1)

        with pytest.raises(
            InvalidParameterError, match=r"(?s)'label_smoothing' parameter must be 0 or 'auto' with loss=.*Got 0\.1"
        ):
            basic(NNClassifier, **QUICK, loss=own, label_smoothing=0.1).fit(*IRIS)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"optimiser": "sgd"}, "Invalid parameter 'optimiser'"),
            ({"optimizer__momentun": 0.9}, r"Invalid parameter 'momentun' for estimator SGD\(\)"),
            ({"optimiser__momentum": 0.9}, "Invalid parameter 'optimiser'"),
            ({"network__width": 9}, "network='mlp' has no parameters of its own"),
            ({"numeric_embedding__n_bins": 9}, "numeric_embedding=None has no parameters of its own"),
            ({"regularization__strength": 9}, "regularization=None has no parameters of its own"),
            ({"max_epochs__more": 9}, "max_epochs=2 has no parameters of its own"),
        ],
    )
    def test_set_params(self, given, message):
        with pytest.raises(ValueError, match=message):
            basic(NNClassifier, **QUICK, optimizer="sgd").set_params(**given)

    def test_positional_arguments(self):
        with pytest.raises(TypeError, match="positional"):
            basic(NNClassifier, "mlp")


X, y = IRIS
WITH_NAN, WITH_INFINITY = X.copy(), X.copy()
WITH_NAN[3, 2], WITH_INFINITY[3, 2] = np.nan, np.inf

BAD_DATA = {
    "infinity": ((WITH_INFINITY, y), "infinity"),
    "minus infinity": ((-WITH_INFINITY, y), "infinity"),
    "one-dimensional": ((X[:, 0], y), "Expected 2D array, got 1D array instead"),
    "three-dimensional": ((X[:, :, None], y), "Found array with dim 3"),
    "a number": ((3.0, y), "Expected 2D array, got scalar array instead"),
    "no rows": ((X[:0], y[:0]), r"0 sample\(s\)"),
    "no columns": ((X[:, :0], y), r"0 feature\(s\).*minimum of 1 is required"),
    "no rows of a frame": ((pd.DataFrame(X).head(0), y[:0]), r"0 sample\(s\)"),
    "lengths": ((X, y[:-1]), r"inconsistent numbers of samples: \[150, 149\]"),
    "no target": ((X, None), "requires y to be passed"),
    "NaN in y": ((X, np.where(y == 1, np.nan, y)), "Input y contains NaN"),
    "infinity in y": ((X, np.where(y == 1, np.inf, y)), "Input y contains infinity"),
    "complex": ((X + 1j, y), "Complex data not supported"),
    "all-zero weights": ((X, y, np.zeros(150)), "at least one non-zero number, but all are zero"),
    "a negative weight": (
        (X, y, np.r_[np.ones(149), -1]),
        "Negative values in data passed to `sample_weight`",
    ),
    "NaN in weights": ((X, y, np.r_[np.ones(149), np.nan]), "Input sample_weight contains NaN"),
    "too few weights": ((X, y, np.ones(149)), r"sample_weight.shape == \(149,\), expected \(150,\)"),
    "two columns of weights": ((X, y, np.ones((150, 2))), "Sample weights must be 1D"),
    "a sparse infinity": ((sparse.csr_array(WITH_INFINITY), y), "infinity"),
}
BAD_CLASSES = {
    "one class": ((X[:50], y[:50]), "at least 2 classes; got 1 class"),
    "one class with weight": ((X, y, y == 1), "1 class in the rows with a sample_weight above zero"),
    "numbers": ((X, X[:, 0]), "Unknown label type: continuous"),
    "multiclass-multioutput": ((X, np.column_stack([y, y])), "multiclass-multioutput.*MultiOutputClassifier"),
    "None": ((X, np.where(y == 1, None, y.astype(str)).astype(object)), "contains None|Input y contains NaN"),
}
BAD_NUMBERS = {
    "strings": ((X, np.array(["a", "b", "c"])[y]), "not compatible with arrays of bytes/strings"),
    "three-dimensional y": ((X, y[:, None, None]), "Found array with dim 3"),
}


class TestData:
    @pytest.mark.parametrize("preprocessing", ["auto", None])
    @pytest.mark.parametrize(
        ("make", "given", "message"),
        [
            pytest.param(make, *case, id=f"{make.__name__}-{name}")
            for make, cases in ((NNClassifier, BAD_DATA | BAD_CLASSES), (NNRegressor, BAD_DATA | BAD_NUMBERS))
            for name, case in cases.items()
        ],
    )
    def test_fit(self, make, given, message, preprocessing):
        network = basic(make, **QUICK, preprocessing=preprocessing)
        with pytest.raises(ValueError, match=message):
            network.fit(*given)
        network.fit(X, y).predict(X)

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_nan_without_preprocessing(self, make):
        network = basic(make, **QUICK, preprocessing=None)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            network.fit(WITH_NAN, y)
        network.fit(X, y)
        with pytest.raises(ValueError, match="Input X contains NaN"):
            network.predict(WITH_NAN)
        assert np.isfinite(basic(make, **QUICK).fit(X, y)._raw_scores(WITH_NAN)).all()

    def test_strings_without_preprocessing(self):
        with pytest.raises(ValueError, match="could not convert string to float"):
            basic(NNRegressor, **QUICK, preprocessing=None).fit(pd.DataFrame({"a": ["x", "y"] * 9}), [1, 2] * 9)

    def test_a_column_that_is_neither_numbers_nor_categories_is_named(self):
        frame = pd.DataFrame({"fine": range(4), "strange": [[1], [2], [3], [4]]})
        with pytest.raises(TypeError, match="Column 'strange'"):
            basic(NNRegressor, **QUICK).fit(frame, [1, 2, 3, 4])

    @pytest.mark.parametrize("loss_y", [("poisson", y - 1.0), ("poisson", 0.0 * y)], ids=["negative", "zero"])
    def test_a_target_the_loss_is_not_for(self, loss_y):
        loss, target = loss_y
        with pytest.raises(ValueError, match=r"non-negative y and sum\(y\) > 0"):
            basic(NNRegressor, **QUICK, loss=loss).fit(X, target)

    def test_class_weights_of_unknown_classes(self):
        with pytest.raises(ValueError, match="are not in class_weight"):
            basic(NNClassifier, **QUICK, class_weight={"setosa": 2}).fit(X, y)

    @pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
    def test_prediction(self, method):
        clf = basic(NNClassifier, **QUICK)
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(clf, method)(X)
        clf.fit(X, y)
        for given, message in (
            (X[:, :3], "X has 3 features, but NNClassifier is expecting 4 features"),
            (X[0], "Expected 2D array, got 1D array instead"),
            (WITH_INFINITY, "infinity"),
            (X[:0], r"0 sample\(s\)"),
        ):
            with pytest.raises(ValueError, match=message):
                getattr(clf, method)(given)

    def test_attributes_before_fit(self):
        clf = basic(NNClassifier, **QUICK)
        with pytest.raises(NotFittedError):
            clf.net_  # noqa: B018
        for name in ("classes_", "loss_curve_", "validation_scores_", "module_"):
            assert not hasattr(clf, name)
        with pytest.raises(NotFittedError):
            basic(NNRegressor, **QUICK).predict(X)
