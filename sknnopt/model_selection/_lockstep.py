"""The ``with`` block that puts scikit-learn in lockstep, and its name in joblib."""

import os
from contextlib import AbstractContextManager
from numbers import Integral
from types import TracebackType
from typing import Any, Self

from joblib import parallel_config, register_parallel_backend
from joblib.parallel import ParallelBackendBase, SequentialBackend, ThreadingBackend

from sknnopt._choices import suggestion
from sknnopt._compat import FallbackToBackend, InvalidParameterError
from sknnopt.checkpoints import Checkpoint
from sknnopt.checkpoints._checkpoint import default_checkpoint, resolve_checkpoint
from sknnopt.model_selection._backend import NestedBackend
from sknnopt.model_selection._bundles import BundleBackend
from sknnopt.model_selection._scheduler import current_task
from sknnopt.model_selection._sweep import Sweep
from sknnopt.model_selection._tokens import WIDTH


class LockstepBackend(NestedBackend):
    """The joblib backend "lockstep": runs tasks in threads, where fits wait for each other and train together.

    Parameters
    ----------
    max_members, n_jobs, backend, verbose, checkpoint
        See :class:`lockstep`.
    nesting_level, inner_max_num_threads
        joblib's.
    """

    def __init__(
        self,
        max_members: int | str = "auto",
        n_jobs: int | None = None,
        backend: str | ParallelBackendBase | None = None,
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
    ) -> None:
        _check("max_members", max_members, "auto", least=1)
        _check("n_jobs", n_jobs, None)
        _check("verbose", verbose, False, least=0)
        if not isinstance(backend, str | ParallelBackendBase | None):
            raise InvalidParameterError(
                "The 'backend' parameter of lockstep must be a joblib backend, its name or None. "
                f"Got {backend!r} instead."
            )
        kept = resolve_checkpoint(checkpoint, " of lockstep")
        super().__init__(Sweep(max_members, n_jobs, verbose, checkpoint=kept), nesting_level, inner_max_num_threads)
        self.workers = None if backend is None else _worker_backend(backend)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: str | None = None,
        require: str | None = None,
        **options: Any,
    ) -> int:
        """Hand the call over to a backend of its own: threads here, or the workers that the user prefers."""
        workers = self.workers
        if workers is None and prefer == "processes":
            workers = _worker_backend("loky")
        alone = current_task() is None and not parallel.return_generator and require != "sharedmem"
        if workers is not None and alone:
            raise FallbackToBackend(BundleBackend(self.sweep.anew(), workers, WIDTH))
        return super().configure(n_jobs, parallel, prefer, require, **options)

    def _sweep_of_call(self) -> Sweep:
        """Return the sweep of the task around the call, or a new one."""
        task = current_task()
        return self.sweep.anew() if task is None else task.call.sweep


def _check(name: str, value: Any, other: Any, least: int | None = None) -> None:
    """Refuse what is neither an integer nor the one other value."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if (whole and (int(value) != 0 if least is None else int(value) >= least)) or (
        value == other and type(value) is not int
    ):
        return
    kind = "an integer other than 0" if least is None else f"an integer of at least {least}"
    hint = suggestion(value, ["auto"]) if isinstance(value, str) and other == "auto" else ""
    raise InvalidParameterError(
        f"The '{name}' parameter of lockstep must be {kind} or {other!r}. Got {value!r} instead.{hint}"
    )


def _worker_backend(backend: str | ParallelBackendBase) -> ParallelBackendBase | None:
    """Return joblib's backend of a name; None if it is one of this process, as lockstep is itself."""
    if isinstance(backend, str):
        config = parallel_config(backend=backend)
        config.unregister()
        backend = config.parallel_config["backend"]
    here = isinstance(backend, NestedBackend | SequentialBackend | ThreadingBackend)
    return None if here else backend


register_parallel_backend("lockstep", LockstepBackend)


class lockstep:
    """Train the networks of every scikit-learn call inside the block together, in cohorts.

    Searches, cross-validation and meta-estimators run their candidates, folds and parts in threads, and each network's
    ``fit`` waits until enough others like it are there; they train as one stacked network. Scores and weights are, to
    the bit, those of one fit after another.

    Parameters
    ----------
    max_members : int or "auto", default="auto"
        Members a cohort at most; "auto" is what suits the networks' shape and the memory.
    n_jobs : int or None, default=None
        Cohorts, and tasks between their fits, that may run at once, each in one thread. None takes what the call
        itself asks for by its own ``n_jobs``, and all cores if it asks for nothing.
    backend : str, joblib backend or None, default=None
        Whose workers to use: "loky" for processes, "dask", "ray". Each is sent bundles of tasks, which train in
        lockstep there. None takes the backend of a :func:`joblib.parallel_config` around the block, if there is one,
        and else threads of this process.
    verbose : int, default=0
        Whether to show progress.
    checkpoint : str, path-like, Checkpoint or None, default=None
        Directory where every fit inside the block that has none of its own is kept, in this process and on workers:
        running the script again after it was killed trains what had been trained not again, and goes on with what was
        under way; see :mod:`sknnopt.checkpoints`.

    Attributes
    ----------
    cohort_sizes : list of int
        Members of each cohort that was started, in order.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import NNClassifier, lockstep
    >>> network = NNClassifier(n_members=1, max_epochs=20, random_state=0)
    >>> search = GridSearchCV(network, {"learning_rate": [1e-3, 1e-2]})
    >>> with lockstep(n_jobs=1) as sweep:
    ...     search = search.fit(*load_iris(return_X_y=True))
    >>> sweep.cohort_sizes
    [10]
    """

    def __init__(
        self,
        max_members: int | str = "auto",
        n_jobs: int | None = None,
        *,
        backend: str | ParallelBackendBase | None = None,
        verbose: int = 0,
        checkpoint: str | os.PathLike[str] | Checkpoint | None = None,
    ) -> None:
        self.max_members, self.n_jobs, self.backend, self.verbose = max_members, n_jobs, backend, verbose
        self.checkpoint = checkpoint
        self._backend = LockstepBackend(max_members, n_jobs, backend, verbose, checkpoint)
        self._configs: list[parallel_config] = []
        self._blocks: list[AbstractContextManager[None]] = []

    def __enter__(self) -> Self:
        self._configs.append(parallel_config(backend=self._backend))
        around = self._configs[-1].old_parallel_config["backend"]
        if self.backend is None and isinstance(around, ParallelBackendBase):
            self._backend.workers = _worker_backend(around)
        self._blocks.append(default_checkpoint(self._backend.sweep.checkpoint))
        self._blocks[-1].__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._blocks.pop().__exit__(None, None, None)
        self._configs.pop().unregister()

    @property
    def cohort_sizes(self) -> list[int]:
        """Members of each cohort that was started, in order."""
        return self._backend.sweep.cohort_sizes
