"""Arrays that stay in their file: what is learnt from them, in which order, and how much memory that takes."""

import inspect
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from sklearn.base import clone
from skorch.callbacks import EpochScoring
from support import basic
from torch import nn

from sknnopt import NNClassifier, NNRegressor, lockstep
from sknnopt._random import MemberRandom
from sknnopt.data import TableEncoder, on_disk, summary
from sknnopt.data.batches import Table
from sknnopt.data.on_disk import EncodedOnDisk, OnDisk, stays_on_disk
from sknnopt.losses import Quantile

ToDisk = Callable[[NDArray[Any]], Any]

generator = np.random.default_rng(0)
N = 6000
X = generator.standard_normal((N, 7)).astype(np.float32)
X[:, 1] = np.exp(2 * X[:, 1])
X[:, 2] = np.where(generator.random(N) < 0.8, 0, X[:, 2])
X[generator.random(N) < 0.05, 3] = np.nan
X[:, 4] = generator.integers(0, 5, N)
X[:, 5] = 1
y = (np.nan_to_num(X[:, 3]) + X[:, 0] * X[:, 4] - np.log(X[:, 1]) > 0).astype(int)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (16,), "max_epochs": 2, "random_state": 0}


@pytest.fixture
def to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToDisk:
    """Return what puts an array into a file, in which it is to stay: however small, and in many windows."""
    monkeypatch.setattr(on_disk, "IN_MEMORY", 0)
    monkeypatch.setattr(on_disk, "BLOCKS", 16)
    monkeypatch.setattr(on_disk, "WINDOW_ROWS", 640)
    monkeypatch.setattr(on_disk, "_CHUNK", 7000)

    def put(values: NDArray[Any]) -> Any:
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        np.save(path.with_suffix(".npy"), values)
        return np.load(path.with_suffix(".npy"), mmap_mode="r")

    return put


def test_what_stays_on_disk(to_disk: ToDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    table = to_disk(X)
    views = [table, table[10:], table[:, 2:], np.asarray(table), np.asarray(table)[5:], table.T]
    assert all(stays_on_disk(one) for one in views)
    assert not any(stays_on_disk(one) for one in (X, X[5:], table[[1, 2]], table + 1, table.tolist(), y, None))
    for size, stays in ((X.nbytes, False), (X.nbytes - 1, True)):
        monkeypatch.setattr(on_disk, "IN_MEMORY", size)
        assert stays_on_disk(table) == stays


def test_what_joblib_puts_into_a_file_was_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f'"{on_disk._JOBLIB}_' in inspect.getsource(joblib._memmapping_reducer)
    monkeypatch.setattr(on_disk, "IN_MEMORY", 0)
    for folder, stays in ((f"{on_disk._JOBLIB}_1_abc", False), ("data", True)):
        (tmp_path / folder).mkdir()
        table = np.memmap(tmp_path / folder / "X", np.float32, "w+", shape=(10, 2))
        assert stays_on_disk(table[2:]) == stays


@pytest.mark.parametrize("layout", ["plain", "by columns", "columns", "every other", "unaligned", "swapped"])
def test_reading_rows_takes_no_more_than_these(tmp_path: Path, layout: str) -> None:
    """numpy's take would copy the whole of an array that is not plain, for each batch."""
    path, shape, kind = tmp_path / "X", (100_000, 10), ">f4" if layout == "swapped" else "f4"
    order: Any = "F" if layout == "by columns" else "C"
    table = np.memmap(path, kind, "w+", 3 if layout == "unaligned" else 0, shape, order)
    table[:] = np.arange(len(table))[:, None]
    view = {"columns": table[:, 2:], "every other": table[::2]}.get(layout, table)
    rows = np.array([0, 7, 40_000])
    tracemalloc.start()
    found = OnDisk(view).read(rows)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_array_equal(found, view[rows])
    assert most < 100_000


@pytest.mark.parametrize("layout", ["F", "swapped"])
def test_a_fit_does_not_depend_on_how_numbers_lie(to_disk: ToDisk, layout: str) -> None:
    table = np.asfortranarray(X) if layout == "F" else X.astype(">f4")
    network = basic(NNClassifier, **QUICK, early_stopping=True)
    expected = clone(network).fit(to_disk(X), y).predict_proba(X)
    assert_array_equal(network.fit(to_disk(table), y).predict_proba(to_disk(table)), expected)


@pytest.mark.parametrize("numbers", ["robust", "auto", "standard", "quantile_normal"])
@pytest.mark.parametrize("weighted", [False, True])
def test_encoders_are_those_of_an_array_within_a_sample(to_disk: ToDisk, numbers: str, weighted: bool) -> None:
    weight = generator.integers(0, 3, N).astype(float) if weighted else None
    expected = TableEncoder(numbers=numbers, categorical_features=[4]).fit(X, sample_weight=weight)
    table = OnDisk(to_disk(X))
    found = TableEncoder(numbers=numbers, categorical_features=[4]).fit_on_disk(table, weight, seed=0)
    assert_array_equal(found.transform(X), expected.transform(X))
    assert_array_equal(found.on_disk(table, seed=0)[:], expected.transform(X))
    assert found.categories_[0].tolist() == expected.categories_[0].tolist()


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int64, np.uint8, np.bool_])
def test_other_types_of_numbers(to_disk: ToDisk, kind: Any) -> None:
    table = np.nan_to_num(X[:, [0, 4, 5]] * 3).astype(kind)
    expected = TableEncoder().fit(table)
    found = TableEncoder().fit_on_disk(OnDisk(to_disk(table)), seed=0)
    assert_array_equal(found.transform(table), expected.transform(table))


