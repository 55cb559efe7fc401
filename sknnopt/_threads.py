"""How many intra-op threads the arithmetic uses."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch's kernels in the calling thread alone, then restore the caller's setting.

    Reductions over many elements give other bits on two threads than on one, and small networks run several
    times slower on two. torch keeps this setting for each thread, so concurrent callers do not disturb each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
