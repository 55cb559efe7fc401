"""A callback that records, epoch by epoch, what a network's weights, gradients and activations are like."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor, nn

from sknnopt._compat import InvalidParameterError
from sknnopt.losses import Loss

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the quantiles that are recorded."""

Record = dict[str, NDArray[np.float64]]


class RecordWeights(Callback):
    """Record quantiles of each layer's weights, gradients and activations, before training and after each epoch.

    A layer is what has weights: parameters of two axes or more. Its *activations* are what it hands on, the input of
    the layer that is called next (behind normalisation and activation function) or, for the last, the scores. Its
    *gradients* are the magnitudes of the loss's derivatives with respect to its weights. Both are of some training
    rows, always the same, in evaluation mode: without dropout, label smoothing, mixup, penalties and weights of rows.
    What is learned is the same, to the bit, as without this callback. The weights are those that are being trained,
    not their average.

    One network's records can be looked at, see :class:`~sknnopt.inspection.WeightsDisplay`: members of an ensemble have
    each their own callbacks, which are not kept. After `partial_fit` or a warm start the records are of that call.

    Parameters
    ----------
    rows : int, default=256
        Training rows to look at, taken at equal distances; at most all.

    Attributes
    ----------
    layers_ : list of str
        Names of the layers in `module_`, in the order in which they are called.
    epochs_ : ndarray of int of shape (n_records,)
        Epochs trained; the first record is of the network as it begins.
    weights_, gradients_, activations_ : ndarray of shape (n_records, n_layers, 5)
        Quantiles of the levels 0.05, 0.25, 0.5, 0.75 and 0.95; NaN where a layer takes no part.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010,
    figures 2 to 7.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier
    >>> from sknnopt.inspection import RecordWeights
    >>> network = NNClassifier(
    ...     hidden_layer_sizes=(8,), numeric_embedding=None, n_members=1, max_epochs=5, callbacks=[RecordWeights()]
    ... )
    >>> network = network.fit(*load_iris(return_X_y=True))
    >>> _, record = network.net_.callbacks_[-1]
    >>> record.layers_, record.gradients_.shape
    (['dense_0', 'output'], (6, 2, 5))
    """

    def __init__(self, rows: int = 256) -> None:
        self.rows = rows

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        """Forget what an earlier training has left."""
        if not isinstance(self.rows, Integral) or isinstance(self.rows, bool) or self.rows < 1:
            raise InvalidParameterError(
                f"The 'rows' parameter of RecordWeights must be an int of at least 1. Got {self.rows!r} instead."
            )
        self._records: list[tuple[int, Record]] = []
        self._sample: tuple[Tensor, Tensor] | None = None

    def on_epoch_begin(self, net: NeuralNet, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record the network as it begins."""
        if self._sample is None:
            self._sample = _sample(dataset_train, int(self.rows), _trained(net))
            self.layers_, record = _observe(net, *self._sample)
            self._records.append((-1, record))

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Record the epoch."""
        assert self._sample is not None
        self._records.append((net.history[-1, "epoch"], _observe(net, *self._sample)[1]))

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Gather the records into arrays."""
        epochs = [epoch for epoch, _ in self._records]
        if len(epochs) > 1:
            epochs[0] = epochs[1] - 1
        self.epochs_ = np.array(epochs)
        for name in ("weights", "gradients", "activations"):
            setattr(self, f"{name}_", np.array([record[name] for _, record in self._records]))
        self._records, self._sample = [], None


def _trained(net: NeuralNet) -> nn.Module:
    """Return the module whose weights are being trained."""
    module: nn.Module = net.live_module
    return module


def _sample(rows: Any, count: int, module: nn.Module) -> tuple[Tensor, Tensor]:
    """Return inputs (B, ...) and targets (B, ...) of training rows, where the module is."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int))
    inputs, targets = zip(*(rows[int(place)] for place in places), strict=True)
    device = next(module.parameters()).device
    first, second = (torch.from_numpy(np.stack([np.asarray(one) for one in part])) for part in (inputs, targets))
    return first.to(device), second.to(device)


def _observe(net: NeuralNet, inputs: Tensor, targets: Tensor) -> tuple[list[str], Record]:
    """Return the layers as they are called, and the quantiles (layers, levels) of each figure."""
    module, loss = _trained(net), net.predict_nonlinearity.loss
    layers = {name: _weights(part) for name, part in module.named_modules() if _weights(part)}
    with _evaluating(module), torch.enable_grad(), _calls(module, layers) as calls:
        scores = module(inputs)
        weights = [weight for own in layers.values() for weight in own if weight.requires_grad]
        found = torch.autograd.grad(_mean_loss(loss, scores, targets), weights, allow_unused=True)
    gradients = dict(zip(weights, found, strict=True))
    places = {name: _place(name, [called for called, _ in calls]) for name in layers}
    order = sorted(layers, key=lambda name: places[name])
    record = {
        "weights": [_quantiles(layers[name]) for name in order],
        "gradients": [_quantiles([gradients.get(weight) for weight in layers[name]], sizes=True) for name in order],
        "activations": [_quantiles([_handed_on(places[name], places, calls, scores)]) for name in order],
    }
    return order, {name: np.array(rows) for name, rows in record.items()}


def _place(name: str, called: Sequence[str]) -> int:
    """Return when a layer is first called, or what it is a part of; the number of calls if it never is."""
    while name:
        if name in called:
            return called.index(name)
        name = name.rpartition(".")[0]
    return len(called)


def _handed_on(
    place: int, places: Mapping[str, int], calls: Sequence[tuple[str, Tensor | None]], scores: Tensor
) -> Tensor | None:
    """Return the input of the layer that is called next after a call, the scores after the last one."""
    if place == len(calls):
        return None
    later = [other for other in places.values() if place < other < len(calls)]
    return calls[min(later)][1] if later else scores


def _mean_loss(loss: Loss, scores: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of rows from a module's scores (B, O) and their targets (B,) or (B, T)."""
    scores = scores.unsqueeze(1) if scores.ndim == 1 else scores
    target = targets if "classification" in loss.tasks or targets.ndim == 1 else targets.T
    return loss(scores.T.unsqueeze(0), target.unsqueeze(0)).mean()


def _weights(module: nn.Module) -> list[Tensor]:
    """Return a module's own weights: "weight" if it has such, else all its parameters of two axes or more."""
    own = {name: one for name, one in module.named_parameters(recurse=False) if one.ndim > 1}
    return [own["weight"]] if "weight" in own else list(own.values())


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode and each part back into its own."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def _calls(module: nn.Module, layers: Iterable[str]) -> Iterator[list[tuple[str, Tensor | None]]]:
    """Note the calls of layers and of what they are parts of, with the input."""
    calls: list[tuple[str, Tensor | None]] = []

    def noting(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, given: calls.append((name, given[0] if given and isinstance(given[0], Tensor) else None))

    parts = {".".join(path[:n]) for path in (name.split(".") for name in layers) for n in range(1, len(path) + 1)}
    with ExitStack() as stack:
        for name in parts - {""}:
            stack.callback(module.get_submodule(name).register_forward_pre_hook(noting(name)).remove)
        yield calls


def _quantiles(tensors: Sequence[Tensor | None], *, sizes: bool = False) -> NDArray[np.float64]:
    """Return quantiles of all numbers together, NaN if there are none or one is not finite."""
    there = [tensor.detach().flatten().double().cpu() for tensor in tensors if tensor is not None]
    values = torch.cat(there).numpy() if there else np.empty(0)
    if not len(values) or not np.isfinite(values).all():
        return np.full(len(LEVELS), np.nan)
    return np.quantile(np.abs(values) if sizes else values, LEVELS)
