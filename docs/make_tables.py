"""Write docs/techniques.md from the registries: what each technique is, how to search it, how it is checked.

python docs/make_tables.py            writes the page
python docs/make_tables.py --check    fails if the page is not what it would write
"""

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from reference_tests import HIDDEN, OTHERS, TESTS
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, StrOptions

from sknnopt import activations, initializers, losses, optimizers, schedules
from sknnopt._choices import Choice, Range
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Techniques, Validation
from sknnopt.estimators._parameters import NETWORKS
from sknnopt.nn import MLP, Inputs, TabM

PAGE = Path(__file__).resolve().parent / "techniques.md"
PARAMETERS = {
    "activations": "activation",
    "embeddings": "numeric_embedding",
    "initializers": "initializer",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "losses": "loss",
    "regularization": "regularization",
    "averaging": "weight_averaging",
}
TASKS = ["classification", "multilabel", "regression"]
HEAD = """# Techniques

<!-- Written by docs/make_tables.py from the registries: do not edit. -->

A name is its object with its defaults; pass the object to change them, `optimizer=SGD(momentum=0.95)`, or sweep them
as `optimizer__momentum`. `names()` of each module lists the names.

Each part has two tables. The first says what a technique is and who described it: the docstring has the whole
reference. The second has, for the same names:

- **worth searching**: each parameter's range, drawn on a logarithmic scale where it says (log), or its values. They are
  in `search_space` of the class, and an optimizer's learning rates in `learning_rates`, as randomized searches take
  them ([how](estimators.md#values-worth-searching)).
- **in a cohort**: candidates of a search that share all that *splits* train as one stacked network, a *cohort*. What is
  *per member* may differ between them. An optimizer, activation, loss or regularizer of another kind is another cohort,
  whatever its parameters; so is another network shape, batch size or precision, and a strength for each layer in
  place of one for all. A `torch.optim` class trains with those of equal arguments, one that needs a closure and a
  network of one's own alone.
- **reference test**: where it is compared with another implementation or a closed form.
"""


class Entry(NamedTuple):
    """One name, or several of equal objects."""

    names: list[str]
    text: str
    kind: type
    summary: str
    references: str
    searched: str
    cohort: str
    test: str


def registries() -> dict[str, dict[str, Choice]]:
    """The objects of all names by title; a loss has one for each task."""
    found: dict[str, dict[str, Choice]] = {}
    for module_name, parameter in PARAMETERS.items():
        module = importlib.import_module(f"sknnopt.{module_name}")
        title = f"`{parameter}` (`sknnopt.{module_name}`)"
        if module_name != "losses":
            found[title] = {name: module.get(name) for name in module.names()}
            continue
        for task in TASKS:
            found[f"{title}, {task}"] = {name: module.get(name, task=task) for name in module.names(task)}
    return found


def summary(kind: type) -> str:
    """The first paragraph of the docstring."""
    return re.sub(r"\s+", " ", (inspect.getdoc(kind) or "").split("\n\n")[0].replace("``", "`"))


def references(kind: type) -> str:
    """The section of the docstring, on one line."""
    section = re.search(r"^References\n-+\n(.*?)\n*(?:^\w+\n-+$|\Z)", inspect.getdoc(kind) or "", re.M | re.S)
    return re.sub(r"\s+", " ", section[1]) if section else ""


def paper(text: str) -> str:
    """Authors, year and title of the first reference, authors and years of the others."""
    cited = re.findall(r'(?:^|; |: | of )([A-ZÀ-Ž][^";:]*?), "([^"]+)", (\d{4})', text)
    short = [(re.sub(r"^([^,]+), .* and .*", r"\1 et al.", authors), title, year) for authors, title, year in cited]
    return "; ".join(f"{who} {year}" + (f", *{title}*" if i == 0 else "") for i, (who, title, year) in enumerate(short))


