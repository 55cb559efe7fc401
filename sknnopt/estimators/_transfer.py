"""Weights to start from: ``initial_weights``."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError
from sknnopt._random import MemberRandom
from sknnopt.engine import Progress, training_rows
from sknnopt.estimators._data import MemberData, Prepared
from sknnopt.estimators._embedded import EmbeddedColumns
from sknnopt.estimators._encodings import inputs_of
from sknnopt.estimators._ends import Ends, Tensors, first_layer
from sknnopt.estimators._fitted import FittedMixin, embedding_of
from sknnopt.estimators._layer_choice import primary_names
from sknnopt.estimators._matching import input_map, lines_between, output_map
from sknnopt.estimators._modules import members, own_members
from sknnopt.initializers import Initializer
from sknnopt.nn import CustomNetwork, InputEmbedding, Network, ScaledLinear, StackedNetwork

COLUMNS = ("embedding.", "input_scale.")
"""Layers that belong to the columns of a table, of which another has others."""

_MOST_LISTED = 6
_SCALES = {True: "layers", False: "weights"}


def check_source(value: Any, estimator: Any) -> None:
    """Refuse initial weights that are none.

    Raises
    ------
    InvalidParameterError
        For an estimator that is not fitted, is not one of ours, or is `estimator` itself.
    """
    if value is None or isinstance(value, nn.Module | Mapping):
        return
    source, why = estimator_of(value), ""
    if not isinstance(source, FittedMixin):
        why = "has no network of this package"
    elif source is estimator:
        why = "warm_start=True goes on from"
    elif not hasattr(source, "module_"):
        why = (
            "is not fitted. clone, and searches with the values of their grids, take the fit away; "
            "sklearn.frozen.FrozenEstimator around the fitted estimator keeps it"
        )
    if why:
        got = "itself" if source is estimator else repr(value)
        raise InvalidParameterError(
            "The 'initial_weights' parameter must be a fitted NNClassifier or NNRegressor, a Pipeline or search of "
            f"one, an nn.Module or a state dict. Got {got} instead, which {why}."
        )


def estimator_of(value: Any) -> Any:
    """Return the estimator inside a Pipeline, a fitted search or a FrozenEstimator."""
    while True:
        if isinstance(value, FrozenEstimator):
            value = value.estimator
        elif isinstance(value, Pipeline):
            value = value.steps[-1][1]
        elif hasattr(value, "best_estimator_"):
            value = value.best_estimator_
        else:
            return value


def starting_points(
    estimator: Any,
    networks: Sequence[Network],
    initializers: Sequence[Initializer | None],
    seeds: Sequence[np.random.SeedSequence],
    prepared: Prepared,
    data: Sequence[MemberData],
    dtype: torch.dtype,
) -> list[Progress | None]:
    """Return where each member begins, None for its initializer's draw alone.

    Parameters
    ----------
    estimator : NNClassifier or NNRegressor
        Its encoders are fitted.
    networks, initializers, seeds
        Of each member.
    prepared : Prepared
        The encoded rows.
    data : sequence of MemberData
        What each member is trained on; members may share it.
    dtype : torch.dtype
    """
    if estimator.initial_weights is None:
        return [None] * len(networks)
    sources = _sources(estimator.initial_weights, estimator, networks[0], prepared)
    learnt = {id(part): _learnt(networks[0], part, dtype) for part in {id(part): part for part in data}.values()}
    out: list[Progress | None] = []
    for k, (network, initializer, seed, part) in enumerate(zip(networks, initializers, seeds, data, strict=True)):
        out.append(_begin(network, initializer, seed, learnt[id(part)].clone(), sources[k % len(sources)]))
    return out


def _learnt(network: Network, data: MemberData, dtype: torch.dtype) -> Tensor:
    """Return the buffers, with what the network takes from the training rows."""
    statistics = torch.zeros(network.buffers.size, dtype=dtype)
    if isinstance(network, StackedNetwork) and network.learns:
        network.learn(network.buffers.single(statistics), training_rows(data.table, data.rows, dtype))
    return statistics


class _Source:
    """Tensors by name, and where they stand for other columns or classes than here, how they are made to fit."""

    def __init__(self, tensors: Tensors, fit: Ends | None = None) -> None:
        self.tensors, self.fit = tensors, fit


def _sources(value: Any, estimator: Any, network: Network, prepared: Prepared) -> list[_Source]:
    """Return the sources of the members, in turn."""
    if isinstance(value, Mapping):
        return [_Source(_checked(_as_tensors(value), network))]
    if isinstance(value, nn.Module):
        return [_Source(_checked(_as_tensors(_tensors_of(module)), network)) for module in members(value)]
    source = estimator_of(value)
    modules = own_members(source)
    states = [_as_tensors(_tensors_of(module)) for module in modules]
    if not isinstance(network, StackedNetwork):
        _check_same_data(source, estimator)
        return [_Source(_checked(state, network)) for state in states]
    _check_same_shape(states[0], modules[0], network)
    _check_same_embedding(source, estimator)
    inputs, rows = inputs_of(source, estimator), (prepared.inputs, prepared.rows)
    lines = lines_between(*inputs, *rows)
    encoding = input_map(*inputs, lines)
    embeds = _embedding_in(modules[0]), _embedding_in(network.module())
    columns = None
    if embeds != (None, None):
        numeric = None if network.inputs is None else network.inputs.embedding
        columns = EmbeddedColumns(*inputs, lines, encoding, embeds, numeric, *rows)
    n_outputs = len(states[0]["output.bias"]) // network.heads
    ends = Ends(network, encoding, output_map(source, estimator, n_outputs, network.n_outputs), columns)
    return [_Source(state, ends) for state in states]


def _embedding_in(module: nn.Module) -> InputEmbedding | None:
    return next((part for part in module.children() if isinstance(part, InputEmbedding)), None)


def _check_same_embedding(source: Any, estimator: Any) -> None:
    """Refuse a fitted network whose columns are embedded otherwise."""
    here = embedding_of(estimator._kinds()[0].params)
    there = {name: source._fitted_shape.get(name) or None for name in here}
    wrong = [f"{name}={there[name]!r}" for name, value in here.items() if there[name] != (value or None)]
    if wrong:
        raise InvalidParameterError(
            f"The 'initial_weights' parameter must be a network of the same {', '.join(here)}. Got one with "
            f"{', '.join(wrong)} instead."
        )


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}


def _as_tensors(values: Mapping[str, Any]) -> Tensors:
    return {
        str(name): value.detach().cpu() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        for name, value in values.items()
    }


def _checked(given: Tensors, network: Network) -> Tensors:
    """Return the tensors if the network has all of their names and shapes.

    Raises
    ------
    InvalidParameterError
        With the names and shapes that it has not.
    """
    own = network.module()
    known: dict[str, Tensor] = {**own.state_dict(), **_tensors_of(own)}
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        raise InvalidParameterError(
            f"The 'initial_weights' parameter must hold tensors of the network's names, which are {_listed(known)}. "
            f"Got {_listed(unknown or ['no tensor'])} instead.{suggestion(unknown[0], known) if unknown else ''}"
        )
    shapes = {name: (tuple(value.shape), tuple(known[name].shape)) for name, value in given.items()}
    wrong = [f"{name} of shape {got} for {wanted}" for name, (got, wanted) in shapes.items() if got != wanted]
    if wrong:
        raise InvalidParameterError(
            f"The 'initial_weights' parameter must hold tensors of the network's shapes. Got {_listed(wrong)} instead. "
            "What a state dict leaves out starts from the initializer; of a fitted estimator with a built-in network "
            "first and last layer are matched by column and class."
        )
    return given


def _check_same_shape(given: Tensors, module: nn.Module, network: StackedNetwork) -> None:
    """Refuse a fitted network that differs in more than its inputs and outputs."""
    blocks = {**network.layout.blocks, **network.buffers.blocks}
    first = first_layer(network)
    nothing = slice(0, 0)
    open_ends = {
        f"{first}.weight": slice(0, 1),
        "output.weight": slice(1, 2),
        "output.bias": nothing,
        "heads.r": nothing,
    }
    if first == "output":
        open_ends["output.weight"] = nothing
    there = {name: tuple(value.shape) for name, value in given.items() if value.is_floating_point()}
    wrong = []
    for name in {**blocks, **there}:
        if name.startswith(COLUMNS):
            continue
        here, part = blocks.get(name), open_ends.get(name, slice(None))
        if here is None:
            wrong.append(f"{name}, which this network has not")
        elif name not in there:
            wrong.append(f"no {name}")
        elif there[name][part] != here.shape[part]:
            wrong.append(f"{name} of shape {there[name]} for {here.shape}")
    networks = module, network.module()
    scaled = [_is_scaled(one) for one in networks]
    if not wrong and scaled[0] != scaled[1]:
        wrong = ["an initializer that scales " + " for one that scales ".join(_SCALES[one] for one in scaled)]
    elif not wrong:
        pairs = zip(*(_functions(one) for one in networks), strict=True)
        wrong = [f"{one[2]} for {other[2]}" for one, other in pairs if one != other][:1]
    if wrong:
        heads = "n_heads, " if network.heads > 1 else ""
        raise InvalidParameterError(
            f"The 'initial_weights' parameter must be a network of the same hidden_layer_sizes, {heads}activation and "
            f"normalization. Got one with {_listed(wrong)} instead."
        )


def _functions(module: nn.Module) -> list[tuple[type, Any, str]]:
    """Return what tells one activation from another."""
    layers = [layer for name, layer in module.named_modules() if name.rpartition(".")[2].startswith("activation")]
    return [(type(layer), getattr(layer, "function", None), repr(layer)) for layer in layers]


def _is_scaled(module: nn.Module) -> bool:
    """Return whether layers divide by the square root of their inputs' number."""
    return any(isinstance(one, ScaledLinear) or getattr(one, "scaled", False) for one in module.modules())


