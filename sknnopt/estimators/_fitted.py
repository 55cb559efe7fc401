"""Fitted attributes: made from the engine's results, and continued from."""

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import nn

from sknnopt import activations, embeddings, optimizers
from sknnopt._threads import single_thread
from sknnopt.data import ClassTarget, RegressionTarget
from sknnopt.engine import Job, Progress, Result, SkorchObserver, make_net, record_epoch
from sknnopt.estimators._calibration import Settings, settle
from sknnopt.estimators._histories import comparable, mean_history, member_histories
from sknnopt.estimators._modules import assembled, fitted_module, members, packed, unpacked
from sknnopt.estimators._parameters import hidden_sizes, resolve_initializer
from sknnopt.losses import Loss
from sknnopt.nn import Network, StackedNetwork


class FittedMixin:
    """Turns results into fitted attributes, and those back into where training goes on."""

    callbacks: Sequence[Any] | None
    on_divergence: str
    preprocessing: Any
    recipes: Sequence[Mapping[str, Any]] | None
    target_: ClassTarget | RegressionTarget
    loss_: Loss
    module_: nn.Module
    recipe_weights_: NDArray[np.float64]
    member_histories_: dict[str, NDArray[np.float64]]
    _settings: Settings
    _optimizers: list[optimizers.Optimizer]
    _networks: list[StackedNetwork | None]

    def _tell_of_divergence(self, results: Sequence[Result]) -> None:
        """Warn if a network has diverged, or raise as `on_divergence` says; raise if there is no other."""
        diverged = [result for result in results if result.diverged is not None]
        if not diverged:
            return
        advice = "Lower learning_rate, set gradient_clipping (1.0, say), or use warmup."
        if self.preprocessing is None:
            advice += " With preprocessing=None, scale the columns beforehand."
        first = diverged[0]
        found = f"Training diverged: {_fault(first, 'the network' if len(results) == 1 else 'a network')}"
        if not any(result.best_epoch >= 0 for result in results):
            raise ValueError(f"{found}, and there are no finite weights to go back to. {advice}")
        if self.on_divergence == "raise":
            raise ValueError(f"{found}. {advice} on_divergence='warn' goes on with what is finite.")
        kept = f"the weights of epoch {first.best_epoch + 1} were kept" if first.best_epoch >= 0 else "it was left out"
        warnings.warn(f"{found}, and {kept}. {advice}", ConvergenceWarning, stacklevel=4)

    def _keep(
        self, jobs: Sequence[Job], results: Sequence[Result], kind_of: Sequence[int], *, again: bool, keep: bool,
        history: list[Any],
    ) -> None:  # fmt: skip
        """Set the fitted attributes."""
        kept = [k for k, result in enumerate(results) if result.best_epoch >= 0]
        survivors = [(jobs[k], results[k]) for k in kept]
        modules = [fitted_module(job, result).eval() for job, result in survivors]
        kinds = [kind_of[k] for k in kept]
        self._settle([job for job, _ in survivors], modules, kinds, again=again, going_on=bool(history))
        histories = comparable([result.history for _, result in survivors])
        earlier = {name: rows[kept] for name, rows in self.member_histories_.items()} if history else {}
        self.member_histories_ = member_histories(histories, earlier)
        self.history_ = history + mean_history(histories)
        self.n_iter_ = len(self.history_)
        best = [len(history) + result.best_epoch for _, result in survivors]
        losses = [result.history[result.best_epoch] for _, result in survivors]
        values = [record.get("valid_loss", record["train_loss"]) for record in losses]
        self.best_epoch_ = best[0] + 1 if len(best) == 1 else np.array(best) + 1
        self.best_loss_ = values[0] if len(values) == 1 else np.array(values)
        self.n_parameters_ = sum(job.network.layout.n_parameters for job, _ in survivors)
        self.n_outputs_ = jobs[0].network.n_outputs
        self.__dict__.pop("_progress", None)
        self.__dict__.pop("_net", None)
        if keep:
            self._progress = [result.progress for _, result in survivors]
        self._fitted_shape, self._member_kinds = self._shape(), kinds
        self._optimizers = [clone(optimizers.get(one.params["optimizer"])) for one in self._kinds()]  # type: ignore[attr-defined]
        network_of = {r: job.network for (job, _), r in zip(survivors, kinds, strict=True)}
        own = {r: network for r, network in network_of.items() if isinstance(network, StackedNetwork)}
        self._networks = [own.get(r) for r in range(len(self._optimizers))]
        observers = [getattr(job.observer, "parts", ()) for job, _ in survivors]
        nets = [part.net for parts in observers for part in parts if isinstance(part, SkorchObserver)]
        if len(nets) == 1 and nets[0] is not None:
            self._net = nets[0]
            self._net.module = self._net.module_ = self.module_

    def _settle(
        self, jobs: Sequence[Job], modules: Sequence[nn.Module], kind_of: Sequence[int], *, again: bool,
        going_on: bool,
    ) -> None:  # fmt: skip
        """Set ``module_``, as sure, and its kinds weighed, as the withheld rows say; without such as it was."""
        calibrates, count = self._calibrates(), len(self._kinds())  # type: ignore[attr-defined]
        conforms = self._conforms()
        found = settle(jobs, modules, kind_of, kinds=count, calibrates=calibrates, conforms=conforms)
        if found is None:
            found = Settings.plain(count)
            if again:
                found = found._replace(weights=self._settings.weights)
            if again and going_on and (calibrates or conforms):
                found = self._settings
        self.module_ = assembled(modules, kind_of, found, self.loss_.link)
        self._settings, self.recipe_weights_ = found, np.array(found.weights)

    def _calibrates(self) -> bool:
        """Return whether scores are divided by temperatures."""
        return False

    def _conforms(self) -> bool:
        """Return whether predicted quantiles are corrected."""
        return False

    @property
    def net_(self) -> NeuralNet:
        """A fitted skorch net that holds ``module_`` and the history; it takes encoded rows."""
        if "_net" not in self.__dict__:
            check_is_fitted(self)
            net = make_net(self.module_, self.loss_, self._n_classes())
            for record in self.history_:
                net.history.new_epoch()
                record_epoch(net, record)
            self._net = net
        return self._net

    def _n_classes(self) -> int | None:
        return self.target_.n_outputs_ if "classification" in self.loss_.tasks else None

    def __copy__(self) -> Self:
        """Return an estimator with the same attributes."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be made again; built-in networks are arrays, but for those a fitted skorch net holds."""
        state: dict[str, Any] = {**super().__getstate__()}  # type: ignore[dict-item]
        state.pop("_devices", None)
        if self.callbacks:
            return state
        state.pop("_net", None)
        return packed(state)

    @single_thread()  # a forked child's copy of many numbers would wait for threads that only its parent has
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(unpacked(state))  # type: ignore[misc]

    @property
    def loss_curve_(self) -> list[float]:
        """Training loss of each epoch, the mean over members."""
        return [record["train_loss"] for record in self.history_]

    @property
    def validation_scores_(self) -> list[float] | None:
        """Score of the withheld rows after each epoch, by which it is judged; None without such rows."""
        judged = [record for record in self.history_ if "valid_loss" in record]
        return [record.get("valid_score", -record["valid_loss"]) for record in judged] or None

    def _shape(self) -> dict[str, Any]:
        """Return the parameters with which training can only go on as they are; of recipes what they change of them."""
        own, *others = (kind.params for kind in self._kinds())  # type: ignore[attr-defined]
        shape = {"n_members": own["n_members"], "precision": own["precision"], **_shape_of(own)}
        if others:
            recipes = [_shape_of(one) for one in others]
            shape["recipes"] = [{name: v for name, v in one.items() if shape.get(name) != v} for one in recipes]
        return shape

    def _check_continues(self, loss: Loss) -> None:
        """Refuse to go on with another network than the fitted one, or with a loss of another target.

        Raises
        ------
        ValueError
            With the parameters that have changed.
        """
        now, before = self._shape(), self._fitted_shape
        changed = [
            f"{name}={now[name]!r} (was {before[name]!r})"
            for name in before
            if name in now and now[name] != before[name] and name != "recipes"
        ]
        kinds, were = (len(shape.get("recipes", ())) + 1 for shape in (now, before))
        if kinds != were:
            changed.append(f'members of another number of kinds, {kinds} (was {were}), by recipes or by what is "auto"')
        elif kinds > 1 and now["recipes"] != before["recipes"]:
            changed.append(f"recipes={now['recipes']!r} (was {before['recipes']!r})")
        if _asks_of_network(loss) != _asks_of_network(self.loss_):
            changed.append(f"loss={loss!r} (was {self.loss_!r})")
        if changed:
            raise ValueError(
                f"Training cannot go on with {', '.join(changed)}. Set warm_start=False and call fit to begin anew."
            )

    def _continuation(
        self, networks: Sequence[Network], places: Sequence[int], kind: int, optimizer: optimizers.Optimizer,
        dtype: torch.dtype, *, anew: bool,
    ) -> list[Progress]:  # fmt: skip
        """Return where the members of a kind stand, `places` among all members.

        Schedules begin again if `anew`, another optimizer in any case.
        """
        progress = self.__dict__.get("_progress")
        if progress is None:
            fitted = members(self.module_)
            kept = [_progress_of(network, fitted[k], dtype) for network, k in zip(networks, places, strict=True)]
        else:
            kept = [progress[k] for k in places]
        if anew:
            kept = [dataclasses.replace(progress, epochs=0) for progress in kept]
        if optimizer.structure() != self._optimizers[kind].structure():
            kept = [
                dataclasses.replace(progress, state=_without_optimizer(progress.state), steps=0) for progress in kept
            ]
        return kept


