"""Training that is killed goes on, from the directory of checkpoints, with the bits of training that was not."""

import importlib
import json
import math
import os
import random
import re
import runpy
import shutil
import subprocess
import sys
import threading
import time
import types
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from safetensors.numpy import save_file
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, load, lockstep, optimizers, save, schedules
from sknnopt.checkpoints import Checkpoint, CheckpointWarning, _files, _store
from sknnopt.checkpoints._code import is_installed
from sknnopt.checkpoints._content import Unkeyable, digest
from sknnopt.checkpoints._files import Entry
from sknnopt.checkpoints._store import Store, store_of
from sknnopt.checkpoints._versions import code_version, torch_settings
from sknnopt.engine import _cohort, _keeper, checkpointing
from sknnopt.losses import Huber
from sknnopt.regularization import L1, DropConnect, InputNoise, MaxNorm, SpectralNorm, StochasticDepth
from sknnopt.schedules import Scheduled

X, Y = make_classification(90, 6, random_state=0)
X = X.astype(np.float32)


class Killed(BaseException):
    """What ends a fit in the middle, as no `except Exception` may catch."""


@pytest.fixture
def epochs(monkeypatch):
    """Counts epochs of members, and ends training after so many epochs of a cohort if told."""
    counts = Counter()
    train, done = _cohort.Cohort._epoch, _keeper.Keeper.epoch_done

    def epoch(self, after):
        counts["members"] += len(self.members)
        train(self, after)

    def epoch_done(self):
        done(self)
        counts["cohort"] += 1
        if counts["cohort"] == counts["end"]:
            raise Killed

    monkeypatch.setattr(_cohort.Cohort, "_epoch", epoch)
    monkeypatch.setattr(_keeper.Keeper, "epoch_done", epoch_done)
    return counts


