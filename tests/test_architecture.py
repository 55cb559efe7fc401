"""The layers: a module imports only from below, frame and plotting libraries only inside functions."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sknnopt"

LAYERS = [
    {"_compat", "_choices", "_layout", "_literals", "_memory", "_random", "_threads", "_version"},
    {
        "activations",
        "averaging",
        "embeddings",
        "initializers",
        "losses",
        "schedules",
        "optimizers",
        "regularization",
        "data",
        "checkpoints",
    },
    {"nn"},
    {"engine"},
    {"estimators"},
    {"model_selection"},
    {"export", "inspection", "persistence"},
    {"__init__"},
]
LAYER = {unit: number for number, units in enumerate(LAYERS) for unit in units}
OPTIONAL = {"pandas", "polars", "pyarrow", "matplotlib", "onnx", "onnxruntime", "onnxscript"}
TECHNIQUES = ["activations", "embeddings", "initializers", "losses", "schedules", "optimizers", "regularization"]

FILES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """The module or package right under ``sknnopt/`` that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_units(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and unit of each import from sknnopt, relative ones and those inside functions included."""
    inside = path.relative_to(PACKAGE.parent).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(inside[: len(inside) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            targets = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] == PACKAGE.name:
                yield node.lineno, target[1] if len(target) > 1 else "__init__"


def layer_violations(path: Path, source: str) -> list[str]:
    unit = unit_of(path)
    found = []
    for line, target in imported_units(path, ast.parse(source)):
        if target not in LAYER:
            target = "__init__"
        below = LAYER[target] < LAYER[unit] or LAYER[target] == 0
        if target != unit and not below:
            found.append(f"{path.name}:{line}: {unit} (layer {LAYER[unit]}) imports {target} ({LAYER[target]})")
    return found


def optional_imports(source: str) -> list[str]:
    """Optional libraries imported when the module is: anywhere but inside a function."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Import):
            found.extend(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append(node.module.split(".")[0])
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(source))
    return sorted(OPTIONAL & set(found))


def technique_classes(module_name: str) -> list[type]:
    """The class behind every name in a registry."""
    module = importlib.import_module(f"sknnopt.{module_name}")
    if module_name == "losses":
        tasks = ["classification", "multilabel", "regression"]
        objects = [module.get(name, task=task) for task in tasks for name in module.names(task)]
    else:
        objects = [module.get(name) for name in module.names()]
    return sorted({type(technique) for technique in objects}, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_layers_below(path: Path) -> None:
    assert unit_of(path) in LAYER, f"{unit_of(path)} belongs to no layer: add it to LAYERS"
    assert layer_violations(path, path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_optional_libraries_are_imported_inside_functions(path: Path) -> None:
    assert optional_imports(path.read_text()) == []


@pytest.mark.parametrize("module_name", TECHNIQUES)
def test_every_technique_has_an_example(module_name: str) -> None:
    classes = technique_classes(module_name)
    assert classes
    assert [cls.__name__ for cls in classes if ">>>" not in (inspect.getdoc(cls) or "")] == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("optimizers/_adam.py", "from sknnopt.engine import train"),
        ("optimizers/_adam.py", "from ..engine._train import train"),
        ("optimizers/_adam.py", "from .. import engine"),
        ("optimizers/_adam.py", "from sknnopt import NNClassifier"),
        ("losses.py", "from .schedules import Cosine"),
        ("losses.py", "import sknnopt.data"),
        ("losses.py", "import sknnopt"),
        ("engine/_train.py", "def f():\n    from ..estimators import base"),
        ("_choices.py", "from . import losses"),
    ],
)
def test_an_import_from_above_is_found(file: str, source: str) -> None:
    assert len(layer_violations(PACKAGE / file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("optimizers/_adam.py", "from ._base import Optimizer"),
        ("optimizers/_adam.py", "from .._choices import Choice"),
        ("optimizers/__init__.py", "from . import _adam"),
        ("_choices.py", "from ._compat import InvalidParameterError"),
        ("engine/_train.py", "from .. import optimizers, nn"),
        ("engine/_train.py", "import numpy, torch"),
        ("__init__.py", "from .estimators import NNClassifier"),
    ],
)
def test_an_import_from_below_is_allowed(file: str, source: str) -> None:
    assert layer_violations(PACKAGE / file, source) == []


def test_an_optional_library_at_module_level_is_found() -> None:
    assert optional_imports("import pandas as pd") == ["pandas"]
    assert optional_imports("try:\n    from matplotlib import pyplot\nexcept ImportError: pass") == ["matplotlib"]
    assert optional_imports("def f():\n    import pandas") == []
