"""Every activation against the torch module it names."""

import math
import re
from itertools import pairwise

import pytest
import torch
from scipy import integrate
from sklearn.base import clone
from torch import nn

from sknnopt import activations
from sknnopt.activations import (
    CELU,
    ELU,
    GELU,
    GLU,
    FunctionActivation,
    LeakyReLU,
    LearnableActivation,
    LearnableSwish,
    Parametric,
    PReLU,
    Softplus,
)

TORCH = {
    "identity": nn.Identity(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "relu": nn.ReLU(),
    "leaky_relu": nn.LeakyReLU(),
    "elu": nn.ELU(),
    "selu": nn.SELU(),
    "gelu": nn.GELU(),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "celu": nn.CELU(),
    "relu6": nn.ReLU6(),
    "hard_tanh": nn.Hardtanh(),
    "hard_sigmoid": nn.Hardsigmoid(),
    "hard_swish": nn.Hardswish(),
    "softsign": nn.Softsign(),
    "prelu": nn.LeakyReLU(0.25),
    "learnable_swish": nn.SiLU(),
    "parametric_mish": nn.Mish(),
    "parametric_selu": nn.SELU(),
    "parametric_silu": nn.SiLU(),
}
ALIASES = {
    "linear": "identity",
    "logistic": "sigmoid",
    "swish": "silu",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hard_silu": "hard_swish",
    "parametric_relu": "prelu",
}
GATES = {"glu": nn.Sigmoid(), "reglu": nn.ReLU(), "geglu": nn.GELU(), "swiglu": nn.SiLU()}
CASES = [(activations.get(name), TORCH[ALIASES.get(name, name)]) for name in activations.names() if name not in GATES]
LEARNABLE = [activation for activation, _ in CASES if isinstance(activation, LearnableActivation)]
LEARNABLE += [PReLU(shared=True), PReLU(initial=-0.5), LearnableSwish(initial=0), Parametric(torch.sin, initial=0.3)]
CASES += [
    (CELU(alpha=0.4), nn.CELU(0.4)),
    (PReLU(initial=-0.5), nn.LeakyReLU(-0.5)),
    (LearnableSwish(initial=0), lambda x: x / 2),
    (Parametric(torch.sin, initial=0.3), lambda x: 0.7 * x + 0.3 * torch.sin(x)),
    (Parametric("relu", initial=0.75), nn.LeakyReLU(0.25)),
    (LeakyReLU(negative_slope=0.3), nn.LeakyReLU(0.3)),
    (LeakyReLU(negative_slope=0), nn.ReLU()),
    (ELU(alpha=0.4), nn.ELU(0.4)),
    (GELU(approximate="tanh"), nn.GELU(approximate="tanh")),
    (Softplus(beta=3), nn.Softplus(3)),
    (FunctionActivation(torch.sin), torch.sin),
]
every = pytest.mark.parametrize(("activation", "reference"), CASES, ids=[repr(a).split(" at 0x")[0] for a, _ in CASES])
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def points(dtype):
    """Feature-major, of an odd number of rows, with zeros and far values."""
    x = torch.randn(2, 3, 37, generator=torch.Generator().manual_seed(0), dtype=dtype) * 4
    x[0, 0, :3] = torch.tensor([0.0, 40.0, -40.0])
    return x


def derivative(reference, x, gradient):
    x = x.clone().requires_grad_()
    reference(x).backward(gradient)
    return x.grad


@dtypes
@every
def test_forward(activation, reference, dtype):
    x = points(dtype)
    out = torch.full_like(x, torch.nan)
    assert activation.forward(x.clone(), out) is out
    torch.testing.assert_close(out, reference(x))
    exact = {} if isinstance(activation, LearnableActivation) else {"rtol": 0, "atol": 0}
    torch.testing.assert_close(activation.module().to(dtype)(x), reference(x), **exact)


@dtypes
@every
@pytest.mark.parametrize("in_place", [True, False])
def test_backward(activation, reference, dtype, in_place):
    x, gradient = points(dtype), points(dtype).flip(0)
    expected = derivative(reference, x, gradient)
    y = activation.forward(x, torch.empty_like(x))
    out = gradient if in_place else torch.full_like(x, torch.nan)
    saved = y if activation.saved == "output" else x
    assert activation.backward(gradient, saved, out) is out
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize(("activation", "reference"), [case for case in CASES if case[0].saved == "output"])
def test_in_place_forward_where_the_output_is_saved(activation, reference):
    x = points(torch.float64)
    expected = reference(x.clone())
    assert activation.forward(x, x) is x
    torch.testing.assert_close(x, expected)


@every
def test_padded_views(activation, reference):
    room = torch.zeros(2, 3, 64)
    x, out = room[:, :, :37], torch.zeros(2, 3, 64)[:, :, :37]
    x.copy_(points(torch.float32))
    torch.testing.assert_close(activation.forward(x, out), reference(x.contiguous()))
    activation.backward(torch.ones_like(x), out if activation.saved == "output" else x, out)
    assert (room[:, :, 37:] == 0).all()


@every
def test_gradcheck(activation, reference):
    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = activation.forward(x.clone(), torch.empty_like(x))
            ctx.save_for_backward(y if activation.saved == "output" else x)
            return y

        @staticmethod
        def backward(ctx, gradient):
            return activation.backward(gradient, ctx.saved_tensors[0], torch.empty_like(gradient))

    x = torch.linspace(-4.1, 6.9, 16, dtype=torch.float64, requires_grad=True)  # no kink among them
    assert torch.autograd.gradcheck(Layer.apply, x)


TORCHS_GAIN = {
    **{name: name for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")},
    "identity": "linear",
    "logistic": "sigmoid",
    "parametric_selu": "selu",
}


@pytest.mark.parametrize("name", TORCHS_GAIN)
def test_gain_is_torchs_where_it_has_one(name):
    assert activations.get(name).gain == pytest.approx(nn.init.calculate_gain(TORCHS_GAIN[name]))


def second_moment(f, scale=1.0):
    """E[f(scale z)^2], integrated between the kinks of the piecewise ones."""

    def integrand(z):
        value = f(torch.tensor([[scale * z]], dtype=torch.float64)).item()
        return value**2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    kinks = [-10, *(kink / scale for kink in (-3, -1, 0, 1, 3, 6) if abs(kink / scale) < 10), 10]
    return sum(integrate.quad(integrand, a, b)[0] for a, b in pairwise(kinks))


@pytest.mark.parametrize(
    "activation",
    [
        *(activations.get(name) for name in activations.names() if name not in {*TORCHS_GAIN, *GATES}),
        *(ELU(alpha=3), Softplus(beta=9), CELU(alpha=3), PReLU(initial=0.7), Parametric("tanh", initial=0.3)),
    ],
    ids=repr,
)
def test_gain_keeps_the_second_moment(activation):
    assert activation.gain == pytest.approx(second_moment(activation.module().double()) ** -0.5, rel=1e-4)


@pytest.mark.parametrize("activation", [*map(activations.get, GATES), GLU("identity"), GLU("hard_tanh")], ids=repr)
def test_gain_of_a_gated_layer_keeps_the_second_moment(activation):
    """E[(s a)^2] E[g(s b)^2] = 1."""
    s = activation.gain
    assert s**2 * second_moment(activation.resolved_gate().module(), s) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("name", sorted({*activations.names()} - {"identity", "linear", "sigmoid", "logistic"}))
def test_a_summary_tells_the_gain(name):
    """The first number after the word, where the object is the class with its defaults."""
    activation = activations.get(name)
    text = (type(activation).__doc__ or "").split("\n\n")[0]
    found = re.search(r"Gain ``sqrt\(2\)``|Gain ([\d./]+\d)", text)
    if repr(activation) != f"{type(activation).__name__}()" or found is None:
        return
    told = math.sqrt(2) if found[1] is None else eval(found[1])
    assert activation.gain == pytest.approx(told, abs=6e-3)


def test_gain_of_a_leaky_relu_follows_its_slope():
    assert LeakyReLU(negative_slope=1).gain == pytest.approx(1)


def test_gain_of_zero_is_harmless():
    assert FunctionActivation(torch.zeros_like).gain == 1.0
    assert GLU(torch.zeros_like).gain == 1.0


def learnable_inputs(activation, dtype=torch.float64):
    x = torch.linspace(-3, 3, 16, dtype=dtype).view(2, 8)
    values = {
        name: torch.linspace(0.2, 1.7, 16, dtype=dtype).view(2, 8) + i
        for i, name in enumerate(activation.parameters(8))
    }
    return x, values


learnables = pytest.mark.parametrize("activation", LEARNABLE, ids=[repr(a).split(" at 0x")[0] for a in LEARNABLE])


@learnables
def test_learned_values_act_as_in_the_module(activation):
    """Row by row, a unit's value is that of its column."""
    shapes = {name: shape for name, (shape, _) in activation.parameters(8).items()}
    module = activation.module(8).double()
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == shapes
    for name, (_, initial) in activation.parameters(8).items():
        assert module.get_parameter(name).tolist() == pytest.approx([initial] * shapes[name][0])
    x, values = learnable_inputs(activation)
    values = {name: value[:1, : shapes[name][0]].expand(2, 8) for name, value in values.items()}
    with torch.no_grad():
        for name, value in values.items():
            module.get_parameter(name).copy_(value[0, : shapes[name][0]])
        torch.testing.assert_close(activation.forward(x, torch.empty_like(x), values), module(x))
        tall = module(x.T[None].expand(3, 8, 2))
    torch.testing.assert_close(tall, module(x).T.expand(3, 8, 2).detach())


@learnables
@pytest.mark.parametrize("in_place", [False, True])
def test_gradcheck_of_learned_values(activation, in_place):
    x, values = learnable_inputs(activation)
    names = list(values)

    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, *values):
            ctx.save_for_backward(x, *values)
            return activation.forward(x, torch.empty_like(x), dict(zip(names, values, strict=True)))

        @staticmethod
        def backward(ctx, gradient):
            x, *values = ctx.saved_tensors
            slopes = {name: torch.empty_like(x) for name in names}
            own = gradient.clone()
            out = own if in_place else torch.empty_like(own)
            activation.backward(own, x, out, dict(zip(names, values, strict=True)), slopes)
            return out, *slopes.values()

    inputs = [x.requires_grad_(), *(value.requires_grad_() for value in values.values())]
    assert torch.autograd.gradcheck(Layer.apply, inputs)


GATED = [(activations.get(name), gate) for name, gate in GATES.items()]
GATED += [(GLU("identity"), nn.Identity()), (GLU(torch.sin), torch.sin), (GLU(Softplus(beta=3)), nn.Softplus(3))]
gated = pytest.mark.parametrize(("activation", "gate"), GATED, ids=[repr(a).split(" at 0x")[0] for a, _ in GATED])


@dtypes
@gated
def test_a_gated_unit_is_one_half_times_the_gate_of_the_other(activation, gate, dtype):
    x = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0), dtype=dtype, requires_grad=True)
    gradient = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)
    expected = x[:, :4] * gate(x[:, 4:])
    (slope,) = torch.autograd.grad(expected, x, gradient)
    with torch.no_grad():
        found = activation.forward(x, torch.empty_like(gradient))
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(activation.backward(gradient, x, torch.empty_like(x)), slope)
        torch.testing.assert_close(activation.module()(x), expected)
        torch.testing.assert_close(activation.module()(x[:, :, 0]), expected[:, :, 0])