def values_text(values: Range | list[Any]) -> str:
    if isinstance(values, Range):
        low, high = (f"{end:g}".replace("e-0", "e-") for end in (values.low, values.high))
        return f"{low} to {high}" + (" (log)" if values.log else "")
    return ", ".join(values_text(v) if isinstance(v, Range) else f"`{literal(v)}`" for v in values)


def literal(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def searched(technique: Choice) -> str:
    space = dict(technique.search_space)
    if isinstance(technique, optimizers.Optimizer):
        space = {"learning_rate": technique.learning_rates, **space}
    return "<br>".join(f"`{name}`: {values_text(values)}" for name, values in space.items()) or "nothing"


def structure(**settings: Any) -> Hashable:
    """What a member with these techniques must share with the others of its cohort."""
    rows, rates = Table(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)), settings.pop("layer_rates", None)
    judged = Validation(rows, np.arange(2), None, True, 10, 0.0) if settings.pop("early_stopping", False) else None
    for after_training in ("n_members", "calibration"):
        settings.pop(after_training, None)
    drops = (settings.pop("dropout", 0.0),)
    own = settings.pop("activation", activations.ReLU()), settings.pop("normalization", None), drops
    make = partial(TabM, n_heads=settings.pop("n_heads")) if "n_heads" in settings else MLP
    network = make(3, (4,), 2, *own, inputs=embedded(settings))
    plain = Techniques(
        loss=losses.CrossEntropy(), optimizer=optimizers.Adam(), learning_rate=0.1, weight_decay=0.0,
        schedule=schedules.Constant(), warmup=0.0, batch_size=4, max_epochs=1, initializer=initializers.Zeros(),
        dropout=drops, layer_rates=(("output.weight", rates),) if rates else (),
    )  # fmt: skip
    if settings.get("weight_averaging", "") is None:
        settings.pop("weight_averaging")
    own, seed = dataclasses.replace(plain, **settings), np.random.SeedSequence(0)
    cpu = (torch.device("cpu"),)
    return Job(network, rows, np.arange(4), own, seed, 1, cpu, torch.float32, validation=judged).structure()


def embedded(settings: dict[str, Any]) -> Inputs:
    """How these settings, which are taken out, embed a number and a category of two levels."""
    size = settings.pop("categorical_embedding", None)
    categories = () if size is None else ((1, 2, 8 if size == "auto" else size),)
    return Inputs(1, settings.pop("numeric_embedding", None), categories, settings.pop("input_scale", False))


def splitting(parameter: str, values: Iterable[Any], structure_of: Callable[[Any], Hashable]) -> str:
    """The parameter if members that differ in it train apart, with its value if that alone does it."""
    groups: dict[Hashable, list[Any]] = {}
    for value in values:
        same = groups.setdefault(structure_of(value), [])
        same += [] if value in same else [value]
    largest, *others = sorted(groups.values(), key=len, reverse=True)
    alone = others[0][0] if len(largest) > 1 and [len(group) for group in others] == [1] else others
    return "" if not others else f"`{parameter}`" if alone is others else f"`{parameter}={literal(alone)}`"


def some_values(technique: Choice, parameter: str, others: Iterable[Choice]) -> list[Any]:
    """A parameter's own value, those worth searching, flags and options, zero and numbers nearby, other techniques."""
    own, space = getattr(technique, parameter), technique.search_space.get(parameter, [])
    found = [own, *(space.grid(3) if isinstance(space, Range) else space)]
    for constraint in technique._parameter_constraints[parameter]:
        if constraint == "boolean":
            found += [False, True]
        elif isinstance(constraint, StrOptions):
            found += sorted(constraint.options)
        elif isinstance(constraint, Interval):
            number = own if isinstance(own, Real) else 1
            near = [0, 1, number, type(number)(number * 2), type(number)(number / 2)]
            found += [value for value in near if constraint.is_satisfied_by(value)]
        elif constraint is None:
            found.append(None)
        elif isinstance(constraint, type) and issubclass(constraint, Choice) and not space:
            found += [other for other in others if type(other) is not type(technique)][:2]
    return found


