"""``net_`` and ``callbacks``: the door to skorch; ``verbose``."""

import pickle
import re
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    GradientNormClipping,
    LRScheduler,
    PrintLog,
)
from support import basic

from sknnopt import NNClassifier, NNRegressor

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
QUICK = {
    "hidden_layer_sizes": (16,),
    "max_epochs": 8,
    "batch_size": 32,
    "learning_rate": 0.02,
    "random_state": 0,
}


class TestNet:
    @pytest.mark.parametrize("n_members", [1, 2])
    def test_classifier_predicts_the_same(self, n_members):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, n_members=n_members).fit(X, y)
        rows = clf.preprocessor_.transform(X)
        assert_allclose(clf.net_.predict_proba(rows), clf.predict_proba(X), atol=1e-6)
        assert_array_equal(clf.classes_[clf.net_.predict(rows)], clf.predict(X))
        assert clf.net_.module_ is clf.module_

    def test_multilabel_and_regressor_predict_the_same(self):
        X, Y = make_multilabel_classification(100, n_classes=3, random_state=0)
        clf = basic(NNClassifier, **QUICK).fit(X, Y)
        assert_allclose(clf.net_.predict_proba(clf.preprocessor_.transform(X)), clf.predict_proba(X), atol=1e-6)
        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK, loss="poisson").fit(X, y)
        inner = reg.net_.predict(reg.preprocessor_.transform(X))[:, 0]
        assert_allclose(inner * y.mean(), reg.predict(X), rtol=1e-5)

    @pytest.mark.parametrize("how", ["f_safetensors", "f_params"])
    def test_weights_are_saved_and_loaded(self, tmp_path, how):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        clf.net_.save_params(**{how: tmp_path / "weights"})
        other = basic(NNClassifier, **{**QUICK, "random_state": 1}).fit(X, y)
        assert not np.allclose(other.predict_proba(X), clf.predict_proba(X))
        other.net_.load_params(**{how: tmp_path / "weights"})
        assert_array_equal(other.predict_proba(X), clf.predict_proba(X))

    @pytest.mark.parametrize("callbacks", [None, [PrintLog(sink=lambda line: None)]])
    def test_history_is_the_estimators(self, callbacks):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring="accuracy", callbacks=callbacks).fit(X, y)
        history = clf.net_.history
        assert history[:, "train_loss"] == clf.loss_curve_
        assert history[:, "valid_score"] == clf.validation_scores_
        assert history[:, "dur"] == [record["seconds"] for record in clf.history_]
        losses = history[:, "valid_loss"]
        assert history[:, "valid_loss_best"] == [loss == min(losses[: i + 1]) for i, loss in enumerate(losses)]

    def test_refit_makes_another(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK).fit(X, y)
        net = clf.net_
        assert clf.net_ is net
        assert clf.fit(X, y).net_ is not net


class Spy(Callback):
    """Notes what a callback sees at each epoch."""

    def __init__(self, note="") -> None:
        self.note = note

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.began, self.ended, self.epochs = True, 0, []

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.sizes = len(dataset_train), None if dataset_valid is None else len(dataset_valid)

    def on_epoch_end(self, net, **kwargs):
        norm = torch.cat([p.detach().flatten() for p in net.module_.parameters()]).norm().item()
        self.epochs.append((net.history[-1, "train_loss"], norm, net.module_.training))

    def on_train_end(self, net, **kwargs):
        self.ended += 1


