"""What activations are in ONNX: of operators that runtimes have in double precision too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from sknnopt.export._graph import Graph, Value, binary

__all__ = ["ACTIVATIONS"]

# Klambauer, Unterthiner, Mayr and Hochreiter, "Self-normalizing neural networks", 2017, equation 2 and section 2.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


def _relu(g: Graph, input: Value) -> Value:
    return g.op("Relu", input)


def _clipped(input: Value, low: float, high: float) -> Value:
    return binary("Min", binary("Max", input, low), high)


def _below(g: Graph, input: Value) -> Value:
    """Return ``exp(min(x, 0)) - 1``."""
    return g.op("Exp", binary("Min", input, 0.0)) - 1.0


def _leaky_relu(g: Graph, input: Value, negative_slope: float = 0.01) -> Value:
    return _relu(g, input) + negative_slope * binary("Min", input, 0.0)


def _prelu(g: Graph, input: Value, weight: Any) -> Value:
    return _relu(g, input) + binary("Min", input, 0.0) * weight


def _elu(g: Graph, input: Value, alpha: float = 1.0) -> Value:
    return _relu(g, input) + alpha * _below(g, input)


def _celu(g: Graph, input: Value, alpha: float = 1.0) -> Value:
    return _relu(g, input) + alpha * _below(g, input / alpha)


def _selu(g: Graph, input: Value) -> Value:
    return _SELU_SCALE * _elu(g, input, _SELU_ALPHA)


def _sigmoid(g: Graph, input: Value) -> Value:
    return g.op("Sigmoid", input)


def _tanh(g: Graph, input: Value) -> Value:
    return g.op("Tanh", input)


def _silu(g: Graph, input: Value) -> Value:
    return input * _sigmoid(g, input)


def _softplus(g: Graph, input: Value, beta: float = 1.0, threshold: float = 20.0) -> Value:
    scaled = input * beta
    return (_relu(g, scaled) + g.op("Log", 1.0 + g.op("Exp", -g.op("Abs", scaled)))) / beta


def _log_sigmoid(g: Graph, input: Value) -> Value:
    return -_softplus(g, -input)


def _mish(g: Graph, input: Value) -> Value:
    return input * _tanh(g, _softplus(g, input))


def _softsign(g: Graph, input: Value) -> Value:
    return input / (1.0 + g.op("Abs", input))


def _gelu(g: Graph, input: Value, approximate: str = "none") -> Value:
    if approximate == "tanh":
        return 0.5 * input * (1.0 + _tanh(g, math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)))
    return 0.5 * input * (1.0 + _erf(g, input / math.sqrt(2)))


def _erf(g: Graph, input: Value) -> Value:
    """Return the error function, in single precision: onnxruntime has no other."""
    return g.op("Erf", input.to(torch.float32)).to(input.dtype)


def _hardtanh(g: Graph, input: Value, min_val: float = -1.0, max_val: float = 1.0) -> Value:
    return _clipped(input, min_val, max_val)


def _relu6(g: Graph, input: Value) -> Value:
    return _clipped(input, 0.0, 6.0)


def _hardsigmoid(g: Graph, input: Value) -> Value:
    return _clipped(input / 6.0 + 0.5, 0.0, 1.0)


def _hardswish(g: Graph, input: Value) -> Value:
    return input * _hardsigmoid(g, input)


ACTIVATIONS: dict[str, Callable[..., Value]] = {
    "relu": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "elu": _elu,
    "celu": _celu,
    "selu": _selu,
    "sigmoid": _sigmoid,
    "log_sigmoid": _log_sigmoid,
    "logsigmoid": _log_sigmoid,
    "tanh": _tanh,
    "silu": _silu,
    "softplus": _softplus,
    "softsign": _softsign,
    "mish": _mish,
    "gelu": _gelu,
    "erf": _erf,
    "hardtanh": _hardtanh,
    "hardsigmoid": _hardsigmoid,
    "hardswish": _hardswish,
}
