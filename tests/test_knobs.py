"""No dead knob: each constructor parameter is changed, and what it promises is seen."""

import inspect
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import hinge_loss
from skorch.callbacks import Callback as SkorchCallback
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor
from sknnopt._compat import InvalidParameterError
from sknnopt.averaging import EMA
from sknnopt.checkpoints import Checkpoint
from sknnopt.embeddings import Periodic, PiecewiseLinear
from sknnopt.losses import Quantile
from sknnopt.nn import Residual
from sknnopt.regularization import L1

X, Y = (part[:200] for part in load_breast_cancer(return_X_y=True))
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 3, "batch_size": 64, "random_state": 0}
ONE_STEP = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "constant",
    "batch_size": 10**6,
    "max_epochs": 1,
    "dropout": 0.0,
    "gradient_clipping": None,
}
STANDS_STILL = {"learning_rate": 1e-12, "max_epochs": 1, "dropout": 0.0}

Fit = Callable[..., Any]


def weights(network: Any) -> Tensor:
    return torch.cat([value.detach().flatten() for value in network.module_.parameters()])


def kinds(network: Any) -> list[type[nn.Module]]:
    return [type(layer) for layer in network.module_]


def network(fit: Fit) -> None:
    assert fit(network="mlp").n_parameters_ == 30 * 8 + 8 + 8 * fit().n_outputs_ + fit().n_outputs_
    blocks = [layer for layer in fit(network="resnet", hidden_layer_sizes=(8, 5)).module_ if type(layer) is Residual]
    assert [block.dense_in.out_features for block in blocks] == [8, 5]
    assert fit(network="tabm").module_.heads.heads == 32
    own = fit(network=nn.Linear)
    assert type(own.module_) is nn.Linear
    assert own.n_parameters_ == 31 * own.n_outputs_


def hidden_layer_sizes(fit: Fit) -> None:
    layers = [layer for layer in fit(hidden_layer_sizes=(9, 5)).module_ if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in layers[:-1]] == [9, 5]
    assert fit(hidden_layer_sizes=7).module_[0].out_features == 7


def n_heads(fit: Fit) -> None:
    assert fit(network="tabm").module_.output.weight.shape == (32 * fit().n_outputs_, 8)
    few, more = fit(network="tabm", n_heads=2), fit(network="tabm", n_heads=5)
    assert more.n_parameters_ - few.n_parameters_ == 3 * (30 + 2 * 8 + 9 * few.n_outputs_)
    assert torch.equal(weights(fit(n_heads=2)), weights(fit(n_heads=5)))


def activation(fit: Fit) -> None:
    assert nn.Tanh in kinds(fit(activation="tanh"))
    assert nn.Tanh not in kinds(fit())
    assert not torch.equal(weights(fit(activation="tanh")), weights(fit(activation="sigmoid")))
    assert fit(activation="swiglu").module_[0].out_features == 16
    slopes = fit(activation="prelu", learning_rate=0.01).module_.activation_0.weight
    assert slopes.shape == (8,)
    assert (slopes != 0.25).any()


def normalization(fit: Fit) -> None:
    assert nn.BatchNorm1d in kinds(fit(normalization="batch"))
    assert nn.LayerNorm in kinds(fit(normalization="layer"))
    statistics = fit(normalization="batch").module_[1]
    assert (statistics.running_mean != 0).any()


def numeric_embedding(fit: Fit) -> None:
    embedded = fit(numeric_embedding="piecewise_linear").module_
    assert embedded.embedding.numeric.weight.shape == (30, 8, 24)
    assert embedded.dense_0.in_features == 30 * 8
    rows = np.random.default_rng(0).uniform(-1, 1, (400, 1))
    wave = np.sin(6 * rows[:, 0])
    settings = {"hidden_layer_sizes": (), "max_epochs": 60, "learning_rate": 0.03, "dropout": (), "batch_size": 64}
    scores = [
        basic(NNRegressor, **settings, numeric_embedding=one, random_state=0).fit(rows, wave).score(rows, wave)
        for one in (None, PiecewiseLinear(n_bins=8), Periodic(frequency_scale=1.0))
    ]
    assert scores[0] < 0.5 < 0.9 < min(scores[1:])


