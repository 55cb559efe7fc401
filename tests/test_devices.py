"""Several devices: shards of a cohort side by side; here the processor, twice."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from support import basic

from sknnopt import NNClassifier, lockstep
from sknnopt._compat import InvalidParameterError
from sknnopt.engine import train as engine_train
from sknnopt.estimators import _parameters
from sknnopt.estimators._devices import auto_device
from sknnopt.estimators._parameters import resolve_network, resolve_techniques

pytestmark = pytest.mark.timeout(60)

X, y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (6,), "max_epochs": 4, "random_state": 0}


class Spied:
    """Which threads trained how many members."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib

        module = importlib.import_module("sknnopt.engine.train")
        self.shards: list[tuple[int, int]] = []
        original = module._train_cohort

        def spy(jobs: Any, after_epoch: Any = None) -> Any:
            self.shards.append((threading.get_ident(), len(jobs)))
            return original(jobs, after_epoch)

        monkeypatch.setattr(module, "_train_cohort", spy)


def weights(network: NNClassifier) -> list[np.ndarray]:
    return [value.numpy() for value in network.module_.state_dict().values()]


def test_an_ensemble_is_spread_over_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = basic(NNClassifier, **SMALL, n_members=5).fit(X, y)
    spied = Spied(monkeypatch)
    found = basic(NNClassifier, **SMALL, n_members=5, device=["cpu", "cpu"]).fit(X, y)
    for a, b in zip(weights(expected), weights(found), strict=True):
        assert_array_equal(a, b)
    assert sorted(size for _, size in spied.shards) == [2, 3]
    assert threading.get_ident() not in {thread for thread, _ in spied.shards}


def test_a_network_alone_goes_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = basic(NNClassifier, **SMALL).fit(X, y)
    spied = Spied(monkeypatch)
    found = basic(NNClassifier, **SMALL, device=["cpu", torch.device("cpu")]).fit(X, y)
    for a, b in zip(weights(expected), weights(found), strict=True):
        assert_array_equal(a, b)
    assert spied.shards == [(threading.get_ident(), 1)]


def test_a_sweep_is_spread_over_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = {"learning_rate": [1e-3, 1e-2]}
    expected = GridSearchCV(basic(NNClassifier, **SMALL), grid).fit(X, y)
    spied = Spied(monkeypatch)
    with lockstep(n_jobs=1) as sweep:
        found = GridSearchCV(basic(NNClassifier, **SMALL, device=["cpu", "cpu"]), grid).fit(X, y)
    assert_array_equal(expected.cv_results_["mean_test_score"], found.cv_results_["mean_test_score"])
    assert sweep.cohort_sizes == [10]
    assert sorted(size for _, size in spied.shards) == [1, 5, 5]  # and the refit


def test_a_fault_on_one_device_reaches_the_caller() -> None:
    def broken(weight: Any, *, generator: Any, gain: float) -> None:
        raise RuntimeError("an initializer's fault")

    with pytest.raises(RuntimeError, match="an initializer's fault"):
        basic(NNClassifier, **SMALL, n_members=4, device=["cpu", "cpu"], initializer=broken).fit(X, y)


def test_what_ends_the_training_ends_it_on_all_devices() -> None:
    class Ended(BaseException):
        pass

    jobs: list[Any] = []

    def take(taken: Any) -> Any:
        jobs.extend(taken)
        raise Ended

    network = basic(NNClassifier, **{**SMALL, "max_epochs": 10_000}, n_members=4, device=["cpu", "cpu"])
    import importlib

    base = importlib.import_module("sknnopt.estimators._base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "train", take)
        with pytest.raises(Ended):
            network.fit(X, y)
    epochs = []

    def after_epoch(members: int) -> None:
        epochs.append(members)
        if len(epochs) > 6:
            raise Ended

    module = importlib.import_module("sknnopt.engine.train")
    assert engine_train is module.train
    with pytest.raises(Ended):
        module.train_together(jobs, after_epoch)
    assert len(epochs) < 100


def test_float64_is_refused_on_mps() -> None:
    for device in ("mps", ["mps"]):
        with pytest.raises(InvalidParameterError, match=r"'precision'.*'float32' or 'bf16' on device='mps'"):
            basic(NNClassifier, **SMALL, device=device, precision="float64").fit(X, y)


@pytest.mark.parametrize("there", [False, True])
def test_auto_takes_cuda_for_large_networks_where_there_is_a_device(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    chosen = []
    for hidden in ((8,), (1024, 1024)):
        params = basic(NNClassifier, hidden_layer_sizes=hidden, batch_size=256)._kinds()[0].params
        network = resolve_network(params, 54, 7, "softmax")
        loss = _parameters.losses.get("auto", task="classification")
        chosen.append(auto_device(network, resolve_techniques(params, loss, network, 10_000)).type)
    assert chosen == ["cpu", "cuda" if there else "cpu"]


@pytest.mark.cuda
def test_a_sweep_on_a_gpu_scores_as_on_the_processor() -> None:
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    scores = {}
    for device in ("cpu", "cuda"):
        network = basic(
            NNClassifier, hidden_layer_sizes=(32,), batch_size=32, max_epochs=10, device=device, random_state=0
        )
        with lockstep(max_members=80) as sweep:
            search = GridSearchCV(network, {"learning_rate": np.logspace(-3, -2, 16)}).fit(X, y)
        scores[device] = search.cv_results_["mean_test_score"]
        assert max(sweep.cohort_sizes) > 1
    assert np.abs(scores["cpu"] - scores["cuda"]).max() < 0.02


@pytest.mark.cuda
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")
def test_a_sweep_over_two_gpus() -> None:
    network = basic(NNClassifier, **SMALL, device=["cuda:0", "cuda:1"])
    one = basic(NNClassifier, **SMALL, device="cuda:0")
    with lockstep():
        found = GridSearchCV(network, {"learning_rate": [1e-3, 1e-2]}).fit(X, y).cv_results_["mean_test_score"]
        expected = GridSearchCV(one, {"learning_rate": [1e-3, 1e-2]}).fit(X, y).cv_results_["mean_test_score"]
    assert np.abs(found - expected).max() < 0.05
