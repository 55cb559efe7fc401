"""Several starts for each member, of which the best is kept: an answer to local minima."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sknnopt.engine import Job, Result

RESTARTS = 1
"""Word of the seeds of restarts, which keeps their streams apart from those of members and of range tests."""


def restart_seeds(seed: int, members: Sequence[np.random.SeedSequence], n: int) -> list[list[np.random.SeedSequence]]:
    """Return the n seeds of each member; the first is the member's own, so that one restart changes nothing.

    Examples
    --------
    >>> members = np.random.SeedSequence(0).spawn(2)
    >>> seeds = restart_seeds(0, members, 3)
    >>> [own[0] is member for own, member in zip(seeds, members)]
    [True, True]
    """
    return [
        [own, *(np.random.SeedSequence((seed, RESTARTS, k, r)) for r in range(1, n))] for k, own in enumerate(members)
    ]


def restart_score(result: Result) -> float:
    """Return what a trained member is judged by, the larger the better; minus infinity if it diverged at once.

    That is the score of the withheld rows at the epoch whose weights it has, or minus their loss, or minus the training
    loss where none are withheld.
    """
    if result.best_epoch < 0:
        return -math.inf
    record = result.history[result.best_epoch]
    score = record.get("valid_score", -record.get("valid_loss", record["train_loss"]))
    return -math.inf if math.isnan(score) else float(score)


def best_restarts(results: Sequence[Result], n: int, *, crews: bool = False) -> tuple[list[int], NDArray[np.float64]]:
    """Return the index of each member's best result, the first of equals, and all scores (members, n).

    Parameters
    ----------
    results : sequence of Result
        Those of a member lie next to each other.
    n : int
        Restarts of a member.
    crews : bool
        Whether the r-th restarts of all members were judged together, and are to be kept together: those of whom the
        fewest have diverged at once, and of such the best.
    """
    scores = np.array([restart_score(result) for result in results]).reshape(-1, n)
    best = np.repeat(_best_crew(scores), len(scores)) if crews else scores.argmax(1)
    return [k * n + int(r) for k, r in enumerate(best)], scores


def best_of_kinds(
    jobs: Sequence[Job], results: Sequence[Result], n: int, kind_of: NDArray[np.intp]
) -> tuple[list[int], NDArray[np.float64]]:
    """Return what `best_restarts` does, each kind of members by itself.

    Parameters
    ----------
    jobs, results : sequence
        Those of a kind lie next to each other, and in these those of a member.
    n : int
        Restarts of a member.
    kind_of : ndarray of int
        The kind of each.
    """
    kept: list[int] = []
    scores = []
    for kind in np.unique(kind_of):
        own = np.flatnonzero(kind_of == kind)
        crews = jobs[own[0]].crew is not None
        best, found = best_restarts([results[int(k)] for k in own], n, crews=crews)
        kept += [int(own[k]) for k in best]
        scores.append(found)
    return kept, np.concatenate(scores)


def _best_crew(scores: NDArray[np.float64]) -> int:
    there = np.isfinite(scores)
    means = np.where(there, scores, 0.0).sum(0) / np.maximum(there.sum(0), 1)
    return int(np.lexsort((-means, -there.sum(0)))[0])
