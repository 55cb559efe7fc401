"""Files of fitted estimators: the same bits, whatever was fitted; and nothing but a clear error from a bad file."""

import copy
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from saved import same
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import PrintLog
from support import basic
from torch import nn

import sknnopt
from sknnopt import (
    NNClassifier,
    NNRegressor,
    activations,
    initializers,
    load,
    losses,
    optimizers,
    regularization,
    save,
    schedules,
)
from sknnopt.embeddings import Periodic, PiecewiseLinear
from sknnopt.nn import MemberAverage

N = 60
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(N, 3))
CLASSES = RNG.permutation(np.arange(N) % 3)
WORDS = np.array(["no", "yes", "perhaps"])[CLASSES]
TARGET = NUMBERS @ [1.0, -1.0, 0.5]
FRAME = pd.DataFrame(
    {
        "size": np.where(RNG.random(N) < 0.2, np.nan, NUMBERS[:, 0]),
        "city": RNG.choice(["Oslo", "Rome", None], N),
        "amount": np.where(RNG.random(N) < 0.8, 0.0, RNG.normal(size=N)),
        "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 99, N), "D"),
        "grade": pd.Categorical(RNG.choice([1, 2, 3], N)),
        "member": RNG.random(N) < 0.5,
    }
)
LABELS = (RNG.random((N, 4)) < 0.5).astype(int)
SPARSE = sparse.random(N, 30, density=0.2, format="csr", random_state=0)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (6, 5), "max_epochs": 2, "random_state": 0}
ENSEMBLE = {
    "n_members": 8, "early_stopping": True, "max_epochs": 3, "numeric_embedding": "auto", "dropout": "auto",
    "recipes": [{"network": "tabm", "n_heads": 3, "activation": "prelu", "optimizer": optimizers.SGD(momentum=0.5)}],
}  # fmt: skip


def classify(X: Any = NUMBERS, y: Any = CLASSES, fit: dict[str, Any] | None = None, **settings: Any) -> Any:
    return basic(NNClassifier, **{**QUICK, **settings}).fit(X, y, **(fit or {})), X, y


def regress(X: Any = NUMBERS, y: Any = TARGET, **settings: Any) -> Any:
    return basic(NNRegressor, **{**QUICK, **settings}).fit(X, y), X, y


CASES: dict[str, Any] = {
    "default classifier": lambda: (NNClassifier(max_epochs=2, random_state=0).fit(FRAME, WORDS), FRAME, WORDS),
    "default regressor": lambda: (NNRegressor(max_epochs=2, random_state=0).fit(FRAME, TARGET), FRAME, TARGET),
    "ensemble with recipes": lambda: classify(FRAME, WORDS, **ENSEMBLE),
    "strings": lambda: classify(y=WORDS),
    "calibrated": lambda: classify(FRAME, WORDS, early_stopping=True, validation_fraction=0.5, max_epochs=30),
    "strings of a series": lambda: classify(FRAME, pd.Series(WORDS, dtype=object)),
    "bools": lambda: classify(y=CLASSES > 0),
    "floats": lambda: classify(y=CLASSES.astype(float)),
    "small whole numbers": lambda: classify(y=CLASSES.astype(np.int8)),
    "labels": lambda: classify(y=LABELS),
    "sparse labels": lambda: classify(y=sparse.csr_matrix(LABELS)),
    "several targets": lambda: regress(y=np.column_stack([TARGET, -TARGET])),
    "quantiles": lambda: regress(loss=losses.Quantile(quantile=[0.1, 0.5, 0.9]), n_members=2),
    "calibrated quantiles": lambda: regress(
        y=np.column_stack([TARGET, -TARGET]), loss=losses.Quantile(quantile=[0.1, 0.5, 0.9]), early_stopping=True
    ),
    "counts": lambda: regress(y=np.abs(TARGET), loss="poisson"),
    "sparse table": lambda: classify(SPARSE),
    "sparse table as it is": lambda: classify(SPARSE, preprocessing=None),
    "table as it is": lambda: classify(preprocessing=None),
    "dense rows of a sparse table": lambda: (classify(SPARSE)[0], SPARSE.toarray(), CLASSES),
    "standard": lambda: classify(FRAME, preprocessing="standard"),
    "normal scores": lambda: classify(FRAME, preprocessing="quantile_normal"),
    "named categories": lambda: classify(FRAME, categorical_features=["city", "grade"]),
    "masked categories": lambda: classify(
        np.round(NUMBERS), categorical_features=np.array([True, False, True])
    ),
    "many levels": lambda: classify(pd.DataFrame({"a": [f"level {i}" for i in range(N)] * 2}), np.tile(CLASSES, 2)),
    "class weights": lambda: classify(y=WORDS, class_weight={"no": 2.0, "yes": 1, "perhaps": np.float64(0.5)}),
    "sample weights": lambda: classify(fit={"sample_weight": np.arange(N) % 3}),
    "resnet": lambda: classify(network="resnet", normalization="batch"),
    "tabm": lambda: classify(network="tabm", n_heads=np.int64(3), normalization="layer"),
    "no hidden layer": lambda: classify(hidden_layer_sizes=[]),
    "array of sizes": lambda: classify(hidden_layer_sizes=np.array([4, 3])),
    "input scale": lambda: classify(input_scale=True, normalization="batch", n_members=2),
    "periodic": lambda: classify(
        FRAME, numeric_embedding=Periodic(phases=True, dense=True, frequency_scale=(0.1, 1.0))
    ),
    "piecewise linear": lambda: classify(FRAME, numeric_embedding=PiecewiseLinear(n_bins=4), categorical_embedding=3),
    "scaled layers": lambda: classify(initializer=initializers.LSUV(base="ntk")),
    "scheduled": lambda: classify(
        dropout=schedules.Scheduled((0.1, 0.2), "linear"), weight_decay=schedules.Scheduled(0.1, schedules.Step())
    ),
    "sum of penalties": lambda: classify(
        regularization=regularization.L1(strength=(1e-4, 0.0, 1e-3)) + regularization.MaxNorm()
    ),
    "numpy's numbers": lambda: classify(learning_rate=np.float64(1e-3), tol=np.float32(0.1), max_epochs=np.int16(2)),
    "layer rates": lambda: classify(layer_rates={"output": 0.5}, frozen_layers=["dense_0"]),
    "calibrated, one network": lambda: classify(early_stopping=True, max_epochs=3),
    "float64": lambda: regress(precision="float64", early_stopping=True, scoring="r2"),
    "bf16": lambda: classify(precision="bf16"),
    "range test": lambda: classify(learning_rate="auto", n_restarts=2),
    "device": lambda: classify(device=[torch.device("cpu"), "cpu"]),
    "a name set later": lambda: (classify()[0].set_params(activation="tanh", dropout=0.5), NUMBERS, CLASSES),
    "warm": lambda: classify(
        warm_start=True, schedule="plateau", regularization="spectral_norm", weight_averaging="ema"
    ),
    "warm ensemble": lambda: classify(FRAME, WORDS, **ENSEMBLE, warm_start=True, normalization="batch"),
}  # fmt: skip
for name in activations.names():
    CASES[f"activation {name}"] = lambda name=name: classify(activation=name, max_epochs=1)
