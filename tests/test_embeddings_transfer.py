"""Embedded columns in ``initial_weights``: matched by name, edges by value, levels by name."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from support import basic

from sknnopt import NNClassifier, NNRegressor, embeddings
from sknnopt._compat import InvalidParameterError
from sknnopt.data.encoding import STATISTICS
from sknnopt.embeddings import Periodic, PiecewiseLinear

QUICK = {
    "hidden_layer_sizes": (8, 6), "max_epochs": 8, "batch_size": 32, "learning_rate": 0.02, "random_state": 0,
    "precision": "float64", "n_heads": 3,
}  # fmt: skip
STILL = {**QUICK, "learning_rate": 1e-12, "max_epochs": 1, "random_state": 1}

KINDS: dict[str, Any] = {
    "quantiles": {"numeric_embedding": PiecewiseLinear(n_bins=6)},
    "one bin": {"numeric_embedding": PiecewiseLinear(n_bins=1)},
    "two bins": {"numeric_embedding": PiecewiseLinear(n_bins=2, activation=None)},
    "by target": {"numeric_embedding": PiecewiseLinear(n_bins=6, bins="target")},
    "waves": {"numeric_embedding": Periodic(n_frequencies=5, frequency_scale=0.3)},
    "phases": {"numeric_embedding": Periodic(n_frequencies=5, frequency_scale=0.3, phases=True, dense=True)},
    "dense": {"numeric_embedding": Periodic(n_frequencies=5, frequency_scale=0.3, dense=True, activation=None)},
    "categories": {"categorical_embedding": 3},
    "scale": {"input_scale": True},
    "all, quantiles": {"numeric_embedding": "piecewise_linear", "categorical_embedding": 8, "input_scale": True},
    "all, waves": {"numeric_embedding": "periodic", "categorical_embedding": 3, "input_scale": True},
    "scaled layers": {"numeric_embedding": "piecewise_linear", "input_scale": True, "initializer": "ntk"},
}
SCALES = list(STATISTICS)
each = pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS.keys())


def raw(n: int = 240, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers, some missing, a category of 12 levels and one of 3, and a target of two classes."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "a": rng.normal(size=n), "many": rng.choice(list("abcdefghijkl"), n), "b": rng.exponential(size=n) + 3,
        "few": rng.choice(["x", "y", "z"], n), "d": rng.normal(size=n).round(1),
    })  # fmt: skip
    y = (frame["a"] + (frame["many"] < "e") + 0.3 * frame["b"] + (frame["few"] == "x") > 1.9).astype(int)
    frame.loc[rng.random(n) < 0.1, "b"] = np.nan
    return frame, y.to_numpy()


@pytest.fixture
def unbent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encodings of numbers that are all but straight."""
    for module in ("sknnopt.data.scaling", "sknnopt.estimators._encodings"):
        monkeypatch.setattr(f"{module}.CLIP", 1e6)


@each
@pytest.mark.parametrize(("network", "hidden"), [("mlp", (8, 6)), ("mlp", ()), ("resnet", (8, 6)), ("tabm", (8, 6))])
def test_columns_and_levels_in_another_order(network: str, hidden: Any, settings: Any) -> None:
    settings = {**settings, "network": network, "hidden_layer_sizes": hidden, "dropout": 0.0}
    frame, y = raw()
    source = basic(NNClassifier, **{**QUICK, **settings}).fit(frame, y)
    moved = frame[["d", "few", "b", "many", "a"]].assign(new=np.arange(240.0), kind=np.where(y > 0, "p", "q"))
    moved["few"] = pd.Categorical(moved["few"], ["z", "nowhere", "y", "x"])
    same = basic(NNClassifier, **{**STILL, **settings}, initial_weights=source).fit(moved, y)
    assert_allclose(same.predict_proba(moved), source.predict_proba(frame), atol=1e-9)
    fresh = basic(NNClassifier, **{**STILL, **settings}).fit(moved, y)
    assert np.abs(fresh.predict_proba(moved) - source.predict_proba(frame)).max() > 0.1


