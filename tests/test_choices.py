"""Names and objects: what is accepted, what is refused and how it is said."""

import math
from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sknnopt import activations, averaging, initializers, losses, optimizers, regularization, schedules
from sknnopt._choices import Choice, resolve, suggestion
from sknnopt._compat import InvalidParameterError

MODULES = [activations, averaging, initializers, losses, optimizers, regularization, schedules]
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


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_every_class_shows_an_example(kind):
    assert ">>> " in kind.__doc__


@pytest.mark.parametrize(
    ("module", "wrong", "right"),
    [
        (activations, "rleu", "relu"),
        (initializers, "xavier_unifrom", "xavier_uniform"),
        (optimizers, "Adam", "adam"),
        (regularization, "elastic_nt", "elastic_net"),
        (schedules, "cosin", "cosine"),
    ],
)
def test_nearest_spelling_is_offered(module, wrong, right):
    parameter = {"activations": "activation", "initializers": "initializer", "optimizers": "optimizer"}
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
