"""Random grids: every score and every weight is, to the bit, that of one fit after another."""

import os
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt.optimizers import SGD, Adam
from sknnopt.regularization import L1, L2

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("whole")]

GRIDS = 20
WAYS: list[tuple[Any, int]] = [(1, 2), ("auto", 2), (3, 1), ("auto", 1), (16, 2), (1, 1), (3, 2), (16, 1)]
"""``max_members`` and ``n_jobs``: each grid takes the next two; all, if the environment has ``SKNNOPT_LONG``."""
VALUES: dict[str, list[Any]] = {
    "hidden_layer_sizes": [(5,), (40,), (9, 7)],
    "network": ["mlp", "resnet", "tabm"],
    "n_heads": [2, 3],
    "activation": ["relu", "silu", "tanh", "gelu", "prelu", "geglu", "parametric_mish"],
    "normalization": [None, "batch", "layer"],
    "numeric_embedding": [None, "auto"],
    "dropout": [0.0, 0.1, 0.5],
    "initializer": ["auto", "glorot_uniform", "orthogonal"],
    "optimizer": ["adamw", "sgd", "rmsprop", SGD(momentum=0.9), Adam(beta_2=0.9)],
    "learning_rate": [1e-3, 3e-3, 1e-2, 3e-2],
    "weight_decay": [0.0, 1e-3, 1e-1],
    "schedule": ["constant", "cosine", "plateau"],
    "warmup": [0.0, 0.3],
    "batch_size": [16, 50, "auto"],
    "max_epochs": [2, 5],
    "gradient_clipping": [None, 0.5, 1.0],
    "weight_averaging": [None, "auto"],
    "regularization": [None, L1(1e-4), L2(1e-3), L2(1e-2)],
    "early_stopping": [False, True],
    "scoring": ["loss", "accuracy"],
    "n_iter_no_change": [1, 3],
    "n_members": [1, 2, 4, 8],
    "random_state": [0, 1],
}
CLASSIFICATION = {"label_smoothing": [0.0, 0.1, 0.2], "class_weight": [None, "balanced"]}


def draw(seed: int) -> tuple[GridSearchCV, Any, Any]:
    """A search over two or three values of some parameters, the others drawn once."""
    rng = np.random.default_rng(seed)
    classification = seed % 3 > 0
    values = VALUES | (CLASSIFICATION if classification else {})
    if not classification:
        values = values | {"scoring": ["loss", "r2"]}
    fixed = {name: options[rng.integers(len(options))] for name, options in values.items()}
    fixed["random_state"] = int(fixed["random_state"])
    network = basic(NNClassifier if classification else NNRegressor, **fixed)
    names = list(rng.permutation([name for name in values if name != "random_state"]))
    prefix, estimator = "", network
    if rng.random() < 0.6:
        scaler = QuantileTransformer(n_quantiles=20) if rng.random() < 0.3 else StandardScaler()
        prefix, estimator = "network__", Pipeline([("scale", scaler), ("network", network)])
    grid = {}
    for name in names[: int(rng.integers(2, 4))]:
        picked = rng.permutation(len(values[name]))[:2]
        grid[prefix + name] = [values[name][i] for i in picked]
    X, y = load_wine(return_X_y=True) if classification else load_diabetes(return_X_y=True)
    rows = rng.permutation(len(y))[: int(rng.integers(110, 178))]
    cv = KFold(int(rng.integers(2, 4)), shuffle=True, random_state=0)
    return GridSearchCV(estimator, grid, cv=cv, return_train_score=bool(rng.random() < 0.5)), X[rows], y[rows]


def weights(search: GridSearchCV) -> dict[str, np.ndarray]:
    best = search.best_estimator_
    network = best[-1] if isinstance(best, Pipeline) else best
    return {name: value.numpy() for name, value in network.module_.state_dict().items()}


def figures(search: GridSearchCV) -> dict[str, np.ndarray]:
    return {name: value for name, value in search.cv_results_.items() if name.endswith("score")}


def largest_ensemble(search: GridSearchCV) -> int:
    """Members that may be judged together, and then are not parted."""
    values = [values for name, values in search.param_grid.items() if name.endswith("n_members")]
    parameters = search.estimator.get_params()
    return max(values[0] if values else [parameters.get("network__n_members", parameters.get("n_members", 1))])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(GRIDS))
def test_scores_and_weights_are_those_of_one_fit_after_another(seed: int) -> None:
    search, X, y = draw(seed)
    expected = clone(search).set_params(n_jobs=1).fit(X, y)
    first = 2 * seed % len(WAYS)
    for max_members, n_jobs in WAYS if "SKNNOPT_LONG" in os.environ else WAYS[first : first + 2]:
        with lockstep(max_members=max_members) as sweep:
            found = clone(search).set_params(n_jobs=n_jobs).fit(X, y)
        for name, value in figures(expected).items():
            assert_array_equal(figures(found)[name], value, err_msg=f"{name}, {max_members=}, {n_jobs=}")
        for name, value in weights(expected).items():
            assert_array_equal(weights(found)[name], value, err_msg=f"{name}, {max_members=}, {n_jobs=}")
        if isinstance(max_members, int):
            assert max(sweep.cohort_sizes) <= max(max_members, largest_ensemble(search))


def test_the_grids_differ_in_at_least_twelve_parameters() -> None:
    varied = {name.removeprefix("network__") for seed in range(GRIDS) for name in draw(seed)[0].param_grid}
    assert len(varied) >= 12
