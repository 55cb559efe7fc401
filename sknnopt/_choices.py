"""Techniques given by name or as an object: their common base class, and the way from one to the other."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from types import FunctionType
from typing import Any, ClassVar, TypeVar

import joblib
from sklearn.utils import check_random_state

from ._compat import Estimator, InvalidParameterError

__all__ = ["Choice", "Range", "resolve", "suggestion"]


SMALLEST, LARGEST = 1.2e-38, 3.4e38
"""What float32 holds in full precision, in which techniques compute."""


class Range:
    """An interval of values worth searching, which scikit-learn's randomized searches draw from.

    Parameters
    ----------
    low, high : float
        Both above zero where `log` is true.
    log : bool, default=False
        Whether to draw uniformly on a logarithmic scale.

    Examples
    --------
    >>> rates = Range(1e-4, 1e-1, log=True)
    >>> rates
    Range(0.0001, 0.1, log=True)
    >>> rates.grid(4)
    [0.0001, 0.001, 0.01, 0.1]
    >>> rates.low <= rates.rvs(random_state=0) <= rates.high
    True
    """

    def __init__(self, low: float, high: float, *, log: bool = False) -> None:
        self.low, self.high, self.log = low, high, log

    def rvs(self, random_state: Any = None) -> float:
        """Draw a value, as a frozen distribution of scipy's does."""
        return self._at(float(check_random_state(random_state).uniform()))

    def grid(self, n: int) -> list[float]:
        """Return n values at equal distances, both ends included, rounded to three digits."""
        return [float(f"{self._at(i / (n - 1)):.3g}") for i in range(n)]

    def _at(self, share: float) -> float:
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return float(self.low + (self.high - self.low) * share)

    def __repr__(self) -> str:
        return f"Range({self.low:g}, {self.high:g}{', log=True' if self.log else ''})"


class Choice(Estimator):
    """Base of every technique object: it clones, prints and sweeps like a scikit-learn estimator.

    A subclass stores its arguments unchanged and states their ranges in ``_parameter_constraints``,
    in scikit-learn's own notation. ``validate`` checks them; the constructor never does.

    Attributes
    ----------
    search_space : dict of str to Range or list
        Values worth searching of each parameter that has such, as a randomized search takes them.

    Examples
    --------
    >>> from sknnopt.optimizers import SGD
    >>> SGD(momentum=0.9)
    SGD(momentum=0.9)
    >>> SGD(momentum=2).validate()
    Traceback (most recent call last):
    ...
    sklearn.utils._param_validation.InvalidParameterError: The 'momentum' parameter of SGD must be a float \
in the range [0.0, 1.0). Got 2 instead.
    """

    search_space: ClassVar[dict[str, Range | list[Any]]] = {}

    def key(self) -> Hashable:
        """Return what is equal for objects that compute the same: the class and the parameters' content."""
        values = self.get_params(deep=False)
        if all(isinstance(value, int | float | str | FunctionType | None) for value in values.values()):
            return (type(self), *values.items())
        try:
            return type(self), joblib.hash(values)
        except Exception:  # what cannot be pickled, a lambda say, is like itself alone
            return type(self), id(self)

    def validate(self) -> None:
        """Check every parameter against its constraints.

        Raises
        ------
        InvalidParameterError
            A ``ValueError`` with the parameter, the allowed values and the value received.
        """
        self._validate_params()
        for name, value in self.get_params(deep=False).items():
            size: float = abs(value) if isinstance(value, float | int) else 0.0
            if 0 < size < SMALLEST or LARGEST < size < float("inf"):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be 0 or between {SMALLEST:g} and "
                    f"{LARGEST:g} in size, as numbers of float32 are. Got {value!r} instead."
                )


C = TypeVar("C", bound=Choice)


def resolve(
    value: object,
    registry: Mapping[str, Callable[[], C]],
    *,
    parameter: str,
    base: type[C],
    wrap: Callable[[Callable[..., Any]], C] | None = None,
    wraps: Callable[[object], bool] | None = None,
    wrapped: str = "a function",
) -> C:
    """Turn a name, an object or (with `wrap`) a function into a checked technique object.

    Parameters
    ----------
    value : str, instance of `base`, or callable
        What the user gave. An object comes back as itself, not as a copy.
    registry : mapping of str to factory
        Every accepted name and what makes its object.
    parameter : str
        The estimator's parameter, for the error message.
    base : type
        The class that objects must be an instance of.
    wrap : callable, optional
        Makes the object of a plain function; without it functions are refused.
    wraps : callable, optional
        Says what `wrap` takes; without it, whatever is callable and no class.
    wrapped : str, default="a function"
        Names what `wrap` takes, for the error message.

    Returns
    -------
    object
        An instance of `base` whose parameters have been validated.

    Raises
    ------
    InvalidParameterError
        A ``ValueError``; it lists the names, shows the value and offers the nearest spelling.

    Examples
    --------
    >>> from sknnopt import optimizers
    >>> resolve("nesterov", optimizers.REGISTRY, parameter="optimizer", base=optimizers.Optimizer)
    SGD(momentum=0.9, nesterov=True)
    """
    choice = _find(value, registry, base, wrap, wraps or _is_function)
    if choice is None:
        raise InvalidParameterError(_refusal(value, registry, parameter, base, wrapped if wrap is not None else None))
    if not isinstance(value, str):  # what a name stands for needs no check
        choice.validate()
    return choice


def _find(
    value: object,
    registry: Mapping[str, Callable[[], C]],
    base: type[C],
    wrap: Callable[[Callable[..., Any]], C] | None,
    wraps: Callable[[object], bool],
) -> C | None:
    if isinstance(value, str):
        return registry[value]() if value in registry else None
    if isinstance(value, base):
        return value
    if wrap is not None and callable(value) and wraps(value):
        return wrap(value)
    return None


def _is_function(value: object) -> bool:
    return not isinstance(value, (type, Choice))


def _refusal(value: object, names: Iterable[str], parameter: str, base: type, wrapped: str | None) -> str:
    names = sorted(names)
    kinds = f"an instance of {base.__name__}" + ("" if wrapped is None else f" or {wrapped}")
    hint = ""
    if isinstance(value, str):
        hint = suggestion(value, names)
    elif inspect.isclass(value) and issubclass(value, base):
        hint = f" Did you mean {value.__name__}()?"
    return (
        f"The {parameter!r} parameter must be one of {', '.join(map(repr, names))}, or {kinds}."
        f" Got {value!r} instead.{hint}"
    )


def suggestion(name: str, names: Iterable[str]) -> str:
    """The nearest accepted spelling, as the end of an error message.

    Parameters
    ----------
    name : str
        What was received.
    names : iterable of str
        What is accepted.

    Returns
    -------
    str
        ``" Did you mean 'adam'?"``, or the empty string where nothing is near.

    Examples
    --------
    >>> suggestion("Adm", ["sgd", "adam"])
    " Did you mean 'adam'?"
    >>> suggestion("cosine", ["sgd", "adam"])
    ''
    """
    near = difflib.get_close_matches(name.lower(), list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
