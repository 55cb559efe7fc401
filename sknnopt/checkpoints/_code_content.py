"""Digests of code: functions, classes and modules."""

import builtins
import hashlib
import types
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

from sknnopt.checkpoints._bytes import BYTES
from sknnopt.checkpoints._code import globals_of, imports_of, inner, is_installed, named, names_of, source_of, used

_NO_CONTENT = {
    "__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "__annotations__",
    "_abc_impl", "__abstractmethods__", "__parameters__", "__orig_bases__", "__annotate__", "__slotnames__",
    "__annotate_func__", "__annotations_cache__",
}  # fmt: skip


class CodeHasher(ABC):
    """Takes in functions, classes and modules, by what is in them and by what they use."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=BYTES)
        self._parts: list[bytes] = []
        self._code: dict[Any, tuple[int, Any]] = {}  # with the code itself, so that no other can have its identity

    def hexdigest(self) -> str:
        self._take_in()
        return self._hash.hexdigest()

    def _take_in(self) -> None:
        self._hash.update(b"".join(self._parts))
        self._parts.clear()

    def _write(self, tag: str, content: bytes = b"") -> None:
        self._parts.append(b"%s:%d:%s" % (tag.encode(), len(content), content))

    @abstractmethod
    def add(self, value: Any) -> None:
        """Take in any value."""

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
        if getattr(module, "__file__", None) is not None and not is_installed(module.__name__):
            self._write("source", source_of(module))

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


@lru_cache(maxsize=1024)
def _installed_class(kind: type) -> bytes | None:
    """Return the name of a class of an installed package, which says what it is; None for the user's own."""
    return named(kind.__module__, kind.__qualname__) if is_installed(kind.__module__) else None
