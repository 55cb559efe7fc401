"""Regularisers that look at layers, state or noise: against their definitions, scipy, autograd, and members alone."""

import itertools
import math
import pickle

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from support import basic
from torch import nn

from sknnopt import NNClassifier, regularization
from sknnopt._compat import InvalidParameterError
from sknnopt._layout import Layout, padded
from sknnopt._random import MemberRandom
from sknnopt.model_selection import GridSearchCV
from sknnopt.optimizers import SAM
from sknnopt.regularization import (
    L1,
    L2,
    DropConnect,
    ElasticNet,
    GradientCentralization,
    GradientNoise,
    GroupLasso,
    InputNoise,
    MaxNorm,
    Orthogonality,
    SpectralNorm,
    StochasticDepth,
    WeightNoise,
)

CPU = torch.device("cpu")
SHAPES = {"first": (5, 7), "second": (9, 5), "third": (3, 4, 5), "last": (1, 3), "single": (6, 1)}
LAYOUT = Layout(SHAPES.items(), [("bias", (5,))])
LAYERED = [L1, L2, ElasticNet, GroupLasso, MaxNorm, SpectralNorm, Orthogonality, WeightNoise, DropConnect]
DTYPES = [torch.float32, torch.float64]
NUMBER = {"MaxNorm": "limit", "SpectralNorm": "limit", "WeightNoise": "std", "DropConnect": "rate"}


def everything():
    """The sum of every technique, those of a choice twice."""
    total = GroupLasso(groups="units") + WeightNoise(relative=True)
    for name in regularization.names():
        total = total + regularization.get(name)
    return total


ALL = {name: regularization.REGISTRY[name] for name in regularization.names()} | {
    "units": lambda: GroupLasso(groups="units"),
    "relative": lambda: WeightNoise(relative=True),
    "everything": everything,
}


def randoms(members, seed=0):
    return [MemberRandom(np.random.SeedSequence([seed, k]), CPU) for k in range(members)]


def draw(members=3, dtype=torch.float64, seed=0, layout=LAYOUT):
    """Weights (K, W) with zeros in the padding."""
    flat = torch.zeros(members, layout.weight_size, dtype=dtype)
    generator = torch.Generator().manual_seed(seed)
    for block in layout.blocks.values():
        if block.is_weight:
            values = torch.randn(members, block.size, generator=generator, dtype=torch.float64)
            flat[:, block.offset : block.offset + block.size] = values.to(dtype)
    return flat


def spread(value, layout, dtype):
    """A member's number, (1,), or its layers' numbers, (W,), as the engine gives them."""
    if not isinstance(value, tuple):
        return torch.tensor([value], dtype=dtype)
    row = torch.zeros(layout.weight_size, dtype=dtype)
    for number, block in zip(value, (b for b in layout.blocks.values() if b.is_weight), strict=True):
        row[block.offset : block.offset + block.size] = number
    return row


def hyper(members, dtype=torch.float64, step=1, layout=LAYOUT):
    rows = []
    for member in members:
        own = {name: spread(value, layout, dtype) for name, value in member.strengths().items()}
        later = member.coefficients(np.array([float(step)]))
        rows.append(own | {name: torch.tensor(value, dtype=dtype) for name, value in later.items()})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def bound(technique, weights, layout=LAYOUT):
    return technique.bind(layout, technique.start(weights, layout))


def pieces(flat, layout=LAYOUT):
    """Every member's matrices, [k][name] -> (outputs, inputs)."""
    return [
        {
            block.name: row[block.offset : block.offset + block.size].view(block.shape[0], -1)
            for block in layout.blocks.values()
            if block.is_weight
        }
        for row in flat
    ]


def padding(flat, layout=LAYOUT):
    gaps = torch.ones(flat.shape[1], dtype=torch.bool)
    for block in layout.blocks.values():
        gaps[block.offset : block.offset + block.size] = False
    return flat[:, gaps]


