"""Run by itself: work in forked and spawned children of a process whose torch has run and trained with two threads.

Prints, by the name of the work, "same" (bits as in the parent), "other", or what went wrong; "hung" after 30 seconds.
"""

import faulthandler
import json
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from soaked import Small, X, Y, network
from torch import nn

import sknnopt
from sknnopt import export_torch, lockstep
from sknnopt._random import forked_torch_random
from sknnopt.engine.footprint import _turns
from sknnopt.model_selection._scheduler import current_task

SECONDS = 30
WIDE = {"hidden_layer_sizes": (300, 300), "max_epochs": 1}


class Wide(nn.Module):
    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_inputs, 9000), nn.ReLU(), nn.Linear(9000, n_outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def in_a_fork(work: Callable[[], Any], expected: Any) -> str:
    """Do a piece of work in a forked child."""
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(SECONDS - 2, exit=False)
        try:
            os._exit(0 if np.array_equal(work(), expected) else 3)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(4)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return {0: "same", 3: "other"}.get(os.waitstatus_to_exitcode(status), "raised")
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


def fitted(seed: int) -> Any:
    """What workers of a pool do."""
    return network(random_state=seed).fit(X, Y).predict_proba(X)


def sweep() -> Any:
    with lockstep(n_jobs=2):
        return cross_val_score(network(), X, Y, cv=3)


def search_in_threads() -> Any:
    search = GridSearchCV(network(), {"learning_rate": [1e-3, 1e-2]}, cv=2)
    with lockstep(n_jobs=1):
        return search.fit(X, Y).cv_results_["mean_test_score"]


def hold(lock: Any, held: threading.Event, release: threading.Event) -> None:
    with lock:
        held.set()
        release.wait(100)


def with_locks_held(work: Callable[[], Any]) -> str:
    """Fork while other threads hold the process's locks, and while a sweep's threads hold theirs."""
    expected, held, release = work(), [threading.Event(), threading.Event()], threading.Event()

    stop = threading.Event()

    def keep_sweeping() -> None:
        while not stop.is_set():
            sweep()

    threads = [
        threading.Thread(target=hold, args=(forked_torch_random(), held[0], release)),
        threading.Thread(target=hold, args=(_turns.taken(), held[1], release)),
        threading.Thread(target=keep_sweeping),
    ]
    for thread in threads:
        thread.start()
    for event in held:
        event.wait(30)
    found = {in_a_fork(work, expected) for _ in range(3)}
    release.set()
    stop.set()
    for thread in threads:
        thread.join()
    return "same" if found == {"same"} else ", ".join(sorted(found))


def inside_a_task() -> str:
    """Fork within a task while another thread holds its sweep's lock; the sweep's threads are not in the child."""
    found: list[str] = []
    works = [lambda: fitted(7), sweep, lambda: cross_val_score(network(), X, Y, cv=2, n_jobs=2)]
    expected = [work() for work in works]

    def score(estimator: Any, X: Any, y: Any) -> float:
        if found:
            return 0.0
        task = current_task()
        assert task is not None
        held, release = threading.Event(), threading.Event()
        holder = threading.Thread(target=hold, args=(task.call.sweep.scheduler._lock, held, release))
        holder.start()
        held.wait(30)
        found.extend(in_a_fork(work, one) for work, one in zip(works, expected, strict=True))
        release.set()
        holder.join()
        return 0.0

    with lockstep(n_jobs=1):
        cross_val_score(network(), X, Y, cv=2, scoring=score)
    return "same" if found == ["same"] * 3 else ", ".join(found)


def in_a_pool(method: str) -> str:
    with multiprocessing.get_context(method).Pool(2 if method == "fork" else 1) as pool:
        found = pool.map_async(fitted, range(3)).get(60)
    return "same" if np.array_equal(found, [fitted(seed) for seed in range(3)]) else "other"


def main() -> None:
    torch.set_num_threads(2)
    wide, own = network(**WIDE).fit(X, Y), network(network=Wide, max_epochs=1).fit(X, Y)
    going = network(**WIDE, warm_start=True, optimizer="adam").fit(X, Y)
    a = torch.randn(600, 600, requires_grad=True)
    (a @ a).exp().sum().backward()  # now torch has threads, which no child will have
    stored = pickle.dumps(wide), pickle.dumps(going)
    folder = Path(tempfile.mkdtemp())
    sknnopt.save(wide, folder / "wide")
    built = network(network=Wide(4, 3), max_epochs=1)

    def saved() -> Any:
        sknnopt.save(wide, folder / "again")
        return sknnopt.load(folder / "again").predict_proba(X)

    works: dict[str, Callable[[], Any]] = {
        "predict": lambda: wide.predict_proba(X),
        "predict with a network of one's own": lambda: own.predict_proba(X),
        "unpickle": lambda: pickle.loads(stored[0]).predict_proba(X),
        "unpickle a training": lambda: pickle.loads(stored[1]).fit(X, Y).predict_proba(X),
        "load": lambda: sknnopt.load(folder / "wide").predict_proba(X),
        "save": saved,
        "export": lambda: sum(len(one.state_dict()) for one in [export_torch(wide)]),
        "clone": lambda: [clone(built).get_params(deep=False)["network"].layers[0].weight.numel()],
        "fit": lambda: network(**WIDE).fit(X, Y).predict_proba(X),
        "fit a network of one's own": lambda: network(network=Small).fit(X, Y).predict_proba(X),
        "partial_fit": lambda: pickle.loads(stored[1]).partial_fit(X, Y).predict_proba(X),
        "sweep": sweep,
        "a search in threads": search_in_threads,
    }
    found = {name: in_a_fork(work, work()) for name, work in works.items()}
    found["with locks held"] = with_locks_held(lambda: network(network=Small).fit(X, Y).predict_proba(X))
    found["inside a sweep's task"] = inside_a_task()
    found |= {f"{method} pool": in_a_pool(method) for method in ("fork", "spawn")}
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message=".*multi-threaded.*", category=DeprecationWarning)  # from Python 3.12 on
    main()
