"""Stacked layers and networks against autograd and torch's own layers, and the door for a user's module."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.special import expit, softmax
from sklearn.base import clone
from torch import nn
from torch.autograd import gradcheck
from torch.autograd.function import once_differentiable

from sknnopt import activations, initializers, losses, optimizers, regularization, schedules
from sknnopt._random import MemberRandom
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Techniques, train
from sknnopt.nn import (
    EVALUATION,
    MLP,
    CustomNetwork,
    Layout,
    MemberAverage,
    Module,
    Pass,
    ResNet,
    Rows,
    Workspace,
    load_member,
    padded,
    predict_scores,
)
from sknnopt.nn._dense import Dense
from sknnopt.nn._elementwise import Dropout
from sknnopt.nn._normalization import EPSILON, MOMENTUM, BatchNorm, LayerNorm
from sknnopt.nn._parts import ActivationPart, Binding, DensePart, ResidualPart
from sknnopt.nn._residual import Branch
from sknnopt.nn._workspace import height, width

CPU = torch.device("cpu")
DOUBLE = torch.float64
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
K, B, F = 3, 7, 5
ACTIVATIONS = sorted({repr(activations.get(name)): name for name in activations.names()}.values())
"""One name for each technique."""
COUNTS = (7, 4, 2)
"""Rows of each member that are no padding."""


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def randn(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def streams(members, seed=0):
    return [MemberRandom(np.random.SeedSequence((seed, k)), CPU) for k in range(members)]


def whole_pass(members, rows, dtype=DOUBLE):
    return Pass(True, None, torch.full((members, 1, 1), float(rows), dtype=dtype))


def padded_pass(counts, rows, dtype=DOUBLE):
    count = torch.tensor(counts, dtype=dtype).view(-1, 1, 1)
    return Pass(True, (torch.arange(rows) < count).to(dtype), count)


def as_rows(space, name, values):
    rows = space.features(name, values.shape[1])
    rows.view.copy_(values)
    return rows


def memory(layout, members, dtype=DOUBLE, values=None):
    flat = torch.zeros(members, layout.size, dtype=dtype)
    views = layout.views(flat)
    for name, value in (values or {}).items():
        views[name].copy_(value)
    return flat, views


# --------------------------------------------------------------------------------------------------
# Layers: what makes one, its parameters, and torch's layer of one member


def dense(parameters, gradients, space):
    return Dense("layer", parameters, gradients, space, input_gradient=True)


def batch_norm(parameters, gradients, space):
    features = parameters["layer.weight"].shape[1]
    buffers = {
        "layer.running_mean": torch.zeros(space.members, features, dtype=space.dtype),
        "layer.running_var": torch.ones(space.members, features, dtype=space.dtype),
    }
    return BatchNorm("layer", parameters, gradients, buffers, space)


def layer_norm(parameters, gradients, space):
    return LayerNorm("layer", parameters, gradients, space)


def binding(parameters, gradients, space, rates=()):
    members = range(space.members)
    random = streams(space.members)
    return Binding(parameters, gradients, {}, space, [() for _ in members], rates[: space.members], random)


def activation_case(activation):
    """A layer of F inputs, or of 2 F for a gated one."""
    shapes = {f"layer.{leaf}": shape for leaf, (shape, _) in activation.parameters(F).items()}

    def make(parameters, gradients, space):
        return ActivationPart("layer", activation, F).bind(binding(parameters, gradients, space))

    return make, shapes, ActivationPart("layer", activation, F).module


def residual_case(rates=()):
    """A block of a dense layer, an activation with a parameter, and another dense layer."""
    body = (
        DensePart("layer.first", F, 4),
        ActivationPart("layer.act", activations.get("learnable_swish"), 4),
        DensePart("layer.last", 4, F),
    )
    part = ResidualPart("layer", body, F, 0.5)
    shapes = dict([*part.weights(), *part.biases(), *part.others()])

    def make(parameters, gradients, space):
        return part.bind(binding(parameters, gradients, space, rates))

    return make, shapes, None if rates else part.module


def dropout(parameters, gradients, space):
    return Dropout("layer", [0.2, 0.5, 0.7][: space.members], streams(space.members), F, space)


NORMS = {"layer.weight": (F,), "layer.bias": (F,)}
LAYERS = {
    "dense": (dense, {"layer.weight": (4, F), "layer.bias": (4,)}, lambda: nn.Linear(F, 4)),
    "dense, one output": (dense, {"layer.weight": (1, F), "layer.bias": (1,)}, lambda: nn.Linear(F, 1)),
    "batch norm": (batch_norm, NORMS, lambda: nn.BatchNorm1d(F, eps=EPSILON, momentum=MOMENTUM)),
    "layer norm": (layer_norm, NORMS, lambda: nn.LayerNorm(F, eps=EPSILON)),
    "dropout": (dropout, {}, None),
    "residual": residual_case(),
    "residual, stochastic depth": residual_case((0.9, 0.0, 0.5)),
    "shared slope": activation_case(activations.PReLU(shared=True)),
} | {name: activation_case(activations.get(name)) for name in ACTIVATIONS}


class Run(torch.autograd.Function):
    """A stacked layer as a function that autograd knows: fresh memory at each call."""

    @staticmethod
    def forward(ctx, make, step, layout, x, *values):
        ctx.space = Workspace(*x.shape[::2], x.dtype, x.device)
        _, parameters = memory(layout, len(x), x.dtype, dict(zip(layout.blocks, values, strict=True)))
        ctx.gradients = memory(layout, len(x), x.dtype)[1]
        ctx.layer = make(parameters, ctx.gradients, ctx.space)
        return ctx.layer.forward(as_rows(ctx.space, "x", x), step).view.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        out = ctx.layer.backward(as_rows(ctx.space, "gradient", gradient))
        return None, None, None, out.view.clone(), *(ctx.gradients[name].clone() for name in ctx.gradients)


def layer_inputs(name):
    """A layer's maker and layout, an input and values for its parameters."""
    make, shapes, module = LAYERS[name]
    layout = Layout(shapes.items(), ())
    gated = name in ACTIVATIONS and activations.get(name).expansion > 1
    x = randn(K, 2 * F if gated else F, B).requires_grad_()
    values = [randn(K, *shape, seed=i + 1).requires_grad_() for i, shape in enumerate(shapes.values())]
    return make, layout, module, x, values


PASSES = {"whole": whole_pass(K, B), "padded": padded_pass(COUNTS, B)}


@pytest.mark.parametrize("kind", PASSES)
@pytest.mark.parametrize("name", LAYERS)
def test_backward_is_the_derivative_of_forward(name, kind):
    make, layout, _, x, values = layer_inputs(name)
    step = PASSES[kind]

    def function(x, *values):
        out = Run.apply(make, step, layout, x, *values)
        return out if step.valid is None else out * step.valid

    assert gradcheck(function, (x, *values))


