"""Starting from what another network has learnt, and letting some layers learn slower or not at all."""

import pickle
from collections import OrderedDict
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn import model_selection as plain
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine, make_multilabel_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, lockstep, model_selection
from sknnopt._compat import InvalidParameterError
from sknnopt.data.encoding import STATISTICS
from sknnopt.optimizers import SGD
from sknnopt.regularization import L1, L2
from sknnopt.schedules import Scheduled

IRIS = load_iris(return_X_y=True)
WINE = load_wine(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8, 6), "max_epochs": 8, "learning_rate": 0.01, "random_state": 0}
STILL = {**QUICK, "learning_rate": 1e-12, "max_epochs": 1, "random_state": 1}
EXACT = {**STILL, "precision": "float64"}


def raw(n: int = 200, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A table of numbers, some missing, and categories, and a target of three classes."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "a": rng.normal(size=n), "b": rng.exponential(size=n) + 3, "c": rng.choice(["x", "y", "z"], n),
        "d": rng.normal(size=n).round(1),
    })  # fmt: skip
    y = np.digitize(frame["a"] + (frame["c"] == "x") + 0.3 * frame["d"], [-0.3, 0.9])
    frame.loc[rng.random(n) < 0.1, "d"] = np.nan
    return frame, y


def own_network(n_inputs: int, n_outputs: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            dense_0=nn.Linear(n_inputs, 8), norm_0=nn.BatchNorm1d(8), activation_0=nn.SiLU(),
            dense_1=nn.Linear(8, 6), norm_1=nn.BatchNorm1d(6), activation_1=nn.SiLU(), output=nn.Linear(6, n_outputs),
        )
    )  # fmt: skip


def named(value):
    return "own" if isinstance(value, dict) and "network" in value else str(value)


def assert_same_weights(one, other, names=None):
    first, second = one.module_.state_dict(), other.module_.state_dict()
    for name in first if names is None else names:
        if "num_batches" not in name:
            assert_array_equal(first[name].numpy(), second[name].numpy(), err_msg=name)


