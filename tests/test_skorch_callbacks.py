"""Each of skorch's callbacks in ``callbacks``: it does its work, or is refused with what to use instead."""

import json
import logging
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skorch.callbacks
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    MlflowLogger,
    NeptuneLogger,
    PrintLog,
    SacredLogger,
    TensorBoard,
    TrainEndCheckpoint,
    WandbLogger,
)
from support import basic

from sknnopt import NNClassifier, lockstep
from sknnopt.inspection import RecordWeights

X, Y = load_breast_cancer(return_X_y=True)
QUICK = {"hidden_layer_sizes": (8,), "max_epochs": 5, "batch_size": 64, "learning_rate": 0.02, "random_state": 0}
PAGE = Path(__file__).parent.parent / "docs" / "skorch.md"

WORK = {
    *("Checkpoint", "EarlyStopping", "EpochScoring", "EpochTimer", "MlflowLogger", "NeptuneLogger", "PrintLog"),
    *("SacredLogger", "TensorBoard", "TrainEndCheckpoint", "WandbLogger"),
}
REFUSED = {
    "BatchScoring": ({"scoring": "accuracy"}, "EpochScoring"),
    "Freezer": ({"patterns": "*"}, "'frozen_layers'"),
    "GradientNormClipping": ({}, "'gradient_clipping'"),
    "Initializer": ({"patterns": "*"}, "'initializer'"),
    "InputShapeSetter": ({}, "'network' a function"),
    "LRScheduler": ({}, "'schedule'"),
    "LoadInitState": ({"checkpoint": Checkpoint()}, "'initial_weights'"),
    "ParamMapper": ({"patterns": "*"}, "'frozen_layers'"),
    "PassthroughScoring": ({"name": "train_loss"}, "EpochScoring"),
    "ProgressBar": ({}, "set_callbacks"),
    "Unfreezer": ({"patterns": "*"}, "warm_start=True"),
}


def fitted(callback, **settings):
    return basic(NNClassifier, **{**QUICK, "callbacks": [callback], **settings}).fit(X, Y)


def figures(record, ignored=("batches", "epoch")):
    return {name: v for name, v in record.items() if name not in ignored and not name.endswith(("_best", "_count"))}


class TestTable:
    def test_every_class_of_skorch_is_known(self):
        assert {*WORK, *REFUSED, "Callback", "WarmRestartLR"} == set(skorch.callbacks.__all__)

    def test_the_page_says_the_same(self):
        rows = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
        said = {row[1].strip(" `"): row[2].strip() for row in rows}
        assert {name for name, works in said.items() if works == "yes"} == WORK
        assert {name for name, works in said.items() if works == "no"} == {*REFUSED, "WarmRestartLR"}

    @pytest.mark.parametrize("name", REFUSED)
    def test_refused_with_advice(self, name):
        given, advice = REFUSED[name]
        with pytest.raises(ValueError, match=f"The callback {name} .*{advice}"):
            fitted(getattr(skorch.callbacks, name)(**given))

    @pytest.mark.parametrize("kind", [skorch.callbacks.WarmRestartLR, torch.optim.lr_scheduler.StepLR])
    def test_schedulers_of_torch_too(self, kind):
        with pytest.raises(ValueError, match=f"{kind.__name__} .*'schedule'.*'cosine_restarts'"):
            fitted(kind)

    @pytest.mark.parametrize("kind", [MlflowLogger, NeptuneLogger, SacredLogger])
    def test_trackers_of_batches(self, kind):
        parameter = "experiment" if kind is SacredLogger else "run"
        with pytest.raises(ValueError, match=f"{kind.__name__} .*log_on_batch_end=False"):
            fitted(kind(**{parameter: object()}, log_on_batch_end=True))

    def test_own_work_on_batches_in_a_tracker(self):
        class Board(TensorBoard):
            def on_batch_end(self, net, **kwargs):
                pass

        with pytest.raises(ValueError, match="Board acts in on_batch_end"):
            fitted(Board(None))


