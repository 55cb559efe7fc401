"""What "auto" stands for: values that suit most tables, and for some members of an ensemble those that suit others."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sknnopt.embeddings import Periodic, PiecewiseLinear

Params = dict[str, Any]
Mixture = Mapping[str, tuple[Any, ...]]

MEMBERS_OF_A_KIND = 4
"""Members from which on, each, an ensemble has one kind more."""

MOST_COLUMNS = 256
"""Columns up to which ``numeric_embedding="auto"`` embeds numbers."""

STEEP, SMOOTH, STEEPEST = (Periodic(frequency_scale=scale) for scale in ((0.03, 1.2), 0.1, (0.2, 2.0)))

AUTO_CLASSIFIER: Mixture = {
    "numeric_embedding": (STEEP, SMOOTH, SMOOTH),
    "categorical_embedding": (None, 2, None),
    "dropout": (0.2, 0.3, 0.1),
    "label_smoothing": (0.05, 0.1, 0.0),
}
"""What "auto" is for a classifier: of the first kind of members, of the second and of the third."""

AUTO_REGRESSOR: Mixture = {
    "numeric_embedding": (STEEP, PiecewiseLinear(), STEEPEST),
    "categorical_embedding": (None, None, None),
}
"""What "auto" is for a regressor."""

_OFF: Params = {"numeric_embedding": None, "categorical_embedding": None, "label_smoothing": 0.0}


class Kind(NamedTuple):
    """Members of an ensemble that have the same parameters.

    Attributes
    ----------
    params : dict
        Those parameters, without "auto" where it stands for several values.
    recipe : int
        The recipe they are of; -1 for the estimator's own parameters.
    size : int
        How many members there are.
    """

    params: Params
    recipe: int
    size: int


def kinds_of(params: Params, recipe: int, mixture: Mixture, *, mixes: bool, embeds: bool, smooths: bool) -> list[Kind]:
    """Return the kinds of members that parameters with "auto" in them stand for.

    Parameters
    ----------
    params : dict
    recipe : int
    mixture : mapping
        What "auto" is of each kind.
    mixes : bool
        Whether there may be several kinds.
    embeds : bool
        Whether columns can be embedded.
    smooths : bool
        Whether the loss takes label smoothing.

    Examples
    --------
    >>> params = {"n_members": 9, "dropout": "auto", "network": "mlp"}
    >>> for kind in kinds_of(params, -1, AUTO_CLASSIFIER, mixes=True, embeds=True, smooths=True):
    ...     print(kind.size, kind.params["dropout"])
    5 0.2
    4 0.3
    """
    ours, members = isinstance(params["network"], str), int(params["n_members"])
    undecided = [name for name in mixture if isinstance(params.get(name), str) and params[name] == "auto"]
    works = {
        "label_smoothing": smooths,
        **dict.fromkeys(("numeric_embedding", "categorical_embedding"), embeds and ours),
    }
    most = len(mixture["numeric_embedding"]) if mixes and ours else 1
    found: list[Params] = []
    for k in range(max(1, min(most, members // MEMBERS_OF_A_KIND))):
        own = {name: mixture[name][k] if works.get(name, True) else _OFF[name] for name in undecided}
        if own not in found:
            found.append(own)
    sizes = [members // len(found) + (k < members % len(found)) for k in range(len(found))]
    return [Kind({**params, **own}, recipe, size) for own, size in zip(found, sizes, strict=True)]
