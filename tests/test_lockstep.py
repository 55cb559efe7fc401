"""Whatever scikit-learn runs gives the same figures in lockstep, and the networks train together."""

import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal
from sklearn import model_selection as plain
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep, model_selection
from sknnopt.model_selection._lockstep import LockstepBackend

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("patient")]

X, y = load_iris(return_X_y=True)
X_NUMBERS, Y_NUMBERS = (part[:150] for part in load_diabetes(return_X_y=True))
SMALL = {"hidden_layer_sizes": (6,), "max_epochs": 3, "random_state": 0}
CLASSIFIER, REGRESSOR = basic(NNClassifier, **SMALL), basic(NNRegressor, **SMALL)
PIPELINE = make_pipeline(StandardScaler(), CLASSIFIER)
COLUMNS = make_pipeline(
    ColumnTransformer([("scaled", StandardScaler(), [0, 1]), ("as they are", "passthrough", [2, 3])]), CLASSIFIER
)
RATES = [1e-3, 1e-2, 1e-1]


def scores(results: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in results.items() if "score" in name and "time" not in name}


def grid(estimator: Any, parameters: Any, **options: Any) -> Callable[[], Any]:
    return lambda: scores(plain.GridSearchCV(estimator, parameters, **options).fit(X, y).cv_results_)


def times(function: Callable[..., Any], *args: Any, **options: Any) -> Callable[[], Any]:
    return lambda: scores(function(*args, **options))


CALLS: dict[str, tuple[Callable[[], Any], int]] = {
    "grid search": (grid(CLASSIFIER, {"learning_rate": RATES}), 15),
    "a pipeline": (grid(PIPELINE, {"nnclassifier__learning_rate": RATES}), 15),
    "a column transformer": (grid(COLUMNS, {"nnclassifier__learning_rate": RATES}), 15),
    "random search": (
        lambda: scores(
            plain.RandomizedSearchCV(CLASSIFIER, {"learning_rate": RATES}, n_iter=2, random_state=0)
            .fit(X, y)
            .cv_results_
        ),
        10,
    ),
    "halving grid search": (
        lambda: scores(
            model_selection.HalvingGridSearchCV(CLASSIFIER, {"learning_rate": RATES}, min_resources=60, random_state=0)
            .fit(X, y)
            .cv_results_
        ),
        15,
    ),
    "halving random search": (
        lambda: scores(
            model_selection.HalvingRandomSearchCV(
                CLASSIFIER, {"learning_rate": RATES}, min_resources=60, n_candidates=3, random_state=0
            )
            .fit(X, y)
            .cv_results_
        ),
        15,
    ),
    "cross_validate": (
        times(plain.cross_validate, CLASSIFIER, X, y, scoring=["accuracy", "neg_log_loss"], return_train_score=True),
        5,
    ),
    "cross_val_predict": (lambda: plain.cross_val_predict(PIPELINE, X, y, method="predict_proba"), 5),
    "learning_curve": (
        lambda: plain.learning_curve(CLASSIFIER, X, y, train_sizes=[0.5, 1.0], shuffle=True, random_state=0)[1:],
        5,
    ),
    "validation_curve": (
        lambda: plain.validation_curve(CLASSIFIER, X, y, param_name="learning_rate", param_range=RATES),
        15,
    ),
    "permutation_test_score": (
        lambda: plain.permutation_test_score(CLASSIFIER, X, y, cv=3, n_permutations=6, random_state=0),
        6,
    ),
    "bagging": (
        lambda: (
            BaggingClassifier(CLASSIFIER, n_estimators=6, bootstrap=False, random_state=0).fit(X, y).predict_proba(X)
        ),
        6,
    ),
    "one against the rest": (lambda: OneVsRestClassifier(CLASSIFIER).fit(X, y).predict_proba(X), 3),
    "several outputs": (
        lambda: MultiOutputRegressor(REGRESSOR).fit(X_NUMBERS, np.c_[Y_NUMBERS, -Y_NUMBERS]).predict(X_NUMBERS),
        2,
    ),
    "stacking": (
        lambda: (
            StackingClassifier([("a", CLASSIFIER), ("b", PIPELINE), ("c", KNeighborsClassifier())])
            .fit(X, y)
            .predict_proba(X)
        ),
        10,
    ),
    "voting": (
        lambda: VotingClassifier([("a", CLASSIFIER), ("b", PIPELINE)], voting="soft").fit(X, y).predict_proba(X),
        2,
    ),
    "a transformed target": (
        lambda: plain.cross_val_score(
            TransformedTargetRegressor(REGRESSOR, func=np.log1p, inverse_func=np.expm1), X_NUMBERS, Y_NUMBERS
        ),
        5,
    ),
    "a search inside a cross-validation": (
        lambda: plain.cross_val_score(
            plain.GridSearchCV(PIPELINE, {"nnclassifier__learning_rate": RATES}, cv=3), X, y, cv=4
        ),
        36,
    ),
    "a grid over shapes": (
        grid(CLASSIFIER, {"hidden_layer_sizes": [(4,), (5, 5)], "optimizer": ["sgd", "adam"], "batch_size": [16, 64]}),
        5,
    ),
    "other estimators in the grid": (
        grid(
            Pipeline([("scale", StandardScaler()), ("model", CLASSIFIER)]),
            {"model": [CLASSIFIER, LogisticRegression(), SVC(), RandomForestClassifier(8, random_state=0)]},
        ),
        5,
    ),
    "a grid without networks": (grid(SVC(), {"C": [0.1, 1.0]}), 0),
    "an ensemble": (lambda: plain.cross_val_score(basic(NNClassifier, **SMALL, n_members=2), X, y), 10),
    "groups": (lambda: plain.cross_val_score(CLASSIFIER, X, y, groups=np.arange(150) % 7, cv=plain.GroupKFold(4)), 4),
    "time series": (
        lambda: plain.cross_val_score(REGRESSOR, X_NUMBERS, Y_NUMBERS, cv=plain.TimeSeriesSplit(3, max_train_size=60)),
        2,
    ),
}


