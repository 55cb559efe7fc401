"""An ONNX graph under construction, whose values are reckoned with as torch's tensors are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["STRING", "Graph", "Value", "binary", "brought"]

STRING = "string"
"""Stands among torch's types for that of strings, which torch does not have."""


class Graph:
    """Nodes, constants, inputs and outputs.

    Parameters
    ----------
    opset : int
        Version of ONNX's operators.
    taken : sequence of str
        Names that nothing inside may have: those of inputs and outputs.
    """

    def __init__(self, opset: int, taken: Sequence[str] = ()) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._taken, self._count = set(taken), 0
        self._known: dict[Any, Value] = {}

    def op(self, kind: str, *inputs: Any, dtype: Any = None, domain: str = "", **attributes: Any) -> Value:
        """Return the one output of a new node, of the type of its first input if none is said."""
        return self.ops(kind, *inputs, dtypes=[dtype], domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: Any, dtypes: Sequence[Any], domain: str = "", **attributes: Any
    ) -> tuple[Value, ...]:
        """Return the outputs of a new node, one for each type; None is the type of the first input."""
        from onnx import helper

        given = [self.value(one) for one in inputs]
        out = [Value(self, self._name(kind), given[0].dtype if dtype is None else dtype) for dtype in dtypes]
        names = [one.name for one in given], [one.name for one in out]
        self.nodes.append(helper.make_node(kind, *names, domain=domain, **attributes))
        return tuple(out)

    def value(self, given: Any, dtype: torch.dtype | None = None) -> Value:
        """Return a tensor, array or number as a constant; a value is one already."""
        from onnx import numpy_helper

        if isinstance(given, Value):
            return given
        if isinstance(given, Tensor):
            given = given.detach().numpy()
        array = np.asarray(given)
        if dtype is not None:
            array = array.astype(torch.empty(0, dtype=dtype).numpy().dtype)
        key = (array.dtype.str, array.shape, array.tobytes() if array.dtype != object else tuple(array.tolist()))
        if key not in self._known:
            kind = STRING if array.dtype == object else torch.from_numpy(array).dtype
            own = self._known[key] = Value(self, self._name("constant"), kind)
            self.constants.append(numpy_helper.from_array(array, own.name))
        return self._known[key]

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Value:
        """Return a new input."""
        self.inputs.append(_declared(name, dtype, shape))
        return Value(self, name, dtype)

    def output(self, name: str, value: Value, shape: Sequence[int | str]) -> None:
        """Let a value be an output."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        self.outputs.append(_declared(name, value.dtype, shape))

    def model(self) -> Any:
        """Return the checked model."""
        import onnx
        from onnx import helper

        operators = [helper.make_opsetid("", self.opset), helper.make_opsetid("ai.onnx.ml", 3)]
        version = helper.find_min_ir_version_for(operators)
        graph = helper.make_graph(self.nodes, "sknnopt", self.inputs, self.outputs, self.constants)
        options = {"opset_imports": operators, "ir_version": version, "producer_name": "sknnopt"}
        model = helper.make_model(graph, **options)
        onnx.checker.check_model(model, full_check=True)
        return model

    def _name(self, kind: str) -> str:
        while True:
            self._count += 1
            name = f"{kind}_{self._count}"
            if name not in self._taken:
                return name


class Value:
    """One value of a graph.

    Attributes
    ----------
    name : str
    dtype : torch.dtype or "string"
    shape : tuple of int or None
        That which it has where the graph is traced; only some sizes hold for all tables.
    """

    shape: tuple[int, ...] | None = None

    def __init__(self, graph: Graph, name: str, dtype: Any) -> None:
        self.graph, self.name, self.dtype = graph, name, dtype

    def to(self, dtype: torch.dtype) -> Value:
        """Return the value in another type."""
        return self if dtype == self.dtype else self.graph.op("Cast", self, dtype=dtype, to=_kind(dtype))

    def __add__(self, other: Any) -> Value:
        return binary("Add", self, other)

    def __radd__(self, other: Any) -> Value:
        return binary("Add", other, self)

    def __sub__(self, other: Any) -> Value:
        return binary("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return binary("Sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return binary("Mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return binary("Mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return binary("Div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return binary("Div", other, self)

    def __neg__(self) -> Value:
        return self.graph.op("Neg", self)


def binary(kind: str, one: Any, other: Any, dtype: Any = None) -> Value:
    """Return the result of an operator of two operands, brought to one type as torch does."""
    graph = one.graph if isinstance(one, Value) else other.graph
    together = torch.result_type(_like(one), _like(other))
    if kind == "Div" and not together.is_floating_point:
        together = torch.get_default_dtype()
    return graph.op(kind, *(brought(graph, side, together) for side in (one, other)), dtype=dtype)


def brought(graph: Graph, side: Any, dtype: torch.dtype) -> Value:
    """Return a value, tensor or number as a value of a type."""
    return side.to(dtype) if isinstance(side, Value) else graph.value(side, dtype)


def _like(side: Any) -> Any:
    """Return something of the type of an operand; of a number the number, whose type yields to tensors'."""
    return torch.empty(1, dtype=side.dtype) if isinstance(side, Value) else side


def _declared(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, _kind(dtype), shape)


def _kind(dtype: Any) -> int:
    """Return ONNX's number of a type."""
    from onnx import TensorProto, helper

    if dtype == STRING:
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(torch.empty(0, dtype=dtype).numpy().dtype))
