"""Members of equal shape, trained in lockstep."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknnopt.engine._evaluate import Evaluator
from sknnopt.engine._feed import Feed
from sknnopt.engine._finite import epoch_is_sound, predicts_finite, sound_norms
from sknnopt.engine._hyper import HyperTable
from sknnopt.engine._keeper import Keeper
from sknnopt.engine._layers import LayerRates
from sknnopt.engine._member import Member, Views
from sknnopt.engine._numbers import constants_of, strengths_of
from sknnopt.engine._start import start
from sknnopt.engine._statistics import fresh_statistics
from sknnopt.engine._step import Step
from sknnopt.engine._tensors import Tensors
from sknnopt.engine._weights import RowWeights
from sknnopt.engine.job import Job, Progress, Result
from sknnopt.engine.panel import panel_values
from sknnopt.nn import Workspace


class Cohort:
    """K members whose parameters, gradients and optimizer state are rows of flat tensors.

    Members are kept in descending order of batches an epoch: whoever has none left sits the step out by lying beyond
    the first k rows, which are then all that is touched.

    Parameters
    ----------
    jobs : sequence of Job
        Of equal :meth:`~sknnopt.engine.job.Job.structure`.

    Attributes
    ----------
    members : list of Member
        Those still training.
    tensors : Tensors
        Of those members, in the same order.
    constants : dict of str to Tensor (K, 1)
        Numbers of each member that hold for all steps.
    strengths : dict of str to Tensor (K, 1) or (K, W)
        Those of its penalties, one a weight where layers have their own.
    layers : LayerRates or None
    best : list of dict of str to Tensor
        What each member would go back to.
    results : dict of int to Result
        Of those that have left, by the member's identity.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._in_order = [Member(job) for job in jobs]
        self.members = sorted(self._in_order, key=lambda member: -member.batches)
        self._job = jobs[0]
        self._options: dict[str, Any] = {"dtype": self._job.dtype, "device": self._job.device}
        self.tensors = Tensors([member.job for member in self.members])
        for k, member in enumerate(self.members):
            with member.guard():
                self._initialize(k, member)
        self.tensors.start([member.job.progress for member in self.members])
        self.results: dict[int, Result] = {}
        self._bind()
        self.best = [self.tensors.snapshot(k) for k in range(len(self.members))]
        self._keeper = Keeper(self)

    def _initialize(self, k: int, member: Member) -> None:
        begin = start(member.job, member.random)
        self.tensors.parameters[k], self.tensors.buffers[k] = begin.parameters, begin.buffers

    def _bind(self) -> None:
        """Make what depends on who is in the cohort."""
        self._steps: dict[tuple[int, int], Step] = {}
        self._spaces: dict[int, Workspace] = {}
        jobs = [member.job for member in self.members]
        self.constants, self.strengths = constants_of(jobs), strengths_of(jobs)
        self.layers = self._layer_rates()
        self._weights = RowWeights(self.members, **self._options)
        self._feed = Feed(self.members, **self._options)
        self._evaluator = None
        if any(member.job.validation is not None for member in self.members):
            judged = self.tensors.judged, self.tensors.judged_buffers
            self._evaluator = Evaluator(self._job.network, *judged, self._job.table.row_shape)
        for k, member in enumerate(self.members):
            member.look_at(*self._views(k))

    def _views(self, k: int) -> tuple[Views, Views]:
        """Return the weights and statistics at which gradients are taken, and those that are judged."""
        tensors, network = self.tensors, self._job.network
        known = tensors.buffers if self._evaluator is None else tensors.judged_buffers
        live, judged = (
            (network.layout.single(parameters[k]), network.buffers.single(buffers[k]))
            for parameters, buffers in ((tensors.parameters, tensors.buffers), (tensors.judged, known))
        )
        return live, judged

    def _layer_rates(self) -> LayerRates | None:
        factors = [dict(member.job.techniques.layer_rates) for member in self.members]
        if not factors[0]:
            return None
        own = [self.tensors.state["optimizer"]["average"]] if self._job.techniques.optimizer.averages else []
        return LayerRates(self._job.network.layout, factors, self.tensors.parameters, own)

    def train(self, after_epoch: Callable[[int], None] | None = None) -> list[Result]:
        """Train every member to its end; results come in the order of the jobs.

        What a member's own code raises ends that member alone, with the error in its result.

        Parameters
        ----------
        after_epoch : callable or None
            Called with the number of members that have trained an epoch; what it raises ends the cohort.
        """
        started, before = time.perf_counter(), sum(member.seconds for member in self._in_order)
        try:
            for k, member in enumerate(self.members):
                with member.guard():
                    member.watch(*self._views(k))
            self._retire()
            while self.members:
                self._epoch(after_epoch)
                self._retire()
                self._keeper.epoch_done()
        finally:
            for member in self._in_order:
                with member.guard():
                    member.unwatch()
        rest = time.perf_counter() - started + before - sum(member.seconds for member in self._in_order)
        results = [self.results[id(member)] for member in self._in_order]
        for result in results:
            result.seconds += rest / len(results)
        return results

    def _epoch(self, after_epoch: Callable[[int], None] | None) -> None:
        started = time.perf_counter()
        for member in self.members:
            with member.guard():
                member.begin_epoch()
        self._retire()
        if not self.members:
            return
        losses, norms, rates = self._train_epoch()
        figures, outputs = self._figures(losses, norms)
        seconds = (time.perf_counter() - started) / len(self.members)
        values = panel_values([member.job for member in self.members], figures, outputs)
        for k, (member, output) in enumerate(zip(self.members, outputs, strict=True)):
            with member.guard():
                self._judge(k, member.record(figures[k], rates[k], output, seconds, values.get(k)), output)
        for member in self.members:
            member.seconds += (time.perf_counter() - started) / len(self.members)
        if after_epoch is not None:
            after_epoch(len(self.members))

    def _judge(self, k: int, record: dict[str, Any], output: np.ndarray | None) -> None:
        member, weights = self.members[k], (self.tensors.judged[k], self.tensors.buffers[k])
        if member.observe(record, sound=epoch_is_sound(member, record, *weights)):
            self.best[k] = self.tensors.snapshot(k)
        if member.job.observer is not None and member.job.observer.epoch_end(record, output):
            member.finished = True

    def _train_epoch(self) -> tuple[Tensor, Tensor, list[float]]:
        """Run the epoch's steps; return each member's summed loss (K,), last gradient norm (K,) and last rate."""
        hyper = HyperTable(self.members, **self._options)
        orders = [member.order for member in self.members]
        drops = None
        if self._job.techniques.dropout_schedule is not None:
            drops = [member.dropout_rates().tolist() for member in self.members]
        norms = torch.zeros(len(self.members), **self._options)
        everyone, fewest = len(self.members), self.members[-1].batches
        for t in range(self.members[0].batches):
            k = everyone if t < fewest else sum(member.batches > t for member in self.members)
            rows = self.members[0].batch_sizes[t]
            inputs, target = self._feed.batch(orders, t, k, rows)
            weights = self._weights.batch(orders, t, k, rows)
            numbers = hyper.load(t) if k == everyone else hyper.load(t).first(k)
            norm = norms[:k] if t + 1 >= fewest else None
            dropout = None if drops is None else [own[t] for own in drops[:k]]
            self._step(k, rows).run(inputs, target, numbers, weights, norm, dropout)
        return self._epoch_losses(), norms, hyper.last_rates

    def _epoch_losses(self) -> Tensor:
        """Return each member's loss summed over the epoch's rows (K,), and begin anew."""
        losses = torch.zeros(len(self.members), **self._options)
        for rows, space in self._spaces.items():
            batch = space.flat("losses", rows * self._job.network.heads)
            losses.add_(batch.sum(1))
            batch.zero_()
        return losses

    def _step(self, members: int, rows: int) -> Step:
        """Return the step of the first members with this many rows, made on first use."""
        step = self._steps.get((members, rows))
        if step is None:
            everyone = len(self.members)
            if rows not in self._spaces:
                self._spaces[rows] = Workspace(everyone, rows, **self._options, products=self._job.products)
                self._steps[everyone, rows] = Step(self, everyone, rows, self._spaces[rows])
            if members < everyone:
                self._steps[members, rows] = Step(self, members, rows, self._spaces[rows])
            step = self._steps[members, rows]
        return step

    def _figures(self, losses: Tensor, norms: Tensor) -> tuple[list[list[float]], list[np.ndarray | None]]:
        """Return, in one read from the device, what is known of each member after the epoch.

        That is the summed loss, the norm of the last gradient, that of the parameters (NaN if what counts of them is
        not finite), and the loss on the withheld rows (0 without). With them come the scores (O, n) of the withheld
        rows, for members that want them.
        """
        next(iter(self._steps.values())).sync()
        rows = [losses, norms]
        outputs: list[np.ndarray | None] = [None] * len(self.members)
        if self._evaluator is not None:
            if self.tensors.averages and self.tensors.buffers.shape[1] > 0:
                self._refresh_statistics()
            scores = self._evaluator.scores([member.job.validation for member in self.members])
            rows.append(
                torch.stack([member.validation_loss(s) for member, s in zip(self.members, scores, strict=True)])
            )
            wanted = (s if m.wants_output else None for m, s in zip(self.members, scores, strict=True))
            outputs = [None if s is None else s.cpu().numpy() for s in wanted]
        else:
            rows.append(torch.zeros_like(losses))
        rows.insert(2, sound_norms(self._job, self.tensors))
        return torch.stack(rows, dim=1).tolist(), outputs

    def _refresh_statistics(self) -> None:
        judged, buffers = self.tensors.judged, self.tensors.judged_buffers
        for k, member in enumerate(self.members):
            with member.guard():
                buffers[k] = fresh_statistics(member.job, judged[k], self.tensors.buffers[k])

    def _retire(self) -> None:
        """Let finished members leave; the others move together."""
        if not any(member.finished for member in self.members):
            return
        for k, member in enumerate(self.members):
            if member.finished and id(member) not in self.results:
                self.results[id(member)] = self._leave(k)
        stay = [k for k, member in enumerate(self.members) if not member.finished]
        self.members = [self.members[k] for k in stay]
        self.best = [self.best[k] for k in stay]
        if not stay:
            return
        self.tensors.select(stay)
        self._bind()

    def _leave(self, k: int) -> Result:
        """Return what becomes of a finished member: its last weights, or those of its best epoch."""
        member, found = self.members[k], self.members[k].best
        keeps_last = member.error is None and member.keep_last()
        if not keeps_last and member.modules:
            self._go_back(k)
        with member.guard():
            member.unwatch()  # who watches may bring other weights back
        best = self._kept(k, last=keeps_last)
        if keeps_last and not predicts_finite(member, best):
            member.go_back(found)
            keeps_last, best = False, self._kept(k, last=False)
        if not keeps_last and not predicts_finite(member, best):
            member.go_back(None)
        return self._result(member, best)

    def _kept(self, k: int, *, last: bool) -> dict[str, Tensor]:
        """Return the last weights of a member or those of its best epoch, with the statistics that belong to them."""
        member, best = self.members[k], self.tensors.snapshot(k) if last else self.best[k]
        if self.tensors.averages and self.tensors.buffers.shape[1] > 0:
            with member.guard():
                best["buffers"] = fresh_statistics(member.job, best["parameters"], best["buffers"])
        return best

    def _go_back(self, k: int) -> None:
        """Show those who watch the member the weights that it keeps."""
        best, tensors = self.best[k], self.tensors
        tensors.judged[k], tensors.judged_buffers[k] = best["parameters"], best["buffers"]

    def _result(self, member: Member, best: dict[str, Tensor]) -> Result:
        best = {name: value.cpu() for name, value in best.items()}
        progress = None
        if member.job.keep_progress:
            progress = Progress(
                parameters=best.pop("trained.parameters", best["parameters"]),
                buffers=best.pop("trained.buffers", best["buffers"]),
                state={name: value for name, value in best.items() if "." in name},
                random=member.random.state(),
                steps=member.best_steps,
                epochs=member.best_epochs,
                schedule_state=member.schedule_state,
            )
        return Result(
            best["parameters"], best["buffers"], member.history, member.best_epoch, member.diverged, progress,
            member.error, member.seconds,
        )  # fmt: skip
