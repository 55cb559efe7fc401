"""Write docs/techniques.md from the registries: one table a module, one row a technique.

python docs/make_tables.py            writes the page
python docs/make_tables.py --check    fails if the page is not what it would write
"""

import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "techniques.md"
PARAMETERS = {
    "activations": "activation",
    "initializers": "initializer",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "losses": "loss",
    "regularization": "regularization",
}
TASKS = ["classification", "multilabel", "regression"]
HEAD = """# Techniques

<!-- Written by docs/make_tables.py from the registries: do not edit. -->

Each row is one technique: the names accepted, the object they stand for, and what it does. A name is that
object with its defaults; pass the object to change them, `optimizer=SGD(momentum=0.95)`, or sweep them as
`optimizer__momentum`. `names()` of each module lists the names.
"""


def summary(technique: Any) -> str:
    """The first sentence of the docstring, on one line."""
    paragraph = (inspect.getdoc(type(technique)) or "").split("\n\n")[0]
    return re.sub(r"\s+", " ", paragraph.replace("``", "`")).replace("|", "\\|").strip()


def rows(technique_of: dict[str, Any]) -> list[str]:
    """One line for all names that give equal objects, in the order of their objects."""
    names_of: dict[str, list[str]] = {}
    by_text: dict[str, Any] = {}
    for name, technique in technique_of.items():
        text = re.sub(r"\s+", " ", repr(technique))
        names_of.setdefault(text, []).append(name)
        by_text[text] = technique
    return [
        f"| {', '.join(f'`{name}`' for name in names_of[text])} | `{text}` | {summary(by_text[text])} |"
        for text in sorted(names_of)
    ]


def table(title: str, technique_of: dict[str, Any]) -> list[str]:
    return ["", title, "", "| names | object | |", "|---|---|---|", *rows(technique_of)]


def page() -> str:
    lines = [HEAD.rstrip()]
    for module_name, parameter in PARAMETERS.items():
        module = importlib.import_module(f"sknnopt.{module_name}")
        title = f"## `{parameter}` (`sknnopt.{module_name}`)"
        if module_name != "losses":
            lines += table(title, {name: module.get(name) for name in module.names()})
            continue
        lines += ["", title]
        for task in TASKS:
            of_task = {name: module.get(name, task=task) for name in module.names(task)}
            lines += table(f"### {task}", of_task)
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    if "--check" not in arguments:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/techniques.md is out of date: run python docs/make_tables.py")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
