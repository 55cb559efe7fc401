"""Columns that are embedded: stacked layers against autograd, features against the papers, edges against statistics."""

import math
import pickle
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import model_selection as plain
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, activations, embeddings, initializers, lockstep, model_selection
from sknnopt._compat import InvalidParameterError
from sknnopt._random import MemberRandom
from sknnopt.embeddings import Periodic, PiecewiseLinear
from sknnopt.initializers import LSUV, DataDependent
from sknnopt.nn import EVALUATION, MLP, Inputs, Pass, ResNet, Rowset, TabM, Workspace, load_member
from sknnopt.nn._embedding import InputEmbedding

NETWORKS = ["mlp", "resnet", "tabm"]
CPU = torch.device("cpu")
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "n_heads": 3, "max_epochs": 4, "batch_size": 32, "random_state": 0}
STILL = {**QUICK, "learning_rate": 1e-12, "max_epochs": 1, "dropout": 0.0}

OBJECTS = {name: embeddings.get(name) for name in embeddings.names()} | {
    "one bin": PiecewiseLinear(n_bins=1, embedding_size=2),
    "two bins": PiecewiseLinear(n_bins=2, embedding_size=1, activation=None),
    "by target": PiecewiseLinear(n_bins=7, embedding_size=3, bins="target"),
    "PBLD": Periodic(phases=True, dense=True, embedding_size=3, activation=None),
    "dense": Periodic(n_frequencies=5, frequency_scale=1.0, dense=True),
    "phases": Periodic(n_frequencies=3, frequency_scale=1.0, phases=True),
}
each_object = pytest.mark.parametrize("embedding", OBJECTS.values(), ids=OBJECTS.keys())
each_name = pytest.mark.parametrize("name", embeddings.names())

LAST = 22
"""Columns of the tables: 4 numbers, a mark, two categories of 10 and 4 levels, and three more."""
INPUTS = {name: (one, (), False) for name, one in OBJECTS.items()} | {
    "scale": (None, (), True),
    "categories": (None, ((5, 10, 3), (15, 4, 2)), False),
    "all, piecewise linear": (PiecewiseLinear(n_bins=6, embedding_size=3), ((5, 10, 3), (15, 4, 2)), True),
    "all, periodic": (Periodic(n_frequencies=5, embedding_size=3, dense=True), ((5, 10, 3), (15, 4, 2)), True),
    "all, phases": (OBJECTS["PBLD"], ((4, 10, 3), (14, 8, 8)), True),
}
each_input = pytest.mark.parametrize("case", INPUTS.values(), ids=INPUTS.keys())
MAKES = {
    "mlp": (MLP, (7,)),
    "resnet": (ResNet, (6, 5)),
    "linear": (MLP, ()),
    "tabm": (partial(TabM, n_heads=3), (7, 5)),
}


class Stack:
    """K networks with their own weights and edges, bound to a batch, and the module of each."""

    def __init__(self, case: Any, kind: str, members: int, rows: int = 32) -> None:
        embedding, categories, scale = case
        make, hidden = MAKES[kind]
        inputs = Inputs(4, embedding, categories, scale)
        self.network = make(LAST, hidden, 2, activations.get("tanh"), None, (0.0,) * len(hidden), inputs=inputs)
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.standard_normal((members, rows, LAST)))
        layout, buffers = self.network.layout, self.network.buffers
        self.flat, self.slopes = torch.zeros(2, members, layout.size, dtype=torch.float64)
        statistics = torch.zeros(members, buffers.size, dtype=torch.float64)
        self.modules = []
        for k in range(members):
            own, edges = layout.single(self.flat[k]), buffers.single(statistics[k])
            random = MemberRandom(np.random.SeedSequence(k), CPU)
            self.network.initialize(own, edges, initializers.get("kaiming_uniform"), random)
            for value in own.values():
                value.add_(0.1 * torch.from_numpy(rng.standard_normal(value.shape)))
            if self.network.learns:
                train = rng.standard_normal((50, LAST))
                self.network.learn(edges, Rowset(train, rng.standard_normal(50), None))
            module = self.network.module()
            load_member(module, {name: value.clone() for name, value in own.items()}, edges)
            self.modules.append(module)
        self.space = Workspace(members, rows, torch.float64, CPU)
        drops = [self.network.dropout] * members
        args = {"dropout": drops, "random": [MemberRandom(np.random.SeedSequence(9), CPU)] * members}
        self.bound = self.network.bind(self.flat, self.slopes, statistics, self.space, **args)
        space = Workspace(members, rows, torch.float64, CPU)
        self.judge = self.network.bind(self.flat, None, statistics, space, **args)