class TestCallbacks:
    @pytest.mark.parametrize("network", ["mlp", torch.nn.Linear])
    def test_see_live_weights_history_and_data(self, network):
        X, y = CANCER
        spy = Spy()
        clf = basic(NNClassifier, **QUICK, network=network, early_stopping=True, callbacks=[("spy", spy)]).fit(X, y)
        assert not hasattr(spy, "began"), "callbacks are cloned"
        fitted = dict(clf.net_.callbacks_)["spy"]
        assert fitted.sizes == (569 - 57, 57)
        assert fitted.ended == 1
        assert [loss for loss, _, _ in fitted.epochs] == clf.loss_curve_
        expected = [record["weight_norm"] for record in clf.history_]
        assert [norm for _, norm, _ in fitted.epochs] == pytest.approx(expected, rel=1e-5)
        assert not any(training for _, _, training in fitted.epochs)

    def test_do_not_change_what_is_learnt(self):
        X, y = CANCER
        for settings in ({}, {"early_stopping": True}, {"n_members": 2}, {"dropout": 0.4}):
            plain = basic(NNClassifier, **QUICK, **settings).fit(X, y)
            watched = basic(NNClassifier, **QUICK, **settings, callbacks=[Spy()]).fit(X, y)
            assert_array_equal(watched.predict_proba(X), plain.predict_proba(X))

    def test_each_member_has_its_own(self):
        X, y = IRIS
        seen = []

        class Collect(Callback):
            def on_train_end(self, net, **kwargs):
                seen.append(net.history[:, "train_loss"])

        basic(NNClassifier, **QUICK, n_members=3, callbacks=[Collect()]).fit(X, y)
        assert len(seen) == 3
        assert seen[0] != seen[1]
        assert all(len(losses) == 8 for losses in seen)

    @pytest.mark.parametrize("scoring", ["accuracy", "roc_auc"])
    def test_epoch_scoring(self, scoring):
        X, y = CANCER
        callback = EpochScoring(scoring, lower_is_better=False, name="own")
        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring=scoring, callbacks=[callback]).fit(X, y)
        assert clf.net_.history[:, "own"] == pytest.approx(clf.validation_scores_, abs=1e-6)
        assert sum(clf.net_.history[:, "own_best"]) >= 1

    def test_epoch_scoring_of_training_rows(self):
        X, y = CANCER
        callback = EpochScoring("accuracy", lower_is_better=False, name="own", on_train=True)
        clf = basic(NNClassifier, **QUICK, callbacks=[callback]).fit(X, y)
        assert clf.net_.history[-1, "own"] == pytest.approx(clf.score(X, y), abs=0.003)

    @pytest.mark.parametrize("n_members", [1, 2])
    def test_early_stopping_ends_its_member(self, n_members):
        X, y = CANCER
        callback = EarlyStopping(monitor="train_loss", patience=2, threshold=0.9, sink=lambda line: None)
        clf = basic(NNClassifier, **{**QUICK, "max_epochs": 30}, n_members=n_members, callbacks=[callback]).fit(X, y)
        assert clf.n_iter_ < 30
        if n_members == 1:
            short = basic(NNClassifier, **{**QUICK, "max_epochs": 30}, callbacks=[Spy()])
            assert short.fit(X, y).loss_curve_[: clf.n_iter_] == clf.loss_curve_

    def test_early_stopping_that_loads_the_best(self):
        X, y = CANCER
        callback = EarlyStopping(monitor="valid_loss", patience=3, load_best=True, sink=lambda line: None)
        settings = {**QUICK, "max_epochs": 40, "learning_rate": 0.05, "schedule": "constant", "dropout": 0.0}
        own = basic(NNClassifier, **settings, early_stopping=False, callbacks=[callback])
        own.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
        best = int(np.argmax(own.validation_scores_))
        short = basic(NNClassifier, **settings, early_stopping=False)
        for _ in range(best + 1):
            short.partial_fit(X[:300], y[:300])
        assert best + 1 < own.n_iter_ < 40
        assert_allclose(own.predict_proba(X), short.predict_proba(X), rtol=1e-5)

    def test_print_log(self, capsys):
        X, y = IRIS
        basic(NNClassifier, **QUICK, callbacks=[PrintLog()]).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        assert "train_loss" in lines[0]
        assert len(lines) == 2 + 8

    @pytest.mark.parametrize("use_safetensors", [False, True])
    @pytest.mark.parametrize("normalization", [None, "batch"])
    def test_checkpoint_holds_its_member_alone(self, tmp_path, use_safetensors, normalization):
        X, y = CANCER
        nothing = dict.fromkeys(["f_optimizer", "f_criterion", "f_history"])
        callback = Checkpoint(
            dirname=str(tmp_path), monitor="train_loss_best", f_params="weights", f_pickle="net", **nothing,
            use_safetensors=use_safetensors,
        )  # fmt: skip
        settings = {**QUICK, "normalization": normalization, "dropout": 0.0, "batch_size": 10**6}
        clf = basic(NNClassifier, **settings, callbacks=[callback]).fit(X, y)
        assert clf.net_.history[-1, "train_loss_best"]
        load = safetensors.torch.load_file if use_safetensors else partial(torch.load, weights_only=True)
        saved = load(tmp_path / "weights")
        for name, value in clf.module_.state_dict().items():
            assert_array_equal(saved[name], value)
            if not use_safetensors:
                assert saved[name].untyped_storage().nbytes() == value.nbytes
        net = pickle.loads((tmp_path / "net").read_bytes())
        for name, value in net.module_.state_dict().items():
            assert_array_equal(saved[name], value)
            assert value.untyped_storage().nbytes() == value.nbytes

    def test_are_kept_through_pickling_and_cloned(self):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, callbacks=[("spy", Spy())]).fit(X, y)
        again = pickle.loads(pickle.dumps(clf))
        assert dict(again.net_.callbacks_)["spy"].epochs == dict(clf.net_.callbacks_)["spy"].epochs
        assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
        assert not hasattr(clone(clf), "module_")

    @pytest.mark.parametrize(
        ("callback", "advice"),
        [
            (LRScheduler(), "LRScheduler .*'schedule'"),
            (LRScheduler, "LRScheduler .*'schedule'"),
            (("lr", LRScheduler()), "LRScheduler .*'schedule'"),
            (GradientNormClipping(1.0), "GradientNormClipping .*'gradient_clipping'"),
            (BatchScoring("accuracy"), "BatchScoring acts in .*EpochScoring"),
        ],
    )
    def test_on_batches_and_gradients_are_refused_with_advice(self, callback, advice):
        X, y = IRIS
        with pytest.raises(ValueError, match=advice):
            basic(NNClassifier, **QUICK, callbacks=[callback]).fit(X, y)

    def test_other_objects_are_refused(self):
        with pytest.raises(TypeError, match=r"'callbacks' parameter must hold skorch callbacks\. Got 'adam' instead"):
            basic(NNClassifier, **QUICK, callbacks=["adam"]).fit(*IRIS)

    def test_an_error_in_one_leaves_the_estimator_usable(self):
        class Breaks(Callback):
            def on_epoch_end(self, net, **kwargs):
                raise RuntimeError("broken callback")

        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, callbacks=[Breaks()])
        threads = torch.get_num_threads()
        with pytest.raises(RuntimeError, match="broken callback"):
            clf.fit(X, y)
        assert torch.get_num_threads() == threads
        clf.set_params(callbacks=None).fit(X, y).predict(X)


