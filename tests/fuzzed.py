"""Files of estimators changed at random, in their structure or their bytes, and what must hold of each."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from saved import Arrays, Document, leaves, opened, put, written
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from test_persistence import FRAME, LABELS, NUMBERS, SPARSE, TARGET, WORDS, classify, regress

from sknnopt import load, losses, regularization, save
from sknnopt.embeddings import PiecewiseLinear
from sknnopt.persistence import FileFormatError
from sknnopt.persistence._estimators import RECORDS

TABLE = FRAME[["size", "city", "amount"]]
RICH = {
    "n_members": 2, "recipes": [{"network": "tabm", "n_heads": 2, "activation": "prelu"}], "early_stopping": True,
    "normalization": "batch", "warm_start": True, "schedule": "plateau", "hidden_layer_sizes": (4,),
    "numeric_embedding": PiecewiseLinear(n_bins=2, embedding_size=2),
    "class_weight": {"no": 2.0, "yes": 1, "perhaps": 1.5},
    "regularization": regularization.L1() + regularization.SpectralNorm(),
}  # fmt: skip
SMALL = {"hidden_layer_sizes": (3,)}

SEEDS: dict[str, Callable[[], Any]] = {
    "all that there is": lambda: classify(TABLE, WORDS, **RICH),
    "double precision": lambda: regress(
        FRAME[["size", "amount"]], **SMALL, loss="huber", precision="float64", preprocessing="quantile_normal",
        learning_rate="auto",
    ),
    "plain numbers": lambda: classify(**SMALL),
    "no encoder": lambda: classify(NUMBERS.astype(np.float32), preprocessing=None, **SMALL),
    "quantiles": lambda: regress(**SMALL, loss=losses.Quantile(quantile=[0.1, 0.5, 0.9]), early_stopping=True),
    "labels": lambda: classify(y=LABELS, **SMALL, warm_start=True, optimizer="sgd"),
    "sparse": lambda: classify(SPARSE, **SMALL),
    "residual": lambda: regress(FRAME, network="resnet", **SMALL, normalization="layer", weight_averaging="ema"),
    "periodic": lambda: classify(**SMALL, numeric_embedding="periodic", optimizer="lbfgs", warm_start=True),
    "heads": lambda: regress(TABLE, network="tabm", n_heads=2, **SMALL, categorical_embedding="auto"),
    "two targets": lambda: regress(y=np.column_stack([TARGET, -TARGET]), **SMALL),
    "categories": lambda: classify(FRAME[["city", "grade"]], WORDS, **SMALL, activation="prelu"),
}  # fmt: skip
"""By what they have, estimators to begin with."""

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 10**9, 2**31, 2**53, 2**53 + 1, 10**30, 1.5, -0.0, 1e-300, 1e308, "", "relu",
    "nan", "auto", "\ud7ff\x00", [], [1], {}, {"tuple": []}, {"dict": {}}, {"number": "inf"}, {"number": "nan"},
    {"strings": ["a", "b", "c"]}, {"objects": ["a", None, 1]}, {"scalar": ["int8", 1]}, {"scalar": ["float32", 0.5]},
    {"scalar": ["str", "a"]}, {"device": "cuda:0"}, {"losses.Hinge": {"squared": True}}, {"activations.ReLU": {}},
    {"dict": [[1, 2]]}, {"tuple": [1, 2]}, {"tuple": [0.5]}, {"array": "nothing"},
]  # fmt: skip
NUMBERS_LIKE = [0.0, -1.0, 1.0, 1e-45, 1e-300, 1e30, 3e38, 1e300, np.nan, np.inf, -np.inf, 2.0**40, -(2.0**40)]
DTYPES = ["float32", "float64", "float16", "int64", "int32", "int8", "uint8", "bool", "uint64"]
NAMES = sorted(name for name, _ in RECORDS.values())


def seeds(folder: Path) -> list[Path]:
    """Write a file of each estimator to begin with."""
    paths = [folder / f"{i:02}.safetensors" for i in range(len(SEEDS))]
    for path, make in zip(paths, SEEDS.values(), strict=True):
        save(make()[0], path)
    return paths


def content(path: Path) -> tuple[Document, Arrays] | None:
    """Return the JSON and the arrays of a file, None if there are none."""
    try:
        document, arrays = opened(path)
        return document, dict(arrays)
    except BaseException:  # a panic of safetensors is no Exception
        return None


def mutated(document: Document, arrays: Arrays, chance: random.Random, other: Document | None = None) -> bytes:
    """Return a file with some changes; what is not at its place may come from another document."""
    document, arrays = copy.deepcopy(document), dict(arrays)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        change = chance.choice(
            [_replaced, _replaced, _moved, _resized, _everywhere, _renamed, _array, _array, _swapped]
        )
        change(document, arrays, chance, other or document)
    try:
        return written(document, arrays)
    except Exception:  # a text that UTF-8 has not, an array of an odd type
        return written({}, {})


def _inside(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def _place(document: Any, chance: random.Random) -> tuple[Any, ...]:
    places = leaves(document)[1:]
    return chance.choice(places) if places else ()


def _replaced(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Put an odd value, or one like it, in the place of one."""
    place = _place(document, chance)
    if not place:
        return
    value, new = _inside(document, place), copy.deepcopy(chance.choice(ODD))
    if type(value) in (int, float) and chance.random() < 0.6:
        new = chance.choice([value + 1, value - 1, -value, 2 * value, float(value), value / 3, value * 2**40])
    elif type(value) is str and chance.random() < 0.5:
        new = chance.choice([value[1:], value + value, value.upper(), chance.choice(NAMES)])
    put(document, place, new)