for name in optimizers.names():
    CASES[f"optimizer {name}"] = lambda name=name: classify(optimizer=name, warm_start=True)


def methods(estimator: Any) -> list[str]:
    names = ["predict", "predict_proba", "predict_log_proba", "decision_function", "predict_quantiles"]
    return [name for name in names if hasattr(estimator, name)]


def assert_same(one: Any, other: Any, X: Any) -> None:
    """Predictions to the bit, parameters, and all that is fitted."""
    for method in methods(one):
        before, after = getattr(one, method)(X), getattr(other, method)(X)
        if sparse.issparse(before):
            before, after = before.toarray(), after.toarray()
        assert_array_equal(before, after, strict=before.dtype.kind != "U")
    assert same(one.get_params(deep=False), other.get_params(deep=False))
    assert {name for name in vars(one) if name not in ("_net", "_devices")} == {n for n in vars(other) if n != "_net"}
    fitted = [name for name in dir(one) if name.endswith("_") and not name.startswith("_")]
    opaque = ("module_", "net_", "target_", "preprocessor_")
    for name in set(fitted) - set(opaque):
        assert same(getattr(one, name, None), getattr(other, name, None)), name
    assert repr(one.module_) == repr(other.module_)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.safetensors"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_comes_back_as_it_was(case: Any, path: Path) -> None:
    estimator, X, y = case()
    save(estimator, path)
    again = load(path)
    assert_same(estimator, again, X)
    assert repr(clone(again)) == repr(estimator)
    for one in (estimator, again):
        one.partial_fit(X, y)
    assert_same_training(estimator, again, X)


def assert_same_training(one: Any, other: Any, X: Any) -> None:
    if sparse.issparse(one.predict(X)):
        return
    assert_array_equal(one.predict(X), other.predict(X))
    for key in ("train_loss", "gradient_norm", "weight_norm"):
        assert [record[key] for record in one.history_] == [record[key] for record in other.history_]


def test_goes_on_by_warm_start(path: Path) -> None:
    clf, X, y = classify(FRAME, WORDS, **ENSEMBLE, warm_start=True)
    save(clf, path)
    again = load(path)
    assert_array_equal(clf.fit(X, y).predict_proba(X), again.fit(X, y).predict_proba(X))


