"""``from_skorch``: an estimator that predicts as the net, trains on as the net would, and is an estimator."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PrintLog,
)
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split
from torch import nn

import sknnopt
from sknnopt import NNClassifier, NNRegressor, optimizers
from sknnopt.losses import AbsoluteError, Huber, SquaredError
from sknnopt.optimizers import TorchOptimizer


class Net(nn.Module):
    """A small network that returns what it is told to: as a criterion wants it."""

    def __init__(self, inputs=4, outputs=3, width=6, returns="scores", bias=True):
        super().__init__()
        self.hidden, self.output = nn.Linear(inputs, width, bias=bias), nn.Linear(width, outputs, bias=bias)
        self.returns = returns

    def forward(self, X):
        scores = self.output(self.hidden(X).tanh())
        match self.returns:
            case "probabilities":
                return scores.softmax(-1)
            case "probability":
                return scores.sigmoid()
            case "flat":
                return scores[:, 0]
            case "tuple":
                return scores, X
        return scores


class Doubles(nn.Module):
    """Turns rows into float64, and returns float64."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3).double()

    def forward(self, X):
        return self.layer(X.double())


def _data(load, dtype="float32"):
    X, y = load(return_X_y=True)
    return scale(X).astype(dtype), y


IRIS, CANCER, DIABETES = _data(load_iris), _data(load_breast_cancer), _data(load_diabetes)
NUMBERS = (DIABETES[0], scale(DIABETES[1]).astype("float32")[:, None])
TWO = (DIABETES[0], np.c_[NUMBERS[1], DIABETES[0][:, :1]])
BINARY = (CANCER[0], CANCER[1].astype("float32"))

Classifier = partial(NeuralNetClassifier, max_epochs=3, lr=0.1, verbose=0)
Binary = partial(NeuralNetBinaryClassifier, module=Net, module__inputs=30, module__outputs=1, max_epochs=2, verbose=0)
Regressor = partial(NeuralNetRegressor, module=Net, module__inputs=10, max_epochs=3, lr=0.05, verbose=0)

CLASSIFIERS = {
    "cross entropy": (partial(Classifier, Net, criterion=nn.CrossEntropyLoss), IRIS),
    "NLLLoss, skorch's default": (partial(Classifier, Net, module__returns="probabilities"), IRIS),
    "an instance": (
        lambda **given: Classifier(nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1)), **given),
        IRIS,
    ),
    "two classes": (partial(Classifier, Net, module__inputs=30, module__outputs=2, criterion=nn.CrossEntropyLoss),
                    (CANCER[0], CANCER[1].astype("int64"))),
    "logits": (Binary, BINARY),
    "flat logits": (partial(Binary, module__returns="flat"), BINARY),
    "probability": (partial(Binary, module__returns="probability", criterion=nn.BCELoss), BINARY),
}  # fmt: skip
REGRESSORS = {
    "MSELoss": (partial(Regressor, module__outputs=1), NUMBERS, SquaredError()),
    "MSELoss, two targets": (partial(Regressor, module__outputs=2), TWO, SquaredError()),
    "L1Loss": (partial(Regressor, module__outputs=1, criterion=nn.L1Loss), NUMBERS, AbsoluteError()),
    "SmoothL1Loss": (partial(Regressor, module__outputs=1, criterion=nn.SmoothL1Loss), NUMBERS, Huber()),
    "HuberLoss": (
        partial(Regressor, module__outputs=1, criterion=nn.HuberLoss, criterion__delta=0.5), NUMBERS, Huber(delta=0.5),
    ),
}  # fmt: skip
ALL = {name: (NNClassifier, *case) for name, case in CLASSIFIERS.items()} | {
    name: (NNRegressor, *case[:2]) for name, case in REGRESSORS.items()
}


def fitted(make, X, y, **params):
    torch.manual_seed(0)
    return make(**params).fit(X, y)


