"""What each technique brings: candidates compared on the same folds, all of them trained in lockstep."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sklearn import get_config
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils import Bunch, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.parallel import Parallel, delayed

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError
from sknnopt.model_selection._candidates import Candidate, check_candidates, read_candidates
from sknnopt.model_selection._comparison import Comparison, summarize
from sknnopt.model_selection._measure import fit_and_measure
from sknnopt.model_selection._searches import in_lockstep


def compare(
    estimator: Any,
    X: Any,
    y: Any,
    candidates: Any,
    *,
    cv: Any = 5,
    scoring: str | Callable[..., float] | None = None,
    params: Mapping[str, Any] | None = None,
    groups: Any = None,
    n_jobs: int | None = None,
    max_members: int | str = "auto",
    verbose: int = 0,
) -> Comparison:
    """Compare settings of an estimator on the same folds, and test whether they differ.

    All candidates and folds train in lockstep, with the same bits as one fit after another; see
    :class:`~sknnopt.lockstep`.

    Parameters
    ----------
    estimator : estimator
        An :class:`~sknnopt.NNClassifier` or :class:`~sknnopt.NNRegressor`, a ``Pipeline`` that ends in one, or a
        ``TransformedTargetRegressor`` around one; any other estimator works, without the figures of a network. With a
        ``random_state`` of its own all candidates start from the same seed.
    X : array-like, frame or sparse matrix of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    candidates : dict or list of dict
        What is compared; the first is the reference that the others are tested against.

        - ``{"optimizer": ["sgd", "adam"], "dropout": [0.0, 0.5]}``, a grid: every combination. A list, a range or an
          array of one dimension is values to try; anything else, a tuple too, is one value.
        - ``[{}, {"dropout": 0.5}, {"optimizer": ["sgd", "momentum"]}]``, a list: grids one after another. ``{}`` is the
          estimator as it is.
        - ``{"plain": {}, "with dropout": {"dropout": 0.5}}``, a dict of dicts: names, and the parameters of each.
    cv : int, splitter or iterable, default=5
        As in :func:`sklearn.model_selection.cross_validate`. It splits once: all candidates see the same folds, also if
        it shuffles without a ``random_state``.
    scoring : str, callable or None, default=None
        One scorer; None is the estimator's own ``score``.
    params : dict or None, default=None
        Passed to ``fit``, cut to the fold's rows where it is as long as `X`: ``{"sample_weight": weight}``. With
        scikit-learn's metadata routing enabled, to whoever requests it.
    groups : array-like of shape (n_samples,), default=None
        For splitters by group. With metadata routing enabled it belongs into `params`.
    n_jobs : int or None, default=None
        Cohorts, and tasks between their fits, that may run at once, each in one thread; None is all cores.
    max_members : int or "auto", default="auto"
        Members a cohort at most. In a :class:`~sknnopt.lockstep` block that one's is taken.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    Comparison
        Prints as a table; ``results_`` has the figures, ``to_frame()`` makes a DataFrame of them.

    Raises
    ------
    InvalidParameterError
        A ``ValueError``, if a candidate sets a parameter that does not exist, or a value that is refused.
    ValueError
        If every candidate fails. One that fails alone has NaN in its row and its error there, and a
        ``FitFailedWarning`` tells.

    See Also
    --------
    sknnopt.inspection.ComparisonDisplay : Draws the result.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier, compare
    >>> X, y = load_iris(return_X_y=True)
    >>> network = NNClassifier(hidden_layer_sizes=(8,), n_members=1, max_epochs=20, random_state=0)
    >>> found = compare(network, X, y, {"optimizer": ["sgd", "adam"], "learning_rate": [1e-3, 0.1]})
    >>> found.results_["label"].tolist()
    ['sgd, 0.001', 'sgd, 0.1', 'adam, 0.001', 'adam, 0.1']
    >>> found.results_["verdict"].tolist()
    ['reference', 'better', 'better', 'better']
    """
    named = read_candidates(candidates)
    check_candidates(estimator, named.members)
    X, y = indexable(X, y)
    splitter = check_cv(cv, y, classifier=is_classifier(estimator))
    scorer = _scorer(estimator, scoring)
    routed = _routed(estimator, scorer, splitter, params or {}, groups)
    splits = list(splitter.split(X, y, **routed.splitter.split))
    with in_lockstep(verbose, max_members):
        outcomes = Parallel(n_jobs=n_jobs)(
            delayed(fit_and_measure)(
                clone(estimator), X, y, train_rows, test_rows, parameters=candidate.parameters, scorer=scorer,
                fit_params=routed.estimator.fit, score_params=routed.scorer.score, measure_memory=fold == 0,
            )
            for candidate in named.members
            for fold, (train_rows, test_rows) in enumerate(splits)
        )  # fmt: skip
    rows = [outcomes[i : i + len(splits)] for i in range(0, len(outcomes), len(splits))]
    _tell_failures(named.members, rows)
    test_share = sum(len(test) for _, test in splits) / sum(len(train) for train, _ in splits)
    return summarize(named, rows, metric=metric_name(estimator, scoring), test_share=test_share)


def _scorer(estimator: Any, scoring: Any) -> Any:
    """Return the one scorer.

    Raises
    ------
    InvalidParameterError
        If it is none, or several.
    """
    if isinstance(scoring, str) and scoring not in get_scorer_names():
        raise InvalidParameterError(
            "The 'scoring' parameter of compare must be a scorer's name (sklearn.metrics.get_scorer_names()), a "
            f"callable (estimator, X, y) or None. Got {scoring!r} instead.{suggestion(scoring, get_scorer_names())}"
        )
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise InvalidParameterError(
            "The 'scoring' parameter of compare must be one scorer, by which candidates are compared: a name, a "
            f"callable (estimator, X, y) or None. Got {scoring!r} instead; call compare once for each."
        )
    return check_scoring(estimator, scoring=scoring)


def metric_name(estimator: Any, scoring: Any) -> str:
    """Return what the score is called."""
    if isinstance(scoring, str):
        return scoring
    if scoring is not None:
        function = getattr(scoring, "_score_func", scoring)
        return str(getattr(function, "__name__", type(function).__name__))
    return "accuracy" if is_classifier(estimator) else "r2" if is_regressor(estimator) else "score"


def _routed(estimator: Any, scorer: Any, splitter: Any, params: Mapping[str, Any], groups: Any) -> Bunch:
    """Return what of `params` goes to whom."""
    if not get_config()["enable_metadata_routing"]:
        return Bunch(
            splitter=Bunch(split={"groups": groups}), estimator=Bunch(fit=dict(params)), scorer=Bunch(score={})
        )
    if groups is not None:
        raise ValueError("groups can only be passed if metadata routing is not enabled. Use params={'groups': ...}.")
    router = MetadataRouter(owner="compare")
    for name, consumer, method in (
        ("splitter", splitter, "split"), ("estimator", estimator, "fit"), ("scorer", scorer, "score"),
    ):  # fmt: skip
        router.add(**{name: consumer}, method_mapping=MethodMapping().add(caller="fit", callee=method))
    return process_routing(router, "fit", **params)


def _tell_failures(candidates: Sequence[Candidate], rows: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Warn of candidates that have failed; raise if there is no other."""
    errors = [[one["error"] for one in row if "error" in one] for row in rows]
    if all(errors):
        raise ValueError(f"Every candidate has failed. {candidates[0].label}: {errors[0][0]}")
    for candidate, row in zip(candidates, errors, strict=True):
        if row:
            warnings.warn(
                f"Candidate {candidate.label!r} has failed on {len(row)} of {len(rows[0])} folds and has no figures. "
                f"{row[0]}",
                FitFailedWarning,
                stacklevel=3,
            )