def test_what_is_around_the_network_comes_back(path: Path) -> None:
    clf, X, y = classify(FRAME, WORDS, **ENSEMBLE)
    save(clf, path)
    again = load(path)
    assert again.score(X, y) == clf.score(X, y)
    assert isinstance(again.module_, MemberAverage)
    assert not again.module_.training
    assert all(p.requires_grad and p.device.type == "cpu" for p in again.module_.parameters())
    encoder = again.preprocessor_
    assert_array_equal(encoder.transform(X), clf.preprocessor_.transform(X))
    assert_array_equal(encoder.get_feature_names_out(), clf.preprocessor_.get_feature_names_out())
    assert same(encoder.categories_, clf.preprocessor_.categories_)
    rows = encoder.transform(X)
    assert_array_equal(again.net_.predict_proba(rows), clf.net_.predict_proba(rows))
    with pytest.raises(ValueError, match="feature names"):
        again.predict(X.rename(columns={"size": "length"}))
    save(again, path)
    assert_array_equal(load(path).predict_proba(X), clf.predict_proba(X))


def test_another_process_predicts_the_same_bits(path: Path) -> None:
    cases = [classify(NUMBERS, WORDS, **ENSEMBLE), regress(numeric_embedding="periodic", network="resnet")]
    for number, (estimator, X, _) in enumerate(cases):
        save(estimator, path.with_suffix(f".{number}"))
        np.save(
            path.with_suffix(f".{number}.npy"), estimator.decision_function(X) if number == 0 else estimator.predict(X)
        )
    np.save(path.with_suffix(".rows.npy"), NUMBERS)
    code = (
        "import sys, numpy as np, sknnopt; base = sys.argv[1]; X = np.load(base + '.rows.npy')\n"
        "for i, method in enumerate(['decision_function', 'predict']):\n"
        "    found = getattr(sknnopt.load(f'{base}.{i}'), method)(X)\n"
        "    assert (found.view(np.uint64) == np.load(f'{base}.{i}.npy').view(np.uint64)).all()\n"
        "assert 'pickle' not in str(sknnopt.load.__code__.co_names)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(sknnopt.__file__).parent.parent)}
    command = [sys.executable, "-W", "error", "-c", code, str(path.with_suffix(""))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


class Small(nn.Linear):
    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__(n_inputs, n_outputs)


class OwnReLU(activations.ReLU):
    pass


class OwnClassifier(NNClassifier):
    pass


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "class": ({"network": Small}, "network"),
    "module": ({"network": Small(3, 3)}, "network"),
    "factory": ({"network": lambda n_inputs, n_outputs: nn.Sequential(nn.Linear(n_inputs, n_outputs))}, "network"),
    "function": ({"activation": torch.sin}, "activation"),
    "own technique": ({"activation": OwnReLU()}, "activation"),
    "function inside": ({"activation": activations.GLU(torch.sin)}, "activation.gate"),
    "loss": ({"loss": lambda output, target: nn.functional.cross_entropy(output, target, reduction="none")}, "loss"),
    "scorer": ({"scoring": lambda estimator, X, y: 0.0}, "scoring"),
    "torch's optimizer": ({"optimizer": torch.optim.Adagrad}, "optimizer"),
    "callbacks": ({"callbacks": [PrintLog(sink=str)]}, "callbacks"),
    "random state": ({"random_state": np.random.RandomState(0)}, "random_state"),
    "initial weights": ({"initial_weights": classify()[0]}, "initial_weights"),
    "recipe": ({"recipes": [{"schedule": lambda progress: 1.0}]}, "recipes.0.schedule"),
}


class TestWhatCannotBeSaved:
    @pytest.mark.parametrize(("settings", "parameter"), REFUSED.values(), ids=REFUSED.keys())
    def test_says_which_parameter_and_what_can(self, settings: Any, parameter: str, path: Path) -> None:
        clf = classify(**settings)[0]
        with pytest.raises(TypeError, match=rf"{parameter}(=| is) ?(?s:.*)pickle and joblib can store"):
            save(clf, path)
        assert not list(path.parent.iterdir())

    def test_levels_of_another_kind(self, path: Path) -> None:
        frame = pd.DataFrame({"a": pd.cut(NUMBERS[:, 0], 3)})
        with pytest.raises(TypeError, match=r"preprocessor_\.levels\.0\.categories\.0 is Interval"):
            save(classify(frame)[0], path)

    @pytest.mark.parametrize("other", [make_pipeline(StandardScaler(), NNClassifier()), OwnClassifier(), None, 3])
    def test_other_objects(self, other: Any, path: Path) -> None:
        with pytest.raises(TypeError, match="Only NNClassifier and NNRegressor"):
            save(other, path)

    def test_what_is_not_fitted(self, path: Path) -> None:
        with pytest.raises(NotFittedError):
            save(NNClassifier(), path)

    def test_attributes_of_others(self, path: Path) -> None:
        clf = classify()[0]
        clf.note = "mine"
        with pytest.raises(TypeError, match="'note'"):
            save(clf, path)

    def test_another_module_in_the_place_of_the_fitted(self, path: Path) -> None:
        clf = classify()[0]
        clf.module_[1] = nn.Tanh()
        with pytest.raises(TypeError, match="module_"):
            save(clf, path)
        assert isinstance(pickle.loads(pickle.dumps(clf)).module_[1], nn.Tanh)

    def test_parameters_that_fit_would_refuse(self, path: Path) -> None:
        with pytest.raises(ValueError, match="max_epochs"):
            save(classify()[0].set_params(max_epochs=-1), path)


class TestWriting:
    def test_takes_the_place_of_a_file_as_a_whole(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second = classify()[0], classify(random_state=1)[0]
        save(first, path)
        before = path.read_bytes()
        monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space"):
            save(second, path)
        monkeypatch.undo()
        assert path.read_bytes() == before
        save(second, os.fspath(path))
        assert_array_equal(load(os.fspath(path)).predict_proba(NUMBERS), second.predict_proba(NUMBERS))
        assert list(path.parent.iterdir()) == [path]

    def test_same_estimator_same_bytes(self, path: Path) -> None:
        clf = classify(FRAME, WORDS, **ENSEMBLE)[0]
        files = []
        for _ in range(2):
            save(clf, path)
            files.append(path.read_bytes())
        assert files[0] == files[1]

    def test_a_folder_that_is_not_there(self, path: Path) -> None:
        clf = classify()[0]
        with pytest.raises(FileNotFoundError):
            save(clf, path / "network")
        with pytest.raises(FileNotFoundError):
            load(path)

    def test_is_about_as_large_as_its_weights(self, path: Path) -> None:
        clf = classify(hidden_layer_sizes=(128, 128), n_members=12)[0]
        save(clf, path)
        assert path.stat().st_size < 1.2 * 4 * clf.n_parameters_ + 100_000


def keeps(estimator: Any) -> int:
    """Bytes of weights, of statistics of the encoder, and of what training goes on with."""
    kept = sum(value.nbytes for value in estimator.module_.state_dict().values())
    for progress in vars(estimator).get("_progress") or ():
        kept += progress.parameters.nbytes + progress.buffers.nbytes
        kept += sum(value.nbytes for value in progress.state.values())
    return kept


WIDE = pd.DataFrame({f"c{i}": RNG.choice([f"level {k}" for k in range(120)], 300) for i in range(10)})
SIZED: dict[str, Any] = {
    "small": classify,
    "large": lambda: classify(hidden_layer_sizes=(512, 512)),
    "twelve": lambda: (NNClassifier(max_epochs=2, random_state=0).fit(NUMBERS, WORDS), NUMBERS, WORDS),
    "tabm": lambda: classify(network="tabm", hidden_layer_sizes=(64, 64)),
    "warm": lambda: classify(warm_start=True, optimizer="adan", n_members=4, hidden_layer_sizes=(64, 64)),
    "one-hot": lambda: classify(WIDE, np.tile(CLASSES, 5), n_members=2),
    "long": lambda: classify(max_epochs=500),
}


class TestPickles:
    @pytest.mark.parametrize("case", SIZED.values(), ids=SIZED.keys())
    def test_hold_what_they_keep_and_little_else(self, case: Any) -> None:
        estimator, X, _ = case()
        data = pickle.dumps(estimator)
        assert len(data) <= 1.2 * keeps(estimator) + 100_000
        assert_array_equal(pickle.loads(data).predict(X), estimator.predict(X))

    def test_hold_no_tensors(self) -> None:
        for case in ("warm", "twelve"):
            assert b"torch" not in pickle.dumps(SIZED[case]()[0]).replace(b"sknnopt.optimizers._torch", b"")

    def test_share_nothing_with_what_they_are_of(self) -> None:
        clf, X, _ = classify(warm_start=True)
        before = clf.predict_proba(X)
        twins = [copy.deepcopy(clf), pickle.loads(pickle.dumps(clf, protocol=5))]
        for twin in twins:
            with torch.no_grad():
                twin.module_[0].weight.zero_()
                twin._progress[0].parameters.zero_()
        assert_array_equal(clf.predict_proba(X), before)
        assert clf._progress[0].parameters.abs().sum() > 0
        assert copy.copy(clf).module_ is clf.module_

    def test_open_from_read_only_memory(self) -> None:
        clf, X, _ = classify(warm_start=True)
        buffers: list[Any] = []
        data = pickle.dumps(clf, protocol=5, buffer_callback=buffers.append)
        again = pickle.loads(data, buffers=[bytes(one.raw()) for one in buffers])
        assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert math.isfinite(again.partial_fit(X, CLASSES).loss_curve_[-1])
