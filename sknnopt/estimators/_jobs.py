"""What an estimator gives the engine: a job for each start of each member of each kind."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sknnopt._random import forked_torch_random
from sknnopt.checkpoints import Checkpoint
from sknnopt.engine import Job, Observer, Observers, Panel, Printer, Progress, SkorchObserver, Validation, make_net
from sknnopt.estimators._data import HeldOut, MemberData, Prepared
from sknnopt.estimators._devices import auto_device
from sknnopt.estimators._fitted import FittedMixin
from sknnopt.estimators._inputs import resolve_inputs
from sknnopt.estimators._kinds import Kind
from sknnopt.estimators._modules import members
from sknnopt.estimators._parameters import resolve_network, resolve_techniques
from sknnopt.estimators._preparation import PRECISIONS, PreparingEstimator
from sknnopt.estimators._recipes import Params, naming
from sknnopt.estimators._restarts import restart_seeds
from sknnopt.estimators._scoring import epoch_scorer
from sknnopt.estimators._tasks import Tasks
from sknnopt.estimators._transfer import starting_points
from sknnopt.nn import CustomNetwork, Network, set_temperature


class Seat(NamedTuple):
    """One of the starts of a member.

    Attributes
    ----------
    member : int
        Among those that are trained.
    place : int
        Of the member among those of its kind.
    """

    member: int
    place: int
    start: int
    seed: np.random.SeedSequence
    data: MemberData


class Going(NamedTuple):
    """How training goes on: from where members stand; with schedules that begin anew; with progress kept for later.

    And who is told of its epochs, and where they are kept.
    """

    again: bool
    anew: bool
    keep: bool
    tasks: Tasks | None = None
    checkpoint: Checkpoint | None = None


class JobsMixin(FittedMixin, PreparingEstimator):
    """Turns prepared data and parameters into the engine's jobs."""

    module_: nn.Module
    n_members: int
    early_stopping: bool | str
    scoring: Any
    verbose: int

    def _kind_of(self, places: Sequence[int]) -> list[int]:
        """Return the kinds of members by their places in the ensemble."""
        ends = np.cumsum([kind.size for kind in self._kinds()])
        return np.searchsorted(ends, np.array(places), side="right").tolist()

    def _jobs(self, prepared: Prepared, places: Sequence[int], starts: int, going: Going) -> list[Job]:
        """Return what the engine is to train: the members of these places in the ensemble, each from so many starts."""
        own = np.random.SeedSequence(self._seed).spawn(len(places))
        seeds, kind_of = restart_seeds(self._seed, own, starts), self._kind_of(places)
        jobs: list[Job] = []
        first = 0
        for r, kind in enumerate(self._kinds()):
            seats = [
                Seat(k, place - first, start, seed, prepared.of(place - first))
                for k, place in enumerate(places)
                if kind_of[k] == r
                for start, seed in enumerate(seeds[k])
            ]
            first += kind.size
            with naming(kind.recipe):
                jobs += self._jobs_of(r, kind, seats, starts, prepared, going) if seats else []
        return jobs

    def _jobs_of(
        self, number: int, kind: Kind, seats: Sequence[Seat], starts: int, prepared: Prepared, going: Going
    ) -> list[Job]:
        """Return the jobs of a kind of members."""
        precision, params = PRECISIONS[self.precision], kind.params
        networks = [self._network(params, seat, prepared, again=going.again) for seat in seats]
        fewest = min(len(seat.data.rows) for seat in seats)
        techniques = [resolve_techniques(params, self.loss_, network, fewest) for network in networks]
        panels = [self._panel(len(seats) // starts, seats[0].data, networks[0]) for _ in range(starts)]
        progress: Sequence[Progress | None]
        if going.again:
            progress = self._continuation(
                networks, [seat.member for seat in seats], number, techniques[0].optimizer, precision.tensor,
                anew=going.anew,
            )  # fmt: skip
        else:
            drawn, seeds, data = (
                [one.initializer for one in techniques],
                [s.seed for s in seats],
                [s.data for s in seats],
            )
            progress = starting_points(self, networks, drawn, seeds, prepared, data, precision.tensor)
        return [
            Job(
                network=networks[k],
                table=seat.data.table,
                rows=seat.data.rows,
                techniques=techniques[k],
                seed=seat.seed,
                epochs=params["max_epochs"] if going.anew else 1,
                devices=self._devices or (auto_device(networks[k], techniques[k]),),
                dtype=precision.tensor,
                products=precision.products,
                validation=self._validation(params, seat.data.held_out),
                progress=progress[k],
                keep_progress=going.keep,
                observer=self._observer(kind, seat, starts, going.tasks, panels[seat.start]),
                panel=panels[seat.start],
                checkpoint=going.checkpoint,
            )
            for k, seat in enumerate(seats)
        ]

    def _observer(
        self, kind: Kind, seat: Seat, starts: int, tasks: Tasks | None, panel: Panel | None
    ) -> Observer | None:  # fmt: skip
        observers: list[Observer] = []
        data, count = seat.data, 1 + len(self.recipes or ())
        if self.callbacks:
            make = partial(make_net, loss=self.loss_, n_classes=self._n_classes(), callbacks=self.callbacks)
            judge = (None, None) if data.held_out is None else (data.held_out.table, data.held_out.rows)
            observers.append(SkorchObserver(make, data.table, data.rows, *judge, quiet=not self.verbose))
        if tasks is not None:
            group = (seat.member, seat.start) if panel is None else id(panel)
            observers.append(tasks.observer(group, kind.params["max_epochs"]))
        if self.verbose:
            of_recipe = f"recipe {kind.recipe + 2}/{count}  " if count > 1 else ""
            place = seat.member % self.n_members
            member = f"member {place + 1}/{self.n_members}  " if self.n_members > 1 else ""
            restart = f"restart {seat.start + 1}/{starts}  " if starts > 1 else ""
            observers.append(Printer(kind.params["max_epochs"], prefix=of_recipe + member + restart))
        return Observers(observers) if observers else None

    def _network(self, params: Params, seat: Seat, prepared: Prepared, *, again: bool) -> Network:
        """Return a member's network; a user's module is built under a random state of its own."""
        scores = self.loss_.n_scores(self.target_.n_outputs_)
        ours, shape = isinstance(params["network"], str), (prepared.inputs.shape[1], scores, self.loss_.link)
        if again and not ours:
            module = copy.deepcopy(members(self.module_)[seat.member])
            set_temperature(module, 1.0)
            return CustomNetwork(module, scores)
        inputs = resolve_inputs(params, self.preprocessor_, prepared.inputs)
        if ours:
            return resolve_network(params, *shape, inputs)
        with forked_torch_random(int(seat.seed.generate_state(1)[0])), torch.inference_mode(False):
            return resolve_network(params, *shape)

    def _panel(self, size: int, data: MemberData, network: Network) -> Panel | None:
        """Return what judges so many members together, or a classifier as if it were calibrated; None for neither."""
        stops = self.early_stopping is not False and data.held_out is not None and network.stackable
        calibrates = self._calibrates() and self.scoring == "loss"
        return Panel(size, self.loss_, calibrates=calibrates) if stops and (size > 1 or calibrates) else None

    def _validation(self, params: Params, held_out: HeldOut | None) -> Validation | None:
        if held_out is None:
            return None
        return Validation(
            table=held_out.table,
            rows=held_out.rows,
            score=epoch_scorer(self, *held_out.raw, held_out.weight),
            stop=self.early_stopping is not False,
            patience=params["n_iter_no_change"],
            tolerance=params["tol"],
        )
