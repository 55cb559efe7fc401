"""What tells values apart by their content, from one run of a script to the next."""

import dataclasses
import random
import sys
import types
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse, special
from torch import Tensor

from sknnopt._choices import Choice
from sknnopt.checkpoints._bytes import Unkeyable, pieces, remembered, remembered_digest, tensor_digest
from sknnopt.checkpoints._code import is_installed, is_ours, named
from sknnopt.checkpoints._code_content import CodeHasher

MOST = 1_000_000
"""Containers and objects that are looked at before a value counts as one that cannot be told."""

_PLAIN = {
    bool, int, float, complex, range, slice, torch.dtype, type(None), type(Ellipsis), type(NotImplemented),
}  # fmt: skip
_RANDOM = (random.Random, np.random.RandomState, np.random.Generator, np.random.BitGenerator, torch.Generator)


def digest(*values: Any) -> str:
    """Return what is equal for values of equal content, also in another process.

    Arrays and tensors count by type, shape and elements; techniques by class and parameters; functions and classes of
    the user's own by their code, by what they close over and by the globals that they use, those of installed packages
    by name and version; other objects by what they would be pickled as.

    Raises
    ------
    Unkeyable
        For what has no content that could be told, or one that changes as it is used.

    Examples
    --------
    >>> import numpy as np
    >>> digest(np.arange(3), "adam") == digest(np.arange(3), "adam")
    True
    >>> digest(lambda x: x + 1) == digest(lambda x: x + 2)
    False
    """
    hasher = _Hasher()
    try:
        for value in values:
            hasher.add(value)
    except Unkeyable:
        raise
    except Exception as error:  # of an object's own code, or one that is nested too deep
        raise Unkeyable(f"its content could not be told ({type(error).__name__}: {error!s:.200})") from error
    return hasher.hexdigest()


class Fixed(NamedTuple):
    """A tensor whose elements nobody changes, so that its digest, if it is large, may be remembered."""

    tensor: Tensor


class _Hasher(CodeHasher):
    def __init__(self) -> None:
        super().__init__()
        self._inside: dict[int, int] = {}
        self._seen = 0

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind is str:
            self._write("str", value.encode("utf-8", "surrogatepass"))
        elif kind in _PLAIN:
            self._write(kind.__name__, repr(value).encode())
        elif kind is bytes:
            self._write("bytes", value)
        elif kind in (np.ndarray, np.memmap):
            self._array(value)
        elif kind is Fixed:
            self._write("tensor", remembered_digest(value.tensor))
        elif isinstance(value, Tensor):
            self._write("tensor", tensor_digest(value))
        elif kind is torch.device:
            self._write("device", value.type.encode())
        elif isinstance(value, np.void):
            self._write(kind.__name__)
            self._array(np.asarray(value))  # its text is cut where it is long
        elif isinstance(value, np.generic | np.dtype):
            self._write(kind.__name__, repr(value).encode())
        elif isinstance(value, _RANDOM):
            raise Unkeyable(f"{value!r} gives other numbers each time it is used")
        elif kind in (types.FunctionType, type(len)) or isinstance(value, type | types.ModuleType):
            self._code_of(value)
        else:
            self._within(value)

    def _within(self, value: Any) -> None:
        """Add what holds other values, and perhaps itself."""
        if id(value) in self._inside:
            self._write("again", str(self._inside[id(value)]).encode())
            return
        self._seen += 1
        if self._seen > MOST:
            raise Unkeyable(f"what belongs to it are more than {MOST:,} objects")
        self._inside[id(value)] = len(self._inside)
        try:
            self._container(value)
        finally:
            del self._inside[id(value)]

    def _container(self, value: Any) -> None:
        kind = type(value)
        if kind in (tuple, list):
            self._sequence(kind.__name__, value)
        elif kind in (dict, types.MappingProxyType):
            self._mapping(value)
        elif isinstance(value, set | frozenset):
            self._sequence("set", sorted(digest(one) for one in value))
        elif isinstance(value, Choice):
            self._object(kind, value.get_params(deep=False) | ({} if is_ours(kind.__module__) else vars(value)))
        elif hasattr(kind, "checkpoint_content"):
            self._object(kind, value.checkpoint_content())
        elif hasattr(kind, "digest_chunks"):
            self._write("chunks", remembered(value, _chunks_digest))
        elif dataclasses.is_dataclass(kind) and kind.__module__.startswith("sknnopt."):
            self._object(kind, {name: getattr(value, name) for name in _field_names(kind)})
        elif kind is np.random.SeedSequence:
            self._sequence("seed", (value.entropy, value.spawn_key, value.pool_size, value.n_children_spawned))
        elif sparse.issparse(value):
            own = value.tocsr()
            self._sequence("sparse", (own.shape, own.data, own.indices, own.indptr))
        elif isinstance(value, np.ufunc):
            self._ufunc(value)
        elif isinstance(value, types.MethodType):
            self._sequence("method", (value.__func__, value.__self__))
        else:
            self._reduced(value)

    def _ufunc(self, value: np.ufunc) -> None:
        for module in (np, special):
            if getattr(module, value.__name__, None) is value:
                self._write("ufunc", f"{module.__name__}.{value.__name__}".encode())
                return
        raise Unkeyable(f"{value!r} is known by nothing but its name")

    def _sequence(self, tag: str, values: Any) -> None:
        self._write(tag, str(len(values)).encode())
        for one in values:
            self.add(one)

    def _mapping(self, value: Mapping[Any, Any]) -> None:
        self._write("dict", str(len(value)).encode())
        for key, one in value.items():
            self.add(key)
            self.add(one)

    def _object(self, kind: type, content: Any) -> None:
        self._write("object")
        self.add(kind)
        self.add(content)

    def _reduced(self, value: Any) -> None:
        """Add an object by what it would be pickled as."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise Unkeyable(f"{value!r:.200} has no content that could be told ({error})") from None
        if isinstance(reduced, str):
            self._global(value, reduced)
            return
        make, args, *rest = reduced
        self._write("reduced")
        self.add(make)
        self.add(tuple(args))
        for part in rest:
            self.add(list(part) if isinstance(part, Iterator) else part)

    def _global(self, value: Any, name: str) -> None:
        """Add what is known by a name in its module, such as a compiled function, or one behind a cache."""
        module = getattr(value, "__module__", None)
        self._write("global", named(module, name))
        self._write("kind", named(type(value).__module__, type(value).__qualname__))
        if hasattr(value, "__wrapped__"):
            self.add(value.__wrapped__)
        elif not is_installed(module):
            self.add(sys.modules[str(module)])

    def _array(self, value: np.ndarray) -> None:
        if value.dtype.hasobject or value.dtype.kind == "T":
            self._sequence("objects", (repr(value.dtype), value.shape, value.ravel().tolist()))
            return
        kind = value.dtype.str if value.dtype.names is None else repr(value.dtype)
        self._write("array", f"{kind}{value.shape}".encode())
        self._take_in()
        for piece in pieces(value):
            self._hash.update(piece)


def _chunks_digest(value: Any) -> bytes:
    """Return the digest of what gives its content a little at a time."""
    hasher = _Hasher()
    for chunk in value.digest_chunks():
        hasher.add(chunk)
    return hasher.hexdigest().encode()


@lru_cache(maxsize=1024)
def _field_names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
