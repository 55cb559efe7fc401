"""Names and objects: what is accepted, what is refused and how it is said."""

import math
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import ParameterSampler

from sknnopt import activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules
from sknnopt._choices import Choice, Range, resolve, suggestion
from sknnopt._compat import InvalidParameterError

MODULES = [activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules]
NAMES = [(module, name) for module in MODULES for name in module.names()]
PUBLIC = [
    getattr(module, name)
    for module in MODULES
    for name in module.__all__
    if isinstance(getattr(module, name), type) and issubclass(getattr(module, name), Choice)
]


@pytest.mark.parametrize(("module", "name"), NAMES, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_every_name_is_its_object_with_its_defaults(module, name):
    choice = module.REGISTRY[name]()
    assert type(choice).__name__ in module.__all__
    choice.validate()
    assert repr(clone(choice)) == repr(choice)


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_parameter_is_constrained_and_documented(kind):
    parameters = kind._get_param_names()
    if kind.__name__ != "Sum":
        assert set(parameters) == set(kind._parameter_constraints)
    for parameter in parameters:
        assert (
            f"{parameter} : " in kind.__doc__ or f"{parameter}, " in kind.__doc__ or f", {parameter} : " in kind.__doc__
        )


NOT_SEARCHED = {
    "GELU.approximate", "Parametric.initial", "Quantile.quantile",
    "Constant.value", "DataDependent.n_rows", "HullBias.n_rows", "LSUV.n_rows", "Normal.mean",
    "TruncatedNormal.mean", "TruncatedNormal.cut", "Uniform.low", "Uniform.high", "Sparse.std",
    "SGD.dampening", "ASGD.t0", "Rprop.smallest", "Rprop.largest", "Adagrad.lr_decay", "Adagrad.epsilon",
    "Adamax.epsilon", "NAdam.epsilon", "RAdam.epsilon", "Adan.epsilon", "AdEMAMix.epsilon", "AdEMAMix.warmup_steps",
    "CautiousAdamW.epsilon", "ScheduleFreeAdamW.epsilon", "LAMB.epsilon", "SOAP.epsilon", "SOAP.max_dim",
    "Prodigy.epsilon", "Prodigy.d0", "Prodigy.growth_rate", "Adafactor.epsilon", "Adafactor.relative_step",
    "Adafactor.smallest_scale", "Muon.nesterov", "Muon.adjustment", "Muon.beta_1", "Muon.beta_2", "Muon.epsilon",
    "LBFGS.max_line_search", "SAM.base",
    "GradientNoise.gamma", "GroupLasso.groups",
    "OneCycle.final_div_factor", "Plateau.threshold", "Plateau.cooldown", "Plateau.min_factor",
    "PiecewiseLinear.activation", "Periodic.activation", "Periodic.phases", "Periodic.dense",
    "WarmupStableDecay.start_factor", "WarmupStableDecay.end_factor",
}  # fmt: skip
"""Parameters that define the task, guard against rounding, or are coupled with others: out of `search_space`."""
REGISTERED = [module.REGISTRY[name]() for module, name in NAMES]
REGISTERED += [losses.get(name, task="multilabel") for name in losses.names("multilabel")]


def test_every_parameter_is_searched_or_said_not_to_be():
    kinds = {type(technique) for technique in REGISTERED}
    parameters = {f"{kind.__name__}.{name}" for kind in kinds for name in kind._get_param_names()}
    searched = {f"{kind.__name__}.{name}" for kind in kinds for name in kind.search_space}
    assert searched <= parameters
    assert parameters - searched == NOT_SEARCHED, "give search_space its range, or add it here"


@pytest.mark.parametrize("technique", REGISTERED, ids=repr)
def test_values_worth_searching_are_valid(technique):
    space = technique.search_space
    ends = {name: values.grid(2) if isinstance(values, Range) else values for name, values in space.items()}
    last = {name: values[-1] for name, values in ends.items()}
    one_by_one = [last | {name: value} for name, values in ends.items() for value in values]
    drawn = list(ParameterSampler(space | {"never": Range(0, 1)}, 20, random_state=0))  # a space of lists alone warns
    for values in one_by_one + [{name: draw[name] for name in space} for draw in drawn]:
        clone(technique).set_params(**values).validate()


@pytest.mark.parametrize("name", optimizers.names())
def test_learning_rates_worth_searching_contain_the_default(name):
    optimizer = optimizers.get(name)
    rates = optimizer.learning_rates
    assert rates.log
    assert 0 < rates.low < rates.high
    assert rates.low <= optimizer.default_learning_rate <= rates.high


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_class_shows_an_example(kind):
    assert ">>> " in kind.__doc__


@pytest.mark.parametrize(
    ("module", "wrong", "right"),
    [
        (activations, "rleu", "relu"),
        (initializers, "xavier_unifrom", "xavier_uniform"),
        (optimizers, "Adam", "adam"),
        (embeddings, "piecewise_liner", "piecewise_linear"),
        (regularization, "elastic_nt", "elastic_net"),
        (schedules, "cosin", "cosine"),
    ],
)
def test_nearest_spelling_is_offered(module, wrong, right):
    parameter = {"activations": "activation", "initializers": "initializer", "optimizers": "optimizer"}
    parameter |= {"embeddings": "numeric_embedding"}
    name = module.__name__.split(".")[-1]
    parameter = parameter.get(name, name.removesuffix("s"))
    with pytest.raises(InvalidParameterError) as caught:
        module.get(wrong)
    message = str(caught.value)
    assert message.startswith(f"The {parameter!r} parameter must be one of ")
    assert all(repr(known) in message for known in module.names())
    assert message.endswith(f"Got {wrong!r} instead. Did you mean {right!r}?")


@pytest.mark.parametrize("module", [activations, initializers, optimizers, schedules])
@pytest.mark.parametrize("value", [None, 3, ["adam"], {"adam": 1}, b"adam"])
def test_other_types_are_refused_as_a_value_error(module, value):
    with pytest.raises(ValueError, match=r"parameter must be one of .* Got "):
        module.get(value)


def test_a_class_in_place_of_its_object():
    with pytest.raises(ValueError, match=r"Did you mean SGD\(\)\?"):
        optimizers.get(optimizers.SGD)


def test_another_modules_object_is_not_taken_for_a_function():
    with pytest.raises(ValueError, match=r"'schedule' parameter .*Got KaimingNormal\(\)"):
        schedules.get(initializers.KaimingNormal())
    with pytest.raises(ValueError, match="Got <function"):
        optimizers.get(lambda x: x)


def test_functions_are_accepted_where_they_make_sense():
    assert activations.get(torch.sin).function is torch.sin
    assert schedules.get(math.sqrt).function is math.sqrt
    assert initializers.get(print).function is print


def test_objects_come_back_as_themselves_and_validated():
    adam = optimizers.Adam(beta_1=0.5)
    assert optimizers.get(adam) is adam
    with pytest.raises(ValueError, match=r"'beta_1' parameter of Adam must be .* Got 1\.5"):
        optimizers.get(adam.set_params(beta_1=1.5))


def test_numpy_strings_are_names():
    found = resolve(np.str_("sgd"), optimizers.REGISTRY, parameter="optimizer", base=optimizers.Optimizer)
    assert isinstance(found, optimizers.SGD)


def test_no_suggestion_where_nothing_is_near():
    assert suggestion("zzz", ["adam", "sgd"]) == ""
    assert suggestion("ADAMM", ["adam", "sgd"]) == " Did you mean 'adam'?"


def test_modules_export_what_they_say():
    for module in MODULES:
        assert module is import_module(module.__name__)
        assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize(
    ("choice", "parameter", "value"),
    [
        (optimizers.SAM("adamw"), "base__beta_1", 0.5),
        (initializers.LSUV(base="normal"), "base__std", 0.5),
        (activations.GLU("gelu"), "gate__approximate", "tanh"),
        (activations.Parametric("elu"), "base__alpha", 0.5),
        (schedules.Scheduled(0.1, "polynomial"), "schedule__power", 3.0),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Choice) else str(x),
)
def test_parameters_of_what_is_given_by_name_are_set(choice, parameter, value):
    choice = clone(choice).set_params(**{parameter: value})
    assert choice.get_params()[parameter] == value
    choice.validate()
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        choice.set_params(**{parameter.partition("__")[0] + "__nothing": 1})
