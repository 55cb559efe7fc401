"""Random settings and small tables for property-based tests, drawn from the constraints and the registries."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from hypothesis import strategies as st
from sklearn.utils._param_validation import make_constraint
from small_tables import COLUMNS, NUMERIC, Data
from torch import nn

from sknnopt import (
    NNClassifier,
    NNRegressor,
    activations,
    averaging,
    embeddings,
    initializers,
    losses,
    optimizers,
    regularization,
    schedules,
)
from sknnopt._choices import Choice
from sknnopt._compat import Interval, StrOptions
from sknnopt.nn import Module
from sknnopt.schedules import Scheduled

Estimator = NNClassifier | NNRegressor
MODULES = {
    "activation": activations,
    "numeric_embedding": embeddings,
    "initializer": initializers,
    "optimizer": optimizers,
    "schedule": schedules,
    "regularization": regularization,
    "weight_averaging": averaging,
}
"""Where the names and objects of a parameter come from; those of "loss" hang on the task."""

CHEAP: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_epochs": 2, "n_members": 1, "random_state": 0}
"""What is not drawn is so, where the default would take long."""

TASKS: dict[str, list[str]] = {
    "binary": ["classification"], "strings": ["classification"], "rare": ["classification"],
    "labels": ["multilabel"], "number": ["regression"], "numbers": ["regression"], "large": ["regression"],
}  # fmt: skip
TARGETS = {
    NNClassifier: ["binary", "strings", "rare", "labels"],
    NNRegressor: ["number", "numbers", "large"],
}


@st.composite
def data_of(draw: Any, make: type[Estimator], *, preprocessed: bool, dense: bool) -> Data:
    """A table that this estimator takes, with these settings."""
    kinds = ["frame"] * 3 + ["float64", "float32", "fortran", "list"] + ([] if dense else ["sparse"])
    kind = draw(st.sampled_from(kinds))
    names = COLUMNS if kind == "frame" and preprocessed else NUMERIC
    return Data(
        rows=draw(st.integers(3, 12) | st.integers(12, 70)),
        columns=tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))),
        kind=kind,
        target=draw(st.sampled_from(TARGETS[make])),
        weights=draw(st.sampled_from(["none", "none", "ones", "whole", "some zero", "wide"])),
        seed=draw(st.integers(0, 999)),
    )


def of_interval(interval: Interval) -> st.SearchStrategy[Any]:
    """Numbers within an interval, most of them ordinary."""
    low, high = interval.left, interval.right
    if interval.type is Integral:
        least = -3 if low is None else int(low) + (interval.closed in ("neither", "right"))
        return st.integers(least, min(least + 4, 10**9 if high is None else int(high)))
    open_low, open_high = interval.closed in ("neither", "right"), interval.closed in ("neither", "left")
    least = -2.0 if low is None or np.isinf(low) else float(low)
    most = least + 2.0 if high is None or np.isinf(high) else float(high)
    ordinary = st.floats(least, most, exclude_min=open_low, exclude_max=open_high, width=16)
    low, high = (None if end is None else float(end) for end in (low, high))
    any_number = st.floats(low, high, allow_nan=False).filter(lambda value: value in interval)
    return st.one_of(ordinary, ordinary, ordinary, any_number)


def of_constraint(constraint: Any, module: Any = None) -> st.SearchStrategy[Any] | None:
    """Values that a constraint admits, None for one that says too little; names are the module's."""
    if isinstance(constraint, Interval):
        return of_interval(constraint)
    if isinstance(constraint, StrOptions):
        return st.sampled_from(sorted(constraint.options))
    if constraint is None:
        return st.none()
    if isinstance(constraint, str) and constraint in ("boolean", "verbose", "random_state"):
        return st.booleans() if constraint == "boolean" else st.integers(0, 1 if constraint == "verbose" else 99)
    if constraint is str and module is not None:
        return st.sampled_from(list(module.names()))
    return None


OWN: dict[str, st.SearchStrategy[Any]] = {
    "quantile": st.sampled_from([0.5, [0.1, 0.5, 0.9]]),
    "milestones": st.sampled_from([[0.5], [0.25, 0.5]]),
}
"""Parameters of techniques whose constraints do not say what they hold."""


