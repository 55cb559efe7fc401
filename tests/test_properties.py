"""Any valid setting on any small table: a finite fit or a documented error; any invalid one: the error that teaches.

What is drawn follows from the constraints and the registries (``strategies.py``), so that new parameters come in by
themselves. ``SKNNOPT_EXAMPLES=5000`` draws so many valid settings, and 0.4 times as many invalid ones, of the seed
``SKNNOPT_SEED``, 0 by default.
"""

import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, seed, settings
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from small_tables import Data
from strategies import (
    CHEAP,
    MODULES,
    SPECIAL,
    Estimator,
    cases,
    values_of,
    wrong_lengths,
    wrong_settings,
    wrong_techniques,
)

from sknnopt import NNClassifier, NNRegressor, load, lockstep, save
from sknnopt._compat import InvalidParameterError

EXAMPLES, SEED = int(os.environ.get("SKNNOPT_EXAMPLES", "25")), int(os.environ.get("SKNNOPT_SEED", "0"))
WRONG = max(60, EXAMPLES * 2 // 5)


def profile(count: int) -> Any:
    """Draw so many examples, the same ones each time."""
    options = settings(
        max_examples=count, database=None, deadline=None, derandomize=False,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    return lambda test: seed(SEED)(options(test))


DOCUMENTED = (
    r"Training diverged: .*Lower learning_rate",
    r"validation_fraction=.* leaves none to train on; use early_stopping=False",
    r"at least 2 classes; got 1 class",
    r"A sparse table can have no categorical_features",
    r"Sparse tables are scaled by their columns' largest absolute values",
    r"categorical_features .* without feature names",
    r"could not convert string to float",
    r"Input X contains (NaN|infinity or a value too large)",
    r"With preprocessing=None, X must hold numbers of float(32|64) alone",
    r"The classes, \[.*\], are not in class_weight",
    r"For multi-output, class_weight should be a list of dicts, or the string 'balanced'",
    r"normalises over the rows of a batch, and a batch has one row alone: set batch_size to at least 2",
)
"""What a fit may say of settings and data that are fine by themselves but not together, besides of parameters."""


def fitted(estimator: Estimator, data: Data) -> Estimator | Exception:
    """Return the fitted estimator, or what it has raised, which must be documented."""
    X, y, weight = data.make()
    before = repr(estimator.get_params())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(X, y, weight)
    except Exception as error:
        taught = isinstance(error, InvalidParameterError) and re.search(r"'\w+' parameter|^\w+=", str(error))
        known = any(re.search(one, str(error), re.S) for one in DOCUMENTED)
        if not (taught or known):
            raise
        assert not hasattr(estimator, "module_")
        return error
    assert repr(estimator.get_params()) == before
    return estimator


def outputs(estimator: Estimator, data: Data) -> np.ndarray:
    """Return what is predicted of the rows trained on, which must be finite."""
    X = data.make()[0]
    scores = estimator.predict_proba(X) if isinstance(estimator, NNClassifier) else estimator.predict(X)
    assert np.isfinite(scores).all()
    assert len(estimator.predict(X)) == data.rows
    return np.asarray(scores)


def together(estimators: list[Estimator], data: Data) -> list[Any]:
    """Fit in lockstep; return the estimators, or what each has raised."""
    with lockstep(n_jobs=1):
        return joblib.Parallel()(joblib.delayed(fitted)(one, data) for one in estimators)


def check_valid(estimator: Estimator, data: Data, folder: Path) -> str:
    """Check every property of a fit; return what became of it."""
    unfitted = clone(estimator)
    one = fitted(estimator, data)
    own = {"learning_rate": 3e-3, "schedule": "linear", "warmup": 0.25, "initializer": "xavier_normal", "tol": 0.1}
    partner = clone(unfitted).set_params(random_state=1, **own)
    beside = together([clone(unfitted), partner], data)[0]
    if isinstance(one, Exception):
        assert (type(beside), str(beside)) == (type(one), str(one))
        return "refused"
    scores = outputs(one, data)
    assert_array_equal(outputs(beside, data), scores)
    assert_array_equal(outputs(pickle.loads(pickle.dumps(one)), data), scores)
    again = fitted(clone(one), data)
    assert isinstance(again, type(one))
    assert_array_equal(outputs(again, data), scores)
    categories = [] if one.preprocessor_ is None else np.concatenate([[], *one.preprocessor_.categories_])
    odd = not isinstance(one.network, str) or one.initial_weights is not None or callable(one.scoring)
    if odd or any(isinstance(level, pd.Timestamp) for level in categories):
        with pytest.raises(TypeError, match="pickle and joblib can store"):
            save(one, folder / "network")
        return "not saved"
    save(one, folder / "network")
    assert_array_equal(outputs(load(folder / "network"), data), scores)
    return "saved"


@profile(EXAMPLES)
@given(case=cases())
def test_valid_settings(tmp_path_factory: pytest.TempPathFactory, case: tuple[Estimator, Data]) -> None:
    check_valid(*case, tmp_path_factory.mktemp("file"))


def check_wrong(make: type[Estimator], given: dict[str, Any], named: str, value: Any) -> None:
    """Check that a fit of one wrong parameter says which, and what it was given."""
    network = make(**{**CHEAP, **given})
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match=f"'({named})' parameter|categorical_features .*mask") as caught:
        network.fit(random.normal(size=(12, 3)), np.arange(12) % 2)
    message = str(caught.value)
    assert re.search("Got|got", message)
    assert repr(value) in message or str(value) in message or "mask" in message
    assert isinstance(caught.value, InvalidParameterError) or named == "categorical_features"
    assert not hasattr(network, "module_")


@profile(WRONG * 3 // 5)
@given(case=wrong_settings())
def test_wrong_values(case: tuple[type[Estimator], str, Any]) -> None:
    make, name, value = case
    check_wrong(make, {name: value}, name, value)


@profile(WRONG // 5)
@given(case=wrong_techniques())
def test_wrong_values_of_techniques(case: tuple[type[Estimator], str, Any, str]) -> None:
    make, parameter, technique, own = case
    check_wrong(make, {parameter: technique}, own, technique.get_params(deep=False)[own])


@profile(WRONG // 5)
@given(case=wrong_lengths())
def test_wrong_lengths(case: tuple[type[Estimator], str, dict[str, Any], Any]) -> None:
    make, name, given, value = case
    check_wrong(make, given, name, value)


def test_every_parameter_is_drawn() -> None:
    """Of a new one, more than its default, unless it is among those whose constraints say too little."""
    for make in (NNClassifier, NNRegressor):
        for name in make._parameter_constraints:
            values = values_of(make, name, ["classification" if make is NNClassifier else "regression"])
            assert name in SPECIAL or name in MODULES or not repr(values).startswith("just("), f"draw {name!r}"
