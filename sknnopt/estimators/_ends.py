"""The first and the last layer of a fitted network, made to fit other columns and other classes."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt.estimators._embedded import EmbeddedColumns, Floats
from sknnopt.estimators._matching import OutputMap

Tensors = dict[str, Tensor]

SCALE = "input_scale.weight"


class Ends:
    """Makes the ends of a built-in network fit.

    Parameters
    ----------
    first : str
        Name of the first dense layer, which may be the last.
    inputs : CSR matrix of shape (old columns, new columns)
        The old encoding of the new one, ``new @ inputs.T + shift``.
    shift : ndarray of shape (old columns,)
    outputs : OutputMap
    scaled : bool
        Whether layers divide by the square root of their inputs' number.
    columns : EmbeddedColumns or None
        Where columns are embedded before the first dense layer.
    """

    def __init__(
        self,
        first: str,
        inputs: sparse.csr_array,
        shift: Floats,
        outputs: OutputMap,
        *,
        scaled: bool,
        columns: EmbeddedColumns | None = None,
    ) -> None:
        self._first, self._inputs, self._shift, self._outputs = first, inputs, shift, outputs
        self._scaled, self._columns = scaled, columns

    def apply(self, tensors: Tensors, drawn: Tensors) -> Tensors:
        """Return the tensors for the new columns and outputs; what is new is that of `drawn`."""
        out = {name: value for name, value in tensors.items() if not name.startswith("embedding.")}
        table, shift = self._inputs, self._shift
        if self._columns is not None:
            embedded, table, shift = self._columns.apply(tensors, drawn)
            out |= embedded
        self._move_inputs(out, table, shift)
        self._move_outputs(out, drawn)
        return out

    def _move_inputs(self, out: Tensors, table: sparse.csr_array, shift: Floats) -> None:
        weight = out[f"{self._first}.weight"].double().numpy()
        moved = _times(weight, table)
        if SCALE in out:  # W s (M x + t); where one input alone becomes another, it keeps its factor
            scale = out[SCALE].double().numpy()
            alone = np.bincount(table.indices, minlength=table.shape[1]) == 1
            moved = np.where(alone, moved, _times(weight * scale, table))
            there = sparse.csr_array((np.ones(table.nnz), table.indices, table.indptr), shape=table.shape)
            out[SCALE] = torch.from_numpy(np.where(alone, _times(scale[None], there)[0], 1.0))
            shift = scale * shift
        if self._scaled:  # layers divide by the square root of their inputs' number
            moved *= np.sqrt(moved.shape[1] / weight.shape[1])
            weight = weight / np.sqrt(weight.shape[1])
        out[f"{self._first}.weight"] = torch.from_numpy(moved)
        out[f"{self._first}.bias"] = out[f"{self._first}.bias"].double() + torch.from_numpy(weight @ shift)

    def _move_outputs(self, out: Tensors, drawn: Tensors) -> None:
        known = np.flatnonzero(self._outputs.rows >= 0)
        rows, scale, shift = (torch.from_numpy(values[known]) for values in self._outputs)
        old = out["output.weight"].double()[rows], out["output.bias"].double()[rows]
        fresh = drawn["output.weight"].double().clone(), drawn["output.bias"].double().clone()
        fresh[0][known], fresh[1][known] = old[0] * scale.unsqueeze(1), old[1] * scale + shift
        out["output.weight"], out["output.bias"] = fresh


def _times(values: Floats, table: sparse.csr_array) -> Floats:
    """Return values @ table, contiguous."""
    return np.ascontiguousarray((table.T @ values.T).T)
