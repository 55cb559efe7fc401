"""Penalties against autograd, the proximal definition, and members alone."""

import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.base import clone

from sknnopt import regularization
from sknnopt.regularization import L1, L2, ElasticNet, Regularizer, Sum

MEMBERS = {
    "l1": [L1(strength=s) for s in (0.5, 0.0, 2.0)],
    "l2": [L2(strength=s) for s in (0.5, 0.0, 2.0)],
    "elastic_net": [ElasticNet(strength=s, l1_ratio=r) for s, r in ((0.5, 0.3), (1.0, 1.0), (2.0, 0.0))],
    "sum": [L1(strength=s) + L2(strength=t) + L1(strength=0.1) for s, t in ((0.5, 0.1), (0.0, 2.0), (0.3, 0.0))],
}
every = pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)


def stack(members, dtype=torch.float64):
    numbers = [member.strengths() for member in members]
    return {name: torch.tensor([[own[name]] for own in numbers], dtype=dtype) for name in numbers[0]}


def weights(dtype=torch.float64):
    w = torch.randn(3, 64, generator=torch.Generator().manual_seed(0), dtype=dtype)
    w[:, -7:] = 0
    return w


def strength_of(member, kind):
    return sum(value for name, value in member.strengths().items() if name.endswith(kind))


@every
def test_penalty_is_its_closed_form(members):
    w = weights()
    penalty = members[0].penalty(w, stack(members))
    assert penalty.shape == (3,)
    for k, member in enumerate(members):
        expected = strength_of(member, "l1") * w[k].abs().sum() + strength_of(member, "l2") / 2 * w[k].square().sum()
        torch.testing.assert_close(penalty[k], expected)


@every
def test_gradient_and_proximal_share_out_the_penalty(members):
    """The smooth part by `gradient`, the rest by `proximal`, and the flags say which there is."""
    w, first = weights(), members[0]
    start = torch.randn_like(w)
    out = start.clone()
    first.gradient(w, stack(members), out)
    moved = w.clone()
    first.proximal(moved, stack(members), torch.full((3, 1), 0.1, dtype=w.dtype))
    for k, member in enumerate(members):
        torch.testing.assert_close(out[k] - start[k], strength_of(member, "l2") * w[k])
        threshold = 0.1 * strength_of(member, "l1")
        torch.testing.assert_close(moved[k], w[k].sign() * (w[k].abs() - threshold).clamp(min=0))
    assert first.has("gradient") != torch.equal(out, start)
    assert first.has("proximal") != torch.equal(moved, w)


def test_proximal_minimises_its_definition():
    for value in (2.0, 0.3, -0.05, -1.0):
        w = torch.tensor([[value]], dtype=torch.float64)
        L1().proximal(w, {"l1": torch.tensor([[0.5]])}, torch.tensor([[0.4]]))
        best = minimize_scalar(
            lambda u, v=value: 0.5 * (u - v) ** 2 + 0.4 * 0.5 * abs(u), bounds=(-3, 3), method="bounded"
        )
        assert w.item() == pytest.approx(best.x, abs=1e-4)


def test_proximal_steps_make_exact_zeros_and_keep_the_rest():
    w = weights(torch.float32)
    members = [L1(strength=1.0)] * 3
    for _ in range(5):
        members[0].proximal(w, stack(members, torch.float32), torch.tensor([[0.01], [0.1], [0.0]]))
    zeros = (w[:, :-7] == 0).sum(1)
    assert 0 < zeros[0] < zeros[1] < 57
    assert zeros[2] == 0


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_bits_alone_and_padding_stays_zero(members, dtype):
    def run(members, w):
        hyper, rate, out = (
            stack(members, dtype),
            torch.full((len(w), 1), 0.01, dtype=dtype),
            torch.zeros_like(w),
        )
        penalties = []
        for _ in range(5):
            members[0].gradient(w, hyper, out)
            w.sub_(out, alpha=0.01)
            members[0].proximal(w, hyper, rate)
            members[0].project(w, hyper)
            penalties.append(members[0].penalty(w, hyper))
        return w, torch.stack(penalties)

    together, penalties = run(members, weights(dtype))
    assert (together[:, -7:] == 0).all()
    for k in range(3):
        alone, own = run(members[k : k + 1], weights(dtype)[k : k + 1].clone())
        assert torch.equal(alone[0], together[k])
        assert torch.equal(own[:, 0], penalties[:, k])


def test_elastic_net_is_sklearns_split():
    assert ElasticNet(strength=0.2, l1_ratio=1).strengths() == {"l1": 0.2, "l2": 0.0}
    assert ElasticNet(strength=0.2, l1_ratio=0).strengths() == {"l1": 0.0, "l2": 0.2}


