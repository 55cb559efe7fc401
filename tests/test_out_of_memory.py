"""Where memory does not suffice: what the error says, what is still usable, and that nothing stays held."""

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from support import basic

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt._memory import is_out_of_memory
from sknnopt.engine._step import Step
from sknnopt.model_selection import cross_val_score

X, y = load_iris(return_X_y=True)
SMALL: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_epochs": 3, "random_state": 0}
LARGE = (10**7, 10**7)  # 400 TB of weights, more than there are addresses
ERRORS = [
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((10**9,), np.dtype(float)),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:81] data. DefaultCPUAllocator: not enough memory: you tried to ..."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:20] or "MemoryError")
def test_known_for_what_it_is(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(("make", "method"), [(NNClassifier, "fit"), (NNRegressor, "partial_fit")])
def test_a_fit_says_what_to_reduce_and_leaves_the_estimator_as_it_was(make: Any, method: str) -> None:
    network = basic(make, **SMALL)
    network.set_params(hidden_layer_sizes=LARGE)
    with pytest.raises(MemoryError, match=r"^Out of memory while training a network of 100,000,0\d\d,"):
        getattr(network, method)(X, y)
    assert not hasattr(network, "module_")
    before = network.set_params(hidden_layer_sizes=(8,)).fit(X, y).predict(X)
    with pytest.raises(MemoryError, match=r"in batches of 64 rows on cpu, from a table of 150 x 4\. Reduce batch_size"):
        network.set_params(hidden_layer_sizes=LARGE).fit(X, y)
    assert_array_equal(network.predict(X), before)
    again = network.set_params(hidden_layer_sizes=(8,)).fit(X, y)
    assert_array_equal(again.predict(X), before)


def test_the_cause_is_chained() -> None:
    with pytest.raises(MemoryError) as caught:
        basic(NNClassifier, **{**SMALL, "hidden_layer_sizes": LARGE}).fit(X, y)
    assert "allocate memory" in str(caught.value.__cause__)


def _run_short(monkeypatch: pytest.MonkeyPatch, most: int) -> list[Any]:
    """Let steps of more than so many members fail; return references to what was at hand."""
    seen: list[Any] = []
    run = Step.run

    def short(self: Any, inputs: Any, *rest: Any) -> Any:
        seen.append((len(inputs), weakref.ref(inputs)))
        if len(inputs) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes.")
        return run(self, inputs, *rest)

    monkeypatch.setattr(Step, "run", short)
    return seen


def test_a_cohort_that_is_too_large_is_trained_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    network = basic(NNClassifier, **SMALL, n_members=8)
    whole = network.fit(X, y).predict_proba(X)
    seen = _run_short(monkeypatch, 2)
    assert_array_equal(network.fit(X, y).predict_proba(X), whole)
    assert {count for count, _ in seen} == {8, 4, 2}


def test_a_sweep_goes_on_in_smaller_cohorts(monkeypatch: pytest.MonkeyPatch) -> None:
    network = basic(NNClassifier, **SMALL)
    whole = cross_val_score(network, X, y, cv=5)
    seen = _run_short(monkeypatch, 2)
    with lockstep():
        assert_array_equal(cross_val_score(network, X, y, cv=5), whole)
    assert max(count for count, _ in seen) > 2


def test_members_that_stop_together_are_not_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    network = basic(NNClassifier, **SMALL, n_members=4, early_stopping=True)
    _run_short(monkeypatch, 2)
    with pytest.raises(
        MemoryError, match=r"training 4 networks that stop together.*n_members \(or early_stopping=Fals"
    ):
        network.fit(X, y)
    network.set_params(n_members=2).fit(X, y)


def test_the_error_holds_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _run_short(monkeypatch, 0)
    network = basic(NNClassifier, **SMALL)
    made = []
    prepare = NNClassifier._prepare

    def prepared(self: Any, *given: Any, **more: Any) -> Any:
        found = prepare(self, *given, **more)
        made.append(weakref.ref(found.inputs))
        return found

    monkeypatch.setattr(NNClassifier, "_prepare", prepared)
    gc.disable()
    try:
        with pytest.raises(MemoryError) as caught:
            network.fit(X, y)
        assert [ref() for _, ref in seen] == [None]
        assert [ref() for ref in made] == [None]
    finally:
        gc.enable()
    assert caught.value.__cause__ is not None


def test_while_data_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    network = basic(NNClassifier, **SMALL).fit(X, y)
    before = network.predict(X)

    def fail(*_: Any, **__: Any) -> Any:
        raise MemoryError("Unable to allocate 1. TiB")

    with monkeypatch.context() as patch:
        patch.setattr("sknnopt.data.encoding.Encoding.array", fail)
        with pytest.raises(MemoryError, match=r"Out of memory while data were encoded.*numpy\.memmap"):
            network.fit(X, y)
        for method in ("predict", "predict_proba"):
            with pytest.raises(MemoryError, match=r"Out of memory while rows were predicted\. Predict fewer rows"):
                getattr(network, method)(X)
    assert_array_equal(network.predict(X), before)


def test_a_scorer_of_ones_own_ends_its_member_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = threading.Event()

    def scorer(estimator: Any, X: Any, y: Any) -> float:
        if fails.is_set():
            raise MemoryError
        return float(estimator.score(X, y))

    network = basic(NNClassifier, **SMALL, early_stopping=True, scoring=scorer).fit(X, y)
    before = network.predict(X)
    fails.set()
    with pytest.raises(MemoryError, match="what was trained was judged"):
        network.fit(X, y)
    assert_array_equal(network.predict(X), before)


@pytest.mark.cuda
def test_on_a_device_that_is_too_small() -> None:
    network = basic(NNClassifier, **SMALL, device="cuda").fit(X, y)
    held = torch.cuda.memory_allocated()
    with pytest.raises(MemoryError, match=r"Out of memory while training a network of .* on cuda") as caught:
        network.set_params(hidden_layer_sizes=(300_000, 300_000)).fit(X, y)
    assert torch.cuda.memory_allocated() <= held, caught
    network.set_params(hidden_layer_sizes=(8,)).fit(X, y).predict(X)
