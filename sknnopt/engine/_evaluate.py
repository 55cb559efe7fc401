"""Scores of rows that are not trained on, in chunks of fixed size."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sknnopt.data.batches import n_batches
from sknnopt.engine.job import Validation
from sknnopt.nn import EVALUATION, Network, Workspace, padded

CHUNK = 512
"""Rows that go through a network at once; the last chunk is filled up, so their number does not matter to a row.

A network of several heads has each row several times, and takes fewer of them.
"""


class Evaluator:
    """Computes the scores of K members on their withheld rows.

    Parameters
    ----------
    network : Network
        What the members share.
    parameters, buffers : Tensor (K, P), (K, Q)
    row_shape : tuple of int
    """

    def __init__(self, network: Network, parameters: Tensor, buffers: Tensor, row_shape: tuple[int, ...]) -> None:
        members, self._n_outputs = len(parameters), network.n_outputs
        self._chunk = padded(CHUNK // network.heads)
        space = Workspace(members, self._chunk, parameters.dtype, parameters.device)
        features = int(np.prod(row_shape))
        self._inputs = space.inputs("inputs", features).view(members, self._chunk, *row_shape)
        nobody: list[list[float]] = [[] for _ in range(members)]
        self._bound = network.bind(parameters, None, buffers, space, dropout=nobody, random=[])

    def scores(self, validations: Sequence[Validation | None]) -> list[Tensor | None]:
        """Return each member's scores (O, n) of its withheld rows, None without any."""
        indices = [torch.from_numpy(v.rows).to(self._inputs.device) if v else None for v in validations]
        size = self._chunk
        chunks = max(n_batches(len(index), size) for index in indices if index is not None)
        shape = len(validations), self._n_outputs, chunks * size
        out = torch.empty(shape, dtype=self._inputs.dtype, device=self._inputs.device)
        for start in range(0, chunks * size, size):
            for inputs, validation, index in zip(self._inputs, validations, indices, strict=True):
                if validation is not None and index is not None and start < len(index):
                    part = index[start : start + size]
                    validation.table.gather(part, inputs[: len(part)])
            out[:, :, start : start + size] = self._bound.forward(self._inputs, EVALUATION).view
        return [None if index is None else out[k, :, : len(index)] for k, index in enumerate(indices)]
