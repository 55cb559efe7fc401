"""What each of torch's operations is in ONNX, by its name; a method has the name of the function."""

from __future__ import annotations

import functools
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
from sknnopt.export._graph import Graph, Value, binary
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
    return g.op("Where", condition, *(_brought(g, one, dtype) for one in (input, other)), dtype=dtype)


def _brought(g: Graph, one: Any, dtype: torch.dtype) -> Value:
    return one.to(dtype) if isinstance(one, Value) else g.value(one, dtype)


def _known(number: Any) -> int:
    """Return an integer that is known; raise TypeError of any other."""
    if not isinstance(number, int):
        raise TypeError(f"{number!r} is not known beforehand")
    return number


def _softmax(kind: str) -> Translation:
    def translated(g: Graph, input: Value, dim: int, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Value:
        return g.op(kind, input if dtype is None else input.to(dtype), axis=_known(dim))

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


def _cat(g: Graph, tensors: Sequence[Any], dim: int = 0) -> Value:
    dtype = functools.reduce(torch.promote_types, (one.dtype for one in tensors))
    return g.op("Concat", *(_brought(g, one, dtype) for one in tensors), axis=dim)


def _stack(g: Graph, tensors: Sequence[Any], dim: int = 0) -> Value:
    return _cat(g, [_unsqueeze(g, one, dim) for one in tensors], dim)


def _unsqueeze(g: Graph, input: Any, dim: int) -> Value:
    return g.op("Unsqueeze", input, np.array([dim]))


def _squeeze(g: Graph, input: Value, dim: int) -> Value:
    return g.op("Squeeze", input, np.array([dim]))


def _sizes(g: Graph, sizes: Sequence[Any]) -> Any:
    """Return sizes, some of them values, as one vector."""
    if all(isinstance(size, int) for size in sizes):
        return np.array(sizes, dtype=np.int64)
    given = [g.op("Reshape", size, np.array([1])) if isinstance(size, Value) else np.array([size]) for size in sizes]
    return g.op("Concat", *given, axis=0)


def _reshape(g: Graph, input: Value, *shape: Any) -> Value:
    sizes = shape if isinstance(shape[0], int | Value) else tuple(shape[0])
    return g.op("Reshape", input, _sizes(g, sizes))


def _flatten(g: Graph, input: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    assert input.shape is not None
    last = len(input.shape) - 1
    start, end = (place % (last + 1) for place in (start_dim, end_dim))
    sizes = g.op("Shape", input, dtype=torch.int64)
    before = [_getitem(g, sizes, slice(0, start))] if start else []
    after = [_getitem(g, sizes, slice(end + 1, None))] if end < last else []
    return g.op("Reshape", input, g.op("Concat", *before, np.array([-1]), *after, axis=0, dtype=torch.int64))


def _transpose(g: Graph, input: Value, dim0: int, dim1: int) -> Value:
    if input.shape is None:
        raise TypeError("its axes are not known")
    order = list(range(len(input.shape)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return g.op("Transpose", input, perm=order)


def _permute(g: Graph, input: Value, *dims: Any) -> Value:
    order = dims if isinstance(dims[0], int) else dims[0]
    return g.op("Transpose", input, perm=[place % len(order) for place in order])


def _getattr(g: Graph, input: Value, name: str) -> Value:
    if name in ("T", "mT"):
        return _transpose(g, input, -2, -1)
    if name == "shape":
        return g.op("Shape", input, dtype=torch.int64)
    raise AttributeError(name)


def _size(g: Graph, input: Value, dim: int | None = None) -> Value:
    sizes = g.op("Shape", input, dtype=torch.int64)
    return sizes if dim is None else _getitem(g, sizes, dim)


def _getitem(g: Graph, input: Any, index: Any) -> Any:
    """Translate slices with known ends, numbers, and new axes."""
    if not isinstance(input, Value):
        return input[index]
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in index:
        assert input.shape is not None
        place, own = index.index(Ellipsis), sum(one is not None for one in index) - 1
        index = (*index[:place], *[slice(None)] * (len(input.shape) - own), *index[place + 1 :])
    kept = [one for one in index if one is not None]
    spans = [(axis, *_span(one)) for axis, one in enumerate(kept) if one != slice(None)]
    if spans:
        axes, starts, ends, steps = (np.array(part) for part in zip(*spans, strict=True))
        input = g.op("Slice", input, starts, ends, axes, steps)
    gone = [axis for axis, one in enumerate(kept) if isinstance(one, int)]
    if gone:
        input = g.op("Squeeze", input, np.array(gone))
    new = [place for place, one in enumerate(one for one in index if not isinstance(one, int)) if one is None]
    return g.op("Unsqueeze", input, np.array(new)) if new else input


def _span(one: Any) -> tuple[int, int, int]:
    last = np.iinfo(np.int64).max
    if isinstance(one, slice):
        first, end, step = one.start or 0, last if one.stop is None else one.stop, one.step or 1
        return _known(first), _known(end), _known(step)
    return _known(one), last if one == -1 else one + 1, 1


def _chunk(g: Graph, input: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    assert input.shape is not None
    size = input.shape[dim]
    step = -(-size // chunks)
    sizes = [min(step, size - start) for start in range(0, size, step)]
    return g.ops("Split", input, np.array(sizes), dtypes=[None] * len(sizes), axis=dim)


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
    **{name: _of_two(kind) for name, kind in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("truediv", "Div"))},
    **{name: _of_two(kind) for name, kind in (("div", "Div"), ("maximum", "Max"), ("minimum", "Min"))},
    "eq": _of_two("Equal", torch.bool),
    "lt": _of_two("Less", torch.bool),
    "le": _of_two("LessOrEqual", torch.bool),
    "gt": _of_two("Greater", torch.bool),
    "ge": _of_two("GreaterOrEqual", torch.bool),
    "pow": _of_two("Pow"),
    "matmul": _of_two("MatMul"),
    "bmm": _of_two("MatMul"),
    **{name: _of(name.capitalize()) for name in ("abs", "exp", "log", "neg", "sqrt", "sin", "cos")},
    "isnan": _of("IsNaN", torch.bool),
    **dict.fromkeys(("contiguous", "clone", "detach"), _same),
    "float": _cast(torch.float32),
    "double": _cast(torch.float64),
    "to": _to,
    "dropout": _dropout,
    "clamp": _clamp,
    "where": _where,
    "softmax": _softmax("Softmax"),
    "log_softmax": _softmax("LogSoftmax"),
    "sum": _reduced("ReduceSum", as_input=13),
    "mean": _reduced("ReduceMean", as_input=18),
    "logsumexp": _reduced("ReduceLogSumExp", as_input=18),
    "linear": _linear,
    "layer_norm": _layer_norm,
    "cat": _cat,
    "stack": _stack,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "reshape": _reshape,
    "view": _reshape,
    "flatten": _flatten,
    "transpose": _transpose,
    "permute": _permute,
    "getattr": _getattr,
    "size": _size,
    "getitem": _getitem,
    "chunk": _chunk,
    "sort": _sort,
    "gather": _gather,
    "index_select": _index_select,
    "searchsorted": _searchsorted,
}
