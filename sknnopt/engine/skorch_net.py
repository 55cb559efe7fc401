"""A member's skorch net: the door to skorch's ecosystem."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    ParamMapper,
)
from skorch.dataset import Dataset
from skorch.utils import noop
from torch import Tensor, nn
from torch.utils.data import Subset

from sknnopt._random import forked_torch_random
from sknnopt.data.batches import Table
from sknnopt.losses import Loss
from sknnopt.nn import copy_of

INSTEAD = {
    ParamMapper: "Use 'initializer'; parameters of your own module that require no gradient stay fixed.",
    LRScheduler: "Use the 'schedule' parameter, which is computed ahead for each member.",
    GradientNormClipping: "Use the 'gradient_clipping' parameter.",
}
"""Callbacks that are refused, and what to use."""


def check_callbacks(callbacks: Sequence[Any] | None) -> None:
    """Refuse callbacks that act on batches or gradients, which a cohort does not have one by one.

    Parameters
    ----------
    callbacks : sequence of skorch callbacks, or of (name, callback), or None

    Raises
    ------
    TypeError
        If one is no skorch callback.
    ValueError
        If one acts on batches, gradients or the learning rate; the message names what to use instead.
    """
    for given in callbacks or ():
        callback = given[1] if isinstance(given, tuple) else given
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise TypeError(f"The 'callbacks' parameter must hold skorch callbacks. Got {callback!r} instead.")
        for refused, advice in INSTEAD.items():
            if issubclass(kind, refused):
                raise ValueError(f"The callback {kind.__name__} has no effect here. {advice}")
        on_batches = [
            name
            for name in ("on_batch_begin", "on_batch_end", "on_grad_computed")
            if getattr(kind, name) is not getattr(Callback, name)
        ]
        if on_batches and not issubclass(kind, EpochScoring):
            raise ValueError(
                f"The callback {kind.__name__} acts in {', '.join(on_batches)}, but members train in lockstep and only "
                "their epochs are announced. Use a callback on epochs, such as EpochScoring."
            )


class _MemberNet:
    """What leaves the net is a copy: while its member trains, its parameters are views of the whole cohort's.

    ``f_safetensors=path`` is short for ``f_params=path, use_safetensors=True``.
    """

    def save_params(self, *args: Any, f_safetensors: Any = None, **kwargs: Any) -> None:
        """Save what the arguments name; see skorch."""
        with self._copied():
            super().save_params(*args, **_with_safetensors(f_safetensors, kwargs))  # type: ignore[misc]

    def load_params(self, *args: Any, f_safetensors: Any = None, **kwargs: Any) -> None:
        """Load what the arguments name; see skorch."""
        super().load_params(*args, **_with_safetensors(f_safetensors, kwargs))  # type: ignore[misc]

    def __getstate__(self) -> Any:
        with self._copied():
            return super().__getstate__()

    @contextmanager
    def _copied(self) -> Iterator[None]:
        """Put a copy in the place of the live module."""
        live: dict[str, Any] = {name: self.__dict__[name] for name in ("module", "module_") if name in self.__dict__}
        if "module_" in live:
            module = copy_of(live["module_"])
            self.__dict__.update(module=module, module_=module)
        try:
            yield
        finally:
            self.__dict__.update(live)


def _with_safetensors(path: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs if path is None else {**kwargs, "f_params": path, "use_safetensors": True}


class ClassifierNet(_MemberNet, NeuralNetClassifier):
    """The net of a member that classifies."""


class RegressorNet(_MemberNet, NeuralNetRegressor):
    """The net of a member that predicts numbers."""


class MultilabelNet(_MemberNet, NeuralNet):
    """The net of a member that predicts several labels a row."""


def make_net(module: nn.Module, loss: Loss, n_classes: int | None, callbacks: Sequence[Any] | None = None) -> NeuralNet:
    """Return an initialized skorch net that holds `module`.

    Parameters
    ----------
    module : nn.Module
        From encoded rows to scores; held itself, not a copy.
    loss : Loss
        Its link becomes the net's nonlinearity.
    n_classes : int or None
        For classification; None for regression and multilabel targets.
    callbacks : sequence of skorch callbacks or None
        Copied: each member has its own, and those given stay as they are.
    """
    silent = {f"callbacks__{name}": None for name in ("epoch_timer", "train_loss", "valid_loss", "print_log")}
    options: dict[str, Any] = {
        "train_split": None,
        "callbacks": copy.deepcopy(list(callbacks or ())),
        "verbose": 1,
    }
    options["predict_nonlinearity"] = _nonlinearity(loss)
    if n_classes is not None:
        net: NeuralNet = ClassifierNet(
            module, criterion=nn.CrossEntropyLoss, classes=list(range(n_classes)),
            callbacks__valid_acc=None, **silent, **options,
        )  # fmt: skip
    elif "regression" in loss.tasks:
        net = RegressorNet(module, criterion=nn.MSELoss, **silent, **options)
    else:
        net = MultilabelNet(module, criterion=nn.BCEWithLogitsLoss, **silent, **options)
    return net.initialize()


def _nonlinearity(loss: Loss) -> Callable[[Tensor], Tensor]:
    return _Link(loss)


class _Link:
    """A loss's inverse link on rows (B, O), picklable."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def __call__(self, scores: Tensor) -> Tensor:
        scores = scores.unsqueeze(1) if scores.ndim == 1 else scores
        return self.loss.predict(scores.T.unsqueeze(0))[0].T


