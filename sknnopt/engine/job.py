"""What the engine is given for one member, and what it gives back."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt._threads import single_thread
from sknnopt.averaging import Averaging
from sknnopt.checkpoints import Checkpoint
from sknnopt.data.batches import Table
from sknnopt.initializers import Initializer
from sknnopt.losses import Loss
from sknnopt.nn import Layout, Network
from sknnopt.optimizers import Optimizer
from sknnopt.regularization import Regularizer
from sknnopt.schedules import Schedule

if TYPE_CHECKING:
    from sknnopt.engine.checkpointing import Kept


@dataclass(frozen=True)
class Techniques:
    """The optimisation of one member, resolved.

    ``learning_rate`` and ``weight_decay`` are numbers; ``gradient_clipping`` is the largest norm or None; ``dropout``
    has one rate a hidden layer. ``weight_decay`` and ``dropout`` may have schedules of their own. ``mixup`` is its
    alpha, 0 for none; ``layer_rates`` has factors of the learning rate by the parameter's name, those of 1 left out;
    a buffer's name of factor 0 means that these statistics are kept and normalised by.
    """

    loss: Loss
    optimizer: Optimizer
    learning_rate: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    batch_size: int
    max_epochs: int
    initializer: Initializer | None
    regularization: Regularizer | None = None
    gradient_clipping: float | None = None
    dropout: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    weight_averaging: Averaging | None = None
    decay_schedule: Schedule | None = None
    dropout_schedule: Schedule | None = None
    mixup: float = 0.0
    layer_rates: tuple[tuple[str, float], ...] = ()

    def held(self, buffers: Layout) -> set[str]:
        """Return the names of the statistics that stay as they are: those of factor 0."""
        return {name for name, factor in self.layer_rates if factor == 0 and name in buffers.blocks}


@dataclass(frozen=True)
class Validation:
    """What a member is judged by after each epoch, and when it stops.

    Attributes
    ----------
    table, rows
        The withheld rows.
    score : callable or None
        From the scores (O, n) of the withheld rows, as numpy, to a number to maximise; None judges by the loss.
    stop : bool
        Whether to stop and to restore the best epoch; otherwise the figures are only recorded.
    patience : int
        Epochs without improvement by ``tolerance`` before training stops.
    tolerance : float
    """

    table: Table
    rows: np.ndarray
    score: Callable[[np.ndarray], float] | None
    stop: bool
    patience: int
    tolerance: float


@dataclass
class Progress:
    """Where a member stands between two calls of the engine, for ``partial_fit`` and ``warm_start``.

    Everything is on the CPU. ``parameters`` and ``buffers`` are those of training, not an average. ``state`` holds what
    techniques carry on, by the technique's and its own name, "optimizer.mean" say. ``steps`` counts the optimizer's
    steps, ``epochs`` what schedules have seen.
    """

    parameters: Tensor
    buffers: Tensor
    state: dict[str, Tensor] = field(default_factory=dict)
    random: dict[str, Any] | None = None
    steps: int = 0
    epochs: int = 0
    schedule_state: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Hold arrays in the place of tensors."""
        return self._with(_as_array, self.__dict__)

    @single_thread()
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(self._with(_as_tensor, state))

    @staticmethod
    def _with(change: Callable[[Any], Any], own: dict[str, Any]) -> dict[str, Any]:
        state = {name: change(value) for name, value in own["state"].items()}
        return {**own, "parameters": change(own["parameters"]), "buffers": change(own["buffers"]), "state": state}


def _as_array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) and value.dtype != torch.bfloat16 else value


def _as_tensor(value: Any) -> Any:
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


class Jury(Protocol):
    """Judges members of an ensemble together; see :class:`~sknnopt.engine.Panel`."""

    size: int

    def value(self, jobs: "Sequence[Job]", outputs: Sequence[np.ndarray]) -> float:
        """Return what an epoch is worth to all of them, from their scores (O, n) of the rows that they withhold."""


