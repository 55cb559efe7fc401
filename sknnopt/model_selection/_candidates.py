"""The candidates of a comparison: every form they may be given in, their names and their check."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

from sknnopt._choices import suggestion
from sknnopt._compat import InvalidParameterError

LONGEST = 60
"""Characters of a value in a name."""

AS_GIVEN = "as given"
"""Name of a candidate that sets nothing."""


class Candidate(NamedTuple):
    """What is compared: a name and the parameters to set."""

    label: str
    parameters: dict[str, Any]


class Candidates(NamedTuple):
    """All that are compared, and what their names are values of."""

    title: str
    members: list[Candidate]


def read_candidates(candidates: Any) -> Candidates:
    """Return the candidates of any accepted form.

    Parameters
    ----------
    candidates : dict or list of dict
        A dict whose values are all dicts: names and what each sets. Any other dict: a grid, in which a list, a range or
        an array of one dimension is values to try, and everything else one value. A list: grids one after another.

    Returns
    -------
    Candidates

    Raises
    ------
    InvalidParameterError
        If it is nothing of this.

    Examples
    --------
    >>> read_candidates({"optimizer": ["sgd", "adam"]})
    Candidates(title='optimizer', members=[Candidate(label='sgd', parameters={'optimizer': 'sgd'}), \
Candidate(label='adam', parameters={'optimizer': 'adam'})])
    >>> [one.label for one in read_candidates([{}, {"dropout": 0.5}]).members]
    ['as given', 'dropout=0.5']
    """
    if isinstance(candidates, Mapping) and candidates:
        if all(isinstance(value, Mapping) for value in candidates.values()):
            return _named(candidates)
        return _labelled(list(_product(candidates)))
    if isinstance(candidates, Sequence) and not isinstance(candidates, str) and candidates:
        for one in candidates:
            if not isinstance(one, Mapping):
                raise InvalidParameterError(f"{_FORMS} Got the list entry {one!r} instead.")
        return _labelled([parameters for grid in candidates for parameters in _product(grid)])
    raise InvalidParameterError(f"{_FORMS} Got {candidates!r} instead.")


_FORMS = (
    "The 'candidates' parameter of compare must be a grid, {'optimizer': ['sgd', 'adam']}, a list of grids, or names "
    "with the parameters of each, {'plain': {}, 'with dropout': {'dropout': 0.5}}."
)


def _named(candidates: Mapping[Any, Any]) -> Candidates:
    for label, parameters in candidates.items():
        _check_names(parameters, f" of {label!r}")
    return Candidates("candidate", [Candidate(str(label), dict(one)) for label, one in candidates.items()])


def _check_names(parameters: Mapping[Any, Any], of_whom: str = "") -> None:
    for name in parameters:
        if not isinstance(name, str):
            raise InvalidParameterError(
                f"{_FORMS} Got {name!r} as a parameter's name{of_whom} instead. (A dict that is a value to try goes "
                "into a list.)"
            )


def _product(grid: Mapping[Any, Any]) -> Iterable[dict[str, Any]]:
    """Return every combination, in the order of the parameters as given, the last one varying fastest."""
    _check_names(grid)
    values = [_values(name, value) for name, value in grid.items()]
    return (dict(zip(grid, combination, strict=True)) for combination in itertools.product(*values))


def _values(name: str, value: Any) -> list[Any]:
    several = isinstance(value, list | range) or (isinstance(value, np.ndarray) and value.ndim == 1)
    if not several:
        return [value]
    if len(value) == 0:
        raise InvalidParameterError(f"The 'candidates' parameter of compare has no value for {name!r}.")
    return list(value)


def _labelled(all_parameters: list[dict[str, Any]]) -> Candidates:
    """Name the candidates by what they differ in."""
    names = list(dict.fromkeys(name for one in all_parameters for name in one))
    columns = {name: value_texts([one[name] for one in all_parameters if name in one]) for name in names}
    each = {name: iter(column) for name, column in columns.items()}
    texts = [{name: next(each[name]) for name in one} for one in all_parameters]
    differing = [name for name in names if len({one.get(name) for one in texts}) > 1] or names
    short = short_names(differing)
    if differing and all(name in one for one in texts for name in differing):
        title = ", ".join(short[name] for name in differing)
        labels = [", ".join(one[name] for name in differing) for one in texts]
    else:
        title = "candidate"
        own = [[f"{short[name]}={one[name]}" for name in differing if name in one] for one in texts]
        labels = [", ".join(parts) or AS_GIVEN for parts in own]
    pairs = zip(_unique(labels), all_parameters, strict=True)
    return Candidates(title, [Candidate(label, parameters) for label, parameters in pairs])


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Return the last part of each name, all of it where two have that in common."""
    last = {name: name.rpartition("__")[2] for name in names}
    counts = Counter(last.values())
    return {name: part if counts[part] == 1 else name for name, part in last.items()}


def _unique(labels: Sequence[str]) -> list[str]:
    """Number labels that occur twice."""
    seen: Counter[str] = Counter()
    out = []
    for label in labels:
        seen[label] += 1
        out.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return out


def value_texts(values: Sequence[Any]) -> list[str]:
    """Return a parameter's values as one reads them, of estimators the class alone where that tells them apart."""
    texts = [_text(value) for value in values]
    classes = [
        type(value).__name__ if hasattr(value, "fit") else text for value, text in zip(values, texts, strict=True)
    ]
    return classes if len(set(classes)) == len({str(value) for value in values}) else texts


def _text(value: Any) -> str:
    """Return a value as one reads it."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, Real) and not isinstance(value, bool | Integral):
        text = f"{float(value):g}"
    elif hasattr(value, "__name__"):
        text = value.__name__
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def check_candidates(estimator: Any, candidates: Iterable[Candidate]) -> None:
    """Refuse parameters that the estimator does not have.

    Raises
    ------
    InvalidParameterError
        A ``ValueError`` with the candidate and the nearest spelling.
    """
    for label, parameters in candidates:
        model = clone(estimator)
        try:
            model.set_params(**clone(parameters, safe=False))
        except ValueError as error:
            known = list(model.get_params(deep=True))
            hints = [_nearest(name, known) for name in parameters if name not in known]
            text = " ".join(str(error).split())
            raise InvalidParameterError(
                f"Candidate {label!r} of compare cannot be set. {text}{hints[0] if hints else ''}"
            ) from error


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return the parameter of this name further inside, or the nearest spelling among those beside it."""
    inner = [one for one in known if one.endswith("__" + name)]
    if inner:
        return f" Did you mean {inner[0]!r}?"
    around, separator, last = name.rpartition("__")
    beside = [one.removeprefix(around + separator) for one in known if one.startswith(around + separator)]
    return suggestion(last, [one for one in beside if "__" not in one])
