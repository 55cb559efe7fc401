"""What both estimators share: from ``fit`` to the engine and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from sknnopt._compat import CALLBACK_STATE, CallbackSupportMixin, torn_down
from sknnopt._memory import OutOfMemoryError, explained, is_out_of_memory, let_go
from sknnopt._threads import single_thread
from sknnopt.data.encoding import ROBUST
from sknnopt.data.reading import is_plain
from sknnopt.engine import train
from sknnopt.estimators._checkpointed import checkpoint_of
from sknnopt.estimators._data import Prepared, as_two_dimensional, check_held_out, encode
from sknnopt.estimators._inputs import takes_sparse
from sknnopt.estimators._jobs import Going, JobsMixin
from sknnopt.estimators._preparation import PRECISIONS
from sknnopt.estimators._presets import PresetsMixin
from sknnopt.estimators._range_test import AutoRateMixin
from sknnopt.estimators._restarts import best_of_kinds
from sknnopt.estimators._tasks import Tasks
from sknnopt.nn import predict_scores

TOO_MANY_ROWS = (
    "Pass fewer rows or columns, float32 instead of float64, or a numpy.memmap, whose rows are read a batch at a time."
)


class NetworkEstimator(CallbackSupportMixin, PresetsMixin, AutoRateMixin, JobsMixin):
    """Base of :class:`~sknnopt.NNClassifier` and :class:`~sknnopt.NNRegressor`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]]
    _places: list[int]
    _fitted_shape: dict[str, Any]

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like, frame or sparse matrix of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            A zero weight is the row left out, an integer weight the row repeated.
        X_val, y_val, sample_weight_val : default=None
            Rows to judge epochs by, instead of rows withheld from `X`. They must not have the length of `X` if a
            search is to hand them on: scikit-learn cuts every fit parameter that is as long as `X`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            On bad parameters or data, and if training diverged: if no epoch has left finite numbers, or at all with
            ``on_divergence="raise"``.
        """
        self._check_params()
        check_held_out(X_val, y_val, sample_weight_val)
        again = self.warm_start and hasattr(self, "module_")
        tasks = Tasks(self, X, y, sample_weight) if hasattr(self, "_skl_callbacks") else None
        with torn_down(self), single_thread(), self._all_or_nothing():
            self._train(
                self._prepare(X, y, sample_weight, (X_val, y_val, sample_weight_val), reset=not again),
                again=again, keep=self.warm_start, tasks=tasks,
            )  # fmt: skip
            if tasks is not None:
                tasks.end()
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Take back every attribute that was set, if anything goes wrong, but what callbacks are torn down by.

        Where memory has not sufficed, say so, and hold none.
        """
        before = dict(self.__dict__)
        try:
            yield
        except BaseException as error:
            kept = {name: self.__dict__[name] for name in CALLBACK_STATE if name in self.__dict__}
            self.__dict__.clear()
            self.__dict__.update(before | kept)
            if not is_out_of_memory(error):
                raise
            if isinstance(error, OutOfMemoryError):
                let_go(error)
                raise
            raise explained(error, "data were encoded, or what was trained was judged", TOO_MANY_ROWS) from error

    def _partial_fit(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Self:
        self._check_params()
        first = not hasattr(self, "module_")
        with single_thread(), self._all_or_nothing():
            self._train(
                self._prepare(X, y, sample_weight, None, reset=first, classes=classes),
                again=not first, keep=True, history=[] if first else self.history_,
            )  # fmt: skip
        return self

    def _train(
        self, prepared: Prepared, *, again: bool, keep: bool, history: list[Any] | None = None,
        tasks: Tasks | None = None,
    ) -> None:  # fmt: skip
        """Train the members, `again` from where they stand, and keep what they have become.

        With `history` this is ``partial_fit``: one epoch is trained, schedules go on and the history is added to.
        """
        places = self._places if again else range(sum(kind.size for kind in self._kinds()))
        starts = 1 if again or history is not None else self.n_restarts
        checkpoint = None if history is not None else checkpoint_of(self)
        going = Going(again, anew=history is None, keep=keep, tasks=tasks, checkpoint=checkpoint)
        jobs = self._jobs(prepared, places, starts, going)
        kind_of = self._kind_of(places)
        jobs = self._with_learning_rate(jobs, np.repeat(kind_of, starts), again=again)
        if tasks is not None:
            tasks.begin()
        results = train(jobs)
        if not again:
            kept, scores = best_of_kinds(jobs, results, starts, np.repeat(kind_of, starts))
            jobs, results = [jobs[i] for i in kept], [results[i] for i in kept]
            self.restart_scores_ = scores[0] if len(places) == 1 else scores
        self._tell_of_divergence(results)
        self._keep(jobs, results, kind_of, again=again, keep=keep, history=history or [])
        self._places = [place for place, result in zip(places, results, strict=True) if result.best_epoch >= 0]

    def _raw_scores(self, X: Any) -> NDArray[Any]:
        """Return the network's scores (n, O) of raw rows."""
        check_is_fitted(self)
        given = self.__dict__.get("_epoch")
        if given is not None:
            return given.scores(X)
        if not (is_plain(X) and X.shape[1] == self.n_features_in_ and not hasattr(self, "feature_names_in_")):
            X = as_two_dimensional(X, allow_nd=self._takes_nd())
            validate_data(self, X, reset=False, skip_check_array=True)
        dtype = PRECISIONS[self._fitted_shape["precision"]].array
        inputs = encode(self.preprocessor_, X, dtype, estimator=self, allow_nd=self._takes_nd())
        return predict_scores(self.module_, inputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        encodes = self.preprocessing is not None
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = encodes
        tags.input_tags.sparse = self.preprocessing in (None, *ROBUST) and all(
            takes_sparse({**self._shallow(), **recipe}) for recipe in [{}, *self._plain_recipes()]
        )
        tags.non_deterministic = False
        return tags
