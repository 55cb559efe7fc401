"""Initializers that look at the network or at training rows: what they make of a module, and of a member's start."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
import torch
from support import basic
from test_independence import CPU, assert_independent, assert_same, draw_jobs
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from sknnopt import NNClassifier, NNRegressor, initializers
from sknnopt.data.batches import Table
from sknnopt.engine import Job, train
from sknnopt.initializers import LSUV, DataDependent, HullBias, Initializer, Normal, Orthogonal, ZeroOutput
from sknnopt.nn import MLP, CustomNetwork, ScaledLinear

ADAPTED = ["lsuv", "data_dependent", "zero_output", "hull_bias"]
LOOKING = ["lsuv", "data_dependent", "hull_bias"]
STILL = {"learning_rate": 1e-12, "max_epochs": 1, "dropout": 0.0, "random_state": 0}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def perceptron(*sizes: int, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_inputs, n_outputs in pairwise(sizes):
        layers += [nn.Linear(n_inputs, n_outputs), *([nn.BatchNorm1d(n_outputs)] if norm else []), nn.ReLU()]
    return filled(nn.Sequential(*layers[: -2 if norm else -1]))


def filled(module: nn.Module) -> nn.Module:
    generator = seeded()
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, 0.1, 0.2 if parameter.ndim == 1 else 2.0, generator=generator)
    return module


def outputs_of(module: nn.Module, rows: Tensor, *, bias: bool = True) -> list[Tensor]:
    """The output of each linear layer, in the order in which they are reached."""
    out: list[Tensor] = []
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)

    def note(layer: nn.Module, given: object, output: Tensor) -> None:
        shift = 0 if bias or layer.bias is None else layer.bias.view(-1, *[1] * (layer.weight.ndim - 2))
        out.append((output - shift).detach())

    handles = [layer.register_forward_hook(note) for layer in module.modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        module(rows)
    for handle in handles:
        handle.remove()
    return out


def unbiased(module: nn.Module, rows: Tensor) -> list[Tensor]:
    return outputs_of(module, rows, bias=False)


def adapted(initializer: Initializer, module: nn.Module, rows: Tensor) -> nn.Module:
    with torch.no_grad():
        initializer.adapt(module, rows, seeded())
    assert not any(layer._forward_hooks for layer in module.modules())
    return module


ROWS = torch.randn(200, 6, generator=seeded(), dtype=torch.float64) * 5 + 2


class Residual(nn.Module):
    """Layers reached in another order than they are made in, one of them twice, by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.twice, self.first = nn.Linear(8, 2), nn.Linear(8, 8, bias=False), nn.Linear(6, 8)
        self.unused = nn.Linear(3, 3)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = self.first(input=rows)
        hidden = hidden + self.twice(hidden.tanh())
        return self.out(hidden + self.twice(hidden.tanh()))


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 8, 3))

    def forward(self, rows: Tensor) -> Tensor:
        return self.body((rows[:, :, None] * torch.arange(1, 5))[:, None])


class TestLSUV:
    @pytest.mark.parametrize("norm", [False, True])
    def test_every_layer_has_unit_variance(self, norm):
        module = adapted(LSUV(), perceptron(6, 40, 30, 2, norm=norm), ROWS)
        assert [out.var(unbiased=False).item() for out in unbiased(module, ROWS)] == pytest.approx([1] * 3)

    def test_it_scales_each_weight_by_one_number_and_leaves_biases(self):
        module = perceptron(6, 40, 2)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        for name, value in adapted(LSUV(), module, ROWS).state_dict().items():
            ratio = value / before[name]
            torch.testing.assert_close(ratio, ratio.flatten()[0].expand_as(ratio))
            assert (ratio.flatten()[0] == 1) == name.endswith("bias")

    @pytest.mark.parametrize("make", [Residual, Images])
    def test_any_module(self, make):
        module = filled(make())
        found = unbiased(adapted(LSUV(), module, ROWS), ROWS)
        if make is Residual:
            del found[2]  # its second turn, on other rows
        assert [out.var(unbiased=False).item() for out in found] == pytest.approx([1] * len(found))


