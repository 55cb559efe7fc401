"""What a search has tried and found, as a picture needs it."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.exceptions import NotFittedError

from sknnopt._choices import suggestion
from sknnopt.model_selection._candidates import value_texts
from sknnopt.model_selection._compare import metric_name

NOT_SET = "not set"
"""What stands for the value of a parameter in candidates that do not set it."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Found(NamedTuple):
    """The candidates of a search.

    Attributes
    ----------
    params : list of dict
    mean, std : ndarray of shape (n_candidates,)
        Of the test score over folds; NaN where a fit or a score has failed.
    rounds : ndarray of int of shape (n_candidates,)
        Of a halving search the last iteration that a candidate has reached, else 0.
    best : int or None
    metric : str
    """

    params: list[dict[str, Any]]
    mean: Floats
    std: Floats
    rounds: Ints
    best: int | None
    metric: str

    def order(self) -> Ints:
        """Return the candidates from the worst to the best; who got further in a halving search is the better."""
        worth = np.where(np.isfinite(self.mean), self.mean, -np.inf)
        return np.lexsort((np.arange(len(worth)) == self.best, worth, self.rounds))


class Values(NamedTuple):
    """A parameter's values.

    Attributes
    ----------
    numbers : ndarray of shape (n_candidates,) or None
        None where values are not all numbers.
    which : ndarray of int of shape (n_candidates,)
        Which of `labels` each candidate has.
    labels : list of str
        Of the distinct values: numbers in ascending order, then others as they come.
    """

    numbers: Floats | None
    which: Ints
    labels: list[str]

    @property
    def log(self) -> bool:
        """Whether a logarithmic axis shows them better: positive, over a decade or more, and more evenly so."""
        if self.numbers is None or len(self.labels) < 2:
            return False
        distinct = np.unique(self.numbers)
        if distinct[0] <= 0 or distinct[-1] < 10 * distinct[0]:
            return False
        return unevenness(np.log(distinct)) <= unevenness(distinct)


def unevenness(values: Floats) -> float:
    """Return how far sorted values lie from equal distances, on average, as a fraction of their range.

    Examples
    --------
    >>> unevenness(np.array([1.0, 2.0, 3.0])), round(unevenness(np.array([1.0, 10.0, 100.0])), 2)
    (0.0, 0.14)
    """
    places = (values - values[0]) / (values[-1] - values[0])
    return float(np.abs(places - np.linspace(0, 1, len(values))).mean())


def read_values(name: str, params: Sequence[Mapping[str, Any]]) -> Values:
    """Return what the candidates have for a parameter.

    Examples
    --------
    >>> read_values("a", [{"a": 10}, {"a": 0.5}, {"a": 10}])
    Values(numbers=array([10. ,  0.5, 10. ]), which=array([1, 0, 1]), labels=['0.5', '10'])
    >>> read_values("a", [{"a": None}, {"a": (8, 8)}, {}]).labels
    ['None', '(8, 8)', 'not set']
    """
    given = [one.get(name, NOT_SET) for one in params]
    texts = value_texts(given)
    if all(_is_number(value) for value in given):
        numbers, index = np.unique(np.array(given, dtype=np.float64), return_inverse=True)
        return Values(numbers[index], index, [f"{number:g}" for number in numbers])
    first = {text: (_is_number(value), value) for value, text in zip(reversed(given), reversed(texts), strict=True)}
    plain = sorted((text for text in first if first[text][0]), key=lambda text: float(first[text][1]))
    labels = [*plain, *(text for text in dict.fromkeys(texts) if not first[text][0])]
    return Values(None, np.array([labels.index(text) for text in texts]), labels)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and bool(np.isfinite(float(value)))


def read_search(search: Any, metric: str | None, caller: str) -> Found:
    """Return what a fitted search has found.

    Raises
    ------
    TypeError
        If it is no search.
    NotFittedError
    ValueError
        If `metric` is missing or unknown.
    """
    results = getattr(search, "cv_results_", None)
    if results is None:
        if isinstance(search, type) or not (hasattr(search, "fit") and hasattr(search, "refit")):
            raise TypeError(
                f"The 'search' parameter of {caller} must be a fitted search, as GridSearchCV of sklearn or of "
                f"sknnopt.model_selection. Got {search!r} instead."
            )
        raise NotFittedError(f"This {type(search).__name__} has not been fitted. Call fit before {caller}.")
    name = _metric(search, results, metric)
    suffix = name if f"mean_test_{name}" in results else "score"
    mean, std = (np.asarray(results[f"{what}_test_{suffix}"], dtype=np.float64) for what in ("mean", "std"))
    params, rounds = [dict(one) for one in results["params"]], np.asarray(results.get("iter", np.zeros(len(mean), int)))
    refitted = search.refit if isinstance(search.refit, str) else None
    best = getattr(search, "best_index_", None) if suffix in ("score", refitted) else None
    kept = _last_rounds(params, rounds)
    found = Found([params[i] for i in kept], mean[kept], std[kept], rounds[kept], None, name)
    if best is not None:
        return found._replace(best=int(np.flatnonzero(kept == best)[0]))
    return found._replace(best=int(found.order()[-1]) if np.isfinite(found.mean).any() else None)