@pytest.fixture
def trained(monkeypatch):
    """Notes each epoch of each crew: how often it was trained, and whether a checkpoint has had it since."""
    found = types.SimpleNamespace(times=Counter(), kept=set())
    train = _cohort.Cohort._epoch
    add, write = Store.add, Store.write_running
    lock = threading.Lock()

    def epoch(self, after):
        train(self, after)
        with lock:
            found.times.update((m.job.kept.crew.key, m.epochs) for m in self.members if m.job.kept is not None)

    def note(entries):
        with lock:
            for entry in entries:
                members = entry.document["members"]
                last = [len((one.get("standing", {}).get("counts") or one["result"])["history"]) for one in members]
                found.kept.update((entry.key, number) for number in range(1, max(last) + 1))

    def added(self, entries, *args, **settings):
        add(self, entries, *args, **settings)
        note(entries)

    def written(self, path, entries):
        done = write(self, path, entries)
        note(entries if done else ())
        return done

    monkeypatch.setattr(_cohort.Cohort, "_epoch", epoch)
    monkeypatch.setattr(Store, "add", added)
    monkeypatch.setattr(Store, "write_running", written)
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Checkpoints after each epoch, however long they take."""
    monkeypatch.setattr("sknnopt.checkpoints._store.SHARE", math.inf)
    return Checkpoint(tmp_path / "kept", interval=0)


def state(network):
    """All that a fit has made, but for the times that it took."""
    names = ("n_iter_", "best_epoch_", "best_loss_", "loss_curve_", "validation_scores_", "restart_scores_")
    figures = [getattr(network, name) for name in names]
    return figures, {name: value.numpy().tobytes() for name, value in network.module_.state_dict().items()}


def same(one, other):
    (figures, weights), (others, other_weights) = state(one), state(other)
    assert weights == other_weights
    for a, b in zip(figures, others, strict=True):
        np.testing.assert_array_equal(a, b)


def assert_goes_on(make, epochs, folder, fit=lambda network: network.fit(X, Y), after=2):
    """A fit that is ended after some epochs and begun again trains the others, and is as if it had not been ended."""
    epochs["members"] = 0
    whole = fit(make())
    all_epochs, epochs["members"], epochs["cohort"] = epochs["members"], 0, 0
    epochs["end"] = after
    with pytest.raises(Killed):
        fit(make().set_params(checkpoint=folder))
    interrupted, epochs["end"] = epochs["members"], 0
    again = fit(make().set_params(checkpoint=folder))
    same(again, whole)
    assert interrupted > 0
    assert epochs["members"] == all_epochs
    same(fit(make().set_params(checkpoint=folder)), whole)  # and what has been trained is not trained again
    assert epochs["members"] == all_epochs
    return again


QUICK = {"hidden_layer_sizes": (5,), "batch_size": 32, "max_epochs": 4, "random_state": 0}


class Tower(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 8), nn.BatchNorm1d(8, momentum=None), nn.ReLU())
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.last(self.drop(self.layers(x)))


def my_scorer(estimator, rows, labels):
    return accuracy_score(labels, estimator.predict(rows))


STOPPING = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2, "max_epochs": 30}
SETTINGS = {
    **{f"optimizer {name}": {"optimizer": name} for name in optimizers.names()},
    **{f"schedule {name}": {"schedule": name, "warmup": 0.3} for name in schedules.names()},
    "plateau": {"schedule": schedules.Plateau(patience=0, threshold=0.5, factor=0.5)},
    "batch normalisation": {"normalization": "batch"},
    "average": {"weight_averaging": "ema", "normalization": "batch"},
    "average of the last": {"weight_averaging": "swa"},
    "an optimizer that averages, with statistics": {"optimizer": "schedule_free_adamw", "normalization": "batch"},
    "mixup": {"mixup": 0.3},
    "penalties": {"regularization": L1(1e-3) + MaxNorm(1.0) + SpectralNorm(1.0)},
    "noise": {"regularization": DropConnect(0.2) + InputNoise(0.1)},
    "depth": {"network": "resnet", "hidden_layer_sizes": (5, 5, 5), "regularization": StochasticDepth(0.3)},
    "scheduled": {"dropout": Scheduled(0.3, "linear"), "weight_decay": Scheduled(0.1, "cosine")},
    "layer rates": {"frozen_layers": 1, "normalization": "batch"},
    "embeddings": {"numeric_embedding": "periodic"},
    "gates": {"activation": "swiglu"},
    "resnet": {"network": "resnet", "normalization": "layer"},
    "tabm": {"network": "tabm"},
    "double precision": {"precision": "float64"},
    "bfloat16": {"precision": "bf16"},
    "early stopping": STOPPING,
    "early stopping by a scorer": {**STOPPING, "scoring": "roc_auc"},
    "early stopping by a function": {**STOPPING, "scoring": my_scorer},
    "early stopping by a made scorer": {**STOPPING, "scoring": make_scorer(accuracy_score)},
    "ensemble": {"n_members": 3},
    "ensemble, stopped together": {**STOPPING, "n_members": 3},
    "restarts": {"n_restarts": 2},
    "range test": {"learning_rate": "auto"},
    "recipes": {"recipes": [{"optimizer": "sgd", "hidden_layer_sizes": (7,)}]},
    "module": {"network": Tower, "dropout": 0.0},
    "module, penalised twice a step": {"network": Tower, "dropout": 0.0, "optimizer": "sam"},
    "torch's optimizer": {"optimizer": torch.optim.RMSprop},
    "torch's optimizer of a module": {"optimizer": partial(torch.optim.SGD, momentum=0.9), "network": Tower},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_fit_goes_on(name, epochs, folder):
    assert_goes_on(lambda: basic(NNClassifier, **{**QUICK, **SETTINGS[name]}), epochs, folder)


def test_what_is_trained_for_the_range_test_is_kept(epochs, folder):
    assert_goes_on(lambda: basic(NNClassifier, **QUICK, learning_rate="auto"), epochs, folder, after=6)


@pytest.mark.parametrize("after", [1, 3, 6])
def test_the_default_ensemble_goes_on(after, epochs, folder):
    """Members of several kinds train one kind after the other; those that are finished are not trained again."""
    assert_goes_on(
        lambda: NNRegressor(max_epochs=2, hidden_layer_sizes=(5,), random_state=0), epochs, folder, after=after
    )


def test_a_member_that_has_diverged_stays_so(epochs, folder):
    wild = {"optimizer": "sgd", "learning_rate": 1e30, "gradient_clipping": None, "hidden_layer_sizes": (3,)}

    def fit(network):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return network.fit(X, Y)

    make = partial(basic, NNClassifier, **{**QUICK, **STOPPING}, n_members=2, recipes=[wild])
    assert_goes_on(make, epochs, folder, fit, after=3)


def test_a_warm_start_goes_on(epochs, folder):
    first = basic(NNClassifier, **QUICK, warm_start=True).fit(X, Y)

    def make():
        return first.__copy__()

    assert_goes_on(make, epochs, folder)


def test_after_resuming_partial_fit_goes_on_as_ever(epochs, folder):
    make = partial(basic, NNClassifier, **QUICK, warm_start=True)
    again = assert_goes_on(make, epochs, folder)
    same(again.partial_fit(X, Y), make().fit(X, Y).partial_fit(X, Y))


def test_a_frame_goes_on(epochs, folder):
    frame = pd.DataFrame(X[:, :3]).add_prefix("x")
    frame["kind"] = np.where(Y == 1, "a", "b")
    frame["when"] = pd.date_range("2020-01-01", periods=len(frame))
    frame.loc[3, "x1"] = np.nan
    make = partial(NNClassifier, **{**QUICK, **STOPPING}, scoring="roc_auc", n_members=2, optimizer="adam")
    assert_goes_on(make, epochs, folder, lambda network: network.fit(frame, Y))


def test_a_class_that_searches_by_itself_is_kept_when_it_is_trained(epochs, folder):
    make = partial(basic, NNClassifier, **QUICK, optimizer=torch.optim.LBFGS, learning_rate=0.1)
    epochs["end"] = 2
    with pytest.raises(Killed):
        make(checkpoint=folder).fit(X, Y)
    assert os.listdir(folder.directory) == []
    same(make(checkpoint=folder).fit(X, Y), make().fit(X, Y))
    epochs["members"] = 0
    make(checkpoint=folder).fit(X, Y)
    assert epochs["members"] == 0


class CountsItself(torch.optim.SGD):
    """A number of its own beside its state."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad.mul_(1 + 0.1 * self.steps)
        super().step(closure)


def test_a_class_with_a_state_that_is_not_told_is_kept_when_it_is_trained(epochs, folder):
    make = partial(basic, NNClassifier, **QUICK, optimizer=CountsItself)
    epochs["end"] = 2
    with pytest.raises(Killed):
        make(checkpoint=folder).fit(X, Y)
    assert os.listdir(folder.directory) == []
    same(make(checkpoint=folder).fit(X, Y), make().fit(X, Y))
    assert os.listdir(folder.directory)