class TestDataDependent:
    @pytest.mark.parametrize("norm", [False, True])
    def test_every_unit_has_mean_0_and_variance_1(self, norm):
        module = adapted(DataDependent(), perceptron(6, 40, 30, 2, norm=norm), ROWS)
        for out in outputs_of(module, ROWS):
            torch.testing.assert_close(out.mean(0), torch.zeros_like(out[0]))
            torch.testing.assert_close(out.var(0, unbiased=False), torch.ones_like(out[0]))

    def test_channels_of_a_convolution_are_units(self):
        out = outputs_of(adapted(DataDependent(), filled(Images()), ROWS), ROWS)[0].movedim(1, 0).flatten(1)
        assert out.shape[0] == 5
        torch.testing.assert_close(out.mean(1), torch.zeros_like(out[:, 0]))
        torch.testing.assert_close(out.var(1, unbiased=False), torch.ones_like(out[:, 0]))

    def test_without_bias_it_scales_alone_and_a_layer_is_adapted_once(self):
        out = outputs_of(adapted(DataDependent(), filled(Residual()), ROWS), ROWS)
        torch.testing.assert_close(out[1].var(0, unbiased=False), torch.ones_like(out[1][0]))
        assert (out[1].mean(0).abs() > 1e-3).all()
        torch.testing.assert_close(out[3].var(0, unbiased=False), torch.ones_like(out[3][0]))

    def test_it_is_weight_normalisations_start(self):
        """Equations 5 and 6: g = 1 / std(t), b = -mean(t) / std(t) of t = v x / |v|."""
        module = perceptron(6, 4)
        v = module[0].weight.detach().clone()
        t = ROWS @ (v / v.norm(dim=1, keepdim=True)).T
        std = t.std(0, unbiased=False)
        adapted(DataDependent(), module, ROWS)
        torch.testing.assert_close(module[0].weight.detach(), v / v.norm(dim=1, keepdim=True) / std[:, None])
        torch.testing.assert_close(module[0].bias.detach(), -t.mean(0) / std)


class TestHullBias:
    @pytest.mark.parametrize("n_points", [1, 5])
    @pytest.mark.parametrize("scaled", [False, True])
    def test_biases_are_minus_w_times_points_of_the_hull(self, n_points, scaled):
        """The same draws, put to what goes into each layer instead of what comes out."""
        module = perceptron(6, 40, 30, 2)
        if scaled:
            for place in (0, 2, 4):
                layer = module[place]
                module[place] = ScaledLinear(layer.in_features, layer.out_features).double()
                module[place].load_state_dict(layer.state_dict())
        before = [layer.weight.clone() for layer in module[::2]]
        adapted(HullBias(n_points=n_points), module, ROWS)
        generator, inputs = seeded(), ROWS
        for layer, weight in zip(module[::2], before, strict=True):
            assert torch.equal(layer.weight, weight)
            weight = weight / np.sqrt(layer.in_features) if scaled else weight
            chosen = inputs[torch.randint(200, (len(weight), n_points), generator=generator)]
            shares = torch.empty(chosen.shape[:2], dtype=torch.float64).exponential_(generator=generator)
            points = ((shares / shares.sum(1, keepdim=True))[..., None] * chosen).sum(1)
            torch.testing.assert_close(layer.bias.detach(), -(weight * points).sum(1))
            inputs = (inputs @ weight.T + layer.bias).detach().relu()

    def test_points_are_uniform_in_the_simplex(self):
        """Shares of k points, uniform in the simplex, have squares that sum to 2 / (k + 1) in the mean."""
        for n_points in (1, 2, 5):
            module = nn.Sequential(nn.Linear(1, 40_000)).double()
            nn.init.ones_(module[0].weight)
            rows = torch.randn(400, 1, generator=seeded(), dtype=torch.float64)
            found = adapted(HullBias(n_points=n_points), module, rows)[0].bias.var().item()
            assert found == pytest.approx(rows.var().item() * 2 / (n_points + 1), rel=0.03)

    @pytest.mark.parametrize("make", [Residual, Images])
    def test_any_module(self, make):
        for out in outputs_of(adapted(HullBias(), filled(make()), ROWS), ROWS)[:1]:
            units = out.movedim(1, 0).flatten(1)
            assert (units.min(1).values < 0).all()
            assert (units.max(1).values > 0).all()

    def test_a_frozen_bias_is_left_alone(self):
        module = perceptron(6, 9, 2)
        module[0].bias.requires_grad_(False)
        before = module[0].bias.clone()
        assert torch.equal(adapted(HullBias(), module, ROWS)[0].bias, before)

    @pytest.mark.parametrize("network", ["mlp", "resnet"])
    def test_units_of_a_fitted_network_change_sign_among_the_rows(self, network):
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((90, 4)) + 9, rng.integers(0, 3, 90)
        settings = {**STILL, "network": network, "preprocessing": None}
        changing = []
        for initializer in (HullBias(base="ntk", n_points=2), "ntk"):
            clf = basic(NNClassifier, initializer=initializer, **settings).fit(X, y)
            out = outputs_of(clf.module_, torch.from_numpy(X.astype(np.float32)))[0]
            changing.append(((out > 0).any(0) & (out < 0).any(0)).float().mean().item())
        assert changing[0] > 0.97
        assert changing[1] < 0.7


