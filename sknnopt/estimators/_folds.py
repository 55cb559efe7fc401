"""Which rows a member withholds: a random part, or in an ensemble a fold, of its own or with another member."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from sknnopt.data.summary import sampled

Rows = NDArray[np.int64]

WITHHOLDING = 8
"""Word of the seeds of rows withheld from a table on disk."""

PAIRS_FROM = 4
"""Members from which on two withhold the same fold."""


class Split(NamedTuple):
    """The rows to train on and those withheld, each in ascending order; None withholds none."""

    rows: Rows
    withheld: Rows | None = None


def member_splits(n: int, labels: Rows | None, fraction: float, seed: int, members: int) -> list[Split]:
    """Return the splits that the members of an ensemble have, in turn; a single one withholds a random part.

    There are as many folds as the fraction goes into 1, two at least, and every member withholds one. From four
    members on two of them, in turn, withhold the same, so that it shows what their average gains; the engine's
    `Panel` stops the ensemble by that. Each row trains a member.

    Parameters
    ----------
    n : int
        Number of rows.
    labels : ndarray of shape (n,) or None
        Folds are stratified by them where each has a row for every fold.
    fraction : float
        In (0, 1).
    seed : int
    members : int

    Raises
    ------
    ValueError
        If there are too few rows to withhold any.

    Examples
    --------
    >>> for split in member_splits(6, None, 0.3, 0, members=2):
    ...     print(split.rows, split.withheld)
    [0 1 3 4] [2 5]
    [0 2 4 5] [1 3]
    """
    if members == 1 or n < 2:
        return [Split(*split_rows(n, labels, fraction, seed))]
    folds = min(n_folds(fraction), n)
    stratified = labels is not None and np.unique(labels, return_counts=True)[1].min() >= folds
    cut = (StratifiedKFold if stratified else KFold)(folds, shuffle=True, random_state=seed)
    parts = cut.split(np.zeros(n), labels if stratified else None)
    found = [Split(*(part.astype(np.int64) for part in pair)) for pair in parts]
    together = 2 if members >= PAIRS_FROM else 1
    return [found[member // together] for member in range(min(members, together * folds))]


def split_on_disk(n: int, fraction: float, seed: int, row_size: int) -> Split:
    """Return the one split that all members have where the table stays on disk, without copies of anything.

    The rows withheld are drawn at random, and not more than a sample: of so many rows that is a small part, though
    enough to judge by, and needs no strata.

    Examples
    --------
    >>> split = split_on_disk(10**6, 0.1, 0, 10)
    >>> len(split.rows), len(split.withheld)
    (900000, 100000)
    """
    withheld = min(_withheld(n, fraction), sampled(n, row_size))
    trained = np.ones(n, dtype=bool)
    trained[np.random.default_rng([seed, WITHHOLDING]).choice(n, withheld, replace=False)] = False
    return Split(np.flatnonzero(trained), np.flatnonzero(~trained))


def n_folds(fraction: float) -> int:
    """Return how many folds stand for a fraction withheld.

    Examples
    --------
    >>> n_folds(0.1), n_folds(0.3), n_folds(0.8)
    (10, 3, 2)
    """
    return max(2, round(1 / fraction))


def split_rows(n: int, labels: Rows | None, fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Return training and withheld rows, in ascending order; stratified where every class has rows enough.

    Raises
    ------
    ValueError
        If there are too few rows for both.
    """
    everyone, withheld = np.arange(n), _withheld(n, fraction)
    if labels is not None:
        counts = np.unique(labels, return_counts=True)[1]
        if counts.min() < 2 or withheld < len(counts) or n - withheld < len(counts):
            labels = None
    train, held_out = train_test_split(everyone, test_size=fraction, random_state=seed, stratify=labels)
    return np.sort(train), np.sort(held_out)


def _withheld(n: int, fraction: float) -> int:
    """Return how many of n rows a fraction is, if that leaves any."""
    withheld = int(np.ceil(fraction * n))
    if withheld >= n:
        raise ValueError(
            f"validation_fraction={fraction} of n_samples={n} leaves none to train on; use early_stopping=False."
        )
    return withheld