def categorical_embedding(fit: Fit) -> None:
    options = {"categorical_features": [0, 1]}
    levels = [own.width for own in fit(**options).preprocessor_.encoding.levels]
    module = fit(**options, categorical_embedding=5).module_.embedding
    assert [module.category_0.weight.shape, module.category_1.weight.shape] == [(5, levels[0]), (5, levels[1])]
    assert not hasattr(fit(**options, categorical_embedding="auto").module_, "embedding")  # see test_kinds.py


def input_scale(fit: Fit) -> None:
    before, after = (fit(input_scale=True, **more).module_.input_scale.weight.detach() for more in (STANDS_STILL, {}))
    assert_allclose(before, 1, atol=1e-9)
    assert (after != 1).all()


def dropout(fit: Fit) -> None:
    assert [layer.p for layer in fit(dropout=0.4).module_ if isinstance(layer, nn.Dropout)] == [0.4]
    assert nn.Dropout not in kinds(fit(dropout=0.0))
    first, second = (fit(dropout=rate, max_epochs=15, learning_rate=0.01).loss_curve_[-1] for rate in (0.0, 0.8))
    assert first < second


def initializer(fit: Fit) -> None:
    assert weights(fit(initializer="zeros", **STANDS_STILL)).abs().max() < 1e-9
    assert weights(fit(initializer="normal", **STANDS_STILL)).abs().max() > 1e-3
    drawn, adapted = (fit(initializer=name, **STANDS_STILL) for name in ("normal", "data_dependent"))
    first = [network.module_[0](torch.from_numpy(network.preprocessor_.transform(X))) for network in (drawn, adapted)]
    assert first[0].var(0).max() < 0.9
    assert_allclose(first[1].detach().var(0), 1, rtol=0.01)


def optimizer(fit: Fit) -> None:
    before, after = weights(fit(**{**ONE_STEP, "learning_rate": 1e-12})), fit(**ONE_STEP)
    step = 0.1 * after.history_[0]["gradient_norm"]
    assert (weights(after) - before).norm().item() == pytest.approx(step, rel=1e-3)
    adam = weights(fit(**{**ONE_STEP, "optimizer": "adam"})) - before
    moved = adam[adam != 0].abs()
    assert_allclose(moved[moved > 0.05], 0.1, rtol=1e-3)


def learning_rate(fit: Fit) -> None:
    before = weights(fit(**{**ONE_STEP, "learning_rate": 1e-12}))
    steps = [weights(fit(**{**ONE_STEP, "learning_rate": rate})) - before for rate in (0.1, 0.2)]
    assert_allclose(steps[1], 2 * steps[0], atol=1e-5)
    assert fit(optimizer="sgd", schedule="constant").history_[0]["learning_rate"] == 0.01
    assert fit(optimizer="adam", schedule="constant").history_[0]["learning_rate"] == 0.001
    chosen = fit(learning_rate="auto", schedule="constant")
    assert chosen.history_[0]["learning_rate"] == chosen.learning_rate_ != 0.001


def weight_decay(fit: Fit) -> None:
    still, plain, decayed = (
        fit(**{**ONE_STEP, **more}).module_.state_dict()
        for more in ({"learning_rate": 1e-12}, {"weight_decay": 0.0}, {"weight_decay": 0.5})
    )
    for name, value in plain.items():
        expected = 0.1 * 0.5 * still[name] if name.endswith("weight") else torch.zeros_like(value)
        assert_allclose(value - decayed[name], expected, atol=1e-6)


def schedule(fit: Fit) -> None:
    rates = {
        name: [record["learning_rate"] for record in fit(schedule=name, learning_rate=0.1).history_]
        for name in ("constant", "linear", "cosine")
    }
    assert rates["constant"] == [0.1] * 3
    assert rates["linear"][0] > rates["linear"][1] > rates["linear"][2]
    assert rates["cosine"] != rates["linear"]


def warmup(fit: Fit) -> None:
    settings = {"schedule": "constant", "learning_rate": 0.1, "batch_size": 10**6, "max_epochs": 10}
    rates = [record["learning_rate"] for record in fit(warmup=0.5, **settings).history_]
    assert rates[0] < rates[1] < rates[2] < 0.1
    assert rates[5:] == [0.1] * 5