class TestPredictions:
    @pytest.mark.parametrize("name", CLASSIFIERS)
    def test_of_classes(self, name):
        make, (X, y) = CLASSIFIERS[name]
        net = fitted(make, X, y)
        clf = NNClassifier.from_skorch(net)
        assert_allclose(clf.predict_proba(X), net.predict_proba(X), atol=1e-6)
        assert_array_equal(clf.predict(X), net.predict(X))
        assert_array_equal(clf.classes_, net.classes_)
        assert clf.score(X, y) == net.score(X, y)
        assert clf.n_features_in_ == X.shape[1]
        assert_allclose(clf.net_.predict_proba(X), net.predict_proba(X), atol=1e-6)

    @pytest.mark.parametrize("name", REGRESSORS)
    def test_of_numbers(self, name):
        make, (X, y), loss = REGRESSORS[name]
        net = fitted(make, X, y)
        reg = NNRegressor.from_skorch(net)
        assert_allclose(reg.predict(X), net.predict(X).squeeze(), atol=1e-6)
        assert repr(reg.loss_) == repr(loss)

    def test_of_float64(self):
        net = fitted(partial(Classifier, Doubles, criterion=nn.CrossEntropyLoss), *IRIS)
        clf = NNClassifier.from_skorch(net)
        assert clf.precision == "float64"
        assert_allclose(clf.predict_proba(IRIS[0]), net.predict_proba(IRIS[0]), atol=1e-7)

    def test_of_images_and_names(self):
        pd = pytest.importorskip("pandas")
        images = np.random.default_rng(0).normal(size=(40, 1, 6, 6)).astype("float32")
        convolution = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(32, 2))
        net = fitted(partial(Classifier, convolution, criterion=nn.CrossEntropyLoss), images, np.arange(40) % 2)
        with pytest.raises(ValueError, match=r"from_skorch\(net, X\)"):
            NNClassifier.from_skorch(net)
        clf = NNClassifier.from_skorch(net, images[:3])
        assert_allclose(clf.predict_proba(images), net.predict_proba(images), atol=1e-6)
        X, y = IRIS
        frame = pd.DataFrame(X, columns=list("abcd"))
        clf = NNClassifier.from_skorch(fitted(partial(Classifier, Net), X, y, module__returns="probabilities"), frame)
        assert_array_equal(clf.feature_names_in_, list("abcd"))

    def test_of_classes_that_were_named_or_not_seen(self):
        X, y = IRIS
        make = partial(Classifier, Net, criterion=nn.CrossEntropyLoss)
        assert_array_equal(
            NNClassifier.from_skorch(fitted(make, X, y, classes=["a", "b", "c"])).classes_, ["a", "b", "c"]
        )
        some = y < 2
        assert_array_equal(NNClassifier.from_skorch(fitted(make, X[some], y[some])).classes_, [0, 1, 2])
        assert_array_equal(NNClassifier.from_skorch(make().initialize()).classes_, [0, 1, 2])
        with pytest.raises(ValueError, match="these classes, to be sorted"):
            NNClassifier.from_skorch(fitted(make, X, y, classes=["b", "a", "c"]))


class TestFitted:
    def test_history(self):
        net = fitted(*_case("cross entropy"))
        clf = NNClassifier.from_skorch(net)
        assert clf.loss_curve_ == net.history[:, "train_loss"]
        assert [record["valid_loss"] for record in clf.history_] == net.history[:, "valid_loss"]
        assert [record["seconds"] for record in clf.history_] == net.history[:, "dur"]
        assert (clf.n_iter_, clf.n_validation_samples_, clf.n_parameters_) == (3, 30, 4 * 6 + 6 + 6 * 3 + 3)
        assert clf.net_.history[:, "train_loss"] == clf.loss_curve_
        assert clf.partial_fit(*IRIS).n_iter_ == 4
        assert clf.loss_curve_[:3] == net.history[:, "train_loss"]
        assert clf.member_histories_["train_loss"].shape == (1, 4)

    @pytest.mark.parametrize("name", ALL)
    def test_is_a_copy_that_pickles(self, name):
        kind, make, (X, y) = ALL[name]
        net = fitted(make, X, y)
        before = net.predict_proba(X)
        estimator = kind.from_skorch(net)
        again = pickle.loads(pickle.dumps(estimator))
        assert_array_equal(again.predict(X), estimator.predict(X))
        estimator.partial_fit(X, y.squeeze())
        assert_array_equal(net.predict_proba(X), before)
        assert net.module_.training is False or not np.array_equal(estimator.predict(X), again.predict(X))

    def test_has_no_file_of_ours(self, tmp_path):
        with pytest.raises(TypeError, match="Only built-in networks"):
            sknnopt.save(NNClassifier.from_skorch(fitted(*_case("cross entropy"))), tmp_path / "net")


def _case(name):
    _, make, data = ALL[name]
    return make, *data


