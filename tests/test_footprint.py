"""What training takes in memory: every tensor counted, the same whoever trains beside."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from support import basic
from torch import nn

from sknnopt import NNClassifier, compare, lockstep
from sknnopt.engine import Job, Result, attend, peak_bytes
from sknnopt.optimizers import SGD, Adam

X, y = load_digits(return_X_y=True)
NETWORK = basic(NNClassifier, hidden_layer_sizes=(32,), max_epochs=2, random_state=0)


class Stop(BaseException):
    """Ends a fit that has come to its training."""


class Catch:
    """A meeting that keeps jobs instead of training them."""

    def train(self, jobs: Any) -> list[Result]:
        self.jobs = list(jobs)
        raise Stop

    def share(self, table: Any) -> Any:
        return table


def jobs_of(X: Any = X, **parameters: Any) -> list[Job]:
    meeting = Catch()
    network = basic(NNClassifier, **{**NETWORK.get_params(deep=False), **parameters})
    with attend(meeting), pytest.raises(Stop):
        network.fit(X, y[: X.shape[0]])
    return meeting.jobs


def footprint(**parameters: Any) -> int:
    return peak_bytes(jobs_of(**parameters))


def test_each_moment_of_an_optimizer_counts() -> None:
    size = 4 * jobs_of()[0].network.layout.size
    plain = footprint(optimizer=SGD(momentum=0.0))
    assert footprint(optimizer=SGD(momentum=0.9)) - plain >= size
    assert footprint(optimizer=Adam()) - plain >= 2 * size


def test_rows_count_once_and_all_of_them() -> None:
    few, many = peak_bytes(jobs_of(X[:900])), peak_bytes(jobs_of(X[:1700]))
    tables = [jobs_of(X[:n])[0].table for n in (900, 1700)]
    rows = [table.inputs.nbytes + table.target.nbytes for table in tables]
    assert abs(many - few - (rows[1] - rows[0])) < 0.01 * rows[0]


def test_it_is_at_least_what_the_weights_take_and_less_than_twice_an_account_of_all() -> None:
    job = jobs_of(hidden_layer_sizes=(256, 256))[0]
    parameters, rows = 4 * job.network.layout.size, job.table.inputs.nbytes + job.table.target.nbytes
    units, batch = 64 + 4 * (256 + 256 + 10), 4 * job.techniques.batch_size
    account = 7 * parameters + rows + units * batch
    assert rows + 5 * parameters < peak_bytes([job]) < 2 * account


def test_members_of_an_ensemble_and_withheld_rows_count() -> None:
    plain = footprint()
    assert footprint(n_members=2) > plain + 4 * 4 * jobs_of()[0].network.layout.size
    assert footprint(early_stopping=True, validation_fraction=0.5) > plain


def test_sparse_rows_and_networks_of_ones_own() -> None:
    class Net(nn.Module):
        def __init__(self, n_inputs: int, n_outputs: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(n_inputs, 500), nn.ReLU(), nn.Linear(500, n_outputs))

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.inner(rows)

    thin = sparse.random_array((900, 400), density=0.01, format="csr", random_state=0, dtype=np.float32)
    assert footprint(X=thin) < 4 * 900 * 400 < footprint(X=thin.toarray())
    assert footprint(network=Net) > 4 * 4 * (64 * 500 + 500 * 10)


def test_it_does_not_depend_on_who_trains_beside_it() -> None:
    candidates = {"optimizer": ["sgd", "adam"], "hidden_layer_sizes": [8, (16, 16)]}
    found = []
    for members in (1, 16):
        with lockstep(max_members=members, n_jobs=2):
            found.append(compare(NETWORK, X[:300], y[:300], candidates, cv=3).results_["memory_bytes"].tolist())
    assert found[0] == found[1]
    assert len(set(found[0])) == 4


def test_measuring_leaves_nothing_behind() -> None:
    jobs = jobs_of(dropout=0.5)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert peak_bytes(jobs) == peak_bytes(jobs)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()  # noqa: NPY002
    assert not torch.utils._python_dispatch.is_in_torch_dispatch_mode()