def _check_same_data(source: Any, estimator: Any) -> None:
    """Refuse another meaning of inputs or outputs where the network is the user's, whose ends are not known."""
    columns = [inputs.labels() for inputs in inputs_of(source, estimator)]
    classes = [getattr(one.target_, "classes_", np.empty(0)).tolist() for one in (source, estimator)]
    if columns[0] != columns[1]:
        what = "encoded columns"
    elif classes[0] != classes[1] or source.target_.n_outputs_ != estimator.target_.n_outputs_:
        what = "classes or targets"
    else:
        return
    raise InvalidParameterError(
        "The 'initial_weights' parameter must be an estimator of the same encoded columns and classes where network is "
        f"one's own. Got {type(source).__name__} with other {what} instead; pass those entries of its "
        "module_.state_dict() that fit."
    )


def _begin(
    network: Network, initializer: Initializer | None, seed: np.random.SeedSequence, statistics: Tensor, source: _Source
) -> Progress:
    """Return what is drawn, with the source's tensors in the places they have; and the statistics of the rows."""
    flat = [torch.zeros(network.layout.size, dtype=statistics.dtype), statistics]
    parameters, buffers = network.layout.single(flat[0]), network.buffers.single(flat[1])
    random = MemberRandom(copy.deepcopy(seed), torch.device("cpu"))  # spawning changes a seed
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(network, CustomNetwork):
            network.load(source.tensors)
        network.initialize(parameters, buffers, initializer, random)
        given = source.tensors if source.fit is None else source.fit.apply(source.tensors, {**parameters, **buffers})
        primary = primary_names(network.module())
        for name, value in given.items():
            place = {**parameters, **buffers}.get(primary.get(name, name))
            if place is not None:
                place.copy_(value)
    return Progress(parameters=flat[0], buffers=flat[1])


def _listed(items: Any) -> str:
    items = list(items)
    more = f" and {len(items) - _MOST_LISTED} more" if len(items) > _MOST_LISTED else ""
    return ", ".join(items[:_MOST_LISTED]) + more