class TestGroupLasso:
    def test_proximal_minimises_its_definition(self):
        weights, members = draw(), [GroupLasso(s) for s in (0.3, 1.0, 2.0)]
        rate = torch.tensor([[0.5], [1.0], [0.7]], dtype=torch.float64)
        moved = weights.clone()
        bound(members[0], weights).proximal(moved, hyper(members), rate)
        zeros = 0
        for k, (before, after) in enumerate(zip(pieces(weights), pieces(moved), strict=True)):
            threshold = rate[k].item() * members[k].strength * math.sqrt(5)
            for j in range(7):
                v = before["first"][:, j].numpy()
                best = minimize(
                    lambda u, v=v, t=threshold: 0.5 * ((u - v) ** 2).sum() + t * np.linalg.norm(u), v, tol=1e-12
                )
                np.testing.assert_allclose(after["first"][:, j], best.x, atol=1e-4)
                zeros += bool((after["first"][:, j] == 0).all())
            assert all(torch.equal(before[name], after[name]) for name in list(SHAPES)[1:])
        assert 0 < zeros < 21

    def test_units_are_the_columns_of_all_layers_but_the_first(self):
        weights, members = draw(), [GroupLasso(0.5, groups="units")] * 3
        moved = weights.clone()
        bound(members[0], weights).proximal(moved, hyper(members), torch.full((3, 1), 0.4, dtype=torch.float64))
        for before, after in zip(pieces(weights), pieces(moved), strict=True):
            assert torch.equal(before["first"], after["first"])
            for name in list(SHAPES)[1:]:
                norms = before[name].norm(dim=0)
                factor = (1 - 0.2 * math.sqrt(len(before[name])) / norms).clamp(min=0)
                torch.testing.assert_close(after[name], before[name] * factor)

    def test_penalty_is_its_closed_form_and_no_part_of_it_is_smooth(self):
        weights, members = draw(), [GroupLasso((0.1 * k, 9, 9, 9, 9)) for k in range(3)]
        value = bound(members[0], weights).penalty(weights, hyper(members))
        expected = [0.1 * k * math.sqrt(5) * own["first"].norm(dim=0).sum() for k, own in enumerate(pieces(weights))]
        torch.testing.assert_close(value, torch.stack(expected))
        assert not members[0].has("gradient")
        assert (bound(members[0], weights).smooth_penalty(weights, hyper(members)) == 0).all()

    @pytest.mark.parametrize("strength", [0.0, 1.0])
    def test_columns_of_zeros_stay(self, strength):
        weights, members = torch.zeros(3, LAYOUT.weight_size), [GroupLasso(strength)] * 3
        bound(members[0], weights).proximal(weights, hyper(members, torch.float32), torch.ones(3, 1))
        assert (weights == 0).all()


class TestMaxNorm:
    def test_projects_on_the_nearest_point(self):
        weights, members = draw(), [MaxNorm(c) for c in (0.5, 1.5, 2.5)]
        moved, technique = weights.clone(), bound(members[0], weights)
        technique.project(moved, hyper(members))
        inside = 0
        for member, before, after in zip(members, pieces(weights), pieces(moved), strict=True):
            for name in SHAPES:
                for v, w in zip(before[name], after[name], strict=True):
                    inside += torch.equal(v, w)
                    limit = {"type": "ineq", "fun": lambda u, c=member.limit: c**2 - (u**2).sum()}
                    start = v.numpy() * min(1, 0.9 * member.limit / v.norm().item())
                    best = minimize(lambda u, v=v: ((u - v.numpy()) ** 2).sum(), start, constraints=[limit], tol=1e-12)
                    np.testing.assert_allclose(w, best.x, atol=1e-4)
        assert 0 < inside < 3 * 24
        again = moved.clone()
        technique.project(again, hyper(members))
        torch.testing.assert_close(again, moved, rtol=1e-15, atol=0)

    def test_infinity_holds_nothing(self):
        weights, members = draw(), [MaxNorm((0.1, math.inf, 0.1, math.inf, math.inf))] * 3
        moved = weights.clone()
        bound(members[0], weights).project(moved, hyper(members))
        for before, after in zip(pieces(weights), pieces(moved), strict=True):
            assert torch.equal(before["second"], after["second"])
            assert (after["first"].norm(dim=1) < 0.1001).all()


def largest(matrix):
    return torch.linalg.matrix_norm(matrix.detach().flatten(1), ord=2).item()


class TestSpectralNorm:
    def test_holds_after_some_steps(self):
        weights, members = draw(), [SpectralNorm(c) for c in (0.5, 1.5, 100)]
        moved, technique = weights.clone(), bound(members[0], weights)
        for _ in range(200):
            technique.project(moved, hyper(members))
        for member, before, after in zip(members, pieces(weights), pieces(moved), strict=True):
            for name in SHAPES:
                assert largest(after[name]) <= member.limit * 1.001
                assert largest(before[name]) <= member.limit or largest(after[name]) >= member.limit * 0.99
        assert torch.equal(moved[2], weights[2])
        again = moved.clone()
        technique.project(again, hyper(members))
        torch.testing.assert_close(again, moved, rtol=1e-3, atol=1e-4)

    def test_a_value_a_little_too_large_is_clipped_and_the_others_stay(self):
        """As in the nearest matrix within the limit."""
        layout = Layout([("only", (6, 4))], [])
        weights = draw(1, layout=layout)
        matrix = pieces(weights, layout)[0]["only"]
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        matrix.copy_(left @ torch.diag(torch.tensor([1.9, 1.0, 0.9, 0.3], dtype=torch.float64)) @ right)
        technique = bound(SpectralNorm(2.0), weights, layout)
        for _ in range(100):
            technique.project(weights, hyper([SpectralNorm(2.0)]))
        matrix.copy_(left @ torch.diag(torch.tensor([2.08, 1.0, 0.9, 0.3], dtype=torch.float64)) @ right)
        technique.project(weights, hyper([SpectralNorm(2.0)]))
        values = torch.tensor([2.0, 1.0, 0.9, 0.3], dtype=torch.float64)
        torch.testing.assert_close(matrix, left @ torch.diag(values) @ right, atol=2e-3, rtol=0)

    @pytest.mark.parametrize("before", [0.0, 2.0])
    def test_finds_a_new_largest_value_in_rows_and_columns_of_their_own(self, before):
        """A power iteration that only goes on would stay where it is, or at zero, for ever."""
        layout = Layout([("only", (4, 4))], [])
        weights = torch.zeros(1, layout.weight_size)
        matrix, member = pieces(weights, layout)[0]["only"], SpectralNorm(3.0)
        technique, numbers = bound(member, weights, layout), hyper([member], torch.float32)
        matrix[0, 0] = before
        for _ in range(30):
            technique.project(weights, numbers)
        assert matrix[0, 0] == before
        matrix[1, 1] = 50.0
        for _ in range(30):
            technique.project(weights, numbers)
        assert largest(matrix) == pytest.approx(3.0, rel=1e-2)

    def test_the_first_vectors_are_the_same_for_all(self):
        technique = SpectralNorm()
        one, three = (technique.start(draw(k), LAYOUT) for k in (1, 3))
        assert one.keys() == {"right", "_kick"}
        for name in one:
            assert torch.equal(three[name], one[name].expand(3, -1))


