"""What fields of a file may hold."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sknnopt.losses import Loss
from sknnopt.persistence._errors import require

MOST = 2**53
"""No count is larger."""

FLOATS = {"float32": np.float32, "float64": np.float64}
"""Types of data and weights."""


class Check(NamedTuple):
    """What a value must be, in words, and whether one is."""

    what: str
    holds: Callable[[Any], bool]

    def __call__(self, value: Any, path: str) -> None:
        """Raise FileFormatError, with the place in the file, unless the value is so."""
        require(self.holds(value), f"{path} must be {self.what}")


def count(low: int = 0, high: int = MOST) -> Check:
    """A whole number."""
    return Check(f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high)


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite float."""
    return Check(f"a number from {low} to {high}", lambda v: type(v) is float and math.isfinite(v) and low <= v <= high)


def one_of(*values: Any) -> Check:
    """One of some plain values."""
    return Check(
        f"one of {', '.join(map(repr, values))}", lambda v: any(type(v) is type(one) and v == one for one in values)
    )


def a(kind: type, name: str | None = None) -> Check:
    """An object of a class."""
    return Check(f"of the type {name or kind.__name__}", lambda v: isinstance(v, kind))


def optional(check: Check) -> Check:
    """None, or what another check asks for."""
    return Check(f"None or {check.what}", lambda v: v is None or check.holds(v))


def either(*checks: Check) -> Check:
    """What one of several checks asks for."""
    return Check(" or ".join(check.what for check in checks), lambda v: any(check.holds(v) for check in checks))


def list_of(check: Check) -> Check:
    """A list whose members are so."""
    return Check(f"a list, each {check.what}", lambda v: type(v) is list and all(map(check.holds, v)))


def tuple_of(check: Check) -> Check:
    """A tuple whose members are so."""
    return Check(f"a tuple, each {check.what}", lambda v: type(v) is tuple and all(map(check.holds, v)))


def array(*dtypes: str, ndim: int | None = 1, finite: bool = True) -> Check:
    """An array of numbers."""

    def holds(value: Any) -> bool:
        if type(value) is not np.ndarray or value.dtype.name not in dtypes or ndim not in (None, value.ndim):
            return False
        return not finite or bool(np.isfinite(value).all())

    return Check(f"an array of {' or '.join(dtypes)}{'' if ndim is None else f' of {ndim} axes'}", holds)


def mapping(check: Check) -> Check:
    """A dict of names."""
    return Check(
        f"a dict, each value {check.what}",
        lambda v: type(v) is dict and all(type(key) is str and check.holds(one) for key, one in v.items()),
    )


ANYTHING = Check("anything", lambda v: True)
TEXT = a(str)
BOOLEAN = a(bool)
NAMES = Check(
    "an array of names",
    lambda v: type(v) is np.ndarray and v.dtype == object and v.ndim == 1 and all(type(one) is str for one in v),
)
LINK = one_of("identity", "softmax", "sigmoid", "exp")
LOSS = a(Loss)
