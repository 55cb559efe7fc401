"""Every initializer's moments, and its values against torch.nn.init from the same generator."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import init

from sknnopt import initializers
from sknnopt.initializers import (
    LSUV,
    Constant,
    DataDependent,
    HullBias,
    Identity,
    KaimingNormal,
    KaimingUniform,
    Normal,
    Sparse,
    TruncatedNormal,
    Uniform,
    ZeroOutput,
)

GAIN = 1.7
SHAPE = (200, 300)
N_OUT, N_IN = SHAPE


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(initializer, shape=SHAPE, dtype=torch.float64, gain=GAIN, seed=0):
    weight = torch.full(shape, torch.nan, dtype=dtype)
    assert initializer(weight, generator=seeded(seed), gain=gain) is None
    return weight


# The distribution each name promises, as a frozen scipy distribution.
def uniform(reach):
    return stats.uniform(-reach, 2 * reach)


DISTRIBUTIONS = {
    "uniform": uniform(0.05),
    "normal": stats.norm(0, 0.05),
    "truncated_normal": stats.truncnorm(-2, 2, scale=0.05),
    "xavier_uniform": uniform(GAIN * math.sqrt(6 / (N_IN + N_OUT))),
    "xavier_normal": stats.norm(0, GAIN * math.sqrt(2 / (N_IN + N_OUT))),
    "kaiming_uniform": uniform(GAIN * math.sqrt(3 / N_IN)),
    "kaiming_normal": stats.norm(0, GAIN / math.sqrt(N_IN)),
    "lecun_uniform": uniform(math.sqrt(3 / N_IN)),
    "lecun_normal": stats.norm(0, 1 / math.sqrt(N_IN)),
}
DISTRIBUTIONS |= {n.replace("xavier", "glorot"): d for n, d in DISTRIBUTIONS.items() if "xavier" in n}
DISTRIBUTIONS |= {n.replace("kaiming", "he"): d for n, d in DISTRIBUTIONS.items() if "kaiming" in n}
DISTRIBUTIONS |= {
    "zero_output": DISTRIBUTIONS["kaiming_uniform"],
    "data_dependent": DISTRIBUTIONS["normal"],
    "hull_bias": DISTRIBUTIONS["kaiming_normal"],
    "ntk": stats.norm(0, GAIN),
}
PATTERNED = {"zeros", "constant", "orthogonal", "identity", "sparse", "lsuv"}
OBJECTS = [
    (Uniform(low=-1, high=3), stats.uniform(-1, 4)),
    (Normal(mean=1, std=0.5), stats.norm(1, 0.5)),
    (TruncatedNormal(mean=1, std=0.5, cut=1), stats.truncnorm(-1, 1, loc=1, scale=0.5)),
    (KaimingNormal(fan_mode="fan_out"), stats.norm(0, GAIN / math.sqrt(N_OUT))),
    (KaimingUniform(fan_mode="fan_out"), uniform(GAIN * math.sqrt(3 / N_OUT))),
]


def test_every_name_is_covered():
    assert {*DISTRIBUTIONS, *PATTERNED} == set(initializers.names())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("initializer", "distribution"),
    [(initializers.get(name), d) for name, d in DISTRIBUTIONS.items()] + OBJECTS,
    ids=[*DISTRIBUTIONS, *(repr(o) for o, _ in OBJECTS)],
)
def test_distribution(initializer, distribution, dtype):
    values = drawn(initializer, dtype=dtype).double().flatten().numpy()
    assert values.mean() == pytest.approx(distribution.mean(), abs=5 * distribution.std() / math.sqrt(values.size))
    assert values.std() == pytest.approx(distribution.std(), rel=0.02)
    assert stats.kstest(values, distribution.cdf).pvalue > 1e-3
    low, high = distribution.support()
    assert low - 1e-6 <= values.min()
    assert values.max() <= high + 1e-6


@pytest.mark.parametrize(
    ("name", "fill"),
    [
        ("xavier_uniform", lambda w, g: init.xavier_uniform_(w, GAIN, generator=g)),
        ("xavier_normal", lambda w, g: init.xavier_normal_(w, GAIN, generator=g)),
        ("kaiming_uniform", lambda w, g: init.kaiming_uniform_(w, nonlinearity="relu", generator=g)),
        ("kaiming_normal", lambda w, g: init.kaiming_normal_(w, nonlinearity="relu", generator=g)),
        ("orthogonal", lambda w, g: init.orthogonal_(w, GAIN, generator=g)),
        ("lsuv", lambda w, g: init.orthogonal_(w, GAIN, generator=g)),
    ],
)
def test_values_are_torchs(name, fill):
    gain = math.sqrt(2) if "kaiming" in name else GAIN
    expected = torch.empty(SHAPE, dtype=torch.float64)
    fill(expected, seeded())
    torch.testing.assert_close(drawn(initializers.get(name), gain=gain), expected)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_orthogonal(shape):
    weight = drawn(initializers.get("orthogonal"), shape)
    small = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    torch.testing.assert_close(small, GAIN**2 * torch.eye(len(small), dtype=small.dtype))


def test_constant_and_zeros():
    assert (drawn(initializers.get("zeros")) == 0).all()
    assert (drawn(Constant(value=-2.5)) == -2.5).all()


@pytest.mark.parametrize("name", initializers.names())
def test_own_generator_own_values_whatever_the_layout(name):
    initializer = initializers.get(name)
    before = torch.get_rng_state()
    weight = drawn(initializer)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn(initializer), weight)
    if name not in {"zeros", "constant"}:
        assert not torch.equal(drawn(initializer, seed=1), weight)
    padded = torch.zeros(N_OUT, N_IN + 20, dtype=weight.dtype)
    initializer(padded[:, :N_IN], generator=seeded(), gain=GAIN)
    assert torch.equal(padded[:, :N_IN], weight)
    assert (padded[:, N_IN:] == 0).all()


@pytest.mark.parametrize("name", initializers.names())
def test_gain_counts_where_it_is_promised(name):
    words = (
        "xavier",
        "glorot",
        "kaiming",
        "he_",
        "orthogonal",
        "identity",
        "sparse",
        "lsuv",
        "zero_output",
        "ntk",
        "hull",
    )
    promised = any(word in name for word in words)
    initializer = initializers.get(name)
    assert promised != torch.equal(drawn(initializer, gain=1.0), drawn(initializer, gain=2.0))


def test_a_parameter_that_requires_grad_is_filled():
    weight = torch.nn.Parameter(torch.empty(3, 4))
    initializers.get("he_normal")(weight, generator=seeded(), gain=1.0)
    assert weight.isfinite().all()
    assert weight.is_leaf


@pytest.mark.parametrize(
    "initializer",
    [
        Uniform(low=1, high=1),
        Normal(std=0),
        Normal(mean=math.inf),
        TruncatedNormal(cut=-1),
        Constant(value="a"),
        KaimingNormal(fan_mode="fan"),
        Identity(noise=-1),
        Sparse(sparsity=1),
        Sparse(std=0),
        LSUV(n_rows=0),
        LSUV(base=3),
        DataDependent(n_rows=1.5),
        ZeroOutput(base=None),
        HullBias(n_points=0),
        HullBias(base="ntk", n_rows=0),
    ],
)
def test_bad_values_are_refused(initializer):
    with pytest.raises(ValueError, match=f"parameter of {type(initializer).__name__} "):
        initializers.get(initializer)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_identity_is_torchs(shape):
    weight = drawn(Identity(noise=0), shape)
    assert torch.equal(weight, GAIN * init.eye_(torch.empty(shape, dtype=weight.dtype)))
    noise = drawn(Identity(noise=0.3), SHAPE) - drawn(Identity(noise=0), SHAPE)
    assert stats.kstest(noise.flatten().numpy(), stats.norm(0, 0.3).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("sparsity", "n_inputs"), [(0.0, 50), (0.9, 50), (0.33, 50), (0.99, 3), (0.9, 1)])
def test_sparse_leaves_as_many_weights_as_torchs_does(sparsity, n_inputs):
    """torch counts columns: units are the columns of the transposed matrix."""
    weight = drawn(Sparse(sparsity=sparsity), (40, n_inputs))
    left = (weight != 0).sum(1)
    assert (left == left[0]).all()
    if n_inputs == 50:
        reference = init.sparse_(torch.empty(n_inputs, 40), sparsity, generator=seeded())
        assert torch.equal(left, (reference != 0).sum(0))
        assert not torch.equal(weight[0] == 0, weight[1] == 0) or sparsity == 0
    else:
        assert left[0] == 1


@pytest.mark.parametrize(("std", "expected"), [(None, GAIN / math.sqrt(60)), (0.2, 0.2)])
def test_weights_that_sparse_leaves_are_normal(std, expected):
    weight = drawn(Sparse(sparsity=0.8, std=std))
    values = weight[weight != 0].numpy()
    assert values.size == N_OUT * 60
    assert stats.kstest(values, stats.norm(0, expected).cdf).pvalue > 1e-3
    places = (weight != 0).double().mean(0)
    assert places.std() < 0.05, "every input is as likely as another"


@pytest.mark.parametrize("name", ["lsuv", "data_dependent", "zero_output", "hull_bias"])
def test_a_base_is_a_name_an_object_or_a_function(name):
    initializer = initializers.get(name)
    for base in ("normal", Normal(), lambda w, generator, gain: init.normal_(w, 0, 0.05, generator=generator)):
        initializer.set_params(base=base).validate()
        assert torch.equal(drawn(initializer), drawn(Normal()))
    with pytest.raises(
        ValueError, match=r"The 'base' parameter must be one of .* Got 'nromal' .* Did you mean 'normal'"
    ):
        initializer.set_params(base="nromal").validate()
    assert initializer.set_params(base="normal", base__std=0.3).base.std == 0.3
    assert initializer.set_params(base__mean=0.1).get_params()["base__mean"] == 0.1
    with pytest.raises(ValueError, match="'std' parameter of Normal"):
        initializer.set_params(base__std=-1).validate()