def deviation(matrices):
    """The squared distance of all ``W W^T``, or ``W^T W``, from identity."""
    sides = [w @ w.T if len(w) <= w.shape[1] else w.T @ w for w in matrices.values()]
    return sum((side - torch.eye(len(side), dtype=side.dtype)).square().sum() for side in sides)


class TestOrthogonality:
    def test_gradient_is_that_of_its_penalty(self):
        members = [Orthogonality(s) for s in (0.5, 0.0, 2.0)]
        weights, leaf = draw(), draw().requires_grad_()
        technique = bound(members[0], weights)
        value = technique.penalty(weights, hyper(members))
        expected = torch.stack(
            [one.strength * deviation(own) / 4 for one, own in zip(members, pieces(leaf), strict=True)]
        )
        torch.testing.assert_close(value, expected.detach())
        (slope,) = torch.autograd.grad(expected.sum(), leaf)
        out = torch.ones_like(weights)
        technique.gradient(weights, hyper(members), out)
        torch.testing.assert_close(out, 1 + slope)
        assert torch.equal(technique.smooth_penalty(weights, hyper(members)), value)

    def test_orthogonal_weights_have_none(self):
        weights = draw()
        for own in pieces(weights):
            for matrix in own.values():
                nn.init.orthogonal_(matrix)
        out = torch.zeros_like(weights)
        bound(Orthogonality(), weights).gradient(weights, hyper([Orthogonality()] * 3), out)
        assert out.abs().max() < 1e-12

    def test_each_layer_its_own(self):
        weights, out = draw(), torch.zeros(3, LAYOUT.weight_size, dtype=torch.float64)
        members = [Orthogonality((0.0, 1.0, 0.0, 0.0, 0.0))] * 3
        bound(members[0], weights).gradient(weights, hyper(members), out)
        for own in pieces(out):
            assert [bool((slope != 0).any()) for slope in own.values()] == [False, True, False, False, False]


