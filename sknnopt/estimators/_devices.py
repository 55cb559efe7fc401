"""Where to train: the ``device`` parameter."""

from collections.abc import Sequence
from typing import Any

import torch

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError
from sknnopt.engine import Techniques
from sknnopt.nn import Network

DEVICES = ("cpu", "cuda", "mps")
"""Kinds of device to train on."""

CUDA_WORK = 1e8
"""Multiply-adds a step from which ``device="auto"`` takes a CUDA device: an estimate, not measured."""


def resolve_devices(device: str | torch.device | Sequence[str | torch.device]) -> tuple[torch.device, ...]:
    """Return the devices to train on, none for "auto", which depends on the network: see :func:`auto_device`.

    Raises
    ------
    InvalidParameterError
        For a name torch does not know, or a device this machine does not have.
    """
    if isinstance(device, list | tuple):
        if not device:
            raise InvalidParameterError("The 'device' parameter must be a device or a list of some. Got [] instead.")
        return tuple(_resolve_device(one, given=device) for one in device)
    assert isinstance(device, str | torch.device)
    return () if device == "auto" else (_resolve_device(device, given=device),)


def auto_device(network: Network, techniques: Techniques) -> torch.device:
    """Return the CPU, or the CUDA device that there is if a step has enough work for it."""
    work = 3 * network.multiply_adds * techniques.batch_size
    return torch.device("cuda" if work >= CUDA_WORK and torch.cuda.is_available() else "cpu")


def check_precision(device: Any, precision: str) -> None:
    """Refuse float64 where there is none.

    Raises
    ------
    InvalidParameterError
        For float64 on mps.
    """
    devices = device if isinstance(device, list | tuple) else [device]
    if precision == "float64" and any(str(one).startswith("mps") for one in devices):
        raise InvalidParameterError(
            "The 'precision' parameter must be 'float32' or 'bf16' on device='mps', which has no float64. Got "
            "'float64' instead."
        )


def _resolve_device(device: str | torch.device, given: Any) -> torch.device:
    kind, reason = str(device).partition(":")[0], ""
    try:
        if kind in DEVICES:
            torch.empty(0, device=device)
            return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        reason = f" ({str(error).splitlines()[0]})"
    raise InvalidParameterError(
        "The 'device' parameter must be 'auto', 'cpu', 'mps', 'cuda' or 'cuda:<index>' and present on this machine, or "
        f"a list of such devices. Got {given if isinstance(given, list | tuple) else str(given)!r} instead{reason}."
        f"{'' if reason else suggestion(kind, ['auto', *DEVICES])}"
    )