class TestSweeps:
    GRID = {"network__learning_rate": [1e-3, 1e-2], "network__hidden_layer_sizes": [(5,), (7,)]}

    def search(self, **settings):
        network = basic(NNClassifier, **{**QUICK, **settings})
        return GridSearchCV(make_pipeline(StandardScaler(), network).set_params(), self.renamed(), cv=3)

    def renamed(self):
        return {f"nnclassifier__{name.removeprefix('network__')}": values for name, values in self.GRID.items()}

    def assert_equal(self, one, other):
        np.testing.assert_array_equal(one.cv_results_["mean_test_score"], other.cv_results_["mean_test_score"])
        same(one.best_estimator_[-1], other.best_estimator_[-1])

    @pytest.mark.parametrize("n_jobs", [1, 2])
    @pytest.mark.parametrize("after", [2, 6, 9])
    def test_what_was_kept_is_not_trained_again(self, n_jobs, after, epochs, trained, folder):
        whole = self.search().fit(X, Y)
        epochs["cohort"], epochs["end"] = 0, after
        with pytest.raises(Killed), lockstep(n_jobs=n_jobs, checkpoint=folder):
            self.search().fit(X, Y)
        epochs["end"], kept = 0, set(trained.kept)
        with lockstep(n_jobs=n_jobs, checkpoint=folder):
            again = self.search().fit(X, Y)
        self.assert_equal(again, whole)
        assert kept
        assert {trained.times[one] for one in kept} == {1}
        times = trained.times.copy()
        with lockstep(n_jobs=n_jobs, checkpoint=folder):
            self.assert_equal(self.search().fit(X, Y), whole)
        assert trained.times == times

    def test_an_estimators_own_directory_comes_first(self, tmp_path, folder):
        own = Checkpoint(tmp_path / "own", interval=0)
        with lockstep(checkpoint=folder):
            cross_val_score(basic(NNClassifier, **QUICK, checkpoint=own), X, Y, cv=2)
        assert os.listdir(own.directory)
        assert not Path(folder.directory).exists()

    def test_members_of_one_cohort_may_have_directories_of_their_own(self, tmp_path, epochs, folder):
        folders = [Checkpoint(tmp_path / name, interval=0) for name in "ab"]
        search = GridSearchCV(basic(NNClassifier, **QUICK), {"checkpoint": folders}, cv=2, refit=False)
        with lockstep(n_jobs=1) as sweep:
            search.fit(X, Y)
        assert sweep.cohort_sizes == [4]
        count, sizes = epochs["members"], [len(os.listdir(one.directory)) for one in folders]
        assert min(sizes) > 0
        store_of.__self__.begin()
        for own in folders:
            cross_val_score(basic(NNClassifier, **QUICK, checkpoint=own), X, Y, cv=2)
        assert epochs["members"] == count

    def test_one_fit_after_another_finds_what_a_sweep_has_trained(self, epochs, folder):
        with lockstep(checkpoint=folder):
            whole = self.search().fit(X, Y)
        count = epochs["members"]
        again = self.search(checkpoint=folder).fit(X, Y)
        self.assert_equal(again, whole)
        assert epochs["members"] == count

    def test_joblibs_own_door(self, epochs, folder):
        network = basic(NNClassifier, **QUICK)
        with parallel_config(backend="lockstep", checkpoint=folder):
            first = cross_val_score(network, X, Y, cv=2)
        count = epochs["members"]
        with parallel_config(backend="lockstep", checkpoint=folder):
            np.testing.assert_array_equal(cross_val_score(network, X, Y, cv=2), first)
        assert epochs["members"] == count

    def test_workers_have_it_too(self, folder):
        network = basic(NNClassifier, **QUICK)
        with lockstep(n_jobs=2, backend="loky", checkpoint=folder):
            scores = cross_val_score(network, X, Y, cv=4)
        names = os.listdir(folder.directory)
        assert len({name.split("-")[1] for name in names}) == 2
        with lockstep(checkpoint=folder):
            np.testing.assert_array_equal(cross_val_score(network, X, Y, cv=4), scores)
        assert sorted(os.listdir(folder.directory)) == sorted(names)

    def test_workers_write_where_the_script_is(self, tmp_path, folder, monkeypatch):
        """Though they were started elsewhere, and stay there."""
        for name in "ab":
            (tmp_path / name).mkdir()
            monkeypatch.chdir(tmp_path / name)
            with lockstep(n_jobs=2, backend="loky", checkpoint=Checkpoint("kept", interval=0)):
                cross_val_score(basic(NNClassifier, **QUICK), X, Y, cv=2)
            assert os.listdir("kept")

    def test_after_the_block_nothing_is_kept(self, folder):
        with lockstep(checkpoint=folder):
            basic(NNClassifier, **QUICK).fit(X, Y)
        before = sorted(os.listdir(folder.directory))
        basic(NNClassifier, **{**QUICK, "max_epochs": 2}).fit(X, Y)
        assert sorted(os.listdir(folder.directory)) == before

    @pytest.mark.parametrize("value", [3, ["here"], True])
    def test_what_is_no_directory_is_refused(self, value):
        with pytest.raises(ValueError, match=r"The 'checkpoint' parameter of lockstep must be a directory.* Got"):
            lockstep(checkpoint=value)


def scaled(scores, target):
    return ((scores - target) ** 2 * FACTOR).mean(1)


FACTOR = 1.0

CHANGES = {
    "learning rate": {"learning_rate": 0.011},
    "seed": {"random_state": 1},
    "epochs": {"max_epochs": 5},
    "layers": {"hidden_layer_sizes": (6,)},
    "activation": {"activation": "tanh"},
    "optimizer": {"optimizer": optimizers.SGD(momentum=0.5)},
    "loss": {"loss": Huber(delta=0.3)},
    "initializer": {"initializer": "orthogonal"},
    "penalty": {"regularization": L1(1e-3)},
    "schedule": {"schedule": schedules.Linear()},
    "precision": {"precision": "float64"},
    "stopping": {"early_stopping": True},
    "patience": {"early_stopping": True, "n_iter_no_change": 3},
    "scorer": {"early_stopping": True, "scoring": "r2"},
    "average": {"weight_averaging": "ema"},
    "progress is kept": {"warm_start": True},
    "a function": {"activation": lambda x: torch.relu(x) + 1},
    "another function": {"activation": lambda x: torch.relu(x) + 2},
    "dropout": {"dropout": 0.2},
}