def test_a_glu_is_torchs():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(activations.get("glu").module()(x), nn.functional.glu(x, 1))


@pytest.mark.parametrize("make", [GLU, Parametric])
@pytest.mark.parametrize("part", [PReLU(), GLU()], ids=repr)
def test_what_others_are_made_of_is_element_wise(make, part):
    with pytest.raises(ValueError, match=r"must be an element-wise activation without parameters"):
        activations.get(make(part))
    with pytest.raises(ValueError, match=r"must be one of .*Did you mean 'relu'"):
        activations.get(make("rellu"))


def test_names_and_objects_of_a_part_are_one_technique():
    assert GLU("silu").key() == GLU(activations.SiLU()).key() == GLU("swish").key() != GLU("mish").key()
    assert Parametric("elu").key() == Parametric(ELU()).key() != Parametric(ELU(alpha=2)).key()
    assert Parametric(initial=1).key() != Parametric(initial=0.5).key()


def test_function_activation_builds_no_graph():
    weight = torch.ones((), requires_grad=True)
    activation = FunctionActivation(lambda x: x * weight)
    x = torch.ones(4)
    assert not activation.forward(x, torch.empty(4)).requires_grad
    with torch.no_grad():
        assert torch.equal(activation.backward(torch.ones(4), x, torch.empty(4)), torch.ones(4))


