"""The constructor parameters that both estimators share: their constraints, and what they resolve to."""

import os
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import torch
from sklearn.base import clone
from torch import nn

from sknnopt import activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules
from sknnopt._choices import Choice, resolve, suggestion
from sknnopt._compat import HasMethods, Interval, InvalidParameterError, StrOptions
from sknnopt.checkpoints import Checkpoint
from sknnopt.data.encoding import STATISTICS
from sknnopt.engine import Techniques
from sknnopt.estimators._batch_size import auto_batch_size
from sknnopt.estimators._kinds import STEEP
from sknnopt.estimators._layer_choice import resolve_layer_rates
from sknnopt.estimators._scoring import as_scorer
from sknnopt.nn import (
    MLP,
    CustomNetwork,
    Inputs,
    Link,
    Module,
    Network,
    ResNet,
    StackedNetwork,
    TabM,
    padded,
    set_temperature,
)

_fraction = Interval(Real, 0, 1, closed="left")
_count = Interval(Integral, 1, None, closed="left")

NETWORKS = {"mlp": MLP, "resnet": ResNet, "tabm": TabM}
"""The built-in networks."""

_NEEDS_HIDDEN = {"resnet": "whose width the first is", "tabm": "whose heads share hidden layers"}

CONSTRAINTS: dict[str, list[Any]] = {
    "network": [StrOptions(set(NETWORKS)), nn.Module, Module, callable],
    "hidden_layer_sizes": ["array-like", _count],
    "n_heads": [_count],
    "activation": [str, activations.Activation, callable],
    "normalization": [StrOptions({"batch", "layer"}), None],
    "numeric_embedding": [str, embeddings.NumericEmbedding, None],
    "categorical_embedding": [_count, StrOptions({"auto"}), None],
    "input_scale": ["boolean"],
    "dropout": [_fraction, "array-like", schedules.Scheduled],
    "initializer": [str, initializers.Initializer, callable],
    "optimizer": [str, optimizers.Optimizer, callable],
    "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"}), None],
    "weight_decay": [Interval(Real, 0, None, closed="left"), schedules.Scheduled, None],
    "schedule": [str, schedules.Schedule, callable],
    "warmup": [_fraction],
    "batch_size": [_count, StrOptions({"auto"})],
    "max_epochs": [_count],
    "gradient_clipping": [Interval(Real, 0, None, closed="neither"), None],
    "weight_averaging": [str, averaging.Averaging, callable, None],
    "initial_weights": [HasMethods(["fit", "predict"]), nn.Module, Mapping, None],
    "frozen_layers": [Interval(Integral, 0, None, closed="left"), str, list, tuple, None],
    "layer_rates": [Interval(Real, 0, None, closed="neither"), Mapping, None],
    "loss": [str, losses.Loss, callable],
    "regularization": [str, regularization.Regularizer, callable, None],
    "mixup": [Interval(Real, 0, None, closed="left")],
    "early_stopping": ["boolean", StrOptions({"auto"})],
    "scoring": [str, callable],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [_count],
    "tol": [Interval(Real, 0, None, closed="left")],
    "on_divergence": [StrOptions({"warn", "raise"})],
    "n_members": [_count],
    "recipes": [list, tuple, None],
    "n_restarts": [_count],
    "preprocessing": [StrOptions(set(STATISTICS)), None],
    "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
    "device": [str, torch.device, list, tuple],
    "precision": [StrOptions({"float32", "float64", "bf16"})],
    "random_state": ["random_state"],
    "warm_start": ["boolean"],
    "callbacks": [list, tuple, None],
    "checkpoint": [str, os.PathLike, Checkpoint, None],
    "verbose": ["verbose"],
}


def resolve_initializer(value: Any) -> initializers.Initializer:
    """Return the initializer; "auto" is kaiming_uniform."""
    return resolve(
        value,
        initializers.REGISTRY | {"auto": initializers.KaimingUniform},
        parameter="initializer",
        base=initializers.Initializer,
        wrap=initializers.FunctionInitializer,
    )


def resolve_embedding(value: Any) -> embeddings.NumericEmbedding | None:
    """Return the embedding of numbers; "auto" is that of an ensemble's first members."""
    if value is None:
        return None
    registry: dict[str, Callable[[], embeddings.NumericEmbedding]] = {**embeddings.REGISTRY}
    registry["auto"] = lambda: clone(STEEP)
    return resolve(value, registry, parameter="numeric_embedding", base=embeddings.NumericEmbedding)


def resolve_averaging(value: Any) -> averaging.Averaging | None:
    """Return the average of weights; "auto" is "ema"."""
    return averaging.EMA() if value == "auto" else averaging.get(value)


