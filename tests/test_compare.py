"""Comparisons: sklearn's figures for each candidate on the same folds, one sweep, and a test that noise passes."""

import time
import warnings
from typing import Any

import joblib.externals.loky.reusable_executor as loky
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, StratifiedKFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, compare, lockstep
from sknnopt._compat import InvalidParameterError
from sknnopt.model_selection import Comparison
from sknnopt.model_selection._candidates import read_candidates
from sknnopt.model_selection._comparison import summarize
from sknnopt.model_selection._measure import convergence_epoch, find_network
from sknnopt.model_selection._significance import corrected_t_test, holm
from sknnopt.optimizers import SGD
from sknnopt.regularization import L1

pytestmark = pytest.mark.timeout(120)

X, y = load_iris(return_X_y=True)
NAMES = load_iris().target_names[y]
X_NUMBERS, Y_NUMBERS = (part[:150] for part in load_diabetes(return_X_y=True))
SMALL = {"hidden_layer_sizes": (6,), "max_epochs": 3, "random_state": 0}
CLASSIFIER, REGRESSOR = basic(NNClassifier, **SMALL), basic(NNRegressor, **SMALL)
PIPELINE = make_pipeline(StandardScaler(), CLASSIFIER)
MIXED = Pipeline([("scale", StandardScaler()), ("model", CLASSIFIER)])
RATES = [1e-3, 1e-2, 1e-1]
FOLDS = list(KFold(3, shuffle=True, random_state=0).split(X))
OF_NETWORKS = ["final_loss", "convergence_epoch", "n_parameters", "n_nonzero_weights", "memory_bytes"]


def accuracy(estimator: Any, X: Any, y: Any) -> float:
    return float(accuracy_score(y, estimator.predict(X)))


