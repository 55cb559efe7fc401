"""What tells values apart by their content, from one run of a script to the next."""

import builtins
import dataclasses
import dis
import hashlib
import os
import random
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse, special
from torch import Tensor

from sknnopt._choices import Choice

BYTES = 20
"""Length of a digest."""

CHUNK = 1 << 24
"""Bytes of an array that are taken at a time, where it is not in one piece."""

LARGE = 1 << 14
"""Bytes of a tensor from which its digest is remembered."""

_PLAIN = {
    bool, int, float, complex, range, slice, torch.dtype, type(None), type(Ellipsis), type(NotImplemented),
}  # fmt: skip
_RANDOM = (random.Random, np.random.RandomState, np.random.Generator, np.random.BitGenerator, torch.Generator)
_NO_CONTENT = {
    "__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "__annotations__",
    "_abc_impl", "__abstractmethods__", "__parameters__", "__orig_bases__", "__annotate__", "__slotnames__",
}  # fmt: skip


class Unkeyable(TypeError):
    """Raised for what cannot be told from others by its content: random streams, locks, files."""


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
    for value in values:
        hasher.add(value)
    return hasher.hexdigest()


class _Hasher:
    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=BYTES)
        self._parts: list[bytes] = []
        self._inside: dict[int, int] = {}
        self._code: dict[int, int] = {}

    def hexdigest(self) -> str:
        self._take_in()
        return self._hash.hexdigest()

    def _take_in(self) -> None:
        self._hash.update(b"".join(self._parts))
        self._parts.clear()

    def _write(self, tag: str, content: bytes = b"") -> None:
        self._parts.append(b"%s:%d:%s" % (tag.encode(), len(content), content))

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
        elif isinstance(value, Tensor):
            self._write("tensor", _tensor_digest(value))
        elif kind is torch.device:
            self._write("device", value.type.encode())
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
        self._inside[id(value)] = len(self._inside)
        try:
            self._container(value)
        finally:
            del self._inside[id(value)]

    def _container(self, value: Any) -> None:
        kind = type(value)
        if kind in (tuple, list):
            self._sequence(kind.__name__, value)
        elif kind is dict:
            self._mapping(value)
        elif isinstance(value, set | frozenset):
            self._sequence("set", sorted(digest(one) for one in value))
        elif isinstance(value, Choice):
            self._object(kind, value.get_params(deep=False))
        elif hasattr(kind, "checkpoint_content"):
            self._object(kind, value.checkpoint_content())
        elif hasattr(kind, "digest_chunks"):
            self._write("chunks", _chunks_digest(value))
        elif dataclasses.is_dataclass(kind):
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
            self._write("global", f"{type(value).__module__}.{reduced}".encode())
            return
        make, args, *rest = reduced
        self._write("reduced")
        self.add(make)
        self.add(tuple(args))
        for part in rest:
            self.add(list(part) if isinstance(part, Iterator) else part)

    def _array(self, value: np.ndarray) -> None:
        if value.dtype.hasobject:
            self._sequence("objects", (value.shape, value.ravel().tolist()))
            return
        self._write("array", f"{value.dtype.str}{value.shape}".encode())
        self._take_in()
        for piece in _pieces(value):
            self._hash.update(piece)

    # -- code

    def _code_of(self, value: Any) -> None:
        """Add a function, class or module, the second time by its number."""
        if isinstance(value, type) and (name := _installed_class(value)) is not None:
            self._write("class", name)
            return
        if id(value) in self._code:
            self._write("known", str(self._code[id(value)]).encode())
            return
        self._code[id(value)] = len(self._code)
        if isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        else:
            self._write("builtin", f"{value.__module__}.{value.__qualname__}".encode())
            if value.__self__ is not None and not isinstance(value.__self__, types.ModuleType):
                self.add(value.__self__)

    def _module(self, module: types.ModuleType) -> None:
        self._write("module", _named(module.__name__))
        file = getattr(module, "__file__", None)
        if file is not None and not _is_installed(module.__name__):
            self._write("source", Path(file).read_bytes())

    def _class(self, kind: type) -> None:
        self._write("class", _named(kind.__module__, kind.__qualname__))
        self.add(kind.__bases__)
        for name, member in sorted(vars(kind).items()):
            if name not in _NO_CONTENT and not isinstance(member, types.MemberDescriptorType):
                self._write("attribute", name.encode())
                self.add(_inner(member))

    def _function(self, function: types.FunctionType) -> None:
        self._write("function", _named(function.__module__, function.__qualname__))
        installed = _is_installed(function.__module__)
        if not installed or "<" in function.__qualname__:
            self._bytecode(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:  # not filled yet
                self._write("empty")
        if not installed:
            for name in sorted(set(_globals_of(function.__code__))):
                self._write("name", name.encode())
                if name in function.__globals__:
                    self.add(function.__globals__[name])
                elif not hasattr(builtins, name):
                    self._write("missing")

    def _bytecode(self, code: types.CodeType) -> None:
        self._write("code", code.co_code)
        self.add((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._bytecode(constant)
            else:
                self.add(constant)


def _globals_of(code: types.CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _globals_of(constant)


def _inner(member: Any) -> Any:
    """Return what a class's attribute is made of."""
    if isinstance(member, staticmethod | classmethod):
        return type(member).__name__, member.__func__
    if isinstance(member, property):
        return "property", member.fget, member.fset, member.fdel
    return member


def _named(module: str | None, name: str = "") -> bytes:
    """Return the name, with the version of the package that it comes from."""
    package = (module or "").partition(".")[0]
    if package in _MAIN:
        return name.encode()
    return f"{module}.{name} {getattr(sys.modules.get(package), '__version__', '')}".encode()


_INSTALLED = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_MAIN = ("__main__", "__mp_main__")
_known: dict[str, bool] = {}


def _is_installed(module: str | None) -> bool:
    """Whether a module belongs to Python, to an installed package or to this one: its version says what is in it."""
    name = module or ""
    if name not in _known:
        own = name.partition(".")[0] == __name__.partition(".")[0]
        file = getattr(sys.modules.get(name), "__file__", None)
        known = name in sys.modules and name not in _MAIN
        _known[name] = own or (known and (file is None or str(Path(file).resolve()).startswith(_INSTALLED)))
    return _known[name]


@lru_cache(maxsize=1024)
def _installed_class(kind: type) -> bytes | None:
    """Return the name of a class of an installed package, which says what it is; None for the user's own."""
    return _named(kind.__module__, kind.__qualname__) if _is_installed(kind.__module__) else None


@lru_cache(maxsize=1024)
def _field_names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _pieces(value: np.ndarray) -> Iterator[memoryview]:
    """Yield the bytes of an array, in bounded memory."""
    if value.flags.c_contiguous:
        if value.size:
            yield value.reshape(-1).view(np.uint8).data
        return
    if not value.ndim or not value.size:
        yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        return
    rows = max(1, CHUNK // max(1, value[0].nbytes))
    for first in range(0, len(value), rows):
        yield np.ascontiguousarray(value[first : first + rows]).reshape(-1).view(np.uint8).data


_remembered: dict[int, tuple[weakref.ref[Any], int, bytes]] = {}


def _tensor_digest(value: Tensor) -> bytes:
    """Return a tensor's digest; that of a large one, which members of a sweep share, is computed once."""
    state = -1 if value.is_inference() else value._version
    known = _known_digest(value, state)
    if known is not None:
        return known
    if value.is_meta:
        raise Unkeyable("a tensor on the meta device has no values")
    flat = value.detach().cpu().contiguous().reshape(-1)
    own = hashlib.blake2b(f"{value.dtype}{tuple(value.shape)}".encode(), digest_size=BYTES)
    if flat.numel():
        own.update(flat.view(torch.uint8).numpy().data)
    if flat.nbytes >= LARGE and state >= 0:
        _remember(value, state, own.digest())
    return own.digest()


def _chunks_digest(value: Any) -> bytes:
    """Return the digest of what gives its content a little at a time; it is computed once."""
    known = _known_digest(value, 0)
    if known is None:
        hasher = _Hasher()
        for chunk in value.digest_chunks():
            hasher.add(chunk)
        known = hasher.hexdigest().encode()
        _remember(value, 0, known)
    return known


def _known_digest(value: Any, state: int) -> bytes | None:
    known = _remembered.get(id(value))
    return known[2] if known is not None and known[0]() is value and known[1] == state else None


def _remember(value: Any, state: int, digest: bytes) -> None:
    place = id(value)

    def forget(ref: weakref.ref[Any]) -> None:
        known = _remembered.get(place)
        if known is not None and known[0] is ref:
            _remembered.pop(place, None)

    _remembered[place] = weakref.ref(value, forget), state, digest