def record_epoch(net: NeuralNet, record: dict[str, Any]) -> None:
    """Write an epoch's record into the net's history, under skorch's names and with its flags for the best loss."""
    history = net.history
    history.new_batch()  # Checkpoint formats its file names with the last batch
    for name, value in record.items():
        history.record("dur" if name == "seconds" else name, value)
    for name in ("train_loss", "valid_loss"):
        if name in record:
            earlier = [row[name] for row in history[:-1]]
            history.record(f"{name}_best", not earlier or record[name] < min(earlier))


class SkorchObserver:
    """Calls a member's skorch callbacks at each epoch; what they draw from torch's generator leaves no trace.

    Parameters
    ----------
    make : callable
        From the live module to an initialized net with the callbacks.
    table, rows
        What the member is trained on.
    held_out, held_out_rows
        What it is judged by, or None.
    quiet : bool
        Whether to keep EarlyStopping from printing.
    """

    def __init__(
        self, make: Callable[[nn.Module], NeuralNet], table: Table, rows: np.ndarray,
        held_out: Table | None, held_out_rows: np.ndarray | None, *, quiet: bool,
    ) -> None:  # fmt: skip
        self._make, self._quiet = make, quiet
        self._data = _dataset(table)
        self._train = Subset(self._data, rows.tolist())
        self._valid: Subset[Any] | None = None
        self._valid_target: Tensor | None = None
        if held_out is not None and held_out_rows is not None:
            self._valid = Subset(_dataset(held_out), held_out_rows.tolist())
            self._valid_target = held_out.target[torch.from_numpy(held_out_rows)].cpu()
        self.net: NeuralNet | None = None

    @forked_torch_random()
    def train_begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Make the net around the live module."""
        self.net = self._make(module)
        for _, callback in self.net.callbacks_:
            if isinstance(callback, EpochScoring) and (callback.on_train or self._valid is None):
                callback.use_caching = False
            if isinstance(callback, EarlyStopping) and self._quiet and callback.sink is print:
                callback.sink = noop
        self.net.notify("on_train_begin", X=self._data.X, y=self._data.y)

    @forked_torch_random()
    def epoch_begin(self) -> None:
        """Announce the epoch."""
        assert self.net is not None
        self.net.notify("on_epoch_begin", dataset_train=self._train, dataset_valid=self._valid)

    @forked_torch_random()
    def epoch_end(self, record: dict[str, Any], output: np.ndarray | None) -> bool:
        """Record the epoch and call each callback; True if an EarlyStopping wants to stop."""
        net = self.net
        assert net is not None
        record_epoch(net, record)
        net.module_.eval()
        stop = False
        for _, callback in net.callbacks_:
            if output is not None and isinstance(callback, EpochScoring) and callback.use_caching:
                scores = torch.from_numpy(np.ascontiguousarray(output.T))
                callback.on_batch_end(net, batch=(None, self._valid_target), y_pred=scores, training=False)
            try:
                callback.on_epoch_end(net, dataset_train=self._train, dataset_valid=self._valid)
            except KeyboardInterrupt:
                if not isinstance(callback, EarlyStopping):
                    raise
                stop = True  # that is how skorch's EarlyStopping asks for it
        return stop

    @forked_torch_random()
    def train_end(self) -> None:
        """Announce the end."""
        assert self.net is not None
        self.net.notify("on_train_end", X=self._data.X, y=self._data.y)


def _dataset(table: Table) -> Any:
    inputs = table.inputs.cpu().numpy() if isinstance(table.inputs, Tensor) else table.inputs
    return Dataset(inputs, table.target.cpu().numpy())