@each
@pytest.mark.usefixtures("unbent")
def test_where_the_encoding_is_straight_other_scales_are_exact(settings: Any) -> None:
    """Rows of other quantiles, some of them missing, some beyond all that the source knew."""
    frame, y = raw()
    source = basic(NNClassifier, **{**QUICK, **settings}).fit(frame, y)
    other, target = raw(300, seed=1)
    other = other[["b", "many", "d", "few", "a"]].assign(a=2 * other["a"] - 1, d=-0.3 * other["d"] + 0.2)
    other.loc[:40, "d"] = np.nan
    same = basic(NNClassifier, **{**STILL, **settings}, initial_weights=source).fit(other, target)
    centers = [np.sort(one.preprocessor_.center_) for one in (source, same)]
    assert np.abs(centers[0] - centers[1]).max() > 0.3
    assert_allclose(same.predict_proba(other), source.predict_proba(other[frame.columns]), atol=1e-6)


@each
def test_where_it_is_bent_they_are_near(settings: Any) -> None:
    frame, y = raw()
    source = basic(NNRegressor, **{**QUICK, **settings}).fit(frame, y)
    other, target = raw(300, seed=1)
    other = other.assign(a=1.3 * other["a"] - 0.5, b=other["b"] * 0.8)
    near = basic(NNRegressor, **{**STILL, **settings}, initial_weights=source).fit(other, target)
    far = basic(NNRegressor, **{**STILL, **settings}, initial_weights=source.module_).fit(other, target)
    wanted = source.predict(other)
    errors = [np.sqrt(np.mean((one.predict(other) - wanted) ** 2)) / wanted.std() for one in (near, far)]
    several = getattr(embeddings.get(settings.get("numeric_embedding")), "n_bins", 1) > 2
    assert errors[0] < (0.02 if several else 0.2)
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("network", ["mlp", "tabm"])
@pytest.mark.parametrize("now", SCALES)
@pytest.mark.parametrize("before", SCALES)
def test_edges_lie_where_they_lay(before: str, now: str, network: str) -> None:
    """At its edges a column is embedded as it was, whatever the scales."""
    frame, y = raw()
    settings = {"numeric_embedding": PiecewiseLinear(n_bins=5), "network": network, "dropout": 0.2}
    source = basic(NNClassifier, **QUICK, **settings, preprocessing=before).fit(frame[["a"]], y)
    other = pd.DataFrame({"a": np.r_[frame["a"] * 2 + 0.5, -9.0, 12.0]})
    same = basic(NNClassifier, **STILL, **settings, preprocessing=now, initial_weights=source).fit(
        other, np.r_[y, 0, 1]
    )
    rows = frame[["a"]].sort_values("a").reset_index(drop=True)
    encoded = source.preprocessor_.transform(rows)[:, 0]
    at = [int(np.abs(encoded - edge).argmin()) for edge in source.module_.embedding.numeric.edges[0][1:-1].numpy()]
    assert_allclose(same.predict_proba(rows.iloc[at]), source.predict_proba(rows.iloc[at]), atol=1e-6)
    between = np.abs(same.predict_proba(rows) - source.predict_proba(rows)).max()
    assert (between > 1e-6) == (before != now or now != "standard")
    assert between < 0.1


LEVELS = pd.DataFrame({"a": np.random.default_rng(0).integers(0, 7, 400) ** 2.0})
SOME = [LEVELS["a"] > 3, LEVELS["a"] < 20, (LEVELS["a"] > 3) & (LEVELS["a"] < 20)]


@pytest.mark.parametrize("bins", ["quantile", "target"])
@pytest.mark.parametrize("now", SCALES)
@pytest.mark.parametrize("before", SCALES)
def test_tables_of_some_numbers_that_many_rows_share(before: str, now: str, bins: str) -> None:
    """Bins below all rows are full and those above empty, and edges between two numbers stay between them."""
    y = np.sin(LEVELS["a"] / 9)
    settings = {"numeric_embedding": PiecewiseLinear(n_bins=24 if bins == "quantile" else 7, bins=bins)}
    source = basic(NNRegressor, **{**QUICK, **settings, "max_epochs": 20}, preprocessing=before).fit(LEVELS, y)
    exact = bins == "quantile" or before == now == "standard"  # there every number is an edge
    for some in SOME:
        same = basic(NNRegressor, **STILL, **settings, preprocessing=now, initial_weights=source).fit(
            LEVELS[some], y[some]
        )
        wanted = source.predict(LEVELS[some])
        error = np.abs(same.predict(LEVELS[some]) - wanted).max() / wanted.std()
        assert error < (1e-6 if exact else 0.8 if before == "quantile_normal" else 0.3)


