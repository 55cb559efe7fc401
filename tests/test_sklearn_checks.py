"""scikit-learn's own checks: at the defaults, for fewer epochs, and where an estimator most easily fails them."""

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor
from sknnopt.nn import Module

REASON = "asks for rtol 1e-7, which float32, random batches and dropout cannot give; passes in float64 (see EXACT)"
EXPECTED = dict.fromkeys(
    ["check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"],
    REASON,
)
FEW = {"max_epochs": 12, "learning_rate": 0.02}
"""Enough to pass where a check asks for a score."""

EXACT = {"precision": "float64", "batch_size": 10**6, "dropout": 0.0, "early_stopping": False}


class TwoLayers(nn.Module):
    """A network as a user writes it."""

    def __init__(self, n_inputs: int, n_outputs: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_inputs, 32)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(32, n_outputs)

    def forward(self, rows: Tensor) -> Tensor:
        return self.out(self.dropout(self.hidden(rows).tanh()))


def pair(**parameters: Any) -> list[BaseEstimator]:
    return [basic(NNClassifier, **parameters), basic(NNRegressor, **parameters)]


def expected(estimator: BaseEstimator) -> dict[str, str]:
    return EXPECTED


@parametrize_with_checks([NNClassifier(max_epochs=15), NNRegressor(max_epochs=15)], expected_failed_checks=expected)
def test_defaults(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


EMBEDDED = {"numeric_embedding": "piecewise_linear", "categorical_embedding": 3, "input_scale": True}


@parametrize_with_checks(pair(**EMBEDDED, **FEW), expected_failed_checks=expected)
def test_embedded_columns(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("estimator", pair(**EXACT, **EMBEDDED, max_epochs=30), ids=repr)
def test_weights_are_repetitions_where_columns_are_embedded(estimator: BaseEstimator) -> None:
    name = "check_sample_weight_equivalence_on_dense_data"
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


EXACT_PAIRS = [
    *pair(**EXACT),
    *pair(**EXACT, n_members=2, max_epochs=30),
    *pair(**EXACT, network="tabm", n_heads=3, max_epochs=30),
    *pair(**EXACT, network=Module(TwoLayers, dropout=0.0), max_epochs=30),
]


DENSE_PAIRS = [one for kind in ("quantile_normal", "standard") for one in pair(**EXACT, preprocessing=kind)]
EXACT_CASES = [(name, estimator) for name in EXPECTED for estimator in EXACT_PAIRS]
EXACT_CASES += [(name, estimator) for name in EXPECTED if "dense" in name for estimator in DENSE_PAIRS]


@pytest.mark.parametrize(("name", "estimator"), EXACT_CASES, ids=repr)
def test_weights_are_repetitions_in_float64(estimator: BaseEstimator, name: str) -> None:
    getattr(estimator_checks, name)(type(estimator).__name__, estimator)


@parametrize_with_checks(pair(early_stopping=True, **FEW | {"max_epochs": 30}), expected_failed_checks=expected)
def test_early_stopping(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@parametrize_with_checks(pair(n_members=3, **FEW), expected_failed_checks=expected)
def test_members(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@parametrize_with_checks(pair(network="tabm", n_heads=4, **FEW), expected_failed_checks=expected)
def test_heads(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@parametrize_with_checks(pair(network=TwoLayers, **FEW), expected_failed_checks=expected)
def test_module(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@parametrize_with_checks(pair(preprocessing=None, **FEW | {"max_epochs": 25}), expected_failed_checks=expected)
def test_without_preprocessing(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@parametrize_with_checks(pair(preprocessing="quantile_normal", **FEW), expected_failed_checks=expected)
def test_by_quantiles(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)


@parametrize_with_checks(pair(preprocessing="standard", **FEW), expected_failed_checks=expected)
def test_standardised(estimator: BaseEstimator, check: Callable[[BaseEstimator], None]) -> None:
    check(estimator)
