"""Plain values and objects of known types, as JSON and arrays.

None, bools, finite numbers, strings and lists are what they are in JSON. Everything else is a JSON object with one
key, which says what it is: ``{"tuple": [...]}``, ``{"Adam": {...}}``.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sknnopt.persistence._checks import Check
from sknnopt.persistence._errors import FileFormatError, require

DEEPEST = 30
"""Values inside values."""

LONGEST = 40
"""Digits of a whole number: those of random generators have 39."""

NUMBERS = {
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64",
}  # fmt: skip
"""Types of arrays of numbers."""

_DEVICE = re.compile(r"(cpu|cuda|mps)(:\d{1,3})?")
_UNFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _at(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


class Record(NamedTuple):
    """A known type.

    Attributes
    ----------
    fields : mapping of str to Check
        Those of the file, all of which must be there.
    take : callable
        From an object to its fields.
    make : callable
        From checked fields to an object; raises ValueError or TypeError where they do not go together.
    """

    fields: Mapping[str, Check]
    take: Callable[[Any], Mapping[str, Any]]
    make: Callable[[dict[str, Any]], Any]


class Writer:
    """Turns values into what JSON can hold, and collects arrays.

    Parameters
    ----------
    types : mapping of type to (str, Record)

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self, types: Mapping[type, tuple[str, Record]]) -> None:
        self._types = types
        self.arrays: dict[str, NDArray[Any]] = {}

    def encode(self, value: Any, path: str, depth: int = 0) -> Any:
        """Return the value as JSON can hold it.

        Raises
        ------
        TypeError
            For what has no place in a file.
        """
        kind = type(value)
        if value is None or kind in (bool, str) or (kind is int and len(str(abs(value))) < LONGEST):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"number": str(value)}
        if depth < DEEPEST:
            if kind in (list, tuple):
                items = [self.encode(one, _at(path, i), depth + 1) for i, one in enumerate(value)]
                return items if kind is list else {"tuple": items}
            if kind is dict:
                return {"dict": self._dict(value, path, depth + 1)}
            if kind is np.ndarray:
                return self._array(value, path, depth + 1)
            if isinstance(value, np.generic) and (value.dtype.name in NUMBERS or kind is np.str_):
                name = "str" if kind is np.str_ else value.dtype.name
                return {"scalar": [name, self.encode(value.item(), path, depth + 1)]}
            if kind is torch.device:
                return {"device": str(value)}
            if kind in self._types:
                name, record = self._types[kind]
                fields = record.take(value).items()
                return {name: {field: self.encode(one, _at(path, field), depth + 1) for field, one in fields}}
        raise TypeError(
            f"{path} is {value!r}, which is code or of a type that a file of sknnopt cannot hold. pickle and joblib "
            "can store such an estimator."
        )

    def _dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        if all(type(key) is str for key in value):
            return {key: self.encode(one, _at(path, key), depth) for key, one in value.items()}
        keys = [self.encode(key, f"{path}, a key,", depth) for key in value]
        return [[key, self.encode(one, _at(path, i), depth)] for i, (key, one) in enumerate(zip(keys, value.values()))]  # noqa: B905

    def _array(self, value: NDArray[Any], path: str, depth: int) -> Any:
        if value.dtype.name in NUMBERS:
            while path in self.arrays:
                path += "'"
            self.arrays[path] = np.require(value, value.dtype.newbyteorder("="), "C")
            return {"array": path}
        if value.dtype.kind == "U" and value.ndim == 1:
            return {"strings": value.tolist()}
        if value.dtype == object and value.ndim == 1:
            return {"objects": [self.encode(one, _at(path, i), depth) for i, one in enumerate(value)]}
        raise TypeError(
            f"{path} is an array of {value.dtype}, which a file of sknnopt cannot hold. pickle and joblib can store "
            "such an estimator."
        )


