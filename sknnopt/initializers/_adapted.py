"""Initializers that draw by another one and then look at the network, or at what training rows become in it."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from .._choices import resolve
from .._compat import Interval
from ._base import FunctionInitializer, Initializer

__all__ = ["COUNT", "LSUV", "Adapted", "Base", "DataDependent", "ZeroOutput", "own", "send_through", "units_of"]

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Layers that are adapted."""

COUNT = Interval(Integral, 1, None, closed="left")

Base = str | Initializer | Callable[..., Any]


class Adapted(Initializer):
    """Draws by `base`; a subclass adapts."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"base": [str, Initializer, callable]}

    base: Base

    def validate(self) -> None:
        super().validate()
        self._resolved()

    def _as_object(self, name: str, value: Any) -> Any:
        return self._resolved() if name == "base" else value

    @property
    def scales_layers(self) -> bool:
        return self._resolved().scales_layers

    def draw(self, weight: Tensor, *, generator: Generator, gain: float) -> None:
        self._resolved().draw(weight, generator=generator, gain=gain)

    def adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        base = self._resolved()
        if base.adapts:
            base.adapt(module, rows[: base.n_rows], generator)
        self._adapt(module, rows[: self.n_rows], generator)

    def _adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        raise NotImplementedError

    def _resolved(self) -> Initializer:
        from . import REGISTRY

        return resolve(self.base, REGISTRY, parameter="base", base=Initializer, wrap=FunctionInitializer)


class LSUV(Adapted):
    """Layer-sequential unit variance: `base`, then each layer's weights divided by its outputs' standard deviation.

    Layer by layer, as training rows reach them, ``w = w / sqrt(var(w x))`` over all rows and units. As a layer is
    linear in its weights, one division does what the paper repeats. A layer whose output does not vary stays as
    drawn. Each row counts once, whatever its sample weight.

    Parameters
    ----------
    base : str, Initializer or callable, default="orthogonal"
        Swept as ``initializer__base``.
    n_rows : int, default=512
        Training rows to look at, chosen at random; at least 1.

    References
    ----------
    Mishkin and Matas, "All you need is a good init", 2016, algorithm 1.

    Examples
    --------
    >>> network, rows = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2)), torch.randn(100, 3)
    >>> LSUV().adapt(network, rows, torch.Generator())
    >>> round((network(rows) - network[2].bias).var(unbiased=False).item(), 3)
    1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**Adapted._parameter_constraints, "n_rows": [COUNT]}
    search_space = {"base": ["orthogonal", "normal"]}

    def __init__(self, *, base: Base = "orthogonal", n_rows: int = 512) -> None:
        self.base = base
        self.n_rows = n_rows

    def _adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        send_through(module, rows, _scale)


def _scale(layer: nn.Module, outputs: Callable[[], Tensor]) -> None:
    weight, bias = own(layer)
    values = units_of(layer, outputs())
    values = values if bias is None else values - bias.double().unsqueeze(1)
    variance = values.var(unbiased=False)
    if _varies(variance, values.square().mean(), weight.dtype):
        weight.div_(variance.sqrt().to(weight.dtype))