def batch_size(fit: Fit) -> None:
    """Adam's steps are no longer than the learning rate, and in a first epoch of one step are as long."""
    settings = {**ONE_STEP, "optimizer": "adam", "learning_rate": 1e-4}
    start = weights(fit(**{**settings, "learning_rate": 1e-12}))
    farthest = [(weights(fit(**settings | {"batch_size": n})) - start).abs().max().item() for n in (200, 20)]
    assert farthest[0] == pytest.approx(1e-4, rel=1e-2)
    assert 5e-4 < farthest[1] < 1.2e-3
    assert_array_equal(weights(fit(batch_size="auto")), weights(fit(batch_size=64)))


def max_epochs(fit: Fit) -> None:
    assert [fit(max_epochs=n).n_iter_ for n in (1, 4)] == [1, 4]


def gradient_clipping(fit: Fit) -> None:
    before = weights(fit(**{**ONE_STEP, "learning_rate": 1e-12}))
    after = weights(fit(**{**ONE_STEP, "gradient_clipping": 1e-2}))
    assert (after - before).norm().item() == pytest.approx(0.1 * 1e-2, rel=1e-2)


def weight_averaging(fit: Fit) -> None:
    plain, average, last = (weights(fit(weight_averaging=kind)) for kind in (None, "ema", EMA(0.0)))
    assert_allclose(last, plain, rtol=1e-6)
    assert (average - plain).abs().max() > 1e-4


def mixup(fit: Fit) -> None:
    settings = {"dropout": 0.0, "max_epochs": 15, "learning_rate": 0.01}
    assert fit(mixup=2.0, **settings).loss_curve_[-1] > fit(**settings).loss_curve_[-1]


def initial_weights(fit: Fit) -> None:
    source = fit()
    still = fit(**STANDS_STILL, initial_weights=source, random_state=1)
    assert_allclose(weights(still), weights(source), atol=1e-9)
    assert not torch.equal(weights(fit(**STANDS_STILL, random_state=1)), weights(source))


def frozen_layers(fit: Fit) -> None:
    start = fit(**STANDS_STILL, hidden_layer_sizes=(8, 4)).module_.state_dict()
    after = fit(hidden_layer_sizes=(8, 4), frozen_layers=1).module_.state_dict()
    moved = {name for name, value in after.items() if (value - start[name]).abs().max() > 1e-9}
    assert moved == {"dense_1.weight", "dense_1.bias", "output.weight", "output.bias"}


def layer_rates(fit: Fit) -> None:
    start, plain = (fit(**{**ONE_STEP, **more}).module_.state_dict() for more in ({"learning_rate": 1e-12}, {}))
    for factor in (0.25, 6.0):
        other = fit(**ONE_STEP, layer_rates={"dense_0": factor}).module_.state_dict()
        for name, value in plain.items():
            step = factor if name.startswith("dense_0") else 1.0
            assert_allclose(other[name] - start[name], step * (value - start[name]), atol=1e-6)


def loss(fit: Fit) -> None:
    own = fit(**STANDS_STILL)

    def doubled(output: Tensor, target: Tensor) -> Tensor:
        return 2 * own.loss_(output, target)

    plain = {} if isinstance(own, NNRegressor) else {"label_smoothing": 0.0}
    first, second = (fit(**STANDS_STILL, **more).loss_curve_[0] for more in (plain, {"loss": doubled}))
    assert second == pytest.approx(2 * first, rel=1e-5)
    if isinstance(own, NNRegressor):
        assert fit(loss=Quantile(quantile=[0.1, 0.5, 0.9])).predict_quantiles(X).shape == (200, 3)
    else:
        hinge = fit(loss="hinge", **STANDS_STILL)
        assert hinge.loss_curve_[0] == pytest.approx(hinge_loss(Y, own.decision_function(X)), rel=1e-4)


def regularization(fit: Fit) -> None:
    settings = {"max_epochs": 20, "learning_rate": 0.03}
    sparse, dense = fit(regularization=L1(1.0), **settings), fit(**settings)
    assert (sparse.module_[0].weight == 0).float().mean() > 0.3
    assert (dense.module_[0].weight == 0).float().mean() == 0


def label_smoothing(fit: Fit) -> None:
    settings = {"max_epochs": 40, "learning_rate": 0.03, "dropout": 0.0}
    surest = [fit(label_smoothing=share, **settings).predict_proba(X).max() for share in (0.0, 0.4)]
    assert surest[0] > 0.99
    assert surest[1] < 0.93