def cohort(parameter: str, technique: Choice, others: Iterable[Choice]) -> str:
    """How members with this technique train together."""
    first = {name: v.low if isinstance(v, Range) else v[-1] for name, v in technique.search_space.items()}
    base = clone(technique).set_params(**first)
    names = base._get_param_names()

    def with_value(name: str) -> Callable[[Any], Hashable]:
        return lambda value: structure(**{parameter: clone(base).set_params(**{name: value})})

    found = {name: splitting(name, some_values(base, name, others), with_value(name)) for name in names}
    split = [text for text in found.values() if text]
    kinds = splitting("kind", [technique, *others], lambda value: structure(**{parameter: value}))
    whole = {f"`{name}`" for name in names} == set(split) and not isinstance(technique, optimizers.Optimizer)
    return "splits" if kinds and whole else how_text(split)


def how_text(split: list[str]) -> str:
    return "per member" + (f"; {', '.join(split)} split{'s' if len(split) == 1 else ''}" if split else "")


def entries(title: str, technique_of: dict[str, Choice]) -> list[Entry]:
    """One for all names that give equal objects, in the order of their objects."""
    parameter, module = re.findall(r"`(?:sknnopt\.)?(\w+)`", title)
    by_text: dict[str, list[str]] = {}
    for name, technique in technique_of.items():
        by_text.setdefault(re.sub(r"\s+", " ", repr(technique)), []).append(name)
    found = []
    for text in sorted(by_text):
        technique = technique_of[by_text[text][0]]
        kind, others = type(technique), technique_of.values()
        test = TESTS.get(f"{module}.{kind.__name__}", TESTS.get(kind.__name__, TESTS.get(module, "")))
        about = (summary(kind), references(kind), searched(technique), cohort(parameter, technique, others))
        found.append(Entry(by_text[text], text, kind, *about, f"tests/{test}"))
    return found


def networks() -> list[Entry]:
    sizes, found = f"`hidden_layer_sizes`: {values_text(HIDDEN)}", []
    for name, kind in sorted(NETWORKS.items()):
        about = (summary(kind), references(kind), sizes, "splits", f"tests/{TESTS[kind.__name__]}")
        found.append(Entry([name], kind.__name__, kind, *about))
    return found


def others() -> list[Entry]:
    found = []
    for name, (what, source, values, test) in OTHERS.items():
        flat = [one for v in values for one in (v.grid(3) if isinstance(v, Range) else [v])]
        split = splitting(name, flat, lambda value, name=name: structure(**{name: value}))
        how = "splits" if split == f"`{name}`" else how_text([split] if split else [])
        found.append(Entry([name], "", object, what, source, values_text(values), how, f"tests/{test}"))
    return found


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def table(head: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return ["", f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines]


def part(title: str, found: list[Entry]) -> list[str]:
    """Two tables; what is searched and tested alike shares a row in the second."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for entry in found:
        alike.setdefault((entry.searched, entry.cohort, entry.test), []).extend(entry.names)
    objects = [(code(e.names), f"`{e.text}`" if e.text else "", e.summary, paper(e.references)) for e in found]
    who, first = "names", table(["names", "object", "what it does", "paper"], objects)
    if not any(entry.text for entry in found):
        who = "parameter"
        first = table([who, "what it does", "paper"], [(name, what, source) for name, _, what, source in objects])
    checks = [(code(names), values, how, f"`{test}`") for (values, how, test), names in alike.items()]
    return ["", f"## {title}", *first, *table([who, "worth searching", "in a cohort", "reference test"], checks)]


def parts() -> dict[str, list[Entry]]:
    """All that the page has, by title."""
    named = {title: entries(title, technique_of) for title, technique_of in registries().items()}
    return {"`network`": networks(), **named, "Parameters without names": others()}


def page() -> str:
    lines = [HEAD.rstrip()]
    for title, found in parts().items():
        lines += part(title, found)
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"


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