CASES: dict[str, tuple[Any, Any, Any, Any, dict[str, Any], int]] = {
    "a classifier": (CLASSIFIER, X, y, {"learning_rate": RATES}, {}, 15),
    "strings as classes": (PIPELINE, X, NAMES, {"nnclassifier__learning_rate": RATES}, {"cv": 3}, 9),
    "a scorer": (CLASSIFIER, X, y, {"dropout": [0.2, 0.5]}, {"scoring": "neg_log_loss", "cv": StratifiedKFold(3)}, 6),
    "a function as scorer": (CLASSIFIER, X, y, {"dropout": [0.2, 0.5]}, {"scoring": accuracy}, 10),
    "a regressor": (REGRESSOR, X_NUMBERS, Y_NUMBERS, {"learning_rate": RATES}, {"scoring": "neg_max_error"}, 15),
    "a scaled target": (
        TransformedTargetRegressor(REGRESSOR, transformer=StandardScaler()), X_NUMBERS, Y_NUMBERS,
        {"regressor__learning_rate": RATES}, {"cv": 3}, 9,
    ),
    "several shapes": (CLASSIFIER, X, y, {"hidden_layer_sizes": [4, (5, 5)]}, {"cv": 3}, 0),
    "an ensemble": (CLASSIFIER, X, y, {"n_members": [1, 2]}, {"cv": 3}, 9),
    "other estimators": (MIXED, X, y, {"model": [CLASSIFIER, LogisticRegression()]}, {"cv": 3}, 3),
    "folds as indices": (CLASSIFIER, X, y, {"learning_rate": RATES}, {"cv": FOLDS}, 9),
    "sample weights": (CLASSIFIER, X, y, {"learning_rate": RATES}, {"params": {"sample_weight": 1 + y}}, 15),
    "groups": (CLASSIFIER, X, y, {"learning_rate": RATES}, {"cv": GroupKFold(3), "groups": np.arange(150) % 9}, 9),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_scores_are_those_of_plain_cross_validation_and_all_train_together(case: str) -> None:
    estimator, X, y, grid, options, members = CASES[case]
    with lockstep(n_jobs=1) as sweep:
        found = compare(estimator, X, y, grid, **options)
    (name, values), folds = next(iter(grid.items())), found.n_splits
    if members:
        assert sweep.cohort_sizes == [members]
    for i, value in enumerate(values):
        candidate = clone(estimator).set_params(**{name: clone(value, safe=False)})
        plain = cross_validate(candidate, X, y, return_train_score=True, **{"cv": 5} | options)
        for part in ("test_score", "train_score"):
            assert_array_equal([found.results_[f"split{k}_{part}"][i] for k in range(folds)], plain[part])
            assert found.results_[f"mean_{part}"][i] == plain[part].mean()
            assert found.results_[f"std_{part}"][i] == plain[part].std()


def test_what_is_in_a_row_comes_from_the_fitted_networks() -> None:
    folds = list(StratifiedKFold(3).split(X, y))
    network = clone(CLASSIFIER).set_params(max_epochs=8, early_stopping=True, n_iter_no_change=2)
    candidates = {"plain": {}, "sparse": {"regularization": L1(0.5), "learning_rate": 0.1}}
    r = compare(network, X, y, candidates, cv=folds).results_
    for i, parameters in enumerate(candidates.values()):
        fits = [clone(network).set_params(**parameters).fit(X[train], y[train]) for train, _ in folds]
        kept = [fit.history_[fit.best_epoch_ - 1]["train_loss"] for fit in fits]
        epochs = [convergence_epoch([record["valid_loss"] for record in fit.history_]) for fit in fits]
        weights = [sum(int((w != 0).sum()) for w in (fit.module_[0].weight, fit.module_.output.weight)) for fit in fits]
        assert r["final_loss"][i] == np.mean(kept)
        assert r["convergence_epoch"][i] == np.mean(epochs)
        assert r["n_nonzero_weights"][i] == round(np.mean(weights))
        assert r["n_parameters"][i] == 4 * 6 + 6 + 6 * 3 + 3
    assert r["n_nonzero_weights"][0] == 4 * 6 + 6 * 3 > r["n_nonzero_weights"][1]
    assert {r[name].dtype for name in ("n_parameters", "n_nonzero_weights", "memory_bytes")} == {np.dtype(np.int64)}


def test_convergence_is_99_percent_of_the_way() -> None:
    assert convergence_epoch([1.0]) == 1
    assert convergence_epoch([1.0, 2.0, 3.0]) == 1
    assert convergence_epoch([2.0, 1.02, 1.009, 1.0, 5.0]) == 3
    assert convergence_epoch([2.0, 1.02, 1.011, 1.0, float("nan")]) == 4


def test_an_ensemble_and_a_network_of_ones_own_have_figures() -> None:
    def net(n_inputs: int, n_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(n_inputs, 5), nn.ReLU(), nn.Linear(5, n_outputs))

    candidates = {"one": {}, "two": {"n_members": 2}, "own": {"network": net}}
    r = compare(CLASSIFIER, X, y, candidates, cv=3).results_
    assert r["n_parameters"].tolist() == [51, 102, 43]
    assert r["n_nonzero_weights"].tolist() == [42, 84, 35]
    assert np.isfinite(np.stack([r[name] for name in OF_NETWORKS]).astype(float)).all()


def test_estimators_without_a_network_have_none_of_its_figures() -> None:
    found = compare(MIXED, X, y, {"model": [CLASSIFIER, LogisticRegression()]}, cv=3)
    for name in OF_NETWORKS:
        assert_array_equal(np.isnan(found.results_[name]), [False, True])
    assert not np.isnan(found.results_["mean_fit_time"]).any()
    assert found.results_["label"].tolist()[1] == "LogisticRegression"
    alone = repr(compare(LogisticRegression(max_iter=1000), X, y, {"C": [0.1, 1.0]}, cv=3))
    assert "seconds" in alone
    assert "memory" not in alone


def test_the_network_is_found_inside() -> None:
    inside = make_pipeline(StandardScaler(), GridSearchCV(PIPELINE, {"nnclassifier__dropout": [0.0]}, cv=2)).fit(X, y)
    assert find_network(inside) is inside[-1].best_estimator_[-1]
    assert find_network(make_pipeline(StandardScaler(), "passthrough")) is None


class Counting(KFold):
    """A splitter that shuffles anew each time, and says how often."""

    def __init__(self) -> None:
        super().__init__(4, shuffle=True)
        self.splits = 0

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
        self.splits += 1
        return super().split(X, y, groups)


def test_all_candidates_see_the_folds_of_one_split() -> None:
    cv = Counting()
    r = compare(CLASSIFIER, X, y, {"a": {}, "b": {}, "c": {}}, cv=cv).results_
    assert cv.splits == 1
    assert_array_equal(r["difference"], 0)
    assert_array_equal(r["p_value"], [np.nan, 1.0, 1.0])
    assert r["verdict"].tolist() == ["reference", "no difference", "no difference"]


def test_one_split_cannot_be_tested() -> None:
    found = compare(
        CLASSIFIER, X, y, {"learning_rate": [1e-4, 1e-1]}, cv=[(np.arange(0, 150, 2), np.arange(1, 150, 2))]
    )
    assert np.isnan(found.results_["p_value"]).all()
    assert found.results_["verdict"].tolist() == ["reference", ""]
    assert "One split." in repr(found)


def test_clear_differences_are_told() -> None:
    network, scoring = clone(CLASSIFIER).set_params(max_epochs=10), "neg_log_loss"
    candidates = {"good": {"learning_rate": 0.1}, "bad": {"learning_rate": 1e-6}}
    found = compare(network, X, y, candidates, scoring=scoring)
    assert found.results_["verdict"].tolist() == ["reference", "worse"]
    found = compare(network, X, y, dict(reversed(candidates.items())), scoring=scoring)
    assert found.results_["verdict"].tolist() == ["reference", "better"]
    assert found.results_["difference"][1] > 0


def test_fit_times_are_shares_of_the_cohorts() -> None:
    began = time.perf_counter()
    with lockstep(n_jobs=1):
        r = compare(clone(CLASSIFIER).set_params(max_epochs=30), X, y, {"learning_rate": RATES}).results_
    assert 0 < 5 * r["mean_fit_time"].sum() < time.perf_counter() - began


# -- the test of significance


@pytest.mark.parametrize("test_share", [0.0, 0.25, 1.0])
def test_the_t_test_is_students_with_the_variance_corrected(test_share: float) -> None:
    d = np.array([0.02, -0.01, 0.04, 0.03, 0.00, 0.02])
    plain = stats.ttest_1samp(d, 0.0)
    t = plain.statistic * np.sqrt((1 / 6) / (1 / 6 + test_share))
    assert_allclose(corrected_t_test(d, test_share), 2 * stats.t.sf(t, df=5), rtol=1e-12)
    assert_allclose(corrected_t_test(-d, test_share), 2 * stats.t.sf(t, df=5), rtol=1e-12)


def test_the_t_test_where_there_is_nothing_to_judge_by() -> None:
    assert corrected_t_test([0.0, 0.0, 0.0], 0.5) == 1.0
    for d in ([0.1], [0.1, 0.1, 0.1], [1 / 3] * 5, [0.1, float("nan"), 0.2]):
        assert np.isnan(corrected_t_test(d, 0.5))


def test_holm_corrects_for_the_number() -> None:
    assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert_allclose(holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    assert np.isnan(holm([np.nan])).all()


def test_verdicts_go_by_what_holm_says() -> None:
    little, much = [0.02, 0.01, 0.03, 0.01, 0.02], np.array([0.1, 0.11, 0.09, 0.1, 0.1])
    gains = np.array([[0.0] * 5, little, much, -much])
    outcomes = [[{"test_score": 0.5 + gain} for gain in row] for row in gains]
    r = summarize(read_candidates({"a": range(4)}), outcomes, metric="accuracy", test_share=0.25).results_
    assert r["p_value"][1] < 0.05
    assert_allclose(r["p_value_holm"], holm([np.nan, *r["p_value"][1:]]))
    assert r["verdict"].tolist() == ["reference", "better", "better", "worse"]
    gains[2:] = gains[1] * [[1.0], [-1.0]]
    outcomes = [[{"test_score": 0.5 + gain} for gain in row] for row in gains]
    r = summarize(read_candidates({"a": range(4)}), outcomes, metric="accuracy", test_share=0.25).results_
    assert (r["p_value"][1:] < 0.05).all()
    assert r["verdict"].tolist() == ["reference", *["no difference"] * 3]


def null_differences(rng: np.random.Generator, n: int = 40, folds: int = 15) -> np.ndarray:
    """Squared errors of two least-squares lines, each on a feature that says as much of the target as the other one."""
    features = rng.standard_normal((2, n))
    target = features.sum(0) + rng.standard_normal(n)
    out = []
    for _ in range(folds):
        rows = rng.permutation(n)
        train, test = rows[n // 5 :], rows[: n // 5]
        errors = [np.polyval(np.polyfit(f[train], target[train], 1), f[test]) - target[test] for f in features]
        out.append(np.mean(errors[0] ** 2) - np.mean(errors[1] ** 2))
    return np.array(out)


def test_noise_is_seldom_read_as_a_finding() -> None:
    rng = np.random.default_rng(0)
    sets = [null_differences(rng) for _ in range(300)]
    corrected = np.mean([corrected_t_test(d, test_share=1 / 4) < 0.05 for d in sets])
    naive = np.mean([stats.ttest_1samp(d, 0.0).pvalue < 0.05 for d in sets])
    assert corrected < 0.08  # 0.05, and two standard errors of 300 draws
    assert naive > 0.25


# -- what goes wrong


class Moody(ClassifierMixin, BaseEstimator):
    """Fails as it is told."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails

    def fit(self, X: Any, y: Any) -> "Moody":
        self.classes_ = np.unique(y)
        if self.fails == "fit" or (self.fails == "once" and X[0, 0] == 5.1):
            raise RuntimeError("not today")
        return self

    def predict(self, X: Any) -> Any:
        if self.fails == "predict":
            raise RuntimeError("not tomorrow")
        return np.repeat(self.classes_[0], len(X))


def test_a_candidate_that_diverges_leaves_the_others_alone() -> None:
    grid = {"plain": {"optimizer": "sgd"}, "far too large": {"optimizer": "sgd", "learning_rate": 1e30}, "also": {}}
    with pytest.warns(FitFailedWarning, match="'far too large' has failed on 5 of 5 folds.*Training diverged"):
        found = compare(CLASSIFIER, X, y, grid)
    r = found.results_
    for name in ("mean_test_score", "mean_train_score", "mean_fit_time", *OF_NETWORKS, "p_value_holm"):
        assert np.isnan(r[name][1])
        assert not np.isnan(r[name][2])
    assert r["error"][1].startswith("fold 1 of 5: ValueError: Training diverged")
    assert r["error"][[0, 2]].tolist() == ["", ""]
    assert r["verdict"].tolist() == ["reference", "", r["verdict"][2]]
    assert "far too large failed: fold 1 of 5: ValueError: Training diverged" in found.to_text(10_000)
    alone = compare(CLASSIFIER, X, y, {name: one for name, one in grid.items() if name != "far too large"})
    assert_array_equal(r["mean_test_score"][[0, 2]], alone.results_["mean_test_score"])
    assert r["p_value_holm"][2] == alone.results_["p_value_holm"][1]


@pytest.mark.parametrize(("fails", "folds"), [("fit", "3 of 3"), ("predict", "3 of 3"), ("once", "2 of 3")])
def test_a_fold_that_fails_takes_the_figures_of_its_candidate(fails: str, folds: str) -> None:
    with pytest.warns(FitFailedWarning, match=f"failed on {folds} folds.*not to"):
        r = compare(Moody(), X, y, {"fails": ["", fails]}, cv=KFold(3)).results_
    assert_array_equal(np.isnan(r["mean_test_score"]), [False, True])
    assert_array_equal(np.isnan(r["mean_fit_time"]), [False, True])


def test_a_network_that_fails_on_its_last_fold_has_no_figures_of_the_first() -> None:
    def picky(estimator: Any, X: Any, y: Any) -> float:
        if estimator.learning_rate == 0.1 and len(X) == 30:
            raise RuntimeError("not these thirty")
        return accuracy(estimator, X, y)

    rows = np.arange(150)
    folds = [(rows[50:], rows[:50]), (rows[40:], rows[:40]), (rows[:120], rows[120:])]
    with pytest.warns(FitFailedWarning, match="failed on 1 of 3 folds.*not these thirty"):
        r = compare(CLASSIFIER, X, y, {"learning_rate": [0.01, 0.1]}, cv=folds, scoring=picky).results_
    for name in ("mean_test_score", "mean_fit_time", *OF_NETWORKS):
        assert_array_equal(np.isnan(r[name]), [False, True], err_msg=name)
    assert r["error"][1] == "fold 3 of 3: RuntimeError: not these thirty"


def test_without_its_reference_nothing_is_tested() -> None:
    with pytest.warns(FitFailedWarning):
        found = compare(Moody(), X, y, {"fails": ["fit", ""]}, cv=3)
    assert np.isnan(found.results_["p_value"]).all()
    assert np.isfinite(found.results_["mean_test_score"][1])
    assert "MB" not in repr(found)


def test_if_all_fail_it_raises() -> None:
    with pytest.raises(ValueError, match=r"Every candidate has failed\..*not today"):
        compare(Moody(), X, y, {"fails": ["fit", "predict"]}, cv=3)


ERRORS: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "a misspelt parameter": (CLASSIFIER, {"optimiser": ["sgd"]}, {}, "parameter 'optimiser'.*Did you mean 'optimizer'"),
    "one of a technique": (CLASSIFIER, {"optimizer__beta1": [0.9]}, {}, "Did you mean 'beta_1'"),
    "one of a step": (PIPELINE, {"nnclassifier__droput": [0.5]}, {}, "Did you mean 'dropout'"),
    "a step forgotten": (PIPELINE, {"dropout": [0.5]}, {}, "Did you mean 'nnclassifier__dropout'"),
    "a value": (CLASSIFIER, {"optimizer": ["sgd", "admw"]}, {}, "'optimizer' parameter.*Did you mean 'adamw'"),
    "no candidates": (CLASSIFIER, {}, {}, "'candidates' parameter"),
    "a name alone": (CLASSIFIER, "optimizer", {}, "'candidates' parameter"),
    "a list of names": (CLASSIFIER, ["sgd"], {}, "list entry 'sgd'"),
    "no values": (CLASSIFIER, {"optimizer": []}, {}, "no value for 'optimizer'"),
    "a dict as value": (CLASSIFIER, {"class_weight": {0: 1.0}}, {}, "Got 0 as a parameter's name of 'class_weight'"),
    "two scorers": (CLASSIFIER, {"dropout": [0.5]}, {"scoring": ["accuracy", "f1"]}, "one scorer"),
    "a misspelt scorer": (CLASSIFIER, {"dropout": [0.5]}, {"scoring": "acuracy"}, "Did you mean 'accuracy'"),
    "a dict of scores": (CLASSIFIER, {"dropout": [0.5]}, {"scoring": lambda e, X, y: {"a": 1.0}}, "return one number"),
    "members": (CLASSIFIER, {"dropout": [0.5]}, {"max_members": 0}, "'max_members'"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors_teach(case: str) -> None:
    estimator, candidates, options, message = ERRORS[case]
    with pytest.raises(InvalidParameterError, match=message):
        compare(estimator, X, y, candidates, **options)


# -- names


NAMED: dict[str, tuple[Any, str, list[str]]] = {
    "one parameter": ({"optimizer": ["sgd", "adam"]}, "optimizer", ["sgd", "adam"]),
    "a product": (
        {"optimizer": ["sgd", "adam"], "dropout": [0.0, 0.5]}, "optimizer, dropout",
        ["sgd, 0", "sgd, 0.5", "adam, 0", "adam, 0.5"],
    ),
    "what is fixed is no name": ({"max_epochs": 5, "batch_size": [8, 16]}, "batch_size", ["8", "16"]),
    "a tuple is one value": ({"hidden_layer_sizes": [(5, 5), 7]}, "hidden_layer_sizes", ["(5, 5)", "7"]),
    "arrays and ranges": ({"a": np.array([0.25]), "b": range(2)}, "b", ["0", "1"]),
    "objects": ({"optimizer": [SGD(momentum=0.5), "adam"]}, "optimizer", ["SGD(momentum=0.5)", "adam"]),
    "estimators": ({"model": [CLASSIFIER, LogisticRegression(C=2.0)]}, "model", ["NNClassifier", "LogisticRegression"]),
    "of one class": (
        {"model": [LogisticRegression(C=2.0), LogisticRegression()]}, "model",
        ["LogisticRegression(C=2.0)", "LogisticRegression()"],
    ),
    "functions": ({"scoring": [accuracy, None]}, "scoring", ["accuracy", "None"]),
    "of a step": ({"nnclassifier__dropout": [0.0, 0.5]}, "dropout", ["0", "0.5"]),
    "of two steps": ({"a__C": [1, 2], "b__C": [3]}, "C", ["1", "2"]),
    "of two steps that vary": ({"a__C": [1, 2], "b__C": [3, 4]}, "a__C, b__C", ["1, 3", "1, 4", "2, 3", "2, 4"]),
    "a list": (
        [{}, {"dropout": 0.5}, {"optimizer": ["sgd", "adam"]}], "candidate",
        ["as given", "dropout=0.5", "optimizer=sgd", "optimizer=adam"],
    ),
    "a list of equal parameters": ([{"C": 1, "a": 0}, {"C": 2, "a": 0}], "C", ["1", "2"]),
    "names": ({"plain": {}, "with dropout": {"dropout": 0.5}}, "candidate", ["plain", "with dropout"]),
    "one that sets nothing": ([{}], "candidate", ["as given"]),
    "twice the same": ([{"C": 1}, {"C": 1}], "C", ["1", "1 (2)"]),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_candidates_are_named_by_what_differs(case: str) -> None:
    given, title, labels = NAMED[case]
    found = read_candidates(given)
    assert found.title == title
    assert [one.label for one in found.members] == labels


def test_candidates_set_what_they_say() -> None:
    found = read_candidates([{"optimizer": ["sgd", "adam"], "hidden_layer_sizes": (3, 4)}, {}]).members
    assert [one.parameters for one in found] == [
        {"optimizer": "sgd", "hidden_layer_sizes": (3, 4)},
        {"optimizer": "adam", "hidden_layer_sizes": (3, 4)},
        {},
    ]


# -- the table


@pytest.fixture(scope="module")
def found() -> Comparison:
    return compare(
        clone(CLASSIFIER).set_params(max_epochs=6), X, y,
        {"plain": {}, "a name that is so long that it cannot stay in a single line of a table": {"learning_rate": 0.1},
         "<b>": {"hidden_layer_sizes": (300, 300)}},
        scoring=make_scorer(accuracy_score),
    )  # fmt: skip


def test_the_table_is_aligned_and_narrow_and_complete(found: Comparison) -> None:
    lines = repr(found).splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, lines)) <= 118
    assert len({len(line) for line in table if line[-1].isdigit()}) == 1
    assert set(table[2]) == {"-"}
    assert table[1].split()[:3] == ["candidate", "accuracy_score", "accuracy_score"]
    assert " ".join(line[:25].strip() for line in table).endswith("it cannot stay in a single line of a table <b>")
    r = found.results_
    assert f"{r['mean_test_score'][0]:.3f} ± {r['std_test_score'][0]:.3f}" in table[3]
    assert f"{r['n_parameters'][2]:,}" in table[-1]


def test_the_table_as_html_escapes_names(found: Comparison) -> None:
    text = found._repr_html_()
    assert "&lt;b&gt;" in text
    assert text.count("<tr>") == 4


def test_the_frame_has_all_figures(found: Comparison) -> None:
    pytest.importorskip("pandas")
    frame = found.to_frame()
    assert frame.index.tolist() == found.results_["label"].tolist()
    assert set(frame.columns) == set(found.results_) - {"label"}
    assert frame.loc["plain", "mean_test_score"] == found.results_["mean_test_score"][0]
    assert len(found) == len(frame)


# -- where it runs


@pytest.mark.slow
def test_in_worker_processes_the_figures_are_the_same() -> None:
    grid = {"nnclassifier__learning_rate": RATES}
    here = compare(PIPELINE, X, y, grid, cv=2).results_
    try:
        with lockstep(backend="loky", n_jobs=2):
            there = compare(PIPELINE, X, y, grid, cv=2).results_
    finally:
        loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)
    for name in ("mean_test_score", "mean_train_score", *OF_NETWORKS):
        assert_array_equal(here[name], there[name])


def test_metadata_goes_to_who_requests_it() -> None:
    weight = 1.0 + y
    with sklearn.config_context(enable_metadata_routing=True):
        network = clone(CLASSIFIER).set_fit_request(sample_weight=True)
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        options = {"params": {"sample_weight": weight}, "scoring": scorer}
        found = compare(network, X, y, {"learning_rate": RATES}, **options)
        for i, rate in enumerate(RATES):
            plain = cross_validate(clone(network).set_params(learning_rate=rate), X, y, cv=5, **options)
            assert found.results_["mean_test_score"][i] == plain["test_score"].mean()
        with pytest.raises(ValueError, match="groups can only be passed"):
            compare(network, X, y, {"learning_rate": RATES}, groups=y)


def test_nothing_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    network, candidates = clone(CLASSIFIER), {"optimizer": [SGD(momentum=0.5)]}
    before, filters = str(network.get_params()), list(warnings.filters)
    compare(network, X, y, candidates, cv=2)
    assert str(network.get_params()) == before
    assert not hasattr(network, "module_")
    assert str(candidates) == str({"optimizer": [SGD(momentum=0.5)]})
    assert list(warnings.filters) == filters
    assert capsys.readouterr().out == ""
