"""Who watches a member's training: several at once, and one who prints."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from sknnopt.engine.job import Observer


class Observers:
    """Several observers of one member, called in turn; any of them stops it.

    Parameters
    ----------
    parts : sequence of Observer
    """

    def __init__(self, parts: Sequence[Observer]) -> None:
        self.parts = tuple(parts)

    def train_begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Pass on."""
        for part in self.parts:
            part.train_begin(module, judged)

    def epoch_begin(self) -> None:
        """Pass on."""
        for part in self.parts:
            part.epoch_begin()

    def epoch_end(self, record: dict[str, Any], output: np.ndarray | None) -> bool:
        """Pass on; True if one of them wants to stop."""
        wishes = [part.epoch_end(record, output) for part in self.parts]
        return any(wishes)

    def train_end(self) -> None:
        """Pass on."""
        for part in self.parts:
            part.train_end()


class Printer:
    """Prints each epoch's record of one member, for ``verbose``.

    Parameters
    ----------
    epochs : int
        How many epochs there are to be.
    prefix : str
        What each line begins with.

    Examples
    --------
    >>> record = {"epoch": 3, "train_loss": 0.5, "valid_loss": 0.25, "learning_rate": 0.1, "seconds": 0.02}
    >>> Printer(100).epoch_end(record, None)
    epoch 3/100  train_loss 0.5  valid_loss 0.25  0.02 s
    False
    """

    def __init__(self, epochs: int, *, prefix: str = "") -> None:
        self._epochs, self._prefix = epochs, prefix

    def train_begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Do nothing."""

    def epoch_begin(self) -> None:
        """Do nothing."""

    def epoch_end(self, record: dict[str, Any], output: np.ndarray | None) -> bool:
        """Print the record; it never stops."""
        names = [name for name in ("train_loss", "valid_loss", "valid_score") if name in record]
        figures = "".join(f"  {name} {record[name]:.4g}" for name in names)
        line = f"{self._prefix}epoch {record['epoch']}/{self._epochs}{figures}  {record['seconds']:.2g} s"
        print(line)  # noqa: T201
        return False

    def train_end(self) -> None:
        """Do nothing."""
