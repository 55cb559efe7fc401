"""Every optimizer against its namesake in torch.optim, and members against members alone."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone

from sknnopt import optimizers
from sknnopt.optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RAdam, RMSprop

STEPS = 50
SIZE = 64
RATES = (0.03, 0.001, 0.2)
# The others, which look at layers, have tests/test_optimizers_layers.py.
NAMES = [name for name in optimizers.names() if type(optimizers.get(name)).bind is optimizers.Optimizer.bind]
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
}
# One row a test: three members of one structure with different numbers.
VARIANTS = {
    "sgd dampened": [SGD(momentum=m, dampening=d) for m, d in ((0.9, 0.5), (0.5, 0.1), (0.99, 0.9))],
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
    "adamax": [optimizers.Adamax(beta_1=a, beta_2=b, epsilon=1e-4) for a, b in ((0.9, 0.999), (0, 0.5), (0.5, 0))],
}
VARIANTS |= {f"{name} default": [optimizers.get(name) for _ in range(3)] for name in NAMES}


def namesake(optimizer, parameter, learning_rate):
    """The torch.optim object of the same settings, without weight decay."""
    settings = optimizer.get_params()
    arguments = {TORCH_NAMES[k]: v for k, v in settings.items() if k in TORCH_NAMES}
    if "beta_1" in settings:
        arguments["betas"] = (float(settings["beta_1"]), float(settings["beta_2"]))
    kind = "Adam" if isinstance(optimizer, AdamW) else type(optimizer).__name__
    return getattr(torch.optim, kind)([parameter], lr=learning_rate, **arguments)


def problem(dtype):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, SIZE, generator=generator, dtype=dtype)
    gradients = torch.randn(STEPS, 3, SIZE, generator=generator, dtype=dtype)
    gradients[STEPS // 2 :, :, : SIZE // 4] = 0
    return start, gradients


def run(members, start, gradients, rates):
    """Train the members together; returns the parameters after every step."""
    weights, first = start.clone(), members[0]
    state = first.init(weights)
    steps = np.arange(1.0, STEPS + 1)
    tables = [m.coefficients(steps, np.full(STEPS, r)) for m, r in zip(members, rates, strict=True)]
    path = []
    for t in range(STEPS):
        hyper = {k: torch.tensor([[c[k][t]] for c in tables], dtype=start.dtype) for k in tables[0]}
        first.update(gradients[t].clone(), state, weights, hyper)
        path.append(weights.clone())
    return torch.stack(path)


@pytest.fixture
def double():
    """torch.optim.NAdam keeps a product in the default dtype; in float32 that alone costs 1e-7."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_follows_torch(members):
    start, gradients = problem(torch.float64)
    path = run(members, start, gradients, RATES)
    for k, member in enumerate(members):
        weights = start[k].clone().requires_grad_()
        reference = namesake(member, weights, RATES[k])
        for t in range(STEPS):
            weights.grad = gradients[t, k].clone()
            reference.step()
            torch.testing.assert_close(path[t, k], weights.detach(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_same_bits_alone(members, dtype):
    start, gradients = problem(dtype)
    together = run(members, start, gradients, RATES)
    for k in range(3):
        alone = run(members[k : k + 1], start[k : k + 1], gradients[:, k : k + 1], RATES[k : k + 1])
        assert torch.equal(alone[:, 0], together[:, k])


@pytest.mark.parametrize("members", VARIANTS.values(), ids=VARIANTS)
def test_variants_share_a_structure_and_differ(members):
    assert len({m.structure() for m in members}) == 1
    differ = len({repr(m) for m in members}) == 3
    start, gradients = problem(torch.float64)
    start, gradients = start[:1].expand(3, -1).clone(), gradients[:, :1].expand(-1, 3, -1)
    path = run(members, start, gradients, (0.01,) * 3 if differ else RATES)
    assert not torch.equal(path[-1, 0], path[-1, 1])


@pytest.mark.parametrize("name", NAMES)
def test_zero_gradient_keeps_padding_at_zero(name):
    optimizer = optimizers.get(name)
    start, gradients = problem(torch.float32)
    start[:, -5:], gradients[:, :, -5:] = 0, 0
    path = run([optimizer] * 3, start, gradients, RATES)
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
def test_state_has_the_parameters_shape_and_stateful_is_true_of_it(name):
    optimizer = optimizers.get(name)
    state = optimizer.init(torch.ones(2, 32))
    assert all(tensor.shape == (2, 32) for tensor in state.values())
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


def test_default_learning_rates_are_torchs_but_for_sgd():
    parameter = torch.zeros(1, requires_grad=True)
    for name in set(NAMES) - {"sgd", "momentum", "nesterov"}:
        optimizer = optimizers.get(name)
        reference = getattr(torch.optim, type(optimizer).__name__)([parameter])
        assert optimizer.default_learning_rate == reference.defaults["lr"]
        assert optimizer.default_weight_decay == reference.defaults["weight_decay"]


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
    ],
)
def test_bad_values_are_refused(optimizer):
    with pytest.raises(ValueError, match=f"parameter of {type(optimizer).__name__} "):
        optimizers.get(optimizer)


@pytest.mark.parametrize("name", optimizers.names())
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
