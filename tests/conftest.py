"""What all tests share: one thread a worker, no seed from outside, no CUDA test where there is no CUDA device."""

import os

import pytest
import torch

collect_ignore = ["user_code", "twice.py"]  # scripts, which doctests would run to find none in them

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Let pytest-randomly shuffle, and not seed the global generators: no test may need that."""
    config.option.randomly_reset_seed = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