class TestLayers:
    @pytest.mark.parametrize("members", [1, 3])
    @pytest.mark.parametrize("kind", MAKES)
    @each_input
    def test_a_stack_follows_its_module(self, case: Any, kind: str, members: int) -> None:
        stack = Stack(case, kind, members)
        heads = stack.network.heads
        gradient = stack.space.repeated(heads).features("slope of the scores", 2)
        given = torch.randn(members, 2, heads * 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for _ in range(2):  # buffers are used again
            scores = stack.bound.forward(stack.x, Pass(training=True)).view.clone()
            gradient.view.copy_(given)
            stack.bound.backward(gradient)
        judged = stack.judge.forward(stack.x, EVALUATION).view
        for k, module in enumerate(stack.modules):
            assert_allclose(judged[k].T, module(stack.x[k]).detach(), rtol=1e-10, atol=1e-12)
            each_head = module[:-1] if heads > 1 else module
            out = each_head(stack.x[k])
            assert_allclose(scores[k].T, out.detach(), rtol=1e-10, atol=1e-12)
            out.T.backward(given[k])
            slopes = stack.network.layout.single(stack.slopes[k])
            assert dict(module.named_parameters()).keys() == slopes.keys()
            for name, value in module.named_parameters():
                assert value.grad.abs().max() > 0, name
                assert_allclose(slopes[name], value.grad, rtol=1e-9, atol=1e-11, err_msg=name)

    def test_the_order_of_what_is_embedded(self) -> None:
        module = Stack(INPUTS["all, periodic"], "mlp", 1).modules[0]
        x = torch.randn(3, LAST, dtype=torch.float64)
        parts = [module.embedding.numeric(x[:, :4]), x[:, :4], x[:, 4:5]]
        parts += [module.embedding.category_0(x[:, 5:15]), module.embedding.category_1(x[:, 15:19]), x[:, 19:]]
        assert_allclose(module.embedding(x).detach(), torch.cat(parts, 1).detach(), rtol=1e-12)
        assert_allclose(
            module.input_scale(module.embedding(x)).detach(),
            (torch.cat(parts, 1) * module.input_scale.weight).detach(),
            rtol=1e-12,
        )

    @each_input
    def test_weights_are_those_of_dense_layers_alone(self, case: Any) -> None:
        """So decay and penalties leave embeddings alone, and optimizers of matrices take them number by number."""
        network = Stack(case, "mlp", 1).network
        weights = [block.name for block in network.layout.blocks.values() if block.is_weight]
        assert weights == ["dense_0.weight", "output.weight"]
        assert network.layout.blocks["dense_0.weight"].shape[1] == network.n_features

    def test_how_weights_begin(self) -> None:
        embedding = Periodic(n_frequencies=500, frequency_scale=0.5, embedding_size=2, phases=True)
        inputs = Inputs(6, embedding, ((6, 100, 30),), True)
        network = MLP(106, (4,), 2, activations.get("relu"), None, (0.0,), inputs=inputs)
        flat = torch.zeros(network.layout.size)
        own = network.layout.single(flat)
        network.initialize(own, {}, initializers.get("zeros"), MemberRandom(np.random.SeedSequence(0), CPU))
        bound = 1 / math.sqrt(500)
        for leaf in ("weight", "bias"):
            assert own[f"embedding.numeric.{leaf}"].abs().max() <= bound
        assert own["embedding.numeric.weight"].std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
        assert own["embedding.numeric.frequency"].std().item() == pytest.approx(0.5, rel=0.05)
        assert own["embedding.numeric.phase"].std().item() == pytest.approx(math.pi / math.sqrt(3), rel=0.05)
        assert own["embedding.category_0.weight"].std().item() == pytest.approx(1, rel=0.05)
        assert (own["input_scale.weight"] == 1).all()

    def test_frequencies_of_several_scales(self) -> None:
        """From low to high in geometric sequence, one after another."""
        embedding = Periodic(n_frequencies=3, frequency_scale=(0.02, 2.0))
        network = MLP(500, (4,), 2, activations.get("relu"), None, (0.0,), inputs=Inputs(500, embedding))
        own = network.layout.single(torch.zeros(network.layout.size))
        network.initialize(own, {}, initializers.get("zeros"), MemberRandom(np.random.SeedSequence(0), CPU))
        drawn = own["embedding.numeric.frequency"].std(0).numpy()
        np.testing.assert_allclose(drawn, [0.02, 0.2, 2.0], rtol=0.1)


def bin_values(x: float, edges: np.ndarray) -> list[float]:
    """Gorishniy et al. (2022), equation 1, with t counted from 1 and edges b_0 to b_T."""
    last = len(edges) - 1
    out = []
    for t in range(1, last + 1):
        if x < edges[t - 1] and t > 1:
            out.append(0.0)
        elif x >= edges[t] and t < last:
            out.append(1.0)
        else:
            out.append((x - edges[t - 1]) / (edges[t] - edges[t - 1]))
    return out


def features(embedding: Any, x: np.ndarray, **tensors: np.ndarray) -> np.ndarray:
    """Of one column (n,), (n, T)."""
    layer = InputEmbedding(1, embedding, ()).numeric
    for name, value in tensors.items():
        tensor = torch.from_numpy(np.asarray(value)[None])
        if name == "edges":
            layer.register_buffer(name, tensor)
        else:
            layer.register_parameter(name, nn.Parameter(tensor))
    return layer.features(torch.from_numpy(x[None, None])).detach().numpy()[0, 0].T


class TestFeatures:
    @pytest.mark.parametrize("edges", [[-1.0, 0.5, 0.75, 2.0], [0.0, 1.0], [0.0, 1.0, 5.0]], ids=len)
    def test_piecewise_linear_ones_are_the_papers(self, edges: list[float]) -> None:
        x = np.r_[np.linspace(-3, 7, 101), edges]
        found = features(PiecewiseLinear(n_bins=len(edges) - 1), x, edges=edges)
        assert_allclose(found, [bin_values(one, np.array(edges)) for one in x], rtol=1e-12, atol=1e-14)

    def test_bins_without_width_count_for_nothing(self) -> None:
        x, edges = np.linspace(-3, 7, 51), np.array([0.0, 1.0, 1.0, 1.0, 5.0])
        found = features(PiecewiseLinear(n_bins=4), x, edges=edges)
        assert_allclose(found[:, [0, 3]], features(PiecewiseLinear(n_bins=2), x, edges=edges[[0, 1, 4]]))
        assert_array_equal(found[:, 1:3], 0)

    def test_periodic_ones_are_the_papers(self) -> None:
        x, frequency, phase = np.linspace(-3, 3, 20), np.array([0.3, -1.2]), np.array([0.5, 3.0])
        angle = 2 * np.pi * x[:, None] * frequency
        found = features(Periodic(n_frequencies=2), x, frequency=frequency)
        assert_allclose(found, np.c_[np.cos(angle), np.sin(angle)], rtol=1e-12, atol=1e-14)
        found = features(Periodic(n_frequencies=2, phases=True), x, frequency=frequency, phase=phase)
        assert_allclose(found, np.cos(angle + phase), rtol=1e-12, atol=1e-14)

    def test_a_categorical_embedding_is_a_column_a_level(self) -> None:
        frame = pd.DataFrame({"level": list("abcab") * 8})
        module = basic(NNRegressor, **QUICK, categorical_embedding=4).fit(frame, np.arange(40.0)).module_
        weight = module.embedding.category_0.weight
        assert_array_equal(module.embedding(torch.eye(3)).detach(), weight.T.detach())
        assert_array_equal(module.embedding(torch.zeros(1, 3)).detach(), np.zeros((1, 4)))  # a level unseen

    def test_input_scale_is_a_factor_an_input(self) -> None:
        module = basic(NNRegressor, **QUICK, input_scale=True).fit(*DIABETES).module_
        rows = torch.randn(5, 10)
        assert_array_equal(module.input_scale(rows).detach(), (rows * module.input_scale.weight).detach())
        assert module[0] is module.input_scale


RNG = np.random.default_rng(0)
SKEWED = RNG.exponential(size=500)
NO_TARGET = np.zeros(500)


class TestEdges:
    @pytest.mark.parametrize("n_bins", [1, 2, 7, 24])
    def test_quantiles(self, n_bins: int) -> None:
        found = PiecewiseLinear(n_bins=n_bins).edges(SKEWED, NO_TARGET, None)
        assert_array_equal(found, np.quantile(SKEWED, np.arange(n_bins + 1) / n_bins, method="inverted_cdf"))

    @pytest.mark.parametrize("kind", ["numbers", "several", "classes"])
    def test_where_a_tree_splits(self, kind: str) -> None:
        y = {"numbers": np.sin(3 * SKEWED), "classes": (SKEWED * 3).astype(int) % 3}.get(kind)
        y = np.c_[np.sin(3 * SKEWED), SKEWED > 1].astype(float) if y is None else y
        found = PiecewiseLinear(n_bins=6, bins="target").edges(SKEWED, y, None)
        make = DecisionTreeClassifier if kind == "classes" else DecisionTreeRegressor
        tree = make(max_leaf_nodes=6, min_samples_leaf=round(500 * 0.5 / 6), random_state=0).fit(SKEWED[:, None], y)
        inner = np.sort(tree.tree_.threshold[tree.tree_.feature >= 0])
        assert len(inner) == 5
        assert_array_equal(found, [SKEWED.min(), *inner, SKEWED.max()])

    def test_a_bin_by_target_has_some_rows(self) -> None:
        values = np.arange(10_000.0)
        found = PiecewiseLinear(n_bins=24, bins="target").edges(values, RNG.standard_normal(10_000), None)
        assert np.diff(found)[np.diff(found) > 0].min() >= 64 - 1

    @pytest.mark.parametrize("bins", ["quantile", "target"])
    def test_few_distinct_values_have_fewer_bins(self, bins: str) -> None:
        values = np.repeat([0.0, 1.0, 2.5], 100)
        found = PiecewiseLinear(n_bins=8, bins=bins).edges(values, (values > 1).astype(float), None)
        inner = [0.0, 1.0, 2.5] if bins == "quantile" else [0.0, 1.75, 2.5]
        assert_array_equal(np.unique(found), inner)
        width = np.diff(found)
        assert len(found) == 9
        assert (width[[0, -1]] > 0).all()
        assert_array_equal(width[1:-1], 0)

    @pytest.mark.parametrize("bins", ["quantile", "target"])
    def test_a_constant_column_has_none(self, bins: str) -> None:
        found = PiecewiseLinear(n_bins=5, bins=bins).edges(np.full(40, 2.0), np.arange(40.0), None)
        assert_array_equal(found, np.full(6, 2.0))
        assert_array_equal(features(PiecewiseLinear(n_bins=5), np.array([1.0, 2.0, 9.0]), edges=found), 0)

    @pytest.mark.parametrize("n_bins", [3, 24, 49])
    def test_an_integer_weight_is_the_row_repeated(self, n_bins: int) -> None:
        weight = RNG.integers(1, 5, 500)
        for values in (SKEWED, SKEWED.round(1)):
            one = PiecewiseLinear(n_bins=n_bins).edges(values, NO_TARGET, weight.astype(float))
            other = PiecewiseLinear(n_bins=n_bins).edges(np.repeat(values, weight), np.repeat(NO_TARGET, weight), None)
            assert_array_equal(one, other)
        y = np.sin(3 * SKEWED)
        embedding = PiecewiseLinear(n_bins=5, bins="target")
        one = embedding.edges(SKEWED, y, weight.astype(float))
        assert_allclose(one, embedding.edges(np.repeat(SKEWED, weight), np.repeat(y, weight), None))


def raw(n: int = 240, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers, some missing, a category of 12 levels and one of 3, and a target of two classes."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "a": rng.normal(size=n), "many": rng.choice(list("abcdefghijkl"), n), "b": rng.exponential(size=n),
        "few": rng.choice(["x", "y", "z"], n),
    })  # fmt: skip
    y = (frame["a"] + (frame["many"] < "e") + 0.3 * frame["b"] > 0.6).astype(int)
    frame.loc[rng.random(n) < 0.1, "b"] = np.nan
    return frame, y.to_numpy()


