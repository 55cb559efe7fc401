"""What the package declares is what it imports; what the checks install is pinned, whoever brings it along."""

import ast
import importlib.metadata as metadata
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = {canonicalize_name(one.name): one for one in map(Requirement, PROJECT["dependencies"])}
EXTRAS = {
    extra: [Requirement(one) for one in requirements]
    for extra, requirements in PROJECT["optional-dependencies"].items()
}
DISTRIBUTION = {"sklearn": "scikit-learn"}
"""Where it is not named as its module."""

IMPORTED_IF_GIVEN = {"pandas", "polars", "matplotlib", "onnx"}
"""Imported inside functions, where a user asks for it or brings it along; `plot` and `onnx` are extras."""

PER_PLATFORM = ("nvidia", "cuda", "triton")
"""What PyPI's torch brings along on Linux alone: the versions follow from torch's own pin."""


def read(name: str) -> dict[str, Version]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(package): Version(version) for package, version in pins}


NEWEST, OLDEST = read("constraints.txt"), read("constraints-oldest.txt")


def imported() -> set[str]:
    """Every top-level module that is imported anywhere in the package, in a function or not."""
    found = set()
    for path in (ROOT / "sknnopt").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"sknnopt"}


def brought_along(requirements: list[Requirement]) -> dict[str, set[str]]:
    """Each package that these ask for, and what those installed here ask for in turn, with who asks."""
    found: dict[str, set[str]] = {}
    left = [("sknnopt", one, "") for one in requirements]
    seen = set()
    while left:
        asker, requirement, extra = left.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.setdefault(name, set()).add(asker)
        for chosen in {"", *requirement.extras} - {known for package, known in seen if package == name}:
            seen.add((name, chosen))
            left += [(name, one, chosen) for one in map(Requirement, asked_for_by(name))]
    return found


def asked_for_by(name: str) -> list[str]:
    if name == "sknnopt":  # whose extras name each other
        return []
    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def is_installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


WANTED = brought_along([*RUNTIME.values(), *(one for requirements in EXTRAS.values() for one in requirements)])


def test_what_is_declared_is_what_is_imported() -> None:
    names = {DISTRIBUTION.get(module, module) for module in imported()}
    assert names - IMPORTED_IF_GIVEN == set(RUNTIME)
    assert names >= IMPORTED_IF_GIVEN


@pytest.mark.parametrize("name", RUNTIME)
def test_every_dependency_has_both_bounds(name: str) -> None:
    operators = {specifier.operator for specifier in RUNTIME[name].specifier}
    assert operators == {">=", "<"}
    assert RUNTIME[name].specifier.contains(NEWEST[name])


@pytest.mark.parametrize("name", sorted(set(RUNTIME) - {"torch"}))
def test_the_oldest_versions_are_the_lower_bounds(name: str) -> None:
    (lowest,) = [Version(one.version) for one in RUNTIME[name].specifier if one.operator == ">="]
    assert OLDEST[name].release[: len(lowest.release)] == lowest.release


def test_every_package_that_an_extra_brings_along_is_pinned() -> None:
    loose = {name: askers for name, askers in WANTED.items() if name not in NEWEST and name != "sknnopt"}
    assert {name: askers for name, askers in loose.items() if not name.startswith(PER_PLATFORM)} == {}


def test_every_pin_is_of_a_package_that_something_asks_for() -> None:
    unasked = set(NEWEST) - set(WANTED)  # or that asks is not installed here, and then neither is what it asks for
    assert [name for name in unasked if is_installed(name)] == []


def test_an_undeclared_package_would_be_found() -> None:
    assert set(brought_along([Requirement("pytest")])) >= {"pytest", "iniconfig", "pluggy"}
    assert "sphinx" not in brought_along([Requirement("pytest")])
    assert brought_along([Requirement('absent; python_version < "3"')]) == {}
    assert brought_along([Requirement("absent")]) == {"absent": {"sknnopt"}}
