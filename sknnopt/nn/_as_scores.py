"""Modules that return something else than scores, such as probabilities, in the place of those that return scores."""

import copy
import inspect
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

Returns = Literal["probabilities", "logit", "probability"]


class AsScores(nn.Module):
    """Scores, from what a module returns.

    Parameters
    ----------
    network : nn.Module
        For rows (B, ...) it returns "probabilities" (B, C) of classes, the "logit" of the second of two classes, of
        shape (B,) or (B, 1), or its "probability".
    returns : {"probabilities", "logit", "probability"}

    Examples
    --------
    >>> AsScores(nn.Identity(), "logit")(torch.tensor([0.0, 2.0])).softmax(1)
    tensor([[0.5000, 0.5000],
            [0.1192, 0.8808]])
    >>> AsScores(nn.Softmax(1), "probabilities")(torch.tensor([[1.0, 1.0]])).softmax(1)
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, network: nn.Module, returns: Returns) -> None:
        super().__init__()
        self.network = network
        self.returns = returns

    def forward(self, x: Any) -> Tensor:
        """Return scores (B, O) whose softmax the probabilities are."""
        values: Tensor = self.network(x)
        if self.returns == "probabilities":
            return _log(values)
        values = values.reshape(len(values))
        if self.returns == "logit":
            return torch.stack([torch.zeros_like(values), values], 1)
        return _log(torch.stack([1 - values, values], 1))

    def extra_repr(self) -> str:
        """Return what the network returns, for printing."""
        return f"returns={self.returns!r}"


def _log(probability: Tensor) -> Tensor:
    """Return logarithms, finite ones also of zero."""
    return torch.log(probability + torch.finfo(probability.dtype).eps)


class Remade:
    """Makes a module anew, for ``Module(Remade(...))``: one of a class, or one like a trained one.

    Parameters
    ----------
    module : callable or nn.Module
        A class or a function that makes modules; of an instance copies are made whose layers draw their parameters
        anew, by ``reset_parameters``.
    returns : {"probabilities", "logit", "probability"} or None
        What the module returns, see `AsScores`; None for scores (B, O).

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> trained = nn.Linear(2, 1)
    >>> bool((Remade(trained, None)().weight == trained.weight).any())
    False
    """

    def __init__(self, module: Callable[..., nn.Module] | nn.Module, returns: Returns | None) -> None:
        self.module = module
        self.returns = returns
        built = isinstance(module, nn.Module)
        self.__signature__ = inspect.Signature() if built else inspect.signature(module)

    def __call__(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Return a new module."""
        if isinstance(self.module, nn.Module):
            made = copy.deepcopy(self.module).train()
            for part in made.modules():
                reset = _reset_of(part)
                if reset is not None:
                    reset()
        else:
            made = self.module(*args, **kwargs)
        return made if self.returns is None else AsScores(made, self.returns)

    def __repr__(self) -> str:
        name = type(self.module).__name__ if isinstance(self.module, nn.Module) else self.module.__name__
        return f"{type(self).__name__}({name}, {self.returns!r})"

    def kept(self) -> list[str]:
        """Return the names of parameters that are not drawn anew."""
        if not isinstance(self.module, nn.Module):
            return []
        parts = self.module.named_modules()
        return [
            f"{path}.{name}".lstrip(".")
            for path, part in parts
            if _reset_of(part) is None
            for name, _ in part.named_parameters(recurse=False)
        ]


def _reset_of(part: nn.Module) -> Callable[[], Any] | None:
    for name in ("reset_parameters", "_reset_parameters"):
        found = getattr(part, name, None)
        if callable(found):
            reset: Callable[[], Any] = found
            return reset
    return None