def test_a_changed_setting_begins_anew(epochs, folder):
    target = X[:, 0] + Y
    base = {**QUICK, "checkpoint": folder}
    basic(NNRegressor, **base).fit(X, target)
    for change in CHANGES.values():
        epochs["members"] = 0
        network = basic(NNRegressor, **{**base, **change}).fit(X, target)
        assert epochs["members"] == network.n_iter_, change
    epochs["members"] = 0
    for rows, labels, weight in [
        (np.where(X > 0, X * 2, X), target, None), (X[::-1], target[::-1], None), (X, target**3, None),
        (X, target, np.linspace(1, 2, len(X))),
    ]:  # fmt: skip
        basic(NNRegressor, **base).fit(rows, labels, weight)
    assert epochs["members"] == 4 * 4
    basic(NNRegressor, **base, verbose=0, device="cpu").fit(X, target)
    assert epochs["members"] == 4 * 4


def test_a_changed_global_of_a_function_begins_anew(epochs, folder, monkeypatch):
    network = basic(NNRegressor, **QUICK, loss=scaled, checkpoint=folder)
    network.fit(X, X[:, 0])
    network.fit(X, X[:, 0])
    assert epochs["members"] == 4
    monkeypatch.setitem(globals(), "FACTOR", 2.0)
    network.fit(X, X[:, 0])
    assert epochs["members"] == 8


def test_other_code_begins_anew(epochs, folder, monkeypatch):
    network = basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
    monkeypatch.setattr(checkpointing, "code_version", lambda: "another")
    same(basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y), network)
    assert epochs["members"] == 8
    assert len(code_version()) == 40


def test_other_settings_of_torch_begin_anew(epochs, folder, monkeypatch):
    """Products of less precision give other bits."""
    network = basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
        network.fit(X, Y)
    assert epochs["members"] == 8
    network.fit(X, Y)
    assert epochs["members"] == 8
    monkeypatch.setattr("sknnopt.checkpoints._versions.SETTINGS", ("backends.of_another_version",))
    assert torch_settings() == ["AttributeError"]


def test_weights_to_start_from_count(epochs, folder):
    sources = [basic(NNClassifier, **{**QUICK, "random_state": seed}).fit(X, Y) for seed in (1, 2)]
    epochs["members"] = 0
    for source in [*sources, *sources]:
        basic(NNClassifier, **QUICK, initial_weights=source, checkpoint=folder).fit(X, Y)
    assert epochs["members"] == 8


class TestDamage:
    def kept(self, folder):
        whole = basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        store_of.__self__.begin()  # as a new process, which has nothing in memory
        (path,) = Path(folder.directory).iterdir()
        return whole, path

    def flipped(path):
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)

    def head_flipped(path):
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)

    def cut(path):
        path.write_bytes(path.read_bytes()[:-100])

    def cut_in_the_head(path):
        path.write_bytes(path.read_bytes()[:50])

    def empty(path):
        path.write_bytes(b"")

    def noise(path):
        path.write_bytes(np.random.default_rng(0).bytes(3000))

    def foreign(path):
        save_file({"x": np.zeros(3)}, path)

    def of_another_format(path):
        save_file({"x": np.zeros(3)}, path, {"sknnopt checkpoint": json.dumps({"format": 2, "entries": []})})

    def no_entries(path):
        save_file({"x": np.zeros(3)}, path, {"sknnopt checkpoint": json.dumps({"format": 1, "entries": [["a"]]})})

    FAULTS = (flipped, head_flipped, cut, cut_in_the_head, empty, noise, foreign, of_another_format, no_entries)

    @pytest.mark.parametrize("fault", FAULTS)
    def test_it_is_set_aside(self, fault, epochs, folder):
        whole, path = self.kept(folder)
        fault(path)
        with pytest.warns(CheckpointWarning, match=r"is not used: .* It is now 'sknnopt-.*\.damaged'"):
            again = basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        same(again, whole)
        assert epochs["members"] == 8
        assert path.with_name(f"{path.name}.damaged").exists()
        store_of.__self__.begin()
        same(basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y), whole)
        assert epochs["members"] == 8

    def test_where_it_cannot_be_set_aside(self, epochs, folder, monkeypatch):
        whole, path = self.kept(folder)
        TestDamage.flipped(path)

        def refused(self, target):
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", refused)
            with pytest.warns(CheckpointWarning) as warned:
                same(basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y), whole)
        assert "is not used: its checksum does not fit. It cannot be renamed (" in str(warned[0].message)
        assert "could not be written" in str(warned[-1].message)
        assert epochs["members"] == 8

    @pytest.mark.parametrize("document", [{}, {"members": []}, {"members": [{"result": {"history": 3}}]}])
    def test_what_no_training_has_written_is_not_used(self, document, folder, epochs):
        whole, path = self.kept(folder)
        (key,) = _files.keys(path)
        _files.write(path, [Entry(key, True, document, {})])
        with pytest.warns(CheckpointWarning, match="holds what no training has written .*; the fit begins anew"):
            same(basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y), whole)
        assert epochs["members"] == 8

    def test_other_files_are_left_alone(self, folder):
        _, path = self.kept(folder)
        other = path.with_name("notes.safetensors")
        other.write_bytes(b"mine")
        basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        assert other.read_bytes() == b"mine"

    def test_what_an_interrupted_write_leaves_is_cleared_away_later(self, folder):
        _, path = self.kept(folder)
        parts = [path.with_name(f".sknnopt-00-running-{age}.safetensors.part") for age in (1, 2)]
        for part in parts:
            part.write_bytes(b"half")
        os.utime(parts[0], (0, 0))
        basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        assert [part.exists() for part in parts] == [False, True]

    def test_a_directory_may_vanish(self, folder):
        _, path = self.kept(folder)
        path.unlink()
        Path(folder.directory).rmdir()
        basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        assert len(os.listdir(folder.directory)) == 1