def edges_of(network: Any) -> torch.Tensor:
    return network.module_.embedding.numeric.edges


def same_weights(one: Any, other: Any) -> None:
    first, second = one.module_.state_dict(), other.module_.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert_array_equal(value.numpy(), second[name].numpy(), err_msg=name)


class TestRows:
    """Edges come from each member's own training rows."""

    SETTINGS = {**STILL, "numeric_embedding": PiecewiseLinear(n_bins=6)}

    @pytest.mark.parametrize("bins", ["quantile", "target"])
    def test_edges_are_those_of_the_encoded_rows(self, bins: str) -> None:
        frame, y = raw()
        embedding = PiecewiseLinear(n_bins=6, bins=bins)
        clf = basic(NNClassifier, **{**self.SETTINGS, "numeric_embedding": embedding}).fit(frame, y)
        encoded = clf.preprocessor_.transform(frame)
        for column, found in enumerate(edges_of(clf)):
            expected = embedding.edges(encoded[:, column].astype(float), y, None)
            assert_array_equal(found, expected.astype(np.float32))
        assert len(edges_of(clf)) == 2

    def test_withheld_rows_count_for_none(self) -> None:
        seen: list[Any] = []

        def scoring(estimator: Any, X: pd.DataFrame, y: Any) -> float:
            seen.append(X.index.to_numpy())
            return 0.0

        frame, y = raw()
        reg = clone(basic(NNRegressor, **self.SETTINGS, early_stopping=True, scoring=scoring))
        reg.set_params(numeric_embedding__bins="target")
        before = edges_of(reg.fit(frame, y.astype(float)))
        other, target = frame.copy(), y.astype(float)
        other.loc[seen[0], ["a", "b"]] = 1e3
        target[seen[0]] = 1e3
        assert_array_equal(edges_of(clone(reg).fit(other, target)), before)
        trained = np.setdiff1d(frame.index, seen[0])[:20]
        other.loc[trained, ["a", "b"]] = 1e3
        assert (edges_of(clone(reg).fit(other, target)) != before).any()

    def test_each_fold_has_its_own(self) -> None:
        X, y = DIABETES
        reg = basic(NNRegressor, **self.SETTINGS)
        found = model_selection.cross_validate(reg, X, y, cv=3, return_estimator=True)["estimator"]
        for one, (train, _) in zip(found, plain.KFold(3).split(X), strict=True):
            assert_array_equal(edges_of(one), edges_of(clone(reg).fit(X[train], y[train])))

    @pytest.mark.parametrize("bins", ["quantile", "target"])
    def test_a_row_without_weight_is_not_there(self, bins: str) -> None:
        X, y = IRIS
        counted = np.random.RandomState(0).rand(150) > 0.3
        wild = np.where(counted[:, None], X, 1e6)
        clf = basic(NNClassifier, **{**QUICK, "numeric_embedding": PiecewiseLinear(n_bins=6, bins=bins)})
        same_weights(clone(clf).fit(wild, y, counted.astype(float)), clone(clf).fit(X[counted], y[counted]))

    def test_an_integer_weight_is_the_row_repeated(self) -> None:
        X, y = IRIS
        weight = np.random.RandomState(0).randint(1, 5, 150)
        clf = basic(NNClassifier, **{**self.SETTINGS, "batch_size": 10**6, "learning_rate": 0.003, "max_epochs": 5})
        one, other = clone(clf).fit(X, y, weight), clone(clf).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
        assert_array_equal(edges_of(one), edges_of(other))
        assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-4)

    def test_of_very_many_rows_some_are_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        X, y = DIABETES
        monkeypatch.setattr("sknnopt.engine._start.MOST_ROWS", 40)
        reg = basic(NNRegressor, **self.SETTINGS).fit(X, y)
        rows = np.linspace(0, 441, 40).astype(int)
        encoded = reg.preprocessor_.transform(X[rows])[:, 2].astype(float)
        expected = PiecewiseLinear(n_bins=6).edges(encoded, y[rows], None)
        assert_array_equal(edges_of(reg)[2], expected.astype(np.float32))