class TestNoise:
    def test_inputs(self):
        member, rows = [InputNoise(0.5), InputNoise(0.0), InputNoise(2.0)], torch.zeros(3, 500, 24)[..., :20]
        technique = bound(member[0], draw())
        technique.inputs(rows, hyper(member, torch.float32), randoms(3))
        assert (rows[1] == 0).all()
        for k, std in ((0, 0.5), (2, 2.0)):
            assert rows[k].mean().item() == pytest.approx(0, abs=4 * std / 100)
            assert rows[k].std().item() == pytest.approx(std, rel=0.05)
        first = rows[0].clone()
        technique.inputs(rows, hyper(member, torch.float32), randoms(3, seed=1))
        assert rows[0].std().item() == pytest.approx(0.5 * math.sqrt(2), rel=0.05)
        assert not torch.equal(rows[0], 2 * first)

    @pytest.mark.parametrize("relative", [False, True])
    def test_weights(self, relative):
        layout = Layout([("first", (90, 99)), ("last", (40, 90))], [])
        members = [WeightNoise(s, relative=relative) for s in ((0.5, 0.0), (0.1, 0.2), (1.0, 1.0))]
        weights = draw(layout=layout)
        technique, numbers = bound(members[0], weights, layout), hyper(members, layout=layout)
        technique.draw(numbers, randoms(3))
        noisy, again = weights.clone(), weights.clone()
        technique.forward(noisy, numbers)
        technique.forward(again, numbers)
        assert torch.equal(noisy, again)
        assert (padding(noisy, layout) == 0).all()
        for member, before, after in zip(members, pieces(weights, layout), pieces(noisy, layout), strict=True):
            for std, name in zip(member.std, before, strict=True):
                moved = after[name] - before[name]
                noise = moved / before[name] if relative else moved
                assert noise.mean().item() == pytest.approx(0, abs=4 * std / math.sqrt(noise.numel()) + 1e-12)
                assert noise.std().item() == pytest.approx(std, rel=0.05)
        technique.draw(numbers, randoms(3, seed=1))
        technique.forward(again.copy_(weights), numbers)
        assert not torch.equal(noisy, again)

    def test_drop_connect(self):
        layout = Layout([("first", (90, 99)), ("last", (40, 90))], [])
        members = [DropConnect(rate) for rate in ((0.5, 0.0), (0.1, 0.2), (0.9, 0.3))]
        weights = draw(layout=layout)
        technique, numbers = bound(members[0], weights, layout), hyper(members, layout=layout)
        technique.draw(numbers, randoms(3))
        masked = weights.clone()
        technique.forward(masked, numbers)
        for member, before, after in zip(members, pieces(weights, layout), pieces(masked, layout), strict=True):
            for rate, name in zip(member.rate, before, strict=True):
                stays = after[name] != 0
                error = 4 * math.sqrt(rate * (1 - rate) / stays.numel()) + 1e-12
                assert 1 - stays.double().mean().item() == pytest.approx(rate, abs=error)
                torch.testing.assert_close(after[name][stays], before[name][stays] / (1 - rate), rtol=1e-4, atol=0)

    @pytest.mark.parametrize("member", [DropConnect(0.4), WeightNoise(0.3), WeightNoise(0.3, relative=True)], ids=repr)
    def test_gradient_is_autograds_through_the_changed_weights(self, member):
        weights, numbers = draw(), hyper([member] * 3)
        technique = bound(member, weights)
        technique.draw(numbers, randoms(3))
        if isinstance(member, DropConnect):
            factor, shift = technique.state["_mask"], 0.0
        elif member.relative:
            factor, shift = technique.state["_noise"], 0.0
        else:
            factor, shift = torch.ones_like(weights), technique.state["_noise"]

        def loss(changed):
            return torch.tanh(changed).square().sum()

        leaf = weights.clone().requires_grad_()
        (expected,) = torch.autograd.grad(loss(leaf * factor + shift), leaf)
        changed = weights.clone()
        technique.forward(changed, numbers)
        changed.requires_grad_()
        (slope,) = torch.autograd.grad(loss(changed), changed)
        if technique.has("backward"):
            technique.backward(slope, numbers)
        torch.testing.assert_close(slope, expected)
        assert not torch.equal(changed, weights)

    def test_on_gradients(self):
        layout = Layout([("first", (90, 99)), ("last", (40, 90))], [])
        members = [GradientNoise(eta, gamma=gamma) for eta, gamma in ((1.0, 0.5), (0.01, 0.5), (1.0, 0.0))]
        weights = draw(layout=layout)
        technique = bound(members[0], weights, layout)
        for step in (1, 16):
            numbers, out = hyper(members, step=step, layout=layout), torch.zeros_like(weights)
            technique.draw(numbers, randoms(3))
            technique.gradient(weights, numbers, out)
            assert (padding(out, layout) == 0).all()
            for member, row in zip(members, out, strict=True):
                std = math.sqrt(member.eta / step**member.gamma)
                assert row[row != 0].std().item() == pytest.approx(std, rel=0.03)
            leaf = weights.clone().requires_grad_()
            (slope,) = torch.autograd.grad(technique.smooth_penalty(leaf, numbers).sum(), leaf)
            torch.testing.assert_close(slope, out)


class TestGradientCentralization:
    def test_takes_the_mean_of_each_row(self):
        gradient = draw()
        before = gradient.clone()
        bound(GradientCentralization(), gradient).gradient(draw(seed=1), {}, gradient)
        for old, new in zip(pieces(before), pieces(gradient), strict=True):
            assert torch.equal(old["single"], new["single"])
            for name in list(SHAPES)[:-1]:
                torch.testing.assert_close(new[name], old[name] - old[name].mean(1, keepdim=True))

    def test_acts_on_what_comes_before_it_in_a_sum(self):
        weights = draw()
        for total, centred in ((L2(1.0) + GradientCentralization(), True), (GradientCentralization() + L2(1.0), False)):
            out = torch.zeros_like(weights)
            bound(total, weights).gradient(weights, hyper([total] * 3), out)
            assert (pieces(out)[0]["first"].mean(1).abs().max() < 1e-12) == centred


def one_step(technique, weights, gradients, numbers, random):
    """All that the engine calls in a step, and some rows for its noise."""
    rows = torch.ones(len(weights), 33, 13, dtype=weights.dtype)
    learning_rate = torch.full((len(weights), 1), 0.1, dtype=weights.dtype)
    if technique.has("draw"):
        technique.draw(numbers, random)
    technique.inputs(rows, numbers, random)
    changed, slopes = weights.clone(), gradients.clone()
    technique.forward(changed, numbers)
    technique.backward(slopes, numbers)
    technique.gradient(weights, numbers, slopes)
    weights.sub_(slopes, alpha=0.1)
    technique.proximal(weights, numbers, learning_rate)
    technique.project(weights, numbers)
    return rows, changed, slopes, technique.penalty(weights, numbers), technique.smooth_penalty(weights, numbers)