class TestNotKept:
    def warns(self, words, folder, **settings):
        network = basic(NNClassifier, **{**QUICK, **settings}, checkpoint=folder)
        with pytest.warns(CheckpointWarning, match=f"This fit is not checkpointed.*{words}"):
            network.fit(X, Y)
        assert not Path(folder.directory).exists() or not os.listdir(folder.directory)

    def test_without_a_seed(self, folder):
        self.warns("random_state=None draws another seed", folder, random_state=None)

    def test_with_callbacks(self, folder):
        from skorch.callbacks import LRScheduler, PrintLog

        assert LRScheduler is not None
        self.warns("callbacks have a state of their own", folder, callbacks=[PrintLog(sink=lambda text: None)])

    def test_with_a_random_stream_of_ones_own(self, folder):
        stream = np.random.default_rng(0)
        self.warns("gives other numbers each time", folder, activation=lambda x: x * stream.random())

    def test_with_what_cannot_be_told(self, folder):
        lock = threading.Lock()
        self.warns("has no content that could be told", folder, activation=lambda x: torch.relu(x) if lock else x)

    def test_a_random_state_that_has_moved_on_is_another(self, epochs, folder):
        for _ in range(2):
            stream = np.random.RandomState(0)
            for _ in range(2):
                basic(NNClassifier, **{**QUICK, "random_state": stream}, checkpoint=folder).fit(X, Y)
        assert epochs["members"] == 8

    def test_partial_fit(self, folder):
        basic(NNClassifier, **QUICK, checkpoint=folder).partial_fit(X, Y, classes=[0, 1])
        assert not Path(folder.directory).exists()

    def test_what_has_failed(self, folder):
        def scorer(estimator, rows, labels):
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            basic(NNClassifier, **{**QUICK, **STOPPING}, scoring=scorer, checkpoint=folder).fit(X, Y)
        assert os.listdir(folder.directory) == []