def _fault(result: Result, network: str) -> str:
    """Return what was not finite of a network, and when."""
    assert result.diverged is not None
    record = result.history[result.diverged - 1]
    if all(math.isfinite(record.get(name, 0.0)) for name in ("train_loss", "valid_loss")):
        return f"weights or predictions of {network} were not finite in epoch {result.diverged}"
    return f"the loss of {network} was not finite in epoch {result.diverged}"


def _shape_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a network's weights depend on."""
    if not isinstance(params["network"], str):
        return {"network": "a module"}
    shape = {"network": params["network"], "hidden_layer_sizes": hidden_sizes(params["hidden_layer_sizes"])}
    if params["network"] == "tabm":
        shape["n_heads"] = params["n_heads"]
    return shape | {
        "normalization": params["normalization"],
        "activation": _parameters_of(params["activation"]),
        "initializer": _parametrization(params["initializer"]),
        **embedding_of(params),
    }


def _without_optimizer(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("optimizer.")}


def _asks_of_network(loss: Loss) -> tuple[Any, ...]:
    """Return what a network's scores have been trained to mean."""
    return loss.link, loss.scales_target, loss.n_scores(1)


def _parametrization(initializer: Any) -> str:
    return "one that scales layers" if resolve_initializer(initializer).scales_layers else "one that scales weights"


def _parameters_of(activation: Any) -> str:
    """Return, in words, the parameters that an activation needs."""
    resolved = activations.get(activation)
    if resolved.expansion > 1:
        return "a gated one"
    own = [f"{name} a {'unit' if shape == (2,) else 'layer'}" for name, (shape, _) in resolved.parameters(2).items()]
    return f"one with a learned {' and '.join(own)}" if own else "one without parameters"


def embedding_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return how columns are embedded, so that what is equal makes equal layers of equal columns."""
    numeric = embeddings.get(params["numeric_embedding"])
    return {
        "numeric_embedding": None if numeric is None else repr(numeric.shape()),
        "categorical_embedding": params["categorical_embedding"],
        "input_scale": bool(params["input_scale"]),
    }


def _progress_of(network: Network, module: nn.Module, dtype: torch.dtype) -> Progress:
    """Return the weights of a fitted module as the engine's starting point, everything else fresh."""
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    flat = [torch.zeros(layout.size, dtype=dtype) for layout in (network.layout, network.buffers)]
    with torch.no_grad():
        for layout, values in zip((network.layout, network.buffers), flat, strict=True):
            for name, view in layout.single(values).items():
                view.copy_(own[name])
    return Progress(parameters=flat[0], buffers=flat[1])
