"""Every activation against the torch module it names."""

import math

import pytest
import torch
from scipy import integrate
from sklearn.base import clone
from torch import nn

from sknnopt import activations
from sknnopt.activations import ELU, GELU, FunctionActivation, LeakyReLU, Softplus

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
}
ALIASES = {"linear": "identity", "logistic": "sigmoid", "swish": "silu"}
CASES = [(activations.get(name), TORCH[ALIASES.get(name, name)]) for name in activations.names()]
CASES += [
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
    torch.testing.assert_close(activation.module()(x), reference(x), rtol=0, atol=0)


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

    x = torch.linspace(-3, 3, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Layer.apply, x)


@pytest.mark.parametrize("name", sorted({*activations.names()} - {"elu", "gelu", "silu", "swish", "mish", "softplus"}))
def test_gain_is_torchs_where_it_has_one(name):
    torchs = {"identity": "linear", "logistic": "sigmoid"}.get(name, name)
    assert activations.get(name).gain == pytest.approx(nn.init.calculate_gain(torchs))


@pytest.mark.parametrize(
    "activation",
    [*map(activations.get, ("elu", "gelu", "silu", "mish", "softplus")), ELU(alpha=3), Softplus(beta=9)],
)
def test_gain_keeps_the_second_moment(activation):
    f = activation.module()

    def integrand(z):
        return f(torch.tensor(z, dtype=torch.float64)).item() ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    moment = sum(integrate.quad(integrand, a, b)[0] for a, b in ((-10, 0), (0, 10)))
    assert activation.gain == pytest.approx(moment**-0.5, rel=1e-6)


def test_gain_of_a_leaky_relu_follows_its_slope():
    assert LeakyReLU(negative_slope=1).gain == pytest.approx(1)


def test_gain_of_zero_is_harmless():
    assert FunctionActivation(torch.zeros_like).gain == 1.0


def test_function_activation_builds_no_graph():
    weight = torch.ones((), requires_grad=True)
    activation = FunctionActivation(lambda x: x * weight)
    x = torch.ones(4)
    assert not activation.forward(x, torch.empty(4)).requires_grad
    with torch.no_grad():
        assert torch.equal(activation.backward(torch.ones(4), x, torch.empty(4)), torch.ones(4))


@pytest.mark.parametrize(
    "activation", [LeakyReLU(negative_slope=-1), ELU(alpha=-1), Softplus(beta=0), GELU(approximate="sin")]
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
def test_learnable_activations_are_refused(module):
    with pytest.raises(ValueError, match=r"(?s)PReLU.* learnable activations are not supported"):
        activations.get(module)


def test_a_module_without_parameters_is_an_activation():
    x = points(torch.float64)
    f = activations.get(nn.Hardswish())
    torch.testing.assert_close(f.forward(x, torch.empty_like(x)), nn.functional.hardswish(x))
