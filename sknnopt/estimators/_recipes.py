"""Recipes: the parameters of further members, checked and put together with the estimator's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sklearn.base import clone

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError

Params = dict[str, Any]

WHOLE = frozenset({
    "loss", "initial_weights", "early_stopping", "scoring", "validation_fraction", "on_divergence", "calibration",
    "n_members", "recipes", "n_restarts", "preprocessing", "categorical_features", "class_weight", "device",
    "precision", "random_state", "warm_start", "callbacks", "checkpoint", "verbose",
})  # fmt: skip
"""Parameters of the whole estimator, which all its members share."""


def check_recipes(recipes: Sequence[Any] | None, params: Mapping[str, Any], kind: str) -> None:
    """Refuse what is no list of mappings from names of parameters that a recipe may set.

    Parameters
    ----------
    recipes : sequence or None
    params : mapping
        The estimator's own.
    kind : str
        Its class.

    Raises
    ------
    InvalidParameterError
        With the recipe, what it may set, and the nearest spelling.
    """
    allowed = sorted(set(params) - WHOLE)
    for r, recipe in enumerate(recipes or ()):
        if not isinstance(recipe, Mapping):
            raise InvalidParameterError(
                f"The 'recipes' parameter of {kind} must hold dicts of parameters. Got {recipe!r} as recipes[{r}] "
                "instead."
            )
        for name in recipe:
            top = str(name).partition("__")[0]
            if isinstance(name, str) and top in allowed:
                continue
            why = "which all members share" if top in WHOLE & set(params) else f"which is no parameter of {kind}"
            raise InvalidParameterError(
                f"The 'recipes' parameter of {kind} must hold dicts of parameters that concern single networks and "
                f"their training: {', '.join(allowed)}. Got {name!r} in recipes[{r}] instead, {why}."
                + (suggestion(top, allowed) if top not in params else "")
            )
    if recipes and params["initial_weights"] is not None:
        raise InvalidParameterError(
            f"The 'initial_weights' parameter of {kind} must be None with recipes, whose networks differ. Got "
            f"{params['initial_weights']!r} instead."
        )


def with_recipe(params: Mapping[str, Any], recipe: Mapping[str, Any], as_object: Callable[[str, Any], Any]) -> Params:
    """Return parameters with those of a recipe in place of them; neither is changed.

    Parameters
    ----------
    params : mapping
    recipe : mapping
        "optimizer__momentum" sets a parameter of what "optimizer" is, by the recipe or else by `params`.
    as_object : callable
        From a parameter's name and value to the object that it stands for.

    Raises
    ------
    ValueError
        If a value has no such parameter.
    """
    out = {**params, **{name: value for name, value in recipe.items() if "__" not in name}}
    nested: dict[str, Params] = {}
    for name, value in recipe.items():
        top, inside, rest = name.partition("__")
        if inside:
            nested.setdefault(top, {})[rest] = value
    for top, values in nested.items():
        out[top] = clone(as_object(top, out[top])).set_params(**values)
    return out


@contextmanager
def naming(recipe: int) -> Iterator[None]:
    """Say in errors of parameters which recipe they are of: -1 is the estimator's own."""
    try:
        yield
    except ValueError as error:
        if recipe < 0:
            raise
        raise InvalidParameterError(f"recipes[{recipe}]: {error}") from None
