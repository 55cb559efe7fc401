"""The ends of a built-in network, made to fit other columns and other classes."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt.estimators._matching import OutputMap, head_inputs
from sknnopt.nn import StackedNetwork

Tensors = dict[str, Tensor]


class Ends:
    """Makes the first and the last layer of a built-in network fit.

    Parameters
    ----------
    network : StackedNetwork
        Its first layer may be its last.
    inputs : CSR matrix of shape (old inputs, new inputs)
    shift : ndarray of shape (old inputs,)
    outputs : OutputMap
    """

    def __init__(
        self, network: StackedNetwork, inputs: sparse.csr_array, shift: np.ndarray, outputs: OutputMap
    ) -> None:
        self._first, self._scaled, self._heads = first_layer(network), network.scaled, network.heads
        self._inputs, self._shift, self._outputs = inputs, shift, outputs

    def apply(self, tensors: Tensors, drawn: Tensors) -> Tensors:
        """Return the tensors for the new inputs and outputs; rows of new outputs are those of `drawn`."""
        out = dict(tensors)
        self._move_inputs(out, drawn)
        self._move_outputs(out, drawn)
        return out

    def _move_inputs(self, out: Tensors, drawn: Tensors) -> None:
        name, table, shift = self._first, self._inputs, self._shift
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


def _of_heads(values: Tensor, heads: int) -> np.ndarray:
    """Return numbers (H F,), given head by head, as (H, F)."""
    return values.double().numpy().reshape(heads, -1)


def first_layer(network: StackedNetwork) -> str:
    """Return the name of the layer that the encoded columns go into."""
    return next(iter(network.layout.blocks)).rpartition(".")[0]