@pytest.mark.parametrize("name", [name for name, (_, _, module) in LAYERS.items() if module is not None])
def test_a_layer_is_torchs_own(name):
    make, layout, module, x, values = layer_inputs(name)
    out = Run.apply(make, PASSES["whole"], layout, x, *values)
    weight = randn(*out.shape, seed=9)
    gradients = torch.autograd.grad(out, [x, *values], weight)
    for k in range(K):
        own = module().double()
        load_member(
            own,
            {
                block.removeprefix("layer."): v[k].detach().clone()
                for block, v in zip(layout.blocks, values, strict=True)
            },
            {},
        )
        rows = x[k].detach().T.clone().requires_grad_()
        expected = own(rows)
        torch.testing.assert_close(out[k], expected.T, **CLOSE)
        parameters = dict(own.named_parameters())
        names = [block.removeprefix("layer.") for block in layout.blocks]
        found = torch.autograd.grad(expected, [rows, *(parameters[n] for n in names)], weight[k].T)
        torch.testing.assert_close(gradients[0][k], found[0].T, **CLOSE)
        for gradient, reference in zip(gradients[1:], found[1:], strict=True):
            torch.testing.assert_close(gradient[k], reference, **CLOSE)


@pytest.mark.parametrize("kind", PASSES)
def test_batch_norm_follows_the_statistics_of_real_rows(kind):
    """Padding rows hold anything; the statistics are those of torch on the rows alone."""
    step, x = PASSES[kind], randn(K, F, B) * 3 + 1
    layout, buffers = (
        Layout((), NORMS.items()),
        Layout((), [("layer.running_mean", (F,)), ("layer.running_var", (F,))]),
    )
    parameters = {"layer.weight": randn(K, F, seed=1), "layer.bias": randn(K, F, seed=2)}
    statistics = memory(buffers, K, values={"layer.running_mean": randn(K, F, seed=3), "layer.running_var": 2.0})[1]
    before = {name: value.clone() for name, value in statistics.items()}
    space = Workspace(K, B, DOUBLE, CPU)
    layer = BatchNorm("layer", memory(layout, K, values=parameters)[1], memory(layout, K)[1], statistics, space)
    for _ in range(2):
        out = layer.forward(as_rows(space, "x", x), step).view.clone()
    still = layer.forward(as_rows(space, "x", x), EVALUATION).view
    for k, count in enumerate(COUNTS if kind == "padded" else (B,) * K):
        own = nn.BatchNorm1d(F, eps=EPSILON, momentum=MOMENTUM).double()
        load_member(
            own,
            {n.removeprefix("layer."): v[k].clone() for n, v in parameters.items()},
            {n.removeprefix("layer."): v[k] for n, v in before.items()},
        )
        for _ in range(2):
            expected = own(x[k].T[:count])
        torch.testing.assert_close(out[k].T[:count], expected.detach(), **CLOSE)
        for leaf in ("running_mean", "running_var"):
            torch.testing.assert_close(statistics[f"layer.{leaf}"][k], getattr(own, leaf), **CLOSE)
        torch.testing.assert_close(still[k].T, own.eval()(x[k].T).detach(), **CLOSE)


def test_one_row_moves_no_running_statistics():
    step, x = padded_pass((1, 3), 4), randn(2, F, 4)
    layer_space = Workspace(2, 4, DOUBLE, CPU)
    buffers = {"layer.running_mean": randn(2, F, seed=3), "layer.running_var": randn(2, F, seed=4).exp()}
    before = {name: value.clone() for name, value in buffers.items()}
    layout = Layout((), NORMS.items())
    parameters = memory(layout, 2, values={"layer.weight": 1.0})[1]
    BatchNorm("layer", parameters, None, buffers, layer_space).forward(as_rows(layer_space, "x", x), step)
    for name, value in buffers.items():
        torch.testing.assert_close(value[0], before[name][0], **CLOSE)
        assert not torch.isclose(value[1], before[name][1]).any()


def dropped(rates, rows=400, features=50, training=True):
    space = Workspace(len(rates), rows, torch.float32, CPU)
    layer = Dropout("layer", rates, streams(len(rates)), features, space)
    x = as_rows(space, "x", torch.ones(len(rates), features, rows))
    step = whole_pass(len(rates), rows, torch.float32) if training else EVALUATION
    return layer.forward(x, step).view.clone(), layer, space, x, step


def test_dropout_zeroes_with_each_members_rate_and_keeps_the_mean():
    rates = [0.05, 0.25, 0.5, 0.9]
    out, *_ = dropped(rates)
    n = out[0].numel()
    for values, rate in zip(out, rates, strict=True):
        kept = values != 0
        assert abs(1 - float(kept.double().mean()) - rate) < 4 * (rate * (1 - rate) / n) ** 0.5
        torch.testing.assert_close(values[kept], torch.full_like(values[kept], 1 / (1 - rate)), rtol=1e-4, atol=0)


def test_dropout_draws_anew_at_each_step_and_for_each_member():
    first, layer, _, x, step = dropped([0.5, 0.5])
    second = layer.forward(x, step).view
    for a, b in ((first[0], first[1]), (first[0], second[0])):
        assert 0.45 < float(((a != 0) == (b != 0)).double().mean()) < 0.55


def test_dropout_does_nothing_in_evaluation():
    out, *_ = dropped([0.5], training=False)
    assert bool((out == 1).all())


@pytest.mark.parametrize("rate", [1 - 1e-4, 1 - 1e-9])
def test_dropout_near_one_drops_nearly_all(rate):
    out, *_ = dropped([rate])
    assert out.isfinite().all()
    assert float((out != 0).double().mean()) < 1e-3


# --------------------------------------------------------------------------------------------------
# Stochastic depth


def deep(rates, rows=400, blocks=4, dtype=torch.float32, seeds=None, **options):
    """A stack of residual blocks over the same random weights for each member, and its gradients."""
    network = ResNet(F, (4,) * blocks, 2, activations.get("tanh"), None, (0.0,) * blocks)
    network = replace(network, **options)
    flat = randn(1, network.layout.size, dtype=dtype).repeat(len(rates), 1)
    gradients, slopes = memory(network.layout, len(rates), dtype)
    space = Workspace(len(rates), rows, dtype, CPU)
    random = [streams(9)[k] for k in (range(len(rates)) if seeds is None else seeds)]
    shape = (len(rates), network.buffers.size)
    stack = network.bind(
        flat, gradients, torch.zeros(shape, dtype=dtype), space,
        dropout=[network.dropout] * len(rates), random=random, depth_rates=rates,
    )  # fmt: skip
    return network, stack, slopes, space, flat


def branches(stack):
    return [layer for layer in stack._layers if isinstance(layer, Branch)]


def test_stochastic_depth_drops_whole_rows_more_often_the_deeper():
    """Block l of L has l / L of the rate, and what is kept is scaled up."""
    rates = [0.2, 0.5, 0.0, 0.9]
    _, stack, *_ = deep(rates)
    x = randn(4, 400, F, dtype=torch.float32)
    stack.forward(x, whole_pass(4, 400, torch.float32))
    for i, branch in enumerate(branches(stack)):
        mask = branch._depth.last
        assert mask.shape == (4, 1, 400)
        for own, last in zip(mask[:, 0], rates, strict=True):
            rate = last * (i + 1) / 4
            kept = own != 0
            assert abs(1 - float(kept.double().mean()) - rate) <= 4 * (rate * (1 - rate) / 400) ** 0.5
            torch.testing.assert_close(own[kept], torch.full_like(own[kept], 1 / (1 - rate)), rtol=1e-4, atol=0)
    first, second = (branches(stack)[i]._depth.last[1] != 0 for i in (2, 3))
    assert (first != second).any()


