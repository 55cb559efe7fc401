"""Every optimizer against its namesake in torch.optim or another package, and members against members alone."""

import math

import numpy as np
import pytest
import pytorch_optimizer
import schedulefree
import torch
from sklearn.base import clone

from sknnopt import optimizers
from sknnopt._layout import Layout
from sknnopt.optimizers import (
    ASGD,
    SGD,
    SHRINKAGE,
    AdaBelief,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Adan,
    AdEMAMix,
    CautiousAdamW,
    Lion,
    NAdam,
    Prodigy,
    RAdam,
    RMSprop,
    Rprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    _fused,
)

STEPS = 50
SIZE = 64
RATES = (0.03, 0.001, 0.2)
TINY = 1e-14
LAYOUT = Layout([("weight", (SIZE // 2,))], [("bias", (SIZE // 2,))])
# These have tests/test_optimizers_layers.py.
LAYERWISE = {"adafactor", "lamb", "lbfgs", "muon", "sam", "soap"}
NAMES = sorted(set(optimizers.names()) - LAYERWISE)
TORCH_NAMES = {
    "epsilon": "eps",
    "lr_decay": "lr_decay",
    "initial_accumulator_value": "initial_accumulator_value",
    "momentum_decay": "momentum_decay",
    "alpha": "alpha",
    "rho": "rho",
    "momentum": "momentum",
    "dampening": "dampening",
    "nesterov": "nesterov",
    "centered": "centered",
    "amsgrad": "amsgrad",
    "lambd": "lambd",
    "t0": "t0",
}
# One row a test: three members of one structure with different numbers.
VARIANTS = {
    "sgd dampened": [SGD(momentum=m, dampening=d) for m, d in ((0.9, 1.0), (0.5, 0.1), (0.99, 0.9))],
    "sgd nesterov": [SGD(momentum=m, nesterov=True) for m in (0.9, 0.5, 0.99)],
    "adagrad": [Adagrad(lr_decay=d, epsilon=e) for d, e in ((0.0, 1e-10), (0.1, 1e-2), (1.0, 1.0))],
    "adagrad started": [Adagrad(lr_decay=d, initial_accumulator_value=0.3) for d in (0.0, 0.1, 1.0)],
    "adadelta": [Adadelta(rho=r, epsilon=e) for r, e in ((0.9, 1e-6), (0.5, 1e-2), (0.0, 1e-3))],
    "rmsprop": [RMSprop(alpha=a, epsilon=e) for a, e in ((0.99, 1e-8), (0.5, 1e-2), (0.0, 1.0))],
    "rmsprop momentum": [RMSprop(momentum=m, alpha=a) for m, a in ((0.9, 0.9), (0.5, 0.99), (0.1, 0.5))],
    "rmsprop centered": [RMSprop(centered=True, alpha=a) for a in (0.99, 0.9, 0.5)],
    "rmsprop both": [RMSprop(centered=True, momentum=m) for m in (0.9, 0.5, 0.1)],
    "adam": [Adam(beta_1=a, beta_2=b, epsilon=e) for a, b, e in ((0.9, 0.999, 1e-8), (0, 0.9, 1), (0.5, 0, 1e-3))],
    "adam amsgrad": [Adam(amsgrad=True, beta_2=b) for b in (0.999, 0.9, 0.5)],
    "nadam": [NAdam(momentum_decay=d, beta_1=b) for d, b in ((4e-3, 0.9), (0.5, 0.5), (1e-6, 0.99))],
    "radam": [RAdam(beta_2=b, epsilon=e) for b, e in ((0.999, 1e-8), (0.9, 1e-2), (0.5, 1e-8))],
    "radam with a short memory": [RAdam(beta_2=b) for b in (0.69, 0.67, 0.7)],  # rectified late
    "adamax": [optimizers.Adamax(beta_1=a, beta_2=b, epsilon=1e-4) for a, b in ((0.9, 0.999), (0, 0.5), (0.5, 0))],
    "rprop": [
        Rprop(eta_minus=m, eta_plus=p, smallest=s, largest=b)
        for m, p, s, b in ((0.5, 1.2, 1e-4, 5e3), (0.7, 1.5, 0.5, 2.0), (0.3, 1.05, 0.01, 1.1))
    ],
    "asgd": [ASGD(lambd=d, alpha=a, t0=t) for d, a, t in ((1e-4, 0.75, 0.0), (0.1, 1.0, 10.0), (1.0, 0.5, 30.5))],
    "lion": [Lion(beta_1=a, beta_2=b) for a, b in ((0.9, 0.99), (0.5, 0.0), (0.0, 0.9))],
    "adabelief": [
        AdaBelief(beta_1=a, beta_2=b, epsilon=e) for a, b, e in ((0.9, 0.999, 1e-16), (0, 0.9, 1), (0.5, 0.5, 1e-3))
    ],
    "adan": [
        Adan(beta_1=a, beta_2=b, beta_3=c, epsilon=e)
        for a, b, c, e in ((0.98, 0.92, 0.99, 1e-8), (0.0, 0.5, 0.9, 1.0), (0.9, 0.0, 0.0, 1e-3))
    ],
    "ademamix": [
        AdEMAMix(beta_1=a, beta_2=b, beta_3=c, alpha=d)
        for a, b, c, d in ((0.9, 0.999, 0.9999, 5.0), (0.0, 0.9, 0.99, 1.0), (0.5, 0.0, 0.0, 8.0))
    ],
    "ademamix warmed up": [
        AdEMAMix(warmup_steps=n, beta_1=b, epsilon=1e-3) for n, b in ((20, 0.9), (50, 0.5), (100, 0.9))
    ],
    "cautious_adamw": [
        CautiousAdamW(beta_1=a, beta_2=b, epsilon=1e-3) for a, b in ((0.9, 0.999), (0.99, 0.9), (0.5, 0))
    ],
    "schedule_free_sgd": [ScheduleFreeSGD(momentum=m) for m in (0.9, 0.5, 0.99)],
    "schedule_free_adamw": [
        ScheduleFreeAdamW(beta_1=a, beta_2=b, epsilon=e)
        for a, b, e in ((0.9, 0.999, 1e-8), (0.5, 0, 1), (0.99, 0.9, 1e-3))
    ],
    "prodigy": [
        Prodigy(beta_1=a, beta_2=b, d0=d, d_coef=c, epsilon=TINY)
        for a, b, d, c in ((0.9, 0.999, 1e-6, 1.0), (0.0, 0.9, 1e-3, 0.5), (0.5, 0.99, 1e-4, 2.0))
    ],
    "prodigy corrected": [
        Prodigy(bias_correction=b, safeguard_warmup=s, d0=1e-3, epsilon=TINY) for b, s in ((1, 0), (0, 1), (1, 1))
    ],
    "prodigy limited": [Prodigy(growth_rate=g, d0=1e-3, epsilon=TINY) for g in (1.02, 1.5, 1.0)],
}
VARIANTS |= {f"{name} default": [optimizers.get(name) for _ in range(3)] for name in NAMES}
VARIANTS["prodigy default"] = [Prodigy(epsilon=TINY) for _ in range(3)]


def betas(settings, count=2):
    return tuple(float(settings[f"beta_{i}"]) for i in range(1, count + 1))


def ademamix(parameters, rate, *, beta_1, beta_2, beta_3, alpha, warmup_steps, epsilon):
    three, steps = (float(beta_1), float(beta_2), float(beta_3)), warmup_steps or None
    return pytorch_optimizer.AdEMAMix(parameters, rate, three, alpha=alpha, t_alpha_beta3=steps, eps=epsilon)


def cautious(parameters, rate, *, beta_1, beta_2, epsilon):
    """The package has no C-AdamW, but a cautious AdEMAMix, which without its slow mean is one."""
    three = (float(beta_1), float(beta_2), 0.0)
    return pytorch_optimizer.AdEMAMix(parameters, rate, three, alpha=0.0, eps=epsilon, cautious=True)


def rprop(parameters, rate, *, eta_minus, eta_plus, smallest, largest):
    return torch.optim.Rprop(parameters, rate, (eta_minus, eta_plus), (smallest * rate, largest * rate))


def prodigy(parameters, rate, *, beta_1, beta_2, epsilon, growth_rate, **settings):
    """The package takes epsilon times the next distance for the present one: `test_prodigy_is_the_papers` has it."""
    assert epsilon == TINY
    limit = math.inf if growth_rate is None else growth_rate
    two = (float(beta_1), float(beta_2))
    return pytorch_optimizer.Prodigy(parameters, rate, two, eps=TINY, growth_rate=limit, **settings)


def schedule_free(parameters, rate, *, momentum=None, beta_1=None, beta_2=None, epsilon=None):
    if momentum is not None:
        reference = schedulefree.SGDScheduleFree(parameters, rate, momentum)
    else:
        reference = schedulefree.AdamWScheduleFree(parameters, rate, (beta_1, float(beta_2)), epsilon)
    reference.train()
    return reference


REFERENCES = {
    Rprop: rprop,
    Lion: lambda p, rate, **s: pytorch_optimizer.Lion(p, rate, betas(s)),
    AdaBelief: lambda p, rate, **s: pytorch_optimizer.AdaBelief(p, rate, betas(s), eps=s["epsilon"]),
    Adan: lambda p, rate, **s: pytorch_optimizer.Adan(p, rate, betas(s, 3), eps=s["epsilon"]),
    AdEMAMix: ademamix,
    CautiousAdamW: cautious,
    ScheduleFreeSGD: schedule_free,
    ScheduleFreeAdamW: schedule_free,
    Prodigy: prodigy,
}
"""Makers, from parameters, learning rate and our settings, of what is not in torch.optim under the same name."""


def namesake(optimizer, parameters, learning_rate):
    """The torch optimizer of the same settings, without weight decay."""
    settings = optimizer.get_params()
    if type(optimizer) in REFERENCES:
        return REFERENCES[type(optimizer)](parameters, learning_rate, **settings)
    arguments = {TORCH_NAMES[k]: v for k, v in settings.items() if k in TORCH_NAMES}
    if "beta_1" in settings:
        arguments["betas"] = betas(settings)
    kind = "Adam" if isinstance(optimizer, AdamW) else type(optimizer).__name__
    return getattr(torch.optim, kind)(parameters, lr=learning_rate, **arguments)


def average_of(reference, parameter):
    """What an averaging reference would be evaluated at."""
    if isinstance(reference, torch.optim.ASGD):
        return reference.state[parameter]["ax"]
    reference.eval()
    average = parameter.detach().clone()
    reference.train()
    return average


def rates_of(optimizer):
    """Three learning rates; those that are factors of the optimizer's own steps are near 1."""
    return RATES if optimizer.default_learning_rate < 1 else (1.0, 0.5, 2.0)


def problem(dtype):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, SIZE, generator=generator, dtype=dtype)
    gradients = torch.randn(STEPS, 3, SIZE, generator=generator, dtype=dtype)
    gradients += 0.1 * torch.randn(3, SIZE, generator=generator, dtype=dtype)
    gradients[STEPS // 2 :, :, : SIZE // 4] = 0
    return start, gradients


def run(members, start, gradients, rates, decays=None):
    """Train the members together; returns the parameters after every step, and their averages where those count."""
    weights, moving, first = start.clone(), torch.empty_like(start), members[0]
    state = first.start(weights, LAYOUT)
    update = first.bind(moving, state, weights, layout=LAYOUT, objective=None)
    steps = np.arange(1.0, STEPS + 1)
    rates = [np.broadcast_to(rate, STEPS).astype(float) for rate in rates]
    tables = [m.coefficients(steps, rate) for m, rate in zip(members, rates, strict=True)]
    if decays is not None:
        tables = [t | {SHRINKAGE: rate * d} for t, rate, d in zip(tables, rates, decays, strict=True)]
    path, averages = [], []
    for t in range(STEPS):
        hyper = {k: torch.tensor([[c[k][t]] for c in tables], dtype=start.dtype) for k in tables[0]}
        moving.copy_(gradients[t])
        update(hyper)
        path.append(weights.clone())
        if first.averages:
            averages.append(state["average"].clone())
    return torch.stack(path + averages)


def follow(reference, parameters, gradients, rates=None):
    """Train one member by the reference; parameters are pieces of a vector."""
    sizes, path, averages = [len(p) for p in parameters], [], []
    for t in range(STEPS):
        for group in reference.param_groups if rates is not None else ():
            group["lr"] = rates[t]
        for parameter, gradient in zip(parameters, gradients[t].split(sizes), strict=True):
            parameter.grad = gradient.clone()
        reference.step()
        path.append(torch.cat([p.detach() for p in parameters]))
        if isinstance(reference, torch.optim.ASGD) or hasattr(reference, "eval"):
            averages.append(torch.cat([average_of(reference, p) for p in parameters]))
    return torch.stack(path + averages)


@pytest.fixture
def double():
    """torch.optim.NAdam keeps a product in the default dtype; in float32 that alone costs 1e-7."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def assert_follows(path, reference, start):
    """Displacements are compared: a step of Prodigy's may be a millionth of the parameters."""
    torch.testing.assert_close(path - start, reference - start, rtol=1e-6, atol=1e-12)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_follows_torch(members):
    start, gradients = problem(torch.float64)
    rates = rates_of(members[0])
    path = run(members, start, gradients, rates)
    for k, member in enumerate(members):
        weights = start[k].clone().requires_grad_()
        reference = namesake(member, [weights], rates[k])
        assert_follows(path[:, k], follow(reference, [weights], gradients[:, k]), start[k])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", sorted(set(VARIANTS) - {name for name in VARIANTS if name[:4] in ("rpro", "asgd")}))
def test_follows_torch_by_a_schedule(name):
    """Without Rprop, whose steps torch does not scale, and ASGD, where torch's rate is late by a step."""
    members = VARIANTS[name]
    start, gradients = problem(torch.float64)
    shape = np.minimum(np.arange(1, STEPS + 1) / 10, np.linspace(1.2, 0.0, STEPS))
    rates = [shape * rate for rate in rates_of(members[0])]
    path = run(members, start, gradients, rates)
    for k, member in enumerate(members):
        weights = start[k].clone().requires_grad_()
        reference = follow(namesake(member, [weights], 1.0), [weights], gradients[:, k], rates[k])
        assert_follows(path[:, k], reference, start[k])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_without_the_kernel_the_same_is_computed(members, monkeypatch):
    """As on devices that are no CPU."""
    start, gradients = problem(torch.float64)
    expected = run(members, start, gradients, rates_of(members[0]))
    monkeypatch.setattr(_fused, "KERNELS", set())
    assert_follows(run(members, start, gradients, rates_of(members[0])), expected, start)


OWN_DECAY = [name for name, members in VARIANTS.items() if members[0].own_decay]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", OWN_DECAY)
def test_own_decay_acts_on_weights_alone(name):
    members, decays = VARIANTS[name], (0.0, 0.5, 0.2)
    start, gradients = problem(torch.float64)
    rates = rates_of(members[0])
    path = run(members, start, gradients, rates, decays)
    for k, member in enumerate(members):
        weights, others = (part.clone().requires_grad_() for part in start[k].split(SIZE // 2))
        groups = [{"params": [weights], "weight_decay": decays[k]}, {"params": [others], "weight_decay": 0.0}]
        reference = follow(namesake(member, groups, rates[k]), [weights, others], gradients[:, k])
        assert_follows(path[:, k], reference, start[k])


@pytest.mark.parametrize("name", OWN_DECAY)
def test_own_decay_keeps_a_members_bits(name):
    members, decays = VARIANTS[name], (0.0, 0.5, 0.2)
    start, gradients = problem(torch.float32)
    rates = rates_of(members[0])
    together = run(members, start, gradients, rates, decays)
    for k in range(3):
        alone = run(members[k : k + 1], start[[k]], gradients[:, [k]], rates[k : k + 1], decays[k : k + 1])
        assert torch.equal(alone[:, 0], together[:, k])


@pytest.mark.parametrize("epsilon", [1e-8, 0.3])
def test_prodigy_is_the_papers(epsilon):
    """Algorithm 4, with the distance that the moments were taken with beside epsilon; d0 = 0.01, rate 0.5."""
    start, gradients = problem(torch.float64)
    path = run([Prodigy(epsilon=epsilon, d0=0.01)], start[:1], gradients[:, :1], (0.5,))
    w, d, r, s, m, v = start[0].clone(), 0.01, 0.0, 0.0, 0.0, 0.0
    root = math.sqrt(0.999)
    for t in range(STEPS):
        g = gradients[t, 0]
        m, v = 0.9 * m + 0.1 * d * g, 0.999 * v + 0.001 * (d * g) ** 2
        r = root * r + (1 - root) * 0.5 * d**2 * (g @ (start[0] - w))
        s = root * s + (1 - root) * 0.5 * d**2 * g
        w, d = w - 0.5 * d * m / (v.sqrt() + d * epsilon), max(d, float(r / s.abs().sum()))
        torch.testing.assert_close(path[t, 0], w, rtol=1e-9, atol=1e-12)
    assert d > 0.015


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_prodigy_takes_gradients_of_any_scale(scale):
    """In float32 the squares of d0 g would be lost."""
    gradients = problem(torch.float64)[1][:, :1]
    member, start = [Prodigy(epsilon=1e-30)], torch.zeros(1, SIZE)
    wanted = run(member, start.double(), gradients, (1.0,))
    path = run(member, start, gradients.float() * scale, (1.0,))
    torch.testing.assert_close(path, wanted.float(), rtol=1e-4, atol=1e-8)
    assert wanted[-1].abs().max() > 1e-3


def test_rprop_follows_the_learning_rate_and_takes_gradients_of_any_scale():
    """Half the rate, half of every step, and the product of two gradients may vanish."""
    start, gradients = problem(torch.float32)
    members = VARIANTS["rprop"]
    whole = run(members, torch.zeros_like(start), gradients, RATES)
    halves = run(members, torch.zeros_like(start), gradients * 1e-30, [rate / 2 for rate in RATES])
    assert torch.equal(halves, whole / 2)
    rates = [np.linspace(1.0, 0.0, STEPS) * rate for rate in RATES]
    torch.testing.assert_close(run(members, start, gradients, rates)[-1], run(members, start, gradients, rates)[-2])


def test_the_average_of_asgd_is_the_mean_since_t0():
    start, gradients = problem(torch.float64)
    path = run([ASGD(t0=t) for t in (0.0, 10.0, 1e6)], start, gradients, RATES)
    path, averages = path.split(STEPS)
    torch.testing.assert_close(averages[-1, 0], path[1:, 0].mean(0))
    torch.testing.assert_close(averages[-1, 1], path[11:, 1].mean(0))
    assert torch.equal(averages[:, 2], path[:, 2])


def test_schedule_free_averages_are_weighted_by_the_largest_rates_squared():
    """A warm-up of ten steps, then a rate that falls."""
    start, gradients = problem(torch.float64)
    rates = np.concatenate([np.linspace(0.01, 0.1, 10), np.linspace(0.1, 0.0, STEPS - 10)])
    averages = run([ScheduleFreeSGD()], start[:1], gradients[:, :1], (rates,))[STEPS:, 0]
    z = start[0] - torch.cumsum(torch.from_numpy(rates).unsqueeze(1) * gradients[:, 0], 0)
    weights = torch.from_numpy(np.maximum.accumulate(rates) ** 2).unsqueeze(1)
    torch.testing.assert_close(averages, torch.cumsum(weights * z, 0) / torch.cumsum(weights, 0))


@pytest.mark.parametrize("name", [name for name in optimizers.names() if optimizers.get(name).averages])
def test_averages_are_taken_of_what_penalties_have_left(name):
    """Here they set weights to zero that would have become one; those beyond stay."""

    class Objective:
        def constrain(self, parameters, hyper):
            assert "learning_rate" in hyper
            parameters[:, : SIZE // 2] = 0

    optimizer, weights, gradients = optimizers.get(name), torch.ones(1, SIZE), torch.ones(1, SIZE)
    state = optimizer.start(weights, LAYOUT)
    step = optimizer.bind(gradients, state, weights, layout=LAYOUT, objective=Objective())
    for t in (1.0, 2.0):
        numbers = {"learning_rate": np.ones(1)} | optimizer.coefficients(np.full(1, t), np.full(1, 0.01))
        step({key: torch.tensor(value, dtype=torch.float32).view(1, 1) for key, value in numbers.items()})
    for kept in (state["average"], weights):
        assert not kept[:, : SIZE // 2].any()
        assert kept[:, SIZE // 2 :].all()


def test_cautious_steps_count_parameters_and_no_padding():
    """Of 40 parameters in blocks of 64 one moves against its momentum; the boost is 40 / 40."""
    optimizer, layout = CautiousAdamW(), Layout([("weight", (30,))], [("bias", (10,))])
    gradients, parameters = torch.zeros(1, 64), torch.zeros(1, 64)
    state = optimizer.start(parameters, layout)
    for blocks in layout.views(gradients).values():
        blocks.fill_(1.0)
    state["mean"][0, 0] = -1.0
    numbers = optimizer.coefficients(np.ones(1), np.full(1, 0.1))
    hyper = {key: torch.tensor(value, dtype=torch.float32).view(1, 1) for key, value in numbers.items()}
    optimizer.bind(gradients, state, parameters, layout=layout, objective=None)(hyper)
    moved = torch.cat([view.flatten() for view in layout.views(parameters).values()])
    assert moved[0] == 0
    torch.testing.assert_close(moved[1:], torch.full((39,), -0.1))
    assert parameters.count_nonzero() == 39


def test_the_warm_up_of_ademamix_goes_from_beta_1_to_beta_3():
    """Its half-life, log(1/2) / log(beta), goes linearly."""
    steps, rates = np.arange(1.0, 13.0), np.ones(12)
    decay = 1 - AdEMAMix(warmup_steps=10, beta_1=0.5, beta_3=0.99).coefficients(steps, rates)["intake_slow"]
    first, last = -1 / np.log(0.5), -1 / np.log(0.99)
    np.testing.assert_allclose(-1 / np.log(decay), first + np.minimum(steps / 10, 1) * (last - first))
    mix = AdEMAMix(warmup_steps=10, beta_1=0.0, beta_3=0.99, alpha=8.0)
    np.testing.assert_allclose(1 - mix.coefficients(steps, rates)["intake_slow"][[4, 9, 11]], [0.99**2, 0.99, 0.99])
    np.testing.assert_allclose(
        (mix.coefficients(steps, rates)["step_slow"] / np.sqrt(1 - 0.999**steps))[[4, 9]], [4, 8]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_same_bits_alone(members, dtype):
    start, gradients = problem(dtype)
    rates = rates_of(members[0])
    together = run(members, start, gradients, rates)
    for k in range(3):
        alone = run(members[k : k + 1], start[k : k + 1], gradients[:, k : k + 1], rates[k : k + 1])
        assert torch.equal(alone[:, 0], together[:, k])


@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_variants_share_a_structure_and_differ(members):
    assert len({m.structure() for m in members}) == 1
    differ = len({repr(m) for m in members}) == 3
    start, gradients = problem(torch.float64)
    start, gradients = start[:1].expand(3, -1).clone(), gradients[:, :1].expand(-1, 3, -1)
    path = run(members, start, gradients, (members[0].default_learning_rate,) * 3 if differ else rates_of(members[0]))
    assert not torch.equal(path[:, 0], path[:, 1])
    assert not torch.equal(path[:, 0], path[:, 2])


@pytest.mark.parametrize("name", NAMES)
def test_zero_gradient_keeps_padding_at_zero(name):
    optimizer = optimizers.get(name)
    start, gradients = problem(torch.float32)
    start[:, -5:], gradients[:, :, -5:] = 0, 0
    path = run([optimizer] * 3, start, gradients, rates_of(optimizer))
    assert (path[:, :, -5:] == 0).all()
    assert path.isfinite().all()


@pytest.mark.parametrize("name", [name for name in NAMES if optimizers.get(name).keeps_zeros])
def test_zeros_of_the_padding_are_left_where_promised(name):
    optimizer = optimizers.get(name)
    gradients, parameters = torch.zeros(2, 64), torch.zeros(2, 64)
    state = optimizer.init(parameters)
    for step in range(1, 4):
        gradients[:, :40] = 1.0
        numbers = optimizer.coefficients(np.full(2, float(step)), np.full(2, 0.1))
        hyper = {key: torch.tensor(value, dtype=torch.float32).view(2, 1) for key, value in numbers.items()}
        optimizer.update(gradients, state, parameters, hyper)
        assert not gradients[:, 40:].any()
        assert not parameters[:, 40:].any()


def test_an_update_of_ones_own_promises_nothing():
    class Mine(optimizers.Adam):
        def update(self, gradients, state, parameters, hyper):
            gradients.fill_(1.0)

    class Renamed(optimizers.Adam):
        pass

    assert (Mine.keeps_zeros, Renamed.keeps_zeros, optimizers.Optimizer.keeps_zeros) == (False, True, False)


@pytest.mark.parametrize("name", NAMES)
def test_zero_learning_rate_moves_nothing(name):
    start, gradients = problem(torch.float32)
    path = run([optimizers.get(name)] * 3, start, gradients, (0.0, 0.0, 0.0))
    assert torch.equal(path[-1], start)


@pytest.mark.parametrize("name", NAMES)
def test_state_is_by_members_and_stateful_is_true_of_it(name):
    optimizer = optimizers.get(name)
    parameters = torch.ones(2, 32)
    state = optimizer.init(parameters)
    assert all(tensor.shape in ((2, 32), (2, 1)) for tensor in state.values())
    assert all(tensor.dtype == parameters.dtype for tensor in state.values())
    assert not any(tensor.data_ptr() == parameters.data_ptr() for tensor in state.values())
    if optimizer.averages:
        assert torch.equal(state["average"], parameters)
    assert optimizer.stateful == any(not key.startswith("_") for key in state)


@pytest.mark.parametrize("name", NAMES)
def test_coefficients_of_a_later_stretch_are_those_of_the_whole(name):
    optimizer = optimizers.get(name)
    steps, rates = np.arange(1.0, 301), np.linspace(0.1, 0.0, 300)
    whole, late = optimizer.coefficients(steps, rates), optimizer.coefficients(steps[200:], rates[200:])
    for key, values in whole.items():
        assert values.shape == (300,)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        np.testing.assert_array_equal(late[key], values[200:])


def test_centered_rmsprop_survives_rounding():
    members = [RMSprop(centered=True, alpha=0.5)]
    start = torch.zeros(1, SIZE)
    gradients = torch.linspace(0.1, 100, SIZE).expand(STEPS, 1, SIZE).contiguous()
    assert run(members, start, gradients, (1e-9,)).isfinite().all()


REFERENCE_CLASSES = {
    kind: getattr(pytorch_optimizer, kind.__name__) for kind in (Lion, AdaBelief, Adan, AdEMAMix, Prodigy)
} | {ScheduleFreeAdamW: schedulefree.AdamWScheduleFree, CautiousAdamW: torch.optim.AdamW}


def test_defaults_are_torchs_but_for_sgd_and_adamw():
    parameter = torch.zeros(1, requires_grad=True)
    for name in set(NAMES) - {"sgd", "momentum", "nesterov", "schedule_free_sgd", "adamw"}:
        optimizer = optimizers.get(name)
        kind = type(optimizer)
        reference = (REFERENCE_CLASSES.get(kind) or getattr(torch.optim, kind.__name__))([parameter])
        assert optimizer.default_learning_rate == reference.defaults["lr"]
        assert optimizer.default_weight_decay == reference.defaults.get("weight_decay", 0.0)


OWN_DEFAULTS = {("asgd", "t0"), ("prodigy", "growth_rate")}
"""ASGD averages from the first step on, and no limit is None."""


@pytest.mark.parametrize("name", sorted({*NAMES} - {"momentum", "nesterov", "schedule_free_sgd"}))
def test_hyperparameters_are_torchs_by_default(name):
    optimizer = optimizers.get(name)
    kind, parameter = type(optimizer), torch.zeros(1, requires_grad=True)
    known = (REFERENCE_CLASSES.get(kind) or getattr(torch.optim, kind.__name__))([parameter]).defaults
    betas = {f"beta_{i}": beta for i, beta in enumerate(known.get("betas", ()), 1)}
    theirs = known | betas | dict(zip(("eta_minus", "eta_plus"), known.get("etas", ()), strict=False))
    ours = {TORCH_NAMES.get(own, own): value for own, value in optimizer.get_params().items()}
    shared = {own for own in ours.keys() & theirs.keys() if (name, own) not in OWN_DEFAULTS}
    assert shared
    assert {own: ours[own] for own in shared} == {own: theirs[own] for own in shared}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SGD(), SGD(momentum=0.9)),
        (SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True)),
        (SGD(momentum=0.9), SGD(momentum=0.9, dampening=0.1)),
        (RMSprop(), RMSprop(centered=True)),
        (RMSprop(), RMSprop(momentum=0.1)),
        (Adam(), Adam(amsgrad=True)),
        (Adagrad(), Adagrad(initial_accumulator_value=0.1)),
        (Adam(), RAdam()),
        (Prodigy(), Prodigy(growth_rate=1.1)),
    ],
)
def test_different_steps_do_not_share_a_cohort(one, other):
    assert one.structure() != other.structure()


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(momentum=1.0),
        SGD(momentum=-0.1),
        SGD(momentum=0.9, dampening=0.1, nesterov=True),
        SGD(nesterov=True),
        Adam(beta_1=1.0),
        Adam(epsilon=0.0),
        Adam(epsilon=math.inf),
        RMSprop(alpha=math.nan),
        Adadelta(rho="0.9"),
        Rprop(eta_plus=1.0),
        Rprop(smallest=2.0, largest=1.0),
        ASGD(t0=-1.0),
        AdaBelief(beta_2=0.0),
        AdEMAMix(warmup_steps=0.5),
        Prodigy(growth_rate=0.9),
        Prodigy(d0=0.0),
    ],
)
def test_bad_values_are_refused(optimizer):
    with pytest.raises(ValueError, match=f"parameter of {type(optimizer).__name__} "):
        optimizers.get(optimizer)


@pytest.mark.parametrize("name", NAMES)
def test_names_make_clonable_objects(name):
    optimizer = optimizers.get(name)
    assert repr(clone(optimizer)) == repr(optimizer)
    assert optimizers.get(optimizer) is optimizer


def test_what_a_new_optimizer_lacks_is_named():
    class Mine(optimizers.Optimizer):
        pass

    for call, method in (
        (lambda: Mine().coefficients(np.ones(1), np.ones(1)), r"coefficients\(step, learning_rate\)"),
        (lambda: Mine().init(torch.zeros(1, 2)), r"init\(parameters\)"),
        (
            lambda: Mine().update(torch.zeros(1, 2), {}, torch.zeros(1, 2), {}),
            r"update\(gradients, state, parameters, hyper\)",
        ),
    ):
        with pytest.raises(NotImplementedError, match=f"Mine must define {method}"):
            call()


def test_members_share_a_cohort_where_their_steps_have_the_same_terms():
    """Not where one of them has a momentum, say, and another has none."""
    steps = [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "dampening": 0.5}]
    assert len({SGD(**numbers).structure() for numbers in steps}) == 4
    assert SGD(momentum=0.5).structure() == SGD(momentum=0.9).structure()
    assert SGD().structure() == SGD(dampening=0.5).structure()
    assert SGD().init(torch.ones(2, 3)) == {}