def test_sums_are_flat_and_keep_their_order():
    total = (L1() + L2()) + (ElasticNet() + L1())
    assert [type(term) for term in total.terms] == [L1, L2, ElasticNet, L1]
    assert list(total.strengths()) == ["0_l1", "1_l2", "2_l1", "2_l2", "3_l1"]
    with pytest.raises(TypeError, match="unsupported operand"):
        L1() + 1


def test_more_than_ten_terms_do_not_mix():
    total = Sum(tuple(L2(strength=float(i)) for i in range(12)))
    w = torch.ones(1, 1, dtype=torch.float64)
    assert total.penalty(w, stack([total])).item() == sum(range(12)) / 2


def test_terms_are_reached_by_place():
    total = L1(strength=0.1) + L2(strength=0.2)
    assert total.get_params()["1__strength"] == 0.2
    copy = clone(total).set_params(**{"0__strength": 0.5, "1": ElasticNet()})
    assert repr(copy) == "Sum(terms=(L1(strength=0.5), ElasticNet()))"
    assert total.terms[0].strength == 0.1
    copy.set_params(**{"1": ElasticNet(), "1__l1_ratio": 0.9})
    assert copy.terms[1].l1_ratio == 0.9
    assert copy.set_params(terms=(L2(),)).structure() == (Sum, (L2,))
    with pytest.raises(ValueError, match="Invalid parameter"):
        total.set_params(**{"2": L1()})
    with pytest.raises(ValueError, match="Invalid parameter"):
        total.set_params(**{"0__strenth": 1.0})


def test_structure_tells_kinds_apart_but_not_strengths():
    assert L1(strength=1).structure() == L1(strength=2).structure()
    assert len({r.structure() for r in (L1(), L2(), ElasticNet(), L1() + L2(), L2() + L1())}) == 5


def test_a_project_of_ones_own_is_called_through_a_sum():
    class Cap(Regularizer):
        def strengths(self):
            return {"cap": 0.5}

        def project(self, parameters, hyper):
            parameters.clamp_(-hyper["cap"], hyper["cap"])

    total = L2() + Cap()
    w = weights()
    total.project(w, stack([total] * 3))
    assert w.abs().max() == 0.5
    assert total.has("project")
    assert not L2().has("project")


def test_none_is_none():
    assert regularization.get(None) is None


@pytest.mark.parametrize("term", [L1(strength=-1), L2(strength="a"), ElasticNet(l1_ratio=1.5), L1() + L2(strength=-1)])
def test_bad_values_are_refused(term):
    with pytest.raises(ValueError, match=r"parameter of (L1|L2|ElasticNet) "):
        regularization.get(term)


def test_a_sum_of_anything_else_is_refused():
    with pytest.raises(ValueError, match=r"'terms' parameter of Sum .* Got 'l1'"):
        regularization.get(Sum(("l1",)))


class Cubes(Regularizer):
    def __init__(self, scale=1.0):
        self.scale = scale

    def penalty(self, parameters, hyper):
        return self.scale * parameters.abs().pow(3).sum(1)


def flags(term):
    return term.has("gradient"), term.has("proximal"), term.has("project")


def test_what_is_defined_is_what_is_called():
    class Cap(Regularizer):
        def project(self, parameters, hyper):
            parameters.clamp_(-1, 1)

    class Shrink(Cubes):
        def proximal(self, parameters, hyper, learning_rate):
            parameters.mul_(0.5)

    assert flags(Regularizer()) == (False, False, False)
    assert flags(Cap()) == (False, False, True)
    assert flags(Cubes()) == (True, False, False)
    assert flags(Shrink()) == (False, True, False)
    assert flags(L1()) == (False, True, False)
    assert flags(L2()) == (True, False, False)
    assert flags(ElasticNet()) == (True, True, False)
    assert flags(Cap() + L1()) == (False, True, True)
    assert flags(Cubes() + L1()) == (True, True, False)
    assert Cap().strengths() == {}


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_a_penalty_alone_gets_its_gradient(mode):
    total = L2(strength=0.5) + Cubes()
    with mode():
        w = weights()
        out = torch.ones_like(w)
        total.gradient(w, stack([total] * 3), out)
        expected = 1 + 0.5 * w + 3 * w * w.abs()
        torch.testing.assert_close(out, expected)
    assert not w.requires_grad


def test_a_penalty_that_mixes_members_is_refused():
    class Mixed(Regularizer):
        def penalty(self, parameters, hyper):
            return parameters.square().sum()

    w = weights()
    with pytest.raises(ValueError, match=r"one number a member, shape \(K,\) = \(3,\), got shape \(\) from Mixed\(\)"):
        Mixed().gradient(w, {}, torch.zeros_like(w))


def test_parameters_that_are_no_strengths_keep_members_apart():
    assert Cubes(1.0).structure() == Cubes(1.0).structure()
    assert Cubes(1.0).structure() != Cubes(2.0).structure()
    listed = Cubes([1.0])
    assert hash(listed.structure()) == hash(listed.structure())
    assert listed.structure() != Cubes([2.0]).structure()
