"""The score of the withheld rows after each epoch."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import get_scorer, get_scorer_names

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError


class EpochScores:
    """The scores a member has given to the withheld rows, in the place of a network.

    Parameters
    ----------
    X : array-like
        The withheld rows as the user gave them.
    """

    def __init__(self, X: Any) -> None:
        self.X = X
        self.current: NDArray[Any] | None = None

    def scores(self, X: Any) -> NDArray[Any]:
        """Return the scores (n, O) of `X`, which must be the withheld rows themselves."""
        if X is not self.X or self.current is None:
            raise ValueError("While it trains, the estimator predicts the withheld rows that a scorer is given, only.")
        return self.current


class EpochScorer:
    """Scores an epoch by what a member makes of the withheld rows.

    Parameters
    ----------
    scoring : str or callable
        As it was given.
    scorer : callable
    model : estimator
        Answers from `given`.
    given : EpochScores
    y : array-like
    weighted : dict
        Further arguments.
    """

    def __init__(
        self, scoring: Any, scorer: Callable[..., float], model: Any, given: EpochScores, y: Any,
        weighted: dict[str, Any],
    ) -> None:  # fmt: skip
        self.scoring, self._scorer, self._model, self._given = scoring, scorer, model, given
        self._y, self._weighted = y, weighted

    def __call__(self, output: NDArray[Any]) -> float:
        """Return the score of an epoch, from the scores (O, n)."""
        self._given.current = np.ascontiguousarray(output.T)
        with torch.inference_mode(False), torch.enable_grad():
            value = float(self._scorer(self._model, self._given.X, self._y, **self._weighted))
        if np.isnan(value):
            warnings.warn(
                f"scoring={self.scoring!r} gave NaN on the withheld rows; such an epoch is never the best.",
                stacklevel=2,
            )
        return value

    def checkpoint_content(self) -> tuple[Any, ...]:
        """Return what scores depend on, besides the network."""
        model = self._model
        kind: Any = next(one for one in type(model).__mro__ if one.__module__.startswith("sknnopt."))
        known = kind._get_param_names()  # these matter as far as training depends on them
        own = {name: value for name, value in vars(model).items() if name[0] != "_" and name[-1] != "_"}
        others = {name: value for name, value in own.items() if name not in known}
        labels = getattr(model, "classes_", None)
        return self.scoring, self._given.X, self._y, self._weighted, type(model), others, labels


def epoch_scorer(
    estimator: Any, X: Any, y: Any, weight: NDArray[np.float64] | None = None
) -> Callable[[NDArray[Any]], float] | None:
    """Return what turns the scores (O, n) of the withheld rows into the figure to maximise; None for the loss.

    The scorer sees a copy of the estimator that answers every prediction method from these scores.

    Raises
    ------
    InvalidParameterError
        If ``scoring`` is no scorer's name.
    """
    scoring = estimator.scoring
    if scoring == "loss":
        return None
    scorer = as_scorer(scoring)
    model, given = copy.copy(estimator), EpochScores(X)
    model._epoch = given
    takes_weights = getattr(scorer, "_accept_sample_weight", None)  # sklearn's scorers have it, plain callables not
    weighted = {"sample_weight": weight} if weight is not None and takes_weights and takes_weights() else {}

    return EpochScorer(scoring, scorer, model, given, y, weighted)


def as_scorer(scoring: str | Callable[..., float]) -> Callable[..., float]:
    """Return the scorer of a name, or the callable itself.

    Raises
    ------
    InvalidParameterError
        If there is no scorer of this name.
    """
    if callable(scoring):
        module = getattr(scoring, "__module__", None) or ""
        if module.startswith("sklearn.metrics.") and not module.startswith("sklearn.metrics._scorer"):
            raise InvalidParameterError(
                f"The 'scoring' parameter must be a callable (estimator, X, y). Got the metric {scoring!r} instead; "
                "wrap it by sklearn.metrics.make_scorer."
            )
        return scoring
    if scoring not in get_scorer_names():
        raise InvalidParameterError(
            "The 'scoring' parameter must be 'loss', a scorer's name (sklearn.metrics.get_scorer_names()) or a "
            f"callable (estimator, X, y). Got {scoring!r} instead." + suggestion(scoring, ["loss", *get_scorer_names()])
        )
    scorer: Callable[..., float] = get_scorer(scoring)
    return scorer
