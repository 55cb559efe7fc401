"""What functions use, and which code has a version that tells of it."""

import dis
import importlib
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

MAIN = ("__main__", "__mp_main__")

_STANDARD = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_INSTALLED = {"site-packages", "dist-packages"}
_versions: dict[str, str] = {}


def named(module: Any, name: str = "") -> bytes:
    """Return the name, with the version of the package that it comes from."""
    module = module if isinstance(module, str) else ""  # compiled classes have others
    package = module.partition(".")[0]
    return name.encode() if package in MAIN else f"{module}.{name} {_version(package)}".encode()


def _version(package: str) -> str:
    """Return a package's version, as it says itself or as it was installed; "" if neither is known."""
    known = getattr(sys.modules.get(package), "__version__", None)
    if known is not None:
        return str(known)
    if package not in _versions:
        try:
            _versions[package] = metadata.version(package) if package and is_installed(package) else ""
        except (metadata.PackageNotFoundError, ValueError):
            _versions[package] = ""
    return _versions[package]


_known: dict[str, bool] = {}


def is_installed(module: Any) -> bool:
    """Whether a module belongs to Python, to an installed package or to this one: its version says what is in it."""
    name = module if isinstance(module, str) else ""
    if name not in sys.modules or name in MAIN:
        return is_ours(name)
    if name not in _known:
        _known[name] = is_ours(name) or _found_installed(name)
    return _known[name]


def is_ours(name: str) -> bool:
    """Whether a module belongs to this package."""
    return name.partition(".")[0] == __name__.partition(".")[0]


def _found_installed(name: str) -> bool:
    above = name.rpartition(".")[0]
    if name in sys.builtin_module_names or (above and is_installed(above)):
        return True
    module = sys.modules[name]
    places = [module.__file__] if getattr(module, "__file__", None) else list(getattr(module, "__path__", ()))
    return bool(places) and all(_is_of_packages(str(place)) for place in places)


def _is_of_packages(place: str) -> bool:
    """Whether a file lies where packages are installed; it may be a link to elsewhere."""
    real = str(Path(place).resolve())
    return real.startswith(_STANDARD) or any(not _INSTALLED.isdisjoint(Path(path).parts) for path in (place, real))


_sources: dict[str, tuple[Any, bytes]] = {}


def source_of(module: types.ModuleType) -> bytes:
    """Return a module's source as it was when first asked for: one edits files while they train, not what runs.

    A module that is loaded again has another specification.
    """
    file, spec = str(module.__file__), module.__spec__
    if file not in _sources or _sources[file][0] is not spec:
        _sources[file] = spec, Path(file).read_bytes()
    return _sources[file][1]


def names_of(code: types.CodeType) -> frozenset[str]:
    """Return the names of globals and attributes in a function, and in those within it."""
    inner = (names_of(constant) for constant in code.co_consts if isinstance(constant, types.CodeType))
    return frozenset(code.co_names).union(*inner)


def globals_of(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    """Yield the globals that a function uses, each with the attributes that are taken of it."""
    path: tuple[str, ...] = ()
    for instruction in dis.get_instructions(code):
        if path and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path = (*path, str(instruction.argval))
            continue
        if path:
            yield path
        path = (str(instruction.argval),) if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") else ()
    if path:
        yield path
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from globals_of(constant)


def imports_of(code: types.CodeType, package: str | None) -> Iterator[types.ModuleType | str]:
    """Yield the modules that a function imports as it runs; of one that is not there its name."""
    instructions = list(dis.get_instructions(code))
    for i, instruction in enumerate(instructions):
        if instruction.opname == "IMPORT_NAME":
            level = instructions[i - 2].argval
            name = "." * (level if isinstance(level, int) else 0) + str(instruction.argval)
            try:
                yield importlib.import_module(name, package)
            except Exception:
                yield name
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from imports_of(constant, package)


def used(module: types.ModuleType, path: tuple[str, ...]) -> Any:
    """Return what code a path of attributes of an installed module leads to; None if it is no code.

    It has a version, and is looked at since others may have put something in its place, and since functions that draw
    random numbers tell by themselves that they do.
    """
    value: Any = module
    for name in path:
        if not isinstance(value, types.ModuleType):
            break
        value = vars(value).get(name)
    return value if isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType) else None


def inner(member: Any) -> Any:
    """Return what a class's attribute is made of."""
    if isinstance(member, staticmethod | classmethod):
        return type(member).__name__, member.__func__
    if isinstance(member, property):
        return "property", member.fget, member.fset, member.fdel
    if isinstance(member, cached_property):
        return "cached_property", member.func
    return member
