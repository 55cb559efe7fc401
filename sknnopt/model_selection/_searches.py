"""scikit-learn's searches and cross-validation, in lockstep by default."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, TypeVar

from joblib.parallel import get_active_backend
from sklearn import model_selection
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

from sknnopt.model_selection._backend import NestedBackend
from sknnopt.model_selection._lockstep import lockstep

F = TypeVar("F", bound=Callable[..., Any])


def in_lockstep(verbose: int = 0, max_members: int | str = "auto") -> AbstractContextManager[Any]:
    """Return a lockstep block, unless there is one already."""
    if isinstance(get_active_backend()[0], NestedBackend):
        return nullcontext()
    return lockstep(max_members, verbose=verbose)


class _Search:
    """The ``fit`` of a search, in lockstep."""

    verbose: int

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Run the search; see the class of this name in :mod:`sklearn.model_selection`.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        **params
            Passed to the estimator, the scorer and the splitter.

        Returns
        -------
        self
        """
        with in_lockstep(self.verbose):
            super().fit(X, y, **params)  # type: ignore[misc]
        return self


def _like(cls: type) -> Callable[[type], type]:
    """Give a search the documentation of scikit-learn's, with a line of its own."""

    def document(search: type) -> type:
        first, rest = (cls.__doc__ or "").partition("\n    Examples\n")[0].split("\n", 1)
        search.__doc__ = (
            f"{first}\n\n    Trains its candidates and folds in lockstep; see :class:`sknnopt.lockstep`.\n{rest}"
        )
        return search

    return document


@_like(model_selection.GridSearchCV)
class GridSearchCV(_Search, model_selection.GridSearchCV):
    pass


@_like(model_selection.RandomizedSearchCV)
class RandomizedSearchCV(_Search, model_selection.RandomizedSearchCV):
    pass


@_like(model_selection.HalvingGridSearchCV)
class HalvingGridSearchCV(_Search, model_selection.HalvingGridSearchCV):
    pass


@_like(model_selection.HalvingRandomSearchCV)
class HalvingRandomSearchCV(_Search, model_selection.HalvingRandomSearchCV):
    pass


def _wrapped(function: F) -> F:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with in_lockstep(kwargs.get("verbose", 0)):
            return function(*args, **kwargs)

    return run  # type: ignore[return-value]


cross_validate = _wrapped(model_selection.cross_validate)
cross_val_score = _wrapped(model_selection.cross_val_score)
cross_val_predict = _wrapped(model_selection.cross_val_predict)
learning_curve = _wrapped(model_selection.learning_curve)
validation_curve = _wrapped(model_selection.validation_curve)
