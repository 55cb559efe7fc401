"""On a CUDA device: the same learning as on the CPU, within rounding; skipped where there is none."""

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits, load_iris
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor
from sknnopt.embeddings import Periodic

pytestmark = pytest.mark.cuda

SAME = {"dropout": 0.0, "batch_size": 64, "schedule": "constant", "random_state": 0}


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    ("network", "activation"), [("mlp", "silu"), ("resnet", "swiglu"), ("mlp", "prelu"), ("tabm", "silu")]
)
def test_ten_steps_are_those_of_the_cpu(
    network: str, activation: str, optimizer: str, normalization: str | None
) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:640], y[:640]
    options = {**SAME, "max_epochs": 1, "optimizer": optimizer, "normalization": normalization}
    options |= {"network": network, "activation": activation}
    cpu = basic(NNClassifier, device="cpu", **options).fit(X, y).module_.state_dict()
    cuda = basic(NNClassifier, device="cuda", **options).fit(X, y).module_.state_dict()
    for name, value in cpu.items():
        assert_allclose(cuda[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("numeric", ["piecewise_linear", "periodic", Periodic(phases=True, dense=True), None])
def test_ten_steps_with_embedded_columns_are_those_of_the_cpu(numeric: Any, optimizer: str) -> None:
    X, y = load_digits(return_X_y=True)
    X, y = X[:640, :20], y[:640]
    options = {**SAME, "max_epochs": 1, "optimizer": optimizer, "numeric_embedding": numeric, "input_scale": True}
    options |= {"categorical_features": [2, 3], "categorical_embedding": 4}
    cpu = basic(NNClassifier, device="cpu", **options).fit(X, y).module_.state_dict()
    cuda = basic(NNClassifier, device="cuda", **options).fit(X, y).module_.state_dict()
    for name, value in cpu.items():
        assert_allclose(cuda[name].numpy(), value.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


def test_an_ensemble_with_embedded_columns_trains_there() -> None:
    X, y = load_digits(return_X_y=True)
    settings = {"numeric_embedding": "piecewise_linear", "early_stopping": True, "max_epochs": 20}
    network = basic(NNClassifier, device="cuda", **settings, n_members=3, random_state=0)
    assert network.fit(X, y).score(X, y) > 0.95


def test_scores_agree_within_noise() -> None:
    X, y = load_digits(return_X_y=True)
    networks = [basic(NNClassifier, device=device, random_state=0).fit(X[::2], y[::2]) for device in ("cpu", "cuda")]
    scores = [network.score(X[1::2], y[1::2]) for network in networks]
    assert abs(scores[0] - scores[1]) < 0.02


def test_dropout_and_early_stopping_and_an_ensemble_train_there() -> None:
    X, y = load_digits(return_X_y=True)
    network = basic(NNClassifier, device="cuda", n_members=3, early_stopping=True, scoring="accuracy", random_state=0)
    assert network.fit(X, y).score(X, y) > 0.95


def test_a_users_module_trains_there() -> None:
    X, y = load_digits(return_X_y=True)

    def net(n_inputs: int, n_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(n_inputs, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, n_outputs))

    assert basic(NNClassifier, network=net, device="cuda", random_state=0).fit(X, y).score(X, y) > 0.95


def test_a_pickle_opens_without_the_device() -> None:
    X, y = load_iris(return_X_y=True)
    network = basic(NNClassifier, device="cuda", max_epochs=5, random_state=0).partial_fit(X, y)
    assert all(p.device.type == "cpu" for p in network.module_.parameters())
    copy = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(copy.predict_proba(X), network.predict_proba(X))


def test_an_epoch_reads_nothing_back_before_its_end() -> None:
    X, y = load_digits(return_X_y=True)
    network = basic(NNRegressor, device="cuda", max_epochs=2, batch_size=32, random_state=0)
    network.fit(X, y.astype(float))
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchroniz") as caught:
            network.fit(X, y.astype(float))
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    assert len(caught) < len(X) // 32, "fewer synchronisations than steps"