def _metric(search: Any, results: Mapping[str, Any], metric: str | None) -> str:
    """Return the name of the score to show."""
    names = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
    if names == ["score"]:
        only = metric_name(search.estimator, search.scoring)
        if metric not in (None, "score", only):
            raise ValueError(f"The search has one score, metric={only!r}. Got metric={metric!r} instead.")
        return only
    chosen = search.refit if metric is None else metric
    if not isinstance(chosen, str) or chosen not in names:
        raise ValueError(
            f"The search has several scores, of which the 'metric' parameter must name one: "
            f"{', '.join(map(repr, names))}. Got {metric!r} instead.{suggestion(str(metric), names)}"
        )
    return chosen


def _last_rounds(params: Sequence[Mapping[str, Any]], rounds: Ints) -> Ints:
    """Return where each candidate of a halving search was tried with the most resources."""
    if not rounds.any():
        return np.arange(len(params))
    last: dict[Any, int] = {}
    for i in np.argsort(rounds, kind="stable"):
        last[tuple((name, str(value)) for name, value in sorted(params[i].items()))] = int(i)
    return np.array(sorted(last.values()))


def shown_params(found: Found, params: Any) -> list[str]:
    """Return the names of one or two parameters to show: those given, or those that tell most of the scores.

    Raises
    ------
    ValueError
        On unknown names or more than two.
    """
    tried = list(dict.fromkeys(name for one in found.params for name in one))
    if not tried:
        raise ValueError("The search has tried no parameter: there is nothing to show.")
    if params is not None:
        names = [params] if isinstance(params, str) else list(params)
        for name in names:
            if name not in tried:
                raise ValueError(
                    f"The 'params' parameter must name parameters that were searched: {', '.join(map(repr, tried))}. "
                    f"Got {name!r} instead.{suggestion(str(name), tried)}"
                )
        if not 1 <= len(set(names)) == len(names) <= 2:
            raise ValueError(f"The 'params' parameter must name one or two parameters. Got {params!r} instead.")
        return names
    values = {name: read_values(name, found.params) for name in tried}
    varying = [name for name in tried if len(values[name].labels) > 1]
    if len(varying) > 2:
        telling = {name: effect(values[name], found.mean) for name in varying}
        varying = sorted(sorted(varying, key=lambda name: -telling[name])[:2], key=varying.index)
    return varying or tried[:1]


def effect(values: Values, scores: Floats) -> float:
    """Return what share of the variance of the scores' ranks lies between the values of a parameter.

    Numbers of more than five values are taken together in five bins of as many candidates each. What as many values
    would tell by chance is taken off (Kelley, "An unbiased correlation ratio measure", 1935). Failures rank last.

    Examples
    --------
    >>> given = [{"a": a, "b": b} for a in (1, 2, 3) for b in (1, 2)]
    >>> scores = np.array([0.1, 0.2, 0.4, 0.3, 0.6, 0.5])
    >>> [round(effect(read_values(name, given), scores), 2) for name in "ab"]
    [0.86, -0.24]
    """
    ranks = rankdata(np.where(np.isfinite(scores), scores, -np.inf))
    groups = values.which
    if values.numbers is not None and len(values.labels) > 5:
        edges = np.quantile(values.numbers, [0.2, 0.4, 0.6, 0.8])
        groups = np.searchsorted(edges, values.numbers)
    _, groups = np.unique(groups, return_inverse=True)
    n, k = len(ranks), int(groups.max()) + 1
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if total == 0 or n <= k:
        return 0.0
    means = np.bincount(groups, ranks) / np.bincount(groups)
    within = float(((ranks - means[groups]) ** 2).sum())
    return 1 - (within / (n - k)) / (total / (n - 1))


def lower_end(scores: Floats, ranges: float) -> float:
    """Return the lowest score on a scale that leaves out what lies far below all others.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    ranges : float
        How many interquartile ranges under the lower quartile that is.

    Examples
    --------
    >>> lower_end(np.array([0.5, 0.6, 0.6, 0.7, -1e9]), 100), lower_end(np.array([0.5, 0.6, 0.5, -1e9]), 100)
    (0.5, -1000000000.0)
    """
    there = scores[np.isfinite(scores)]
    if len(there) < 5:
        return float(there.min(initial=np.inf))
    lower, upper = np.percentile(there, [25, 75])
    near = there[there >= lower - ranges * (upper - lower)] if upper > lower else there
    return float(near.min())