def shapes_of(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 3, 7, 16, 31, 32, 33, 64, 100, 130], 6)
    return Layout([(str(i), (int(n), int(m))) for i, (n, m) in enumerate(itertools.pairwise(sizes))], [])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_same_bits_alone_and_padding_stays_zero(name, dtype):
    for seed in range(4):
        layout, technique = shapes_of(seed), ALL[name]()
        weights, gradients = (draw(5, dtype, seed=s, layout=layout) for s in (seed, seed + 10))
        random, together = randoms(5), bound(technique, weights, layout)
        alone = [bound(technique, weights[k : k + 1], layout) for k in range(5)]
        own, own_random = [weights[k : k + 1].clone() for k in range(5)], randoms(5)
        for step in (1, 2, 3):
            numbers = hyper([technique] * 5, dtype, step, layout)
            everyone = one_step(together, weights, gradients, numbers, random)
            assert (padding(weights, layout) == 0).all()
            assert (padding(everyone[1], layout) == 0).all()
            assert (padding(everyone[2], layout) == 0).all()
            for k in range(5):
                one = {n: x[k : k + 1] for n, x in numbers.items()}
                single = one_step(alone[k], own[k], gradients[k : k + 1], one, own_random[k : k + 1])
                assert all(torch.equal(a[0], b[k]) for a, b in zip(single, everyone, strict=True))
                assert torch.equal(own[k][0], weights[k])


@pytest.mark.parametrize("name", sorted({*ALL} - {"everything", "stochastic_depth"}))
def test_a_sum_does_what_its_terms_do(name):
    """Also beside others of the same kind, each with a state of its own."""
    term, quiet = ALL[name](), DropConnect(0.0) + WeightNoise(0.0) + SpectralNorm(1e9)
    total = quiet + term
    weights, gradients = draw(), draw(seed=1)
    results = []
    for technique in (term, total):
        moved, state = weights.clone(), bound(technique, weights)
        results.append([moved])
        for step in (1, 2):
            random = randoms(3, seed=step)
            numbers = hyper([technique] * 3, step=step)
            if technique is total:  # spend what the others do not use up
                random = [Stream(own) for own in random]
            results[-1] += one_step(state, moved, gradients, numbers, random)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


class Stream(MemberRandom):
    """One that fills what DropConnect(0) and WeightNoise(0) draw first from elsewhere."""

    def __init__(self, own):
        self._own, self._others = own, MemberRandom(np.random.SeedSequence(9), CPU)
        self._bits_left = self._normal_left = 1

    def fill_bits(self, out):
        (self._others if self._bits_left > 0 else self._own).fill_bits(out)
        self._bits_left -= 1

    def fill_normal(self, out):
        (self._others if self._normal_left > 0 else self._own).fill_normal(out)
        self._normal_left -= 1


def test_scratch_of_a_sum_is_scratch():
    state = everything().start(draw(), LAYOUT)
    kept = {name for name in state if not name.startswith("_")}
    assert len(kept) == 1
    assert kept.pop().endswith("_right")
    assert all(len(value) == 3 for value in state.values())


