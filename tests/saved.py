"""Files of fitted estimators for tests: what is in them, and files like them but for one change."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as as_safetensors

Document = dict[str, Any]
Arrays = dict[str, np.ndarray]


def opened(path: Path) -> tuple[Document, Arrays]:
    """Return the JSON of a file and its arrays."""
    with safe_open(path, "numpy") as file:
        return json.loads(file.metadata()["sknnopt"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def written(document: Any, arrays: Arrays, **metadata: str) -> bytes:
    """Return a file of them."""
    text = document if isinstance(document, str) else json.dumps(document)
    return as_safetensors(
        {name: np.require(one, requirements="C") for name, one in arrays.items()}, {"sknnopt": text, **metadata}
    )


def leaves(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all values in a document, lists and objects among them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place, *(deeper for key, one in inside for deeper in leaves(one, (*place, key)))]


def put(document: Any, place: tuple[Any, ...], value: Any) -> None:
    """Replace what is at a place."""
    for key in place[:-1]:
        document = document[key]
    document[place[-1]] = value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type, content and bits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        kinds = one.dtype == other.dtype or one.dtype.kind == other.dtype.kind == "U"
        if one.dtype == object:
            return one.shape == other.shape and all(map(same, one.tolist(), other.tolist()))
        return kinds and one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "get_params"):
        return same(one.get_params(deep=False), other.get_params(deep=False))
    return bool(one == other) or (one != one and other != other)
