"""A member's skorch net: the door to skorch's ecosystem."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, EpochScoring
from skorch.dataset import Dataset
from skorch.exceptions import SkorchException
from skorch.utils import noop
from torch import Tensor, nn
from torch.utils.data import Subset

from sknnopt._random import forked_torch_random
from sknnopt.data.batches import Table
from sknnopt.engine.callbacks import own_copies
from sknnopt.losses import Loss
from sknnopt.nn import copy_of


class _MemberNet:
    """What leaves the net is a copy: while its member trains, its parameters are views of the whole cohort's.

    ``f_safetensors=path`` is short for ``f_params=path, use_safetensors=True``.

    Attributes
    ----------
    live_module : nn.Module
        While its member trains, the weights at which gradients are taken; ``module_`` has those that are judged and
        kept, which may be their average.
    """

    @property
    def _default_callbacks(self) -> list[Any]:
        """None: the engine records the history, and prints nothing."""
        return []

    def save_params(self, *args: Any, f_safetensors: Any = None, **kwargs: Any) -> None:
        """Save what the arguments name; see skorch."""
        with self._copied():
            super().save_params(*args, **_with_safetensors(f_safetensors, kwargs))  # type: ignore[misc]

    def load_params(self, *args: Any, f_safetensors: Any = None, **kwargs: Any) -> None:
        """Load what the arguments name; see skorch."""
        super().load_params(*args, **_with_safetensors(f_safetensors, kwargs))  # type: ignore[misc]

    def __getstate__(self) -> Any:
        with self._copied():
            state: Any = super().__getstate__()
        return {name: value for name, value in state.items() if name != "live_module"}

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
    options: dict[str, Any] = {
        "train_split": None,
        "callbacks": own_copies(callbacks),
        "predict_nonlinearity": _nonlinearity(loss),
        "verbose": 1,
    }
    if n_classes is not None:
        net: NeuralNet = ClassifierNet(module, criterion=nn.CrossEntropyLoss, classes=list(range(n_classes)), **options)
    elif "regression" in loss.tasks:
        net = RegressorNet(module, criterion=nn.MSELoss, **options)
    else:
        net = MultilabelNet(module, criterion=nn.BCEWithLogitsLoss, **options)
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
        From the judged module to an initialized net with the callbacks.
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
        """Make the net around the module that is judged."""
        self.net = self._make(judged)
        self.net.__dict__["live_module"] = module
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
            except (KeyError, SkorchException) as error:
                if self._valid is not None or "valid_" not in str(error):
                    raise
                raise ValueError(
                    f"The callback {type(callback).__name__} looks for what needs withheld rows, but none are withheld:"
                    f" {error.args[0]} Set early_stopping=True, or give fit X_val and y_val."
                ) from error
        return stop

    @forked_torch_random()
    def train_end(self) -> None:
        """Announce the end."""
        assert self.net is not None
        self.net.notify("on_train_end", X=self._data.X, y=self._data.y)
        self.net.__dict__.pop("live_module")


def _dataset(table: Table) -> Any:
    inputs = table.inputs.cpu().numpy() if isinstance(table.inputs, Tensor) else table.inputs
    return Dataset(inputs, table.target.cpu().numpy())
