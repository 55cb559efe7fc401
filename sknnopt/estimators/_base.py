"""What both estimators share: from ``fit`` to the engine and back."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sknnopt._random import forked_torch_random
from sknnopt._threads import single_thread
from sknnopt.data.encoding import ROBUST
from sknnopt.data.reading import is_plain
from sknnopt.engine import (
    Job,
    Observer,
    Panel,
    Printer,
    Progress,
    SkorchObserver,
    Validation,
    make_net,
    train,
)
from sknnopt.estimators._data import (
    HeldOut,
    MemberData,
    Prepared,
    as_two_dimensional,
    check_held_out,
    encode,
)
from sknnopt.estimators._devices import auto_device
from sknnopt.estimators._fitted import FittedMixin, members
from sknnopt.estimators._inputs import resolve_inputs, takes_sparse
from sknnopt.estimators._parameters import (
    resolve_network,
    resolve_techniques,
)
from sknnopt.estimators._preparation import PRECISIONS, PreparingEstimator
from sknnopt.estimators._range_test import AutoRateMixin
from sknnopt.estimators._restarts import best_restarts, restart_seeds
from sknnopt.estimators._scoring import epoch_scorer
from sknnopt.estimators._transfer import starting_points
from sknnopt.nn import CustomNetwork, Network, predict_scores, set_temperature


class NetworkEstimator(AutoRateMixin, FittedMixin, PreparingEstimator):
    """Base of :class:`~sknnopt.NNClassifier` and :class:`~sknnopt.NNRegressor`."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]]
    module_: nn.Module
    _places: list[int]

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
            On bad parameters or data, or if no epoch ends with a finite loss.
        """
        self._check_params()
        check_held_out(X_val, y_val, sample_weight_val)
        again = self.warm_start and hasattr(self, "module_")
        with single_thread(), self._all_or_nothing():
            prepared = self._prepare(X, y, sample_weight, (X_val, y_val, sample_weight_val), reset=not again)
            self._train(prepared, self.max_epochs, again=again, keep=self.warm_start)
        return self

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Take back every attribute that was set, if anything goes wrong."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _partial_fit(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> Self:
        self._check_params()
        first = not hasattr(self, "module_")
        with single_thread(), self._all_or_nothing():
            prepared = self._prepare(X, y, sample_weight, None, reset=first, classes=classes)
            self._train(prepared, 1, again=not first, keep=True, history=[] if first else self.history_)
        return self

    def _train(
        self, prepared: Prepared, epochs: int, *, again: bool, keep: bool, history: list[Any] | None = None
    ) -> None:
        """Train the members, `again` from where they stand, and keep what they have become.

        With `history` this is ``partial_fit``: schedules go on and the history is added to.
        """
        places = self._places if again else range(self.n_members)
        starts = 1 if again or history is not None else self.n_restarts
        jobs = self._jobs(prepared, epochs, places, starts, again=again, anew=history is None, keep=keep)
        jobs = self._with_learning_rate(jobs, again=again)
        results = train(jobs)
        if not again:
            kept, scores = best_restarts(results, starts, crews=jobs[0].crew is not None)
            jobs, results = [jobs[i] for i in kept], [results[i] for i in kept]
            self.restart_scores_ = scores[0] if len(places) == 1 else scores
        self._warn_of_divergence(results)
        self._keep(jobs, results, keep=keep, history=history or [])
        self._places = [place for place, result in zip(places, results, strict=True) if result.best_epoch >= 0]

    def _jobs(
        self, prepared: Prepared, epochs: int, places: Sequence[int], starts: int, *, again: bool, anew: bool,
        keep: bool,
    ) -> list[Job]:  # fmt: skip
        """Return what the engine is to train: the members of these places in the ensemble, each from so many starts."""
        own = np.random.SeedSequence(self._seed).spawn(len(places))
        seeds = [seed for seeds in restart_seeds(self._seed, own, starts) for seed in seeds]
        data = [prepared.of(place) for place in places for _ in range(starts)]
        networks = [self._network(k, seed, prepared, again=again) for k, seed in enumerate(seeds)]
        precision, params = PRECISIONS[self.precision], self._shallow()
        fewest = min(len(part.rows) for part in data)
        techniques = [resolve_techniques(params, self.loss_, network, fewest) for network in networks]
        panels = [self._panel(len(places), data[0], networks[0]) for _ in range(starts)]
        progress: Sequence[Progress | None]
        if again:
            progress = self._continuation(networks, precision.tensor, anew=anew)
        else:
            drawn = [one.initializer for one in techniques]
            progress = starting_points(self, networks, drawn, seeds, prepared, data, precision.tensor)
        return [
            Job(
                network=network,
                table=data[k].table,
                rows=data[k].rows,
                techniques=techniques[k],
                seed=seed,
                epochs=epochs,
                devices=self._devices or (auto_device(network, techniques[k]),),
                dtype=precision.tensor,
                products=precision.products,
                validation=self._validation(data[k].held_out),
                progress=progress[k],
                keep_progress=keep,
                observer=self._observer(data[k], k, starts),
                panel=panels[k % starts],
            )
            for k, (network, seed) in enumerate(zip(networks, seeds, strict=True))
        ]

    def _observer(self, data: MemberData, k: int, starts: int) -> Observer | None:
        observer: Observer | None = None
        if self.callbacks:
            make = partial(make_net, loss=self.loss_, n_classes=self._n_classes(), callbacks=self.callbacks)
            judge = (None, None) if data.held_out is None else (data.held_out.table, data.held_out.rows)
            observer = SkorchObserver(make, data.table, data.rows, *judge, quiet=not self.verbose)
        if self.verbose:
            member = f"member {k // starts + 1}/{self.n_members}  " if self.n_members > 1 else ""
            restart = f"restart {k % starts + 1}/{starts}  " if starts > 1 else ""
            observer = Printer(self.max_epochs, observer, prefix=member + restart)
        return observer

    def _network(self, k: int, seed: np.random.SeedSequence, prepared: Prepared, *, again: bool) -> Network:
        """Return member k's network; a user's module is built under a random state of its own."""
        scores = self.loss_.n_scores(self.target_.n_outputs_)
        ours, shape = isinstance(self.network, str), (prepared.inputs.shape[1], scores, self.loss_.link)
        if again and not ours:
            module = copy.deepcopy(members(self.module_)[k])
            set_temperature(module, 1.0)
            return CustomNetwork(module, scores)
        inputs = resolve_inputs(self._shallow(), self.preprocessor_, prepared.inputs)
        if ours:
            return resolve_network(self._shallow(), *shape, inputs)
        with forked_torch_random(int(seed.generate_state(1)[0])), torch.inference_mode(False):
            return resolve_network(self._shallow(), *shape)

    def _panel(self, size: int, data: MemberData, network: Network) -> Panel | None:
        """Return what judges so many members together, or a classifier as if it were calibrated; None for neither."""
        stops = self.early_stopping is not False and data.held_out is not None and network.stackable
        calibrates = self._calibrates() and self.scoring == "loss"
        return Panel(size, self.loss_, calibrates=calibrates) if stops and (size > 1 or calibrates) else None

    def _calibrates(self) -> bool:
        """Return whether predictions are calibrated."""
        return False

    def _validation(self, held_out: HeldOut | None) -> Validation | None:
        if held_out is None:
            return None
        return Validation(
            table=held_out.table,
            rows=held_out.rows,
            score=epoch_scorer(self, *held_out.raw, held_out.weight),
            stop=self.early_stopping is not False,
            patience=self.n_iter_no_change,
            tolerance=self.tol,
        )

    def _raw_scores(self, X: Any) -> NDArray[Any]:
        """Return the network's scores (n, O) of raw rows."""
        check_is_fitted(self)
        given = self.__dict__.get("_epoch")
        if given is not None:
            return given.scores(X)
        if not (is_plain(X) and X.shape[1] == self.n_features_in_ and not hasattr(self, "feature_names_in_")):
            X = as_two_dimensional(X, allow_nd=self._takes_nd())
            validate_data(self, X, reset=False, skip_check_array=True)
        dtype = PRECISIONS[self.precision].array
        inputs = encode(self.preprocessor_, X, dtype, estimator=self, allow_nd=self._takes_nd())
        return predict_scores(self.module_, inputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        encodes = self.preprocessing is not None
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = encodes
        tags.input_tags.sparse = self.preprocessing in (None, *ROBUST) and takes_sparse(self._shallow())
        tags.non_deterministic = False
        return tags
