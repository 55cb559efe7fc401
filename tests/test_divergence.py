"""A diverging network says so, with what to change; what can be kept is kept."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from support import basic

from sknnopt import NNClassifier, NNRegressor

X, y = load_iris(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
DIVERGES = {
    "optimizer": "sgd",
    "gradient_clipping": None,
    "schedule": "constant",
    "dropout": 0.0,
    "batch_size": 32,
}


@pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_at_once_is_an_error_with_advice(make, method):
    network = basic(make, **{**QUICK, **DIVERGES, "learning_rate": 1e38})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"Training diverged.*Lower learning_rate, set gradient_clipping"):
            getattr(network, method)(X, y)
    assert not hasattr(network, "module_")
    network.set_params(learning_rate=0.01).fit(X, y).predict(X)


def test_later_is_a_warning_and_the_best_epoch_is_kept():
    linear = {"hidden_layer_sizes": (), "preprocessing": None, "batch_size": 10**6, "max_epochs": 100}
    reg = basic(NNRegressor, **{**QUICK, **DIVERGES, **linear, "learning_rate": 0.05})
    with pytest.warns(ConvergenceWarning, match=r"Training diverged: .*Lower learning_rate") as caught:
        reg.fit(X, y)
    kept = f"not finite in epoch {reg.n_iter_}, and the weights of epoch {reg.best_epoch_} were kept"
    assert kept in str(caught[0].message)
    assert caught[0].filename == __file__
    assert 1 <= reg.best_epoch_ < reg.n_iter_ < 100
    assert reg.best_loss_ == np.nanmin(reg.loss_curve_)
    assert np.isfinite(reg.predict(X)).all()
    assert reg.set_params(learning_rate=1e-4).fit(X, y).n_iter_ == 100


def test_takes_no_other_member_down():
    class SometimesWild(torch.nn.Linear):
        """The second to be built starts where every loss is infinite."""

        built = 0

        def __init__(self, n_inputs: int, n_outputs: int) -> None:
            super().__init__(n_inputs, n_outputs)
            SometimesWild.built += 1
            if SometimesWild.built == 2:
                torch.nn.init.constant_(self.weight, 1e38)

    settings = {**QUICK, "network": SometimesWild, "n_members": 3}
    with pytest.warns(ConvergenceWarning, match="the loss of a network was not finite in epoch 1, and it was left out"):
        reg = basic(NNRegressor, **settings).fit(X, y)
    assert len(reg.module_.members) == 2
    assert np.isfinite(reg.predict(X)).all()
    reg.partial_fit(X, y)
    assert len(reg.module_.members) == 2