ALL = {
    **{name: {"numeric_embedding": name} for name in embeddings.names()},
    "PBLD": {"numeric_embedding": OBJECTS["PBLD"]},
    "by target": {"numeric_embedding": OBJECTS["by target"]},
    "categories": {"categorical_embedding": 3},
    "many": {"categorical_embedding": 8},
    "scale": {"input_scale": True},
    "all": {"numeric_embedding": "periodic", "categorical_embedding": 8, "input_scale": True},
    "all, piecewise": {"numeric_embedding": "piecewise_linear", "categorical_embedding": 2, "input_scale": True},
}
each_way = pytest.mark.parametrize("settings", ALL.values(), ids=ALL.keys())


class TestEstimators:
    @each_way
    @pytest.mark.parametrize("network", NETWORKS)
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_raw_tables(self, make: Any, network: str, settings: Any) -> None:
        frame, y = raw()
        net = basic(make, **{**QUICK, "max_epochs": 30, "learning_rate": 0.01}, network=network, **settings).fit(
            frame, y
        )
        assert net.score(frame, y) > (0.75 if make is NNClassifier else 0.3)
        other = pd.DataFrame({"a": [np.nan, 1e9], "many": ["new", None], "b": [-1e9, np.nan], "few": ["x", "new"]})
        assert np.isfinite(net._raw_scores(other)).all()
        encoded = torch.from_numpy(net.preprocessor_.transform(frame))
        assert_allclose(net.module_(encoded).detach(), net._raw_scores(frame), rtol=1e-4, atol=1e-5)

    @each_way
    @pytest.mark.parametrize("network", NETWORKS)
    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_a_row_has_its_own_bits(self, precision: str, network: str, settings: Any) -> None:
        """Alone, in a chunk, and at any place there."""
        frame, y = raw(1200)
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 1}, network=network, precision=precision, **settings).fit(
            frame, y
        )
        every = clf.predict_proba(frame)
        for rows in (slice(1199, None), slice(3, 4), slice(5, 38), slice(1, 1150)):
            assert_array_equal(clf.predict_proba(frame[rows]), every[rows])

    def test_every_category_is_embedded(self) -> None:
        frame, y = raw()
        for size, expected in ((8, [(8, 12), (8, 3)]), (3, [(3, 12), (3, 3)])):
            module = basic(NNClassifier, **STILL, categorical_embedding=size).fit(frame, y).module_
            found = [tuple(one.weight.shape) for name, one in module.embedding.named_children() if "category" in name]
            assert sorted(found) == sorted(expected)

    @each_name
    def test_numbers_without_preprocessing(self, name: str) -> None:
        X, y = IRIS
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 40}, numeric_embedding=name, preprocessing=None)
        clf.set_params(categorical_features=None, learning_rate=0.01).fit(X - X.mean(0), y)
        assert clf.score(X - X.mean(0), y) > 0.85
        assert len(clf.module_.embedding.numeric.weight) == 4

    @each_name
    def test_a_table_of_categories_alone(self, name: str) -> None:
        frame, y = raw()
        plainly, embedded = (
            basic(NNClassifier, **QUICK, numeric_embedding=one).fit(frame[["many", "few"]], y) for one in (None, name)
        )
        same_weights(plainly, embedded)

    def test_without_embeddings_nothing_changes(self) -> None:
        X, y = IRIS
        plainly = basic(NNClassifier, **QUICK).fit(X, y)
        off = basic(NNClassifier, **QUICK, numeric_embedding=None, categorical_embedding="auto", input_scale=False).fit(
            X, y
        )
        same_weights(plainly, off)

    @each_way
    def test_a_search_in_lockstep_is_scikit_learns_to_the_bit(self, settings: Any) -> None:
        frame, y = raw()
        grid: dict[str, list[Any]] = {"dropout": [0.0, 0.2]}
        embedding = embeddings.get(settings.get("numeric_embedding"))
        if embedding is not None:
            name = "n_bins" if isinstance(embedding, PiecewiseLinear) else "n_frequencies"
            grid[f"numeric_embedding__{name}"] = [4, 9]
        clf = basic(NNClassifier, **QUICK, **settings)
        found = [
            package.GridSearchCV(clf, grid, cv=2, scoring="neg_log_loss", error_score="raise").fit(frame, y)
            for package in (plain, model_selection)
        ]
        for fold in range(2):
            assert_array_equal(*(search.cv_results_[f"split{fold}_test_score"] for search in found))
        assert len(set(found[0].cv_results_["mean_test_score"])) == len(found[0].cv_results_["params"])
        same_weights(*(search.best_estimator_ for search in found))

    @pytest.mark.parametrize(
        ("name", "parameter", "values"),
        [("piecewise_linear", "bins", ["quantile", "target"]), ("periodic", "frequency_scale", [0.1, 0.5])],
    )
    def test_what_matters_only_at_the_start_is_per_member(self, name: str, parameter: str, values: list[Any]) -> None:
        X, y = IRIS
        grid = {f"numeric_embedding__{parameter}": values}
        clf = basic(NNClassifier, **QUICK, numeric_embedding=name)
        with lockstep(n_jobs=1) as sweep:
            together = plain.GridSearchCV(clf, grid, cv=3, scoring="neg_log_loss").fit(X, y)
        assert sweep.cohort_sizes[0] == 6
        alone = plain.GridSearchCV(clf, grid, cv=3, scoring="neg_log_loss").fit(X, y)
        assert_array_equal(together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])
        assert len(set(alone.cv_results_["mean_test_score"])) == 2

    @each_way
    def test_clones_and_pickles(self, settings: Any) -> None:
        frame, y = raw()
        clf = basic(NNClassifier, **QUICK, **settings).fit(frame, y)
        same_weights(clone(clf).fit(frame, y), clf)
        again = pickle.loads(pickle.dumps(clf))
        assert_array_equal(again.predict_proba(frame), clf.predict_proba(frame))
        through = clf.net_.predict_proba(clf.preprocessor_.transform(frame))
        assert_allclose(through, clf.predict_proba(frame), rtol=1e-5)

    @each_way
    def test_calls_of_partial_fit_are_epochs_to_the_bit(self, settings: Any) -> None:
        frame, y = raw()
        whole = basic(NNClassifier, **QUICK, **settings).fit(frame, y)
        steps = clone(whole)
        for call in range(4):
            steps.partial_fit(frame, y)
            if call == 1:
                steps = pickle.loads(pickle.dumps(steps))
        same_weights(steps, whole)

    def test_edges_stay_where_training_goes_on(self) -> None:
        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK, numeric_embedding="piecewise_linear").partial_fit(X[:200], y[:200])
        before = edges_of(reg).clone()
        assert_array_equal(edges_of(reg.partial_fit(3 * X[200:], y[200:])), before)
        warm = basic(NNRegressor, **QUICK, numeric_embedding="piecewise_linear", warm_start=True).fit(X[:200], y[:200])
        before = edges_of(warm).clone()
        assert_array_equal(edges_of(warm.fit(3 * X[200:], y[200:])), before)

    @pytest.mark.parametrize(
        ("before", "now", "message"),
        [
            ({}, {"numeric_embedding": "periodic"}, r"numeric_embedding='Periodic\(\)' \(was None\)"),
            ({"numeric_embedding": "periodic"}, {"numeric_embedding": None}, r"None \(was 'Periodic\(\)'\)"),
            ({"numeric_embedding": "periodic"}, {"numeric_embedding__n_frequencies": 3}, "n_frequencies=3"),
            ({"categorical_embedding": 3}, {"categorical_embedding": "auto"}, r"None \(was 3\)"),
            ({"input_scale": True}, {"input_scale": False}, r"input_scale=False \(was True\)"),
        ],
        ids=str,
    )
    def test_training_does_not_go_on_with_another_embedding(self, before: Any, now: Any, message: str) -> None:
        frame, y = raw()
        clf = basic(NNClassifier, **QUICK, **before).partial_fit(frame, y).set_params(**now)
        with pytest.raises(ValueError, match=f"Training cannot go on with .*{message}"):
            clf.partial_fit(frame, y)

    def test_a_name_has_the_parameters_of_its_object(self) -> None:
        clf = basic(NNClassifier, numeric_embedding="piecewise_linear").set_params(numeric_embedding__n_bins=5)
        assert repr(clf.numeric_embedding) == "PiecewiseLinear(n_bins=5)"
        assert clf.get_params()["numeric_embedding__n_bins"] == 5
        with pytest.raises(ValueError, match="Invalid parameter 'n_bin' for estimator"):
            clf.set_params(numeric_embedding__n_bin=5)

    @each_way
    def test_members_restarts_and_a_rate_that_is_found(self, settings: Any) -> None:
        frame, y = raw()
        ensemble = basic(NNClassifier, **QUICK, **settings, n_members=3, n_restarts=2, learning_rate="auto").fit(
            frame, y
        )
        assert len(ensemble.module_.members) == 3
        assert ensemble.score(frame, y) > 0.6
        first, second = (member.state_dict() for member in list(ensemble.module_.members)[:2])
        for name, value in first.items():
            assert torch.equal(value, second[name]) == name.endswith("edges"), name

    def test_callbacks_see_the_live_module(self) -> None:
        from skorch.callbacks import Callback

        seen = []

        class Spy(Callback):
            def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
                seen.append(net.module_.embedding.numeric.weight.detach().clone())

        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, numeric_embedding="periodic", callbacks=[Spy]).fit(X, y)
        assert len(seen) == 4
        assert (seen[0] != seen[1]).any()
        assert_array_equal(seen[-1], clf.module_.embedding.numeric.weight.detach())

    @each_way
    @pytest.mark.parametrize("initializer", [LSUV(n_rows=10**6), DataDependent(n_rows=10**6)], ids=repr)
    def test_initializers_that_adapt_see_embedded_rows(self, initializer: Any, settings: Any) -> None:
        frame, y = raw()
        clf = basic(NNClassifier, **STILL, **settings, initializer=initializer).fit(frame, y)
        rows = torch.from_numpy(clf.preprocessor_.transform(frame))
        for name, layer in clf.module_.named_children():
            rows = layer(rows)
            if name == "dense_0":
                break
        found = (rows - layer.bias).var(correction=0) if isinstance(initializer, LSUV) else rows.var(0, correction=0)
        assert_allclose(found.detach(), 1, rtol=1e-3)

    @pytest.mark.parametrize(
        ("optimizer", "more"),
        [("muon", {}), ("soap", {}), ("adafactor", {}), ("lamb", {}), ("lbfgs", {"batch_size": 10**6}), ("sam", {})],
    )
    def test_optimizers_that_look_at_layers(self, optimizer: str, more: Any) -> None:
        frame, y = raw()
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 40, **more}, **ALL["all"], optimizer=optimizer).fit(
            frame, y
        )
        assert clf.loss_curve_[-1] < 0.85 * clf.loss_curve_[0]


