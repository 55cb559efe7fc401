"""The buffers that a stacked network computes in, allocated once."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sknnopt._layout import padded

WIDENED = range(5, 64)
"""Numbers of inputs that are widened: MKL is slow with what is left of a multiple of 8."""

NARROW = 16
"""Features up to which a call costs more than a few rows of zeros more."""


def width(features: int) -> int:
    """Return how many columns a batch of inputs has in memory, those beyond the features being zero.

    Examples
    --------
    >>> width(4), width(54), width(100)
    (4, 56, 100)
    """
    return -(-features // 8) * 8 if features in WIDENED else features


def height(features: int, rows: int) -> int:
    """Return how many features of a batch a buffer has room for, in whole rows.

    Where a few more fill the block up to the grid, the cohort's blocks lie side by side without a gap: MKL then takes
    all K products in one call.

    Examples
    --------
    >>> height(7, 200), height(10, 32), height(2, 33)
    (8, 10, 2)
    """
    step = padded(1) // math.gcd(padded(1), rows)
    whole = -(-features // step) * step
    return whole if features <= NARROW and 2 * whole <= 3 * features else features


class Rows(NamedTuple):
    """Activations of a batch, feature-major, each member's block padded.

    ``flat`` (K, S) is contiguous: element-wise kernels run over it. ``view`` (K, F, B) is the same memory without the
    padding: products and reductions run over it. Inputs alone are row-major: ``flat`` (K, B, F or more).
    """

    flat: Tensor
    view: Tensor

    def tall(self, features: int) -> Tensor:
        """Return the memory as (K, ``features``, B), which may be more features than the view has."""
        rows = self.view.shape[2]
        return self.flat[:, : features * rows].view(-1, features, rows)


class Workspace:
    """Hands out named buffers for K members and B rows; asking again gives the same memory.

    Parameters
    ----------
    members, rows : int
        K and B.
    dtype : torch.dtype
    device : torch.device
    products : torch.dtype or None
        Type that factors are rounded to before they are multiplied (bfloat16); None multiplies as they are.
    """

    def __init__(
        self,
        members: int,
        rows: int,
        dtype: torch.dtype,
        device: torch.device,
        products: torch.dtype | None = None,
    ) -> None:
        self.members, self.rows, self.dtype, self.device = members, rows, dtype, device
        self.products = products
        self._store: dict[str, Tensor] = {}

    def narrow(self, members: int) -> "Workspace":
        """Return a workspace of the first ``members`` members over the same memory."""
        part = Workspace(members, self.rows, self.dtype, self.device, self.products)
        part._store = self._store
        return part

    def repeated(self, times: int) -> "Workspace":
        """Return a workspace of so many times the rows over the same memory."""
        part = Workspace(self.members, self.rows * times, self.dtype, self.device, self.products)
        part._store = self._store
        return part

    def flat(self, name: str, size: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return a zeroed buffer of shape (K, size padded)."""
        if name not in self._store:
            shape = (self.members, padded(size))
            self._store[name] = torch.zeros(shape, dtype=dtype or self.dtype, device=self.device)
        return self._store[name][: self.members]

    def features(self, name: str, features: int) -> Rows:
        """Return a feature-major buffer, view (K, features, B)."""
        gap = self.rows == 1  # MKL computes a single column otherwise for K than for one, where they lie side by side
        flat = self.flat(name, height(features, self.rows) * self.rows + gap)
        return Rows(flat, flat[:, : features * self.rows].view(-1, features, self.rows))

    def inputs(self, name: str, features: int) -> Tensor:
        """Return a row-major buffer (K, B, features), as rows are gathered from a table."""
        flat = self.flat(name, features * self.rows)
        return flat[:, : features * self.rows].view(-1, self.rows, features)