class TestKeeping:
    """What is saved and loaded is what the network is judged by, and what it ends as."""

    @pytest.mark.parametrize("averaging", [None, "ema"])
    def test_checkpoint_of_the_best_epoch(self, tmp_path, averaging):
        settings = {"weight_averaging": averaging, "learning_rate": 0.3, "max_epochs": 12, "schedule": "constant"}
        callback = Checkpoint(dirname=str(tmp_path), load_best=True)
        clf = basic(NNClassifier, **{**QUICK, **settings, "callbacks": [callback]})
        clf.fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:])
        losses = [record["valid_loss"] for record in clf.history_]
        assert np.argmin(losses) < len(losses) - 1, "loading the best must change something"
        saved = torch.load(tmp_path / "params.pt", weights_only=True)
        for name, value in clf.module_.state_dict().items():
            assert_array_equal(saved[name], value)
        proba = clf.predict_proba(X[400:])[np.arange(len(X) - 400), Y[400:]]
        assert -np.log(proba).mean() == pytest.approx(min(losses), rel=1e-5)
        epochs = json.loads((tmp_path / "history.json").read_text())
        assert len(epochs) == np.argmin(losses) + 1
        assert epochs[-1]["valid_loss"] == min(losses)

    @pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"weight_averaging": "ema"}])
    def test_train_end_checkpoint_holds_the_fitted_network(self, tmp_path, settings):
        clf = fitted(TrainEndCheckpoint(dirname=str(tmp_path)), max_epochs=12, learning_rate=0.3, **settings)
        if "early_stopping" in settings:
            assert clf.best_epoch_ < clf.n_iter_
        saved = torch.load(tmp_path / "train_end_params.pt", weights_only=True)
        for name, value in clf.module_.state_dict().items():
            assert_array_equal(saved[name], value)

    def test_early_stopping_that_loads_the_best_average(self):
        settings = {"weight_averaging": "ema", "learning_rate": 0.3, "max_epochs": 12}
        callback = EarlyStopping(load_best=True, patience=20, sink=lambda line: None)
        clf = basic(NNClassifier, **{**QUICK, **settings, "callbacks": [callback]})
        clf.fit(X[:400], Y[:400], X_val=X[400:], y_val=Y[400:])
        proba = clf.predict_proba(X[400:])[np.arange(len(X) - 400), Y[400:]]
        assert -np.log(proba).mean() == pytest.approx(min(r["valid_loss"] for r in clf.history_), rel=1e-5)

    def test_epoch_scoring_without_caching_judges_the_average(self):
        callback = EpochScoring("neg_log_loss", lower_is_better=False, name="own", use_caching=False)
        clf = fitted(callback, weight_averaging="ema", early_stopping=True)
        losses = [record["valid_loss"] for record in clf.history_]
        assert [-score for score in clf.net_.history[:, "own"]] == pytest.approx(losses, rel=1e-4)

    def test_records_of_weights_are_of_those_that_train(self):
        plain, averaged = (
            fitted(RecordWeights(rows=8), weight_averaging=averaging, normalization="batch").net_.callbacks_[0][1]
            for averaging in (None, "ema")
        )
        assert_array_equal(averaged.weights_, plain.weights_)
        assert_array_equal(averaged.gradients_, plain.gradients_)

    @pytest.mark.parametrize("callback", [EarlyStopping(), Checkpoint(), WandbLogger(SimpleNamespace())])
    def test_what_needs_withheld_rows_says_so(self, callback):
        if isinstance(callback, WandbLogger):
            callback.wandb_run = SimpleNamespace(watch=lambda module: None, log=lambda values: None)
        with pytest.raises(ValueError, match=f"{type(callback).__name__} .* early_stopping=True, or give fit X_val"):
            fitted(callback)

    def test_timer_and_log_beside_what_is_recorded(self):
        lines = []
        clf = fitted(("print_log", PrintLog(sink=lines.append)), early_stopping=True)
        assert lines[0].split()[:5] == ["epoch", "gradient_norm", "learning_rate", "train_loss", "valid_loss"]
        assert len(lines) == 2 + clf.n_iter_
        assert all(seconds > 0 for seconds in fitted(EpochTimer()).net_.history[:, "dur"])


class Recorder:
    """Stands for a tracker's run: notes what is written, at any depth. What a copy notes is lost."""

    def __init__(self, path="", notes=None):
        self.path, self.notes = path, [] if notes is None else notes
        self.info = SimpleNamespace(run_id="run")

    def __getitem__(self, name):
        return Recorder(f"{self.path}/{name}", self.notes)

    def __setitem__(self, name, value):
        self.notes.append((f"{self.path}/{name}", value))

    def append(self, value):
        self.notes.append((self.path, value))

    def log_scalar(self, name, value, step):
        self.notes.append((name, value, step))

    def log_metric(self, run_id, key, value, step):
        assert run_id == self.info.run_id
        self.notes.append((key, value, step))

    def log_artifact(self, run_id, path):
        self.notes.append((path.name, path.read_bytes()))

    def set_terminated(self, run_id):
        self.notes.append(("terminated", run_id))


