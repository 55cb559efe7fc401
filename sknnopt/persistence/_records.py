"""The known types but for techniques and estimators: encoders, targets, networks, and where training stands."""

from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import LabelEncoder

from sknnopt._random import MemberRandom
from sknnopt.activations import Activation
from sknnopt.data import ClassTarget, RegressionTarget, TableEncoder
from sknnopt.data.categorical import MAX_CATEGORIES, Levels
from sknnopt.data.encoding import ROBUST, STATISTICS, Encoding
from sknnopt.data.numeric import LARGEST
from sknnopt.data.quantiles import Quantiles
from sknnopt.data.ranks import Ranks
from sknnopt.embeddings import NumericEmbedding
from sknnopt.engine import Progress
from sknnopt.estimators._calibration import Settings
from sknnopt.estimators._conformal import Conformal
from sknnopt.estimators._range_test import Rate
from sknnopt.nn import MLP, Inputs, ResNet, TabM
from sknnopt.persistence import _checks as is_
from sknnopt.persistence._checks import FLOATS, Check, a, array, count, list_of, number, one_of, optional, tuple_of
from sknnopt.persistence._errors import require
from sknnopt.persistence._techniques import TECHNIQUES
from sknnopt.persistence._values import Record
from sknnopt.schedules import PlateauState

_objects = Check("an array of objects", lambda v: type(v) is np.ndarray and v.dtype == object and v.ndim == 1)
_floats = array("float64")
_dtype = one_of(*FLOATS)


def _levels(values: dict[str, Any]) -> Levels:
    categories, rare = values["categories"], values["rare"]
    require(len(categories) == len(rare) > 0, "there must be levels, each rare or not")
    missing = [level is None or level != level for level in categories]
    require(not any(missing[:-1]) and len(set(categories)) == len(categories), "no level may be there twice")
    require(len(categories) - rare.sum() + rare.any() <= MAX_CATEGORIES, f"at most {MAX_CATEGORIES} columns")
    out = Levels.__new__(Levels)
    out.__setstate__(values)
    return out


def _ascending(values: NDArray[np.float64]) -> bool:
    return len(values) > 0 and bool(np.abs(values).max() <= LARGEST) and bool((np.diff(values) > 0).all())


def _quantiles(values: dict[str, Any]) -> Quantiles:
    out = Quantiles(**values)
    require(len(out.values) == len(out.first) == len(out.last), "there must be shares of each value")
    shares = np.column_stack([out.first, out.last]).ravel()
    inside = bool(((shares >= 0) & (shares <= 1)).all()) and bool((np.diff(shares) >= 0).all())
    require(_ascending(out.values) and inside, "values and their shares must ascend")
    return out


def _ranks(values: dict[str, Any]) -> Ranks:
    out = Ranks(**values)
    require(len(out.values) == len(out.ranks), "there must be a rank of each value")
    require(_ascending(out.values) and _ascending(out.ranks), "values and their ranks must ascend")
    require(np.abs(out.ranks).max() <= 3, "ranks must lie about those of medians")
    return out


def _take_encoder(encoder: TableEncoder) -> dict[str, Any]:
    encoding = encoder.encoding
    return {
        "categorical_features": encoder.categorical_features,
        "numbers": encoder.numbers,
        "dtype": np.dtype(encoder.dtype).name,
        "n_features_in": encoder.n_features_in_,
        "feature_names_in": getattr(encoder, "feature_names_in_", None),
        "numeric_columns": encoder.numeric_columns_,
        "untyped": encoder._untyped,
        "center": encoder.center_,
        "scale": encoder.scale_,
        "encoded": encoding.numbers,
        "subtracted": encoding.center,
        "factor": encoding.factor,
        "marked": encoding.marked,
        "levels": list(encoding.levels),
        "quantiles": encoding.quantiles,
        "ranks": [encoding.ranks.get(place) for place in range(len(encoding.center))],
    }


_ENCODER = Record(
    {
        "categorical_features": is_.ANYTHING, "numbers": one_of(*STATISTICS), "dtype": _dtype,
        "n_features_in": count(1), "feature_names_in": optional(is_.NAMES), "numeric_columns": array("int64"),
        "untyped": list_of(is_.BOOLEAN), "center": _floats, "scale": _floats, "encoded": one_of(*STATISTICS, "max_abs"),
        "subtracted": _floats, "factor": _floats, "marked": array("int64"), "levels": list_of(a(Levels)),
        "quantiles": list_of(optional(a(Quantiles))), "ranks": list_of(optional(a(Ranks))),
    },
    _take_encoder,
    lambda values: _encoder(**values),
)  # fmt: skip


