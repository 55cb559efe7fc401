"""Bad files of estimators: each gives a clear error or a working estimator, and never anything else."""

import copy
import json
import pickle
import random
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzzed import SEEDS, bitten, mutated, outcome
from saved import opened, put, written

from sknnopt import load, persistence, save
from sknnopt.persistence import FileFormatError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "network.safetensors"


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of all that there is."""
    path = tmp_path_factory.mktemp("files") / "rich"
    save(SEEDS["all that there is"]()[0], path)
    return path


def change(*place: Any, to: Any) -> Any:
    """A change of the JSON at a place inside the estimator; ``to`` may be a function of what was there."""

    def changed(document: Any, arrays: Any) -> bytes:
        where = ("estimator", "NNClassifier", *place)
        inside = document
        for key in where:
            inside = inside[key]
        put(document, where, to(inside) if callable(to) else to)
        return written(document, arrays)

    return changed


def without(*place: Any) -> Any:
    return change(*place[:-1], to=lambda inside: {key: one for key, one in inside.items() if key != place[-1]})


def array(name: str, to: Any) -> Any:
    def changed(document: Any, arrays: Any) -> bytes:
        arrays[name] = np.asarray(to(arrays[name]))
        return written(document, arrays)

    return changed


def text(to: Any) -> Any:
    """A change of the JSON as text."""
    return lambda document, arrays: written(to(json.dumps(document)), arrays)


def top(**keys: Any) -> Any:
    return lambda document, arrays: written({**document, **keys}, arrays)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"tuple": [value]}
    return value


def with_first(value: Any) -> Any:
    def changed(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values.flat[0] = value
        return values

    return changed


def parameter(name: str, value: Any) -> Any:
    return change("parameters", "dict", name, to=value)


ENCODER = ("preprocessor_", "TableEncoder")
LEVELS = (*ENCODER, "levels", 0, "Levels")
NETWORK = ("_networks", 0, "MLP")
INPUTS = (*NETWORK, "inputs", "Inputs")
PROGRESS = ("_progress", 0, "Progress")
WEIGHT = "_weights.0.dense_0.weight"

HOSTILE: dict[str, Any] = {
    "another version of the format": top(format=2),
    "the version as a float": top(format=1.5),
    "no version": lambda document, arrays: written({k: v for k, v in document.items() if k != "format"}, arrays),
    "another key": top(more=1),
    "versions of something else": top(versions={"python": "3"}),
    "versions that are numbers": top(versions={"sknnopt": 1, "torch": 1, "sklearn": 1, "numpy": 1}),
    "an estimator that is none": top(estimator={"losses.Hinge": {"squared": True}}),
    "an estimator that is a number": top(estimator=1),
    "a list for all": lambda document, arrays: written([document], arrays),
    "more metadata": lambda document, arrays: written(document, arrays, pickle="x"),
    "no metadata of ours": lambda document, arrays: written(document, arrays).replace(b'"sknnopt":', b'"skorchy":', 1),
    "no JSON": text(lambda given: given[:-1]),
    "empty": lambda document, arrays: b"",
    "a few bytes": lambda document, arrays: b"abc",
    "a pickle": lambda document, arrays: pickle.dumps([1, 2]),
    "a header beyond the file": lambda document, arrays: struct.pack("<Q", 10**12) + b"{}",
    "cut off": lambda document, arrays: written(document, arrays)[:-1],
    "more bytes": lambda document, arrays: written(document, arrays) + b"\0",
    "NaN": text(lambda given: given.replace('"warmup": 0.0', '"warmup": NaN')),
    "Infinity": text(lambda given: given.replace('"warmup": 0.0', '"warmup": -Infinity')),
    "a float beyond all": text(lambda given: given.replace('"warmup": 0.0', '"warmup": 1e999')),
    "a number of many digits": text(lambda given: given.replace('"_seed": ', '"_seed": 1' + "0" * 5000)),
    "a number of some digits": parameter("random_state", 10**45),
    "a key twice": text(lambda given: given.replace('"_seed":', '"_seed": 1, "_seed":', 1)),
    "a tensor's key twice": lambda document, arrays: doubled(written(document, arrays)),
    "deep JSON": text(lambda given: "[" * 100_000 + "]" * 100_000),
    "deep values": parameter("hidden_layer_sizes", nested(100)),
    "very deep values": text(
        lambda given: given.replace('"warmup": 0.0', '"warmup": ' + '{"tuple":[' * 9999 + "]}" * 9999)
    ),
    "an unknown type": change("loss_", to={"builtins.eval": {"source": "1"}}),
    "a type of another module": change("loss_", to={"os.system": {}}),
    "a base class": change("loss_", to={"losses.Loss": {}}),
    "a function's type": change("loss_", to={"losses.FunctionLoss": {"function": "eval", "link": "softmax"}}),
    "two types": change("loss_", to={"losses.CrossEntropy": {}, "losses.Hinge": {"squared": True}}),
    "no type": change("loss_", to={}),
    "a loss for another task": change("loss_", to={"losses.SquaredError": {}}),
    "a loss of more scores": change("loss_", to={"losses.Quantile": {"quantile": [0.1, 0.2]}}),
    "a field too many": change("loss_", to={"losses.CrossEntropy": {"squared": True}}),
    "a field too few": change("loss_", to={"losses.Hinge": {}}),
    "a technique's wrong parameter": change("loss_", to={"losses.Focal": {"gamma": -1.0}}),
    "an attribute too few": without("_seed"),
    "an attribute too many": change(to=lambda given: {**given, "__class__": 1}),
    "a parameter too few": without("parameters", "dict", "tol"),
    "a parameter too many": change("parameters", "dict", to=lambda given: {**given, "evil": 1}),
    "a parameter that fit refuses": parameter("max_epochs", 0),
    "a parameter of a wrong type": parameter("learning_rate", "fast"),
    "an unknown name": parameter("optimizer", "adm"),
    "a network that is callable": parameter("network", {"losses.Hinge": {"squared": True}}),
    "a recipe of nonsense": parameter("recipes", [{"dict": {"n_members": 2}}]),
    "callbacks": parameter("callbacks", ["x"]),
    "initial weights": parameter("initial_weights", {"dict": {}}),
    "other sizes": lambda document, arrays: written(of_size(document, 5), arrays),
    "a fitted size": change(*NETWORK, "hidden", to={"tuple": [5]}),
    "a gigantic size": change(*NETWORK, "hidden", to={"tuple": [10**15]}),
    "gigantic sizes": lambda document, arrays: written(of_size(document, 10**9), arrays),
    "gigantic sizes everywhere": lambda document, arrays: change(*NETWORK, "hidden", to={"tuple": [10**9]})(
        of_size(document, 10**9), arrays
    ),
    "a negative size": change(*NETWORK, "hidden", to={"tuple": [-4]}),
    "a size that is a float": change(*NETWORK, "hidden", to={"tuple": [4.0]}),
    "a size that is true": change(*NETWORK, "n_inputs", to=True),
    "gigantic inputs": change(*NETWORK, "n_inputs", to=2**50),
    "other outputs": change(*NETWORK, "n_outputs", to=4),
    "another network": change("_networks", 0, to=lambda given: {"ResNet": given["MLP"]}),
    "no network": change("_networks", 0, to=None),
    "gigantic heads": change("_networks", 1, "TabM", "n_heads", to=10**12),
    "another link": change("_networks", 1, "TabM", "link", to="identity"),
    "another activation": change(*NETWORK, "activation", to={"activations.PReLU": {"initial": 0.1, "shared": False}}),
    "an activation that is a loss": change(*NETWORK, "activation", to={"losses.CrossEntropy": {}}),
    "gigantic bins": change(*INPUTS, "embedding", "embeddings.PiecewiseLinear", "n_bins", to=10**12),
    "other columns embedded": change(*INPUTS, "numbers", to=1),
    "categories embedded that are none": change(
        *INPUTS, "categories", to={"tuple": [{"tuple": [0, 2, 2]}]}
    ),
    "a hidden rate too many": change(*NETWORK, "dropout", to={"tuple": [0.1, 0.1]}),
    "a member too few": change("_weights", to=lambda given: given[:-1]),
    "a place twice": change("_places", to=[0, 0, 1, 2]),
    "a kind that is not there": change("_member_kinds", to=[0, 0, 1, 2]),
    "a negative kind": change("_member_kinds", to=[-1, 0, 1, 1]),
    "no members": change("_member_kinds", to=[]),
    "gigantic columns": change("n_features_in_", to=2**50),
    "other columns": change("n_features_in_", to=2),
    "a column's other name": change("feature_names_in_", "objects", 0, to="length"),
    "a name that is a number": change("feature_names_in_", "objects", 0, to=1),
    "no encoder": change("preprocessor_", to=None),
    "an encoder's other width": change(*ENCODER, "n_features_in", to=4),
    "numbers of another encoding": change(*ENCODER, "encoded", to="quantile_normal"),
    "encoded another way": change(*ENCODER, "dtype", to="float64"),
    "an unknown dtype": change(*ENCODER, "dtype", to="object"),
    "a level twice": change(*LEVELS, "categories", "objects", 1, to=lambda given: "Oslo"),
    "a level that is a list": change(*LEVELS, "categories", "objects", 1, to=["Oslo"]),
    "a level less": change(*LEVELS, "categories", "objects", to=lambda given: given[:-1]),
    "classes that are twice": change("target_", "ClassTarget", "classes", "strings", to=["no", "no", "yes"]),
    "classes out of order": change("target_", "ClassTarget", "classes", "strings", to=["yes", "no", "perhaps"]),
    "a class too many": change("target_", "ClassTarget", "classes", "strings", to=["a", "b", "c", "d"]),
    "a single class": change("target_", "ClassTarget", "classes", "strings", to=["a"]),
    "classes of another kind": change("target_", "ClassTarget", "kind", to="binary"),
    "classes of long strings": change(
        "target_", "ClassTarget", "classes", "strings", to=[*map(str, range(5000)), "z" * 10**5]
    ),
    "a target of numbers": change(
        "target_", to={"RegressionTarget": {"scale": None, "dtype": "float32", "mean": 1, "factor": 1}}
    ),
    "a temperature of zero": change("_settings", "Settings", "temperatures", "tuple", 0, to=0.0),
    "quantiles of classes": change(
        "_settings", "Settings", "quantiles", to={"Conformal": {"center": 0, "shift": 1, "factors": 1}}
    ),
    "a history too short": change("member_histories_", "dict", "train_loss", to=1),
    "histories of an unknown name": change("member_histories_", "dict", to=lambda given: {"a b": given["train_loss"]}),
    "weights of nothing": change("_settings", "Settings", "weights", "tuple", to=[0.0, 0.0]),
    "an epoch without a loss": change("history_", 0, "dict", to={"epoch": 1}),
    "no epochs": change("history_", to=[]),
    "a best epoch later on": array("best_epoch_", lambda given: given + 100),
    "a state of another optimizer": change(
        "_optimizers", 0, to={"optimizers.SGD": {"momentum": 0.0, "dampening": 0.0, "nesterov": False}}
    ),
    "a gigantic state": change(
        "_optimizers", 0, to={"optimizers.LBFGS": {"history_size": 10**12, "max_line_search": 5}}
    ),
    "a state too few": change(*PROGRESS, "state", "dict", to=lambda given: dict(list(given.items())[1:])),
    "a generator's wrong state": change(*PROGRESS, "random", "dict", "order", "dict", "bit_generator", to="MT19937"),
    "a generator's negative state": change(*PROGRESS, "random", "dict", "order", "dict", "uinteger", to=-1),
    "a wrong step": change(*PROGRESS, "steps", to=-1),
    "a tensor missing": lambda document, arrays: written(document, {k: v for k, v in arrays.items() if k != WEIGHT}),
    "a tensor left over": lambda document, arrays: written(document, {**arrays, "more": np.zeros(3)}),
    "a tensor used twice": change("_weights", 0, "dict", "dense_0.weight", "array", to="_weights.1.dense_0.weight"),
    "a tensor's other shape": array(WEIGHT, np.transpose),
    "a tensor's other axes": array(WEIGHT, np.ravel),
    "a tensor's other dtype": array(WEIGHT, lambda given: given.astype(np.float64)),
    "a tensor of whole numbers": array(WEIGHT, lambda given: given.astype(np.int32)),
    "a tensor of half floats": array(WEIGHT, lambda given: given.astype(np.float16)),
    "a weight that is NaN": array(WEIGHT, with_first(np.nan)),
    "a weight that is infinite": array(WEIGHT, with_first(np.inf)),
    "weights that overflow": array(WEIGHT, lambda given: np.full_like(given, 3e38)),
    "statistics that are NaN": array("preprocessor_.center", with_first(np.nan)),
    "statistics of more columns": array("preprocessor_.center", lambda given: np.append(given, 0.0)),
    "a scale below zero": array("preprocessor_.scale", with_first(-1.0)),
    "places beyond the table": array("preprocessor_.numeric_columns", lambda given: given + 2**40),
    "marks beyond the table": array("preprocessor_.marked", lambda given: given + 2**40),
    "ranks out of order": array("preprocessor_.ranks.1.values", lambda given: given[::-1]),
    "ranks beyond all": array("preprocessor_.ranks.1.ranks", lambda given: given * 1e30),
    "a fitted precision": change("_fitted_shape", "dict", "precision", to="float64"),
    "a fitted precision that is none": change("_fitted_shape", "dict", "precision", to="float16"),
    "fitted recipes that are none": change("_fitted_shape", "dict", "recipes", to=None),
    "a fitted recipe of all parameters": change("_fitted_shape", "dict", "recipes", to=[{"dict": {"tol": 1.0}}]),
    "a fitted parameter too few": without("_fitted_shape", "dict", "activation"),
    "optimizer's state of another size": array("_progress.0.state.optimizer.mean", lambda given: given[:-1]),
    "penalty's state of another size": array("_progress.0.state.regularization.1_right", lambda given: given[:-1]),
    "parameters of another size": array("_progress.0.parameters", lambda given: given[:-32]),
    "a type of tensors that numpy has not": lambda document, arrays: written(document, arrays).replace(
        b'"F32"', b'"BF16"', 1
    ),
}  # fmt: skip


def doubled(data: bytes) -> bytes:
    """Return the file with one of its tensors named twice."""
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size].rstrip()
    again = header[header.index(b'"_') : header.index(b"}", header.index(b'"_')) + 1]
    header = header[:-1] + b"," + again + b"}"
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]


def of_size(document: Any, size: int) -> Any:
    """Return the document with another hidden layer, in the parameters and in what they are compared with."""
    for place in ("parameters", "_fitted_shape"):
        put(document, ("estimator", "NNClassifier", place, "dict", "hidden_layer_sizes"), {"tuple": [size]})
    return document


def refused(data: bytes, path: Path) -> str:
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match="cannot be loaded") as caught:
        load(path)
    return str(caught.value)


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_bad_file_is_refused(change: Any, rich: Path, path: Path) -> None:
    document, arrays = opened(rich)
    untouched = written(copy.deepcopy(document), dict(arrays))
    path.write_bytes(untouched)
    load(path)
    data = change(document, arrays)
    assert data != untouched
    assert "makes no estimator (" not in refused(data, path), "no check has foreseen it"


def test_a_file_of_other_tensors_is_refused(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(FileFormatError, match="not one of sknnopt"):
        load(path)


def test_a_loaded_estimator_says_what_is_wrong_where(rich: Path, path: Path) -> None:
    message = refused(HOSTILE["a temperature of zero"](*opened(rich)), path)
    assert "_settings.temperatures must be a tuple" in message
    assert str(path) in message


@pytest.mark.parametrize("kind", ["all that there is", "double precision", "sparse", "heads"])
def test_any_change_gives_a_clear_error_or_a_working_estimator(kind: str, path: Path) -> None:
    """The same over many hours, guided by coverage: ``benchmarks/fuzz_load.py``."""
    save(SEEDS[kind]()[0], path)
    (document, arrays), data, chance, outcomes = opened(path), path.read_bytes(), random.Random(0), []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(125):
            path.write_bytes(bitten(data, chance) if i % 5 == 0 else mutated(document, arrays, chance))
            outcomes.append(outcome(path, thoroughly=i % 10 == 1))
    assert set(outcomes) == {"refused", "opened"}
    assert outcomes.count("refused") > 50
    assert outcomes.count("opened") > 5


def test_no_code_of_a_pickle_or_of_names_is_near() -> None:
    """What reads files neither unpickles, evaluates nor imports by name."""
    for source in Path(persistence.__file__).parent.glob("*.py"):
        words = source.read_text(encoding="utf-8").replace("pickle and joblib", "").replace("pickle, joblib", "")
        for word in ("import pickle", "eval(", "exec(", "importlib", "__import__", "getattr(module", "allow_pickle"):
            assert word not in words, source