class TestFromAnEstimator:
    @pytest.mark.parametrize(
        "settings",
        [{}, {"normalization": "batch"}, {"normalization": "layer"}, {"hidden_layer_sizes": ()}, {"n_members": 3},
         {"network": own_network}, {"network": "resnet"}, {"network": "tabm"}, {"preprocessing": None},
         {"precision": "float64"}],
        ids=named,
    )  # fmt: skip
    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_on_the_same_data_nothing_changes(self, make, settings):
        X, y = WINE if make is NNClassifier else DIABETES
        source = basic(make, **{**QUICK, **settings}).fit(X, y)
        frozen = {"frozen_layers": "norm_*"} if "norm_0.running_mean" in source.module_.state_dict() else {}
        same = basic(make, **{**STILL, **settings}, **frozen, initial_weights=source).fit(X, y)
        assert_allclose(same._raw_scores(X), source._raw_scores(X), atol=1e-5)
        fresh = basic(make, **{**STILL, **settings}).fit(X, y)
        assert np.abs(fresh._raw_scores(X) - source._raw_scores(X)).max() > 0.05

    @pytest.mark.parametrize(("network", "first"), [("mlp", "dense_0"), ("resnet", "dense")])
    def test_columns_are_known_by_name_and_categories_by_value(self, network, first):
        frame, y = raw()
        source = basic(NNClassifier, **{**QUICK, "precision": "float64"}, network=network).fit(frame, y)
        moved = frame[["c", "d", "b", "a"]].assign(new=np.arange(200.0), kind=np.where(y > 1, "p", "q"))
        moved["c"] = pd.Categorical(moved["c"], ["z", "nowhere", "y", "x"])
        same = basic(NNClassifier, **EXACT, network=network, initial_weights=source).fit(moved, y)
        old, now = (one.module_.get_submodule(first).weight for one in (source, same))
        assert now.shape[1] == old.shape[1] + 3
        assert_allclose(same.predict_proba(moved), source.predict_proba(frame), atol=1e-9)
        new = [
            place
            for place, name in enumerate(same.preprocessor_.get_feature_names_out())
            if name.startswith(("new", "kind"))
        ]
        assert now[:, new].abs().max() < 1e-9

    def test_columns_and_categories_that_are_gone(self):
        frame, y = raw()
        source = basic(NNClassifier, **{**QUICK, "precision": "float64"}).fit(frame, y)
        rows = frame["c"] != "y"
        less = basic(NNClassifier, **EXACT, initial_weights=source).fit(frame[rows].drop(columns="b"), y[rows])
        assert less.module_.dense_0.weight.shape[1] == source.module_.dense_0.weight.shape[1] - 2
        names = [list(one.preprocessor_.get_feature_names_out()) for one in (source, less)]
        for name in ("c_x", "c_z", "missingindicator_d"):
            old, new = (
                one.module_.dense_0.weight[:, own.index(name)] for one, own in zip((source, less), names, strict=True)
            )
            shift = source.module_.dense_0.weight[:, names[0].index("d")]
            if name.startswith("c"):
                assert_allclose(new.detach(), old.detach(), atol=1e-9)
            else:  # a missing number adds to what it added, that the number's own offset does not count
                difference = (new - old).detach().numpy()
                direction = shift.detach().numpy()
                assert_allclose(difference, direction * (difference @ direction) / (direction @ direction), atol=1e-9)

    def test_arrays_go_by_position(self):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK).fit(X, y)
        same = basic(NNClassifier, **STILL, initial_weights=source).fit(np.c_[X, np.arange(150)], y)
        assert_allclose(same.predict_proba(np.c_[X, np.zeros(150)]), source.predict_proba(X), atol=1e-5)
        frame = pd.DataFrame(X, columns=list("dcba"))
        same = basic(NNClassifier, **STILL, initial_weights=source).fit(frame, y)
        assert_allclose(same.predict_proba(frame), source.predict_proba(X), atol=1e-5)

    def test_rare_categories(self):
        """From 100 levels on the rarest share a column: a level is read as the old network read it."""
        rng = np.random.default_rng(0)
        level = np.minimum(rng.geometric(0.02, 3000), 160)
        frame = pd.DataFrame({"level": [f"l{i}" for i in level], "a": rng.normal(size=3000)})
        y = (level % 3 == 0).astype(int)
        source = basic(NNClassifier, **{**QUICK, "precision": "float64"}).fit(frame, y)
        assert len(source.preprocessor_.encoding.levels[0].infrequent) > 10
        few = frame["level"].isin([f"l{i}" for i in (1, 2, 3, 7, 120, 130)])
        same = basic(NNClassifier, **EXACT, initial_weights=source, preprocessing="auto").fit(
            frame[few].assign(a=frame["a"][few].rank()), y[few]
        )
        at_median = [one.assign(a=np.nan) for one in (frame[few], frame[few])]
        assert_allclose(same.predict_proba(at_median[1]), source.predict_proba(at_median[0]), atol=0.05)
        columns = [list(one.preprocessor_.get_feature_names_out()) for one in (source, same)]
        weight = [one.module_.dense_0.weight.detach().numpy() for one in (source, same)]
        for name, old in (("level_l1", "level_l1"), ("level_l130", "level_infrequent_sklearn")):
            assert_allclose(weight[1][:, columns[1].index(name)], weight[0][:, columns[0].index(old)], atol=1e-9)

    def test_levels_that_share_a_column_start_from_their_mean(self):
        rng = np.random.default_rng(0)
        level = np.r_[np.arange(1, 131), np.minimum(rng.geometric(0.02, 2000), 130)]
        frame = pd.DataFrame({"level": [f"l{i}" for i in level]})
        y = level % 2
        source = basic(NNClassifier, **{**QUICK, "precision": "float64"}).fit(frame[level <= 95], y[level <= 95])
        now = basic(NNClassifier, **EXACT, initial_weights=source).fit(frame, y)
        old, new = (list(one.preprocessor_.get_feature_names_out()) for one in (source, now))
        before, after = (one.module_.dense_0.weight.detach().numpy() for one in (source, now))
        rare = now.preprocessor_.encoding.levels[0].infrequent
        known = [f"level_{name}" for name in rare if f"level_{name}" in old]
        assert 0 < len(known) < len(rare)
        expected = before[:, [old.index(name) for name in known]].sum(1) / len(rare)
        assert_allclose(after[:, new.index("level_infrequent_sklearn")], expected, atol=1e-9)

    @pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
    def test_sparse_tables_scaled_otherwise_are_exact(self, make):
        X, y = load_breast_cancer(return_X_y=True)
        X, other = sparse.csr_array(X), sparse.csr_array(X[:200] * 0.5)
        source = basic(make, **{**QUICK, "precision": "float64"}).fit(X, y)
        same = basic(make, **EXACT, initial_weights=source).fit(other, y[:200])
        assert not np.allclose(same.preprocessor_.scale_, source.preprocessor_.scale_)
        assert_allclose(same._raw_scores(other), source._raw_scores(other), rtol=1e-6, atol=1e-8) if (
            make is NNClassifier
        ) else assert_allclose(same.predict(other), source.predict(other), rtol=1e-6)

    @pytest.mark.parametrize("pair", [("auto", None), (None, "auto"), ("auto", "auto")])
    def test_numbers_scaled_otherwise_are_near(self, pair):
        """The smooth clip makes of one scaling a curve over the other, which a line follows."""
        X, y = WINE
        rng = np.random.default_rng(0)
        some = rng.permutation(178)[:90]
        settings = {"max_epochs": 60, "precision": "float64"}
        data = [X if mode == "auto" else (X - X.mean(0)) / X.std(0) for mode in pair]
        source = basic(NNClassifier, **{**QUICK, **settings}, preprocessing=pair[0]).fit(data[0], y)
        if pair[0] != pair[1]:
            data[1] = data[0]  # the same raw rows, encoded by one of them alone
            if pair[0] == "auto":
                data = [(X - X.mean(0)) / X.std(0)] * 2
                source.fit(data[0], y)
        near = basic(NNClassifier, **EXACT, preprocessing=pair[1], initial_weights=source).fit(data[1][some], y[some])
        far = basic(NNClassifier, **EXACT, preprocessing=pair[1], initial_weights=source.module_).fit(
            data[1][some], y[some]
        )
        wanted = source.predict_proba(data[0])
        errors = [np.abs(one.predict_proba(data[1]) - wanted).mean() for one in (near, far)]
        assert errors[0] < 0.015
        assert errors[0] < 0.6 * errors[1]

    @pytest.mark.parametrize("pair", list(product(STATISTICS, repeat=2)), ids="-".join)
    def test_numbers_encoded_by_other_statistics_are_as_near_as_a_line(self, pair):
        """Each input of the first layer is the line of least squares through its old encoding over the new one."""
        X, y = WINE
        some = np.random.default_rng(0).permutation(178)[:90]
        settings = {"precision": "float64", "hidden_layer_sizes": ()}
        source = basic(NNClassifier, **{**QUICK, **settings}, preprocessing=pair[0]).fit(X, y)
        still = {**EXACT, **settings, "preprocessing": pair[1]}
        same = basic(NNClassifier, **still, initial_weights=source).fit(X[some], y[some])
        before, now = (clf.preprocessor_.transform(X[some]) for clf in (source, same))
        line = [np.polyfit(x, y, 1) for x, y in zip(now.T, before.T, strict=True)]
        values = np.column_stack([np.polyval(one, x) for one, x in zip(line, now.T, strict=True)])
        wanted = source.module_(torch.from_numpy(values)).detach().numpy()
        assert_allclose(same._raw_scores(X[some]), wanted, atol=1e-5)
        unmoved = basic(NNClassifier, **still, initial_weights=source.module_).fit(X[some], y[some])
        assert np.abs(unmoved._raw_scores(X[some]) - wanted).max() > 0.03

    def test_the_same_quantiles_change_nothing(self):
        X, y = WINE
        settings = {"precision": "float64", "preprocessing": "quantile_normal"}
        source = basic(NNClassifier, **{**QUICK, **settings}).fit(X, y)
        same = basic(NNClassifier, **{**EXACT, **settings}, initial_weights=source).fit(X, y)
        assert_allclose(same._raw_scores(X), source._raw_scores(X), atol=1e-9)

    def test_a_missing_number_is_read_as_it_was(self):
        frame, y = raw()
        source = basic(NNClassifier, **{**QUICK, "precision": "float64"}).fit(frame, y)
        other = frame.assign(d=frame["d"] * 3 + 5)
        shifted = basic(NNClassifier, **EXACT, initial_weights=source).fit(other, y)
        assert shifted.preprocessor_.center_[2] != pytest.approx(source.preprocessor_.center_[2])
        missing = frame["d"].isna()
        assert_allclose(shifted.predict_proba(other[missing]), source.predict_proba(frame[missing]), atol=1e-9)

    def test_a_constant_column(self):
        X, y = IRIS
        source = basic(NNClassifier, **{**QUICK, "precision": "float64"}).fit(X, y)
        flat = X.copy()
        flat[:, 2] = 4.0
        same = basic(NNClassifier, **EXACT, initial_weights=source).fit(flat, y)
        assert_allclose(same.predict_proba(flat), source.predict_proba(flat), atol=1e-9)
        back = basic(NNClassifier, **EXACT, initial_weights=basic(NNClassifier, **QUICK).fit(flat, y)).fit(X, y)
        assert back.module_.dense_0.weight[:, 2].abs().max() < 1e-9

    @pytest.mark.parametrize("labels", [[0, 2], [2, 0, 1, 3], [1, 2, 9]])
    @pytest.mark.parametrize("hidden", [(8,), ()])
    def test_classes_are_known_by_label(self, labels, hidden):
        X, y = IRIS
        source = basic(NNClassifier, **{**QUICK, "hidden_layer_sizes": hidden}).fit(X, y)
        some = np.resize(labels, 150)
        settings = {**STILL, "hidden_layer_sizes": hidden}
        same = basic(NNClassifier, **settings, initial_weights=source).fit(X, some)
        fresh = basic(NNClassifier, **settings).fit(X, some)
        for place, label in enumerate(same.classes_):
            other, row = (source, label) if label < 3 else (fresh, place)
            for leaf in ("weight", "bias"):
                one, expected = (getattr(net.module_.output, leaf).detach() for net in (same, other))
                assert_allclose(one[place], expected[row], atol=1e-6)

    def test_labels_of_strings(self):
        X, y = IRIS
        names = np.array(["b", "c", "a"])
        source = basic(NNClassifier, **QUICK).fit(X, names[y])
        same = basic(NNClassifier, **STILL, initial_weights=source).fit(X[y < 2], names[y][y < 2])
        assert_array_equal(same.classes_, ["b", "c"])
        odds = source.predict_proba(X[y < 2])[:, 1:]
        assert_allclose(same.predict_proba(X[y < 2]), odds / odds.sum(1, keepdims=True), atol=0.1)

    def test_several_labels_go_by_place(self):
        X, Y = make_multilabel_classification(100, n_classes=3, random_state=0)
        source = basic(NNClassifier, **QUICK).fit(X, Y)
        same = basic(NNClassifier, **STILL, initial_weights=source).fit(X, Y)
        assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-5)
        fresh, one = (basic(NNClassifier, **STILL, initial_weights=start).fit(X, Y[:, 0]) for start in (None, source))
        assert_allclose(one.module_.output.weight.detach(), fresh.module_.output.weight.detach(), atol=1e-9)

    @pytest.mark.parametrize("loss", ["squared_error", "poisson"])
    def test_targets_keep_their_units(self, loss):
        X, y = DIABETES
        source = basic(NNRegressor, **{**QUICK, "precision": "float64"}, loss=loss).fit(X, y)
        other = basic(NNRegressor, **EXACT, loss=loss, initial_weights=source).fit(X, 3 * y + 50)
        assert_allclose(other.predict(X), source.predict(X), rtol=1e-8)
        assert other.target_.scale_[0] != pytest.approx(source.target_.scale_[0])

    def test_another_task_takes_all_but_the_last_layer(self):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK, activation="relu").fit(X, y)
        same, fresh = (basic(NNRegressor, **STILL, initial_weights=start).fit(X, y) for start in (source, None))
        for name, value in same.module_.state_dict().items():
            other = fresh if name.startswith("output") else source
            assert_allclose(value, other.module_.state_dict()[name], atol=1e-9)

    def test_members_one_by_one(self):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK, n_members=2).fit(X, y)
        five, one = (basic(NNClassifier, **STILL, n_members=n, initial_weights=source).fit(X, y) for n in (5, 1))
        for k, member in enumerate(five.module_.members):
            for name, value in source.module_.members[k % 2].state_dict().items():
                assert_allclose(member.state_dict()[name], value, atol=1e-9)
        assert_allclose(one.module_.dense_0.weight.detach(), five.module_.members[0].dense_0.weight.detach(), atol=1e-9)

    @pytest.mark.parametrize(
        "wrap",
        [
            FrozenEstimator,
            lambda source: make_pipeline(FrozenEstimator(StandardScaler().fit(IRIS[0])), source),
            lambda source: FrozenEstimator(make_pipeline("passthrough", source)),
        ],
    )
    def test_what_is_around_it(self, wrap):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK).fit(X, y)
        same = basic(NNClassifier, **STILL, initial_weights=wrap(source)).fit(X, y)
        assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-5)

    def test_a_search(self):
        X, y = IRIS
        search = plain.GridSearchCV(basic(NNClassifier, **QUICK), {"dropout": [0.1, 0.2]}, cv=2).fit(X, y)
        same = basic(NNClassifier, **STILL, initial_weights=search).fit(X, y)
        assert_allclose(same.predict_proba(X), search.predict_proba(X), atol=1e-5)

    def test_images(self):
        def net(n_inputs: int, n_outputs: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(n_inputs, 3, 2), nn.Flatten(), nn.Linear(12, n_outputs))

        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(60, 1, 3, 3)), rng.integers(0, 2, 60)
        source = basic(NNClassifier, **QUICK, network=net, preprocessing=None).fit(X, y)
        same = basic(NNClassifier, **STILL, network=net, preprocessing=None, initial_weights=source).fit(X, y)
        assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-5)

    def test_it_carries_on(self):
        """Few rows, and a network that knows the task from many."""
        X, y = load_breast_cancer(return_X_y=True)
        settings = {"hidden_layer_sizes": (16,), "random_state": 0, "max_epochs": 5}
        source = basic(NNClassifier, **{**settings, "max_epochs": 30}).fit(X[:300], y[:300])
        few, rest = slice(300, 330), slice(330, None)
        scores = [
            basic(NNClassifier, **settings, initial_weights=start).fit(X[few], y[few]).score(X[rest], y[rest])
            for start in (source, None)
        ]
        assert scores[0] > scores[1] + 0.05

    def test_the_source_is_left_alone(self):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK, n_members=2).fit(X, y)
        before = pickle.dumps(source)
        basic(NNClassifier, **QUICK, n_members=2, initial_weights=source).fit(X[:, :3], y).partial_fit(X[:, :3], y)
        assert pickle.dumps(source) == before