class TestGoingOn:
    @pytest.mark.parametrize("name", ALL)
    def test_as_the_net_would(self, name):
        kind, make, (X, y) = ALL[name]
        given = {"optimizer": torch.optim.Adam, "lr": 0.01}
        _compare(kind, fitted(make, X, y, train_split=None, batch_size=-1, **given), X, y)

    @pytest.mark.parametrize(
        ("optimizer", "given", "ours"),
        [
            ("SGD", {"momentum": 0.9, "nesterov": True}, optimizers.SGD),
            ("SGD", {"weight_decay": 0.1, "momentum": 0.5}, TorchOptimizer),
            ("Adam", {"betas": (0.8, 0.9), "eps": 1e-4, "amsgrad": True}, optimizers.Adam),
            ("Adam", {"weight_decay": 0.1}, TorchOptimizer),
            ("AdamW", {}, optimizers.AdamW),
            ("AdamW", {"weight_decay": 0.5, "foreach": True}, optimizers.AdamW),
            ("NAdam", {"momentum_decay": 0.1}, optimizers.NAdam),
            ("RAdam", {}, optimizers.RAdam),
            ("Adamax", {}, optimizers.Adamax),
            ("RMSprop", {"alpha": 0.9, "centered": True, "momentum": 0.5}, optimizers.RMSprop),
            ("Adagrad", {"lr_decay": 0.1, "initial_accumulator_value": 0.1}, optimizers.Adagrad),
            ("Adadelta", {"rho": 0.5}, optimizers.Adadelta),
            ("Rprop", {"etas": (0.4, 1.1)}, TorchOptimizer),
            ("SGD", {"maximize": True}, TorchOptimizer),
        ],
    )
    def test_with_its_optimizer(self, optimizer, given, ours):
        X, y = IRIS
        given = {f"optimizer__{name}": value for name, value in given.items()}
        net = fitted(
            partial(Classifier, Net, module__bias=False, criterion=nn.CrossEntropyLoss), X, y, train_split=None,
            batch_size=-1, optimizer=getattr(torch.optim, optimizer), **given,
        )  # fmt: skip
        _compare(NNClassifier, net, X, y, ours)

    def test_classes_weigh_as_in_the_criterion(self):
        X, y = IRIS
        weight = torch.tensor([1.0, 5.0, 0.5])
        net = fitted(
            partial(Classifier, Net, criterion=nn.CrossEntropyLoss), X, y, criterion__weight=weight, train_split=None,
            criterion__label_smoothing=0.2,
        )  # fmt: skip
        clf = NNClassifier.from_skorch(net)
        assert clf.class_weight == {0: 1.0, 1: 5.0, 2: 0.5}
        assert clf.label_smoothing == 0.2
        net = fitted(Binary, *BINARY, criterion__pos_weight=torch.tensor(3.0))
        assert NNClassifier.from_skorch(net).class_weight == {0.0: 1.0, 1.0: 3.0}

    def test_warm_start_goes_on_and_a_clone_begins_anew(self):
        X, y = IRIS
        clf = NNClassifier.from_skorch(fitted(*_case("an instance"))).set_params(random_state=0, max_epochs=1)
        trained = clf.module_.state_dict()
        twin = clone(clf)
        assert not hasattr(twin, "module_")
        far = _distance(twin.fit(X, y).module_, trained)
        assert_array_equal(clone(clf).fit(X, y).predict_proba(X), twin.predict_proba(X))
        assert clone(clf).set_params(random_state=1).fit(X, y).loss_curve_ != twin.loss_curve_
        assert repr(twin.module_) == repr(clf.module_)
        near = _distance(clf.set_params(warm_start=True).fit(X, y).module_, trained)
        assert 0 < near < far / 10

    def test_architecture_is_searched(self):
        X, y = IRIS
        clf = NNClassifier.from_skorch(fitted(*_case("NLLLoss, skorch's default")))
        search = GridSearchCV(clf.set_params(max_epochs=2), {"network__width": [2, 5]}, cv=2).fit(X, y)
        assert search.best_estimator_.module_.network.hidden.out_features in (2, 5)
        plain = NNClassifier.from_skorch(fitted(*_case("cross entropy")))
        assert isinstance(plain.module_, Net)
        assert isinstance(clone(plain).set_params(network__width=2).fit(X, y).module_, Net)


