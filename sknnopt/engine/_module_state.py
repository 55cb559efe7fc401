"""What a user's module has besides weights and statistics, while it trains."""

from collections.abc import Mapping

import torch
from torch import Tensor

from sknnopt.checkpoints._bytes import tensor_digest
from sknnopt.engine._standing import Standing
from sknnopt.engine.job import Job
from sknnopt.nn import CustomNetwork

RANDOM, COUNTERS = "random", "counters/"


def frozen_digests(job: Job) -> dict[str, bytes]:
    """Return what tells whether a user's module changes parameters that are not trained, such as those of a teacher."""
    if not isinstance(job.network, CustomNetwork):
        return {}
    return {name: tensor_digest(value) for name, value in job.network.frozen().items()}


def counters_of(job: Job, frozen: Mapping[str, bytes]) -> dict[str, Tensor]:
    """Return what a user's module keeps besides parameters and statistics.

    Of the parameters that are not trained, which may be many, those that are not as they were at first.
    """
    if not isinstance(job.network, CustomNetwork):
        return {}
    own, fixed = job.network.counters(), job.network.frozen()
    own |= {name: fixed[name] for name, known in frozen_digests(job).items() if known != frozen[name]}
    return {f"{COUNTERS}{name}": value.clone().cpu() for name, value in own.items()}


def restore_counters(job: Job, tensors: Mapping[str, Tensor]) -> None:
    """Give it back to the module."""
    if isinstance(job.network, CustomNetwork):
        found = {name.removeprefix(COUNTERS): value for name, value in tensors.items() if name.startswith(COUNTERS)}
        job.network.load(found)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators, which a user's module draws from."""
    out = {f"{RANDOM}.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        out[f"{RANDOM}.cuda"] = torch.cuda.get_rng_state(device)
    return out


def restore_module(job: Job, standing: Standing) -> None:
    """Give a user's module what it had, and torch's generators their states."""
    network, others = job.network, standing.others
    assert isinstance(network, CustomNetwork)
    restore_counters(job, others)
    network.load(network.buffers.single(standing.progress.buffers))
    torch.set_rng_state(others[f"{RANDOM}.cpu"])
    if job.device.type == "cuda":
        torch.cuda.set_rng_state(others[f"{RANDOM}.cuda"], job.device)
