"""Digests of arrays and tensors."""

import hashlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

BYTES = 20
"""Length of a digest."""

CHUNK = 1 << 24
"""Bytes of an array that are taken at a time, where it is not in one piece."""

LARGE = 1 << 14
"""Bytes of a tensor from which its digest is remembered."""


class Unkeyable(TypeError):
    """Raised for what cannot be told from others by its content: random streams, locks, files."""


def pieces(value: np.ndarray) -> Iterator[memoryview]:
    """Yield the bytes of an array, in bounded memory."""
    if value.flags.c_contiguous:
        if value.size:
            yield value.reshape(-1).view(np.uint8).data
        return
    if not value.ndim or not value.size:
        yield np.ascontiguousarray(value).reshape(-1).view(np.uint8).data
        return
    rows = max(1, CHUNK // max(1, value[0].nbytes))
    for first in range(0, len(value), rows):
        yield np.ascontiguousarray(value[first : first + rows]).reshape(-1).view(np.uint8).data


_remembered: dict[int, tuple[weakref.ref[Any], int, bytes]] = {}


def remembered(value: Any, make: Callable[[Any], bytes], state: int = 0) -> bytes:
    """Return a value's digest, which is made once for the value in this state."""
    place = id(value)
    known = _remembered.get(place)
    if known is not None and known[0]() is value and known[1] == state:
        return known[2]
    found = make(value)
    _remembered[place] = weakref.ref(value, lambda ref: _forget(place, ref)), state, found
    return found


def remembered_digest(value: Tensor) -> bytes:
    """Return a tensor's digest; that of a large one, which members of a sweep share, is computed once."""
    if value.nbytes < LARGE or value.is_inference():
        return tensor_digest(value)
    return remembered(value, tensor_digest, value._version)


def tensor_digest(value: Tensor) -> bytes:
    """Return a tensor's digest."""
    if value.is_meta:
        raise Unkeyable("a tensor on the meta device has no values")
    flat = value.detach().cpu().contiguous().reshape(-1)
    own = hashlib.blake2b(f"{value.dtype}{tuple(value.shape)}".encode(), digest_size=BYTES)
    if flat.numel():
        own.update(flat.view(torch.uint8).numpy().data)
    return own.digest()


def _forget(place: int, ref: weakref.ref[Any]) -> None:
    known = _remembered.get(place)
    if known is not None and known[0] is ref:
        _remembered.pop(place, None)
