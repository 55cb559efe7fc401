"""Operations that change the shape of a tensor, in ONNX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from sknnopt.export._graph import Graph, Value, brought

__all__ = ["SHAPES", "known"]


def known(number: Any) -> int:
    """Return an integer that is known; raise TypeError of any other."""
    if not isinstance(number, int):
        raise TypeError(f"{number!r} is not known beforehand")
    return number


def _cat(g: Graph, tensors: Sequence[Any], dim: int = 0) -> Value:
    dtype = functools.reduce(torch.promote_types, (one.dtype for one in tensors))
    return g.op("Concat", *(brought(g, one, dtype) for one in tensors), axis=dim)


def _stack(g: Graph, tensors: Sequence[Any], dim: int = 0) -> Value:
    return _cat(g, [_unsqueeze(g, one, dim) for one in tensors], dim)


def _unsqueeze(g: Graph, input: Any, dim: int) -> Value:
    return g.op("Unsqueeze", input, np.array([dim]))


def _squeeze(g: Graph, input: Value, dim: int) -> Value:
    if input.shape is None:
        raise TypeError("its axes are not known")
    return g.op("Squeeze", input, np.array([dim])) if input.shape[dim] == 1 else input


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
        return known(first), known(end), known(step)
    return known(one), last if one == -1 else one + 1, 1


def _chunk(g: Graph, input: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    assert input.shape is not None
    size = input.shape[dim]
    step = -(-size // chunks)
    sizes = [min(step, size - start) for start in range(0, size, step)]
    return g.ops("Split", input, np.array(sizes), dtypes=[None] * len(sizes), axis=dim)


SHAPES: dict[str, Callable[..., Any]] = {
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
}