@st.composite
def objects(draw: Any, module: Any, names: list[str]) -> Choice:
    """A technique with some of its own parameters drawn from its constraints."""
    technique = module.REGISTRY[draw(st.sampled_from(names))]()
    for name, constraints in type(technique)._parameter_constraints.items():
        known = [OWN[name]] if name in OWN else [of_constraint(one, module) for one in constraints]
        known = [one for one in known if one is not None]
        if name in technique.get_params(deep=False) and known and draw(st.booleans()):
            technique.set_params(**{name: draw(st.one_of(known))})
    return technique


def techniques(name: str, loss_names: list[str]) -> st.SearchStrategy[Any]:
    """Names and objects of a parameter that takes techniques."""
    module = MODULES.get(name, losses)
    names = loss_names if name == "loss" else list(module.names())
    return st.one_of(st.sampled_from(names), objects(module, names))


def own_network(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_inputs, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Dropout(0.2), nn.Linear(3, n_outputs))


def sloppy_score(estimator: Any, X: Any, y: Any) -> float:
    return float(len(estimator.predict(X)))


def _scheduled(values: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.builds(Scheduled, values, st.sampled_from(list(schedules.names())).filter(lambda name: name != "plateau"))


_rates = st.sampled_from([0.0, 0.1, 0.5, 0.96875])
SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "network": st.sampled_from(["mlp", "resnet", "tabm", "tabm", nn.Linear, own_network, Module(own_network)]),
    "hidden_layer_sizes": st.one_of(st.integers(1, 9), st.lists(st.integers(1, 9), max_size=3).map(tuple)),
    "dropout": st.one_of(_rates, _scheduled(_rates)),
    "weight_decay": st.one_of(st.none(), _rates, st.floats(0, 1e6), _scheduled(_rates)),
    "max_epochs": st.integers(1, 3),
    "n_members": st.integers(1, 3) | st.just(12),
    "n_restarts": st.integers(1, 2),
    "learning_rate": st.one_of(
        st.none(), st.sampled_from([1e-4, 1e-2, 1.0]), st.floats(0, 1e38, exclude_min=True), st.just("auto")
    ),
    "batch_size": st.one_of(st.just("auto"), st.integers(1, 100)),
    "frozen_layers": st.sampled_from([None, 0, 1, "*.bias", ["output.bias"], "dense_0"]),
    "layer_rates": st.sampled_from([None, 0.5, 2.0, {"*.bias": 0.1}, {"output": 0}]),
    "scoring": st.sampled_from(["loss", sloppy_score, "max_error", "accuracy", "r2"]),
    "recipes": st.sampled_from([None, [{"network": "tabm"}], [{"optimizer": "sgd", "learning_rate": 0.1}, {}]]),
    "initial_weights": st.sampled_from([None, None, None, {}, {"output.bias": np.zeros(3)}]),
    "categorical_features": st.sampled_from(["from_dtype", None, [0], ["c0"]]),
    "class_weight": st.sampled_from([None, "balanced", {0: 2.0, 1: 1.0}]),
    "device": st.sampled_from(["auto", "cpu", ["cpu", "cpu"]]),
    "callbacks": st.just(None),
    "verbose": st.just(0),
}
"""Parameters whose constraints say too little, or which would take too long."""


def values_of(make: type[Estimator], name: str, tasks: list[str]) -> st.SearchStrategy[Any]:
    """Values of a constructor's parameter: of `SPECIAL`, a technique, or what its constraints admit."""
    if name in SPECIAL:
        return SPECIAL[name]
    admitted = [of_constraint(one) for one in make._parameter_constraints[name]]
    known = [one for one in admitted if one is not None]
    if name in MODULES or name == "loss":
        known.append(techniques(name, [one for task in tasks for one in losses.names(task)]))
    return st.one_of(known) if known else st.just(make().get_params(deep=False)[name])


@st.composite
def cases(draw: Any) -> tuple[Estimator, Data]:
    """An estimator of valid settings, and a table for it."""
    make = draw(st.sampled_from([NNClassifier, NNRegressor]))
    raw = draw(st.integers(0, 4)) == 0
    names = draw(st.lists(st.sampled_from(list(make._parameter_constraints)), unique=True, max_size=8))
    dense = any(name.endswith("_embedding") or name in ("preprocessing", "recipes", "input_scale") for name in names)
    data = draw(data_of(make, preprocessed=not raw, dense=dense))
    drawn = {name: draw(values_of(make, name, TASKS[data.target])) for name in names}
    return make(**{**CHEAP, **drawn, **({"preprocessing": None} if raw else {})}), data


class Odd:
    """A value of no type that any parameter takes."""

    def __repr__(self) -> str:
        return "Odd()"