def test_far_beyond_the_old_edges_it_stays_as_it_was() -> None:
    frame, y = raw()
    settings = {"numeric_embedding": PiecewiseLinear(n_bins=5)}
    source = basic(NNClassifier, **QUICK, **settings).fit(frame[["a"]], y)
    other = pd.DataFrame({"a": np.random.default_rng(0).normal(size=240) * 1000})
    same = basic(NNClassifier, **STILL, **settings, initial_weights=source).fit(other, y)
    ends = pd.DataFrame({"a": [other["a"].min(), other["a"].max()]})
    assert_allclose(same.predict_proba(ends), source.predict_proba(ends), atol=1e-6)


@pytest.mark.parametrize("name", ["piecewise_linear", "periodic"])
def test_columns_that_are_new_begin_as_they_would(name: str) -> None:
    frame, y = raw()
    settings = {"numeric_embedding": name, "categorical_embedding": 3, "input_scale": True}
    source = basic(NNClassifier, **QUICK, **settings).fit(frame[["b", "few"]], y)
    same, fresh = (
        basic(NNClassifier, **STILL, **settings, initial_weights=one).fit(frame, y) for one in (source, None)
    )
    own, drawn, old = (one.module_.embedding for one in (same, fresh, source))
    for leaf in own.numeric.state_dict():
        ours, others, theirs = (getattr(one.numeric, leaf).detach() for one in (own, drawn, old))
        assert_allclose(ours[[0, 2]], others[[0, 2]], atol=1e-9)
        assert_allclose(ours[1], theirs[0], atol=1e-9)
    assert_allclose(own.category_0.weight.detach(), drawn.category_0.weight.detach(), atol=1e-9)
    assert_allclose(own.category_1.weight.detach(), old.category_0.weight.detach(), atol=1e-9)
    weight = same.module_.dense_0.weight.detach()
    zero = [*range(8), *range(16, 24), 25, 26, 27]
    assert weight[:, zero].abs().max() < 1e-9
    assert (weight[:, [*range(8, 16), 24, 28, 29, 30]].abs().max(0).values > 1e-3).all()
    assert (same.module_.input_scale.weight[zero] - 1).abs().max() < 1e-9


def test_edges_of_new_columns_come_from_each_members_own_rows() -> None:
    frame, y = raw()
    settings = {**STILL, "numeric_embedding": PiecewiseLinear(n_bins=5), "early_stopping": True}
    source = basic(NNClassifier, **settings).fit(frame[["b"]], y)
    same, fresh = (
        basic(NNClassifier, **settings, n_members=2, initial_weights=one).fit(frame[["a", "b"]], y)
        for one in (source, None)
    )
    own, drawn = ([member.embedding.numeric.edges for member in one.module_.members] for one in (same, fresh))
    assert_array_equal(own[0][0], drawn[0][0])
    assert_array_equal(own[1][0], drawn[1][0])
    assert (own[0][0] != own[1][0]).any()
    assert_array_equal(own[0][1], own[1][1])


def test_levels_are_read_as_they_were() -> None:
    frame, y = raw()
    settings = {"categorical_embedding": 3}
    source = basic(NNClassifier, **QUICK, **settings).fit(frame[["many"]], y)
    other = pd.DataFrame({"many": np.resize(["d", "new", "b", None], 240)})
    same = basic(NNClassifier, **STILL, **settings, initial_weights=source).fit(other, y)
    old, now = (one.module_.embedding.category_0.weight.detach() for one in (source, same))
    assert_allclose(now[:, :2], old[:, [1, 3]], atol=1e-9)  # b, d
    assert_allclose(now[:, 2:], 0, atol=1e-9)  # new, missing: the source knew neither
    assert_allclose(same.predict_proba(other), source.predict_proba(other), atol=1e-9)


def test_a_category_that_is_embedded_only_here_or_only_there() -> None:
    frame, y = raw()
    some = frame["many"] == "e"
    settings = {"categorical_embedding": 8, "input_scale": True}
    many = basic(NNClassifier, **QUICK, **settings).fit(frame[["many"]], y)
    few = basic(NNClassifier, **STILL, **settings, initial_weights=many).fit(frame.loc[some, ["many"]], y[some])
    assert few.module_[0] is few.module_.input_scale
    assert_allclose(
        few.predict_proba(frame.loc[some, ["many"]]),
        many.predict_proba(frame.loc[some, ["many"]]),
        atol=1e-9,
    )
    few = basic(NNClassifier, **QUICK, **settings).fit(frame.loc[some, ["many"]], y[some])
    again = basic(NNClassifier, **STILL, **settings, initial_weights=few).fit(frame[["many"]], y)
    assert again.module_.embedding.category_0.weight.shape == (8, 12)
    assert_allclose(again.predict_proba(frame[["many"]]), few.predict_proba(frame[["many"]]), atol=1e-9)


