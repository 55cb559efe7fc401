"""The memory of a cohort: one row a member."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sknnopt.engine.job import Job, Progress

KINDS = ("optimizer", "averaging", "regularization")


class Tensors:
    """Parameters, gradients and all that techniques carry from step to step, of K members.

    Parameters
    ----------
    jobs : sequence of Job
        Of equal :meth:`~sknnopt.engine.job.Job.structure`.

    Attributes
    ----------
    parameters, gradients : Tensor (K, P)
    buffers : Tensor (K, Q)
    state : dict of str to dict of str to Tensor (K, ...)
        By technique ("optimizer", "averaging", "regularization") and name; names beginning with "_" are scratch.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        job = jobs[0]
        options: dict[str, Any] = {"dtype": job.dtype, "device": job.device}
        self._job, self._keeps_progress = job, [job.keep_progress for job in jobs]
        self.parameters = torch.zeros((len(jobs), job.network.layout.size), **options)
        self.gradients = torch.zeros_like(self.parameters)
        self.buffers = torch.zeros((len(jobs), job.network.buffers.size), **options)
        self._judged_buffers: Tensor | None = None
        self.state: dict[str, dict[str, Tensor]] = {kind: {} for kind in KINDS}

    def start(self, progress: Sequence[Progress | None]) -> None:
        """Make the techniques' state from the initial parameters, or from where each member stands."""
        techniques, layout = self._job.techniques, self._job.network.layout
        self.state["optimizer"] = techniques.optimizer.start(self.parameters, layout)
        if techniques.weight_averaging is not None:
            self.state["averaging"] = {"average": self.parameters + 0.0}  # no -0, which a share of nothing would change
        if techniques.regularization is not None:
            weights = self.parameters[:, : layout.weight_size]
            self.state["regularization"] = techniques.regularization.start(weights, layout)
        if self.averages and self.buffers.shape[1] > 0:
            self._judged_buffers = self.buffers.clone()
        for k, before in enumerate(progress):
            for name, value in ({} if before is None else before.state).items():
                kind, _, own = name.partition(".")
                if own in self.state[kind]:
                    self.state[kind][own][k] = value

    @property
    def averages(self) -> bool:
        """Whether members are judged by other weights than those at which gradients are taken."""
        return self.judged is not self.parameters

    @property
    def judged(self) -> Tensor:
        """The parameters (K, P) that members are judged by and keep."""
        if "average" in self.state["averaging"]:
            return self.state["averaging"]["average"]
        if self._job.techniques.optimizer.averages:
            return self.state["optimizer"]["average"]
        return self.parameters

    @property
    def judged_buffers(self) -> Tensor:
        """The statistics (K, Q) that go with them."""
        return self.buffers if self._judged_buffers is None else self._judged_buffers

    def select(self, members: Sequence[int]) -> None:
        """Keep these members alone."""
        index = list(members)
        self.parameters, self.gradients = self.parameters[index], self.gradients[index]
        self.buffers = self.buffers[index]
        if self._judged_buffers is not None:
            self._judged_buffers = self._judged_buffers[index]
        self.state = {kind: {n: x[index] for n, x in state.items()} for kind, state in self.state.items()}
        self._keeps_progress = [self._keeps_progress[k] for k in index]

    def snapshot(self, k: int) -> dict[str, Tensor]:
        """Copy what member k would go back to."""
        out = {"parameters": self.judged[k].clone(), "buffers": self.judged_buffers[k].clone()}
        if self._keeps_progress[k]:
            if self.averages:
                out |= {"trained.parameters": self.parameters[k].clone(), "trained.buffers": self.buffers[k].clone()}
            for kind, state in self.state.items():
                out |= {f"{kind}.{n}": x[k].clone() for n, x in state.items() if not n.startswith("_")}
        return out

    def standing(self, k: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Copy parameters, statistics and state of member k, as :meth:`start` takes them, to the CPU."""
        state = {f"{kind}.{n}": x for kind, own in self.state.items() for n, x in own.items() if not n.startswith("_")}
        copied = {name: value[k].clone().cpu() for name, value in state.items()}
        return self.parameters[k].clone().cpu(), self.buffers[k].clone().cpu(), copied
