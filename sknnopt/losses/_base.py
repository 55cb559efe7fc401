"""What every loss offers; a new one needs `__call__` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._choices import Choice
from .._compat import StrOptions

__all__ = ["FunctionLoss", "Loss"]

Link = Literal["identity", "softmax", "sigmoid", "exp"]
_TASKS: dict[Link, str] = {
    "softmax": "classification",
    "sigmoid": "multilabel",
    "identity": "regression",
    "exp": "regression",
}


class Loss(Choice):
    """Base of the losses.

    Shapes, for K members, O outputs and B rows: `output` is (K, O, B), feature-major; `target` is (K, B) of
    int64 class numbers for classification, else (K, O, B), or (K, T, B) where `n_scores` of T targets is O. The losses
    are unreduced: the caller weighs the rows, reduces over them and sums over members.

    A subclass that defines only `__call__` (and `link`, if not "identity") gets its gradient from autograd.

    Attributes
    ----------
    tasks : frozenset of {"classification", "multilabel", "regression"}
        What the loss can be used for; by default what the link is for: "softmax" for classification, "sigmoid"
        for multilabel targets, "identity" and "exp" for regression.
    scales_target : bool
        Whether a regression target is standardised before this loss sees it; by default where the link is
        "identity".
    link : {"identity", "softmax", "sigmoid", "exp"}
        What `predict` applies; members' predictions are averaged behind it.
    smooths : bool
        Whether the three calls take the keyword ``smoothing``, a tensor of shape (K, 1) with each member's
        label smoothing in [0, 1], or None.

    Examples
    --------
    >>> class LogCosh(Loss):
    ...     def __call__(self, output, target):
    ...         return (output - target).cosh().log().mean(1)
    >>> output, target = torch.tensor([[[0.0, 100.0, 0.0]]]), torch.tensor([[[0.0, 20.0, 0.0]]])
    >>> LogCosh().gradient(output, target)
    tensor([[[0., 1., 0.]]])
    """

    @property
    def tasks(self) -> frozenset[str]:
        """What the loss can be used for; a class attribute in most subclasses."""
        return frozenset({_TASKS[self.link]})

    @property
    def scales_target(self) -> bool:
        """Whether a regression target is standardised before this loss sees it."""
        return self.link == "identity"

    smooths: ClassVar[bool] = False
    link: Link = "identity"

    def for_task(self, task: str) -> Loss:
        """Return what this loss is for another task, itself where it has but one face.

        Parameters
        ----------
        task : {"classification", "multilabel", "regression"}
        """
        return self

    def n_scores(self, n_targets: int) -> int:
        """Return how many outputs the network needs for this many classes, labels or target columns."""
        return n_targets

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of every row.

        Parameters
        ----------
        output : Tensor of shape (K, O, B)
        target : Tensor of shape (K, B) or (K, O, B)

        Returns
        -------
        Tensor of shape (K, B)
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(output, target)")

    def gradient(self, output: Tensor, target: Tensor) -> Tensor:
        """Derivative of each row's loss with respect to its outputs, of shape (K, O, B)."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = _ordinary(output).detach().requires_grad_()
            (result,) = torch.autograd.grad(self(leaf, _ordinary(target)).sum(), leaf)
        return result

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of every row, and its gradient written into `out`.

        Parameters
        ----------
        output : Tensor of shape (K, O, B)
        target : Tensor of shape (K, B) or (K, O, B)
        out : Tensor of shape (K, O, B)
            Of any strides; may be `output` itself.

        Returns
        -------
        value : Tensor of shape (K, B)
        out : Tensor of shape (K, O, B)

        Raises
        ------
        ValueError
            If `__call__` gives another shape.
        """
        value = _per_row(self(output, target), output, self)
        return value, out.copy_(self.gradient(output, target))

    def predict(self, output: Tensor) -> Tensor:
        """Inverse link, (K, O, B) to (K, T, B): probabilities, or the predicted number of each of T targets."""
        match self.link:
            case "softmax":
                return torch.softmax(output, 1)
            case "sigmoid":
                return torch.sigmoid(output)
            case "exp":
                return torch.exp(output)
            case _:
                return output

    def check_target(self, y: np.ndarray) -> None:
        """Refuse a target that the loss is not defined for.

        Raises
        ------
        ValueError
            With the range that is allowed.
        """


def _ordinary(x: Tensor) -> Tensor:
    """Something that autograd takes; it refuses tensors made in inference mode."""
    return x.clone() if x.is_inference() else x


def _per_row(value: Any, output: Tensor, source: object) -> Tensor:
    """Return what a user's loss gave, if it is one number a row."""
    expected = (output.shape[0], output.shape[2])
    if isinstance(value, Tensor) and value.shape == expected:
        return value
    got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(
        f"The loss must return one number a row, shape (K, B) = {expected}, got {got} from {source!r}."
        f"{_advice(value, output, source)}"
    )


def _advice(value: Any, output: Tensor, source: object) -> str:
    name = type(source).__name__
    mean = f"the mean over outputs: lambda output, target: {name}(reduction='none')(output, target).mean(1)"
    if isinstance(value, Tensor) and value.shape == output.shape:
        mean = mean if isinstance(source, nn.Module) else "the mean over outputs, .mean(1)"
        return f" For regression take {mean}."
    if isinstance(source, nn.Module):
        return f' Use {name}(reduction="none"), and for regression with it {mean}.'
    return " Do not reduce over rows or members; for regression take the mean over outputs, .mean(1)."


class FunctionLoss(Loss):
    """Any function of output and target.

    Parameters
    ----------
    function : callable
        ``(output, target) -> losses`` of shapes (K, O, B), (K, B) or (K, O, B), and (K, B), in torch
        operations that autograd knows, each row by itself.
    link : {"identity", "softmax", "sigmoid", "exp"}, default="identity"
        What turns outputs into predictions, and with it the task: "softmax" is for classification, "sigmoid"
        for multilabel targets, "identity" for regression on a standardised target, "exp" for regression on
        the target divided by its mean.

    Examples
    --------
    >>> loss = FunctionLoss(lambda output, target: (output - target).pow(4).mean(1))
    >>> loss(torch.ones(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[ 1., 16.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "function": [callable],
        "link": [StrOptions({"identity", "softmax", "sigmoid", "exp"})],
    }

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *, link: Link = "identity") -> None:
        self.function = function
        self.link = link

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return _per_row(self.function(output, target), output, self.function)
