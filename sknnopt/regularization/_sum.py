"""Several regularisers at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from .._compat import InvalidParameterError
from .._layout import Layout
from .._random import MemberRandom
from ._base import Hyper, Regularizer

__all__ = ["Sum"]

T = TypeVar("T")


class Sum(Regularizer):
    """Several penalties at once, applied in order; what ``+`` makes.

    A term's parameters are swept by its place: ``regularization__0__strength``, or ``regularization__0`` for
    the term.

    Parameters
    ----------
    terms : tuple of Regularizer

    Examples
    --------
    >>> from sknnopt.regularization import L1, ElasticNet
    >>> both = L1(strength=0.1) + ElasticNet()
    >>> both.set_params(**{"1__strength": 0.2}).strengths()
    {'0_l1': 0.1, '1_l1': 0.1, '1_l2': 0.1}
    """

    def __init__(self, terms: tuple[Regularizer, ...]) -> None:
        self.terms = terms

    def validate(self) -> None:
        for term in self.terms:
            if not isinstance(term, Regularizer):
                raise InvalidParameterError(
                    f"The 'terms' parameter of Sum must hold instances of Regularizer. Got {term!r} instead."
                )
            term.validate()

    def check_layers(self, n_layers: int, *, residuals: bool = False) -> None:
        for term in self.terms:
            term.check_layers(n_layers, residuals=residuals)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this object and, where `deep`, of its terms, by their place."""
        params: dict[str, Any] = super().get_params(deep=False)
        for i, term in enumerate(self.terms if deep else ()):
            params[str(i)] = term
            params |= {f"{i}__{name}": value for name, value in term.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Sum:
        """Set parameters of this object, of its terms (``0__strength``), or whole terms (``0``)."""
        places = {name: params.pop(name) for name in list(params) if name.isdecimal()}
        if "terms" in params:
            self.terms = params.pop("terms")
        self.terms = tuple(places.pop(str(i), term) for i, term in enumerate(self.terms))
        super().set_params(**params, **places)
        return self

    def _terms(self) -> tuple[Regularizer, ...]:
        return self.terms

    def has(self, method: str) -> bool:
        return any(term.has(method) for term in self.terms)

    @property
    def depth_rate(self) -> float:
        return float(1 - np.prod([1 - term.depth_rate for term in self.terms]))

    def structure(self) -> tuple[Any, ...]:
        return (type(self), *(term.structure() for term in self.terms))

    def strengths(self) -> dict[str, float | tuple[float, ...]]:
        return _joined(term.strengths() for term in self.terms)

    def coefficients(self, step: np.ndarray) -> dict[str, np.ndarray]:
        return _joined(term.coefficients(step) for term in self.terms)

    def start(self, weights: Tensor, layout: Layout) -> dict[str, Tensor]:
        parts = _joined(term.start(weights, layout) for term in self.terms)
        return {f"_{name}" if name.partition("_")[2].startswith("_") else name: x for name, x in parts.items()}

    def bind(self, layout: Layout, state: dict[str, Tensor]) -> Sum:
        plain = {name.removeprefix("_"): x for name, x in state.items()}
        return Sum(terms=tuple(term.bind(layout, _own(plain, i)) for i, term in enumerate(self.terms)))

    def _each(self, hyper: Hyper) -> Iterator[tuple[Regularizer, Hyper]]:
        for i, term in enumerate(self.terms):
            yield term, _own(hyper, i)

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        total = super().penalty(parameters, hyper)
        for term, own in self._each(hyper):
            total += term.penalty(parameters, own)
        return total

    def smooth_penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        total = super().penalty(parameters, hyper)
        for term, own in self._each(hyper):
            total += term.smooth_penalty(parameters, own)
        return total

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        for term, own in self._each(hyper):
            term.gradient(parameters, own, out)

    def proximal(self, parameters: Tensor, hyper: Hyper, learning_rate: Tensor) -> None:
        for term, own in self._each(hyper):
            term.proximal(parameters, own, learning_rate)

    def project(self, parameters: Tensor, hyper: Hyper) -> None:
        for term, own in self._each(hyper):
            term.project(parameters, own)

    def draw(self, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        for term, own in self._each(hyper):
            term.draw(own, random)

    def inputs(self, rows: Tensor, hyper: Hyper, random: Sequence[MemberRandom]) -> None:
        for term, own in self._each(hyper):
            term.inputs(rows, own, random)

    def forward(self, weights: Tensor, hyper: Hyper) -> None:
        for term, own in self._each(hyper):
            term.forward(weights, own)

    def backward(self, gradients: Tensor, hyper: Hyper) -> None:
        for term, own in reversed(list(self._each(hyper))):
            term.backward(gradients, own)


def _joined(parts: Iterable[Mapping[str, T]]) -> dict[str, T]:
    """Return the numbers of all terms, named by the term's place."""
    return {f"{i}_{name}": value for i, part in enumerate(parts) for name, value in part.items()}


def _own(values: Mapping[str, T], i: int) -> dict[str, T]:
    """Return those of term i, by its own names."""
    prefix = f"{i}_"
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