class Observer(Protocol):
    """Watches one member's training; may ask it to stop."""

    def train_begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Called once, with modules whose tensors are views: of the live weights, and of those that are judged."""

    def epoch_begin(self) -> None:
        """Called before each epoch."""

    def epoch_end(self, record: dict[str, Any], output: np.ndarray | None) -> bool:
        """Called after each epoch with its record and the scores of the withheld rows (O, n); True stops the member."""

    def train_end(self) -> None:
        """Called once, however training ends."""


@dataclass
class Job:
    """One member to train.

    Attributes
    ----------
    table : Table
        The encoded data, which other members may share.
    rows : ndarray of int64
        This member's training rows; none has zero weight.
    dtype, products : torch.dtype
        Type of data, weights and sums; and what factors are rounded to before they are multiplied, None for neither.
    epochs : int
        How many epochs to train now (``max_epochs`` in `techniques` is what schedules count on).
    devices : tuple of torch.device
        Where it may be trained: one of a cohort's shards goes to each, a member alone to the first.
    panel : Panel or None
        Judges the member in the place of its own loss, together with others that have the same panel. These make a
        cohort of their own, so that they are always there together.
    checkpoint : Checkpoint or None
        Where to keep it while it trains, and afterwards.
    kept : Kept or None
        Its place there, and how far it was; for :func:`~sknnopt.engine.train` to set.
    """

    network: Network
    table: Table
    rows: np.ndarray
    techniques: Techniques
    seed: np.random.SeedSequence
    epochs: int
    devices: tuple[torch.device, ...]
    dtype: torch.dtype
    products: torch.dtype | None = None
    validation: Validation | None = None
    progress: Progress | None = None
    keep_progress: bool = False
    observer: Observer | None = None
    panel: Jury | None = None
    checkpoint: Checkpoint | None = None
    kept: "Kept | None" = None

    @property
    def crew(self) -> int | None:
        """Return what tells members that have to train together from all others; None for one by itself."""
        return None if self.panel is None or self.panel.size == 1 else id(self.panel)

    def structure(self) -> Hashable:
        """Return what members must share to be stacked into one cohort."""
        t = self.techniques
        regularization = None if t.regularization is None else t.regularization.structure()
        return (
            self.network.structure(), t.batch_size, t.optimizer.structure(), t.loss.key(), regularization,
            t.gradient_clipping is None, t.label_smoothing > 0, t.weight_decay > 0, t.mixup > 0, bool(t.layer_rates),
            t.weight_averaging is None, t.dropout_schedule is None,
            self.table.weight is None, self.table.row_shape, str(self.devices), self.dtype, self.products,
            self.crew,
        )  # fmt: skip

    @property
    def device(self) -> torch.device:
        """Where it is trained, once it has its place: the first of `devices`."""
        return self.devices[0]


@dataclass
class Result:
    """A trained member.

    Attributes
    ----------
    parameters, buffers : Tensor (P,), (Q,)
        Weights of the best epoch, on the CPU, in memory of their own.
    history : list of dict
        One record an epoch.
    best_epoch : int
        Index into `history` of the epoch whose weights these are, -1 if none finished.
    diverged : int or None
        The epoch in which the loss or the weights stopped being finite.
    error : BaseException or None
        What the member's own code raised: a scorer, a callback, an initializer, a schedule. Nothing else is then to
        be used.
    seconds : float
        Its share of its cohort's time.
    """

    parameters: Tensor
    buffers: Tensor
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = -1
    diverged: int | None = None
    progress: Progress | None = None
    error: BaseException | None = None
    seconds: float = 0.0


def place(jobs: Sequence[Job], device: torch.device) -> list[Job]:
    """Return the jobs with their tables on a device, where tables that share rows or weights share their copies."""
    copies: dict[int, Tensor] = {}

    def copy(part: Any) -> Any:
        if not isinstance(part, Tensor):
            return part
        if id(part) not in copies:
            copies[id(part)] = part.to(device)
        return copies[id(part)]

    def moved(table: Table) -> Table:
        return Table(copy(table.inputs), copy(table.target), copy(table.weight))

    def placed(job: Job) -> Job:
        validation = job.validation
        if validation is not None:
            validation = replace(validation, table=moved(validation.table))
        return replace(job, table=moved(job.table), validation=validation, devices=(device,))

    return [placed(job) for job in jobs]