class TestDirectory:
    def test_it_is_made_when_it_is_needed(self, tmp_path):
        network = basic(NNClassifier, **QUICK, checkpoint=tmp_path / "a" / "b")
        assert not (tmp_path / "a").exists()
        network.fit(X, Y)
        assert (tmp_path / "a" / "b").is_dir()

    def test_a_file_is_none(self, tmp_path):
        path = tmp_path / "file"
        path.write_text("")
        with pytest.raises(
            ValueError, match=r"The 'checkpoint' parameter must be a directory, .* Got '.*file' instead"
        ):
            basic(NNClassifier, **QUICK, checkpoint=str(path)).fit(X, Y)

    def test_a_disk_that_is_full_ends_no_training(self, folder, monkeypatch):
        def full(*args):
            raise OSError(28, "No space left on device")

        whole = basic(NNClassifier, **QUICK).fit(X, Y)
        monkeypatch.setattr("sknnopt.checkpoints._files.save_file", full)
        with pytest.warns(CheckpointWarning, match=r"could not be written to .* training goes on: .*No space left"):
            same(basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y), whole)

    def test_old_files_of_a_fit_are_cleared_away(self, epochs, folder):
        network = basic(NNClassifier, **QUICK, checkpoint=folder)
        for end in (1, 2, 1):
            epochs["cohort"], epochs["end"] = 0, end
            with pytest.raises(Killed):
                network.fit(X, Y)
            store_of.__self__.begin()
            assert len(os.listdir(folder.directory)) == 1
        epochs["end"] = 0
        network.fit(X, Y)
        (name,) = os.listdir(folder.directory)
        assert "-final-" in name

    def test_by_default_a_short_fit_writes_nothing(self, tmp_path):
        basic(NNClassifier, **QUICK, checkpoint=tmp_path).fit(X, Y)
        assert os.listdir(tmp_path) == []

    def test_parameters(self, tmp_path):
        network = NNClassifier(checkpoint=Checkpoint(tmp_path, interval=3))
        assert clone(network.set_params(checkpoint__interval=5)).checkpoint.interval == 5
        assert repr(Checkpoint("here")) == "Checkpoint(directory='here')"
        with pytest.raises(ValueError, match=r"The 'interval' parameter of Checkpoint must be .*Got -1"):
            NNClassifier(checkpoint=Checkpoint(tmp_path, interval=-1)).fit(X, Y)
        with pytest.raises(ValueError, match="checkpoint='here' has no parameters of its own"):
            NNClassifier(checkpoint="here").set_params(checkpoint__intervall=5)

    def test_a_file_of_save_has_none(self, tmp_path, folder):
        network = basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        save(network, tmp_path / "network")
        again = load(tmp_path / "network")
        assert again.checkpoint is None
        same(again, network)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_forked_process_writes_under_a_name_of_its_own(self, folder):
        network = basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
        child = os.fork()
        if child == 0:
            try:
                network.set_params(max_epochs=3).fit(X, Y)
            finally:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert len({name.split("-")[1] for name in os.listdir(folder.directory)}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.timeout(300)
def test_after_kill_nine_the_same_bits_come_out():
    """Twice at random moments of each kind of run; ``benchmarks/faults.py`` does it for longer."""
    script = Path(__file__).parent.parent / "benchmarks" / "faults.py"
    run = subprocess.run([sys.executable, script, "--kills", "2"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [re.split("  +", line)[:2] for line in run.stdout.splitlines()[2:]]
    assert rows == [["single fit", "2"], ["ensemble", "2"], ["sweep", "2"]]


class Point:
    def __init__(self, x):
        self.x = x

    def shifted(self):
        return self.x + 1


def closing_over(value):
    return lambda: value


class TestDigest:
    PAIRS = {
        "numbers": (1, 1.0), "signs of zero": (0.0, -0.0), "bools": (1, True), "strings": ("a", b"a"),
        "containers": ([1, 2], (1, 2)), "nesting": ([[1], 2], [1, [2]]), "lengths": (["ab", "c"], ["a", "bc"]),
        "dicts": ({"a": 1}, {"a": 2}), "keys": ({"a": 1}, {"b": 1}), "sets": ({1, 2}, {1, 3}),
        "dtypes": (np.zeros(2), np.zeros(2, np.float32)), "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
        "elements": (np.arange(3), np.array([0, 1, 3])),
        "objects": (np.array(["a", 1], object), np.array(["a", 2], object)),
        "tensors": (torch.zeros(2), torch.ones(2)), "arrays and tensors": (np.zeros(2), torch.zeros(2).double()),
        "attributes": (Point(1), Point(2)), "closures": (closing_over(1), closing_over(2)),
        "defaults": (lambda x=1: x, lambda x=2: x), "code": (lambda x: x + 1, lambda x: x - 1),
        "partials": (partial(int, base=2), partial(int, base=3)), "methods": (Point(1).shifted, Point(2).shifted),
        "techniques": (optimizers.SGD(momentum=0.1), optimizers.SGD(momentum=0.2)),
        "seeds": (np.random.SeedSequence(1), np.random.SeedSequence(2)),
        "frames": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
        "categories": (pd.Series(["a", "b"], dtype="category"), pd.Series(["a", "c"], dtype="category")),
        "modules": (nn.Linear(2, 2, bias=False), nn.Linear(2, 2)),
        "builtins": (len, abs), "functions": (np.sum, np.mean),
        "ufuncs": (np.tanh, np.exp), "classes": (dict, list), "dtypes of torch": (torch.float32, torch.float64),
    }  # fmt: skip

    @pytest.mark.parametrize("name", PAIRS)
    def test_it_tells_apart(self, name):
        one, other = self.PAIRS[name]
        assert digest(one) == digest(one)
        assert digest(one) != digest(other)

    def test_memory_does_not_matter(self, tmp_path):
        x = np.random.default_rng(0).normal(size=(50, 8))
        path = tmp_path / "x.npy"
        np.save(path, x)
        assert digest(x) == digest(np.asfortranarray(x)) == digest(np.load(path, mmap_mode="r"))
        assert digest(x[::2, 1:]) == digest(x[::2, 1:].copy())
        assert digest(torch.from_numpy(x).T) == digest(torch.from_numpy(x.T.copy()))

    def test_a_tensor_that_has_changed_is_another(self):
        x = torch.zeros(100_000)
        before = digest(x)
        assert digest(x) == before
        x[3] = 1
        assert digest(x) != before

    def test_what_holds_itself(self):
        ring = [1]
        ring.append(ring)
        assert digest(ring) == digest(ring)

        def again(n):
            return again(n - 1) if n else 0

        assert digest(again) == digest(again)

    def test_a_class_of_ones_own_counts_by_its_code(self):
        def of(step):
            class Own:
                def __call__(self, x):
                    return x + step

            return Own()

        def other(step):
            class Own:
                def __call__(self, x):
                    return x - step

            return Own()

        assert digest(of(1)) == digest(of(1)) != digest(of(2)) != digest(other(2))

    @pytest.mark.parametrize(
        "value", [np.random.default_rng(), np.random.RandomState(0), torch.Generator(), threading.Lock(), sys.stdout,
                  (i for i in range(3)), torch.zeros(2, device="meta")],
        ids=lambda value: type(value).__name__,
    )  # fmt: skip
    def test_what_has_no_content(self, value):
        with pytest.raises(Unkeyable):
            digest({"a": [value]})

    def test_another_process_comes_to_the_same(self, tmp_path, capsys):
        script = tmp_path / "script.py"
        script.write_text(
            "import numpy as np, torch\n"
            "from sknnopt import optimizers\n"
            "from sknnopt.checkpoints._content import digest\n"
            "class Net(torch.nn.Module):\n"
            "    def forward(self, x):\n"
            "        return helper(x)\n"
            "def helper(x):\n"
            "    return x + {'a', 'b', 'c'}.__len__()\n"
            "net = Net()\n"
            "print(digest(net, Net, helper, optimizers.Adam(), {'p', 'q'}, np.arange(3), lambda x: {x, 'y', 'z'}))\n"
        )
        env = {**os.environ, "PYTHONHASHSEED": "1"}
        there = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=env).stdout
        runpy.run_path(str(script), run_name="__main__")
        assert there == capsys.readouterr().out


def module_of(name, source, tmp_path, monkeypatch):
    """A module file of the user's own."""
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, name, module)
    return module


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args)


class Made(metaclass=Meta):
    pass


@dataclass
class Weighted:
    factor: float = 1.0
    others: list[float] = field(default_factory=list)

    def __call__(self, x):
        return x * self.factor


