"""Adam's moments and direction in one pass over memory."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
from torch import Tensor

from ._base import Hyper, Numbers, State

__all__ = ["adam_direction", "divided"]

KERNELS = {"cpu"}
"""Types of devices whose kernel is used; on others the same is computed call by call."""

_NO_CORRECTION = torch.tensor(math.inf, dtype=torch.float32)
"""A step count whose bias corrections are 1; the coefficients have them folded in."""

_NO_INTAKE = 2.0**-53
"""What a running mean takes in that is to stay as it is: the kernel takes no zero, as it divides by 1 - (1 - 0)^t."""


def adam_direction(gradients: Tensor, state: State, hyper: Hyper) -> Tensor:
    """Update Adam's moments and return ``-m / (sqrt(v) + epsilon)``.

    torch's kernel for the CPU takes one set of numbers a call: members that agree go through it together. It works
    element by element, so that a member's bits do not depend on who they are.

    Parameters
    ----------
    gradients : Tensor of shape (K, P)
    state : mapping of str to Tensor of shape (K, P)
        "mean", "square", for AMSGrad the "largest" square so far, and "_direction", which is returned.
    hyper : mapping of str to Tensor of shape (K, 1)
        "intake_1", "intake_2" and "epsilon".
    """
    out, mean = state["_direction"], state["mean"]
    if gradients.device.type not in KERNELS:
        return _plain(mean.lerp_(gradients, hyper["intake_1"]), gradients, state, hyper)
    tensors = [out.zero_(), gradients, mean, state["square"]]
    if "largest" in state:
        tensors.append(state["largest"])
    _fused_by_members(tensors, hyper, ("intake_1", "intake_2", "epsilon"))
    return out


def divided(numerator: Tensor, gradients: Tensor, state: State, hyper: Hyper) -> Tensor:
    """Update the running mean ``v`` of squares and return ``-numerator / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    numerator : Tensor of shape (K, P)
        May be `gradients`. Its last bit may change.
    gradients : Tensor of shape (K, P)
        Whose squares ``v`` takes in.
    state : mapping of str to Tensor of shape (K, P)
        "square", which is ``v``, and "_direction", which is returned.
    hyper : mapping of str to Tensor of shape (K, 1)
        "intake_2" and "epsilon".
    """
    if gradients.device.type not in KERNELS:
        return _plain(numerator, gradients, state, hyper)
    out = state["_direction"].zero_()
    _fused_by_members([out, gradients, numerator, state["square"]], hyper, ("intake_2", "epsilon"))
    return out


def _plain(mean: Tensor, gradients: Tensor, state: State, hyper: Hyper) -> Tensor:
    """Do the same without the kernel."""
    out = state["_direction"]
    square = state["square"].lerp_(torch.mul(gradients, gradients, out=out), hyper["intake_2"])
    if "largest" in state:
        square = torch.maximum(state["largest"], square, out=state["largest"])
    torch.sqrt(square, out=out).add_(hyper["epsilon"])
    return torch.div(mean, out, out=out).neg_()


def _fused_by_members(tensors: list[Tensor], hyper: Hyper, names: tuple[str, ...]) -> None:
    key = _shared(hyper, names)
    if key is not None:
        _fused([[tensor] for tensor in tensors], *key)
        return
    rows = [tensor.unbind(0) for tensor in tensors]
    for key, members in _groups(hyper, names).items():
        _fused([[row[k] for k in members] for row in rows], *key)


def _shared(hyper: Hyper, names: tuple[str, ...]) -> tuple[float, ...] | None:
    """Return the numbers of all members, None if they are not known to agree."""
    if not isinstance(hyper, Numbers):
        return None
    shared, t = hyper.shared, hyper.step
    try:
        return tuple([shared[name][t] for name in names])
    except KeyError:
        return None


def _groups(hyper: Hyper, names: tuple[str, ...]) -> dict[tuple[float, ...], list[int]]:
    """Return the members that share each set of numbers."""
    columns = [hyper[name][:, 0].tolist() for name in names]
    groups: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for k, key in enumerate(zip(*columns, strict=True)):
        groups[key].append(k)
    return groups


def _fused(lists: list[list[Tensor]], *numbers: float) -> None:
    *intake_1, intake_2, epsilon = numbers
    out, gradients, mean, square, *largest = lists
    torch._fused_adam_(
        out,
        gradients,
        mean,
        square,
        largest[0] if largest else [],
        [_NO_CORRECTION] * len(out),
        lr=1.0,
        beta1=1.0 - (intake_1[0] if intake_1 else _NO_INTAKE),
        beta2=1.0 - intake_2,
        weight_decay=0.0,
        eps=epsilon,
        amsgrad=bool(largest),
        maximize=False,
    )