def same(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        a, b = list(a.values()), list(b.values())
    if isinstance(a, list | tuple):
        for one, other in zip(a, b, strict=True):
            same(one, other)
    else:
        assert_array_equal(a, b)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("name", CALLS)
def test_figures_are_the_same_and_networks_train_together(name: str, n_jobs: int) -> None:
    run, together = CALLS[name]
    expected = run()
    with lockstep(max_members=64, n_jobs=n_jobs) as sweep:
        found = run()
    same(expected, found)
    assert max(sweep.cohort_sizes, default=0) >= together // n_jobs, sweep.cohort_sizes


def test_members_of_a_full_cohort_are_so_many() -> None:
    with lockstep(max_members=4, n_jobs=1) as sweep:
        grid(CLASSIFIER, {"learning_rate": RATES})()
    assert sweep.cohort_sizes == [4, 4, 4, 3]


def test_networks_of_several_structures_wait_for_their_like() -> None:
    names = ["sgd", "adam", "rmsprop", "adagrad"]
    with lockstep(max_members=5, n_jobs=1) as sweep:
        grid(CLASSIFIER, {"optimizer": names, "learning_rate": RATES})()
    assert sweep.cohort_sizes == [5] * 12


@pytest.mark.parametrize("pre_dispatch", [1, 2, "n_jobs", "2*n_jobs", "all"])
@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_no_task_trains_alone_because_the_next_is_not_dispatched(
    n_jobs: int | None, pre_dispatch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    with lockstep() as sweep:
        grid(CLASSIFIER, {"learning_rate": RATES}, n_jobs=n_jobs, pre_dispatch=pre_dispatch)()
    assert sum(sweep.cohort_sizes) == 15
    assert min(sweep.cohort_sizes) > 1
    assert max(sweep.cohort_sizes) >= 15 // (n_jobs or 2)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_three_hundred_tasks(n_jobs: int) -> None:
    search = plain.GridSearchCV(CLASSIFIER, {"learning_rate": np.logspace(-4, -1, 60)}, refit=False)
    with lockstep(max_members=32, n_jobs=n_jobs) as sweep:
        search.fit(X, y)
    assert sum(sweep.cohort_sizes) == 300
    assert len(sweep.cohort_sizes) <= 9 + n_jobs  # nine or ten full ones, and what is left in a part for each


def test_joblibs_own_door() -> None:
    expected = grid(CLASSIFIER, {"learning_rate": RATES})()
    with joblib.parallel_config(backend="lockstep", max_members=8):
        same(expected, grid(CLASSIFIER, {"learning_rate": RATES})())
    with joblib.parallel_config(backend="lockstep", n_jobs=1):
        same(expected, grid(CLASSIFIER, {"learning_rate": RATES})())


def test_a_sweep_ends_with_its_block() -> None:
    with lockstep() as sweep:
        assert isinstance(joblib.parallel.get_active_backend()[0], LockstepBackend)
    assert not isinstance(joblib.parallel.get_active_backend()[0], LockstepBackend)
    grid(CLASSIFIER, {"learning_rate": RATES})()
    assert sweep.cohort_sizes == []


@pytest.mark.parametrize("name", sorted(set(model_selection.__all__) - {"Comparison", "Range", "compare", "lockstep"}))
def test_each_public_name_is_sklearns_in_lockstep(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"cv": 3}
    arguments: dict[str, Any] = {
        "GridSearchCV": {"param_grid": {"learning_rate": RATES}, **options},
        "RandomizedSearchCV": {
            "param_distributions": {"learning_rate": RATES},
            "n_iter": 2,
            "random_state": 0,
            **options,
        },
        "HalvingGridSearchCV": {
            "param_grid": {"learning_rate": RATES},
            "min_resources": 60,
            "random_state": 0,
            **options,
        },
        "HalvingRandomSearchCV": {
            "param_distributions": {"learning_rate": RATES},
            "min_resources": 60,
            "random_state": 0,
            **options,
        },
        "validation_curve": {"param_name": "learning_rate", "param_range": RATES, **options},
        "learning_curve": {"train_sizes": [0.5, 1.0], "shuffle": True, "random_state": 0, **options},
    }.get(name, options)
    seen: list[int] = []
    train = model_selection._scheduler.train_together
    monkeypatch.setattr(
        model_selection._scheduler, "train_together", lambda jobs, after: seen.append(len(jobs)) or train(jobs, after)
    )
    ours, theirs = getattr(model_selection, name), getattr(plain, name)
    if name.endswith("CV"):
        a, b = (cls(CLASSIFIER, **arguments).fit(X, y) for cls in (ours, theirs))
        same(scores(a.cv_results_), scores(b.cv_results_))
        same(dict(a.best_estimator_.module_.state_dict()), dict(b.best_estimator_.module_.state_dict()))
        assert sklearn.clone(a).get_params().keys() == b.get_params().keys()
        assert isinstance(a, theirs)
    else:
        a, b = (function(CLASSIFIER, X, y, **arguments) for function in (ours, theirs))
        same(scores(a), scores(b)) if isinstance(a, dict) else same(a[-2:], b[-2:])
    assert max(seen) > 1


def test_a_search_takes_part_in_the_block_around_it() -> None:
    with lockstep(max_members=5, n_jobs=1) as sweep:
        model_selection.GridSearchCV(CLASSIFIER, {"learning_rate": RATES}).fit(X, y)
    assert sweep.cohort_sizes == [5, 5, 5]


def test_a_transformer_in_place_does_not_reach_fits_that_wait() -> None:
    numbers = X_NUMBERS.astype(np.float32)
    network = basic(NNRegressor, **SMALL, preprocessing=None)

    def run() -> np.ndarray:
        model = MultiOutputRegressor(make_pipeline(StandardScaler(copy=False), network))
        return model.fit(numbers.copy(), np.c_[Y_NUMBERS, -Y_NUMBERS]).predict(X_NUMBERS.astype(np.float32))

    expected = run()
    with lockstep(n_jobs=1):
        assert_array_equal(run(), expected)


def test_metadata_reaches_the_fits() -> None:
    weight = np.linspace(0.0, 2.0, len(y))
    estimator = basic(NNClassifier, **SMALL)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        run = lambda: scores(  # noqa: E731
            plain.GridSearchCV(estimator, {"learning_rate": RATES}).fit(X, y, sample_weight=weight).cv_results_
        )
        expected = run()
        with lockstep() as sweep:
            same(expected, run())
    assert sum(sweep.cohort_sizes) == 15
    with lockstep():
        unweighted = grid(CLASSIFIER, {"learning_rate": RATES})()
    assert not np.array_equal(unweighted["mean_test_score"], expected["mean_test_score"])


def test_rows_to_judge_by_are_shared() -> None:
    search = plain.GridSearchCV(basic(NNClassifier, **SMALL), {"learning_rate": RATES}, refit=False)
    held_out = {"X_val": X[::10], "y_val": y[::10]}
    expected = scores(search.fit(X, y, **held_out).cv_results_)
    with lockstep() as sweep:
        same(expected, scores(search.fit(X, y, **held_out).cv_results_))
    assert sum(sweep.cohort_sizes) == 15


def test_configuration_of_the_caller_holds_in_the_tasks() -> None:
    seen = []

    def score(estimator: Any, X: Any, y: Any) -> float:
        seen.append(sklearn.get_config()["assume_finite"])
        return 0.0

    with sklearn.config_context(assume_finite=True), lockstep():
        plain.cross_val_score(CLASSIFIER, X, y, scoring=score)
    assert seen == [True] * 5


def test_tasks_have_the_callers_number_of_torch_threads() -> None:
    seen = []

    class Seeing(StandardScaler):
        def transform(self, X: Any, copy: bool | None = None) -> Any:
            seen.append(torch.get_num_threads())
            return super().transform(X, copy=copy)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with lockstep(n_jobs=2):
            plain.cross_val_score(make_pipeline(Seeing(), CLASSIFIER), X, y, cv=10)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {3}


def test_nothing_is_left_behind() -> None:
    before = (list(warnings.filters), warnings.filters, torch.get_num_threads(), torch.get_rng_state().clone())
    with lockstep(n_jobs=2):
        grid(PIPELINE, {"nnclassifier__learning_rate": RATES})()
    after = (list(warnings.filters), warnings.filters, torch.get_num_threads(), torch.get_rng_state())
    assert before[0] == after[0]
    assert before[1] is after[1]
    assert before[2] == after[2]
    assert torch.equal(before[3], after[3])


def test_refit_and_several_metrics() -> None:
    scoring = {"accuracy": "accuracy", "mine": make_scorer(accuracy_score)}
    search = plain.GridSearchCV(
        PIPELINE, {"nnclassifier__learning_rate": RATES}, scoring=scoring, refit="mine", return_train_score=True
    )
    expected = sklearn.clone(search).fit(X, y)
    with lockstep():
        found = sklearn.clone(search).fit(X, y)
    same(scores(expected.cv_results_), scores(found.cv_results_))
    assert_array_equal(expected.predict_proba(X), found.predict_proba(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_members": 0}, "'max_members' parameter of lockstep must be an integer of at least 1 or 'auto'. Got 0"),
        ({"max_members": "many"}, "Got 'many'"),
        ({"n_jobs": 0}, "'n_jobs' parameter of lockstep must be an integer other than 0 or None. Got 0"),
        ({"n_jobs": 1.5}, "Got 1.5"),
        ({"backend": "lokey"}, "lokey"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lockstep(**options)