class TestDegenerate:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("name", ["lsuv", "data_dependent"])
    def test_units_that_do_not_vary_stay_as_drawn(self, name, dtype):
        module = perceptron(3, 5, 2).to(dtype)
        with torch.no_grad():
            module[0].weight[0] = 0.0
            module[0].weight[1] = torch.tensor([1e4 * torch.finfo(dtype).eps, 1.7, 0.0])  # varies by rounding alone
        before = module[0].weight[:2].detach().clone(), module[0].bias[:2].detach().clone()
        rows = torch.randn(50, 3, generator=seeded(), dtype=dtype)
        rows[:, 1] = 12345.678
        adapted(initializers.get(name), module, rows)
        assert all(value.isfinite().all() for value in module.parameters())
        if name == "data_dependent":
            assert torch.equal(module[0].weight[:2], before[0])
            assert torch.equal(module[0].bias[:2], before[1])
        assert all(out.abs().max() < 1e6 for out in outputs_of(module, rows))

    @pytest.mark.parametrize("rows", [torch.zeros(20, 6), torch.full((20, 6), 3.3), torch.randn(1, 6)])
    @pytest.mark.parametrize("name", ADAPTED)
    def test_constant_rows_and_a_single_one(self, name, rows):
        module = adapted(initializers.get(name), perceptron(6, 9, 1), rows.double())
        assert all(value.isfinite().all() for value in module.parameters())
        assert module[0].weight.abs().max() < 1e3

    def test_all_zeros_stay(self):
        for name in ADAPTED:
            module = perceptron(6, 9, 1)
            nn.init.zeros_(module[0].weight)
            assert (adapted(initializers.get(name), module, ROWS)[0].weight == 0).all()

    @pytest.mark.parametrize("name", LOOKING)
    def test_frozen_and_computed_weights_are_left_alone(self, name):
        module = perceptron(6, 9, 9, 2)
        module[0].requires_grad_(False)
        parametrizations.weight_norm(module[2])
        before = {key: value.clone() for key, value in module.state_dict().items()}
        after = adapted(initializers.get(name), module, ROWS).state_dict()
        changed = {key for key, value in after.items() if not torch.equal(value, before[key])}
        assert changed <= {"4.weight", "4.bias"}
        assert ("4.bias" if name == "hull_bias" else "4.weight") in changed


