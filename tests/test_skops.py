"""skops opens what it has stored of our estimators once the types of this package are trusted, and no others."""

from typing import Any

import pytest
import skops.io as sio
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_persistence import CLASSES, ENSEMBLE, FRAME, LABELS, NUMBERS, SPARSE, WORDS, classify, regress

from sknnopt import losses, regularization, schedules
from sknnopt.embeddings import Periodic

CASES: dict[str, Any] = {
    "ensemble": lambda: classify(FRAME, WORDS, **ENSEMBLE),
    "labels": lambda: classify(y=LABELS, network="tabm"),
    "sparse": lambda: classify(SPARSE, preprocessing=None),
    "quantiles": lambda: regress(loss=losses.Quantile(quantile=[0.1, 0.9]), preprocessing="quantile_normal"),
    "techniques": lambda: classify(
        optimizer="soap", schedule=schedules.Plateau(), regularization=regularization.L1() + regularization.MaxNorm(),
        dropout=schedules.Scheduled(0.2, "linear"), numeric_embedding=Periodic(), warm_start=True,
        learning_rate="auto", precision="float64", class_weight={0: 1.0, 1: 2.0, 2: 1.0}, device=["cpu"],
    ),
}  # fmt: skip


def through_skops(estimator: Any, others: tuple[str, ...] = ()) -> Any:
    data = sio.dumps(estimator)
    unknown = sio.get_untrusted_types(data=data)
    assert unknown
    assert [name for name in unknown if not name.startswith(("sknnopt.", *others))] == []
    return sio.loads(data, trusted=unknown)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_only_our_types_need_trust(case: Any) -> None:
    estimator, X, y = case()
    again = through_skops(estimator)
    method = "decision_function" if hasattr(estimator, "decision_function") else "predict_quantiles"
    assert_array_equal(getattr(again, method)(X), getattr(estimator, method)(X))
    assert again.history_ == estimator.history_
    assert_array_equal(again.partial_fit(X, y).predict(X), estimator.partial_fit(X, y).predict(X))


def test_inside_of_pipelines_and_searches() -> None:
    clf = classify(n_members=2)[0]
    search = GridSearchCV(make_pipeline(StandardScaler(), clf), {"nnclassifier__dropout": [0.0, 0.1]}, cv=2)
    search.fit(NUMBERS, CLASSES)
    again = through_skops(search, others=("sklearn.",))  # of searches skops does not trust all that scikit-learn has
    assert_array_equal(again.predict_proba(NUMBERS), search.predict_proba(NUMBERS))
    assert_array_equal(through_skops(search.best_estimator_).predict(NUMBERS), search.predict(NUMBERS))