def test_a_row_whose_branches_are_dropped_goes_straight_through():
    network, stack, _, _, flat = deep([1 - 1e-9], rows=50, blocks=1)
    x = randn(1, 50, F, dtype=torch.float32)
    scores = stack.forward(x, whole_pass(1, 50, torch.float32)).view[0].T.clone()
    module = network.module()
    load_member(module, network.layout.single(flat[0]), {})
    dropped = branches(stack)[0]._depth.last[0, 0] == 0
    assert dropped.all()
    straight = module.output(module.activation(module.dense(x[0])))
    torch.testing.assert_close(scores, straight.detach())


def test_stochastic_depth_does_nothing_in_evaluation_and_keeps_its_masks_in_a_step_done_again():
    network, stack, _, _, flat = deep([0.5])
    x, step = randn(1, 400, F, dtype=torch.float32), whole_pass(1, 400, torch.float32)
    first = stack.forward(x, step).view.clone()
    assert torch.equal(stack.forward(x, replace(step, again=True)).view, first)
    assert not torch.equal(stack.forward(x, step).view, first)
    module = network.module()
    load_member(module, network.layout.single(flat[0]), {})
    torch.testing.assert_close(stack.forward(x, EVALUATION).view[0].T, module(x[0]).detach())


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["silu", "geglu", "prelu"])
def test_stochastic_depth_of_one_is_not_that_of_the_others(activation, normalization, dtype):
    """Same bits alone, also beside members whose rate is zero, and masks that dropout draws after are the same too."""
    rates, rows = [0.4, 0.0, 0.7], 33
    options = {"activation": activations.get(activation), "normalization": normalization, "dropout": (0.3,) * 4}
    x, weight = randn(3, rows, F, dtype=dtype), randn(3, 2, rows, seed=1, dtype=dtype)

    def run(members):
        _, stack, slopes, space, _ = deep([rates[k] for k in members], rows, dtype=dtype, seeds=members, **options)
        own = x[list(members)].clone()
        for _ in range(3):
            scores = stack.forward(own, whole_pass(len(members), rows, dtype)).view.clone()
            stack.backward(as_rows(space, "gradient", weight[list(members)]))
        return [scores, *slopes.values()]

    together = run((0, 1, 2))
    for k in range(3):
        for all_of_them, own in zip(together, run((k,)), strict=True):
            assert torch.equal(all_of_them[k], own[0])


# --------------------------------------------------------------------------------------------------
# The whole network


NETWORKS = {
    "no hidden layer": (),
    "one": (6,),
    "one unit": (1,),
    "three": (6, 33, 4),
}


STACKED = [MLP, ResNet]
SHAPES = {
    f"{make.__name__}, {name}": (make, hidden)
    for make in STACKED
    for name, hidden in NETWORKS.items()
    if hidden or make is MLP
}
stacked = pytest.mark.parametrize("make", STACKED)


def bound(network, members, rows, *, seed=0, dtype=DOUBLE, training=True, rates=None):
    """Random parameters and statistics, their gradients, and the stack over them."""
    flat, views = memory(network.layout, members, dtype)
    for i, view in enumerate(views.values()):
        view.copy_(randn(*view.shape, seed=seed + i, dtype=dtype))
    statistics, leaves = memory(network.buffers, members, dtype)
    for name, view in leaves.items():
        view.copy_(randn(*view.shape, seed=seed + 50, dtype=dtype).abs_().add_(0.5 if name.endswith("var") else 0))
    gradients, slopes = memory(network.layout, members, dtype)
    space = Workspace(members, rows, dtype, CPU)
    rates = [network.dropout] * members if rates is None else rates
    stack = network.bind(
        flat, gradients if training else None, statistics, space, dropout=rates, random=streams(members)
    )
    return stack, views, leaves, slopes, space


def module_of(network, views, leaves, k):
    module = network.module()
    load_member(module, {n: v[k].clone() for n, v in views.items()}, {n: v[k].clone() for n, v in leaves.items()})
    return module


@pytest.mark.parametrize("kind", ["whole", "padded"])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize(("make", "hidden"), SHAPES.values(), ids=SHAPES)
def test_a_stack_follows_its_module(make, hidden, normalization, n_outputs, kind):
    network = make(F, hidden, n_outputs, activations.get("silu"), normalization, (0.0,) * len(hidden))
    stack, views, leaves, slopes, space = bound(network, K, B)
    modules = [module_of(network, views, leaves, k).train() for k in range(K)]
    counts = COUNTS if kind == "padded" else (B,) * K
    step = padded_pass(counts, B) if kind == "padded" else whole_pass(K, B)
    x, weight = randn(K, B, F, seed=70), randn(K, n_outputs, B, seed=71)
    weight = weight if step.valid is None else weight * step.valid
    scores = stack.forward(x, step).view.clone()
    stack.backward(as_rows(space, "gradient", weight))
    stack.sync()
    for k, (module, count) in enumerate(zip(modules, counts, strict=True)):
        expected = module(x[k, :count])
        torch.testing.assert_close(scores[k, :, :count], expected.T, **CLOSE)
        expected.backward(weight[k, :, :count].T)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(slopes[name][k], parameter.grad, **CLOSE, msg=name)
        for name, view in leaves.items():
            torch.testing.assert_close(view[k], module.get_buffer(name), **CLOSE, msg=name)


@stacked
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_a_network_is_its_formula(normalization, make):
    network = make(F, (6, 4), 3, activations.get("tanh"), normalization, (0.0, 0.0))
    stack, views, *_ = bound(network, 1, B)
    own = {name: view[0] for name, view in views.items()}

    def dense(name, rows):
        return rows @ own[f"{name}.weight"].T + own[f"{name}.bias"]

    def norm(name, rows):
        if normalization is None:
            return rows
        variance, mean = torch.var_mean(rows, 0 if normalization == "batch" else 1, correction=0, keepdim=True)
        return (rows - mean) / (variance + 1e-5).sqrt() * own[f"{name}.weight"] + own[f"{name}.bias"]

    x = randn(1, B, F, seed=70)
    if make is MLP:
        rows = torch.tanh(norm("norm_0", dense("dense_0", x[0])))
        rows = torch.tanh(norm("norm_1", dense("dense_1", rows)))
    else:
        rows = dense("dense", x[0])
        for block in ("block_0", "block_1"):
            inner = torch.tanh(dense(f"{block}.dense_in", norm(f"{block}.norm", rows)))
            rows = rows + dense(f"{block}.dense_out", inner)
        rows = torch.tanh(norm("norm", rows))
    scores = stack.forward(x, whole_pass(1, B)).view[0].T
    torch.testing.assert_close(scores, dense("output", rows), **CLOSE)