CHOICES: Mapping[str, Callable[[Any], Choice | None]] = {
    "activation": activations.get,
    "numeric_embedding": resolve_embedding,
    "initializer": resolve_initializer,
    "optimizer": optimizers.get,
    "schedule": schedules.get,
    "regularization": regularization.get,
    "weight_averaging": resolve_averaging,
}
"""Parameters whose name stands for an object with parameters of its own; ``loss`` needs the task besides."""


def with_hint(error: InvalidParameterError, constraints: Mapping[str, list[Any]], params: Mapping[str, Any]) -> str:
    """Return the message of sklearn's validation, with the names a choice takes and the nearest spelling."""
    message = str(error)
    name = next((name for name in constraints if f"The '{name}' parameter" in message), None)
    if name is None:
        return message
    if isinstance(params[name], str):
        allowed = [o for option in constraints[name] if isinstance(option, StrOptions) for o in option.options]
        return message + suggestion(params[name], allowed)
    try:
        CHOICES.get(name, bool)(params[name])
    except InvalidParameterError as fuller:
        of_whom = message.partition(f"The '{name}' parameter")[2].partition(" must be")[0]
        return str(fuller).replace(" parameter must be", f" parameter{of_whom} must be", 1)
    return message


def check_names(params: Mapping[str, Any]) -> None:
    """Check the techniques, the scorer and the size of numbers, also those that this fit will not use.

    Raises
    ------
    InvalidParameterError
        With the names that are allowed and the nearest spelling.
    """
    for name, get in CHOICES.items():
        get(params[name])
    for name, value in params.items():
        real = any(isinstance(one, Interval) and one.type is Real for one in CONSTRAINTS.get(name, ()))
        if real and isinstance(value, int) and abs(value) > sys.float_info.max:
            raise InvalidParameterError(
                f"The {name!r} parameter must be a number of at most {sys.float_info.max:g}. Got {value!r} instead."
            )
    for name in ("dropout", "weight_decay"):
        if isinstance(params[name], schedules.Scheduled):
            params[name].validate()
    if isinstance(params["checkpoint"], Checkpoint):
        params["checkpoint"].validate()
    if params["scoring"] != "loss":
        as_scorer(params["scoring"])


def as_object(name: str, value: Any, task: str) -> Any:
    """Return the object that a parameter's value stands for, whose own parameters can be set.

    Raises
    ------
    ValueError
        If it stands for none.
    """
    if name in CHOICES and (isinstance(value, str) or (name == "optimizer" and callable(value))):
        value = CHOICES[name](value)
    elif name == "loss" and isinstance(value, str):
        value = losses.get(value, task=task)
    elif name == "network" and callable(value) and not isinstance(value, nn.Module):
        value = Module(value)
    if not hasattr(value, "set_params"):
        raise ValueError(f"{name}={value!r} has no parameters of its own. Set {name} to an object that has.")
    return value


def resolve_network(
    params: Mapping[str, Any], n_inputs: int, n_outputs: int, link: Link, inputs: Inputs | None = None
) -> Network:
    """Return the network of one member. A module is built anew at each call, an instance is copied.

    Parameters
    ----------
    params : mapping of str to object
        The estimator's.
    n_inputs, n_outputs : int
    link : {"identity", "softmax", "sigmoid", "exp"}
        Of the loss.
    inputs : Inputs or None
        How columns are embedded.
    """
    network = params["network"]
    if isinstance(network, str):
        hidden = hidden_sizes(params["hidden_layer_sizes"])
        if network in _NEEDS_HIDDEN and not hidden:
            raise InvalidParameterError(
                f"The 'hidden_layer_sizes' parameter must hold at least one number with network={network!r}, "
                f"{_NEEDS_HIDDEN[network]}. Got {params['hidden_layer_sizes']!r} instead."
            )
        activation = activations.get(params["activation"])
        rates = dropout_rates(unscheduled(params["dropout"]), len(hidden))
        shape = (n_inputs, hidden, n_outputs, activation, params["normalization"], rates)
        scaled = resolve_initializer(params["initializer"]).scales_layers
        built = NETWORKS[network](*shape, scaled=scaled, inputs=inputs)
        return replace(built, n_heads=int(params["n_heads"]), link=link) if isinstance(built, TabM) else built
    if params["initializer"] != "auto" and resolve_initializer(params["initializer"]).scales_layers:
        raise InvalidParameterError(
            "The 'initializer' parameter must be one that only draws weights where network is one's own: "
            f"{params['initializer']!r} changes what layers compute."
        )
    if isinstance(network, nn.Module):
        own = deepcopy(network)
        set_temperature(own, 1.0)  # it may be a fitted one's
        return CustomNetwork(own, n_outputs)
    factory = network if isinstance(network, Module) else Module(network)
    module = factory.build(n_inputs, n_outputs)
    if not isinstance(module, nn.Module):
        raise TypeError(f"The network factory must return a torch.nn.Module, got {type(module).__name__}.")
    return CustomNetwork(module, n_outputs)


