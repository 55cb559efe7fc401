"""What conf.py hands to Sphinx: where each page stands, the pages of the API, how the examples are run."""

import importlib
import inspect
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from sklearn import model_selection

import sknnopt

HERE = Path(__file__).resolve().parent
SECTIONS = {
    "index": {
        "": [
            "quickstart",
            "guide",
            "gallery/index",
            "techniques",
            "api/index",
            "how_it_works",
            "measured",
            "contributing",
        ]
    },
    "guide": {
        "Using": [
            "estimators",
            "data",
            "large_data",
            "choosing",
            "overfitting",
            "adaptive",
            "transfer",
            "custom",
            "devices",
        ],
        "Searching and looking": ["lockstep", "comparing", "looking"],
        "Around it": ["sklearn", "skorch", "files", "interruptions", "export"],
        "Coming from": ["from_mlp", "mlp_tests", "from_keras"],
        "Before you begin": ["when_not"],
    },
    "measured": {"": ["accuracy", "defaults", "speed", "studies", "mutants"]},
}
MODULES = [
    "sknnopt",
    "sknnopt.optimizers",
    "sknnopt.schedules",
    "sknnopt.activations",
    "sknnopt.initializers",
    "sknnopt.losses",
    "sknnopt.regularization",
    "sknnopt.averaging",
    "sknnopt.embeddings",
    "sknnopt.nn",
    "sknnopt.data",
    "sknnopt.model_selection",
    "sknnopt.inspection",
    "sknnopt.persistence",
    "sknnopt.checkpoints",
    "sknnopt.export",
]
ORDER = ["quickstart", "raw_table", "sweep_in_lockstep", "custom_network", "study_", "trouble_"]


class InOrder:
    """The sort key of the gallery: first steps, studies, troubles."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, name: str) -> tuple[int, str]:
        return next((i for i, start in enumerate(ORDER) if name.startswith(start)), len(ORDER)), name


_guard = warnings.catch_warnings()


def warnings_are_errors(conf: dict[str, Any], name: str | None, when: str) -> None:
    """What ``python -W error`` is to a script, around each example (without a name it is about a folder)."""
    global _guard  # noqa: PLW0603
    if name is None:
        return
    if when == "before":
        _guard = warnings.catch_warnings()
        _guard.__enter__()
        warnings.resetwarnings()
        warnings.simplefilter("error")
    else:
        _guard.__exit__(None, None, None)


def toctrees(page: str) -> str:
    """The hidden tables of contents of a page, of the pages that are there."""
    text = []
    for caption, names in SECTIONS.get(page, {}).items():
        there = [name for name in names if "/" in name or any(HERE.glob(f"{name}.[mr][ds]*"))]
        head = [":hidden:", *([f":caption: {caption}"] if caption else [])]
        text.append("\n".join(["```{toctree}", *head, "", *there, "```"]))
    return "\n\n" + "\n\n".join(text) + "\n" if text else ""


def linked(text: str) -> str:
    """The tables of techniques, each object with a link to its page."""
    lines, module = [], "nn"
    for line in text.splitlines():
        if line.startswith("## ") and (named := re.search(r"`sknnopt\.(\w+)`", line)):
            module = named[1]
        row = re.fullmatch(r"(\| [^|]+ \| )`(\w+)([^`|]*)`( \| .*)", line)
        if row and inspect.isclass(getattr(importlib.import_module(f"sknnopt.{module}"), row[2], None)):
            line = f"{row[1]}{{py:class}}`{row[2]}{row[3]} <sknnopt.{module}.{row[2]}>`{row[4]}"
        lines.append(line)
    return "\n".join(lines)


def read_page(app: Any, docname: str, source: list[str]) -> None:
    """Pages are plain markdown: what is a file to a reader of the repository is a page of the site."""
    text = re.sub(r"\]\(\.\./examples/(\w+)\.py\)", r"](gallery/\1.rst)", source[0])
    text = text.replace("](../CONTRIBUTING.md)", "](contributing.rst)").replace(
        "](../examples/)", "](gallery/index.rst)"
    )
    source[0] = (linked(text) if docname == "techniques" else text) + toctrees(docname)


def public(module: ModuleType) -> dict[str, list[str]]:
    """The classes and functions of ``__all__``, each where it is imported from: those of ``sknnopt`` there alone."""
    found: dict[str, list[str]] = {"Classes": [], "Functions": []}
    for name in module.__all__:
        if module is not sknnopt and name in sknnopt.__all__:
            continue
        value = getattr(module, name)
        if inspect.isclass(value):
            found["Classes"].append(name)
        elif inspect.isfunction(value):
            found["Functions"].append(name)
    return {title: names for title, names in found.items() if names}


def title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def module_page(name: str) -> str:
    module = importlib.import_module(name)
    text = title(f"``{name}``", "=") + f".. automodule:: {name}\n\n.. currentmodule:: {name}\n\n"
    for heading, names in public(module).items():
        text += title(heading, "-") + ".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n"
        text += "".join(f"   {entry}\n" for entry in names) + "\n"
    if above := [entry for entry in module.__all__ if module is not sknnopt and entry in sknnopt.__all__]:
        text += "Also here: " + ", ".join(f":py:obj:`sknnopt.{entry}`" for entry in above) + ".\n"
    return text


def write_api(app: Any, config: Any) -> None:
    """docs/api/: one page a module, from its ``__all__``."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    index = (
        title("API")
        + "Every public name, from the docstrings. What each technique is, in tables: :doc:`../techniques`.\n\n"
    )
    index += ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {name}\n" for name in MODULES)
    pages = {"index": index} | {name: module_page(name) for name in MODULES}
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def skip_member(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Members that others have defined and documented: their texts point into other sites."""
    member = inspect.unwrap(member.fget if isinstance(member, property) else member)
    module = getattr(member, "__module__", None)
    return True if isinstance(module, str) and not module.startswith("sknnopt") else None


def shorten(app: Any, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Of scikit-learn's own searches the first paragraph: their texts stand on its site."""
    theirs = getattr(model_selection, name.rpartition(".")[2], None)
    if what not in ("class", "function") or theirs is None or not name.startswith("sknnopt.model_selection."):
        return
    kind = inspect.unwrap(theirs)
    if (inspect.isclass(member) and issubclass(member, kind)) or inspect.unwrap(member) is kind:
        url = f"https://scikit-learn.org/stable/modules/generated/sklearn.model_selection.{kind.__name__}.html"
        first = lines[: lines.index("")] if "" in lines else lines[:]
        lines[:] = [
            *first,
            "",
            "Its fits train in lockstep, see :class:`sknnopt.lockstep`. All else is as in",
            f"`scikit-learn <{url}>`__.",
            "",
        ]


def setup(app: Any) -> None:
    app.connect("config-inited", write_api, priority=100)
    app.connect("source-read", read_page)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-docstring", shorten, priority=100)
