"""A technique of the user's, a function or an object, in every place where a name does."""

import functools
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from support import basic
from torch import nn
from torch.nn import functional as F

import sknnopt.model_selection
from sknnopt import NNClassifier
from sknnopt.activations import Activation
from sknnopt.averaging import Averaging
from sknnopt.initializers import Initializer
from sknnopt.losses import Loss
from sknnopt.optimizers import Optimizer, TorchOptimizer
from sknnopt.regularization import Regularizer
from sknnopt.schedules import Schedule

X, Y = load_iris(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 4, "batch_size": 50, "random_state": 0, "label_smoothing": 0.0}


def bump(x):
    return x * torch.exp(-x * x)


class Bump(Activation):
    def forward(self, x, out):
        return out.copy_(bump(x))

    def backward(self, gradient, saved, out):
        return torch.mul(gradient, (1 - 2 * saved * saved) * torch.exp(-saved * saved), out=out)

    def module(self):
        return BumpModule()


class BumpModule(nn.Module):
    def forward(self, x):
        return bump(x)


def small(weight, *, generator, gain):
    weight.normal_(0, 0.1 * gain, generator=generator)


class Small(Initializer):
    def draw(self, weight, *, generator, gain):
        small(weight, generator=generator, gain=gain)


def signs(parameters, lr=1e-2):
    return torch.optim.Rprop(parameters, lr=lr)


class Signs(Optimizer):
    def __init__(self, factor=1.0):
        self.factor = factor

    _parameter_constraints = {"factor": [float]}

    def coefficients(self, step, learning_rate):
        return {"step": self.factor * learning_rate}

    def init(self, parameters):
        return {}

    def update(self, gradients, state, parameters, hyper):
        parameters.addcmul_(gradients.sign_(), hyper["step"], value=-1)


def squares(progress):
    return (1 - progress) ** 2


class Squares(Schedule):
    def __call__(self, progress):
        return squares(progress)


def brier(output, target):
    return (torch.softmax(output, 1) - F.one_hot(target, output.shape[1]).transpose(1, 2)).square().sum(1)


class Brier(Loss):
    link = "softmax"

    def __call__(self, output, target):
        return brier(output, target)


def fourth(weights):
    return 1e-2 * weights.pow(4).sum(1)


class Fourth(Regularizer):
    def penalty(self, parameters, hyper):
        return fourth(parameters)


def equal_shares(step, epoch, max_epochs):
    return 1 / step


class EqualShares(Averaging):
    def intake(self, step, epoch, max_epochs):
        return equal_shares(step, epoch, max_epochs)


def network(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 5), nn.Tanh(), nn.Linear(5, n_outputs))


OWN = {
    "activation": [bump, Bump()],
    "initializer": [small, Small()],
    "optimizer": [signs, torch.optim.Rprop, functools.partial(torch.optim.SGD, momentum=0.9), Signs()],
    "schedule": [squares, Squares()],
    "loss": [brier, Brier()],
    "regularization": [fourth, Fourth()],
    "weight_averaging": [equal_shares, EqualShares()],
    "network": [network, network(4, 3)],
}
CASES = [(name, value) for name, values in OWN.items() for value in values]


def probabilities(**settings):
    return basic(NNClassifier, **{**QUICK, **settings}).fit(X, Y).predict_proba(X)


@pytest.mark.parametrize(("name", "value"), CASES, ids=lambda x: x if isinstance(x, str) else type(x).__name__)
class TestOwn:
    def test_it_is_used(self, name, value):
        assert not np.allclose(probabilities(**{name: value}), probabilities(), atol=1e-4)

    def test_it_survives_clone_and_pickling(self, name, value):
        expected = probabilities(**{name: value})
        network = basic(NNClassifier, **{**QUICK, name: value})
        for copy in (clone(network), pickle.loads(pickle.dumps(network))):
            assert_array_equal(copy.fit(X, Y).predict_proba(X), expected)
        assert_array_equal(pickle.loads(pickle.dumps(network.fit(X, Y))).predict_proba(X), expected)

    def test_it_is_swept_alone_and_in_lockstep(self, name, value):
        default = basic(NNClassifier).get_params()[name]
        grid = {name: [default, value], "learning_rate": [1e-3, 1e-2]}
        found = [
            module.GridSearchCV(basic(NNClassifier, **QUICK), grid, cv=2).fit(X, Y).cv_results_["mean_test_score"]
            for module in (sknnopt.model_selection, __import__("sklearn.model_selection", fromlist=["*"]))
        ]
        assert_array_equal(*found)


@pytest.mark.parametrize("name", OWN)
def test_a_function_is_its_object(name):
    function, own = OWN[name][0], OWN[name][-1]
    if name == "network":
        pytest.skip("its object has weights already")
    if name == "optimizer":
        own = TorchOptimizer(torch.optim.Rprop)
    assert_allclose(probabilities(**{name: function}), probabilities(**{name: own}), rtol=1e-6)


def test_parameters_of_ones_own_object_are_swept():
    grid = {"optimizer__factor": [0.1, 10.0]}
    search = GridSearchCV(basic(NNClassifier, **QUICK, optimizer=Signs()), grid, cv=2, scoring="neg_log_loss")
    scores = search.fit(X, Y).cv_results_["mean_test_score"]
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda parameters: None, "must be one of"),
        (lambda parameters, lr: None, "must return a torch.optim.Optimizer"),
        (print, "must be one of"),
    ],
)
def test_a_function_that_makes_no_optimizer(factory, message):
    with pytest.raises(ValueError, match=message):
        basic(NNClassifier, **QUICK, optimizer=factory).fit(X, Y)


class Everywhere(Regularizer):
    def gradient(self, parameters, hyper, out):
        out.add_(0.1)


class ToOne(Regularizer):
    def penalty(self, parameters, hyper):
        return (parameters - 1).square().sum(1)


class Floor(Regularizer):
    def project(self, parameters, hyper):
        parameters.clamp_(min=0.1)


class Restless(Signs):
    def update(self, gradients, state, parameters, hyper):
        parameters.add_(0.1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    "settings",
    [{"optimizer": Restless()}, *({"regularization": own()} for own in (Everywhere, ToOne, Floor))],
    ids=["optimizer", "gradient", "penalty", "projection"],
)
def test_what_is_written_between_the_weights_is_no_part_of_them(settings, optimizer):
    """Each parameter is padded with zeros, on which norms rely, those by which gradients are clipped among them."""
    network = basic(NNClassifier, **{**QUICK, "optimizer": optimizer, "gradient_clipping": 0.1, **settings}).fit(X, Y)
    norm = torch.cat([value.flatten() for value in network.module_.parameters()]).norm()
    assert network.history_[-1]["weight_norm"] == pytest.approx(norm.item(), rel=1e-6)