class TestTrackers:
    """They write what the history holds; clones and members share where they write to."""

    def test_tensorboard(self, tmp_path):
        tensorboard = pytest.importorskip("torch.utils.tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        callback = TensorBoard(tensorboard.SummaryWriter(tmp_path))
        clf = clone(basic(NNClassifier, **QUICK, early_stopping=True, callbacks=[callback])).fit(X, Y)
        written = EventAccumulator(str(tmp_path))
        written.Reload()
        for name, tag in {"train_loss": "Loss/train_loss", "learning_rate": "learning_rate"}.items():
            events = written.Scalars(tag)
            assert [event.step for event in events] == list(range(1, clf.n_iter_ + 1))
            assert [event.value for event in events] == pytest.approx(clf.net_.history[:, name], rel=1e-6)
        assert set(written.Tags()["scalars"]) >= {"Loss/valid_loss", "gradient_norm", "weight_norm", "dur"}

    def test_wandb_offline(self, tmp_path, monkeypatch):
        wandb = pytest.importorskip("wandb")
        for name in ("DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR", "ARTIFACT_DIR"):
            monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_SILENT", "true")
        run = wandb.init(project="tests")
        try:
            clf = fitted(WandbLogger(run), early_stopping=True)
            last, saved = dict(run.summary), torch.load(Path(run.dir) / "best_model.pth", weights_only=True)
        finally:
            run.finish()
            wandb.teardown()
        expected = figures(clf.net_.history[-1])
        assert {name: last[name] for name in expected} == pytest.approx(expected)
        assert last["_step"] == clf.n_iter_ - 1
        assert saved.keys() == clf.module_.state_dict().keys()
        assert not any(part._forward_hooks for part in clf.module_.modules())

    @pytest.mark.parametrize("given", ["client", "active run"])
    def test_mlflow(self, given, monkeypatch):
        client = Recorder()
        fluent = SimpleNamespace(active_run=lambda: client, tracking=SimpleNamespace(MlflowClient=lambda: client))
        for name, module in {"mlflow": fluent, "mlflow.tracking": fluent.tracking}.items():
            monkeypatch.setitem(sys.modules, name, module if given == "active run" else None)
        callback = MlflowLogger(client, client) if given == "client" else MlflowLogger()
        clf = fitted(callback, weight_averaging="ema", early_stopping=True)
        metrics = [note for note in client.notes if len(note) == 3]
        assert [value for name, value, _ in metrics if name == "train_loss"] == clf.loss_curve_
        assert [step for name, _, step in metrics if name == "valid_loss"] == list(range(1, clf.n_iter_ + 1))
        files = dict(note for note in client.notes if len(note) == 2)
        assert [*files] == ["params.pth", "optimizer.pth", "criterion.pth", "history.json", "terminated"]
        assert [row["train_loss"] for row in json.loads(files["history.json"])] == clf.loss_curve_

    def test_sacred(self):
        experiment = Recorder()
        clf = fitted(SacredLogger(experiment))
        assert [value for name, value, _ in experiment.notes if name == "weight_norm"] == [
            record["weight_norm"] for record in clf.history_
        ]

    def test_neptune(self, monkeypatch):
        files = SimpleNamespace(File=SimpleNamespace(from_content=lambda text, extension: text))
        monkeypatch.setitem(sys.modules, "neptune", SimpleNamespace(types=files))
        monkeypatch.setitem(sys.modules, "neptune.types", files)
        run = Recorder()
        clf = fitted(NeptuneLogger(run, close_after_train=False))
        assert [v for name, v in run.notes if name == "/training/train/epoch/loss"] == clf.loss_curve_
        assert ("/training/model/summary", str(clf.module_)) in run.notes

    def test_in_a_search(self):
        run = Recorder()
        search = GridSearchCV(
            basic(NNClassifier, **{**QUICK, "max_epochs": 2}, callbacks=[SacredLogger(run)]),
            {"optimizer": ["sgd", "adam"]},
            cv=2,
        )
        with lockstep():
            search.fit(X, Y)
        assert sum(name == "train_loss" for name, *_ in run.notes) == (2 * 2 + 1) * 2
        assert search.best_estimator_.callbacks[0] is not search.estimator.callbacks[0]

    def test_members_share_where_they_write(self):
        run = Recorder()
        clf = fitted(SacredLogger(run), n_members=3)
        losses = [value for name, value, step in run.notes if name == "train_loss" and step == 5]
        assert sorted(losses) == sorted(clf.member_histories_["train_loss"][:, -1])


class TestCopies:
    def test_any_handle_is_shared(self):
        class Watcher(Callback):
            def __init__(self, lock, seen):
                self.lock, self.seen = lock, seen

            def on_epoch_end(self, net, **kwargs):
                self.seen.append(net.history[-1, "train_loss"])

        given = Watcher(threading.Lock(), [])
        clf = basic(NNClassifier, **QUICK, callbacks=[("watcher", given), EpochScoring("accuracy")])
        twin = clone(clf)
        assert twin.callbacks[0][1].lock is given.lock
        assert twin.callbacks[1] is not clf.callbacks[1]
        own = dict(twin.fit(X, Y).net_.callbacks_)["watcher"]
        assert own.seen == twin.loss_curve_
        assert given.seen == twin.callbacks[0][1].seen == []

    def test_clone_keeps_the_kind_of_sequence(self):
        for callbacks in (None, [], (), [EpochTimer()], (EpochTimer(),)):
            twin = clone(NNClassifier(callbacks=callbacks))
            assert type(twin.callbacks) is type(callbacks)
            assert len(twin.callbacks or ()) == len(callbacks or ())

    def test_loggers_of_python_are_sinks(self, caplog):
        with caplog.at_level(logging.INFO):
            fitted(PrintLog(sink=logging.getLogger("training").info))
        assert len(caplog.messages) == 2 + 5

    def test_batch_scoring_by_class(self):
        with pytest.raises(ValueError, match=r"BatchScoring acts in .*EpochScoring"):
            fitted(BatchScoring)
