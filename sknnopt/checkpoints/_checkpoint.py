"""What users say of checkpoints: where, and how often."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any, ClassVar

from sknnopt._choices import Choice
from sknnopt._compat import Interval, InvalidParameterError
from sknnopt.checkpoints._store import Store, store_of


class Checkpoint(Choice):
    """A directory of checkpoints, with the interval at which they are written.

    ``checkpoint="folder"`` is ``checkpoint=Checkpoint("folder")``. Fits are told apart by the content of their data,
    of all parameters that matter to training, and of the code, so that any number of them, in any number of processes,
    may share a directory; and nothing is taken from it that another setting has left there. What is in it may be
    deleted at any time while no training runs.

    Parameters
    ----------
    directory : str or path-like
        Made when training begins, if it is not there. "~" is the user's own.
    interval : float, default=10.0
        Seconds between two writes, at least, in [0, inf). They come after epochs, and wait longer where one takes
        more than a fiftieth of it, so that writing costs 2 % of the time at most.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier
    >>> from sknnopt.checkpoints import Checkpoint
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf = NNClassifier(checkpoint=Checkpoint(folder, interval=1.0), max_epochs=5, random_state=0)
    ...     clf = clf.fit(*load_iris(return_X_y=True))
    >>> clf.n_iter_
    5
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "directory": [str, os.PathLike],
        "interval": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, directory: str | os.PathLike[str], interval: float = 10.0) -> None:
        self.directory = directory
        self.interval = interval

    def store(self) -> Store:
        """Return the directory's store.

        Raises
        ------
        InvalidParameterError
            If there is no such directory and none can be made.
        """
        if not os.fspath(self.directory):
            raise InvalidParameterError("The 'checkpoint' parameter must be a directory. Got '' instead.")
        return store_of(self.directory)


_default: ContextVar[Checkpoint | None] = ContextVar("sknnopt checkpoint", default=None)


def resolve_checkpoint(value: Any, owner: str = "") -> Checkpoint | None:
    """Return the checkpoint that a directory or object stands for.

    Raises
    ------
    InvalidParameterError
        If it is neither.
    """
    if value is None:
        return None
    if isinstance(value, Checkpoint):
        value.validate()
        return value
    if isinstance(value, str | os.PathLike):
        return Checkpoint(value)
    raise InvalidParameterError(
        f"The 'checkpoint' parameter{owner} must be a directory, a Checkpoint or None. Got {value!r} instead."
    )


def absolute(checkpoint: Checkpoint | None) -> Checkpoint | None:
    """Return what means the same directory to a worker, which may have been started in another one."""
    if checkpoint is None or not os.fspath(checkpoint.directory):
        return checkpoint
    return Checkpoint(os.path.abspath(os.path.expanduser(checkpoint.directory)), checkpoint.interval)


def current_checkpoint(value: Any) -> Checkpoint | None:
    """Return the checkpoint of an estimator's parameter, or else that of the block around."""
    own = resolve_checkpoint(value)
    return _default.get() if own is None else own


@contextmanager
def default_checkpoint(checkpoint: Checkpoint | None) -> Iterator[None]:
    """Let fits inside the block that have no checkpoint of their own have this one; None changes nothing."""
    if checkpoint is None:
        yield
        return
    token = _default.set(checkpoint)
    try:
        yield
    finally:
        _default.reset(token)
