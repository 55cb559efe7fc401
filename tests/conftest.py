"""What all tests share: one thread a worker, no seed from outside, no CUDA test where there is no CUDA device."""

import importlib
import os
import sys
from typing import Any

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


def pytest_sessionfinish() -> None:
    """Write what has been covered so far: xdist gives a worker ten seconds to end, then kills it with its figures."""
    coverage = sys.modules.get("coverage") if "PYTEST_XDIST_WORKER" in os.environ else None
    measuring = None if coverage is None else coverage.Coverage.current()
    if measuring is not None:
        measuring.save()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep waits for whoever may come: a cohort's size then follows from who trains, not from who is late."""
    for name in ("LEAST_PATIENCE", "RETURN"):
        monkeypatch.setattr(f"sknnopt.model_selection._tokens.{name}", 60.0)
    monkeypatch.setattr("sknnopt.model_selection._backend.STALL", {False: 60.0, True: 60.0})


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cohort whose arithmetic raises is halved until each member trains alone, which would hide that it raises."""
    module = importlib.import_module("sknnopt.engine.train")  # the package has a function of that name

    def train(jobs: Any, device: Any, after_epoch: Any) -> Any:
        return module._train_cohort(module.place(jobs, device), after_epoch)

    monkeypatch.setattr(module, "_train_or_halve", train)
