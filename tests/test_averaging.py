"""Averages of weights: what is judged and kept in place of the last weights."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from support import basic
from torch import nn

from sknnopt import NNClassifier, averaging
from sknnopt.averaging import EMA, SWA, Averaging
from sknnopt.estimators._folds import split_rows

X, Y = load_breast_cancer(return_X_y=True)
ONE_STEP_AN_EPOCH = {
    "hidden_layer_sizes": (8,),
    "batch_size": 10**6,
    "max_epochs": 8,
    "learning_rate": 0.05,
    "schedule": "constant",
    "dropout": 0.0,
    "early_stopping": False,
    "random_state": 0,
}


class Recorder:
    """A skorch callback's methods, as far as they are needed: keeps a copy of the trained weights of every epoch."""

    def __init__(self):
        from skorch.callbacks import Callback

        weights = self.weights = []

        class Keep(Callback):
            def on_train_begin(self, net, **kwargs):
                weights.append(flat(net.live_module))

            def on_epoch_end(self, net, **kwargs):
                weights.append(flat(net.live_module))

            def __sklearn_clone__(self):
                return self

        self.callback = Keep()


def flat(module):
    return torch.cat([value.detach().flatten().clone() for value in module.parameters()])


def trained(**settings):
    """A fitted estimator and its trained weights, the initial ones first."""
    recorder = Recorder()
    clf = basic(NNClassifier, **{**ONE_STEP_AN_EPOCH, **settings}, callbacks=[recorder.callback]).fit(X, Y)
    return clf, recorder.weights


def test_ema_is_the_running_mean_of_every_step():
    clf, weights = trained(weight_averaging=EMA(0.6))
    mean = weights[0]
    for t, now in enumerate(weights[1:], start=1):
        decay = min(0.6, (1 + t) / (10 + t))
        mean = decay * mean + (1 - decay) * now
    torch.testing.assert_close(flat(clf.module_), mean, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(mean, weights[-1], rtol=1e-2)


@pytest.mark.parametrize(("start", "first"), [(0.5, 5), (0.9, 8), (0.0, 1)])
def test_swa_is_the_mean_of_the_last_epochs(start, first):
    clf, weights = trained(weight_averaging=SWA(start))
    torch.testing.assert_close(flat(clf.module_), torch.stack(weights[first:]).mean(0), rtol=1e-5, atol=1e-7)


def test_swa_counts_epochs_and_not_steps():
    clf, weights = trained(weight_averaging=SWA(0.5), batch_size=100)
    torch.testing.assert_close(flat(clf.module_), torch.stack(weights[5:]).mean(0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", averaging.names())
def test_training_itself_does_not_notice(name):
    assert all(map(torch.equal, trained(weight_averaging=name)[1], trained()[1]))


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("name", averaging.names())
def test_withheld_rows_judge_the_average(name, normalization):
    clf = basic(
        NNClassifier, **{**ONE_STEP_AN_EPOCH, "batch_size": 64}, weight_averaging=name, normalization=normalization
    )
    clf.set_params(early_stopping=True, n_iter_no_change=100, label_smoothing=0.0, calibration=None)
    clf.fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:])
    assert clf.best_loss_ == pytest.approx(log_loss(Y[400:], clf.predict_proba(X[400:])), rel=1e-4)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("name", averaging.names())
def test_statistics_of_batch_normalization_are_those_of_the_averaged_weights(name, own):
    """The first normalisation sees what the first dense layer makes of all training rows."""

    def network(n_inputs, n_outputs):
        layers = nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_outputs)
        return nn.Sequential(*layers)

    settings = {"network": network} if own else {"normalization": "batch"}
    clf, _ = trained(weight_averaging=name, **settings)
    rows = torch.from_numpy(clf.preprocessor_.transform(X))
    dense, norm = clf.module_[0], clf.module_[1]
    with torch.no_grad():
        halves = [dense(part) for part in torch.tensor_split(rows, 2)]
    torch.testing.assert_close(
        norm.running_mean, torch.stack([h.mean(0) for h in halves]).mean(0), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(norm.running_var, torch.stack([h.var(0) for h in halves]).mean(0), rtol=1e-4, atol=1e-5)


def test_partial_fit_goes_on_averaging():
    settings = ONE_STEP_AN_EPOCH | {"weight_averaging": EMA(0.9), "max_epochs": 6}
    whole = basic(NNClassifier, **settings).fit(X, Y)
    parts = basic(NNClassifier, **settings)
    for _ in range(6):
        parts.partial_fit(X, Y)
    assert torch.equal(flat(parts.module_), flat(whole.module_))


def test_an_average_of_ones_own():
    class Last(Averaging):
        def intake(self, step, epoch, max_epochs):
            return np.ones(len(step))

    assert torch.equal(flat(trained(weight_averaging=Last())[0].module_), trained()[1][-1])


@pytest.mark.parametrize("name", averaging.names())
def test_names_make_clonable_objects(name):
    average = averaging.get(name)
    assert repr(clone(average)) == repr(average)
    assert averaging.get(average) is average


@pytest.mark.parametrize("bad", [EMA(1.0), SWA(1.0), EMA("0.9")])
def test_bad_values_are_refused(bad):
    with pytest.raises(ValueError, match=f"parameter of {type(bad).__name__} "):
        averaging.get(bad)


def test_a_name_that_is_not_there():
    with pytest.raises(ValueError, match=r"'weight_averaging' parameter.*'ema', 'swa'.*Did you mean 'ema'"):
        basic(NNClassifier, weight_averaging="emma").fit(X, Y)
    with pytest.raises(NotImplementedError, match=r"must define intake\(step, epoch, max_epochs\)"):
        Averaging().intake(np.ones(1), np.ones(1), 1)


@pytest.mark.parametrize("own", [False, True])
def test_statistics_of_the_average_see_training_rows_alone(own):
    """Withheld rows have no part in them: they may hold anything."""
    settings = {**ONE_STEP_AN_EPOCH, "weight_averaging": "ema", "preprocessing": None, "early_stopping": True}
    settings |= (
        {"network": lambda i, o: nn.Sequential(nn.Linear(i, 8), nn.BatchNorm1d(8), nn.Linear(8, o))}
        if own
        else {"normalization": "batch"}
    )
    rows = (X - X.mean(0)) / X.std(0)
    withheld = split_rows(len(rows), Y, 0.1, basic(NNClassifier, **settings).fit(rows, Y)._seed)[1]
    settings |= {"n_iter_no_change": 100, "tol": 0.0, "scoring": lambda estimator, X, y: 0.0}
    other = rows.copy()
    other[withheld] = 1e3
    first, second = (basic(NNClassifier, **settings).fit(table, Y).module_.state_dict() for table in (rows, other))
    assert all(map(torch.equal, first.values(), second.values()))


def test_an_optimizer_that_averages_takes_no_other_average():
    network = basic(NNClassifier, optimizer="schedule_free_adamw", weight_averaging="ema")
    with pytest.raises(ValueError, match="'weight_averaging' parameter must be None with optimizer=ScheduleFreeAdamW"):
        network.fit(X, Y)
