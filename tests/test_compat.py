"""The base class that reads a class's signature and constraints once."""

import gc
import weakref
from numbers import Real
from typing import Any, ClassVar

import pytest
from sklearn.base import BaseEstimator

from sknnopt._compat import Estimator, Interval, InvalidParameterError, StrOptions, validate_parameter_constraints

CONSTRAINTS = {
    "alpha": [Interval(Real, 0, 1, closed="left"), None],
    "kind": [StrOptions({"a"})],
    "any": "no_validation",
}


class Plain(BaseEstimator):
    def __init__(self, kind="a", alpha=0.5, any=None, free=None):
        self.kind, self.alpha, self.any, self.free = kind, alpha, any, free


class Parent(Estimator):
    _parameter_constraints: ClassVar[dict[str, Any]] = CONSTRAINTS
    __init__ = Plain.__init__


class Child(Parent):
    _parameter_constraints: ClassVar[dict[str, Any]] = {"more": ["boolean"]}

    def __init__(self, more=True):
        self.more = more


def test_parameters_are_those_of_sklearn():
    for _ in range(2):
        assert Parent(alpha=0.1).get_params() == Plain(alpha=0.1).get_params()
        assert list(Parent().get_params()) == list(Plain().get_params())


def test_a_subclass_has_its_own_parameters():
    Parent()._validate_params()
    Child()._validate_params()
    assert Child().get_params() == {"more": True}
    with pytest.raises(InvalidParameterError, match="The 'more' parameter of Child"):
        Child(more="yes")._validate_params()


@pytest.mark.parametrize("params", [{"alpha": 2}, {"alpha": "a"}, {"kind": "b", "alpha": -1}, {"kind": None}])
def test_errors_are_those_of_sklearn(params):
    with pytest.raises(InvalidParameterError) as expected:
        validate_parameter_constraints(CONSTRAINTS, Plain(**params).get_params(), caller_name="Parent")
    for _ in range(2):
        with pytest.raises(InvalidParameterError) as error:
            Parent(**params)._validate_params()
        assert str(error.value) == str(expected.value)


def test_what_sklearn_does_not_check_is_not_checked():
    Parent(any=object(), free=object())._validate_params()


def test_a_class_can_go():
    class Local(Parent):
        pass

    Local()._validate_params()
    gone = weakref.ref(Local)
    del Local
    gc.collect()
    assert gone() is None