def early_stopping(fit: Fit) -> None:
    assert [fit(early_stopping=value).n_validation_samples_ for value in (True, False, "auto")] == [20, 0, 0]


def scoring(fit: Fit) -> None:
    plain = fit(early_stopping=True)
    losses = [-record["valid_loss"] for record in plain.history_]
    if isinstance(plain, NNRegressor):
        assert plain.validation_scores_ == losses
    else:  # it is judged as if it were calibrated
        assert (np.array(plain.validation_scores_) > losses).all()
        plain = fit(early_stopping=True, calibration=None)
        assert plain.validation_scores_ == [-record["valid_loss"] for record in plain.history_]
    scored = fit(early_stopping=True, scoring="neg_max_error" if isinstance(plain, NNRegressor) else "accuracy")
    assert scored.validation_scores_ == [record["valid_score"] for record in scored.history_]
    assert scored.validation_scores_ != plain.validation_scores_


def validation_fraction(fit: Fit) -> None:
    assert fit(early_stopping=True, validation_fraction=0.3).n_validation_samples_ == 60


def n_iter_no_change(fit: Fit) -> None:
    settings = {"early_stopping": True, "learning_rate": 1e-12, "max_epochs": 30}
    assert [fit(n_iter_no_change=n, **settings).n_iter_ for n in (2, 5)] == [3, 6]


def tol(fit: Fit) -> None:
    settings = {"early_stopping": True, "max_epochs": 10, "n_iter_no_change": 3}
    assert fit(tol=1e6, **settings).n_iter_ == 4
    assert fit(tol=0, **settings).n_iter_ == 10


def on_divergence(fit: Fit) -> None:
    def jump(progress: Any) -> Any:
        return np.where(progress < 0.5, 1.0, 1e30)

    settings = {**ONE_STEP, "learning_rate": 1e-3, "max_epochs": 3, "schedule": jump}
    with pytest.warns(ConvergenceWarning, match="the weights of epoch 2 were kept"):
        assert fit(**settings).best_epoch_ == 2
    with pytest.raises(ValueError, match="diverged"):
        fit(**settings, on_divergence="raise")


def calibration(fit: Fit) -> None:
    if isinstance(fit(), NNRegressor):
        settings = {"early_stopping": True, "loss": Quantile(quantile=[0.1, 0.5, 0.9])}
        plain, calibrated = (fit(**settings, calibration=value) for value in (None, "conformal"))
        assert_array_equal(plain.quantile_factors_, [[1.0, 1.0, 1.0]])
        assert calibrated.quantile_shift_ != 0
        expected = plain.predict(X) + calibrated.quantile_shift_
        assert_allclose(calibrated.predict(X), expected, rtol=1e-5)
        return
    plain, calibrated = (fit(early_stopping=True, calibration=value) for value in (None, "temperature"))
    assert plain.temperature_ == 1 != calibrated.temperature_ == fit(early_stopping=True).temperature_
    scores = plain.decision_function(X)
    assert_allclose(calibrated.decision_function(X) * calibrated.temperature_, scores, atol=1e-5)
    assert fit(calibration="temperature").temperature_ == 1


def n_members(fit: Fit) -> None:
    assert len(fit(n_members=3).module_.members) == 3
    assert fit(n_members=3).n_parameters_ == 3 * fit().n_parameters_


def recipes(fit: Fit) -> None:
    several = fit(n_members=2, recipes=[{"network": "tabm"}, {"learning_rate": 1e-12}])
    plain = fit(n_members=2)
    assert len(several.module_.members) == 6
    assert several.n_parameters_ == plain.n_parameters_ * 2 + fit(n_members=2, network="tabm").n_parameters_
    assert_array_equal(several.recipe_weights_, [1 / 3] * 3)
    weighed = fit(max_epochs=20, early_stopping=True, learning_rate=0.01, recipes=[{"learning_rate": 1e-12}])
    assert weighed.recipe_weights_[0] > 0.6


def n_restarts(fit: Fit) -> None:
    one, several = fit(max_epochs=10), fit(max_epochs=10, n_restarts=6)
    assert len(several.restart_scores_) == 6
    assert several.restart_scores_[0] == one.restart_scores_[0] == -one.loss_curve_[-1]
    assert several.loss_curve_[-1] == -max(several.restart_scores_) < one.loss_curve_[-1]


