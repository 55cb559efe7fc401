"""Estimators: which attributes a file has, how they must go together, and what is made of them again."""

from functools import partial
from typing import Any

import numpy as np

from sknnopt.data import ClassTarget, RegressionTarget, TableEncoder
from sknnopt.engine import Progress
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.estimators._calibration import Settings
from sknnopt.estimators._range_test import Rate
from sknnopt.nn import StackedNetwork
from sknnopt.optimizers import Optimizer
from sknnopt.persistence import _checks as is_
from sknnopt.persistence._checks import FLOATS, Check, a, array, count, either, list_of, mapping, number, optional
from sknnopt.persistence._consistency import check_continuation, check_ends, check_members, check_predicts
from sknnopt.persistence._errors import require
from sknnopt.persistence._records import KNOWN
from sknnopt.persistence._values import Record

ESTIMATORS: dict[type, type] = {NNClassifier: ClassTarget, NNRegressor: RegressionTarget}
"""What can be saved, and what their targets are."""

_FIGURES = {"epoch", "train_loss", "learning_rate", "gradient_norm", "weight_norm", "seconds"}
_JUDGED = {"valid_loss", "valid_score"}


def _is_epoch(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() - _JUDGED != _FIGURES:
        return False
    judged = "valid_loss" in value or "valid_score" not in value
    return judged and all(type(one) is (int if name == "epoch" else float) for name, one in value.items())


_SHAPE = {"network", "hidden_layer_sizes", "normalization", "activation", "initializer", "numeric_embedding",
          "categorical_embedding", "input_scale"}  # fmt: skip


def _is_shape(value: Any) -> bool:
    """Whether this says what networks depend on; recipes what they change of it."""
    if type(value) is not dict or value.keys() - {"n_heads", "recipes"} != _SHAPE | {"n_members", "precision"}:
        return False
    recipes = value.get("recipes", [{}])
    known = _SHAPE | {"n_heads"}
    return (
        value["precision"] in ("float32", "float64", "bf16")
        and type(recipes) is list
        and bool(recipes)
        and all(type(one) is dict and one.keys() <= known for one in recipes)
    )


_of_members = array("float64", finite=False)
_histories = mapping(array("float64", ndim=2, finite=False))

FITTED: dict[str, Check] = {
    "n_features_in_": count(1),
    "feature_names_in_": optional(is_.NAMES),
    "loss_": is_.LOSS,
    "preprocessor_": optional(a(TableEncoder)),
    "n_validation_samples_": count(),
    "restart_scores_": array("float64", ndim=None, finite=False),
    "learning_rate_": either(number(0), array("float64")),
    "history_": list_of(Check("an epoch's record", _is_epoch)),
    "member_histories_": _histories,
    "best_epoch_": either(count(1), array("int64")),
    "best_loss_": either(a(float), _of_members),
    "_seed": count(0, 2**31),
    "_embeds": is_.BOOLEAN,
    "_rates": list_of(a(Rate)),
    "_settings": a(Settings),
    "_fitted_shape": Check("what networks depend on", _is_shape),
    "_optimizers": list_of(a(Optimizer)),
    "_places": list_of(count()),
    "_member_kinds": list_of(count()),
    "_networks": list_of(optional(a(StackedNetwork))),
    "_weights": list_of(mapping(array(*FLOATS, ndim=None))),
    "_progress": optional(list_of(a(Progress))),
    "_class_factors": optional(array("float64")),
}
"""Attributes of a fitted estimator, besides ``target_``, that are in a file; absent ones are None there."""

_MAY_BE_ABSENT = ("feature_names_in_", "_progress", "_class_factors")

_DERIVED = {
    "n_iter_",
    "n_parameters_",
    "n_outputs_",
    "learning_rate_test_",
    "recipe_weights_",
    "temperature_",
    "quantile_shift_",
    "quantile_factors_",
    "module_",
}

PARAMETERS = {
    "network": (is_.TEXT, "Only built-in networks can be."),
    "initial_weights": (Check("None", lambda v: v is None), "They matter only where a fit begins: set them to None."),
    "callbacks": (Check("none", lambda v: not v), "They matter only while a network is trained: set them to None."),
    "checkpoint": (Check("None", lambda v: v is None), ""),
    "scoring": (is_.TEXT, "It matters only while a network is trained: set it to a scorer's name."),
    "random_state": (
        Check("None or a whole number", lambda v: v is None or isinstance(v, int | np.integer)),
        "It matters only where a fit begins: set it to a whole number.",
    ),
}
"""What some parameters must be to be stored, and what is to be said where they are not."""


def state_of(estimator: Any) -> dict[str, Any]:
    """Return parameters and fitted attributes of an estimator as its file has them.

    Raises
    ------
    TypeError
        If a parameter or an attribute cannot be stored.
    """
    kind, state = type(estimator), estimator.__getstate__()
    parameters = {name: state.pop(name) for name in kind._get_param_names()} | {"checkpoint": None}
    for name, (check, why) in PARAMETERS.items():
        if not check.holds(parameters[name]):
            raise TypeError(
                f"The parameter {name}={parameters[name]!r} of {kind.__name__} cannot be stored in a file of sknnopt. "
                f"{why} pickle and joblib can store it."
            )
    if state.pop("_skl_callbacks", None):
        raise TypeError(
            "Callbacks set by set_callbacks cannot be stored in a file of sknnopt. They matter only while a network is "
            "trained: call set_callbacks() without any. pickle and joblib can store them."
        )
    if "_weights" not in state:
        raise TypeError("module_ is no longer what fit has made. pickle and joblib can store such an estimator.")
    unknown = state.keys() - FITTED.keys() - _DERIVED - {"target_"}
    if unknown:
        raise TypeError(
            f"The attribute {min(unknown)!r} is none of {kind.__name__}'s own. Delete it; pickle and joblib can store "
            "such an estimator."
        )
    return {"parameters": parameters, "target_": state["target_"], **{name: state.get(name) for name in FITTED}}


def _made(kind: type[Any], fields: dict[str, Any]) -> Any:
    parameters: dict[str, Any] = fields.pop("parameters")
    names = set(kind._get_param_names())
    require(parameters.keys() == names, f"the parameters must be those of {kind.__name__}")
    for name, (check, _) in PARAMETERS.items():
        check(parameters[name], name)
    estimator = kind(**parameters)
    estimator._check_params()
    check_members(fields)
    check_ends(kind, fields)
    absent = [name for name in _MAY_BE_ABSENT if fields[name] is None]
    estimator.__setstate__({**parameters, **{name: one for name, one in fields.items() if name not in absent}})
    _derive(estimator)
    check_continuation(estimator)
    check_predicts(estimator)
    return estimator


def _derive(estimator: Any) -> None:
    """Set what follows from the other attributes."""
    settings, tests = estimator._settings, [rate.test for rate in estimator._rates]
    several = isinstance(estimator.learning_rate_, np.ndarray)
    rates = [rate.value for rate in estimator._rates]
    require(
        np.array_equal(estimator.learning_rate_, rates if several else rates[0]), "learning_rate_ must be of _rates"
    )
    estimator.learning_rate_test_ = tests if several else tests[0]
    estimator.n_iter_ = len(estimator.history_)
    kinds = estimator._member_kinds
    estimator.n_parameters_ = sum(estimator._networks[r].layout.n_parameters for r in kinds)
    estimator.n_outputs_ = estimator._networks[kinds[0]].n_outputs
    estimator.recipe_weights_ = np.array(settings.weights)
    if isinstance(estimator, NNClassifier):
        found = settings.temperatures
        estimator.temperature_ = np.array(found) if len(found) > 1 else found[0]
    else:
        estimator._show_quantiles()


RECORDS = {
    **KNOWN,
    **{
        kind: (
            kind.__name__,
            Record({"parameters": a(dict), "target_": a(target), **FITTED}, state_of, partial(_made, kind)),
        )
        for kind, target in ESTIMATORS.items()
    },
}
"""By class, the names and records of all that a file may hold."""
