"""Names that scikit-learn, joblib and skorch keep private, gathered in one place."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from weakref import WeakKeyDictionary

from joblib.parallel import FallbackToBackend
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, _clone_parametrized
from sklearn.utils._array_api import _is_numpy_namespace, get_namespace
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    make_constraint,
    validate_parameter_constraints,
)
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.parallel import _FuncWrapper
from sklearn.utils.validation import _check_feature_names_in, _check_method_params, _check_sample_weight

if TYPE_CHECKING:  # what scikit-learn does not annotate, for type checkers of users' code
    Method = TypeVar("Method", bound=Callable[..., Any])

    class ClassifierMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    class RegressorMixin:
        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    class CallbackSupportMixin:
        def set_callbacks(self, *callbacks: Any) -> Self: ...
        def _init_callback_context(self, *, max_subtasks: int, sequential_subtasks: bool) -> Any: ...

    def torn_down(estimator: Any) -> AbstractContextManager[None]: ...
    def available_if(check: Callable[[Any], bool]) -> Callable[[Method], Method]: ...

else:
    from sklearn.base import ClassifierMixin, RegressorMixin
    from sklearn.utils.metaestimators import available_if

    try:
        from sklearn.callback import CallbackSupportMixin
        from sklearn.callback._callback_support import callback_management_context as torn_down
    except ImportError:  # before 1.9

        class CallbackSupportMixin:
            """Nothing: this scikit-learn has no callbacks."""

        def torn_down(estimator):
            """Return a context that does nothing."""
            return nullcontext()


CALLBACK_STATE = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
"""What scikit-learn keeps on an estimator during a fit, to tear its callbacks down in the end."""

__all__ = [
    "CALLBACK_STATE",
    "CallbackSupportMixin",
    "ClassifierMixin",
    "Estimator",
    "FallbackToBackend",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "RegressorMixin",
    "StrOptions",
    "_check_feature_names_in",
    "_check_method_params",
    "_check_sample_weight",
    "_clone_parametrized",
    "_safe_split",
    "asked_by_ensemble",
    "available_if",
    "check_matplotlib_support",
    "dispatches_to_others",
    "in_this_process",
    "torn_down",
]

# What each class says of its parameters; weak, so that a class made in a function goes with its last instance.
_names: WeakKeyDictionary[type, list[str]] = WeakKeyDictionary()
_constraints: WeakKeyDictionary[type, dict[str, list[Any]]] = WeakKeyDictionary()


class Estimator(BaseEstimator):
    """scikit-learn's base class, but that each class's signature and constraints are read once, not at each call.

    A fit asks for parameters a dozen times, and a search for those of every candidate.

    Examples
    --------
    >>> class Ridge(Estimator):
    ...     def __init__(self, alpha=1.0):
    ...         self.alpha = alpha
    >>> Ridge().get_params()
    {'alpha': 1.0}
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    @classmethod
    def _get_param_names(cls) -> list[str]:
        names: list[str] | None = _names.get(cls)
        if names is None:
            names = _names[cls] = super()._get_param_names()
        return list(names)

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of a technique that is given by its name, which its object first replaces.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such parameter, or its value has no parameters of its own.
        """
        super().set_params(**{name: value for name, value in params.items() if "__" not in name})
        nested = {name: value for name, value in params.items() if "__" in name}
        for name in {name.partition("__")[0] for name in nested} & set(self._get_param_names()):
            setattr(self, name, self._as_object(name, getattr(self, name)))
        super().set_params(**nested)
        return self

    def _as_object(self, name: str, value: Any) -> Any:
        """Return what a parameter's value stands for, before a parameter of its own is set."""
        return value

    def _validate_params(self) -> None:
        """Check every parameter; what is wrong is said in scikit-learn's words."""
        self._validate(self.get_params(deep=False))

    def _validate(self, params: dict[str, Any]) -> None:
        """Check values of parameters, whether they are those of this object or not."""
        constraints = _constraints.get(type(self))
        if constraints is None:
            constraints = _constraints[type(self)] = _made(self._parameter_constraints)
        for name, value in params.items():
            if name in constraints and not any(one.is_satisfied_by(value) for one in constraints[name]):
                validate_parameter_constraints(self._parameter_constraints, params, caller_name=type(self).__name__)


def _made(constraints: dict[str, Any]) -> dict[str, list[Any]]:
    return {
        name: [make_constraint(one) for one in accepted]
        for name, accepted in constraints.items()
        if accepted != "no_validation"
    }


def in_this_process(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what scikit-learn's ``delayed`` has wrapped, with its configuration and without its warnings filters.

    It sets the filters that were the caller's, which a worker process needs. Threads share them with the caller, and
    setting and restoring them in several threads at once leaves them as nobody had them.
    """
    if not isinstance(function, _FuncWrapper) or not hasattr(function, "config"):
        return function
    if getattr(sys.flags, "context_aware_warnings", False):
        return function
    return partial(_configured, function.config, function.function)


def _configured(config: dict[str, Any], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with config_context(**config):
        return function(*args, **kwargs)


def dispatches_to_others(values: Any) -> bool:
    """Return whether scikit-learn computes with the library of these values, and that is another than NumPy."""
    if not get_config()["array_api_dispatch"] or not hasattr(values, "shape"):
        return False
    namespace, dispatches = get_namespace(values)
    return bool(dispatches and not _is_numpy_namespace(namespace))


def asked_by_ensemble() -> bool:
    """Return whether an ensemble of scikit-learn's asks, who would put its estimators into so many tasks."""
    frame = sys._getframe()
    while (back := frame.f_back) is not None and frame.f_code.co_name != "_partition_estimators":
        frame = back
    return frame.f_code.co_name == "_partition_estimators"