class TestNumbers:
    @pytest.mark.parametrize("make", LAYERED)
    @pytest.mark.parametrize(
        "value", [0.25, np.float32(0.25), np.float64(0.25), (0.25, 0.5), [0.25, 0.5], np.array([0.25, 0.5], np.float32)]
    )
    def test_one_or_several(self, make, value):
        technique = regularization.get(make(value))
        assert clone(technique).strengths() == technique.strengths()
        wanted = make(tuple(value) if np.iterable(value) else float(value)).strengths()
        assert technique.strengths() == wanted
        for number in wanted.values():
            assert isinstance(number, tuple) == np.iterable(value)
            assert all(type(one) is float for one in (number if np.iterable(value) else (number,)))

    @pytest.mark.parametrize("make", LAYERED)
    @pytest.mark.parametrize(
        "value", [-1.0, math.nan, "0.1", (), (0.1, -0.1), (0.1, math.nan), ("0.1",), [[0.1], [0.2]], None]
    )
    def test_bad_ones_are_refused(self, make, value):
        with pytest.raises(InvalidParameterError, match=f"parameter of {make.__name__} must be"):
            regularization.get(make(value))

    @pytest.mark.parametrize("make", LAYERED)
    def test_as_many_as_layers(self, make):
        number = NUMBER.get(make.__name__, "strength")
        for fine in (make(0.1), make((0.1, 0.2)), L2() + make((0.1, 0.2))):
            fine.check_layers(2)
        for bad in (make((0.1, 0.2, 0.3)), make((0.1,)) + L1()):
            with pytest.raises(InvalidParameterError, match=rf"'{number}' parameter of {make.__name__} .* network's 2"):
                bad.check_layers(2)

    @pytest.mark.parametrize("make", [L1, L2, ElasticNet])
    def test_each_layer_its_own(self, make):
        weights, rate = draw(), torch.full((3, 1), 0.1, dtype=torch.float64)
        strengths = (0.5, 0.0, 2.0, 1.0, 0.1)
        moved, slopes = weights.clone(), torch.zeros_like(weights)
        layered = make(strengths)
        layered.proximal(moved, hyper([layered] * 3), rate)
        layered.gradient(weights, hyper([layered] * 3), slopes)
        total = 0.0
        for name, strength in zip(SHAPES, strengths, strict=True):
            part = make(strength)
            numbers = hyper([part] * 3)
            after, slope = weights.clone(), torch.zeros_like(weights)
            part.proximal(after, numbers, rate)
            part.gradient(weights, numbers, slope)
            alone = torch.zeros_like(weights)
            for k in range(3):
                assert torch.equal(pieces(moved)[k][name], pieces(after)[k][name])
                assert torch.equal(pieces(slopes)[k][name], pieces(slope)[k][name])
                pieces(alone)[k][name].copy_(pieces(weights)[k][name])
            total = total + part.penalty(alone, numbers)
        torch.testing.assert_close(layered.penalty(weights, hyper([layered] * 3)), total)

    @pytest.mark.parametrize(
        "bad",
        [
            GroupLasso(groups="columns"), WeightNoise(relative="yes"), InputNoise(-1.0), InputNoise((0.1, 0.2)),
            GradientNoise(-1.0), GradientNoise(gamma=-1.0), StochasticDepth(1.0), DropConnect(1.0), MaxNorm(0.0),
            SpectralNorm(0),
        ],
        ids=repr,
    )  # fmt: skip
    def test_other_parameters_are_checked(self, bad):
        with pytest.raises(InvalidParameterError, match=f"parameter of {type(bad).__name__} must be"):
            regularization.get(L1() + bad)

    def test_structure_keeps_choices_apart_and_numbers_together(self):
        for one, other in (
            (GroupLasso(), GroupLasso(groups="units")), (WeightNoise(), WeightNoise(relative=True)),
            (StochasticDepth(), StochasticDepth(0.0)), (MaxNorm(1.0), MaxNorm((1.0, 1.0))),
        ):  # fmt: skip
            assert one.structure() != other.structure()
        for one, other in (
            (GroupLasso(1), GroupLasso(2)), (MaxNorm(1), MaxNorm(2)), (SpectralNorm(1), SpectralNorm(2)),
            (Orthogonality(1), Orthogonality(2)), (InputNoise(1), InputNoise(2)), (WeightNoise(1), WeightNoise(2)),
            (DropConnect(0), DropConnect(0.5)), (GradientNoise(1, gamma=1), GradientNoise(2, gamma=2)),
            (StochasticDepth(0.1), StochasticDepth(0.2)), (MaxNorm((1.0, 2.0)), MaxNorm((3.0, 4.0))),
        ):  # fmt: skip
            assert one.structure() == other.structure()


class TestNetworks:
    def test_units_need_hidden_layers(self):
        GroupLasso(groups="units").check_layers(2)
        with pytest.raises(InvalidParameterError, match=r"'groups' parameter of GroupLasso must be 'inputs'.*'units'"):
            GroupLasso(groups="units").check_layers(1)

    def test_stochastic_depth_needs_residual_blocks(self):
        total = StochasticDepth(0.5) + L2() + StochasticDepth(0.2)
        assert total.depth_rate == pytest.approx(0.6)
        total.check_layers(5, residuals=True)
        for bad in (total, StochasticDepth()):
            with pytest.raises(InvalidParameterError, match=r"StochasticDepth\(.*\).* residual blocks"):
                bad.check_layers(5)
        for fine in (StochasticDepth(0.0), L2()):
            fine.check_layers(5)


X, Y = load_breast_cancer(return_X_y=True)
QUICK = {"hidden_layer_sizes": (16, 8), "max_epochs": 20, "batch_size": 64, "learning_rate": 0.01, "random_state": 0}
LONG = {"optimizer": "nesterov", "learning_rate": 0.1, "max_epochs": 40}
FITTED = {name: ALL[name] for name in sorted({*ALL} - {"everything", "stochastic_depth"})} | {
    "max_norm": lambda: MaxNorm(0.1),
    "spectral_norm": lambda: SpectralNorm(0.1),
    "sum": lambda: L1(0.01) + SpectralNorm(0.5) + DropConnect() + WeightNoise() + InputNoise() + GradientNoise(),
}
"""Those that need no residual blocks, with limits that are felt."""


def fit(technique, **settings):
    return basic(NNClassifier, **{**QUICK, "regularization": technique, **settings}).fit(X, Y)


def matrices_of(network):
    return [value.detach() for name, value in network.module_.named_parameters() if value.ndim >= 2]


