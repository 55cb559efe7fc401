"""How a member's weights begin."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt._random import MemberRandom
from sknnopt.data.batches import Table
from sknnopt.data.on_disk import EncodedOnDisk
from sknnopt.engine.job import Job, Progress
from sknnopt.nn import Rowset, StackedNetwork, load_member

MOST_ROWS = 50_000
"""Training rows that statistics of a network's own are taken from."""

MOST_NUMBERS = 2**24
"""Numbers of these rows, where the table stays on disk."""

NORMALIZATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Layers that take the rows' own statistics while an initializer adapts a network, where there are two rows."""


def start(job: Job, random: MemberRandom) -> Progress:
    """Return where a member begins: where it stood before, or at weights that are drawn and adapted to its rows.

    Parameters
    ----------
    job : Job
    random : MemberRandom
        The member's own streams.
    """
    if job.progress is not None:
        return job.progress
    initializer = job.techniques.initializer
    with torch.inference_mode(False), torch.no_grad():  # a user's module and forward hooks want ordinary tensors
        parameters = torch.zeros(job.network.layout.size, dtype=job.dtype)
        buffers = torch.zeros(job.network.buffers.size, dtype=job.dtype)
        views = job.network.layout.single(parameters)
        statistics = job.network.buffers.single(buffers)
        job.network.initialize(views, statistics, initializer, random)
        if isinstance(job.network, StackedNetwork) and job.network.learns:
            job.network.learn(statistics, training_rows(job.table, job.rows, job.dtype))
        if initializer is not None and initializer.adapts:
            rows = _some_rows(job, initializer.n_rows, random.initial)
            initializer.adapt(_module(job, views, buffers, len(rows)), rows, random.initial)
    return Progress(parameters=parameters, buffers=buffers)


def training_rows(table: Table, rows: np.ndarray, dtype: torch.dtype) -> Rowset:
    """Return the rows that a network may take statistics from: all of these training rows, or many, evenly spread."""
    most = MOST_ROWS
    if isinstance(table.inputs, EncodedOnDisk):
        most = min(most, max(1000, MOST_NUMBERS // math.prod(table.row_shape)))
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]
    index = torch.from_numpy(rows).to(table.target.device)
    target = table.target.index_select(0, index).cpu().numpy()
    weight = None if table.weight is None else table.weight.index_select(0, index).cpu().double().numpy()
    return Rowset(_gather(table, rows, dtype).numpy(), target, weight)


def _some_rows(job: Job, count: int, generator: torch.Generator) -> Tensor:
    """Return some of the training rows, encoded, on the CPU; the member's generator chooses."""
    order = torch.randperm(len(job.rows), generator=generator).numpy()
    return _gather(job.table, job.rows[order[:count]], job.dtype)


def _gather(table: Table, rows: np.ndarray, dtype: torch.dtype) -> Tensor:
    device = table.inputs.device if isinstance(table.inputs, Tensor) else torch.device("cpu")
    out = torch.empty((len(rows), *table.row_shape), dtype=dtype, device=device)
    if len(rows):
        table.gather(torch.from_numpy(rows).to(device), out)
    return out.cpu()


def _module(job: Job, parameters: dict[str, Tensor], buffers: Tensor, rows: int) -> nn.Module:
    """Return the member's network as a plain module over these parameters, and over a copy of the statistics.

    It is in eval mode, so that nothing is dropped, but for batch normalisation of two rows or more.
    """
    module = job.network.module()
    if not job.network.stackable:
        module = module.to(device="cpu", dtype=job.dtype)
    load_member(module, parameters, job.network.buffers.single(buffers.clone()))
    module.eval()
    for layer in module.modules():
        if isinstance(layer, NORMALIZATIONS):
            layer.train(rows > 1)
    return module