class TestZeroOutput:
    def test_the_last_layer_that_rows_reach_is_zero(self):
        module = filled(Residual())
        before = module.twice.weight.clone()
        adapted(ZeroOutput(), module, ROWS)
        assert (module.out.weight == 0).all()
        assert (module.out.bias == 0).all()
        assert torch.equal(module.twice.weight, before)
        assert (module.unused.weight != 0).all()

    @pytest.mark.parametrize("module", [nn.Tanh(), nn.Sequential(nn.Linear(6, 2).requires_grad_(False))])
    def test_no_such_layer(self, module):
        with pytest.raises(ValueError, match=r"ZeroOutput.* found no output layer"):
            adapted(ZeroOutput(), module.double(), ROWS)

    def test_the_first_prediction_is_the_mean(self):
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((90, 4)), rng.integers(0, 3, 90)
        reg = basic(NNRegressor, initializer="zero_output", **STILL).fit(X, y * 7.0)
        np.testing.assert_allclose(reg.predict(X), np.full(90, (y * 7.0).mean()), rtol=1e-6)
        clf = basic(NNClassifier, initializer="zero_output", **STILL).fit(X, y)
        np.testing.assert_allclose(clf.predict_proba(X), np.full((90, 3), 1 / 3), rtol=1e-6)
        assert all((layer.weight != 0).all() for layer in clf.module_[:-1] if isinstance(layer, nn.Linear))

    def test_on_a_base_that_adapts(self):
        module = perceptron(6, 30, 20, 2)
        plain = adapted(LSUV(), perceptron(6, 30, 20, 2), ROWS)
        adapted(ZeroOutput(base=LSUV()), module, ROWS)
        for place in (0, 2):
            assert torch.equal(module[place].weight, plain[place].weight)
        assert (module[4].weight == 0).all()
        assert ZeroOutput(base=LSUV(n_rows=77)).n_rows == 77
        assert ZeroOutput().n_rows == 1

    def test_a_base_sees_no_more_rows_than_it_wants(self):
        seen = []

        class Looking(Normal):
            n_rows = 3

            def adapt(self, module, rows, generator):
                seen.append(len(rows))

        adapted(LSUV(base=Looking()), perceptron(6, 5, 2), ROWS)
        adapted(DataDependent(base=Looking(), n_rows=2), perceptron(6, 5, 2), ROWS[:2])
        assert seen == [3, 2]


class Looking(Orthogonal):
    """Notes the rows it is given."""

    n_rows = 20

    def __init__(self):
        self.rows = []
        self.modules = []

    def adapt(self, module, rows, generator):
        self.rows.append(rows.clone())
        self.modules.append(module)


def jobs_of(name: str, members: int = 3, **fixed) -> list[Job]:
    jobs = draw_jobs(77, members, hidden=(33, 9), drops=[True, False], **fixed)
    one = initializers.get(name)
    return [replace(job, techniques=replace(job.techniques, initializer=one)) for job in jobs]


def begin(job: Job) -> Job:
    """The same job, of which training leaves the start."""
    techniques = replace(job.techniques, learning_rate=0.0, weight_decay=0.0, regularization=None)
    return replace(job, techniques=techniques, epochs=1, validation=None)


def start_of(job: Job) -> Tensor:
    return train([begin(job)])[0].parameters