def vector(network):
    return torch.cat([value.detach().flatten() for value in network.module_.parameters()])


class TestEstimator:
    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    @pytest.mark.parametrize("technique", FITTED.values(), ids=FITTED)
    def test_recorded_norms_are_those_of_the_weights_alone(self, technique, optimizer):
        """Between the weights of layers lie floats that belong to none."""
        network = fit(technique(), optimizer=optimizer, max_epochs=2)
        assert network.history_[-1]["weight_norm"] == pytest.approx(vector(network).norm().item(), rel=1e-5)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_group_lasso_drops_whole_inputs(self, precision):
        network = fit(GroupLasso(0.1), precision=precision, **LONG)
        first = network.module_[0].weight.detach()
        dropped = (first == 0).all(0)
        assert 3 < dropped.sum() < 20
        assert torch.equal((first == 0).any(0), dropped)
        rows = torch.from_numpy(network.preprocessor_.transform(X))
        changed = torch.where(dropped, rows + 100, rows)
        torch.testing.assert_close(network.module_(changed), network.module_(rows), rtol=0, atol=0)
        assert network.score(X, Y) > 0.95
        assert (fit(None, **LONG).module_[0].weight != 0).all()

    def test_group_lasso_drops_whole_units(self):
        first, *later = matrices_of(fit(GroupLasso(0.1, groups="units"), **LONG))
        assert (first != 0).all()
        for weight in later:
            dropped = (weight == 0).all(0)
            assert 0 < dropped.sum() < weight.shape[1]
            assert torch.equal((weight == 0).any(0), dropped)

    def test_max_norm_holds_for_an_average_that_sam_steps(self):
        """Such an optimizer limits its weights itself, before it averages them."""
        network = fit(MaxNorm(0.5), optimizer=SAM("schedule_free_sgd"), learning_rate=0.5)
        assert max(w.norm(dim=1).max().item() for w in matrices_of(network)) <= 0.5 * (1 + 1e-6)

    def test_max_norm_holds(self):
        norms = [w.norm(dim=1).max().item() for w in matrices_of(fit(MaxNorm(0.5)))]
        assert norms == pytest.approx([0.5] * 3, rel=1e-6)
        free = [w.norm(dim=1).max().item() for w in matrices_of(fit(None))]
        assert min(free) > 0.7
        first, *later = (w.norm(dim=1).max().item() for w in matrices_of(fit(MaxNorm((0.5, math.inf, math.inf)))))
        assert first <= 0.5 * (1 + 1e-6)
        assert min(later) > 0.7

    @pytest.mark.parametrize("optimizer", ["adam", "nesterov"])
    def test_spectral_norm_holds(self, optimizer):
        free = [largest(w) for w in matrices_of(fit(None, optimizer=optimizer, schedule="cosine"))]
        held = fit(SpectralNorm(1.0), optimizer=optimizer, schedule="cosine")
        assert min(free) > 1.1
        assert [largest(w) for w in matrices_of(held)] == pytest.approx([1.0] * 3, rel=0.03)
        assert held.score(X, Y) > 0.9

    def test_a_tight_spectral_norm_keeps_more_than_one_singular_value(self):
        values = torch.linalg.svdvals(matrices_of(fit(SpectralNorm(1.0), schedule="cosine", weight_decay=0.01))[0])
        assert values.square().sum() / values[0].square() > 6.5

    def test_orthogonality_pulls_towards_orthogonal_rows(self):
        def distance(network):
            w = matrices_of(network)[0]
            return (w @ w.T - torch.eye(len(w))).norm().item()

        assert distance(fit(Orthogonality(10.0))) < 0.2 * distance(fit(None))

    def test_gradient_centralization_keeps_the_rows_sums(self):
        settings = {"optimizer": "nesterov", "weight_decay": 0.0}
        start, end = (fit(GradientCentralization(), max_epochs=n, **settings) for n in (1, 20))
        for before, after in zip(matrices_of(start), matrices_of(end), strict=True):
            torch.testing.assert_close(before.sum(1), after.sum(1), atol=1e-4, rtol=0)
            assert (before - after).norm() > 0.1

    @pytest.mark.parametrize(
        "weak", [InputNoise(0.01), WeightNoise(1e-3), DropConnect(0.01), GradientNoise(1e-6)], ids=repr
    )
    def test_noise_makes_the_training_loss_worse_and_predictions_are_without(self, weak):
        strong = {InputNoise: InputNoise(3.0), WeightNoise: WeightNoise(0.5), DropConnect: DropConnect(0.6),
                  GradientNoise: GradientNoise(10.0, gamma=0.0)}[type(weak)]  # fmt: skip
        losses = [fit(r).loss_curve_[-1] for r in (None, weak, strong)]
        assert losses[1] == pytest.approx(losses[0], rel=0.2)
        assert losses[2] > 1.5 * losses[1]
        network = fit(weak)
        np.testing.assert_array_equal(network.predict_proba(X), network.predict_proba(X))
        assert network.score(X, Y) > 0.95

    @pytest.mark.parametrize(
        ("parameter", "one", "other"),
        [
            ("strength", GroupLasso(0.01), GroupLasso(0.1)), ("groups", GroupLasso(), GroupLasso(groups="units")),
            ("limit", MaxNorm(0.5), MaxNorm(0.6)), ("limit", SpectralNorm(0.5), SpectralNorm(0.6)),
            ("strength", Orthogonality(0.1), Orthogonality(0.2)), ("std", InputNoise(0.1), InputNoise(0.2)),
            ("std", WeightNoise(0.1), WeightNoise(0.2)), ("relative", WeightNoise(), WeightNoise(relative=True)),
            ("rate", DropConnect(0.1), DropConnect(0.2)), ("eta", GradientNoise(0.01), GradientNoise(0.02)),
            ("gamma", GradientNoise(gamma=0.5), GradientNoise(gamma=0.6)),
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )  # fmt: skip
    def test_no_dead_knob(self, parameter, one, other):
        assert one.get_params()[parameter] != other.get_params()[parameter]
        first, second = (fit(r, max_epochs=2) for r in (one, other))
        assert not torch.equal(vector(first), vector(second))
        assert torch.equal(vector(first), vector(fit(clone(one), max_epochs=2)))

    @pytest.mark.parametrize("name", ALL)
    def test_clone_pickle_and_repr(self, name):
        technique = ALL[name]()
        other = pickle.loads(pickle.dumps(clone(technique)))
        assert repr(other) == repr(technique)
        assert other.structure() == technique.structure()
        assert eval(repr(technique), vars(regularization)).strengths() == technique.strengths()

    @pytest.mark.parametrize("name", FITTED)
    def test_partial_fit_goes_on_to_the_bit(self, name):
        settings = {**QUICK, "max_epochs": 3, "early_stopping": False}
        whole = basic(NNClassifier, regularization=FITTED[name](), **settings).fit(X[:200], Y[:200])
        steps = clone(whole)
        for _ in range(3):
            steps.partial_fit(X[:200], Y[:200])
        assert torch.equal(vector(whole), vector(steps))
        assert not torch.equal(vector(whole), vector(basic(NNClassifier, **settings).fit(X[:200], Y[:200])))

    @pytest.mark.parametrize("name", FITTED)
    def test_networks_of_ones_own_with_more_axes(self, name):
        def network(n_inputs, n_outputs):
            return nn.Sequential(
                nn.Unflatten(1, (3, n_inputs // 3)), nn.Conv1d(3, 4, 5), nn.ReLU(), nn.Flatten(),
                nn.Linear(4 * (n_inputs // 3 - 4), n_outputs),
            )  # fmt: skip

        fitted = fit(FITTED[name](), network=network, max_epochs=2)
        assert np.isfinite(fitted.loss_curve_).all()
        plain = fit(None, network=network, max_epochs=2)
        assert not torch.equal(matrices_of(fitted)[-1], matrices_of(plain)[-1])

    def test_line_searches_see_penalties_and_noise(self):
        """What an optimizer with several gradients a step is given belongs together, where there is one."""
        weights, members = draw(), [Orthogonality(0.1) + GradientNoise(0.1) + L2(0.2) + L1(0.3)] * 3
        technique, numbers = bound(members[0], weights), hyper(members)
        technique.draw(numbers, randoms(3))
        way, out = draw(seed=1), torch.zeros_like(weights)
        ahead, behind = (technique.smooth_penalty(weights + step * way, numbers) for step in (1e-5, -1e-5))
        technique.gradient(weights, numbers, out)
        torch.testing.assert_close((ahead - behind) / 2e-5, (out * way).sum(1), rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize(
        ("start", "values"),
        [
            ("group_lasso", {"regularization__strength": [0.0, 1.0]}),
            ("l1", {"regularization__strength": [1e-4, (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]}),
            ("max_norm", {"regularization__limit": [0.01, 3.0, np.float32(0.1)]}),
            (DropConnect() + MaxNorm(), {"regularization__0__rate": [0.0, 0.9]}),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_sweeps(self, start, values):
        settings = {**QUICK, "max_epochs": 2, "early_stopping": False}
        search = GridSearchCV(basic(NNClassifier, regularization=start, **settings), values, cv=2).fit(X[:200], Y[:200])
        scores = search.cv_results_["mean_test_score"]
        assert len(scores) == len(next(iter(values.values())))
        for params, best in zip(search.cv_results_["params"], scores, strict=True):
            alone = clone(search.estimator).set_params(**params)
            splits = [(np.arange(200)[i::2], np.arange(200)[1 - i :: 2]) for i in range(2)]
            assert np.isfinite(best)
            train, _ = splits[0]
            assert np.isfinite(alone.fit(X[train], Y[train]).loss_curve_).all()


def test_blocks_of_the_layout_here_have_padding():
    assert any(block.size != padded(block.size) for block in LAYOUT.blocks.values())