@stacked
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_stack_of_each_activation_follows_its_module(activation, normalization, make):
    network = make(F, (6, 4), 2, activations.get(activation), normalization, (0.0, 0.0))
    stack, views, leaves, slopes, space = bound(network, 2, B)
    modules = [module_of(network, views, leaves, k).train() for k in range(2)]
    x, weight = randn(2, B, F, seed=70), randn(2, 2, B, seed=71)
    for _ in range(2):  # buffers are used again
        stack.forward(x, whole_pass(2, B))
        stack.backward(as_rows(space, "gradient", weight))
    for k, module in enumerate(modules):
        module(x[k]).backward(weight[k].T)
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(slopes[name][k], parameter.grad, **CLOSE, msg=name)


@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("activation", ["gelu", "swiglu", "prelu"])
@stacked
def test_a_stack_in_evaluation_is_its_module(make, activation, normalization, training, rate):
    """Whether it was bound for training or for evaluation alone."""
    network = make(F, (6, 4), 3, activations.get(activation), normalization, (rate, rate))
    stack, views, leaves, _, _ = bound(network, K, B, training=training)
    x = randn(K, B, F, seed=70)
    before = {name: value.clone() for name, value in leaves.items()}
    scores = stack.forward(x, EVALUATION).view
    for k in range(K):
        module = module_of(network, views, leaves, k).eval()
        torch.testing.assert_close(scores[k].T, module(x[k]).detach(), **CLOSE)
    assert all(torch.equal(value, before[name]) for name, value in leaves.items())


def test_a_module_has_the_layers_that_its_parameters_say():
    network = MLP(4, (8, 6), 3, activations.get("relu"), "batch", (0.5, 0.0))
    names = [name for name, _ in network.module().named_children()]
    assert names == [
        "dense_0",
        "norm_0",
        "activation_0",
        "dropout_0",
        "dense_1",
        "norm_1",
        "activation_1",
        "output",
    ]
    sizes = {name: tuple(p.shape) for name, p in network.module().named_parameters()}
    assert sizes == {name: block.shape for name, block in network.layout.blocks.items()}
    assert network.layout.n_parameters == sum(p.numel() for p in network.module().parameters())
    assert set(network.buffers.blocks) == {f"norm_{i}.running_{s}" for i in (0, 1) for s in ("mean", "var")}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "prelu", "parametric_mish", "geglu"])
@stacked
def test_small_batches_of_each_kind_follow_their_module(make, activation, rows):
    for hidden, inputs in (((1,), 1), ((1, 3), 2)):
        network = make(inputs, hidden, 1, activations.get(activation), None, (0.0,) * len(hidden))
        stack, views, leaves, slopes, space = bound(network, 2, rows)
        x, weight = randn(2, rows, inputs, seed=70), randn(2, 1, rows, seed=71)
        scores = stack.forward(x, whole_pass(2, rows)).view.clone()
        stack.backward(as_rows(space, "gradient", weight))
        for k in range(2):
            module = module_of(network, views, leaves, k)
            expected = module(x[k])
            torch.testing.assert_close(scores[k].T, expected, **CLOSE)
            expected.backward(weight[k].T)
            for name, parameter in module.named_parameters():
                torch.testing.assert_close(slopes[name][k], parameter.grad, **CLOSE, msg=name)


def test_a_residual_module_has_the_layers_that_its_parameters_say():
    network = ResNet(4, (8, 6), 3, activations.get("prelu"), "batch", (0.5, 0.0))
    module = network.module()
    assert [name for name, _ in module.named_children()] == [
        "dense", "block_0", "block_1", "norm", "activation", "output",
    ]  # fmt: skip
    inside = ["norm", "dense_in", "activation", "dropout", "dense_out"]
    assert [name for name, _ in module.block_0.named_children()] == inside
    assert [name for name, _ in module.block_1.named_children()] == [name for name in inside if name != "dropout"]
    sizes = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert sizes == {name: block.shape for name, block in network.layout.blocks.items()}
    assert sizes["block_1.dense_in.weight"] == (6, 8)
    assert sizes["block_1.activation.weight"] == (6,)
    assert sizes["activation.weight"] == (8,)
    weights = [name for name, block in network.layout.blocks.items() if block.offset < network.layout.weight_size]
    assert weights == [name for name in sizes if "dense" in name and "weight" in name] + ["output.weight"]
    assert len(network.buffers.blocks) == 6


@pytest.mark.parametrize("activation", [*map(activations.get, ACTIVATIONS), activations.PReLU(shared=True)], ids=repr)
@stacked
def test_a_layout_has_the_shapes_of_the_module(make, activation):
    network = make(4, (8, 6), 3, activation, "batch", (0.0, 0.0))
    module = ActivationPart("activation", activation, 6).module()
    learned = {f"activation.{name}": tuple(p.shape) for name, p in module.named_parameters()}
    assert dict(ActivationPart("activation", activation, 6).others()) == learned
    sizes = {name: tuple(p.shape) for name, p in network.module().named_parameters()}
    assert sizes == {name: block.shape for name, block in network.layout.blocks.items()}


def test_a_gated_layer_is_twice_as_wide():
    activation = activations.get("swiglu")
    sizes = {name: block.shape for name, block in MLP(4, (8,), 3, activation, "layer", (0.0,)).layout.blocks.items()}
    assert sizes["dense_0.weight"] == (16, 4)
    assert sizes["norm_0.weight"] == sizes["dense_0.bias"] == (16,)
    assert sizes["output.weight"] == (3, 8)
    resnet = ResNet(4, (8, 6), 3, activation, None, (0.0, 0.0))
    sizes = {name: block.shape for name, block in resnet.layout.blocks.items()}
    assert sizes["block_1.dense_in.weight"] == (12, 8)
    assert sizes["block_1.dense_out.weight"] == (8, 6)
    assert isinstance(resnet.module().activation, nn.SiLU)


@stacked
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_initial_activations_keep_their_size(make, activation):
    """With standard normal inputs a gated layer's outputs have a second moment of one, others what the gain makes."""
    chosen = activations.get(activation)
    network = make(60, (400,), 1, chosen, None, (0.0,))
    flat = torch.zeros(network.layout.size)
    network.initialize(network.layout.single(flat), {}, initializers.get("kaiming_normal"), streams(1)[0])
    module = network.module()
    load_member(module, network.layout.single(flat), {})
    x = randn(2000, 60, dtype=torch.float32)
    inner = nn.Sequential(*module[:2]) if make is MLP else nn.Sequential(*module.block_0[:2])
    x = x if make is MLP else module.dense(x)
    expected = 1.0 if chosen.expansion == 2 else chosen.second_moment(chosen.gain)
    assert float(inner(x).detach().square().mean()) == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("name", ["prelu", "learnable_swish", "parametric_mish"])
@stacked
def test_learned_values_begin_where_they_should(make, name):
    activation = activations.get(name).set_params(initial=0.625)
    network = make(4, (8, 6), 3, activation, "layer", (0.0, 0.0))
    values = network.layout.single(torch.zeros(network.layout.size))
    network.initialize(values, {}, initializers.get("zeros"), streams(1)[0])
    leaf = next(iter(activation.parameters(1)))
    own = [value for name, value in values.items() if "activation" in name and name.endswith(leaf)]
    assert sorted(len(value) for value in own) == ([6, 8] if make is MLP else [6, 8, 8])
    assert all((value == 0.625).all() for value in own)


