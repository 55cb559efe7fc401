"""The batch size that follows from the number of training rows."""

import math

LEAST, MOST = 64, 512
"""What ``batch_size="auto"`` lies between."""


def auto_batch_size(n_rows: int) -> int:
    """Return the power of two nearest to 3 sqrt(n), between 64 and 512.

    An epoch then has about sqrt(n) / 3 steps. Sizes change at 910, 3,640 and 14,563 rows, far from round numbers: folds
    that differ by a row get one size, and train in one cohort.

    Examples
    --------
    >>> [auto_batch_size(n) for n in (100, 1_000, 5_000, 20_000, 1_000_000)]
    [64, 128, 256, 512, 512]
    """
    nearest: int = 2 ** round(math.log2(3 * math.sqrt(max(1, n_rows))))
    return min(MOST, max(LEAST, nearest))