class TestFromTensors:
    @pytest.mark.parametrize("settings", [{"normalization": "batch"}, {"network": own_network}], ids=named)
    def test_by_name(self, settings):
        X, y = WINE
        source = basic(NNClassifier, **QUICK, **settings).fit(X, y)
        state = source.module_.state_dict()
        arrays = {name: value.numpy() for name, value in state.items()}
        for given in (source.module_, state, arrays):
            same = basic(NNClassifier, **STILL, **settings, frozen_layers="norm_*", initial_weights=given).fit(X, y)
            assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-5)

    def test_what_is_left_out_is_drawn(self):
        X, y = WINE
        state = basic(NNClassifier, **QUICK).fit(X, y).module_.state_dict()
        body = {name: value for name, value in state.items() if not name.startswith("output")}
        settings = {**STILL, "initializer": "orthogonal"}
        part, fresh = (basic(NNClassifier, **settings, initial_weights=given).fit(X, y % 2) for given in (body, None))
        for name, value in part.module_.state_dict().items():
            assert_allclose(value, body.get(name, fresh.module_.state_dict()[name]), atol=1e-9)

    @pytest.mark.parametrize("settings", [{}, {"network": own_network}], ids=named)
    def test_what_would_be_drawn_changes_nothing(self, settings):
        """The random streams of training are the member's, whatever it starts from."""
        X, y = WINE
        fresh = basic(NNClassifier, **QUICK, **settings).fit(X, y)
        first = next(name for name, _ in fresh.module_.named_parameters() if name.endswith("bias"))
        start = {} if settings else {first: np.zeros(8)}
        if settings:
            kept: dict[str, torch.Tensor] = {}

            def spied(n_inputs: int, n_outputs: int) -> nn.Module:
                module = own_network(n_inputs, n_outputs)
                kept.update({name: value.detach().clone() for name, value in module.state_dict().items()})
                return module

            basic(NNClassifier, **QUICK, network=spied).fit(X, y)
            start = kept
        assert_same_weights(basic(NNClassifier, **QUICK, **settings, initial_weights=start).fit(X, y), fresh)

    def test_a_module_of_members(self):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK, n_members=2).fit(X, y)
        same = basic(NNClassifier, **STILL, n_members=2, initial_weights=source.module_).fit(X, y)
        assert_allclose(same.predict_proba(X), source.predict_proba(X), atol=1e-5)

    def test_parameters_that_do_not_learn_and_tied_ones(self):
        class Tied(nn.Module):
            def __init__(self, n_inputs: int, n_outputs: int) -> None:
                super().__init__()
                self.first, self.second = nn.Linear(n_inputs, 5), nn.Linear(5, n_inputs)
                self.second.weight = nn.Parameter(torch.zeros(n_inputs, 5))
                self.last = nn.Linear(n_inputs, n_outputs)
                self.again = nn.Linear(n_inputs, n_outputs)
                self.again.weight = self.last.weight
                self.first.bias.requires_grad_(False)

            def forward(self, rows: torch.Tensor) -> torch.Tensor:
                rows = rows + self.second(torch.tanh(self.first(rows)))
                return self.last(rows) + self.again(rows)

        X, y = WINE
        source = basic(NNClassifier, **QUICK, network=Tied).fit(X, y)
        state = source.module_.state_dict()
        state["first.bias"] = torch.ones(5)
        tied = state.pop("last.weight")
        same = basic(NNClassifier, **STILL, network=Tied, initial_weights=state, frozen_layers=["again.weight"]).fit(
            X, y
        )
        drawn = {"initializer": "orthogonal", "initial_weights": state}
        again = basic(NNClassifier, **STILL, network=Tied, **drawn).fit(X, y)
        assert_allclose(again.module_.last.weight.detach(), tied, atol=1e-9)
        assert_array_equal(same.module_.first.bias.detach(), np.ones(5))
        assert_array_equal(same.module_.last.weight.detach(), tied)
        assert same.module_.last.weight is same.module_.again.weight

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"dense_0.wieght": np.ones((8, 4))}, r"Got dense_0\.wieght instead\. Did you mean 'dense_0\.weight'\?"),
            ({"dense_0.weight": np.ones((8, 5))}, r"Got dense_0\.weight of shape \(8, 5\) for \(8, 4\) instead"),
            ({}, "hold tensors of the network's names, which are dense_0.weight.*Got no tensor"),
            (nn.Linear(4, 3), "Got weight, bias instead"),
        ],
        ids=["a name", "a shape", "nothing", "a module"],
    )
    def test_what_does_not_fit(self, given, message):
        X, y = IRIS
        with pytest.raises(InvalidParameterError, match="The 'initial_weights' parameter must.*" + message):
            basic(NNClassifier, **QUICK, initial_weights=given).fit(X, y)


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"hidden_layer_sizes": (8, 7)}, r"dense_1\.weight of shape \(6, 8\) for \(7, 8\)"),
            ({"hidden_layer_sizes": (8,)}, "dense_1.weight, which this network has not"),
            ({"hidden_layer_sizes": (8, 6, 6)}, "no dense_2.weight"),
            ({"normalization": "layer"}, r"no norm_0\.weight"),
            ({"activation": "silu"}, r"Got one with ReLU\(\) for SiLU\(\) instead"),
        ],
        ids=named,
    )
    def test_another_network(self, settings, message):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK).fit(X, y)
        with pytest.raises(InvalidParameterError, match="hidden_layer_sizes, activation and.*" + message):
            basic(NNClassifier, **{**QUICK, **settings}, initial_weights=source).fit(X, y)

    def test_functions_are_told_apart(self):
        X, y = IRIS
        source = basic(NNClassifier, **QUICK, activation=torch.sin).fit(X, y)
        basic(NNClassifier, **STILL, activation=torch.sin, initial_weights=source).fit(X, y)
        with pytest.raises(InvalidParameterError, match="activation"):
            basic(NNClassifier, **STILL, activation=torch.cos, initial_weights=source).fit(X, y)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (basic(NNClassifier), "is not fitted.*FrozenEstimator"),
            (make_pipeline(StandardScaler(), basic(NNClassifier)), "is not fitted"),
            (LogisticRegression(), "has no network of this package"),
        ],
        ids=["not fitted", "a pipeline", "another kind"],
    )
    def test_an_estimator_that_is_no_source(self, value, message):
        with pytest.raises(InvalidParameterError, match=rf"(?s)The 'initial_weights' parameter must.*{message}"):
            basic(NNClassifier, **QUICK, initial_weights=value).fit(*IRIS)

    def test_itself(self):
        clf = basic(NNClassifier, **QUICK).fit(*IRIS)
        with pytest.raises(InvalidParameterError, match="warm_start=True"):
            clf.set_params(initial_weights=clf).fit(*IRIS)

    def test_a_users_network_with_other_columns_or_classes(self):
        X, y = IRIS
        settings = {**QUICK, "network": own_network}
        source = basic(NNClassifier, **settings).fit(pd.DataFrame(X, columns=list("abcd")), y)
        with pytest.raises(InvalidParameterError, match="other encoded columns instead"):
            basic(NNClassifier, **settings, initial_weights=source).fit(pd.DataFrame(X, columns=list("abdc")), y)
        with pytest.raises(InvalidParameterError, match="other classes or targets instead"):
            basic(NNClassifier, **settings, initial_weights=source).fit(pd.DataFrame(X, columns=list("abcd")), y + 1)

    def test_nothing_is_left_of_a_failure(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        before = clf.predict_proba(X)
        clf.set_params(initial_weights={"dense_9.weight": np.ones(3)})
        with pytest.raises(InvalidParameterError):
            clf.fit(X[:, :2], y)
        assert_array_equal(clf.predict_proba(X), before)


class TestAsAParameter:
    SOURCE = basic(NNClassifier, **QUICK).fit(*IRIS)

    def test_a_clone_shares_it(self):
        clf = basic(NNClassifier, **QUICK, initial_weights=self.SOURCE, optimizer=SGD())
        twin = clone(clone(clf))
        assert twin.initial_weights is self.SOURCE
        assert twin.optimizer is not clf.optimizer
        assert clf.initial_weights is self.SOURCE
        assert clone(make_pipeline(StandardScaler(), clf)).steps[1][1].initial_weights is self.SOURCE
        assert not hasattr(clone(clf.fit(*IRIS)), "module_")

    def test_a_clone_keeps_what_scikit_learn_keeps(self):
        clf = basic(NNClassifier, **QUICK, initial_weights=self.SOURCE)
        with config_context(enable_metadata_routing=True):
            clf.set_fit_request(sample_weight=True)
            assert clone(clf)._metadata_request.fit.requests["sample_weight"] is True

    def test_its_parameters_are_no_ones_of_the_estimators(self):
        clf = basic(NNClassifier, **QUICK, initial_weights=self.SOURCE)
        assert not [name for name in clf.get_params() if name.startswith("initial_weights__")]
        assert clf.get_params()["initial_weights"] is self.SOURCE
        with pytest.raises(ValueError, match="cannot be set here"):
            clf.set_params(initial_weights__dropout=0.5)
        assert self.SOURCE.dropout == 0.1

    @pytest.mark.parametrize("package", [plain, model_selection])
    def test_cross_validation_and_search_start_from_it(self, package):
        X, y = IRIS
        clf = basic(NNClassifier, **STILL, initial_weights=self.SOURCE)
        fitted = package.cross_validate(clf, X, y, cv=3, return_estimator=True)["estimator"]
        for one in fitted:
            assert np.abs(one.predict_proba(X) - self.SOURCE.predict_proba(X)).max() < 0.05
        grid = {"dropout": [0.0, 0.1]}
        search = package.GridSearchCV(make_pipeline(clf), {f"nnclassifier__{n}": v for n, v in grid.items()}, cv=3)
        best = search.fit(X, y).best_estimator_[-1]
        assert best.initial_weights is self.SOURCE
        assert_allclose(best.predict_proba(X), self.SOURCE.predict_proba(X), atol=1e-5)

    def test_a_grid_of_sources(self):
        X, y = IRIS
        grid = {"initial_weights": [None, FrozenEstimator(self.SOURCE), self.SOURCE.module_.state_dict()]}
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 1})
        found = [
            package.GridSearchCV(clf, grid, cv=3, error_score="raise", scoring="neg_log_loss").fit(X, y)
            for package in (plain, model_selection)
        ]
        scores = [search.cv_results_["mean_test_score"] for search in found]
        assert_array_equal(*scores)
        assert scores[0][1] > scores[0][0] + 0.1
        with pytest.raises(ValueError, match="FrozenEstimator"):
            plain.GridSearchCV(clf, {"initial_weights": [self.SOURCE]}, cv=2, error_score="raise").fit(X, y)

    def test_in_worker_processes(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, initial_weights=self.SOURCE)
        scores = [plain.cross_val_score(clf, X, y, cv=2, n_jobs=n, scoring="neg_log_loss") for n in (1, 2)]
        assert_array_equal(*scores)

    def test_pickled(self):
        clf = basic(NNClassifier, **QUICK, initial_weights=self.SOURCE).fit(*IRIS)
        again = pickle.loads(pickle.dumps(clf))
        assert_same_weights(again.fit(*IRIS), clf)

    def test_partial_fit_and_warm_start_take_it_once(self):
        X, y = IRIS
        first = basic(NNClassifier, **STILL, initial_weights=self.SOURCE).partial_fit(X, y)
        assert_allclose(first.predict_proba(X), self.SOURCE.predict_proba(X), atol=1e-5)
        first.set_params(learning_rate=0.05, schedule="constant")
        losses = first.partial_fit(X, y).partial_fit(X, y).loss_curve_
        assert losses[2] < losses[1]
        warm = basic(NNClassifier, **QUICK, warm_start=True, initial_weights=self.SOURCE).fit(X, y)
        assert warm.loss_curve_[-1] > warm.fit(X, y).loss_curve_[0] - 0.02 > 0