class TestVerbose:
    def test_prints_a_line_an_epoch(self, capsys):
        X, y = CANCER
        clf = basic(NNClassifier, **QUICK, early_stopping=True, scoring="accuracy", verbose=1).fit(X, y)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == clf.n_iter_
        number = r"\d\S*"
        for i, line in enumerate(lines):
            pattern = f"epoch {i + 1}/8  train_loss {number}  valid_loss {number}  valid_score {number}  {number} s"
            assert re.fullmatch(pattern, line), line
        assert f"train_loss {clf.loss_curve_[2]:.4g}" in lines[2]

    def test_names_the_members(self, capsys):
        basic(NNRegressor, **QUICK, n_members=2, verbose=1).fit(*IRIS)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 16
        assert sum(line.startswith("member 2/2  epoch ") for line in lines) == 8

    def test_partial_fit_counts_on(self, capsys):
        reg = basic(NNRegressor, **QUICK, verbose=1).partial_fit(*IRIS).partial_fit(*IRIS)
        assert capsys.readouterr().out.splitlines()[1].startswith("epoch 2/8  ")
        assert reg.n_iter_ == 2

    def test_beside_callbacks(self, capsys):
        X, y = IRIS
        clf = basic(NNClassifier, **QUICK, verbose=1, callbacks=[("spy", Spy())]).fit(X, y)
        assert len(capsys.readouterr().out.splitlines()) == 8
        assert len(dict(clf.net_.callbacks_)["spy"].epochs) == 8
        assert_array_equal(clf.predict_proba(X), basic(NNClassifier, **QUICK).fit(X, y).predict_proba(X))