def test_initial_values_are_the_initializers_and_neutral():
    network = MLP(40, (50, 30), 3, activations.get("relu"), "batch", (0.0, 0.0))
    flat, statistics = torch.zeros(network.layout.size), torch.zeros(network.buffers.size)
    values = network.layout.single(flat) | network.buffers.single(statistics)
    parts = network.layout.single(flat), network.buffers.single(statistics)
    network.initialize(*parts, initializers.get("kaiming_normal"), streams(1)[0])
    for name, value in values.items():
        if value.ndim == 2:
            gain = 1.0 if name == "output.weight" else 2**0.5
            assert float(value.std()) == pytest.approx(gain / value.shape[1] ** 0.5, rel=0.2)
        else:
            neutral = (
                1.0 if name.endswith("running_var") or (name.startswith("norm") and name.endswith("weight")) else 0.0
            )
            assert bool((value == neutral).all()), name
    again = torch.zeros_like(flat)
    network.initialize(network.layout.single(again), parts[1], initializers.get("kaiming_normal"), streams(1)[0])
    assert torch.equal(flat, again)


MLPS = {
    "sizes": {"hidden": (8, 7), "dropout": (0.0, 0.0)},
    "inputs": {"n_inputs": 6},
    "outputs": {"n_outputs": 4},
    "activation": {"activation": activations.get("tanh")},
    "its number": {"activation": activations.LeakyReLU(negative_slope=0.3)},
    "normalization": {"normalization": "layer"},
    "where dropout acts": {"dropout": (0.1,)},
}


@stacked
def test_only_networks_of_one_shape_are_stacked(make):
    base = make(5, (8,), 3, activations.LeakyReLU(), None, (0.0,))
    other = next(kind for kind in STACKED if kind is not make)
    assert other(5, (8,), 3, activations.LeakyReLU(), None, (0.0,)).structure() != base.structure()
    assert base.structure() == replace(base, activation=activations.LeakyReLU()).structure()
    dropping = replace(base, dropout=(0.1,))
    assert dropping.structure() == replace(base, dropout=(0.7,)).structure()
    others = [replace(base, **change).structure() for change in MLPS.values()]
    assert len({base.structure(), *others}) == len(MLPS) + 1


# --------------------------------------------------------------------------------------------------
# Memory


@pytest.mark.parametrize("seed", range(8))
def test_blocks_lie_on_the_grid_and_share_memory(seed):
    rng = np.random.default_rng(seed)
    weights = [(f"w{i}", tuple(int(n) for n in rng.integers(1, 40, rng.integers(2, 5)))) for i in range(4)]
    others = [(f"b{i}", tuple(int(n) for n in rng.integers(1, 70, rng.integers(0, 2)))) for i in range(4)]
    layout = Layout(weights, others)
    blocks = list(layout.blocks.values())
    assert [block.name for block in blocks] == [name for name, _ in weights + others]
    assert layout.n_parameters == sum(int(np.prod(shape)) for _, shape in weights + others)
    ends = [block.offset + block.size for block in blocks]
    assert all(block.offset % 32 == 0 for block in blocks)
    assert layout.size % 32 == layout.weight_size % 32 == 0
    assert all(end <= following.offset for end, following in zip(ends, blocks[1:], strict=False))
    assert ends[3] <= layout.weight_size <= blocks[4].offset
    flat = torch.zeros(3, layout.size)
    for value, view in enumerate(layout.views(flat).values(), start=1):
        assert not view.any()
        view.fill_(value)
        if view.numel() > 3:
            assert (view.data_ptr() - flat.data_ptr()) % 128 == view.stride(0) * 4 % 128 == 0
    assert int((flat != 0).sum()) == 3 * layout.n_parameters
    for name, view in layout.single(flat[1]).items():
        assert view.shape == layout.blocks[name].shape
        assert torch.equal(view, layout.views(flat)[name][1])
        assert view.untyped_storage().data_ptr() == flat.untyped_storage().data_ptr()


@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 100])
def test_padded(n):
    assert padded(n) % 32 == 0
    assert 0 <= padded(n) - n < 32


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize(("rows", "features"), [(1, 1), (7, 5), (32, 4), (33, 3), (200, 7)])
def test_buffers_lie_on_the_grid_and_share_memory(rows, features, dtype):
    space = Workspace(3, rows, dtype, CPU)
    buffer = space.features("a", features)
    assert (buffer.view.shape, buffer.view.dtype) == ((3, features, rows), dtype)
    assert buffer.flat.shape == (3, padded(rows * height(features, rows)))
    assert buffer.flat.is_contiguous()
    assert buffer.flat.stride(0) * buffer.flat.element_size() % 128 == 0
    assert not buffer.flat.any()
    buffer.view.fill_(1.0)
    assert int(buffer.flat.sum()) == 3 * features * rows
    assert space.features("a", features).flat.data_ptr() == buffer.flat.data_ptr()
    assert space.features("b", features).flat.data_ptr() != buffer.flat.data_ptr()
    part = space.narrow(2).features("a", features)
    assert part.view.shape == (2, features, rows)
    assert part.flat.data_ptr() == buffer.flat.data_ptr()
    inputs = space.inputs("c", features)
    assert inputs.shape == (3, rows, features)
    assert inputs.stride(0) * inputs.element_size() % 128 == 0


@pytest.mark.parametrize("rows", [1, 7, 32, 33, 50, 100, 200])
def test_narrow_buffers_end_on_the_grid_where_few_rows_more_do_it(rows):
    for features in range(1, 70):
        tall = height(features, rows)
        assert features <= tall <= 1.5 * features
        assert tall == features or (tall * rows % 32 == 0 and features * rows % 32 > 0)
        buffer = Workspace(2, rows, torch.float32, CPU).features("a", features)
        assert buffer.tall(tall).data_ptr() == buffer.flat.data_ptr()
        assert tall == features or buffer.tall(tall).is_contiguous()


@pytest.mark.parametrize("rows", [32, 33, 200])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 32), (4, 7), (13, 5), (54, 7), (63, 33), (64, 10), (70, 11)])
def test_columns_and_rows_of_padding_change_no_result(rows, inputs, outputs):
    network = MLP(inputs, (), outputs, activations.get("relu"), None, ())
    flat, views = memory(network.layout, 2)
    views["output.weight"].copy_(randn(2, outputs, inputs))
    gradients, slopes = memory(network.layout, 2)
    space = Workspace(2, rows, DOUBLE, CPU)
    stack = network.bind(flat, gradients, torch.zeros(2, 0), space, dropout=[(), ()], random=streams(2))
    x, weight = randn(2, rows, inputs), randn(2, outputs, rows, seed=1)
    for columns in (width(inputs), inputs):
        wide = torch.zeros(2, rows, columns, dtype=DOUBLE)
        wide[..., :inputs] = x
        gradients.fill_(7.0)
        assert torch.allclose(stack.forward(wide, whole_pass(2, rows)).view, views["output.weight"] @ x.mT, **CLOSE)
        stack.backward(as_rows(space, "gradient", weight))
        assert torch.allclose(slopes["output.weight"], weight @ x, **CLOSE)
        assert torch.allclose(slopes["output.bias"], weight.sum(2), **CLOSE)