def hidden_sizes(value: Any) -> tuple[int, ...]:
    """Return ``hidden_layer_sizes`` as a tuple; a single number is one layer."""
    sizes = (value,) if isinstance(value, Integral) else tuple(value)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise InvalidParameterError(
            f"The 'hidden_layer_sizes' parameter must hold positive integers. Got {value!r} instead."
        )
    return tuple(int(size) for size in sizes)


def unscheduled(value: Any) -> Any:
    """Return the base value of what may be scheduled."""
    return value.value if isinstance(value, schedules.Scheduled) else value


def curve_of(value: Any) -> schedules.Schedule | None:
    """Return the schedule of what may be scheduled."""
    return value.curve() if isinstance(value, schedules.Scheduled) else None


def dropout_rates(value: Any, n_hidden: int) -> tuple[float, ...]:
    """Return one dropout rate a hidden layer."""
    rates = (value,) * n_hidden if isinstance(value, Real) else tuple(value)
    if len(rates) != n_hidden or not all(isinstance(rate, Real) and 0 <= float(rate) < 1 for rate in rates):
        raise InvalidParameterError(
            f"The 'dropout' parameter must be a rate in [0, 1), or one for each of the {n_hidden} hidden layers. "
            f"Got {value!r} instead."
        )
    return tuple(float(rate) for rate in rates)


def resolve_techniques(params: Mapping[str, Any], loss: losses.Loss, network: Network, n_rows: int) -> Techniques:
    """Return the optimisation of a member with ``n_rows`` training rows."""
    optimizer = optimizers.get(params["optimizer"])
    rate, decay = params["learning_rate"], unscheduled(params["weight_decay"])
    stacked = isinstance(network, StackedNetwork)
    penalty = regularization.get(params["regularization"])
    if penalty is not None:
        layers = sum(block.is_weight for block in network.layout.blocks.values())
        penalty.check_layers(layers, residuals=isinstance(network, ResNet))
    batch = auto_batch_size(n_rows) if params["batch_size"] == "auto" else int(params["batch_size"])
    initializer = None if params["initializer"] == "auto" and not stacked else params["initializer"]
    return Techniques(
        loss=loss,
        optimizer=optimizer,
        learning_rate=float(rate if isinstance(rate, Real) else optimizer.default_learning_rate),
        weight_decay=float(optimizer.default_weight_decay if decay is None else decay),
        schedule=schedules.get(params["schedule"]),
        warmup=float(params["warmup"]),
        batch_size=min(batch, padded(n_rows) if stacked else n_rows),
        max_epochs=int(params["max_epochs"]),
        initializer=None if initializer is None else resolve_initializer(initializer),
        regularization=penalty,
        gradient_clipping=params["gradient_clipping"],
        dropout=network.dropout if isinstance(network, StackedNetwork) else (),
        label_smoothing=resolve_smoothing(params.get("label_smoothing", 0.0), loss),
        weight_averaging=_average(params["weight_averaging"], optimizer),
        decay_schedule=curve_of(params["weight_decay"]),
        dropout_schedule=curve_of(params["dropout"]),
        mixup=float(params["mixup"]),
        layer_rates=resolve_layer_rates(params["frozen_layers"], params["layer_rates"], network, optimizer),
    )


def _average(value: Any, optimizer: optimizers.Optimizer) -> averaging.Averaging | None:
    """Return the average of weights; "auto" is "ema", and none where the optimizer averages itself."""
    if not optimizer.averages:
        return resolve_averaging(value)
    if value not in (None, "auto"):
        raise InvalidParameterError(
            f"The 'weight_averaging' parameter must be None with optimizer={optimizer!r}, which averages weights "
            f"itself. Got {value!r} instead."
        )
    return None


def resolve_smoothing(value: float, loss: losses.Loss) -> float:
    """Return the label smoothing.

    Raises
    ------
    InvalidParameterError
        If it is not zero and the loss does not smooth labels.
    """
    if value != 0 and not loss.smooths:
        raise InvalidParameterError(
            f"The 'label_smoothing' parameter must be 0 or 'auto' with loss={loss!r}, which does not smooth labels. "
            f"Got {value!r} instead."
        )
    return float(value)
