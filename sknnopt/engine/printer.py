"""A line an epoch, for ``verbose``."""

from typing import Any

import numpy as np
from torch import nn

from sknnopt.engine.job import Observer


class Printer:
    """Prints each epoch's record of one member.

    Parameters
    ----------
    epochs : int
        How many epochs there are to be.
    inner : Observer or None
        Who else observes the member.
    prefix : str
        What each line begins with.

    Examples
    --------
    >>> record = {"epoch": 3, "train_loss": 0.5, "valid_loss": 0.25, "learning_rate": 0.1, "seconds": 0.02}
    >>> Printer(100).epoch_end(record, None)
    epoch 3/100  train_loss 0.5  valid_loss 0.25  0.02 s
    False
    """

    def __init__(self, epochs: int, inner: Observer | None = None, *, prefix: str = "") -> None:
        self._epochs, self._prefix = epochs, prefix
        self.inner = inner

    def train_begin(self, module: nn.Module) -> None:
        """Pass on to the other observer."""
        if self.inner is not None:
            self.inner.train_begin(module)

    def epoch_begin(self) -> None:
        """Pass on to the other observer."""
        if self.inner is not None:
            self.inner.epoch_begin()

    def epoch_end(self, record: dict[str, Any], output: np.ndarray | None) -> bool:
        """Print the record; True if the other observer wants to stop."""
        names = [name for name in ("train_loss", "valid_loss", "valid_score") if name in record]
        figures = "".join(f"  {name} {record[name]:.4g}" for name in names)
        line = f"{self._prefix}epoch {record['epoch']}/{self._epochs}{figures}  {record['seconds']:.2g} s"
        print(line)  # noqa: T201
        return self.inner is not None and self.inner.epoch_end(record, output)

    def train_end(self) -> None:
        """Pass on to the other observer."""
        if self.inner is not None:
            self.inner.train_end()
