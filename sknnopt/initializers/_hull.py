"""Biases that follow from training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from ._adapted import COUNT, Adapted, Base, own, send_through, units_of

__all__ = ["HullBias"]


class HullBias(Adapted):
    """Biases by which units change sign among the data: `base`, then unit i has the bias ``-w_i x_i``.

    Layer by layer, as training rows reach them, ``x_i`` is a random point of the convex hull of the layer's inputs: a
    convex combination, uniform among all, of `n_points` rows' inputs, chosen with replacement for each unit anew. With
    biases of zero every unit's kink goes through the origin instead. The output layer is treated as the others are, by
    which each first score is zero somewhere among the data; ``ZeroOutput(base=HullBias())`` has it zero everywhere.
    Weights stay as drawn, also those of "ntk"; layers without bias are left alone. Each row counts once, whatever its
    sample weight.

    Parameters
    ----------
    base : str, Initializer or callable, default="kaiming_normal"
        Draws the weights. Swept as ``initializer__base``.
    n_points : int, default=5
        Rows that are combined for each unit; at least 1, which is a row itself.
    n_rows : int, default=512
        Training rows to choose among, themselves chosen at random; at least 1.

    References
    ----------
    Steinwart, "A sober look at neural network initializations", 2019, where `base` with `n_points` of n is "He+n";
    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular data",
    2024, section 3, "he+5".

    Examples
    --------
    >>> network, rows = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2)), torch.randn(100, 3)
    >>> HullBias().adapt(network, rows, torch.Generator())
    >>> active = (network[0](rows) > 0).double().mean(0)
    >>> bool((active > 0).all() and (active < 1).all())
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Adapted._parameter_constraints,
        "n_points": [COUNT],
        "n_rows": [COUNT],
    }
    search_space = {"base": ["kaiming_normal", "kaiming_uniform", "orthogonal"], "n_points": [1, 2, 5, 10]}

    def __init__(self, *, base: Base = "kaiming_normal", n_points: int = 5, n_rows: int = 512) -> None:
        self.base = base
        self.n_points = n_points
        self.n_rows = n_rows

    def _adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        def place(layer: nn.Module, outputs: Callable[[], Tensor]) -> None:
            _, bias = own(layer)
            if bias is not None and bias.requires_grad:
                products = units_of(layer, outputs()) - bias.double().unsqueeze(1)
                bias.copy_(-_combined(products, self.n_points, generator))

        send_through(module, rows, place)


def _combined(values: Tensor, count: int, generator: Generator) -> Tensor:
    """Return, float64 (units,), of each unit's values (units, n) a random convex combination of `count`."""
    shape = (len(values), count)
    places = torch.randint(values.shape[1], shape, generator=generator)
    shares = torch.empty(shape, dtype=torch.float64).exponential_(generator=generator)
    return (values.gather(1, places) * shares).sum(1) / shares.sum(1)
