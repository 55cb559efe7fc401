"""Statistics of batch normalisation for weights that were never trained at: averages."""

import torch
from torch import Tensor, nn

from sknnopt.engine.job import Job
from sknnopt.nn import load_member

ROWS = 512
"""Rows that go through the network at once."""

BatchNorm = nn.modules.batchnorm._BatchNorm


def plain_module(job: Job, parameters: Tensor, buffers: Tensor) -> nn.Module:
    """Return the job's network as a module whose tensors are views of these, (P,) and (Q,)."""
    module = job.network.module()
    load_member(module, job.network.layout.single(parameters), job.network.buffers.single(buffers))
    return module.to(device=parameters.device, dtype=parameters.dtype)


def fresh_statistics(job: Job, parameters: Tensor, buffers: Tensor) -> Tensor:
    """Return the buffers (Q,) that belong to these parameters (P,): means over all training rows of the job.

    They are equal averages of the statistics of batches of 512 rows. Buffers of other layers stay, and those of frozen
    ones.

    Parameters
    ----------
    job : Job
    parameters, buffers : Tensor (P,), (Q,)

    References
    ----------
    Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018, section 3.2.
    """
    out = buffers.clone()
    module = plain_module(job, parameters, out)
    held = {name.rpartition(".")[0] for name in job.techniques.held(job.network.buffers)}
    normalizations = [
        layer
        for name, layer in module.named_modules()
        if isinstance(layer, BatchNorm) and layer.track_running_stats and name not in held
    ]
    if not normalizations or len(job.rows) < 2:
        return out
    module.eval()
    for layer in normalizations:
        layer.train()
        layer.momentum = None
        layer.reset_running_stats()
    rows = torch.from_numpy(job.rows).to(parameters.device)
    for index in torch.tensor_split(rows, -(-len(rows) // ROWS)):
        x = torch.empty((len(index), *job.table.row_shape), dtype=parameters.dtype, device=parameters.device)
        job.table.gather(index, x)
        module(x)
    return out