@pytest.mark.parametrize("numbers", ["robust", "auto", "standard", "quantile_normal"])
def test_beyond_a_sample_all_but_quantiles_is_exact(
    to_disk: ToDisk, numbers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 1500)
    values = X.copy()
    values[[17, 4000], 5] = 0, 5  # rare, and so in no sample but by chance
    values[4001, 6] = np.nan
    values[4002, 0] = 1e4
    rows = np.ones(N)
    rows[4500:] = 0
    values[4600, 0] = 1e9  # a row that does not count
    expected = TableEncoder(numbers=numbers, categorical_features=[4]).fit(values, sample_weight=rows)
    found = TableEncoder(numbers=numbers, categorical_features=[4]).fit_on_disk(OnDisk(to_disk(values)), rows, seed=0)
    assert found.indicator_columns_.tolist() == expected.indicator_columns_.tolist() == [3, 6]
    assert found.categories_[0].tolist() == expected.categories_[0].tolist()
    ours, theirs = (one.transform(values[:4500]) for one in (found, expected))
    assert ours.shape == theirs.shape
    if numbers == "standard":
        assert_allclose(found.center_, expected.center_, rtol=1e-6, atol=1e-7)
        assert_allclose(found.scale_, expected.scale_, rtol=1e-6)
    assert_allclose(ours, theirs, atol=0.5)
    assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), atol=0.12)