ODD = [
    Odd(),
    1j,
    -7,
    -1.5,
    2.5,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "no such name",
    b"bytes",
    (),
    [],
    {},
    {"a": 1},
    True,
]
ODD += [None, object, [Odd()], [None], (-1,), [[1, 2]], np.array([np.nan]), {1, 2}, range(3), lambda: None]


@st.composite
def wrong_settings(draw: Any) -> tuple[type[Estimator], str, Any]:
    """An estimator's class, a parameter, and a value that none of its constraints admits."""
    make = draw(st.sampled_from([NNClassifier, NNRegressor]))
    name = draw(st.sampled_from(list(make._parameter_constraints)))
    constraints = make._parameter_constraints[name]
    wrong = [st.sampled_from(ODD), st.integers(), st.floats(), st.text(max_size=9)]
    options = [one for own in constraints if isinstance(own, StrOptions) for one in own.options]
    if name in MODULES or name == "loss":
        options += list(MODULES.get(name, losses).names())
    if options:
        wrong.append(st.sampled_from(sorted(options)).flatmap(misspelt).filter(lambda word: word not in options))
    value = draw(st.one_of(wrong).filter(lambda one: not admitted(constraints, one, named=bool(options))))
    return make, name, value


@st.composite
def misspelt(draw: Any, word: str) -> str:
    """A word with one letter less, one more, or another case."""
    place = draw(st.integers(0, len(word) - 1))
    return draw(st.sampled_from([word[:place] + word[place + 1 :], word[:place] + "x" + word[place:], word.upper()]))


def admitted(constraints: list[Any], value: Any, *, named: bool) -> bool:
    """Whether a constraint takes a value; that a string is one says nothing where only names will do.

    No number is as large as no float is, but for a count.
    """
    reals = [one for one in constraints if isinstance(one, Interval) and one.type is Real]
    if reals and isinstance(value, int) and abs(value) > 1e308:
        return False
    if isinstance(value, str) and named:
        return any(isinstance(one, StrOptions) and value in one.options for one in constraints)
    return any(make_constraint(one).is_satisfied_by(value) for one in constraints)


@st.composite
def wrong_techniques(draw: Any) -> tuple[type[Estimator], str, Any, str]:
    """A class, a parameter, a technique for it one of whose own parameters is wrong, and which."""
    make = draw(st.sampled_from([NNClassifier, NNRegressor]))
    parameter = draw(st.sampled_from([*MODULES, "loss"]))
    module = MODULES.get(parameter, losses)
    names = losses.names(TASKS[TARGETS[make][0]][0]) if parameter == "loss" else list(module.names())
    with_own = [name for name in names if type(module.REGISTRY[name]())._parameter_constraints]
    technique = module.REGISTRY[draw(st.sampled_from(with_own))]()
    own = draw(st.sampled_from(sorted(technique.get_params(deep=False))))
    constraints = type(technique)._parameter_constraints[own]
    named = any(isinstance(one, StrOptions) or one is str for one in constraints)
    wrong = st.one_of(st.sampled_from(ODD), st.integers(), st.floats(), st.text(max_size=9))
    value = draw(wrong.filter(lambda one: not admitted(constraints, one, named=named)))
    return make, parameter, technique.set_params(**{own: value}), own


@st.composite
def wrong_lengths(draw: Any) -> tuple[type[Estimator], str, dict[str, Any], Any]:
    """A class, what its error must match, settings in which a parameter has not the values that it needs, and these."""
    make = draw(st.sampled_from([NNClassifier, NNRegressor]))
    layers = draw(st.integers(1, 3))
    wrong = draw(st.integers(0, 6).filter(lambda count: count not in (layers, layers + 1)))
    settings: dict[str, Any] = {"hidden_layer_sizes": (4,) * layers}
    name = draw(st.sampled_from(["dropout", "regularization", "categorical_features", "hidden_layer_sizes"]))
    penalties = [regularization.L1, regularization.L2, regularization.MaxNorm, regularization.DropConnect]
    settings[name] = {
        "dropout": (0.1,) * wrong,
        "regularization": draw(st.sampled_from(penalties))([0.1] * wrong),
        "categorical_features": [False] * (wrong + 5),
        "hidden_layer_sizes": draw(st.sampled_from([(4, 0), (4.5,), ("4",), (-1, 4), [(4,)], [None]])),
    }[name]
    if name == "regularization":
        return make, "strength|limit|rate", settings, [0.1] * wrong
    return make, name, settings, settings[name]