class Reader:
    """Turns what JSON has held into values again.

    Parameters
    ----------
    records : mapping of str to Record
    arrays : mapping of str to ndarray
        Each of which is to be used once.
    """

    def __init__(self, records: Mapping[str, Record], arrays: Mapping[str, NDArray[Any]]) -> None:
        self._records = records
        self._left = dict(arrays)
        self._tags: dict[str, Callable[[Any, str, int], Any]] = {
            "number": self._number, "tuple": self._tuple, "dict": self._dict, "array": self._array,
            "strings": self._strings, "objects": self._objects, "scalar": self._scalar, "device": self._device,
        }  # fmt: skip

    def decode(self, value: Any, path: str, depth: int = 0) -> Any:
        """Return the value.

        Raises
        ------
        FileFormatError
            With the place in the file.
        """
        require(depth <= 2 * DEEPEST, f"{path} lies too deep")
        if not isinstance(value, dict | list):
            return value
        if isinstance(value, list):
            return [self.decode(one, _at(path, i), depth + 1) for i, one in enumerate(value)]
        require(len(value) == 1, f"{path} must have one key, which names its type")
        ((tag, content),) = value.items()
        if tag in self._tags:
            return self._tags[tag](content, path, depth + 1)
        require(tag in self._records, f"{path} is of the unknown type {tag!r:.80}")
        return self._record(self._records[tag], content, path, depth + 1)

    def end(self) -> None:
        """Refuse arrays that have not been used."""
        require(not self._left, f"the file has an array {next(iter(self._left), '')!r:.80} that nothing refers to")

    def _record(self, record: Record, content: Any, path: str, depth: int) -> Any:
        require(isinstance(content, dict), f"{path} must have fields")
        for name in record.fields:
            require(name in content, f"{path} has no field {name!r}")
        for name in content:
            require(name in record.fields, f"{path} has an unknown field {name!r:.80}")
        fields = {name: self.decode(one, _at(path, name), depth) for name, one in content.items()}
        for name, check in record.fields.items():
            check(fields[name], _at(path, name))
        try:
            return record.make(fields)
        except FileFormatError as error:
            raise FileFormatError(f"{path}: {error}") from None
        except (ValueError, TypeError) as error:
            raise FileFormatError(f"{path}: {error}") from error

    def _list(self, content: Any, path: str) -> list[Any]:
        require(isinstance(content, list), f"{path} must be a list")
        out: list[Any] = content
        return out

    def _number(self, content: Any, path: str, depth: int) -> float:
        require(isinstance(content, str) and content in _UNFINITE, f"{path} must be nan, inf or -inf")
        return _UNFINITE[content]

    def _tuple(self, content: Any, path: str, depth: int) -> tuple[Any, ...]:
        return tuple(self.decode(self._list(content, path), path, depth))

    def _dict(self, content: Any, path: str, depth: int) -> dict[Any, Any]:
        if isinstance(content, dict):
            return {key: self.decode(one, _at(path, key), depth) for key, one in content.items()}
        pairs = [self._list(pair, path) for pair in self._list(content, path)]
        require(all(len(pair) == 2 for pair in pairs), f"{path} must hold pairs")
        out = {}
        for i, (key, value) in enumerate(pairs):
            name = self.decode(key, path, depth)
            require(isinstance(name, str | int | float | np.generic | None), f"{path} has a key that cannot be one")
            require(name not in out, f"{path} has a key twice")
            out[name] = self.decode(value, _at(path, i), depth)
        return out

    def _array(self, content: Any, path: str, depth: int) -> NDArray[Any]:
        require(isinstance(content, str), f"{path} must name an array")
        require(content in self._left, f"{path} refers to an array {content!r:.80}, which is missing or used twice")
        return self._left.pop(content)

    def _strings(self, content: Any, path: str, depth: int) -> NDArray[Any]:
        values = self._list(content, path)
        require(all(type(one) is str for one in values), f"{path} must hold strings")
        longest = max(map(len, values), default=0)
        require(len(values) * longest <= 16 * sum(map(len, values)) + 2**24, f"{path} has strings of too many lengths")
        return np.array(values, dtype=str)

    def _objects(self, content: Any, path: str, depth: int) -> NDArray[Any]:
        values = self.decode(self._list(content, path), path, depth)
        plain = (str, bool, int, float, type(None))
        require(all(type(one) in plain or isinstance(one, np.generic) for one in values), f"{path} must be plain")
        out = np.empty(len(values), dtype=object)
        for i, one in enumerate(values):
            out[i] = one
        return out

    def _scalar(self, content: Any, path: str, depth: int) -> Any:
        pair = self.decode(self._list(content, path), path, depth)
        require(len(pair) == 2 and isinstance(pair[0], str), f"{path} must have a type and a value")
        name, value = pair
        if name == "str":
            require(type(value) is str, f"{path} must be a string")
            return np.str_(value)
        require(name in NUMBERS, f"{path} is of the unknown type {name!r:.80}")
        require(type(value) in (bool, int, float), f"{path} must be a number")
        made = _as_scalar(name, value)
        require(made is not None and type(made.item()) is type(value), f"{path} must be a number of the type {name}")
        return made

    def _device(self, content: Any, path: str, depth: int) -> torch.device:
        require(isinstance(content, str) and _DEVICE.fullmatch(content), f"{path} must be a device")
        return torch.device(content)


def _as_scalar(name: str, value: Any) -> Any:
    """Return the number in a type that holds it exactly, None if it does not."""
    try:
        with np.errstate(all="ignore"):
            made = np.dtype(name).type(value)
    except (OverflowError, ValueError):
        return None
    return made if made == value or value != value else None


def parse_json(text: str, what: str) -> Any:
    """Return what a JSON text holds, strictly: no key twice, no NaN, no infinity, no whole number of many digits.

    Raises
    ------
    FileFormatError
    """

    def pairs(items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(items)
        require(len(out) == len(items), f"{what} has a key twice")
        return out

    def whole(digits: str) -> int:
        require(len(digits) <= LONGEST, f"{what} has a number of {len(digits)} digits")
        return int(digits)

    def fraction(digits: str) -> float:
        require(math.isfinite(value := float(digits)), f"{what} has a number beyond all floats")
        return value

    def constant(name: str) -> Any:
        raise FileFormatError(f"{what} has the number {name}")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_int=whole, parse_float=fraction, parse_constant=constant)
    except RecursionError:
        raise FileFormatError(f"{what} is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise FileFormatError(f"{what} is no JSON: {error}") from None
