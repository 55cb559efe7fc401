"""What each of torch's operations is in ONNX, by its name; a method has the name of the function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Chebyshev
from scipy.special import ndtri
from torch import nn

from sknnopt.data.quantiles import BOUND
from sknnopt.export._activations import ACTIVATIONS
from sknnopt.export._graph import Graph, Value, binary, brought
from sknnopt.export._shapes import SHAPES, known
from sknnopt.export._table import NormalQuantile

__all__ = ["MODULES", "OPERATIONS"]

Translation = Callable[..., Any]


def _of(kind: str, dtype: torch.dtype | None = None) -> Translation:
    """Return the translation to an operator of one operand."""
    return lambda g, input: g.op(kind, input, dtype=dtype)


def _of_two(kind: str, dtype: torch.dtype | None = None) -> Translation:
    """Return the translation to an operator of two operands."""
    return lambda g, input, other: binary(kind, input, other, dtype)


def _same(g: Graph, input: Value) -> Value:
    return input


def _cast(dtype: torch.dtype) -> Translation:
    return lambda g, input: input.to(dtype)


def _to(g: Graph, input: Value, dtype: torch.dtype) -> Value:
    if not isinstance(dtype, torch.dtype):
        raise TypeError("only types")
    return input.to(dtype)


def _dropout(g: Graph, input: Value, p: float = 0.5, training: bool = True) -> Value:
    if training:
        raise TypeError("it would be random")
    return input


def _clamp(g: Graph, input: Value, min: Any = None, max: Any = None) -> Value:
    out = input if min is None else binary("Max", input, min)
    return out if max is None else binary("Min", out, max)


def _where(g: Graph, condition: Value, input: Any, other: Any) -> Value:
    sides = [torch.empty(1, dtype=one.dtype) if isinstance(one, Value) else one for one in (input, other)]
    dtype = torch.result_type(*sides)
    return g.op("Where", condition, *(brought(g, one, dtype) for one in (input, other)), dtype=dtype)


def _softmax(kind: str) -> Translation:
    def translated(g: Graph, input: Value, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Value:
        return g.op(kind, input if dtype is None else input.to(dtype), axis=known(dim))

    return translated


def _reduced(kind: str, *, as_input: int) -> Translation:
    """Return the translation of a sum or the like, whose axes are an input from an opset on."""

    def translated(g: Graph, input: Value, dim: Any = None, keepdim: bool = False) -> Value:
        axes = None if dim is None else [dim] if isinstance(dim, int) else list(dim)
        if axes is None:
            return g.op(kind, input, keepdims=int(keepdim))
        if g.opset >= as_input:
            return g.op(kind, input, np.array(axes), keepdims=int(keepdim))
        return g.op(kind, input, axes=axes, keepdims=int(keepdim))

    return translated


def _linear(g: Graph, input: Value, weight: Any, bias: Any = None) -> Value:
    if input.shape is not None and len(input.shape) == 2:
        return g.op("Gemm", input, weight, *([] if bias is None else [bias]), transB=1)
    out = g.op("MatMul", input, weight.mT)
    return out if bias is None else out + bias


def _layer_norm(
    g: Graph, input: Value, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    weight = torch.ones(tuple(normalized_shape), dtype=input.dtype) if weight is None else weight
    given = [weight] if bias is None else [weight, bias]
    return g.op("LayerNormalization", input, *given, axis=-len(normalized_shape), epsilon=eps)


def _sort(g: Graph, input: Value, dim: int = -1, descending: bool = False) -> tuple[Value, ...]:
    assert input.shape is not None
    count, types = np.array([input.shape[dim]]), [None, torch.int64]
    return g.ops("TopK", input, count, dtypes=types, axis=dim, largest=int(descending))


def _gather(g: Graph, input: Any, dim: int, index: Value) -> Value:
    return g.op("GatherElements", input, index, axis=dim)


def _index_select(g: Graph, input: Any, dim: int, index: Any) -> Value:
    return g.op("Gather", input, index, axis=dim)


def _searchsorted(g: Graph, sorted_sequence: torch.Tensor, input: Value, right: bool = False) -> Value:
    """Find by halving how many numbers (C, m) are below others (C, B), or with `right` not above; none may be NaN."""
    rows, count = sorted_sequence.shape
    half = 1 << max(count.bit_length() - 1, 0)
    filled = torch.full((rows, 2 * half - 1), math.inf, dtype=sorted_sequence.dtype)
    filled[:, :count] = sorted_sequence
    below = "LessOrEqual" if right else "Less"
    found = binary(below, filled[:, half - 1 : half], input, torch.bool).to(torch.int64) * half
    while half > 1:
        half //= 2
        value = _gather(g, filled, 1, found + (half - 1))
        found = found + binary(below, value, input, torch.bool).to(torch.int64) * half
    return _clamp(g, found, max=count)


def _batch_norm(g: Graph, layer: nn.BatchNorm1d, input: Value) -> Value:
    if layer.running_mean is None or layer.running_var is None or input.shape is None:
        raise NotImplementedError("A BatchNorm1d without running statistics has no translation to ONNX here.")
    scale = (layer.running_var + layer.eps).rsqrt() * (1.0 if layer.weight is None else layer.weight)
    shift = (0.0 if layer.bias is None else layer.bias) - layer.running_mean * scale
    spread = (-1, *[1] * (len(input.shape) - 2))
    return input * scale.view(spread) + shift.view(spread)


def _normal_quantile(g: Graph, layer: NormalQuantile, input: Value) -> Value:
    """Return normal quantiles by a polynomial of sqrt(-2 log q), where q is the distance of the share from 0 or 1."""
    share = _clamp(g, input, BOUND, 1 - BOUND)
    root = g.op("Sqrt", -2.0 * g.op("Log", binary("Min", share, 1.0 - share)))
    low, high = (math.sqrt(-2 * math.log(q)) for q in (0.5, BOUND))
    curve = Chebyshev.interpolate(lambda r: -ndtri(np.exp(-r * r / 2)), DEGREE, domain=[low, high])
    *rest, first = np.polynomial.chebyshev.cheb2poly(curve.coef).tolist()
    scaled, out = (2 * root - (low + high)) / (high - low), first
    for coefficient in reversed(rest):
        out = out * scaled + coefficient
    return _where(g, binary("Less", share, 0.5, torch.bool), -out, out)


DEGREE = 24
"""Of that polynomial: by it the quantiles are right to 1e-9."""

MODULES: dict[type[nn.Module], Translation] = {
    nn.BatchNorm1d: _batch_norm,
    NormalQuantile: _normal_quantile,
}

OPERATIONS: dict[str, Translation] = {
    **ACTIVATIONS,
    **SHAPES,
    **{name: _of_two(kind) for name, kind in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("truediv", "Div"))},
    **{name: _of_two(kind) for name, kind in (("div", "Div"), ("maximum", "Max"), ("minimum", "Min"))},
    "eq": _of_two("Equal", torch.bool),
    "lt": _of_two("Less", torch.bool),
    "le": _of_two("LessOrEqual", torch.bool),
    "gt": _of_two("Greater", torch.bool),
    "ge": _of_two("GreaterOrEqual", torch.bool),
    "pow": _of_two("Pow"),
    "square": lambda g, input: input * input,
    "matmul": _of_two("MatMul"),
    "bmm": _of_two("MatMul"),
    **{
        name: _of(name.capitalize())
        for name in ("abs", "exp", "log", "neg", "reciprocal", "sign", "sin", "cos", "sqrt")
    },
    "isnan": _of("IsNaN", torch.bool),
    **dict.fromkeys(("contiguous", "clone", "detach"), _same),
    "float": _cast(torch.float32),
    "double": _cast(torch.float64),
    "to": _to,
    **dict.fromkeys(("dropout", "alpha_dropout"), _dropout),
    "clamp": _clamp,
    "where": _where,
    "softmax": _softmax("Softmax"),
    "log_softmax": _softmax("LogSoftmax"),
    "sum": _reduced("ReduceSum", as_input=13),
    "mean": _reduced("ReduceMean", as_input=18),
    "logsumexp": _reduced("ReduceLogSumExp", as_input=18),
    "linear": _linear,
    "layer_norm": _layer_norm,
    "sort": _sort,
    "gather": _gather,
    "index_select": _index_select,
    "searchsorted": _searchsorted,
}