def _check_sizes(n_features: int, names: Any, numeric: Any, marked: Any, levels: list[Any], *others: Any) -> None:
    count = len(numeric)
    require(n_features == count + len(levels), "each column must be one of numbers or have levels")
    require(names is None or len(names) == len(set(names)) == n_features, "there must be a name for each column")
    for places, below in ((numeric, n_features), (marked, count)):
        inside = not len(places) or (places.min() >= 0 and places.max() < below)
        require(inside and (np.diff(places) > 0).all(), "places of columns must ascend")
    require(all(len(one) == count for one in others), "there must be statistics of each column of numbers")


def _encoder(
    categorical_features: Any, numbers: str, dtype: str, n_features_in: int, feature_names_in: Any,
    numeric_columns: Any, untyped: list[bool], center: Any, scale: Any, encoded: str, subtracted: Any, factor: Any,
    marked: Any, levels: list[Levels], quantiles: list[Any], ranks: list[Any],
) -> TableEncoder:  # fmt: skip
    statistics = untyped, center, scale, subtracted, factor, quantiles, ranks
    _check_sizes(n_features_in, feature_names_in, numeric_columns, marked, levels, *statistics)
    require(encoded == numbers or (encoded == "max_abs" and numbers in ROBUST and not levels), "wrong way to encode")
    by_quantiles = encoded == "quantile_normal"
    require(all((one is not None) == by_quantiles for one in quantiles), "quantiles belong to 'quantile_normal'")
    require(encoded == "auto" or not any(ranks), "ranks belong to 'auto'")
    require((scale > 0).all() and (subtracted[factor == 0] == 0).all(), "scales must be above 0")
    missing = np.zeros(len(center), dtype=bool)
    missing[marked] = True
    encoding = Encoding(missing.tolist(), levels, FLOATS[dtype], numbers=encoded)
    encoding.center, encoding.factor, encoding.quantiles = subtracted, factor, quantiles
    encoding.ranks = {place: one for place, one in enumerate(ranks) if one is not None}
    out = TableEncoder(categorical_features=categorical_features, numbers=numbers, dtype=FLOATS[dtype])
    out.n_features_in_ = n_features_in
    if feature_names_in is not None:
        out.feature_names_in_ = feature_names_in
    out.numeric_columns_ = numeric_columns
    out.categorical_columns_ = np.setdiff1d(np.arange(n_features_in), numeric_columns)
    out._untyped, out._encoding, out.center_, out.scale_ = untyped, encoding, center, scale
    out._describe()
    return out


def _take_classes(target: ClassTarget) -> dict[str, Any]:
    return {"kind": target.kind, "classes": target.classes_, "sparse": target._sparse}


def _classes(values: dict[str, Any]) -> ClassTarget:
    out, classes = ClassTarget(), values["classes"]
    out.kind, out.classes_, out._sparse, out.n_outputs_ = values["kind"], classes, values["sparse"], len(classes)
    if out.kind == "multilabel":
        require(np.array_equal(classes, np.arange(len(classes))) and len(classes) > 0, "labels must be numbered")
        return out
    least, most = (2, 2) if out.kind == "binary" else (3, len(classes))
    known = classes.dtype != object or all(type(one) is not float or one == one for one in classes)
    require(least <= len(classes) <= most and known, f"{len(classes)} classes are not {out.kind}")
    require(len(unique := np.unique(classes)) == len(classes) and (unique == classes).all(), "classes must ascend")
    out._labels = LabelEncoder()
    out._labels.classes_ = classes
    return out


def _take_numbers(target: RegressionTarget) -> dict[str, Any]:
    return {
        "scale": target.scale, "dtype": np.dtype(target.dtype).name, "mean": target.mean_, "factor": target.scale_,
    }  # fmt: skip


def _numbers(values: dict[str, Any]) -> RegressionTarget:
    out = RegressionTarget(scale=values["scale"], dtype=FLOATS[values["dtype"]])
    out.mean_, out.scale_, out.n_outputs_ = values["mean"], values["factor"], len(values["mean"])
    require(len(out.mean_) == len(out.scale_) > 0 and (out.scale_ > 0).all(), "there must be a scale for each target")
    return out


_NETWORK = {
    "n_inputs": count(1), "hidden": tuple_of(count(1)), "n_outputs": count(1), "activation": a(Activation),
    "normalization": one_of("batch", "layer", None), "dropout": tuple_of(number(0, 1)), "scaled": is_.BOOLEAN,
    "inputs": optional(a(Inputs)),
}  # fmt: skip


def _shallow(one: Any) -> dict[str, Any]:
    return {field.name: getattr(one, field.name) for field in fields(one)}