TRAINED = Techniques(
    loss=losses.get("cross_entropy", task="classification"),
    optimizer=optimizers.Adam(),
    learning_rate=0.02,
    weight_decay=0.1,
    schedule=schedules.Constant(),
    warmup=0.0,
    batch_size=8,
    max_epochs=3,
    initializer=initializers.get("xavier_normal"),
    regularization=regularization.ElasticNet(strength=1e-3),
    gradient_clipping=1.0,
    dropout=(0.3, 0.3),
    label_smoothing=0.1,
)


def trained(network, *, epochs=3, seed=0, dtype=DOUBLE, keep=False, **techniques):
    rng = np.random.default_rng(0)
    table = Table(torch.from_numpy(rng.standard_normal((21, F))).to(dtype), torch.from_numpy(rng.integers(0, 3, 21)))
    techniques = replace(TRAINED, **techniques)
    rows, seed = np.arange(21), np.random.SeedSequence(seed)
    return train([Job(network, table, rows, techniques, seed, epochs, (CPU,), dtype, keep_progress=keep)])[0]


def padding(layout):
    """Where a flat vector holds no parameter."""
    gaps = torch.ones(layout.size, dtype=torch.bool)
    for view in layout.single(gaps).values():
        view.fill_(False)
    return gaps


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["sigmoid", "prelu", "learnable_swish", "glu"])
@stacked
def test_padding_stays_zero_after_training_of_each_kind(make, activation, normalization, dtype):
    network = make(F, (6, 9), 3, activations.get(activation), normalization, (0.3, 0.3))
    result = trained(network, optimizer=optimizers.Adam(), dtype=dtype)
    assert not result.parameters[padding(network.layout)].any()
    assert not result.buffers[padding(network.buffers)].any()
    assert result.history[-1]["train_loss"] < result.history[0]["train_loss"]


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("name", optimizers.names())
def test_padding_stays_zero_after_training(name, normalization, dtype):
    network = MLP(F, (6, 9), 3, activations.get("sigmoid"), normalization, (0.3, 0.3))
    result = trained(network, optimizer=optimizers.get(name), dtype=dtype, keep=True)
    gaps = padding(network.layout)
    assert int(gaps.sum()) == network.layout.size - network.layout.n_parameters > 0
    assert not result.parameters[gaps].any()
    assert not result.buffers[padding(network.buffers)].any()
    assert all(value.isfinite().all() for value in result.progress.state.values())


# --------------------------------------------------------------------------------------------------
# A user's own module


class Tied(nn.Module):
    """One weight used twice, one that is frozen, one that the scores do not depend on."""

    def __init__(self, width=F, n_outputs=3):
        super().__init__()
        self.first, self.second = nn.Linear(F, F), nn.Linear(F, F)
        self.second.weight = self.first.weight
        self.fixed = nn.Linear(F, width)
        self.fixed.requires_grad_(False)
        self.last, self.idle = nn.Linear(width, n_outputs), nn.Linear(2, 2)

    def forward(self, x):
        return self.last(self.fixed(torch.tanh(self.second(torch.tanh(self.first(x))))))


def seeded(make, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make().double()


def bound_module(module, n_outputs=3, rows=B, training=True):
    network = CustomNetwork(module, n_outputs)
    flat, views = memory(network.layout, 1)
    statistics, leaves = memory(network.buffers, 1)
    single = {n: v[0] for n, v in views.items()}, {n: v[0] for n, v in leaves.items()}
    network.initialize(*single, None, streams(1)[0])
    gradients, slopes = memory(network.layout, 1)
    slopes["last.weight" if "last.weight" in slopes else next(iter(slopes))].fill_(99.0)
    space = Workspace(1, rows, DOUBLE, CPU)
    stack = network.bind(flat, gradients if training else None, statistics, space, dropout=[()], random=streams(1))
    return network, stack, views, leaves, slopes


def test_tied_frozen_and_idle_parameters():
    module, reference = seeded(Tied), seeded(Tied)
    network, stack, views, _, slopes = bound_module(module)
    weights, others = (
        {"first.weight", "last.weight", "idle.weight"},
        {"first.bias", "second.bias", "last.bias", "idle.bias"},
    )
    assert set(network.layout.blocks) == weights | others
    assert all((b.offset < network.layout.weight_size) == (b.name in weights) for b in network.layout.blocks.values())
    x, weight = randn(1, B, F, seed=5), randn(1, 3, B, seed=6)
    slopes["idle.weight"].fill_(99.0)
    scores = stack.forward(x, whole_pass(1, B)).view
    expected = reference(x[0])
    torch.testing.assert_close(scores[0].T, expected.detach(), **CLOSE)
    stack.backward(Rows(weight, weight))
    expected.backward(weight[0].T)
    for name, parameter in reference.named_parameters():
        if name in slopes:
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(slopes[name][0], grad, **CLOSE, msg=name)
    views["first.weight"].zero_()
    assert not module.first.weight.any()
    assert not module.second.weight.any()
    assert module.first.weight is module.second.weight


def test_a_trained_module_keeps_its_ties_and_frozen_values():
    module = seeded(Tied)
    frozen = module.fixed.weight.clone()
    options = {"dropout": (), "initializer": None, "regularization": None, "weight_decay": 0.0}
    result = trained(network := CustomNetwork(module, 3), **options)
    values = network.layout.single(result.parameters)
    assert torch.equal(module.fixed.weight, frozen)
    assert not torch.equal(values["first.weight"], seeded(Tied).first.weight)
    copy = network.module()
    load_member(copy, values, {})
    assert copy.second.weight is copy.first.weight
    assert torch.equal(copy.second.weight, values["first.weight"])


def test_running_statistics_reach_the_buffers():
    def make():
        return nn.Sequential(nn.Linear(F, 4), nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 3))

    module, reference = seeded(make), seeded(make)
    _, stack, _, leaves, _ = bound_module(module)
    for seed in range(3):
        x = randn(1, B, F, seed=seed)
        stack.forward(x, whole_pass(1, B))
        reference(x[0])
    stack.sync()
    assert set(leaves) == {"1.running_mean", "1.running_var"}
    for name, view in leaves.items():
        torch.testing.assert_close(view[0], reference.get_buffer(name), **CLOSE)


@pytest.mark.parametrize("training", [False, True])
def test_a_module_runs_in_the_mode_of_the_pass(training):
    module = seeded(lambda: nn.Sequential(nn.Linear(F, 64), nn.Dropout(0.5), nn.Linear(64, 3)))
    _, stack, *_ = bound_module(module)
    x = randn(1, B, F)
    step = whole_pass(1, B) if training else EVALUATION
    with torch.random.fork_rng(devices=[]):
        first, second = (stack.forward(x, step).view.clone() for _ in range(2))
    assert torch.equal(first, second) is not training


