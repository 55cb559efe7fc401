"""skorch's callbacks: which of them work on members, and copies of them for each member."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from skorch.callbacks import (
    BatchScoring,
    Callback,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    MlflowLogger,
    NeptuneLogger,
    ParamMapper,
    PassthroughScoring,
    ProgressBar,
    SacredLogger,
    TensorBoard,
    Unfreezer,
    WandbLogger,
)
from torch.optim.lr_scheduler import LRScheduler as TorchScheduler

INSTEAD: dict[type, str] = {
    Freezer: "Use 'frozen_layers'; parameters of your own module that require no gradient stay fixed, too.",
    Unfreezer: "Fit with the 'frozen_layers' parameter set, then once more with warm_start=True and without it.",
    Initializer: "Use the 'initializer' parameter.",
    ParamMapper: "Use 'initializer', 'frozen_layers' or 'regularization', which projects weights after each step.",
    LRScheduler: "Use the 'schedule' parameter, which is computed ahead for each member.",
    TorchScheduler: "Use the 'schedule' parameter, such as schedule='cosine_restarts'.",
    GradientNormClipping: "Use the 'gradient_clipping' parameter.",
    InputShapeSetter: "Give 'network' a function of (n_inputs, n_outputs), or a Module(...), which is told the sizes.",
    LoadInitState: "Use the 'initial_weights' parameter, which takes a state dict, or warm_start=True to go on.",
    ProgressBar: "Use scikit-learn's, estimator.set_callbacks(sklearn.callback.ProgressBar()), or verbose=1.",
    BatchScoring: "Use EpochScoring.",
    PassthroughScoring: "train_loss and valid_loss are in the history already; for other scores use EpochScoring.",
}
"""Callbacks that are refused, and what to use."""

_WHY = {
    ProgressBar: "counts batches, but members train in lockstep and only their epochs are announced",
    BatchScoring: "acts in on_batch_end, but members train in lockstep and only their epochs are announced",
    PassthroughScoring: "passes on scores of batches, but members train in lockstep and only epochs have scores",
}

HANDLES: dict[type, tuple[str, ...]] = {
    MlflowLogger: ("run", "client"),
    NeptuneLogger: ("run",),
    SacredLogger: ("experiment",),
    TensorBoard: ("writer",),
    WandbLogger: ("wandb_run",),
}
"""Trackers of experiments, and which of their attributes lead to where they write: copies share them."""

_BATCH_METHODS = ("on_batch_begin", "on_batch_end", "on_grad_computed")


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
        If one acts on batches, gradients, parameters or the learning rate; the message names what to use instead.
    """
    for callback in _plain(callbacks):
        kind = callback if isinstance(callback, type) else type(callback)
        for refused, advice in INSTEAD.items():
            if issubclass(kind, refused):
                why = _WHY.get(refused, "has no effect here")
                raise ValueError(f"The callback {kind.__name__} {why}. {advice}")
        if not issubclass(kind, Callback):
            raise TypeError(f"The 'callbacks' parameter must hold skorch callbacks. Got {callback!r} instead.")
        if issubclass(kind, tuple(HANDLES)) and getattr(callback, "log_on_batch_end", False):
            raise ValueError(
                f"The callback {kind.__name__} is to log on batches, but members train in lockstep and only their "
                "epochs are announced. Set its log_on_batch_end=False."
            )
        on_batches = [name for name in _BATCH_METHODS if not _is_harmless(kind, name)]
        if on_batches:
            raise ValueError(
                f"The callback {kind.__name__} acts in {', '.join(on_batches)}, but members train in lockstep and only "
                "their epochs are announced. Use a callback on epochs, such as EpochScoring."
            )


def _plain(callbacks: Sequence[Any] | None) -> list[Any]:
    """Return the callbacks without names."""
    return [given[1] if isinstance(given, tuple) else given for given in callbacks or ()]


def _is_harmless(kind: type[Callback], name: str) -> bool:
    """Return whether nothing is lost if this method of batches is not called for each of them."""
    known = {getattr(one, name) for one in (Callback, *HANDLES)}
    return issubclass(kind, EpochScoring) or getattr(kind, name) in known


def own_copies(callbacks: Sequence[Any] | None) -> list[Any]:
    """Return deep copies that share what cannot have copies: the handles of trackers, of files, of connections.

    Parameters
    ----------
    callbacks : sequence of skorch callbacks, or of (name, callback), or None

    Examples
    --------
    >>> from skorch.callbacks import EarlyStopping, TensorBoard
    >>> writer = object()
    >>> given = [EarlyStopping(), ("board", TensorBoard(writer))]
    >>> stopping, (_, board) = own_copies(given)
    >>> stopping is given[0], board is given[1][1], board.writer is writer
    (False, False, True)
    """
    given = list(callbacks or ())
    shared = _by_identity(_handles(given))
    try:
        return copy.deepcopy(given, dict(shared))
    except Exception:  # whatever a handle's own code says to being copied
        values = (value for callback in _plain(given) for value in vars(callback).values())
        return copy.deepcopy(given, shared | _by_identity(value for value in values if not _has_copies(value)))


def _handles(callbacks: Sequence[Any]) -> list[Any]:
    return [
        getattr(callback, name, None)
        for callback in _plain(callbacks)
        for kind, names in HANDLES.items()
        if isinstance(callback, kind)
        for name in names
    ]


def _by_identity(values: Iterable[Any]) -> dict[int, Any]:
    return {id(value): value for value in values}


def _has_copies(value: Any) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:  # see own_copies
        return False
    return True
