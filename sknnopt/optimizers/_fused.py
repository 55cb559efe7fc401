"""Adam's moments and direction in one pass over memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor

from ._base import Numbers

__all__ = ["adam_direction"]

_NO_CORRECTION = torch.tensor(math.inf, dtype=torch.float32)
"""A step count whose bias corrections are 1; the coefficients have them folded in."""

Key = tuple[float, float, float]


def adam_direction(gradients: Tensor, state: Mapping[str, Tensor], hyper: Mapping[str, Tensor]) -> Tensor:
    """Update Adam's moments and return ``-m / (sqrt(v) + epsilon)``, on the CPU.

    torch's kernel takes one set of numbers a call: members that agree go through it together. It works element by
    element, so that a member's bits do not depend on who they are.

    Parameters
    ----------
    gradients : Tensor of shape (K, P)
    state : mapping of str to Tensor of shape (K, P)
        "mean", "square", for AMSGrad the "largest" square so far, and "_direction", which is returned.
    hyper : mapping of str to Tensor of shape (K, 1)
        "intake_1", "intake_2" and "epsilon".
    """
    out = state["_direction"].zero_()
    tensors = [out, gradients, state["mean"], state["square"]]
    if "largest" in state:
        tensors.append(state["largest"])
    key = _shared(hyper)
    if key is not None:
        _fused([[tensor] for tensor in tensors], key)
        return out
    rows = [tensor.unbind(0) for tensor in tensors]
    for key, members in _groups(hyper).items():
        _fused([[row[k] for k in members] for row in rows], key)
    return out


def _shared(hyper: Mapping[str, Tensor]) -> Key | None:
    """Return the numbers of all members, None if they are not known to agree."""
    if not isinstance(hyper, Numbers):
        return None
    shared, t = hyper.shared, hyper.step
    try:
        return shared["intake_1"][t], shared["intake_2"][t], shared["epsilon"][t]
    except KeyError:
        return None


def _groups(hyper: Mapping[str, Tensor]) -> dict[Key, list[int]]:
    """Return the members that share each set of numbers."""
    columns = [hyper[name][:, 0].tolist() for name in ("intake_1", "intake_2", "epsilon")]
    groups: dict[Key, list[int]] = defaultdict(list)
    for k, (intake_1, intake_2, epsilon) in enumerate(zip(*columns, strict=True)):
        groups[intake_1, intake_2, epsilon].append(k)
    return groups


def _fused(lists: list[list[Tensor]], numbers: Key) -> None:
    intake_1, intake_2, epsilon = numbers
    out, gradients, mean, square, *largest = lists
    torch._fused_adam_(
        out,
        gradients,
        mean,
        square,
        largest[0] if largest else [],
        [_NO_CORRECTION] * len(out),
        lr=1.0,
        beta1=1.0 - intake_1,
        beta2=1.0 - intake_2,
        weight_decay=0.0,
        eps=epsilon,
        amsgrad=bool(largest),
        maximize=False,
    )