class TestLayerChoice:
    SETTINGS = {**QUICK, **ALL["all, piecewise"], "hidden_layer_sizes": (8, 6)}

    @pytest.mark.parametrize(
        ("value", "kept"),
        [
            (1, ("embedding", "input_scale")),
            (2, ("embedding", "input_scale", "dense_0")),
            ("embedding", ("embedding",)),
            ("embedding.numeric", ("embedding.numeric",)),
            (["input_scale", "embedding.category_*"], ("input_scale", "embedding.category")),
        ],
        ids=str,
    )
    def test_frozen_ones_stay_to_the_bit(self, value: Any, kept: tuple[str, ...]) -> None:
        frame, y = raw()
        start = basic(NNClassifier, **{**self.SETTINGS, **STILL, "hidden_layer_sizes": (8, 6)}).fit(frame, y).module_
        given = start.state_dict()
        after = basic(NNClassifier, **self.SETTINGS, frozen_layers=value, initial_weights=given).fit(frame, y).module_
        same = {name for name, now in after.state_dict().items() if torch.equal(now, given[name])}
        assert same == {name for name in given if name.startswith(kept)} | {"embedding.numeric.edges"}

    def test_the_scale_alone_belongs_to_the_first_layer(self) -> None:
        X, y = IRIS
        start, after = (
            basic(NNClassifier, **{**one, "hidden_layer_sizes": (8, 6)}, input_scale=True, frozen_layers=1)
            .fit(X, y)
            .module_
            for one in (STILL, QUICK)
        )
        moved = [name for name, value in after.named_parameters() if not torch.equal(value, start.get_parameter(name))]
        assert {name.partition(".")[0] for name in moved} == {"dense_1", "output"}

    def test_rates_by_depth(self) -> None:
        frame, y = raw()
        settings = {
            **self.SETTINGS, "dropout": 0.0, "optimizer": "sgd", "gradient_clipping": None, "max_epochs": 1,
            "batch_size": 10**6, "schedule": "constant", "precision": "float64",
        }  # fmt: skip
        start = basic(NNClassifier, **{**settings, "learning_rate": 1e-12}).fit(frame, y).module_
        plainly, slower = (
            basic(NNClassifier, **settings, layer_rates=own).fit(frame, y).module_ for own in (None, 0.5)
        )
        depth = {"embedding": 3, "input_scale": 3, "dense_0": 2, "dense_1": 1, "output": 0}
        for name, value in slower.named_parameters():
            step, own = plainly.get_parameter(name) - start.get_parameter(name), value - start.get_parameter(name)
            assert_allclose(own.detach(), (0.5 ** depth[name.partition(".")[0]] * step).detach(), atol=1e-11)


