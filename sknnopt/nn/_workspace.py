"""The buffers that a stacked network computes in, allocated once."""

from typing import NamedTuple

import torch
from torch import Tensor

from sknnopt.nn._layout import padded


class Rows(NamedTuple):
    """Activations of a batch, feature-major, each member's block padded.

    ``flat`` (K, S) is contiguous: element-wise kernels run over it. ``view`` (K, F, B) is the same memory without the
    padding: products and reductions run over it.
    """

    flat: Tensor
    view: Tensor


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

    def flat(self, name: str, size: int, dtype: torch.dtype | None = None) -> Tensor:
        """Return a zeroed buffer of shape (K, size padded)."""
        if name not in self._store:
            shape = (self.members, padded(size))
            self._store[name] = torch.zeros(shape, dtype=dtype or self.dtype, device=self.device)
        return self._store[name][: self.members]

    def features(self, name: str, features: int) -> Rows:
        """Return a feature-major buffer, view (K, features, B)."""
        flat = self.flat(name, features * self.rows)
        return Rows(flat, flat[:, : features * self.rows].view(-1, features, self.rows))

    def inputs(self, name: str, features: int) -> Tensor:
        """Return a row-major buffer (K, B, features), as rows are gathered from a table."""
        flat = self.flat(name, features * self.rows)
        return flat[:, : features * self.rows].view(-1, self.rows, features)