def test_a_missing_value_beside_numbers_that_are_all_the_same_is_kept(
    to_disk: ToDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ends of the column are put into a sample in which it has one number and a missing one."""
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 1000)
    places = summary._sample_places(N, 1, 0)
    values = np.ones((N, 1))
    values[places[1]] = np.nan
    values[np.setdiff1d(np.arange(N), places)[0]] = 2
    assert TableEncoder().fit_on_disk(OnDisk(to_disk(values)), seed=0).indicator_columns_.tolist() == [0]


@pytest.mark.skipif(np.finfo(np.longdouble).max <= np.finfo(float).max, reason="a long double is a double here")
@pytest.mark.parametrize("numbers", ["robust", "standard"])
def test_long_doubles_beyond_float64_are_refused(
    to_disk: ToDisk, numbers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 1000)
    table = to_disk(np.full((N, 1), np.longdouble("1e400")))
    with pytest.raises(ValueError, match="Input X contains infinity or a value too large for dtype"):
        TableEncoder(numbers=numbers).fit_on_disk(OnDisk(table), seed=0)


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_rows_to_withhold_any(to_disk: ToDisk, rows: int) -> None:
    network = basic(NNRegressor, **QUICK, early_stopping=True, validation_fraction=0.9)
    with pytest.raises(ValueError, match=f"n_samples={rows} leaves none to train on; use early_stopping=False"):
        network.fit(to_disk(X[:rows]), X[:rows, 0])


def test_the_sample_follows_from_the_seed(to_disk: ToDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 1000)
    table = OnDisk(to_disk(X))
    one, same, other = (TableEncoder().fit_on_disk(table, seed=seed).center_ for seed in (0, 0, 1))
    assert_array_equal(one, same)
    assert (one != other).any()


def _order(rows: NDArray[Any], seed: int, member: int, epoch: int = 0) -> NDArray[Any]:
    table = Table(EncodedOnDisk(OnDisk(X), lambda part: part, np.float32, seed), torch.from_numpy(y))
    order = table.order(rows, len(rows) + 9, epoch, MemberRandom(np.random.SeedSequence(member), torch.device("cpu")))
    assert len(order) == len(rows) + 9
    parts = [order[start : start + 100] for start in range(0, len(order), 100)]
    assert_array_equal(order[: len(order)], torch.cat(parts))
    return torch.cat(parts).numpy()


@pytest.mark.usefixtures("to_disk")
def test_each_epoch_has_every_row_once_and_few_blocks_at_a_time() -> None:
    rows = np.delete(np.arange(N), np.arange(0, N, 7))
    order = _order(rows, 0, 0)
    assert_array_equal(np.sort(order[: len(rows)]), rows)
    assert (order[len(rows) :] == order[0]).all()
    places = np.searchsorted(rows, order[:500])
    assert len(np.unique(places // 40)) <= 16  # blocks of 640 / 16 rows
    assert (np.diff(order[:500]) == 1).mean() < 0.05
    assert not np.array_equal(order, _order(rows, 0, 0, epoch=1))
    assert not np.array_equal(order, _order(rows, 1, 0))
    assert_array_equal(order, _order(rows, 0, 0))
    other = _order(rows, 0, 1)  # another member of the fit: the same windows, mixed otherwise
    assert not np.array_equal(order, other)
    assert_array_equal(np.sort(order[:500]), np.sort(order[:500]))
    assert len(np.intersect1d(order[:600], other[:600])) > 500


def test_members_are_the_same_alone_and_together(to_disk: ToDisk) -> None:
    table, network = to_disk(X), basic(NNClassifier, **QUICK)
    alone = network.fit(table, y).predict_proba(X)
    with lockstep():
        found = Parallel()(delayed(_fit)(network, rate, table) for rate in (0.1, network.learning_rate, 0.3))
    assert_array_equal(found[1], alone)
    assert not np.array_equal(found[0], alone)


def _fit(network: Any, rate: Any, table: Any) -> Any:
    return clone(network).set_params(learning_rate=rate).fit(table, y).predict_proba(X)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_callbacks_see_rows_that_are_read_when_asked_for(to_disk: ToDisk) -> None:
    scores = [EpochScoring("accuracy", on_train=train, lower_is_better=False, name=f"of_{train}") for train in (0, 1)]
    network = basic(NNClassifier, **QUICK, early_stopping=True, callbacks=scores).fit(to_disk(X), y)
    assert all(0.5 < record[name] <= 1 for record in network.net_.history for name in ("of_0", "of_1"))


SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "ensemble": {"n_members": 4, "early_stopping": True},
    "categories": {"categorical_features": [4], "categorical_embedding": 2, "numeric_embedding": "piecewise_linear"},
    "batch norm, averaged": {"normalization": "batch", "weight_averaging": "ema"},
    "scorer": {"early_stopping": True, "scoring": "accuracy"},
    "rate found": {"learning_rate": "auto"},
    "own network": {"network": lambda i, o: nn.Sequential(nn.Linear(i, 16), nn.ReLU(), nn.Linear(16, o))},
    "weights": {"class_weight": "balanced"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_fit_is_as_good_as_in_memory(to_disk: ToDisk, name: str) -> None:
    settings = {**QUICK, "max_epochs": 8, "learning_rate": 0.01, **SETTINGS[name]}
    order = np.argsort(y, kind="stable")  # the worst case for blocks
    table = to_disk(X[order])
    weight = None if name != "weights" else np.where(np.arange(N) % 5, 1.0, 0.0)
    found = basic(NNClassifier, **settings).fit(table, y[order], sample_weight=weight)
    expected = basic(NNClassifier, **settings).fit(X[order], y[order], sample_weight=weight)
    assert abs(found.score(table, y[order]) - expected.score(X, y)) < 0.02
    assert_array_equal(found.predict_proba(table), found.predict_proba(X[order]))
    assert found.n_validation_samples_ == expected.n_validation_samples_
    if found.n_validation_samples_ == 0:
        assert_array_equal(found.preprocessor_.center_, expected.preprocessor_.center_)


def test_every_method_goes_through_it_in_pieces(to_disk: ToDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sknnopt.estimators._pieces.PIECE", 7000)
    table = to_disk(X)
    classifier = basic(NNClassifier, **QUICK).fit(X, y)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        assert_array_equal(getattr(classifier, method)(table), getattr(classifier, method)(X))
    regressor = basic(NNRegressor, **QUICK, loss=Quantile(quantile=[0.1, 0.9])).fit(table, X[:, 0])
    for method in ("predict", "predict_quantiles"):
        assert_array_equal(getattr(regressor, method)(table), getattr(regressor, method)(X))
    assert regressor.score(table, X[:, 0]) == regressor.score(X, X[:, 0])


def test_partial_fit_warm_start_and_given_rows_to_judge_by(to_disk: ToDisk) -> None:
    table = to_disk(X)
    network = basic(NNClassifier, **QUICK).partial_fit(table[:3000], y[:3000]).partial_fit(table[3000:], y[3000:])
    assert network.n_iter_ == 2
    network = basic(NNClassifier, **{**QUICK, "warm_start": True}, early_stopping=True)
    network.fit(table, y, X_val=table[:500], y_val=y[:500]).fit(table, y, X_val=table[:500], y_val=y[:500])
    assert network.n_validation_samples_ == 500
    assert network.temperature_ != 1


def test_rows_of_more_axes_for_a_network_of_ones_own(to_disk: ToDisk) -> None:
    images = np.nan_to_num(X[:, :6]).reshape(N, 2, 3)
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 2))
    network = basic(NNClassifier, **QUICK, network=module, preprocessing=None).fit(to_disk(images), y)
    assert_array_equal(network.predict(to_disk(images)), network.predict(images))


@pytest.mark.parametrize(("preprocessing", "value"), [("auto", np.inf), (None, np.nan), (None, np.inf)])
def test_bad_values_are_found_before_training(to_disk: ToDisk, preprocessing: Any, value: float) -> None:
    bad = np.nan_to_num(X)
    network = basic(NNClassifier, **QUICK, preprocessing=preprocessing)
    with pytest.raises(ValueError, match="Input X contains") as expected:
        network.fit(_with(bad, value), y)
    with pytest.raises(ValueError, match="Input X contains") as found:
        network.fit(to_disk(_with(bad, value)), y)
    assert str(found.value) == str(expected.value)
    network.partial_fit(to_disk(bad), y)
    with pytest.raises(ValueError, match="Input X contains"):
        network.partial_fit(to_disk(_with(bad, value)), y)
    with pytest.raises(ValueError, match="Input X contains"):
        network.predict(to_disk(_with(bad, value)))
    with pytest.raises(ValueError, match="is expecting 7 features"):
        network.predict(to_disk(bad[:, :6]))


def _with(values: NDArray[Any], value: float) -> NDArray[Any]:
    values = values.copy()
    values[5000, 3] = value
    return values


def test_no_statistic_comes_from_withheld_rows(to_disk: ToDisk) -> None:
    settings = {**QUICK, "early_stopping": True, "n_members": 2}
    table = to_disk(X)
    network = basic(NNClassifier, **settings).fit(table, y)
    withheld = _withheld(network, table)
    assert 0 < len(withheld) < N
    changed = X.copy()
    changed[withheld] = 1e3
    again = basic(NNClassifier, **settings).fit(to_disk(changed), y).preprocessor_
    assert_array_equal(again.center_, network.preprocessor_.center_)
    assert_array_equal(again.scale_, network.preprocessor_.scale_)


def _withheld(network: Any, table: Any) -> NDArray[Any]:
    prepared = network._prepare(table, y, None, (None, None, None), reset=True)
    return np.setdiff1d(np.arange(N), prepared.rows)


def test_withheld_rows_are_at_most_a_sample(to_disk: ToDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "SAMPLE_ROWS", 300)
    network = basic(NNClassifier, **QUICK, early_stopping=True).fit(to_disk(X), y)
    assert network.n_validation_samples_ == 300


def test_a_digest_covers_rows_encoding_and_order(to_disk: ToDisk) -> None:
    def digest(values: NDArray[Any], encoder: TableEncoder, seed: int = 0) -> str:
        parts = list(encoder.on_disk(OnDisk(to_disk(values)), seed=seed).digest_chunks())
        assert all(part.flags.c_contiguous for part in parts)
        assert sum(len(part) for part in parts[1:]) == N
        return str(joblib.hash(parts))

    encoder = TableEncoder().fit(X)
    changed = X.copy()
    changed[4321, 0] += 1
    known = digest(X, encoder)
    assert known == digest(X, encoder)
    assert (
        len(
            {known, digest(changed, encoder), digest(X, TableEncoder(numbers="standard").fit(X)), digest(X, encoder, 1)}
        )
        == 4
    )


MEASURE = """
import sys, threading, warnings
import numpy as np
from sknnopt import NNClassifier
from sknnopt.data import on_disk, summary

summary.SAMPLE_ROWS = 2000
on_disk.WINDOW_BYTES = 1 << 21
X = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(X)) % 2
settings = dict(numeric_embedding=None, hidden_layer_sizes=(8,), max_epochs=1, n_members=2, batch_size=512,
                early_stopping=True, random_state=0)
NNClassifier(**settings).fit(np.array(X[:2000]), y[:2000]).predict(X[:2000])

def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

def peak():
    before = most = anonymous()
    done = threading.Event()

    def watch():
        nonlocal most
        while not done.wait(0.002):
            most = max(most, anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    NNClassifier(**settings).fit(X, y).score(X, y)
    done.set()
    thread.join()
    return (most - before) * 1024

for on_disk.IN_MEMORY in (0, 1 << 30):
    print(peak())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_memory_is_a_small_part_of_the_file(tmp_path: Path) -> None:
    table = generator.standard_normal((30_000, 200), dtype=np.float32)
    np.save(tmp_path / "X.npy", table)

    command = [sys.executable, "-c", MEASURE, str(tmp_path / "X.npy")]
    taken = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    on_disk_peak, in_memory = map(int, taken)
    assert on_disk_peak < 0.4 * table.nbytes
    assert in_memory > table.nbytes