class DataDependent(Adapted):
    """Data-dependent: `base`, then each unit's weights and bias such that it has mean 0 and variance 1.

    Layer by layer, as training rows reach them, unit i with outputs ``t_i`` becomes ``(t_i - mean(t_i)) / std(t_i)``.
    A unit that does not vary, and all of a single row, stays as drawn; a layer without bias is scaled alone. Each row
    counts once, whatever its sample weight.

    Parameters
    ----------
    base : str, Initializer or callable, default="normal"
        Swept as ``initializer__base``.
    n_rows : int, default=512
        Training rows to look at, chosen at random; at least 1.

    References
    ----------
    Salimans and Kingma, "Weight normalization", 2016, section 3, eq. 5 and 6; Krähenbühl, Doersch, Donahue and Darrell,
    "Data-dependent initializations of convolutional neural networks", 2016, algorithm 1.

    Examples
    --------
    >>> network, rows = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2)), torch.randn(100, 3)
    >>> DataDependent().adapt(network, rows, torch.Generator())
    >>> network(rows).var(0, unbiased=False).detach().round(decimals=3)
    tensor([1., 1.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**Adapted._parameter_constraints, "n_rows": [COUNT]}
    search_space = {"base": ["normal", "orthogonal"]}

    def __init__(self, *, base: Base = "normal", n_rows: int = 512) -> None:
        self.base = base
        self.n_rows = n_rows

    def _adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        send_through(module, rows, _standardize)


def _standardize(layer: nn.Module, outputs: Callable[[], Tensor]) -> None:
    weight, bias = own(layer)
    values = units_of(layer, outputs())
    variance, mean = torch.var_mean(values, 1, unbiased=False)
    varies = _varies(variance, values.square().mean(1), weight.dtype)
    scale = torch.where(varies, variance, torch.ones_like(variance)).rsqrt()
    weight.mul_(scale.to(weight.dtype).view(-1, *[1] * (weight.ndim - 1)))
    if bias is not None:
        bias.copy_((bias - torch.where(varies, mean, torch.zeros_like(mean))) * scale)


class ZeroOutput(Adapted):
    """`base`, but that the output layer starts at zero, weights and bias.

    The first prediction is then the mean of the target, or equal probabilities for all classes, and the first steps
    train the output layer alone. The output layer is the one that rows reach last.

    Parameters
    ----------
    base : str, Initializer or callable, default="kaiming_uniform"
        Swept as ``initializer__base``.

    References
    ----------
    Zhang, Dauphin and Ma, "Fixup initialization: residual learning without normalization", 2019, section 3.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 2))
    >>> ZeroOutput().adapt(network, torch.randn(2, 3), torch.Generator())
    >>> network(torch.randn(1, 3)).detach()
    tensor([[0., 0.]])
    """

    search_space = {"base": ["kaiming_uniform", "kaiming_normal", "xavier_uniform", "orthogonal"]}

    def __init__(self, *, base: Base = "kaiming_uniform") -> None:
        self.base = base

    @property
    def n_rows(self) -> int:  # type: ignore[override]
        return max(1, self._resolved().n_rows)

    def _adapt(self, module: nn.Module, rows: Tensor, generator: Generator) -> None:
        reached = send_through(module, rows, lambda layer, outputs: None)
        if not reached or not _is_free(reached[-1]):
            raise ValueError(
                "initializer=ZeroOutput(...) found no output layer: the last linear layer of the network must have "
                "weights of its own that are trained."
            )
        with torch.no_grad():
            for parameter in reached[-1].parameters(recurse=False):
                parameter.zero_()


Visit = Callable[[nn.Module, Callable[[], Tensor]], None]


@torch.no_grad()
def send_through(module: nn.Module, rows: Tensor, visit: Visit) -> list[nn.Module]:
    """Send rows through a network and return its layers in the order in which they are reached.

    Each that is trained is visited when it is first reached, with what gives its outputs as it now is; on the way go
    the outputs of what the visit has made of it.
    """
    reached: list[nn.Module] = []
    seen: set[int] = set()

    def hook(layer: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor:
        reached.append(layer)
        if not _is_free(layer) or id(layer.weight) in seen:
            return output
        seen.add(id(layer.weight))
        visit(layer, lambda: layer.forward(*args, **kwargs))
        out: Tensor = layer.forward(*args, **kwargs)
        return out

    layers = [layer for layer in module.modules() if isinstance(layer, LAYERS)]
    handles = [layer.register_forward_hook(hook, with_kwargs=True) for layer in layers]
    try:
        module(rows)
    finally:
        for handle in handles:
            handle.remove()
    return reached


def _is_free(layer: nn.Module) -> bool:
    """Whether the layer's weight is its own parameter, not computed from others, and is trained."""
    weight = dict(layer.named_parameters(recurse=False)).get("weight")
    return weight is not None and weight.requires_grad


def own(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return a layer's weight and bias."""
    own = dict(layer.named_parameters(recurse=False))
    return own["weight"], own.get("bias")


def units_of(layer: nn.Module, outputs: Tensor) -> Tensor:
    """Return each unit's outputs, or each channel's, float64 of shape (units, n); a layer may know them better."""
    if hasattr(layer, "by_unit"):
        units: Tensor = layer.by_unit(outputs)  # type: ignore[operator]
        return units.double()
    return outputs.movedim(-1 if isinstance(layer, nn.Linear) else 1, 0).flatten(1).double()


def _varies(variance: Tensor, power: Tensor, dtype: torch.dtype) -> Tensor:
    """Whether values of this variance and mean square, computed in `dtype`, differ by more than rounding."""
    return variance > torch.finfo(dtype).eps * power
