"""What tells values apart by their content, from one run of a script to the next."""

import builtins
import dataclasses
import hashlib
import random
import sys
import types
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse, special
from torch import Tensor

from sknnopt._choices import Choice
from sknnopt.checkpoints._bytes import BYTES, Unkeyable, pieces, remembered, remembered_digest, tensor_digest
from sknnopt.checkpoints._code import globals_of, imports_of, inner, is_installed, is_ours, named, names_of, used

MOST = 1_000_000
"""Containers and objects that are looked at before a value counts as one that cannot be told."""

_PLAIN = {
    bool, int, float, complex, range, slice, torch.dtype, type(None), type(Ellipsis), type(NotImplemented),
}  # fmt: skip
_RANDOM = (random.Random, np.random.RandomState, np.random.Generator, np.random.BitGenerator, torch.Generator)
_NO_CONTENT = {
    "__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "__annotations__",
    "_abc_impl", "__abstractmethods__", "__parameters__", "__orig_bases__", "__annotate__", "__slotnames__",
    "__annotate_func__", "__annotations_cache__",
}  # fmt: skip


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


class _Hasher:
    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=BYTES)
        self._parts: list[bytes] = []
        self._inside: dict[int, int] = {}
        self._code: dict[Any, tuple[int, Any]] = {}  # with the code itself, so that no other can have its identity
        self._seen = 0

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
        elif kind is Fixed:
            self._write("tensor", remembered_digest(value.tensor))
        elif isinstance(value, Tensor):
            self._write("tensor", tensor_digest(value))
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

    # -- code

    def _code_of(self, value: Any) -> None:
        """Add a function, class or module, the second time by its number."""
        if isinstance(value, type) and (name := _installed_class(value)) is not None:
            self._write("class", name)
            return
        if self._is_known(value):
            return
        if isinstance(value, types.ModuleType):
            self._module(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        else:
            self._write("builtin", named(value.__module__, value.__qualname__))
            if value.__self__ is not None and not isinstance(value.__self__, types.ModuleType):
                self.add(value.__self__)

    def _is_known(self, value: Any, names: frozenset[str] | None = None) -> bool:
        """Whether code has been added before, a module by these of its names; its number is written then."""
        place = id(value), names
        if place in self._code:
            self._write("known", str(self._code[place][0]).encode())
            return True
        self._code[place] = len(self._code), value
        return False

    def _module(self, module: types.ModuleType) -> None:
        self._write("module", named(module.__name__))
        file = getattr(module, "__file__", None)
        if file is not None and not is_installed(module.__name__):
            self._write("source", Path(file).read_bytes())

    def _module_used(self, module: types.ModuleType, names: frozenset[str]) -> None:
        """Add a module of the user's own, and what it has by these names just now, which may not be in its source."""
        self._code_of(module)
        if is_installed(module.__name__) or self._is_known(module, names):
            return
        for name in sorted(names & vars(module).keys()):
            self._write("name", name.encode())
            value = vars(module)[name]
            if isinstance(value, types.ModuleType):
                self._module_used(value, names)
            else:
                self.add(value)

    def _class(self, kind: type) -> None:
        self._write("class", named(kind.__module__, kind.__qualname__))
        self.add(type(kind))
        self.add(kind.__bases__)
        for name, member in sorted(vars(kind).items()):
            if name not in _NO_CONTENT and not isinstance(member, types.MemberDescriptorType):
                self._write("attribute", name.encode())
                self.add(inner(member))

    def _function(self, function: types.FunctionType) -> None:
        self._write("function", named(function.__module__, function.__qualname__))
        installed = is_installed(function.__module__)
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
            self.add(function.__dict__)
            self._surroundings(function)

    def _surroundings(self, function: types.FunctionType) -> None:
        """Add the globals that a function uses, and the modules that it imports."""
        names = names_of(function.__code__)
        for path in sorted(set(globals_of(function.__code__))):
            self._write("name", ".".join(path).encode())
            if path[0] in function.__globals__:
                value = function.__globals__[path[0]]
                if isinstance(value, types.ModuleType):
                    self._module_used(value, names)
                    if is_installed(value.__name__):
                        self.add(used(value, path[1:]))
                else:
                    self.add(value)
            elif not hasattr(builtins, path[0]):
                self._write("missing")
        for module in imports_of(function.__code__, function.__globals__.get("__package__")):
            if isinstance(module, str):
                self._write("missing", module.encode())
            else:
                self._module_used(module, names)

    def _bytecode(self, code: types.CodeType) -> None:
        self._write("code", code.co_code)
        self.add((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags))
        self._write("handlers", getattr(code, "co_exceptiontable", b""))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._bytecode(constant)
            else:
                self.add(constant)


def _chunks_digest(value: Any) -> bytes:
    """Return the digest of what gives its content a little at a time."""
    hasher = _Hasher()
    for chunk in value.digest_chunks():
        hasher.add(chunk)
    return hasher.hexdigest().encode()


@lru_cache(maxsize=1024)
def _installed_class(kind: type) -> bytes | None:
    """Return the name of a class of an installed package, which says what it is; None for the user's own."""
    return named(kind.__module__, kind.__qualname__) if is_installed(kind.__module__) else None


@lru_cache(maxsize=1024)
def _field_names(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]
