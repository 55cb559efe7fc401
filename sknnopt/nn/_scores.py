"""Scores of rows from a fitted plain module, each row's bits its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt import activations
from sknnopt._threads import single_thread
from sknnopt.nn._dense import ScaledLinear
from sknnopt.nn._embedding import InputEmbedding, InputScale
from sknnopt.nn._ensemble import MemberAverage
from sknnopt.nn._heads_modules import Heads, HeadsAverage, HeadsLinear, HeadsOutput
from sknnopt.nn._residual import Residual
from sknnopt.nn._temperature import Temperature

TILE = {np.dtype(np.float32): 32, np.dtype(np.float64): 48}
"""Rows a tile. Products are over tiles, the last one filled up: a row's scores do not depend on the others.

The numbers are whole blocks of the products' kernels, so that its place in the tile does not matter either.
"""

TILES = 32
"""Tiles that go through a network at once."""


def predict_scores(module: nn.Module, x: Any) -> np.ndarray:
    """Return the scores of encoded rows.

    Parameters
    ----------
    module : nn.Module
        In eval mode, on the CPU.
    x : ndarray (n, ...) or CSR matrix (n, F)
        Encoded rows, of the module's dtype.

    Returns
    -------
    ndarray (n, O)
    """
    tile = TILE[x.dtype]
    forward = _forward(module, tile)
    parts = []
    with single_thread(), torch.inference_mode():
        for first in range(0, x.shape[0], tile * TILES):
            part = x[first : first + tile * TILES]
            part = part.toarray() if hasattr(part, "toarray") else part
            rows = np.zeros((-(-len(part) // tile) * tile, *part.shape[1:]), dtype=part.dtype)
            rows[: len(part)] = part
            scores = forward(torch.from_numpy(rows))
            parts.append(scores[: len(part)].numpy())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _forward(module: nn.Module, tile: int) -> Callable[[Tensor], Tensor]:
    """Return what maps rows (T * tile, ...) to scores (T * tile, O)."""
    if isinstance(module, MemberAverage):
        members = [_forward(member, tile) for member in module.members]
        return lambda x: module.average(torch.stack([member(x) for member in members]))
    if type(module) is nn.Sequential and all(_is_tiled(layer) for layer in module):
        return lambda x: _tiled(module, x, tile)
    return lambda x: torch.cat([_plain(module, part) for part in torch.split(x, tile)])


def _plain(module: nn.Module, x: Tensor) -> Tensor:
    scores = module(x)
    return scores.unsqueeze(1) if scores.ndim == 1 else scores


def _tiled(layers: nn.Sequential, x: Tensor, tile: int) -> Tensor:
    """Run a stack of layers feature-major, (T, F, tile): a product a tile, each with the same shape."""
    x = _run(layers, x.view(-1, tile, x.shape[1]).transpose(1, 2))
    return x.transpose(1, 2).reshape(-1, x.shape[1])


def _is_tiled(layer: nn.Module) -> bool:
    return type(layer) in _TILED and (type(layer) is InputEmbedding or all(map(_is_tiled, layer.children())))


def _run(layers: nn.Sequential, x: Tensor) -> Tensor:
    for layer in layers:
        x = _TILED[type(layer)](layer, x)
    return x


def _call(layer: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = layer(x)
    return out


def _embedding(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, InputEmbedding)
    return layer.feature_major(x)


def _input_scale(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, InputScale)
    return x * layer.weight.unsqueeze(1)


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    weight = layer.scaled_weight() if isinstance(layer, ScaledLinear) else layer.weight
    bias, tiles = layer.bias, len(x)
    if bias is None:
        return torch.bmm(weight.expand(tiles, -1, -1), x)
    return torch.baddbmm(bias.unsqueeze(1).expand(tiles, -1, 1), weight.expand(tiles, -1, -1), x)


def _layer_norm(layer: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = layer(x.transpose(1, 2)).transpose(1, 2)
    return out


def _residual(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, Residual)
    return x + _run(layer, x)


def _heads(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, Heads)
    return (x.unsqueeze(2) * _of_units(layer.r, layer.heads)).flatten(2)


def _heads_linear(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, HeadsLinear)
    if layer.r is not None:
        x = (_split(x, layer.heads) * _of_units(layer.r, layer.heads)).flatten(2)
    out = _split(torch.bmm(layer.scaled_weight().expand(len(x), -1, -1), x), layer.heads)
    return out.mul_(_of_units(layer.s, layer.heads)).add_(_of_units(layer.b, layer.heads)).flatten(2)


def _heads_output(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, HeadsOutput)
    weight = layer.scaled_weight()
    out = torch.stack([torch.bmm(weight, tile) for tile in _split(x, layer.heads).transpose(1, 2)])
    return out.transpose(1, 2).add(_of_units(layer.bias, layer.heads)).flatten(2)


def _heads_average(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, HeadsAverage)
    rows = _split(x, layer.heads).permute(2, 0, 3, 1).flatten(0, 2)
    averaged: Tensor = layer(rows)
    return averaged.view(len(x), -1, x.shape[1]).transpose(1, 2)


def _split(x: Tensor, heads: int) -> Tensor:
    """Return tiles (T, F, H tile) of several heads as (T, F, H, tile)."""
    return x.view(*x.shape[:2], heads, -1)


def _of_units(values: Tensor, heads: int) -> Tensor:
    """Return numbers (H F,), given head by head, as (F, H, 1)."""
    return values.view(heads, -1).T.unsqueeze(2)


_TILED: dict[type[nn.Module], Callable[[nn.Module, Tensor], Tensor]] = {
    InputEmbedding: _embedding,
    InputScale: _input_scale,
    nn.Linear: _linear,
    ScaledLinear: _linear,
    nn.LayerNorm: _layer_norm,
    nn.BatchNorm1d: _call,
    nn.Dropout: _call,
    Residual: _residual,
    Temperature: _call,
    Heads: _heads,
    HeadsLinear: _heads_linear,
    HeadsOutput: _heads_output,
    HeadsAverage: _heads_average,
    **{type(make().module()): _call for make in activations.REGISTRY.values()},
}