class TestDigestOfCode:
    def test_what_a_module_of_ones_own_has_just_now(self, tmp_path, monkeypatch):
        other = module_of("other_of_mine", "def h(x):\n    return x\n", tmp_path, monkeypatch)
        source = "import other_of_mine\nFACTOR = 1.0\nUNUSED = 1\ndef g(x):\n    return other_of_mine.h(x)\n"
        mine = module_of("module_of_mine", source, tmp_path, monkeypatch)

        def inside(x):
            import module_of_mine

            return module_of_mine.FACTOR * x

        namespace = {"mine": mine}
        exec("def scale(x):\n    return mine.FACTOR * x\ndef call(x):\n    return mine.g(x)\n", namespace)
        functions = namespace["scale"], inside, namespace["call"]
        before = [digest(one) for one in functions]
        assert before == [digest(one) for one in functions]
        monkeypatch.setattr(mine, "UNUSED", 2)
        assert before == [digest(one) for one in functions]
        monkeypatch.setattr(mine, "FACTOR", 2.0)
        assert [a == b for a, b in zip(before, map(digest, functions), strict=True)] == [False, False, True]
        monkeypatch.setattr(other, "h", lambda x: x + 1)
        assert digest(functions[2]) != before[2]

    def test_a_file_that_is_edited_while_its_code_runs(self, tmp_path, monkeypatch):
        mine = module_of("edited_of_mine", "def g(x):\n    return x\n", tmp_path, monkeypatch)
        namespace = {"mine": mine}
        exec("def call(x):\n    return mine.g(x)\n", namespace)
        before = digest(namespace["call"])
        Path(mine.__file__).write_text("def g(x):\n    return x + 10\n")
        assert digest(namespace["call"]) == before
        importlib.reload(mine)
        assert digest(namespace["call"]) != before

    def test_behind_a_cache(self):
        def cached(step):
            return lru_cache(lambda x: x + step)

        assert digest(cached(1)) == digest(cached(1)) != digest(cached(2))

    def test_a_functions_own_attributes(self, monkeypatch):
        before = digest(scaled)
        monkeypatch.setattr(scaled, "factor", 2, raising=False)
        assert digest(scaled) != before

    def test_a_metaclass(self, monkeypatch):
        before = digest(Made())
        monkeypatch.setattr(Meta, "__call__", lambda cls, *args: None)
        assert digest(Made) != digest(Weighted)
        assert digest(object.__new__(Made)) != before

    def test_a_dataclass_of_ones_own(self):
        one, other = Weighted(), Weighted()
        assert digest(one) == digest(other) != digest(Weighted(2.0))
        other.more = 1
        assert digest(one) != digest(other)

    def test_memory_that_torch_does_not_count(self):
        layer = nn.Linear(100, 100)
        before = digest(layer)
        layer.weight.data.mul_(2)
        assert digest(layer) != before
        array = np.zeros(10_000)
        shared = torch.from_numpy(array)
        before = digest(shared)
        array[0] = 1
        assert digest(shared) != before

    def test_a_long_row_of_fields(self):
        rows = np.zeros(2, [("a", "f4", 2000)])
        rows["a"][1, 1000] = 1
        assert digest(rows[0]) != digest(rows[1])

    def test_fields_of_arrays(self):
        one, other = (np.zeros(2, [(name, "f4"), (last, "f4")]) for name, last in ("ab", "ba"))
        assert digest(one) != digest(other)

    VALUES = {
        "numpy": lambda x: np.random.rand() * x,  # noqa: NPY002
        "python": lambda x: random.random() * x,
        "deep": [[]],
        "many": [0],
    }

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_what_cannot_be_told(self, value, monkeypatch):
        if value == [[]]:
            for _ in range(5000):
                value = [value]
        if value == [0]:
            monkeypatch.setattr("sknnopt.checkpoints._content.MOST", 1000)
            for _ in range(20):  # a million ways through 20 lists
                value = [value, value]
        with pytest.raises(Unkeyable):
            digest(value)

    def test_packages_are_known_by_where_they_lie(self, tmp_path, monkeypatch):
        home = tmp_path / "site-packages"
        home.mkdir()
        module_of("package_of_a_user", "", home, monkeypatch)
        module_of("script_of_a_user", "", tmp_path, monkeypatch)
        assert [
            is_installed(name) for name in ("package_of_a_user", "torch.ops", "math", "os.path", "numpy.random")
        ] == [True] * 5
        assert not is_installed("script_of_a_user")
        monkeypatch.setitem(sys.modules, "made_by_hand", types.ModuleType("made_by_hand"))
        assert not is_installed("made_by_hand")


def test_a_scorer_that_asks_the_estimator_counts_by_it(epochs, folder):
    class Careful(NNClassifier):
        cut = 0.5

        def predict(self, rows):
            return (self.predict_proba(rows)[:, 1] > self.cut).astype(int)

    settings = {**QUICK, **STOPPING, "max_epochs": 2, "scoring": "accuracy", "checkpoint": folder}
    for cut in (0.5, 0.5, 0.4):
        Careful.cut = cut
        basic(Careful, **settings).fit(X, Y)
    marked = basic(NNClassifier, **settings)
    marked.note = 1
    marked.fit(X, Y)
    basic(NNClassifier, **settings).fit(X, Y)
    assert epochs["members"] == 2 * 4


class Teacher(nn.Module):
    """Its teacher is not trained, but follows; a buffer grows, and another is None at first."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.own, self.teacher = nn.Linear(n_inputs, n_outputs), nn.Linear(n_inputs, n_outputs).requires_grad_(False)
        self.register_buffer("sizes", torch.zeros(0, dtype=torch.long))
        self.register_buffer("last", None)

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.teacher.weight.lerp_(self.own.weight, 0.1)
            self.sizes = torch.cat([self.sizes, torch.tensor([len(x)])])
            self.last = self.sizes[-1:]
        return self.own(x) + self.teacher(x) * (1 + 0.01 * len(self.sizes))


def test_what_a_module_changes_by_itself_goes_on(epochs, folder):
    again = assert_goes_on(lambda: basic(NNClassifier, **QUICK, network=Teacher, dropout=0.0), epochs, folder)
    assert len(again.module_.sizes) == 4 * 3


def test_of_what_is_not_trained_only_what_has_changed_is_kept(folder):
    def frozen(n_inputs, n_outputs):
        return nn.Sequential(nn.Linear(n_inputs, 500).requires_grad_(False), nn.ReLU(), nn.Linear(500, n_outputs))

    basic(NNClassifier, **QUICK, network=frozen, dropout=0.0, checkpoint=folder).fit(X, Y)
    (path,) = Path(folder.directory).iterdir()
    (key,) = _files.keys(path)
    assert not [name for name in _files.read(path, key).tensors if "0.weight" in name]


class Counting(nn.Linear):
    count = 0

    def forward(self, x):
        self.count += self.training
        return super().forward(x) * (1 + 0.1 * self.count)


class Counted:
    def __init__(self):
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return torch.relu(x) * self.calls


class Annealed(nn.Module):
    """Changes an attribute of one of torch's modules."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.drop, self.last = nn.Dropout(0.1), nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        self.drop.p += 0.001 * self.training
        return self.last(self.drop(x))


