"""One member while it trains: counts, judgement, stopping."""

import copy
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt._random import MemberRandom
from sknnopt.averaging import Averaging
from sknnopt.data.batches import n_batches
from sknnopt.engine.job import Job, Progress
from sknnopt.nn import load_member
from sknnopt.schedules import Plateau, Schedule, with_warmup

Views = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]

FINAL_FLOOR = 0.01
"""Least factor of the learning rate once ``max_epochs`` epochs have been seen, which only ``partial_fit`` can pass."""


class Member:
    """The running state of one job, apart from its tensors.

    Parameters
    ----------
    job : Job

    Attributes
    ----------
    batches : int
        Batches an epoch. For networks that take no padding, a last batch of one row joins the one before.
    batch_sizes : list of int
        Rows of each batch, padding included.
    history : list of dict
    best_epoch : int
        Index into `history` of the epoch to go back to, by the score of early stopping or else the training loss;
        -1 before the first finite one.
    best_steps, best_epochs : int
        Steps and epochs seen at that point, earlier calls included.
    diverged : int or None
    error : BaseException or None
        What its own code raised.
    finished : bool
    seconds : float
        Its share of the epochs' time.
    order : Tensor or Windows (T * B,)
        Rows of the coming epoch, padding included.
    modules : tuple of nn.Module
        What observers look at, as long as they do: the live weights, and those that are judged.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.random = MemberRandom(copy.deepcopy(job.seed), job.device)  # spawning changes a seed
        self.modules: tuple[nn.Module, ...] = ()
        self.history: list[dict[str, Any]] = []
        self.best_epoch = -1
        self.diverged: int | None = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.finished = job.epochs <= 0
        self._best_value, self._waited = -math.inf, 0
        schedule = job.techniques.schedule
        self.schedule_state = schedule.start() if isinstance(schedule, Plateau) else None
        self.steps = self.epochs = 0
        if job.progress is not None:
            if job.progress.random is not None:
                self.random.restore(job.progress.random)
            self.steps, self.epochs = job.progress.steps, job.progress.epochs
            if self.schedule_state is not None and job.progress.schedule_state is not None:
                self.schedule_state = copy.copy(job.progress.schedule_state)
        self.best_steps, self.best_epochs = self.steps, self.epochs
        self.batch_rows = job.techniques.batch_size
        self.batches = n_batches(len(job.rows), self.batch_rows)
        if not job.network.stackable and self.batches > 1 and len(job.rows) % self.batch_rows == 1:
            self.batches -= 1
        last = self.batch_rows if job.network.stackable else len(job.rows) - (self.batches - 1) * self.batch_rows
        self.batch_sizes = [self.batch_rows] * (self.batches - 1) + [last]

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Let what the member's own code raises end this member alone; Ctrl-C is for all."""
        try:
            yield
        except BaseException as error:
            if not isinstance(error, Exception) and threading.current_thread() is threading.main_thread():
                raise
            self.error, self.finished = self.error or error, True

    def begin_epoch(self) -> None:
        """Announce the coming epoch and draw its order of rows from the member's own stream."""
        if self.job.observer is not None:
            self.job.observer.epoch_begin()
        order = self.job.table.order(self.job.rows, sum(self.batch_sizes), self.epochs, self.random)
        self.order = order.to(self.job.device)
        self._rates = self._learning_rates()

    def learning_rates(self) -> np.ndarray:
        """Return the learning rate of each step of the epoch, float64."""
        return self._rates

    def _learning_rates(self) -> np.ndarray:
        techniques = self.job.techniques
        schedule, where = techniques.schedule, (techniques.warmup, techniques.max_epochs, self.batches, self.epochs)
        parameters = schedule.get_params(deep=False)
        if type(schedule).__module__.startswith("sknnopt.") and all(map(_is_plain, parameters.values())):
            kind: Any = type(schedule)
            factors = _known_factors(kind, tuple(parameters.items()), *where)
        else:
            factors = _factors(schedule, *where)
        adaptive = 1.0 if self.schedule_state is None else self.schedule_state.factor
        return techniques.learning_rate * adaptive * factors

    def _progress(self) -> np.ndarray:
        """Return the fraction of training that lies before each step of the epoch, at most 1."""
        seen = self.epochs + np.arange(self.batches) / self.batches
        return np.minimum(seen / self.job.techniques.max_epochs, 1.0)

    def weight_decays(self) -> np.ndarray:
        """Return the weight decay at each step of the epoch, float64."""
        techniques = self.job.techniques
        decays = np.full(self.batches, techniques.weight_decay)
        if techniques.decay_schedule is not None:
            decays *= with_warmup(techniques.decay_schedule, 0.0, self._progress())
        return decays

    def dropout_rates(self) -> np.ndarray:
        """Return the dropout rates of each step of the epoch (T, layers), float64."""
        techniques = self.job.techniques
        assert techniques.dropout_schedule is not None
        factors = with_warmup(techniques.dropout_schedule, 0.0, self._progress())
        rates: np.ndarray = factors[:, None] * np.array(techniques.dropout)
        return np.minimum(rates, 1 - 2**-16)

    def intakes(self, averaging: Averaging) -> np.ndarray:
        """Return what share of the weights goes into their average after each step of the epoch, float64."""
        steps = np.arange(1.0, self.batches + 1)
        epochs = self.epochs + steps / self.batches
        shares = averaging.intake(self.steps + steps, epochs, self.job.techniques.max_epochs)
        return np.broadcast_to(np.asarray(shares, dtype=np.float64), steps.shape)

    @property
    def wants_output(self) -> bool:
        """Whether the scores of the withheld rows are wanted as an array."""
        validation = self.job.validation
        if validation is None:
            return False
        return validation.score is not None or self.job.observer is not None or self.job.panel is not None

    def validation_loss(self, scores: Tensor | None) -> Tensor:
        """Return the weighted mean loss, a scalar, of the scores (O, n) of the withheld rows; 0 without."""
        validation = self.job.validation
        if validation is None or scores is None:
            return torch.zeros((), dtype=self.job.dtype, device=self.job.device)
        rows = torch.from_numpy(validation.rows).to(scores.device)
        target = validation.table.target[rows]
        target = target if target.ndim == 1 else target.T
        loss = self.job.techniques.loss(scores.unsqueeze(0), target.unsqueeze(0))[0]
        if validation.table.weight is None:
            return loss.mean()
        weight = validation.table.weight[rows]
        weight = torch.ldexp(weight, -torch.frexp(weight.max()).exponent).to(loss.dtype)  # float32 holds less
        return (loss * weight).sum() / weight.sum()

    def record(
        self,
        figures: list[float],
        rate: float,
        output: np.ndarray | None,
        seconds: float,
        value: float | Exception | None = None,
    ) -> dict[str, Any]:
        """Return the epoch's record from the figures read off the device, see ``Cohort``, and its panel's value.

        Raises
        ------
        Exception
            What the panel or a scorer has raised.
        """
        if isinstance(value, Exception):
            raise value
        record: dict[str, Any] = {"epoch": self.epochs + 1, "train_loss": figures[0] / len(self.job.rows)}
        validation = self.job.validation
        if validation is not None:
            record["valid_loss"] = figures[3]
            if self.job.panel is not None:
                record["valid_score"] = math.nan if value is None else value
            elif validation.score is not None and output is not None:
                finite = all(map(math.isfinite, figures[2:]))
                record["valid_score"] = float(validation.score(output)) if finite else math.nan
        record |= {"learning_rate": rate, "gradient_norm": figures[1], "weight_norm": figures[2]}
        return record | {"seconds": seconds}

    def observe(self, record: dict[str, Any], *, sound: bool = True) -> bool:
        """Take in an epoch's record; return whether its weights are now the best, and set `finished`.

        An epoch whose figures are not finite, or whose weights are not `sound`, is the last.
        """
        self.steps += self.batches
        self.epochs += 1
        self.history.append(record)
        figures = ("train_loss", "weight_norm", "valid_loss")
        if not (sound and all(math.isfinite(record.get(key, 0.0)) for key in figures)):
            self.diverged, self.finished = len(self.history), True
            return False
        schedule = self.job.techniques.schedule
        if isinstance(schedule, Plateau) and self.schedule_state is not None:
            schedule.observe(self.schedule_state, record.get("valid_loss", record["train_loss"]))
        self.finished = len(self.history) >= self.job.epochs
        value = self._value(record)
        if not (value > self._best_value or self.best_epoch < 0):
            return False
        self._best_value = max(self._best_value, value)
        self._settle()
        return True

    def _value(self, record: dict[str, Any]) -> float:
        """Return what the epoch is judged by, the larger the better; training ends when patience does."""
        validation = self.job.validation
        if validation is None or not validation.stop:
            return -float(record["train_loss"])
        value = float(record.get("valid_score", -record["valid_loss"]))
        self._waited = 0 if value >= self._best_value + validation.tolerance else self._waited + 1
        self.finished = self.finished or self._waited >= validation.patience
        return value

    def _settle(self) -> None:
        self.best_epoch, self.best_steps, self.best_epochs = len(self.history) - 1, self.steps, self.epochs

    def keep_last(self) -> bool:
        """Return whether the weights to keep are the present ones, and not those of the best epoch.

        They are unless early stopping or divergence has gone back; the best epoch is then the last.
        """
        stops = self.job.validation is not None and self.job.validation.stop
        if stops or self.diverged is not None:
            return False
        self._settle()
        return True

    @property
    def best(self) -> tuple[int, int, int]:
        """The epoch to go back to, and what had been seen by then."""
        return self.best_epoch, self.best_steps, self.best_epochs

    def go_back(self, best: tuple[int, int, int] | None) -> None:
        """Count the weights that were to be kept as diverged, and go back to those of `best`; None for nowhere."""
        self.diverged = self.diverged or len(self.history)
        if best is None:
            self.best_epoch = -1
        else:
            self.best_epoch, self.best_steps, self.best_epochs = best

    def counts(self) -> dict[str, Any]:
        """Return what judgement has come to, as :meth:`go_on` takes it."""
        return {
            "history": list(self.history),
            "best": [self.best_epoch, self.best_steps, self.best_epochs, self._best_value],
            "waited": self._waited,
            "seconds": self.seconds,
        }

    def go_on(self, counts: Mapping[str, Any]) -> None:
        """Go on from where another run has come to."""
        self.history = list(counts["history"])
        self.best_epoch, self.best_steps, self.best_epochs, self._best_value = counts["best"]
        self._waited, self.seconds = counts["waited"], counts["seconds"]

    def progress(self, parameters: Tensor, buffers: Tensor, state: dict[str, Tensor]) -> Progress:
        """Return where the member stands, with these weights."""
        schedule_state = copy.copy(self.schedule_state)
        return Progress(parameters, buffers, state, self.random.state(), self.steps, self.epochs, schedule_state)

    def watch(self, *views: Views) -> None:
        """Begin to be observed: the modules' tensors are the member's live ones, and those it is judged by."""
        if self.job.observer is not None:
            self.modules = tuple(self.job.network.module() for _ in views)
            self.look_at(*views)
            self.job.observer.train_begin(*self.modules)

    def look_at(self, *views: Views) -> None:
        """Let the modules show these tensors."""
        for module, own in zip(self.modules, views, strict=False):
            load_member(module, *own)

    def unwatch(self) -> None:
        """End to be observed; a second call does nothing."""
        if self.job.observer is not None and self.modules:
            self.modules = ()
            self.job.observer.train_end()


def _is_plain(parameter: object) -> bool:
    return parameter is None or isinstance(parameter, (int, float, str))


@lru_cache(maxsize=64)
def _known_factors(
    kind: type[Schedule], parameters: tuple[tuple[str, Any], ...], warmup: float, epochs: int, batches: int, epoch: int
) -> np.ndarray:
    """Return the factors of one of our schedules, which most members of a sweep have in common."""
    return _factors(kind(**dict(parameters)), warmup, epochs, batches, epoch)


def _factors(schedule: Schedule, warmup: float, epochs: int, batches: int, epoch: int) -> np.ndarray:
    """Return the factor of the learning rate at each step of an epoch, counted from 0, of ``epochs``."""
    progress = (epoch + np.arange(batches) / batches) / epochs
    if epoch >= epochs:
        progress = np.minimum(progress, 1.0)
    factors = with_warmup(schedule, warmup, progress, step=1 / (epochs * batches))
    return factors if epoch < epochs else np.maximum(factors, FINAL_FLOOR)
