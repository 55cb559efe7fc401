"""Torch modules to nodes of an ONNX graph: traced by torch.fx, and then one operation after the other."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from sknnopt.export._graph import Graph, Value
from sknnopt.export._operations import MODULES, OPERATIONS

__all__ = ["translate"]

ADVICE = "A module of export_torch can be tried with torch.onnx.export, which knows more of torch and needs onnxscript."


class _Tracer(fx.Tracer):
    """Traces into every module but those that are translated as a whole; parameters are constants."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in MODULES and not m._forward_hooks

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val


class _Shapes(fx.Interpreter):
    """Runs a traced module and notes the shape of each value."""

    def run_node(self, n: fx.Node) -> Any:
        found = super().run_node(n)
        n.meta["shape"] = tuple(found.shape) if isinstance(found, Tensor) else None
        return found


def translate(module: nn.Module, graph: Graph, inputs: Sequence[Value | None], samples: Sequence[Tensor]) -> Any:
    """Return what a module makes of values of a graph.

    Parameters
    ----------
    module : nn.Module
        In eval mode.
    graph : Graph
    inputs : sequence of Value
        None where there is nothing, which the module then leaves alone.
    samples : sequence of Tensor
        A few rows of what the inputs may be.

    Raises
    ------
    NotImplementedError
        If torch.fx cannot trace the module, or an operation has no translation.
    """
    with torch.no_grad():
        try:
            traced = fx.GraphModule(module, _Tracer().trace(module))
        except Exception as error:
            raise NotImplementedError(f"torch.fx cannot trace the network: {error} {ADVICE}") from error
        try:
            _Shapes(traced).run(*samples)
        except Exception as error:
            shapes = ", ".join(str(tuple(sample.shape)) for sample in samples)
            said = str(error).partition("\n\n")[0]  # torch.fx adds where it was
            raise NotImplementedError(f"The network cannot take rows of shape {shapes}: {said}. {ADVICE}") from error
    return _Translation(traced, graph, inputs).run()


class _Translation:
    """The values of a traced module's nodes, one after the other."""

    def __init__(self, traced: fx.GraphModule, graph: Graph, inputs: Sequence[Value | None]) -> None:
        self._traced, self._graph, self._inputs = traced, graph, iter(inputs)
        self._found: dict[fx.Node, Any] = {}

    def run(self) -> Any:
        """Return the module's output."""
        for node in self._traced.graph.nodes:
            if node.op == "output":
                return self._of(node.args[0])
            self._found[node] = found = self._translated(node)
            if isinstance(found, Value):
                found.shape = node.meta.get("shape")
        raise AssertionError("a traced graph has an output")

    def _translated(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return next(self._inputs, None)
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self._traced)
        args, kwargs = self._of(node.args), self._of(node.kwargs)
        if node.op == "call_module":
            layer = self._traced.get_submodule(str(node.target))
            return MODULES[type(layer)](self._graph, layer, *args, **kwargs)
        return self._operation(node, args, kwargs)

    def _of(self, given: Any) -> Any:
        return fx.node.map_arg(given, lambda node: self._found[node])

    def _operation(self, node: fx.Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        kwargs = dict(kwargs)
        in_place = kwargs.pop("inplace", False)
        name = node.target if isinstance(node.target, str) else node.target.__name__
        translation: Callable[..., Any] | None = OPERATIONS.get(name)
        where = f"torch's {name!r}"
        if translation is None:
            raise NotImplementedError(f"The network uses {where}, which has no translation to ONNX here. {ADVICE}")
        try:
            found = translation(self._graph, *args, **kwargs)
        except (TypeError, AttributeError) as error:
            given = ", ".join([*map(repr, node.args), *(f"{key}={value!r}" for key, value in node.kwargs.items())])
            raise NotImplementedError(
                f"The network uses {where} with ({given}), for which there is no translation to ONNX here. {ADVICE}"
            ) from error
        if in_place and isinstance(node.args[0], fx.Node):
            self._found[node.args[0]] = found
        return found
