"""The modules of fitted members: made from weights, put together, and taken apart for pickles."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sknnopt.engine import Job, Result
from sknnopt.estimators._calibration import Settings
from sknnopt.nn import Link, MemberAverage, StackedNetwork, load_member, set_temperature

Weights = dict[str, NDArray[Any]]
State = dict[str, Any]


def members(module: nn.Module) -> list[nn.Module]:
    """Return the modules of the members."""
    return list(module.members) if isinstance(module, MemberAverage) else [module]


def own_members(estimator: Any) -> list[nn.Module]:
    """Return the modules of a fitted estimator's members of the first kind, all if none of these is left."""
    modules = members(estimator.module_)
    own = [module for module, kind in zip(modules, estimator._member_kinds, strict=True) if kind == 0]
    return own or modules


def fitted_module(job: Job, result: Result) -> nn.Module:
    """Return a plain module with the member's weights, on the CPU."""
    module = job.network.module()
    parameters = job.network.layout.single(result.parameters)
    buffers = job.network.buffers.single(result.buffers)
    load_member(
        module,
        {name: value.clone() for name, value in parameters.items()},
        {name: value.clone() for name, value in buffers.items()},
    )
    return module.to("cpu")


def assembled(modules: Sequence[nn.Module], kind_of: Sequence[int], settings: Settings, link: Link) -> nn.Module:
    """Return the network of these members of these kinds, as sure and weighed as the settings say."""
    for module, r in zip(modules, kind_of, strict=True):
        set_temperature(module, settings.temperatures[r])
    whole = modules[0]
    if len(modules) > 1:
        whole = MemberAverage(modules, link, settings.of_members(kind_of))
        whole.temperature = settings.average
    return whole.eval()


def packed(state: State) -> State:
    """Return a fitted estimator's state with arrays, by their names, in the place of built-in networks.

    A network of one's own stays a module, and so does one that is no longer what `fit` has made.
    """
    if not _as_made(state):
        return state
    networks, kind_of = state["_networks"], state["_member_kinds"]
    arrays = [_arrays(module, networks[r]) for module, r in zip(members(state["module_"]), kind_of, strict=True)]
    return {name: value for name, value in state.items() if name != "module_"} | {"_weights": arrays}


def unpacked(state: State) -> State:
    """Return the state with modules again; their tensors are copies, aligned as torch aligns its own."""
    if "_weights" not in state:
        return state
    kind_of = state["_member_kinds"]
    modules = [_module(state["_networks"][r], own) for own, r in zip(state["_weights"], kind_of, strict=True)]
    module = assembled(modules, kind_of, state["_settings"], state["loss_"].link)
    return {name: value for name, value in state.items() if name != "_weights"} | {"module_": module}


def _module(network: StackedNetwork, weights: Mapping[str, NDArray[Any]]) -> nn.Module:
    module, tensors = network.module(), {name: torch.tensor(value) for name, value in weights.items()}
    parts = ({name: tensors[name] for name in layout.blocks} for layout in (network.layout, network.buffers))
    load_member(module, *parts)
    return module


def _arrays(module: nn.Module, network: StackedNetwork) -> Weights:
    tensors = _tensors(module)
    return {name: tensors[name].detach().numpy() for name in (*network.layout.blocks, *network.buffers.blocks)}


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _as_made(state: State) -> bool:
    """Return whether the module is what its weights, the networks and the settings make again."""
    kind_of = state.get("_member_kinds")
    if kind_of is None or any(state["_networks"][r] is None for r in kind_of):
        return False
    module = state["module_"]
    modules = members(module)
    made = {r: state["_networks"][r].module() for r in set(kind_of)}
    whole = assembled([made[r] for r in kind_of], kind_of, state["_settings"], state["loss_"].link)
    forms = {r: _form(one) for r, one in made.items()}
    averages = ("link", "weights", "temperature") if isinstance(whole, MemberAverage) else ()
    return (
        type(module) is type(whole)
        and all(getattr(module, name, None) == getattr(whole, name, None) for name in averages)
        and [_form(one) for one in modules] == [forms[r] for r in kind_of]
    )


def _form(module: nn.Module) -> tuple[Any, ...]:
    """Return what tells modules apart but for the values of their weights."""
    hooked = any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
    return repr(module), hooked, {name: value.shape for name, value in _tensors(module).items()}