def test_one_output_may_be_flat():
    module = seeded(lambda: nn.Sequential(nn.Linear(F, 1), nn.Flatten(0)))
    _, stack, _, _, slopes = bound_module(module, 1)
    x, weight = randn(1, B, F), randn(1, 1, B, seed=1)
    scores = stack.forward(x, whole_pass(1, B)).view
    assert scores.shape == (1, 1, B)
    stack.backward(Rows(weight, weight))
    torch.testing.assert_close(slopes["0.weight"][0], weight[0] @ x[0], **CLOSE)


WRONG = {
    "too many scores": (lambda: nn.Linear(F, 4), 3, r"shape \(7, 3\), got \(7, 4\)"),
    "flat with several outputs": (lambda: nn.Sequential(nn.Linear(F, 1), nn.Flatten(0)), 3, r"got \(7,\)"),
    "transposed": (lambda: Wrap(lambda x: x[:, :3].T), 3, r"got \(3, 7\)"),
    "no tensor": (lambda: Wrap(lambda x: (x[:, :3], x)), 3, "got tuple"),
    "a scalar": (lambda: Wrap(torch.sum), 1, r"got \(\)"),
}


class Wrap(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.scale = function, nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.function(x * self.scale)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_scores_of_another_shape_are_refused(name, training):
    make, n_outputs, message = WRONG[name]
    _, stack, *_ = bound_module(seeded(make), n_outputs)
    with pytest.raises(ValueError, match=message):
        stack.forward(randn(1, B, F), whole_pass(1, B) if training else EVALUATION)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Linear(F + 1, 3), "mat1 and mat2 .*"),
        (lambda: nn.Sequential(nn.BatchNorm1d(F + 1), nn.Linear(F + 1, 3)), "running_mean should contain .*"),
        (lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 3, 3)), ".*"),
        (lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten()), ".*"),
    ],
)
def test_a_network_for_other_rows_is_told_how_many_inputs_there_are(make, said, training):
    _, stack, *_ = bound_module(seeded(make))
    message = rf"n_inputs={F} encoded inputs a row, shape \({B}, {F}\), and torch says: {said} Use a factory"
    with pytest.raises(ValueError, match=message):
        stack.forward(randn(1, B, F), whole_pass(1, B) if training else EVALUATION)


def test_other_errors_of_a_module_are_its_own():
    def fail(x):
        raise RuntimeError("my own")

    _, stack, *_ = bound_module(seeded(lambda: Wrap(fail)))
    with pytest.raises(RuntimeError, match="my own"):
        stack.forward(randn(1, B, F), EVALUATION)


@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_lazy_modules_are_refused():
    with pytest.raises(ValueError, match=r"lazy modules, .*: 0\.weight, 0\.bias\. .* Use a factory"):
        CustomNetwork(nn.Sequential(nn.LazyLinear(3)), 3)
    with pytest.raises(ValueError, match=r"given n_inputs=4 encoded inputs a row\. Use a factory"):
        Module(lambda n_outputs: nn.Sequential(nn.LazyLinear(n_outputs))).build(4, 3)


def test_modules_without_anything_to_train_are_refused():
    with pytest.raises(ValueError, match=r"Flatten has no trainable parameters\. Layers must be attributes"):
        CustomNetwork(nn.Flatten(), 3)
    with pytest.raises(ValueError, match=r"Linear has no trainable parameters\. All its 2 are frozen"):
        CustomNetwork(nn.Linear(4, 3).requires_grad_(False), 3)


def test_an_initializer_draws_a_modules_weights_anew():
    module = nn.Sequential(nn.Conv1d(2, 6, 3), nn.Flatten(), nn.Linear(18, 3))
    network = CustomNetwork(module, 3)
    results = []
    for initializer in (None, initializers.get("constant").set_params(value=0.5)):
        values = network.layout.single(torch.zeros(network.layout.size))
        network.initialize(values, {}, initializer, streams(1)[0])
        results.append(values)
    own, drawn = results
    for name, parameter in module.named_parameters():
        assert torch.equal(own[name], parameter)
        expected = torch.full_like(parameter, 0.5) if parameter.ndim > 1 else parameter
        assert torch.equal(drawn[name], expected)


def test_modules_are_never_stacked():
    a, b = seeded(Tied), seeded(Tied)
    assert CustomNetwork(a, 3).structure() != CustomNetwork(b, 3).structure()
    assert not CustomNetwork(a, 3).stackable


# --------------------------------------------------------------------------------------------------
# A factory with its arguments


class Net(nn.Module):
    def __init__(self, n_inputs, n_outputs, width=8, depth=1):
        super().__init__()
        self.sizes = (n_inputs, width, depth, n_outputs)


