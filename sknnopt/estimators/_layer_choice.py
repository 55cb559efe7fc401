"""Which layers learn, and how fast: ``frozen_layers`` and ``layer_rates``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from numbers import Integral, Real
from typing import Any

from torch import nn

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError
from sknnopt.nn import InputEmbedding, Network
from sknnopt.optimizers import Optimizer

Rates = tuple[tuple[str, float], ...]


def check_layer_choice(frozen: Any, rates: Any) -> None:
    """Check what can be checked before the network is known.

    Raises
    ------
    InvalidParameterError
        For what is no pattern or no factor.
    """
    if isinstance(frozen, list | tuple) and not all(isinstance(pattern, str) for pattern in frozen):
        raise InvalidParameterError(
            "The 'frozen_layers' parameter must be a number of layers, or names of layers or parameters, in which * "
            f"stands for anything. Got {frozen!r} instead."
        )
    if isinstance(rates, Mapping) and not all(
        isinstance(pattern, str) and _is_factor(factor) for pattern, factor in rates.items()
    ):
        raise InvalidParameterError(
            "The 'layer_rates' parameter must map names of layers or parameters to factors of the learning rate, "
            f"numbers from 0 on. Got {rates!r} instead."
        )


def _is_factor(value: Any) -> bool:
    return isinstance(value, Real) and 0 <= float(value) < float("inf")


def resolve_layer_rates(frozen: Any, rates: Any, network: Network, optimizer: Optimizer) -> Rates:
    """Return the factors of the learning rate by the parameter's name, and 0 for statistics to keep; 1 is left out.

    Raises
    ------
    InvalidParameterError
        For a name the network does not have, if nothing is left to train, or for factors the optimizer cannot do.
    """
    if frozen is None and rates is None:
        return ()
    names = Names(network)
    factors = dict.fromkeys(names.all, 1.0)
    if isinstance(rates, Mapping):
        for pattern, factor in rates.items():
            factors |= dict.fromkeys(names.matching([pattern], "layer_rates"), float(factor))
    elif rates is not None:
        for depth, layer in enumerate(reversed(names.layers)):
            factors |= dict.fromkeys(layer, float(rates) ** depth)
    if isinstance(frozen, Integral):
        factors |= dict.fromkeys(names.first(int(frozen)), 0.0)
    elif frozen is not None:
        patterns = [frozen] if isinstance(frozen, str) else frozen
        factors |= dict.fromkeys(names.matching(patterns, "frozen_layers"), 0.0)
    trained = {name: factors[name] for name in network.layout.blocks}
    if not any(trained.values()):
        name, value = ("layer_rates", rates) if frozen is None else ("frozen_layers", frozen)
        raise InvalidParameterError(
            f"The {name!r} parameter must leave a layer to train, of {', '.join(names.owners)}. Got {value!r} instead."
        )
    if optimizer.averages and not set(trained.values()) <= {0.0, 1.0}:
        raise InvalidParameterError(
            f"The 'layer_rates' parameter must hold only 0 and 1 with optimizer={optimizer!r}, which averages weights "
            f"itself. Got {rates!r} instead; take another optimizer, or frozen_layers."
        )
    held = [(name, 0.0) for name in network.buffers.blocks if factors[name] == 0]
    return (*((name, factor) for name, factor in trained.items() if factor != 1), *held)


class Names:
    """The names of a network's parameters and statistics, layer by layer.

    A layer is a module that owns a weight, with the modules without one that follow it: its normalisation. What comes
    before the first goes with it. All that embeds columns is one layer, and what scales the inputs belongs to it, or
    else to the first dense layer. A parameter of several names has the first of them.

    Attributes
    ----------
    all : tuple of str
        Names of the trained parameters and of the statistics.
    layers : list of list of str
        The same by layer, from the input to the output.
    owners : list of str
        Names of the modules that own them.
    """

    def __init__(self, network: Network) -> None:
        module = network.module()
        self.all = (*network.layout.blocks, *network.buffers.blocks)
        self._primary = primary_names(module)
        self.owners: list[str] = []
        self.layers: list[list[str]] = []
        weighed, embeds = True, False
        columns = tuple(f"{name}." for name, part in module.named_modules() if isinstance(part, InputEmbedding))
        for owner, own, weighs in _owners(module, set(self.all)):
            if not self.layers or (weighs and weighed and not (owner.startswith(columns) and embeds)):
                self.layers.append([])
                weighed = False
            weighed = weighed or weighs
            self.layers[-1] += own
            self.owners.append(owner)
            embeds = owner.startswith(columns)

    def first(self, count: int) -> list[str]:
        """Return the names in the first layers.

        Raises
        ------
        InvalidParameterError
            If these are all.
        """
        if count >= len(self.layers):
            raise InvalidParameterError(
                f"The 'frozen_layers' parameter must be at most {len(self.layers) - 1}, so that the last of the "
                f"network's {len(self.layers)} layers is left to train. Got {count!r} instead."
            )
        return [name for layer in self.layers[:count] for name in layer]

    def matching(self, patterns: Iterable[str], parameter: str) -> set[str]:
        """Return the names that a pattern describes, or whose module one does.

        Raises
        ------
        InvalidParameterError
            If a pattern describes none; with the nearest spelling.
        """
        found: set[str] = set()
        for pattern in patterns:
            own = {self._primary.get(name, name) for name in {*self._primary, *self.all} if _describes(pattern, name)}
            if not own & set(self.all):
                raise InvalidParameterError(
                    f"The {parameter!r} parameter must name layers or parameters of the network, such as "
                    f"{', '.join(map(repr, self.owners[:8]))}. Got {pattern!r} instead."
                    f"{suggestion(pattern, [*self.owners, *self.all])}"
                )
            found |= own
        return found & set(self.all)


def primary_names(module: nn.Module) -> dict[str, str]:
    """Return for each name of a parameter the first name it has; tied ones have several."""
    first = {id(value): name for name, value in module.named_parameters()}
    return {name: first[id(value)] for name, value in module.named_parameters(remove_duplicate=False)}


def _owners(module: nn.Module, wanted: set[str]) -> Iterator[tuple[str, list[str], bool]]:
    """Yield each module's name, the wanted names it owns, and whether a weight is among them."""
    for owner, part in module.named_modules():
        tensors = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
        own = {f"{owner}.{leaf}".lstrip("."): value for leaf, value in tensors.items()}
        kept = [name for name in own if name in wanted]
        if kept:
            yield owner, kept, any(own[name].ndim >= 2 for name in kept)


def _describes(pattern: str, name: str) -> bool:
    """Whether a pattern describes a name or the beginning of it, up to a dot."""
    parts: Sequence[str] = name.split(".")
    return any(fnmatchcase(".".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))