def _network(kind: type[Any], values: dict[str, Any]) -> Any:
    require(len(values["hidden"]) == len(values["dropout"]), "there must be a rate for each hidden layer")
    require(kind is MLP or values["hidden"], "there must be hidden layers")
    inputs, column = values["inputs"], 0
    if inputs is not None:
        for first, levels, _ in ((inputs.numbers, 0, 0), *inputs.categories):
            require(column <= first and first + levels <= values["n_inputs"], "embedded columns must ascend")
            column = first + levels
    return kind(**values)


def _progress(values: dict[str, Any]) -> Progress:
    random = values["random"]
    require(random is None or _is_random_state(random), "the state of random generators must be one")
    out = Progress.__new__(Progress)
    out.__setstate__(values)
    return out


def _is_random_state(state: dict[str, Any]) -> bool:
    """Whether a member's random streams take this state and give it back."""
    bits, random = state.get("device_bits"), MemberRandom(np.random.SeedSequence(0), torch.device("cpu"))
    try:
        random.restore(state)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError):
        return False
    return (bits is None or array("uint8").holds(bits)) and _same({**random.state(), "device_bits": bits}, state)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and bool(one == other)


_PLATEAU = {"best": a(float), "bad_epochs": count(), "cooldown": count(), "factor": number(0, 1)}
_CATEGORY = Check(
    "three whole numbers", lambda v: type(v) is tuple and len(v) == 3 and all(map(count(0).holds, v)) and min(v[1:]) > 0
)


def _is_test(value: Any) -> bool:
    """Whether this is what a user may read of a range test."""
    names = {"learning_rate", "loss", "epochs", "n_samples"}
    if not isinstance(value, dict) or value.keys() != names or not all(map(count().holds, list(value.values())[2:])):
        return False
    rates, losses = value["learning_rate"], value["loss"]
    return _floats.holds(rates) and array("float64", finite=False).holds(losses) and len(rates) == len(losses)


_KNOWN: dict[type, Record] = {
    Levels: Record({"categories": _objects, "rare": array("bool")}, Levels.__getstate__, _levels),
    Quantiles: Record(dict.fromkeys(("values", "first", "last"), _floats), vars, _quantiles),
    Ranks: Record(dict.fromkeys(("values", "ranks"), _floats), vars, _ranks),
    TableEncoder: _ENCODER,
    ClassTarget: Record(
        {
            "kind": one_of("binary", "multiclass", "multilabel"), "sparse": is_.BOOLEAN,
            "classes": Check("an array of classes", lambda v: type(v) is np.ndarray and v.ndim == 1),
        },
        _take_classes,
        _classes,
    ),
    RegressionTarget: Record(
        {"scale": one_of("standard", "mean", None), "dtype": _dtype, "mean": _floats, "factor": _floats},
        _take_numbers,
        _numbers,
    ),
    Inputs: Record(
        {
            "numbers": count(), "embedding": optional(a(NumericEmbedding)), "categories": tuple_of(_CATEGORY),
            "scale": is_.BOOLEAN,
        },
        _shallow,
        lambda values: Inputs(**values),
    ),
    MLP: Record(_NETWORK, _shallow, partial(_network, MLP)),
    ResNet: Record(_NETWORK, _shallow, partial(_network, ResNet)),
    TabM: Record({**_NETWORK, "n_heads": count(1), "link": is_.LINK}, _shallow, partial(_network, TabM)),
    Rate: Record(
        {"value": number(0), "test": optional(Check("a range test", _is_test))}, Rate._asdict, lambda v: Rate(**v)
    ),
    Settings: Record(
        {
            "temperatures": tuple_of(number(1e-9)), "weights": tuple_of(number(0, 1)), "average": number(1e-9),
            "quantiles": optional(a(Conformal)),
        },
        Settings._asdict,
        lambda values: Settings(**values),
    ),
    Conformal: Record(
        {"center": count(), "shift": _floats, "factors": array("float64", ndim=2)},
        Conformal._asdict,
        lambda values: Conformal(**values),
    ),
    PlateauState: Record(_PLATEAU, vars, lambda values: PlateauState(**values)),
    Progress: Record(
        {
            "parameters": array(*FLOATS), "buffers": array(*FLOATS),
            "state": is_.mapping(array(*FLOATS, ndim=None, finite=False)),
            "random": optional(a(dict)), "steps": count(), "epochs": count(),
            "schedule_state": optional(a(PlateauState)),
        },
        Progress.__getstate__,
        _progress,
    ),
}  # fmt: skip

KNOWN = {**TECHNIQUES, **{kind: (kind.__name__, record) for kind, record in _KNOWN.items()}}
"""By class, the names and records of all types inside a file's estimator."""