def preprocessing(fit: Fit) -> None:
    raw = fit(preprocessing=None)
    assert raw.preprocessor_ is None
    with torch.no_grad():
        scores = raw.module_(torch.from_numpy(X.astype(np.float32)))
    assert_allclose(scores, raw._raw_scores(X), rtol=1e-3, atol=1e-3)
    means = X.mean(0)
    for name, centre in {"robust": np.median(X, 0), "standard": means, "quantile_normal": np.median(X, 0)}.items():
        encoder = fit(preprocessing=name).preprocessor_
        assert_allclose(encoder.center_, centre, rtol=1e-12)
        reach = abs(encoder.transform(X)).max()
        assert {"robust": reach <= 3, "standard": reach > 6, "quantile_normal": 5 < reach < 5.3}[name]
    assert_array_equal(weights(fit(preprocessing="robust")), weights(fit()))  # no column has ranks


def categorical_features(fit: Fit) -> None:
    assert fit(categorical_features=[0]).preprocessor_.n_features_out_ > 30
    assert fit(categorical_features=None).preprocessor_.n_features_out_ == 30


def class_weight(fit: Fit) -> None:
    weights = (0.01, 1, 100)
    means = [
        fit(class_weight={0: 1, 1: weight}, learning_rate=0.01).predict_proba(X)[:, 1].mean() for weight in weights
    ]
    assert means[0] < means[1] - 0.05 < means[2] - 0.1


class Spy(SkorchCallback):
    seen: list[Any] = []

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.seen.append(next(net.module_.parameters()).device.type)


def device(fit: Fit) -> None:
    Spy.seen.clear()
    fit(device="cpu", callbacks=[Spy])
    assert Spy.seen == ["cpu"] * 3
    if torch.cuda.is_available():
        assert next(fit(device="cuda", callbacks=[Spy]).module_.parameters()).device.type == "cpu"
        assert Spy.seen[3:] == ["cuda"] * 3
    else:
        with pytest.raises(InvalidParameterError, match=r"'device'.*Got 'cuda'"):
            fit(device="cuda")


def precision(fit: Fit) -> None:
    for name, dtype in {"float32": torch.float32, "float64": torch.float64, "bf16": torch.float32}.items():
        assert weights(fit(precision=name)).dtype == dtype
    rounded, exact = (weights(fit(precision=name)) for name in ("bf16", "float32"))
    assert 0 < (rounded - exact).abs().max() < 0.05
    assert fit(precision="float64").preprocessor_.transform(X).dtype == np.float64


def random_state(fit: Fit) -> None:
    assert not torch.equal(weights(fit(random_state=0)), weights(fit(random_state=1)))
    one, other = (fit(random_state=seed, initializer="constant", early_stopping=True) for seed in (0, 1))
    assert one.validation_scores_ != other.validation_scores_


def warm_start(fit: Fit) -> None:
    settings = {"learning_rate": 0.01, "max_epochs": 10}
    for warm in (False, True):
        network = fit(warm_start=warm, **settings)
        before = network.loss_curve_
        assert (network.fit(X, Y).loss_curve_[0] < before[0]) == warm


def callbacks(fit: Fit) -> None:
    Spy.seen.clear()
    fit(callbacks=[Spy()])
    assert len(Spy.seen) == 3


def checkpoint(fit: Fit) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fit(checkpoint=Checkpoint(folder, interval=0.0))
        assert len(os.listdir(folder)) == 1


def verbose(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    assert capsys.readouterr().out == ""
    fit(verbose=1)
    assert len(capsys.readouterr().out.splitlines()) == 3


CASES = [(make, name) for make in (NNClassifier, NNRegressor) for name in inspect.signature(make).parameters]


@pytest.mark.parametrize(("make", "name"), CASES, ids=[f"{make.__name__}-{name}" for make, name in CASES])
def test_a_parameter_does_what_it_promises(
    make: type[NNClassifier] | type[NNRegressor], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check = globals().get(name)
    assert callable(check), f"there is no check of what {name!r} does: write one"

    def fit(**settings: Any) -> Any:
        return basic(make, **{**QUICK, **settings}).fit(X, Y)

    check(fit, *([capsys] if name == "verbose" else []))