FROZEN = {
    "a layer": ("dense_0", {"dense_0.weight", "dense_0.bias"}),
    "a pattern": (["dense_*"], {"dense_0.weight", "dense_0.bias", "dense_1.weight", "dense_1.bias"}),
    "a parameter": (("output.bias",), {"output.bias"}),
    "the first": (1, {"dense_0.weight", "dense_0.bias", "norm_0.weight", "norm_0.bias", "norm_0.running_mean",
                      "norm_0.running_var"}),
    "none": (0, set()),
    "normalisation": ("norm_1", {"norm_1.weight", "norm_1.bias", "norm_1.running_mean", "norm_1.running_var"}),
    "statistics": ("norm_0.running_*", {"norm_0.running_mean", "norm_0.running_var"}),
}  # fmt: skip


class TestLayers:
    @pytest.mark.parametrize("network", ["mlp", own_network], ids=["mlp", "own"])
    @pytest.mark.parametrize(("value", "kept"), FROZEN.values(), ids=FROZEN.keys())
    @pytest.mark.parametrize(
        "settings",
        [{}, {"weight_averaging": "ema"}, {"regularization": L1(0.1) + L2(0.1), "weight_decay": 0.5}],
        ids=["plain", "averaged", "penalties"],
    )
    def test_frozen_ones_stay_to_the_bit(self, value, kept, settings, network):
        X, y = WINE
        settings = {**QUICK, "normalization": "batch", "network": network, **settings}
        source = basic(NNClassifier, **settings).fit(X, y)
        after = basic(NNClassifier, **settings, initial_weights=source, frozen_layers=value).fit(X, y)
        first, second = source.module_.state_dict(), after.module_.state_dict()
        same = {name for name in first if torch.equal(first[name], second[name]) and "num_batches" not in name}
        assert kept <= same
        if "weight_averaging" in settings:  # statistics are then taken anew, on the same rows
            same = {name for name in same if "running" not in name or name in kept}
        assert same == kept

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_frozen_normalisation_is_torchs_in_eval_mode(self, optimizer):
        """Hand-written layers against autograd through a module whose normalisation is in eval mode."""

        class Eval(nn.Module):
            def __init__(self, n_inputs: int, n_outputs: int) -> None:
                super().__init__()
                for name, layer in own_network(n_inputs, n_outputs).named_children():
                    self.add_module(name, layer)
                self.norm_0.requires_grad_(False)

            def forward(self, rows: torch.Tensor) -> torch.Tensor:
                for name, layer in self.named_children():
                    rows = layer.eval()(rows) if name == "norm_0" else layer(rows)
                return rows

        X, y = WINE
        settings = {
            **QUICK, "activation": "silu", "dropout": 0.0, "optimizer": optimizer, "precision": "float64",
            "batch_size": 50,
        }  # fmt: skip
        state = basic(NNClassifier, **settings, normalization="batch").fit(X, y).module_.state_dict()
        given = {**settings, "initial_weights": state, "random_state": 3}
        ours = basic(NNClassifier, **given, normalization="batch", frozen_layers="norm_0").fit(X, y)
        module = basic(NNClassifier, **given, network=own_network, frozen_layers="norm_0").fit(X, y)
        torchs = basic(NNClassifier, **given, network=Eval).fit(X, y)
        batches = basic(NNClassifier, **given, normalization="batch").fit(X, y)
        for other in (module, torchs):
            assert_allclose(ours._raw_scores(X), other._raw_scores(X), rtol=1e-5, atol=1e-6)
        assert np.abs(ours._raw_scores(X) - batches._raw_scores(X)).max() > 1e-3

    @pytest.mark.parametrize("network", ["mlp", own_network], ids=["mlp", "own"])
    @pytest.mark.parametrize(
        ("rates", "expected"),
        [
            ({"dense_0": 0.1}, {"dense_0": 0.1}),
            ({"dense_*": 0.5, "dense_1.bias": 2.0, "output": 0.0}, {"dense_0": 0.5, "dense_1.weight": 0.5,
                                                                    "dense_1.bias": 2.0, "output": 0.0}),
            ({"*": 0.5, "dense_0": 1}, {"dense_1": 0.5, "output": 0.5, "norm": 0.5}),
            (0.5, {"dense_0": 0.25, "norm_0": 0.25, "dense_1": 0.5, "norm_1": 0.5}),
            ({"dense_0": 6, "*.bias": 0.1}, {"dense_0.weight": 6.0, "dense_0.bias": 0.1, "dense_1.bias": 0.1,
                                             "norm_0.bias": 0.1, "norm_1.bias": 0.1, "output.bias": 0.1}),
            (2, {"dense_0": 4.0, "norm_0": 4.0, "dense_1": 2.0, "norm_1": 2.0}),
        ],
        ids=["one", "several", "the last counts", "by depth", "faster", "faster by depth"],
    )  # fmt: skip
    def test_rates_scale_the_step(self, network, rates, expected):
        X, y = WINE
        settings = {
            **QUICK, "network": network, "normalization": "batch", "dropout": 0.0, "optimizer": "sgd",
            "gradient_clipping": None, "max_epochs": 1, "batch_size": 10**6, "schedule": "constant",
            "precision": "float64",
        }  # fmt: skip
        start = basic(NNClassifier, **settings).fit(X, y).module_.state_dict()
        plainly, slower = (
            basic(NNClassifier, **settings, initial_weights=start, layer_rates=own).fit(X, y).module_
            for own in (None, rates)
        )
        for name, value in slower.named_parameters():
            factor = next((own for part, own in expected.items() if name.startswith(part)), 1.0)
            step = plainly.get_parameter(name).detach() - start[name]
            assert step.abs().max() > 0 or name in ("dense_0.bias", "dense_1.bias")  # before normalisation
            assert_allclose(value.detach() - start[name], factor * step, atol=1e-12)

    def test_depth_of_a_module_of_ones_own(self):
        X, y = WINE
        one, other = (
            basic(NNClassifier, **QUICK, network=own_network, frozen_layers=value).fit(X, y)
            for value in (2, ["dense_?", "norm_?"])
        )
        assert_same_weights(one, other)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"frozen_layers": 3}, "'frozen_layers' parameter must be at most 2.* Got 3"),
            ({"frozen_layers": "*"}, "must leave a layer to train, of dense_0, dense_1, output. Got"),
            ({"frozen_layers": "dropout_0"}, "must name layers or parameters of the network, such as 'dense_0'"),
            ({"frozen_layers": ["dense_0", "ouptut"]}, r"Got 'ouptut' instead. Did you mean 'output'\?"),
            ({"layer_rates": {"dense_0.wieght": 0.1}}, r"'layer_rates'.*Did you mean 'dense_0.weight'\?"),
            ({"layer_rates": {"*": 0}}, "'layer_rates' parameter must leave a layer to train"),
            ({"layer_rates": {"dense_0": -0.5}}, "numbers from 0 on. Got"),
        ],
        ids=named,
    )
    def test_refusals(self, settings, message):
        with pytest.raises(InvalidParameterError, match=message):
            basic(NNClassifier, **QUICK, **settings).fit(*IRIS)

    def test_gradual_unfreezing(self):
        """Layer by layer from the top, with one state of the optimizer."""
        X, y = WINE
        clf = basic(NNClassifier, **QUICK, warm_start=True, frozen_layers=2).fit(X, y)
        start = basic(NNClassifier, **{**STILL, "random_state": 0}).fit(X, y).module_.state_dict()
        for frozen in (1, None):
            before = clf.module_.state_dict()
            for name in ("dense_0.weight", "dense_1.weight"):
                if name.startswith("dense_0") or frozen == 1:
                    assert_allclose(before[name], start[name], atol=1e-9)
            clf.set_params(frozen_layers=frozen).fit(X, y)
        assert (clf.module_.dense_0.weight.detach() - start["dense_0.weight"]).abs().max() > 1e-3


