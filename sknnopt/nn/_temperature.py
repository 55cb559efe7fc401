"""The temperature that a fitted network's scores are divided by."""

from typing import Any

from torch import Tensor, nn


class Temperature(nn.Module):
    """Divides scores by a number, the last layer of a calibrated network. It has neither parameters nor buffers.

    Parameters
    ----------
    value : float
        Above 0.

    Examples
    --------
    >>> import torch
    >>> Temperature(2.0)(torch.tensor([[1.0, 3.0]]))
    tensor([[0.5000, 1.5000]])
    """

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = float(value)

    def forward(self, scores: Tensor) -> Tensor:
        """Return the scores of less or more sure probabilities."""
        return scores / self.value

    def after(self, module: nn.Module, inputs: Any, scores: Tensor) -> Tensor:
        """Do so as a forward hook of another module."""
        return self(scores)

    def extra_repr(self) -> str:
        """Return the number for printing."""
        return f"{self.value:.4g}"


def set_temperature(module: nn.Module, value: float) -> None:
    """Let a network's scores be divided by `value`, in place of the temperature it may have; 1 is none.

    A plain ``Sequential`` gets a last layer, and any other module a forward hook, so that it keeps its type and its
    attributes. Names in the state dict stay as they are.
    """
    for key, hook in list(module._forward_hooks.items()):
        if isinstance(getattr(hook, "__self__", None), Temperature):
            del module._forward_hooks[key]
    sequence = module if isinstance(module, nn.Sequential) and type(module) is nn.Sequential else None
    if sequence is not None and len(sequence) and isinstance(sequence[-1], Temperature):
        delattr(sequence, next(reversed(sequence._modules)))  # `del sequence[-1]` would rename the others
    if value == 1:
        return
    if sequence is not None:
        sequence.add_module("temperature", Temperature(value).eval())
    else:
        module.register_forward_hook(Temperature(value).after)