def _moved(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Put what lies elsewhere into a place; as a rule what lies under the same name."""
    place = _place(document, chance)
    if not place:
        return
    there = leaves(other)[1:]
    alike = [one for one in there if one[-1] == place[-1]] if chance.random() < 0.7 else there
    if alike:
        put(document, place, copy.deepcopy(_inside(other, chance.choice(alike))))


def _resized(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Leave an item of a list or an object out, double it, or turn a list round."""
    insides = [one for one in leaves(document) if one and isinstance(_inside(document, one), list | dict)]
    if not insides:
        return
    inside = _inside(document, chance.choice(insides))
    if isinstance(inside, dict) and inside:
        key = chance.choice(list(inside))
        value = inside.pop(key)
        if chance.random() < 0.3:
            inside[chance.choice(NAMES)] = value
    elif inside:
        i = chance.randrange(len(inside))
        chance.choice([lambda: inside.pop(i), lambda: inside.insert(i, copy.deepcopy(inside[i])), inside.reverse])()


def _everywhere(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Change a number or a text wherever it occurs, so that it still agrees with itself."""
    plain = [one for one in leaves(document)[1:] if type(_inside(document, one)) in (int, float, str)]
    if not plain:
        return
    value = _inside(document, chance.choice(plain))
    new = chance.choice([0, 1, 2, 3, 5, -1, 10**6, 10**12, 0.5]) if type(value) is not str else chance.choice(NAMES)
    for place in plain:
        if type(_inside(document, place)) is type(value) and _inside(document, place) == value:
            put(document, place, new)
    if type(value) is int and 0 < value < 100 and type(new) is int and 0 <= new < 100:
        for name, one in arrays.items():
            if value in one.shape:
                arrays[name] = np.resize(one, [new if n == value else n for n in one.shape])


def _renamed(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Name another type or another array."""
    tags = [one for one in leaves(document)[1:] if one[-1] in NAMES or one[-1] == "array"]
    if not tags:
        return
    place = chance.choice(tags)
    if place[-1] == "array":
        put(document, place, chance.choice([*arrays, "nothing"]))
        return
    outer, kind = _inside(document, place[:-1]), place[-1].partition(".")[0]
    alike = [name for name in NAMES if name.partition(".")[0] == kind] if "." in place[-1] else NAMES
    outer[chance.choice(alike)] = outer.pop(place[-1])


def _array(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Change an array's numbers, type, shape or length."""
    if not arrays:
        return
    name = chance.choice(list(arrays))
    one = np.array(arrays[name])
    way = chance.randrange(8)
    with np.errstate(all="ignore"):
        if way < 3 and one.size:
            new = chance.choice(NUMBERS_LIKE)
            if one.dtype.kind == "f" or np.isfinite(new):
                one.flat[chance.randrange(one.size)] = np.array(new).astype(one.dtype)
        elif way == 3 and one.dtype.kind == "f":
            one = one * one.dtype.type(chance.choice([0, -1, 1e-40, 1e30, 1e38]))
        elif way == 4:
            one = one.astype(chance.choice(DTYPES))
        elif way == 5:
            one = chance.choice([one.ravel(), one.T, one[None], one[::-1], one[:0]])
        elif way == 6:
            one = chance.choice([one[:-1], np.concatenate([one, one[:1]])]) if one.ndim else one.reshape(1)
        else:
            one = np.sort(one, axis=None).reshape(one.shape)
    arrays[name] = one


def _swapped(document: Any, arrays: Arrays, chance: random.Random, other: Any) -> None:
    """Exchange two arrays, leave one out or add one."""
    if len(arrays) < 2:
        return
    one, two = chance.sample(list(arrays), 2)
    way = chance.randrange(4)
    if way < 2:
        arrays[one], arrays[two] = arrays[two], arrays[one]
    elif way == 2:
        del arrays[one]
    else:
        arrays[f"{one}'"] = arrays[two]


def bitten(data: bytes, chance: random.Random) -> bytes:
    """Return the file with some of its bytes changed, most of them in its header."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 3])):
        header = min(len(out), 8 + int.from_bytes(data[:8], "little"))
        if out:
            out[chance.randrange(max(1, chance.choice([header, len(out)])))] = chance.randrange(256)
    return bytes(out)


def outcome(path: Path, *, thoroughly: bool = False) -> str:
    """Load a file and use what comes; return whether it was "refused", "unforeseen" (refused by no check) or "opened".

    Raises
    ------
    Exception
        If there is anything but a clear error or a working estimator.
    """
    try:
        estimator = load(path)
    except FileFormatError as error:
        return "unforeseen" if "makes no estimator (" in str(error) else "refused"
    repr(estimator)
    X = rows_for(estimator)
    predicted = estimator.predict(X)
    assert len(predicted) == X.shape[0]
    if hasattr(estimator, "classes_"):
        shares = estimator.predict_proba(X)
        assert np.isfinite(shares).all()
        assert (shares >= 0).all()
    if thoroughly:
        again = path.with_suffix(".again")
        save(estimator, again)
        np.testing.assert_array_equal(load(again).predict(X), predicted)
        again.unlink()
        go_on(estimator, X)
    return "opened"


def rows_for(estimator: Any) -> Any:
    """Return three rows of a table that the estimator says it was fitted on."""
    encoder, width = estimator.preprocessor_, estimator.n_features_in_
    names = getattr(estimator, "feature_names_in_", None)
    if encoder is not None and encoder.encoding.numbers == "max_abs":
        return sparse.csr_array((3, width))
    if names is None and (encoder is None or not len(encoder.categorical_columns_)):
        return np.zeros((3, width), np.float32)
    columns: dict[int, Any] = {place: [0.0, 1.0, -1.0] for place in range(width)}
    if encoder is not None:
        for place, levels in zip(encoder.categorical_columns_.tolist(), encoder.categories_, strict=True):
            columns[place] = pd.Series([levels[0], levels[-1], levels[0]], dtype=object)
    frame = pd.DataFrame(columns)
    return frame.to_numpy(dtype=object) if names is None else frame.set_axis(names.tolist(), axis=1)


def go_on(estimator: Any, X: Any) -> None:
    """Train an epoch more; bad parameters and divergence have errors of their own."""
    target = estimator.predict(X)
    try:
        estimator.partial_fit(X, target)
    except (ValueError, ConvergenceWarning):
        return
    assert len(estimator.predict(X)) == X.shape[0]


def text_of(path: Path) -> str:
    """Return a file's JSON, to look at."""
    found = content(path)
    return "no file of arrays" if found is None else json.dumps(found[0], indent=1)