class TestInLockstep:
    """The same bits alone and in any company."""

    GRID = {
        "frozen_layers": [None, 1, "dense_1", ["dense_0", "output.bias"]],
        "layer_rates": [None, 0.5, {"dense_0": 0.1}, {"dense_0": 6.0}],
        "learning_rate": [0.003, 0.03],
    }

    @pytest.mark.parametrize(
        "settings",
        [{}, {"normalization": "batch", "weight_averaging": "ema"}, {"n_members": 2, "mixup": 0.3}],
        ids=["plain", "normalised", "members"],
    )
    def test_a_search_gives_scikit_learns_figures(self, settings):
        X, y = WINE
        settings = {**QUICK, "max_epochs": 3, "batch_size": 50, **settings}
        source = basic(NNClassifier, **settings).fit(X[::2], y[::2])
        clf = basic(NNClassifier, **settings, initial_weights=source)
        found = [
            package.GridSearchCV(clf, self.GRID, cv=2, scoring="neg_log_loss", error_score="raise").fit(X, y)
            for package in (plain, model_selection)
        ]
        for fold in range(2):
            name = f"split{fold}_test_score"
            assert_array_equal(found[0].cv_results_[name], found[1].cv_results_[name])
        assert len(set(found[0].cv_results_["mean_test_score"])) == 24  # a frozen layer has no rate
        assert_same_weights(*(search.best_estimator_ for search in found)) if "n_members" not in settings else None

    def test_members_with_and_without_initial_weights_share_a_cohort(self):
        X, y = WINE
        source = basic(NNClassifier, **QUICK).fit(X, y)
        grid = {"initial_weights": [None, FrozenEstimator(source)], "learning_rate": [0.01, 0.02]}
        with lockstep(n_jobs=1) as sweep:
            plain.GridSearchCV(basic(NNClassifier, **QUICK), grid, cv=3, refit=False).fit(X, y)
        assert sweep.cohort_sizes == [12]


