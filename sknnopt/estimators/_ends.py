"""The ends of a built-in network, made to fit other columns and other classes."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt.estimators._embedded import EmbeddedColumns
from sknnopt.estimators._encodings import Floats
from sknnopt.estimators._matching import OutputMap, head_inputs
from sknnopt.nn import StackedNetwork

Tensors = dict[str, Tensor]

SCALE = "input_scale.weight"


class Ends:
    """Makes what reads the columns, the first dense layer and the last layer of a built-in network fit.

    Parameters
    ----------
    network : StackedNetwork
        Its first dense layer may be its last.
    encoding : tuple of CSR matrix of shape (old columns, new columns) and ndarray of shape (old columns,)
        The old encoding of the new one, ``new @ encoding[0].T + encoding[1]``.
    outputs : OutputMap
    columns : EmbeddedColumns or None
        Where columns are embedded before the first dense layer.
    """

    def __init__(
        self,
        network: StackedNetwork,
        encoding: tuple[sparse.csr_array, Floats],
        outputs: OutputMap,
        columns: EmbeddedColumns | None = None,
    ) -> None:
        self._first, self._scaled, self._heads = first_layer(network), network.scaled, network.heads
        self._encoding, self._outputs, self._columns = encoding, outputs, columns

    def apply(self, tensors: Tensors, drawn: Tensors) -> Tensors:
        """Return the tensors for the new columns and outputs; what is new is that of `drawn`."""
        out = {name: value for name, value in tensors.items() if not name.startswith("embedding.")}
        table, shift = self._encoding
        if self._columns is not None:
            embedded, table, shift = self._columns.apply(tensors, drawn)
            out |= embedded
        if SCALE in out:
            table, shift = _scaled_inputs(out, table, shift)
        self._move_inputs(out, drawn, table, shift)
        self._move_outputs(out, drawn)
        return out

    def _move_inputs(self, out: Tensors, drawn: Tensors, table: sparse.csr_array, shift: Floats) -> None:
        name = self._first
        weight = out[f"{name}.weight"].double().numpy()
        bias, scales = f"{name}.bias", None
        if "heads.r" in out:
            own, fresh = (_of_heads(one["heads.r"], self._heads) for one in (out, drawn))
            table, moved = head_inputs(table, own, fresh)
            out["heads.r"] = torch.from_numpy(moved.reshape(-1))
            bias, scales, shift = f"{name}.b", _of_heads(out[f"{name}.s"], self._heads), own * shift
        moved = np.ascontiguousarray((table.T @ weight.T).T)
        if self._scaled:  # layers divide by the square root of their inputs' number
            moved *= np.sqrt(moved.shape[1] / weight.shape[1])
            weight = weight / np.sqrt(weight.shape[1])
        out[f"{name}.weight"] = torch.from_numpy(moved)
        offset = shift @ weight.T
        offset = offset if scales is None else (offset * scales).reshape(-1)
        out[bias] = out[bias].double() + torch.from_numpy(offset)

    def _move_outputs(self, out: Tensors, drawn: Tensors) -> None:
        known, heads = np.flatnonzero(self._outputs.rows >= 0), (self._heads, -1)
        rows, scale, shift = (torch.from_numpy(values[known]) for values in self._outputs)
        for name, times, plus in (
            ("output.weight", scale.unsqueeze(1), torch.zeros(())),
            ("output.bias", scale, shift),
        ):
            fresh = drawn[name].double().clone()
            own = out[name].double()
            fresh.view(*heads, *own.shape[1:])[:, known] = own.view(*heads, *own.shape[1:])[:, rows] * times + plus
            out[name] = fresh


def _scaled_inputs(out: Tensors, table: sparse.csr_array, shift: Floats) -> tuple[sparse.csr_array, Floats]:
    """Return the map of inputs once they are scaled, and write the new factors.

    Where one input alone becomes another, it keeps its factor; any other has the factor 1.
    """
    scale, entries = out[SCALE].double().numpy(), table.tocoo()
    alone = np.bincount(entries.col, minlength=table.shape[1]) == 1
    factors, kept = np.ones(table.shape[1]), alone[entries.col]
    factors[entries.col[kept]] = scale[entries.row[kept]]
    out[SCALE] = torch.from_numpy(factors)
    values = np.where(kept, entries.data, entries.data * scale[entries.row])
    return sparse.coo_array((values, (entries.row, entries.col)), shape=table.shape).tocsr(), scale * shift


def _of_heads(values: Tensor, heads: int) -> Floats:
    """Return numbers (H F,), given head by head, as (H, F)."""
    return values.double().numpy().reshape(heads, -1)


def first_layer(network: StackedNetwork) -> str:
    """Return the name of the first dense layer."""
    return next(iter(network.layout.blocks)).rpartition(".")[0]