@pytest.mark.parametrize(
    "activation",
    [
        LeakyReLU(negative_slope=-1),
        ELU(alpha=-1),
        CELU(alpha=0),
        Softplus(beta=0),
        GELU(approximate="sin"),
        PReLU(initial=math.inf),
        PReLU(shared="no"),
        LearnableSwish(initial="one"),
        Parametric(initial=None),
        Parametric(3),
        GLU(3),
    ],
)
def test_bad_values_are_refused(activation):
    with pytest.raises(ValueError, match=f"parameter of {type(activation).__name__} "):
        activations.get(clone(activation))


def test_what_a_new_activation_lacks_is_named():
    class Mine(activations.Activation):
        pass

    x = torch.zeros(2)
    for call, method in (
        (lambda: Mine().forward(x, x), r"forward\(x, out\)"),
        (lambda: Mine().backward(x, x, x), r"backward\(gradient, saved, out\)"),
        (lambda: Mine().module(), r"module\(\)"),
    ):
        with pytest.raises(NotImplementedError, match=f"Mine must define {method}"):
            call()


@pytest.mark.parametrize("module", [nn.PReLU(), nn.Sequential(nn.PReLU(), nn.Tanh())], ids=["one", "nested"])
def test_modules_with_parameters_are_refused(module):
    with pytest.raises(ValueError, match=r"(?s)PReLU.* would not be trained.* are 'prelu'"):
        activations.get(module)


def test_what_a_new_learnable_activation_lacks_is_named():
    class Mine(LearnableActivation):
        pass

    x = torch.zeros(2)
    for call, method in (
        (lambda: Mine().parameters(3), r"parameters\(features\)"),
        (lambda: Mine().forward(x, x), r"forward\(x, out, values\)"),
        (lambda: Mine().backward(x, x, x), r"backward\(gradient, saved, out, values, slopes\)"),
        (lambda: Mine().module(3), r"module\(features\)"),
    ):
        with pytest.raises(NotImplementedError, match=f"Mine must define {method}"):
            call()


def test_a_module_without_parameters_is_an_activation():
    x = points(torch.float64)
    f = activations.get(nn.Hardswish())
    torch.testing.assert_close(f.forward(x, torch.empty_like(x)), nn.functional.hardswish(x))
