"""The batch size that follows from the number of training rows."""

LARGEST = 512
"""Batch size of the largest tables under ``batch_size="auto"``."""

SIZES = {64: 457, 128: 28_573, 256: 183_217}
"""The other batch sizes, and the largest number of training rows that each is for.

What was measured is in docs/adaptive.md; 512 bounds the steps of an epoch. The limits are far from round
numbers: folds that differ by a row get one size, and so train in one cohort.
"""


def auto_batch_size(n_rows: int) -> int:
    """Return the batch size for a number of training rows.

    Examples
    --------
    >>> [auto_batch_size(n) for n in (100, 1_000, 100_000, 1_000_000)]
    [64, 128, 256, 512]
    """
    return next((size for size, most in SIZES.items() if n_rows <= most), LARGEST)