class CountingForAll(nn.Linear):
    count = 0

    def forward(self, x):
        CountingForAll.count += self.training
        return super().forward(x) * (1 + 0.1 * self.count)


class Worn(optimizers.SGD):
    """An attribute that is no parameter."""

    steps = 0

    def update(self, gradients, state, parameters, hyper):
        self.steps += 1
        super().update(gradients, state, parameters, hyper)
        parameters.mul_(1 - 0.01 * self.steps)


REMEMBERING = {
    "a module": {"network": Counting},
    "one of torch's modules": {"network": Annealed},
    "a module's class": {"network": CountingForAll},
    "a function": {"activation": Counted()},
    "a technique": {"optimizer": Worn()},
    "torch": {"activation": lambda x: torch.relu(x) * torch.rand(1)},
}


@pytest.mark.parametrize("name", REMEMBERING)
def test_what_remembers_something_by_itself_is_not_kept(name, folder):
    own = REMEMBERING[name]
    with pytest.warns(CheckpointWarning, match="while it trains, something of your own changes"):
        basic(NNClassifier, **QUICK, **own, checkpoint=folder).fit(X, Y)
    assert os.listdir(folder.directory) == []


@pytest.mark.parametrize("after", [5, 7])
def test_a_second_warm_start_goes_on_in_another_process(after, epochs, folder):
    """What it begins with has the same key, whether trained just now or read from a file."""

    def fit(network):
        store_of.__self__.begin()
        return network.set_params(warm_start=True).fit(X, Y).fit(X, Y)

    make = partial(basic, NNClassifier, **QUICK, optimizer="adamw", weight_averaging="ema")
    assert_goes_on(make, epochs, folder, fit, after=after)


def test_a_finished_fit_is_written_before_others_go_on(folder, monkeypatch):
    """Also when nothing else finishes for long."""
    clock, seen = types.SimpleNamespace(monotonic=count().__next__, time=time.time), []
    for module in (_store, _keeper):  # and not the scheduler's threads, each of which would turn it on
        monkeypatch.setattr(module, "time", clock)
    done = _keeper.Keeper.epoch_done

    def epoch_done(self):
        done(self)
        files = [_files.keys(path) for path in Path(folder.directory).glob("*.safetensors")]
        seen.append((sum(map(len, files)), sum(sum(file.values()) for file in files)))

    monkeypatch.setattr(_keeper.Keeper, "epoch_done", epoch_done)
    with lockstep(checkpoint=Checkpoint(folder.directory, interval=10), n_jobs=1, max_members=4) as sweep:
        network = basic(NNClassifier, **QUICK)
        GridSearchCV(network, {"max_epochs": [15, 60]}, cv=2, refit=False).fit(X, Y)
    assert sweep.cohort_sizes == [4]
    assert (4, 0) in seen  # all run
    assert (4, 2) in seen  # two are finished, two run
    assert all(sum_of == 4 for sum_of, _ in seen[seen.index((4, 0)) : -1])


def test_members_of_a_cohort_may_have_directories_of_their_own(tmp_path):
    own = [Checkpoint(tmp_path / name, interval=0) for name in "ab"]
    with lockstep(max_members=2, n_jobs=1) as sweep:
        networks = [(f"n{i}", basic(NNClassifier, **{**QUICK, "random_state": i}, checkpoint=own[i])) for i in (0, 1)]
        VotingClassifier(networks).fit(X, Y)
    assert sweep.cohort_sizes == [2]
    for one in own:
        (path,) = Path(one.directory).iterdir()
        assert list(_files.keys(path).values()) == [True]


class TestDirectoriesThatFail:
    def test_one_that_vanishes_between_fits(self, folder):
        for _ in range(2):
            basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)
            shutil.rmtree(folder.directory)

    def test_one_that_vanishes_while_it_is_written_to(self, folder, monkeypatch):
        def sync(path):
            shutil.rmtree(folder.directory)

        monkeypatch.setattr(_files, "_sync", sync)
        with pytest.warns(CheckpointWarning, match="could not be written"):
            basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)

    def test_what_safetensors_cannot_write(self, folder, monkeypatch):
        whole = basic(NNClassifier, **QUICK).fit(X, Y)
        monkeypatch.setattr(
            _files, "_checksum", lambda *args: shutil.rmtree(folder.directory, ignore_errors=True) or ""
        )
        with pytest.warns(CheckpointWarning, match="could not be written to .*No such file"):
            same(basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y), whole)

    def test_results_that_cannot_be_written_do_not_fill_the_memory(self, folder, monkeypatch):
        monkeypatch.setattr("sknnopt.checkpoints._store.MOST_BYTES", 10)
        monkeypatch.setattr(_files, "save_file", lambda *args: (_ for _ in ()).throw(OSError("full")))
        store = folder.store()
        with pytest.warns(CheckpointWarning, match="full"):
            store.add([_files.Entry("key", True, {}, {"x": torch.zeros(100)})], 0.0)
        assert store.find("key") is None

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
    @pytest.mark.timeout(60)
    def test_what_is_no_file_is_left_alone(self, folder):
        Path(folder.directory).mkdir()
        os.mkfifo(Path(folder.directory) / "sknnopt-00-final-1.safetensors")
        (Path(folder.directory) / "sknnopt-01-final-1.safetensors").mkdir()
        basic(NNClassifier, **QUICK, checkpoint=folder).fit(X, Y)

    def test_names(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("USERPROFILE", str(tmp_path))
        basic(NNClassifier, **QUICK, checkpoint="~/kept").fit(X, Y)
        assert (tmp_path / "kept").is_dir()
        with pytest.raises(ValueError, match=r"'checkpoint' parameter must be a directory. Got '' instead"):
            basic(NNClassifier, **QUICK, checkpoint="").fit(X, Y)