@each
def test_a_constant_column(settings: Any) -> None:
    frame, y = raw()
    source = basic(NNClassifier, **{**QUICK, **settings}).fit(frame, y)
    flat = frame.assign(a=0.7)
    same = basic(NNClassifier, **{**STILL, **settings}, initial_weights=source).fit(flat, y)
    assert_allclose(same.predict_proba(flat), source.predict_proba(flat), atol=1e-9)
    flat = basic(NNClassifier, **{**QUICK, **settings}).fit(flat, y)
    back = basic(NNClassifier, **{**STILL, **settings}, initial_weights=flat).fit(frame, y)
    assert_allclose(back.predict_proba(frame), flat.predict_proba(frame), atol=1e-9)
    twice = basic(NNClassifier, **{**STILL, **settings}, initial_weights=back).fit(frame.assign(a=0.7), y)
    assert_allclose(twice.predict_proba(frame), back.predict_proba(frame.assign(a=0.7)), atol=1e-9)


@each
def test_members_one_by_one_and_on_from_there(settings: Any) -> None:
    frame, y = raw()
    source = basic(NNClassifier, **{**QUICK, **settings}, n_members=2).fit(frame, y)
    same = basic(NNClassifier, **{**STILL, **settings}, n_members=2, initial_weights=source).fit(
        frame[frame.columns[::-1]], y
    )
    assert_allclose(same.predict_proba(frame[frame.columns[::-1]]), source.predict_proba(frame), atol=1e-9)
    on = basic(NNClassifier, **{**QUICK, **settings}, initial_weights=source).fit(frame, y)
    assert on.loss_curve_[0] < basic(NNClassifier, **{**QUICK, **settings}).fit(frame, y).loss_curve_[0] - 0.05


def test_edges_that_tensors_leave_out_are_learnt() -> None:
    X, y = load_iris(return_X_y=True)
    settings = {"numeric_embedding": PiecewiseLinear(n_bins=5)}
    source = basic(NNClassifier, **QUICK, **settings).fit(X, y)
    state = source.module_.state_dict()
    edges = state.pop("embedding.numeric.edges")
    same = basic(NNClassifier, **STILL, **settings, initial_weights=state).fit(X, y)
    assert_array_equal(same.module_.embedding.numeric.edges, edges)
    assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-9)
    given = basic(NNClassifier, **STILL, **settings, initial_weights={"embedding.numeric.edges": edges + 1}).fit(X, y)
    assert_array_equal(given.module_.embedding.numeric.edges, edges + 1)


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        ({}, {"numeric_embedding": "periodic"}, "numeric_embedding=None instead"),
        ({"numeric_embedding": "periodic"}, {}, r"numeric_embedding='Periodic\(\)' instead"),
        ({"numeric_embedding": "periodic"}, {"numeric_embedding": "piecewise_linear"}, r"'Periodic\(\)' instead"),
        ({"numeric_embedding": PiecewiseLinear(n_bins=7)}, {"numeric_embedding": "piecewise_linear"}, "n_bins=7"),
        ({"numeric_embedding": PiecewiseLinear(activation=None)}, {"numeric_embedding": PiecewiseLinear()}, "None"),
        ({"categorical_embedding": 3}, {"categorical_embedding": 4}, "categorical_embedding=3 instead"),
        ({"input_scale": True}, {}, "input_scale=True instead"),
    ],
    ids=str,
)
def test_another_embedding_is_refused(before: Any, now: Any, message: str) -> None:
    frame, y = raw()
    source = basic(NNClassifier, **QUICK, **before).fit(frame, y)
    with pytest.raises(InvalidParameterError, match=f"'initial_weights' .* same numeric_embedding, .*{message}"):
        basic(NNClassifier, **QUICK, **now, initial_weights=source).fit(frame, y)


def test_what_matters_only_at_the_start_may_differ() -> None:
    frame, y = raw()
    source = basic(NNClassifier, **QUICK, numeric_embedding=PiecewiseLinear(bins="target")).fit(frame, y)
    same = basic(NNClassifier, **STILL, numeric_embedding=PiecewiseLinear(), initial_weights=source).fit(frame, y)
    assert torch.equal(same.module_.embedding.numeric.edges, source.module_.embedding.numeric.edges)
    assert_allclose(same.predict_proba(frame), source.predict_proba(frame), atol=1e-9)