class Fixed(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.sizes = (None, width, None, None)


class Half(nn.Module):
    def __init__(self, n_inputs, *, width=8):
        super().__init__()
        self.sizes = (n_inputs, width, None, None)


def positional(a, b):
    return Net(a, b)


def anything(**kwargs):
    return Net(**kwargs)


class Other(Net):
    def __init__(self, n_in, n_out, width=8):
        super().__init__(n_in, n_out, width)


def rest(n_in, n_out, **kwargs):
    return Net(n_in, n_out, **kwargs)


BUILDS = {
    "class with both sizes": (Module(Net), (4, 8, 1, 3)),
    "class with a width": (Module(Net, width=64), (4, 64, 1, 3)),
    "class without sizes": (Module(Fixed), (None, 8, None, None)),
    "class without sizes, width": (Module(Fixed, width=5), (None, 5, None, None)),
    "class with one size": (Module(Half, width=5), (4, 5, None, None)),
    "factory by position": (Module(positional), (4, 8, 1, 3)),
    "lambda": (Module(lambda i, o: Net(i, o, 7)), (4, 7, 1, 3)),
    "any keyword": (Module(anything, depth=2), (4, 8, 2, 3)),
    "other names": (Module(Other), (4, 8, 1, 3)),
    "other names, width": (Module(Other, width=5), (4, 5, 1, 3)),
    "other names, required": (Module(lambda a, w, b: Net(a, b, w), w=5), (4, 5, 1, 3)),
    "other names, any keyword": (Module(rest, depth=2), (4, 8, 2, 3)),
    "one other name": (Module(lambda n_outputs, rows: Net(rows, n_outputs)), (4, 8, 1, 3)),
    "by position only": (Module(lambda a, b, /, w=8: Net(a, b, w), w=5), (4, 5, 1, 3)),
    "any position": (Module(lambda *args: Net(*args, 7)), (4, 7, 1, 3)),
    "any position, width": (Module(lambda *args, width: Net(*args, width), width=5), (4, 5, 1, 3)),
    "a size of one's own": (Module(Net, n_inputs=11), (11, 8, 1, 3)),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_factory_gets_what_it_takes(name):
    module, sizes = BUILDS[name]
    built = module.build(4, 3)
    assert built.sizes == sizes
    assert module.build(4, 3) is not built


def test_torchs_own_layers_are_factories():
    layer = Module(nn.Linear, bias=False).build(4, 3)
    assert layer.weight.shape == (3, 4)
    assert layer.bias is None


def test_a_factorys_arguments_are_parameters():
    module = Module(Net, width=16)
    assert module.get_params() == {"factory": Net, "width": 16}
    assert module.set_params(width=32, depth=3) is module
    assert module.get_params() == {"factory": Net, "width": 32, "depth": 3}
    assert module.set_params(factory=anything).build(4, 3).sizes == (4, 32, 3, 3)


def test_unknown_arguments_are_refused():
    module = Module(Net, width=16)
    with pytest.raises(ValueError, match="widht"):
        module.set_params(widht=32)
    assert module.get_params() == {"factory": Net, "width": 16}


def test_a_module_can_be_cloned():
    module = Module(Net, width=16, depth=2)
    twin = clone(module)
    assert twin is not module
    assert twin.get_params() == module.get_params()
    twin.set_params(width=3)
    assert module.build(4, 3).sizes == (4, 16, 2, 3)


# --------------------------------------------------------------------------------------------------
# Predictions


def fitted(
    hidden=(9, 33),
    normalization=None,
    activation="relu",
    n_outputs=3,
    dtype=torch.float32,
    seed=0,
    features=F,
    make=MLP,
):
    network = make(features, hidden, n_outputs, activations.get(activation), normalization, (0.2,) * len(hidden))
    _, views, leaves, *_ = bound(network, 1, 1, seed=seed, dtype=dtype, training=False, rates=[()])
    return module_of(network, views, leaves, 0).eval()


def assert_rows_are_their_own(module, x, *, anywhere=True):
    """Alone, in other company, among fewer, and, where asked, elsewhere: always the same bits."""
    everyone = predict_scores(module, x)
    rng = np.random.default_rng(0)
    order = rng.permutation(x.shape[0])
    if anywhere:
        np.testing.assert_array_equal(predict_scores(module, x[order]), everyone[order])
        for first, last in ((1, 2), (3, 36), (31, 33), (5, 100), (x.shape[0] - 1, x.shape[0])):
            np.testing.assert_array_equal(predict_scores(module, x[first:last]), everyone[first:last])
    for last in (1, 2, 31, 32, 33, 100):
        np.testing.assert_array_equal(predict_scores(module, x[:last]), everyone[:last])
    among_others = np.where((order % 2)[:, None] == 0, x, x[order])
    same = (among_others == x).all(1)
    np.testing.assert_array_equal(predict_scores(module, among_others)[same], everyone[same])
    return everyone


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@stacked
def test_a_rows_scores_are_its_own(make, activation, normalization, dtype):
    module = fitted(activation=activation, normalization=normalization, dtype=dtype, make=make)
    x = randn(1100, F, dtype=dtype).numpy()
    scores = assert_rows_are_their_own(module, x)
    with torch.no_grad():
        expected = module(torch.from_numpy(x))
    close = {"rtol": 1e-4, "atol": max(1e-4, 1e-5 * scores.std())} if dtype is torch.float32 else CLOSE
    torch.testing.assert_close(torch.from_numpy(scores), expected, **close)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize(
    ("make", "features", "hidden", "n_outputs"),
    [(MLP, 1, (), 1)]
    + [
        (make, *sizes)
        for make in STACKED
        for sizes in ((3, (1,), 1), (54, (100,), 7), (30, (65, 129), 2), (2, (1, 3, 1), 1))
    ],
)
@pytest.mark.parametrize("activation", ["silu", "geglu", "learnable_swish"])
def test_a_rows_scores_are_its_own_for_any_shape(make, features, hidden, n_outputs, normalization, activation):
    module = fitted(hidden, normalization, activation, n_outputs, features=features, make=make)
    assert_rows_are_their_own(module, randn(150, features, dtype=torch.float32).numpy())


@pytest.mark.parametrize("link", ["identity", "softmax", "sigmoid", "exp"])
def test_a_rows_scores_are_its_own_in_an_average(link):
    module = MemberAverage([fitted(seed=seed, normalization="batch") for seed in range(3)], link).eval()
    assert_rows_are_their_own(module, randn(150, F, dtype=torch.float32).numpy())


def test_an_activation_of_ones_own_goes_the_modules_way():
    """Its bits may depend on a row's place, not on its neighbours."""
    module = fitted(activation=activations.Parametric(torch.sin), make=ResNet)
    assert_rows_are_their_own(module, randn(150, F, dtype=torch.float32).numpy(), anywhere=False)


class OwnResidual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(F, F), nn.BatchNorm1d(F), nn.Linear(F, 1)

    def forward(self, x):
        return self.last(x + torch.tanh(self.norm(self.first(x)))).squeeze(1)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_rows_scores_are_its_own_in_a_custom_module(dtype):
    """Its place may matter here: the products of a module are its own."""
    module = seeded(OwnResidual).to(dtype).eval()
    scores = assert_rows_are_their_own(module, randn(150, F, dtype=dtype).numpy(), anywhere=False)
    assert scores.shape == (150, 1)


def test_sparse_rows_are_dense_rows():
    x = randn(90, F, dtype=torch.float32).numpy()
    x[x < 0.3] = 0
    module = fitted()
    np.testing.assert_array_equal(predict_scores(module, scipy.sparse.csr_matrix(x)), predict_scores(module, x))


def test_images_keep_their_shape():
    module = seeded(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4, 3))).eval()
    x = randn(70, 1, 4, 4).numpy()
    with torch.no_grad():
        np.testing.assert_allclose(predict_scores(module, x), module(torch.from_numpy(x)).numpy(), rtol=1e-9)


def test_prediction_leaves_threads_and_gradients_alone():
    torch.set_num_threads(2)
    predict_scores(fitted(), randn(3, F, dtype=torch.float32).numpy())
    assert torch.get_num_threads() == 2
    assert torch.is_grad_enabled()


LINKS = {
    "identity": lambda scores: scores,
    "exp": np.exp,
    "sigmoid": expit,
    "softmax": lambda scores: softmax(scores, -1),
}


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("link", LINKS)
def test_an_average_is_that_of_the_predictions(link, scale):
    scores = randn(4, 10, 3) * scale
    with torch.no_grad():
        out = MemberAverage([], link).average(scores).numpy()
    expected = LINKS[link](scores.numpy()).mean(0)
    np.testing.assert_allclose(LINKS[link](out), expected, rtol=1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_an_average_of_modules(link):
    members = [seeded(lambda: nn.Linear(F, 3), seed) for seed in range(3)]
    x = randn(6, F)
    with torch.no_grad():
        expected = np.mean([LINKS[link](member(x).numpy()) for member in members], 0)
        np.testing.assert_allclose(LINKS[link](MemberAverage(members, link)(x).numpy()), expected, rtol=1e-9)


@pytest.mark.parametrize("link", LINKS)
def test_an_average_of_one_is_itself(link):
    scores = randn(1, 10, 3) * 5
    with torch.no_grad():
        out = MemberAverage([], link).average(scores).numpy()
    np.testing.assert_allclose(LINKS[link](out), LINKS[link](scores[0].numpy()), rtol=1e-9)


@pytest.mark.parametrize("link", ["softmax", "sigmoid", "exp"])
def test_an_average_of_extreme_scores_is_finite(link):
    scores = torch.tensor([[[200.0, -200.0, 0.0]], [[300.0, -100.0, 0.0]]])
    assert MemberAverage([], link).average(scores).isfinite().all()