GOING_ON = {
    "ema": {"weight_averaging": "ema"},
    "swa": {"weight_averaging": "swa"},
    "mixup": {"mixup": 0.4},
    "dropout": {"dropout": Scheduled(0.4, "linear")},
    "weight decay": {"weight_decay": Scheduled(0.1, "linear")},
    "all": {"weight_averaging": "ema", "mixup": 0.4, "dropout": Scheduled(0.4, "linear"), "normalization": "batch",
            "n_members": 2},
    "a module": {"weight_averaging": "ema", "mixup": 0.4, "network": own_network, "frozen_layers": "norm_0"},
    "frozen": {"frozen_layers": "norm_0", "normalization": "batch", "weight_averaging": "swa"},
    "rates": {"layer_rates": 0.5, "weight_averaging": "ema"},
}  # fmt: skip
each_way = pytest.mark.parametrize("settings", GOING_ON.values(), ids=GOING_ON.keys())


class TestGoingOn:
    """``partial_fit`` and ``warm_start`` keep the state of what came after the optimizers."""

    @each_way
    def test_calls_are_epochs_to_the_bit(self, settings):
        X, y = WINE
        whole = basic(NNClassifier, **QUICK, batch_size=50, **settings).fit(X, y)
        steps = clone(whole)
        for call in range(8):
            steps.partial_fit(X, y)
            if call == 3:
                steps = pickle.loads(pickle.dumps(steps))
        assert_same_weights(steps, whole)
        assert steps.loss_curve_ == whole.loss_curve_

    @pytest.mark.parametrize("name", ["ema", "mixup", "rates", "a module"])
    def test_two_constant_fits_are_one_of_twice_the_epochs(self, name):
        X, y = WINE
        settings = {**QUICK, "batch_size": 50, "schedule": "constant", **GOING_ON[name]}
        twice = basic(NNClassifier, **settings, warm_start=True).fit(X, y).fit(X, y)
        assert_same_weights(twice, basic(NNClassifier, **{**settings, "max_epochs": 16}).fit(X, y))

    def test_the_average_goes_on_from_where_it_was(self):
        X, y = WINE
        clf = basic(NNClassifier, **QUICK, weight_averaging="ema").partial_fit(X, y).partial_fit(X, y)
        kept = clf._progress[0]
        average = kept.state["averaging.average"].clone()
        assert not torch.equal(kept.parameters, average)
        clf.set_params(learning_rate=1e-12, weight_decay=0.0).partial_fit(X, y)
        now = clf._progress[0].state["averaging.average"]
        nearer = [(value - kept.parameters).norm() for value in (average, now)]
        assert 0 < nearer[1] < nearer[0]

    def test_techniques_may_change_between_calls(self):
        X, y = WINE
        off = {"weight_averaging": None, "mixup": 0.0, "frozen_layers": None, "layer_rates": None}
        ways = [{}, {"weight_averaging": "ema"}, {"weight_averaging": "swa"}, {"mixup": 0.3}, {"frozen_layers": 1},
                {"layer_rates": 0.5}]  # fmt: skip
        clf = basic(NNClassifier, **QUICK)
        for way in [*ways, *ways[::-1]]:
            clf.set_params(**{**off, **way}).partial_fit(X, y)
        assert np.isfinite(clf.loss_curve_).all()
        assert clf.loss_curve_[-1] < clf.loss_curve_[0]