class TestMembers:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("normalization", [None, "batch", "layer"])
    @pytest.mark.parametrize("name", ADAPTED)
    def test_same_bits_in_any_cohort(self, name, normalization, dtype):
        assert_independent(jobs_of(name, normalization=normalization, dtype=dtype))

    @pytest.mark.parametrize("name", LOOKING)
    def test_every_member_looks_at_rows_of_its_own(self, name):
        one, other = jobs_of(name, 2, task="regression", loss="squared_error", sparse=False)
        other = replace(other, seed=one.seed, table=one.table, rows=one.rows)
        assert torch.equal(start_of(one), start_of(other))
        fewer = replace(other, rows=other.rows[: len(other.rows) // 2])
        assert not torch.equal(start_of(one), start_of(fewer))
        assert not torch.equal(start_of(one), start_of(replace(one, seed=np.random.SeedSequence(5))))

    @pytest.mark.parametrize("name", LOOKING)
    def test_withheld_rows_do_not_matter(self, name):
        job = jobs_of(name, 1, sparse=False, dtype=torch.float64)[0]
        wild = job.table.inputs.clone()
        others = np.setdiff1d(np.arange(len(wild)), job.rows)
        assert len(others) > 0
        wild[others] = 1e9
        assert torch.equal(start_of(job), start_of(replace(job, table=replace(job.table, inputs=wild))))
        wild[job.rows[::2]] *= 3
        assert not torch.equal(start_of(job), start_of(replace(job, table=replace(job.table, inputs=wild))))

    @pytest.mark.parametrize("name", LOOKING)
    def test_a_sparse_table_is_the_dense_one(self, name):
        job = jobs_of(name, 1, sparse=True)[0]
        dense = Table(torch.from_numpy(job.table.inputs.toarray()), job.table.target, job.table.weight)
        assert torch.equal(start_of(job), start_of(replace(job, table=dense)))

    @pytest.mark.parametrize("name", ADAPTED)
    def test_the_same_where_autograd_looks_on(self, name):
        """An observer keeps a cohort out of inference mode."""

        class Nobody:
            def train_begin(self, module, judged):
                pass

            epoch_begin = train_end = lambda self: None

            def epoch_end(self, record, output):
                return False

        job = jobs_of(name, 1)[0]
        assert_same(train([job])[0], train([replace(job, observer=Nobody())])[0])

    def test_rows_are_the_members_own_and_as_many_as_are_wanted(self):
        looking = Looking()
        job = jobs_of("orthogonal", 1, sparse=False, normalization="batch", network="mlp")[0]
        rows = np.arange(30, 90)
        job = replace(job, rows=rows, techniques=replace(job.techniques, initializer=looking))
        start_of(job)
        start_of(replace(job, rows=rows[:5]))
        start_of(replace(job, rows=rows[:1]))
        assert [len(given) for given in looking.rows] == [20, 5, 1]
        table = job.table.inputs
        for given, own in zip(looking.rows, (rows, rows[:5], rows[:1]), strict=True):
            places = [[i for i in own if torch.equal(table[i], row)] for row in given]
            assert all(len(found) == 1 for found in places)
            assert len({found[0] for found in places}) == len(given)
        assert looking.rows[0].tolist() != table[rows[:20]].tolist(), "not the first ones"
        first, _, single = looking.modules
        assert [layer.training for layer in first if isinstance(layer, nn.BatchNorm1d)] == [True, True]
        assert not any(layer.training for layer in single.modules())
        assert not any(layer.training for layer in first if isinstance(layer, nn.Dropout))

    def test_statistics_stay_neutral(self):
        job = jobs_of("lsuv", 1, normalization="batch", sparse=False)[0]
        plain = replace(job, techniques=replace(job.techniques, initializer=Orthogonal()))
        from sknnopt._random import MemberRandom
        from sknnopt.engine._start import start

        begins = [start(one, MemberRandom(one.seed, CPU)) for one in (job, plain)]
        assert torch.equal(begins[0].buffers, begins[1].buffers)
        assert not torch.equal(begins[0].parameters, begins[1].parameters)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("name", ADAPTED)
    def test_the_built_in_network_has_what_was_promised(self, name, dtype):
        rng = np.random.default_rng(0)
        inputs = torch.from_numpy(rng.standard_normal((300, 12))).to(dtype)
        job = jobs_of(name, 1, dtype=dtype, task="regression", loss="squared_error", sparse=False, weighted=False)[0]
        network = MLP(12, (40, 20), 2, job.network.activation, None, (0.3, 0.3))
        table = Table(inputs, torch.zeros(300, 2, dtype=dtype))
        job = replace(job, network=network, table=table, rows=np.arange(300))
        views = network.layout.single(start_of(replace(job, techniques=replace(job.techniques, dropout=(0.3, 0.3)))))
        first = inputs @ views["dense_0.weight"].T + views["dense_0.bias"]
        if name == "lsuv":
            assert first.var(unbiased=False).item() == pytest.approx(1, abs=1e-4)
        elif name == "data_dependent":
            torch.testing.assert_close(first.mean(0), torch.zeros_like(first[0]), atol=1e-5, rtol=0)
            torch.testing.assert_close(first.var(0, unbiased=False), torch.ones_like(first[0]), atol=1e-4, rtol=0)
        elif name == "hull_bias":
            assert ((first > 0).any(0) & (first < 0).any(0)).all()
            assert (views["dense_1.bias"] != 0).all()
            assert (views["output.bias"] != 0).all()
        else:
            assert (views["output.weight"] == 0).all()
            assert (views["dense_1.weight"] != 0).all()


class Odd(nn.Module):
    """Draws from torch's global generator unless it is in eval mode, and has statistics and a frozen layer."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.first, self.norm, self.out = nn.Linear(n_inputs, 9), nn.BatchNorm1d(9), nn.Linear(9, n_outputs)
        self.frozen = nn.Linear(9, 9).requires_grad_(False)

    def forward(self, rows):
        hidden = self.frozen(self.norm(self.first(rows)))
        return self.out(nn.functional.dropout(hidden.relu(), 0.5, self.training))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", ADAPTED)
def test_a_users_network(name, precision):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((120, 7)), rng.standard_normal(120)
    settings = {**STILL, "network": Odd, "precision": precision, "preprocessing": None}
    first, second = (basic(NNRegressor, initializer=name, **settings).fit(X, y) for _ in range(2))
    assert torch.equal(first.module_.first.weight, second.module_.first.weight)
    rows = torch.from_numpy(X.astype(precision))
    out = outputs_of(first.module_, rows)[0]
    if name == "lsuv":
        assert unbiased(first.module_, rows)[0].var(unbiased=False).item() == pytest.approx(1, abs=1e-3)
    elif name == "data_dependent":
        torch.testing.assert_close(out.var(0, unbiased=False), torch.ones_like(out[0]), atol=1e-4, rtol=0)
    elif name == "hull_bias":
        assert ((out > 0).any(0) & (out < 0).any(0)).all()
    else:
        np.testing.assert_allclose(first.predict(X), y.mean(), atol=1e-6)
        assert (first.module_.first.weight != 0).all()


def test_a_users_module_that_was_built_is_left_alone():
    module = Odd(4, 1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    X = np.random.default_rng(0).standard_normal((50, 4))
    basic(NNRegressor, network=module, initializer="lsuv", max_epochs=2, random_state=0).fit(X, X[:, 0])
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_rows_without_a_layer_to_adapt_are_no_error():
    class Scale(nn.Module):
        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(n_inputs, n_outputs))

        def forward(self, rows):
            return rows @ self.scale

    X = np.random.default_rng(0).standard_normal((50, 4))
    basic(NNRegressor, network=Scale, initializer="data_dependent", max_epochs=2, random_state=0).fit(X, X[:, 0])


def test_training_goes_on_from_where_it_was_and_not_from_a_new_start():
    X = np.random.default_rng(0).standard_normal((50, 4))
    reg = basic(NNRegressor, initializer="lsuv", **STILL).partial_fit(X, X[:, 0])
    before = reg.predict(X)
    np.testing.assert_allclose(reg.partial_fit(X * 3, X[:, 0]).predict(X), before, rtol=1e-5)


def test_sparse_rows_and_sweeps_of_the_base():
    from sklearn.model_selection import GridSearchCV

    rng = np.random.default_rng(0)
    X = scipy.sparse.random(80, 6, 0.3, "csr", random_state=0)
    y = rng.integers(0, 2, 80)
    clf = basic(NNClassifier, initializer="lsuv", hidden_layer_sizes=(8,), max_epochs=2, random_state=0)
    grid = {"initializer__base": ["orthogonal", "sparse", Normal(std=0.1)], "initializer__n_rows": [10, 100]}
    search = GridSearchCV(clf, grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 6


def test_a_module_that_does_not_stack_is_adapted_too():
    job = jobs_of("data_dependent", 1, task="classification", n_features=7, sparse=False, dtype=torch.float32)[0]
    table = job.table
    module = Odd(7, job.network.n_outputs)
    out = train([replace(begin(job), network=CustomNetwork(module, job.network.n_outputs))])[0]
    first = table.inputs[job.rows] @ out.parameters[: 9 * 7].view(9, 7).T
    torch.testing.assert_close(first.var(0, unbiased=False), torch.ones(9), atol=1e-3, rtol=0)