def _compare(kind, net, X, y, ours=None):
    """Train both two epochs more, with an optimizer that begins anew."""
    estimator = kind.from_skorch(net)
    if ours is not None:
        assert type(estimator.optimizer) is ours
    before = estimator.predict(X)
    net.initialize_optimizer()
    for _ in range(2):
        estimator.partial_fit(X, y.squeeze())
    net.partial_fit(X, y, epochs=2)
    module = estimator.module_
    inner = module if isinstance(module, Net | nn.Sequential) else module.network
    for name, value in net.module_.state_dict().items():
        assert_allclose(inner.state_dict()[name], value, rtol=1e-4, atol=2e-6, err_msg=name)
    if kind is NNRegressor:
        assert not np.allclose(estimator.predict(X), before, atol=1e-3)


def _distance(module, state):
    return sum(float((value - state[name]).abs().sum()) for name, value in module.state_dict().items())


class TestParameters:
    def test_equivalents(self):
        X, y = IRIS
        callbacks = [GradientNormClipping(2.0), ("own", EpochScoring("accuracy", name="own")), PrintLog(sink=len)]
        net = fitted(
            partial(Classifier, Net, module__returns="probabilities"), X, y, callbacks=callbacks, batch_size=32,
            warm_start=True, train_split=ValidSplit(0.25),
        )  # fmt: skip
        clf = NNClassifier.from_skorch(net)
        expected = {
            "max_epochs": 3, "learning_rate": 0.1, "batch_size": 32, "device": "cpu", "gradient_clipping": 2.0,
            "early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 3, "warm_start": True,
            "verbose": 0, "preprocessing": None, "n_members": 1, "weight_averaging": None, "schedule": "constant",
        }  # fmt: skip
        assert {name: getattr(clf, name) for name in expected} == expected
        assert clf.callbacks[0][0] == "own"
        assert [type(one[1] if isinstance(one, tuple) else one) for one in clf.callbacks] == [EpochScoring, PrintLog]
        assert clf.callbacks[1] is not callbacks[2]
        assert "own" in clone(clf).fit(X, y).net_.history[-1]

    @pytest.mark.parametrize(
        ("callback", "expected"),
        [
            (EarlyStopping(patience=7), {"n_iter_no_change": 7, "scoring": "loss", "callbacks": None}),
            (EarlyStopping(threshold=0.5, threshold_mode="abs"), {"n_iter_no_change": 5, "tol": 0.5}),
            (EarlyStopping("valid_acc", lower_is_better=False), {"scoring": "accuracy", "callbacks": None}),
        ],
    )
    def test_early_stopping(self, callback, expected):
        clf = NNClassifier.from_skorch(fitted(*_case("cross entropy"), callbacks=[callback]))
        assert {name: getattr(clf, name) for name in expected} == expected

    def test_early_stopping_by_something_else_stays_a_callback(self):
        callback = EarlyStopping("train_loss")
        clf = NNClassifier.from_skorch(fitted(*_case("cross entropy"), callbacks=[callback], train_split=None))
        assert clf.early_stopping is False
        assert clf.callbacks[0].monitor == "train_loss"

    def test_an_optimizer_of_ones_own(self):
        class Mine(torch.optim.SGD):
            pass

        clf = NNClassifier.from_skorch(fitted(*_case("cross entropy"), optimizer=Mine, optimizer__lr=0.3))
        assert (clf.optimizer.factory, clf.learning_rate) == (Mine, 0.3)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"callbacks": [LRScheduler("StepLR", step_size=1)]}, r"LRScheduler .*'schedule'"),
            ({"callbacks": [("freeze", Freezer("hidden.*"))]}, "Freezer .*'frozen_layers'"),
            ({"train_split": predefined_split(torch.utils.data.TensorDataset(*map(torch.tensor, IRIS)))}, "X_val"),
            ({"criterion__reduction": "sum"}, "criterion__reduction='sum'"),
            ({"optimizer__param_groups": [("hidden.*", {"lr": 0.0})]}, "'layer_rates'"),
            ({"predict_nonlinearity": None}, "predict_nonlinearity"),
            ({"iterator_train": partial(torch.utils.data.DataLoader, drop_last=True)}, "iterator_train"),
        ],
    )
    def test_what_is_not_carried_over_is_said(self, given, said):
        net = fitted(*_case("cross entropy"), **given)
        with pytest.warns(UserWarning, match=f"Not carried over from the skorch net: .*{said}") as caught:
            NNClassifier.from_skorch(net)
        assert len(caught) == 1
        assert caught[0].filename == __file__

    def test_a_loss_of_ones_own(self):
        class Twice(NeuralNetClassifier):
            def get_loss(self, *args, **kwargs):
                return 2 * super().get_loss(*args, **kwargs)

        with pytest.warns(UserWarning, match="get_loss"):
            NNClassifier.from_skorch(Twice(Net, criterion=nn.CrossEntropyLoss).initialize())

    def test_a_threshold_and_parameters_that_stay(self):
        with pytest.warns(UserWarning, match=r"threshold=0\.7 .*FixedThresholdClassifier"):
            NNClassifier.from_skorch(fitted(*_case("logits"), threshold=0.7))

        class Scaled(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.factor = nn.Linear(4, 3), nn.Parameter(torch.ones(3))

            def forward(self, X):
                return self.layer(X) * self.factor

        net = fitted(partial(Classifier, criterion=nn.CrossEntropyLoss), *IRIS, module=Scaled())
        with pytest.warns(UserWarning, match="how to draw factor anew"):
            NNClassifier.from_skorch(net)


class TestErrors:
    @pytest.mark.parametrize("kind", [NNClassifier, NNRegressor])
    def test_other_objects(self, kind):
        for given in (nn.Linear(1, 1), kind(), None, Net):
            with pytest.raises(TypeError, match=r"from_skorch takes a fitted skorch\.NeuralNet"):
                kind.from_skorch(given)

    def test_another_task(self):
        with pytest.raises(TypeError, match=r"takes a fitted skorch\.NeuralNetRegressor\. Got an object of .*Classif"):
            NNRegressor.from_skorch(fitted(*_case("cross entropy")))
        with pytest.raises(TypeError, match=r"NeuralNetClassifier or skorch\.NeuralNetBinaryClassifier\. Got"):
            NNClassifier.from_skorch(fitted(*_case("MSELoss")))

    def test_not_fitted(self):
        with pytest.raises(NotFittedError, match="NeuralNetClassifier is not fitted: call its fit"):
            NNClassifier.from_skorch(Classifier(Net))

    def test_criteria(self):
        net = fitted(*_case("cross entropy")[:1], *IRIS)
        net.criterion_ = nn.MultiMarginLoss()
        with pytest.raises(ValueError, match=r"CrossEntropyLoss, NLLLoss, BCEWithLogitsLoss or BCELoss\. This one"):
            NNClassifier.from_skorch(net)
        for criterion in ({"criterion": nn.PoissonNLLLoss}, {"criterion": nn.SmoothL1Loss, "criterion__beta": 0.5}):
            net = Regressor(module__outputs=1, **criterion).initialize()
            with pytest.raises(ValueError, match=r"MSELoss, L1Loss, HuberLoss or SmoothL1Loss \(of beta=1\)"):
                NNRegressor.from_skorch(net)

    def test_several_modules(self):
        class Two(NeuralNetClassifier):
            def initialize_module(self):
                super().initialize_module()
                self.other_ = nn.Linear(1, 1)
                return self

        with pytest.raises(ValueError, match="several modules"):
            NNClassifier.from_skorch(Two(Net, verbose=0).initialize())

    def test_modules_of_other_outputs(self):
        net = Classifier(Net, criterion=nn.CrossEntropyLoss, module__returns="tuple").initialize()
        with pytest.raises(ValueError, match=r"must return scores \(n, n_outputs\)\. For 2 rows it returns tuple"):
            NNClassifier.from_skorch(net)

    def test_half_precision(self):
        net = Classifier(nn.Linear(4, 3).half(), criterion=nn.CrossEntropyLoss).initialize()
        with pytest.raises(ValueError, match=r"float32 or float64 parameters\. This one has torch\.float16"):
            NNClassifier.from_skorch(net)

    def test_checkpoints_and_weights_that_were_loaded(self, tmp_path):
        X, y = IRIS
        callback = Checkpoint(dirname=str(tmp_path), monitor=None)
        net = fitted(*_case("cross entropy"), callbacks=[callback])
        other = Classifier(Net, criterion=nn.CrossEntropyLoss).initialize()
        other.load_params(f_params=tmp_path / "params.pt")
        clf = NNClassifier.from_skorch(other)
        assert_allclose(clf.predict_proba(X), net.predict_proba(X), atol=1e-6)
        assert clf.n_iter_ == 0
        assert clf.partial_fit(X, y).n_iter_ == 1