class TestRefusals:
    @pytest.mark.parametrize(
        "settings",
        [{"numeric_embedding": "periodic"}, {"categorical_embedding": 3}, {"input_scale": True}],
        ids=lambda settings: next(iter(settings)),
    )
    def test_where_columns_cannot_be_embedded(self, settings: Any) -> None:
        X, y = IRIS
        (name,) = settings
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter must be .* X is sparse.*Got"):
            basic(NNClassifier, **QUICK, **settings).fit(sparse.csr_array(X), y)
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter must be .* network is one's own.*Got"):
            basic(NNClassifier, **QUICK, **settings, network=nn.Linear).fit(X, y)
        basic(NNClassifier, **QUICK, categorical_embedding="auto").fit(sparse.csr_array(X), y)

    def test_the_nearest_spelling_is_offered(self) -> None:
        with pytest.raises(InvalidParameterError, match=r"'numeric_embedding' parameter .*Did you mean 'periodic'\?"):
            basic(NNClassifier, **QUICK, numeric_embedding="periodical").fit(*IRIS)

    @pytest.mark.parametrize(
        ("embedding", "message"),
        [
            (PiecewiseLinear(n_bins=0), "'n_bins' parameter of PiecewiseLinear must be .* Got 0 instead"),
            (PiecewiseLinear(bins="tree"), "'bins' parameter of PiecewiseLinear must be .* Got 'tree' instead"),
            (Periodic(frequency_scale=0.0), "'frequency_scale' parameter of Periodic must be .* Got 0.0 instead"),
            (Periodic(frequency_scale=(0.1, 0.0)), r"'frequency_scale' .* above 0 or two .* Got \(0.1, 0.0\) instead"),
            (Periodic(frequency_scale=[0.1]), r"'frequency_scale' .* above 0 or two .* Got \[0.1\] instead"),
            (Periodic(activation="tanh"), "'activation' parameter of Periodic must be .* Got 'tanh' instead"),
        ],
        ids=repr,
    )
    def test_its_parameters_are_checked(self, embedding: Any, message: str) -> None:
        with pytest.raises(InvalidParameterError, match=message):
            basic(NNClassifier, **QUICK, numeric_embedding=embedding).fit(*IRIS)
