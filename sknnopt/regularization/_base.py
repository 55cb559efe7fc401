"""What every penalty offers, and how penalties add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .._choices import Choice
from .._compat import InvalidParameterError

__all__ = ["Hyper", "Regularizer", "Sum", "row_sums"]

Hyper = Mapping[str, Tensor]


class Regularizer(Choice):
    """Base of the penalties; one implements any of `penalty`, `gradient`, `proximal` and `project`.

    What a subclass defines is called. One that defines `penalty`, but neither `gradient` nor `proximal`, gets
    its gradient from autograd.

    Two of them add up, ``L1(strength=1e-4) + L2(strength=1e-3)``.

    Attributes
    ----------
    has_gradient, has_proximal, has_project : bool
        What the training loop must call.

    Examples
    --------
    >>> class Cubes(Regularizer):
    ...     def penalty(self, parameters, hyper):
    ...         return parameters.abs().pow(3).sum(1)
    >>> out = torch.zeros(1, 2)
    >>> Cubes().gradient(torch.tensor([[1.0, -2.0]]), {}, out)
    >>> out
    tensor([[  3., -12.]])
    >>> from sknnopt.regularization import L1, L2
    >>> L1() + L2()
    Sum(terms=(L1(), L2()))
    """

    @property
    def has_gradient(self) -> bool:
        """Whether `gradient` does anything."""
        by_autograd = self._defines("penalty") and not self._defines("proximal")
        return self._defines("gradient") or by_autograd

    @property
    def has_proximal(self) -> bool:
        """Whether `proximal` does anything."""
        return self._defines("proximal")

    @property
    def has_project(self) -> bool:
        """Whether `project` does anything."""
        return self._defines("project")

    def _defines(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(Regularizer, method)

    def __add__(self, other: Regularizer) -> Sum:
        if not isinstance(other, Regularizer):
            return NotImplemented
        return Sum(terms=(*_flat(self), *_flat(other)))

    def structure(self) -> tuple[Any, ...]:
        """What members must have in common to share a cohort: without `strengths`, all parameters."""
        if self._defines("strengths"):
            return (type(self),)
        own = (type(self), *self.get_params(deep=False).items())
        try:
            hash(own)
        except TypeError:
            return (type(self), id(self))
        return own

    def strengths(self) -> dict[str, float]:
        """The numbers that may differ between members."""
        return {}

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        """What is added to each member's loss, of shape (K,); trained on where nothing else is defined."""
        return parameters.new_zeros(len(parameters))

    def gradient(self, parameters: Tensor, hyper: Hyper, out: Tensor) -> None:
        """Add the penalty's gradient to `out`, of shape (K, P)."""
        if not self.has_gradient:
            return
        with torch.inference_mode(False), torch.enable_grad():
            leaf = parameters.detach().clone().requires_grad_()
            value = self.penalty(leaf, {name: x.clone() for name, x in hyper.items()})
            if value.shape != (len(parameters),):
                raise ValueError(
                    f"The penalty must return one number a member, shape (K,) = ({len(parameters)},), got shape"
                    f" {tuple(value.shape)} from {self!r}: reduce over the last axis only, .sum(1)."
                )
            (result,) = torch.autograd.grad(value.sum(), leaf)
        out.add_(result)

    def proximal(self, parameters: Tensor, hyper: Hyper, learning_rate: Tensor) -> None:
        """Replace the parameters, after a step, by their proximal point; `learning_rate` is (K, 1)."""

    def project(self, parameters: Tensor, hyper: Hyper) -> None:
        """Move the parameters, after a step, to the nearest allowed ones."""


def _flat(term: Regularizer) -> tuple[Regularizer, ...]:
    return term.terms if isinstance(term, Sum) else (term,)


def row_sums(values: Tensor) -> Tensor:
    """Each row by itself, for bits that do not depend on the number of rows."""
    return torch.stack([row.sum() for row in values])


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

    @property
    def has_gradient(self) -> bool:
        return any(term.has_gradient for term in self.terms)

    @property
    def has_proximal(self) -> bool:
        return any(term.has_proximal for term in self.terms)

    @property
    def has_project(self) -> bool:
        return any(term.has_project for term in self.terms)

    def structure(self) -> tuple[Any, ...]:
        return (type(self), *(term.structure() for term in self.terms))

    def strengths(self) -> dict[str, float]:
        return {f"{i}_{name}": value for i, term in enumerate(self.terms) for name, value in term.strengths().items()}

    def _each(self, hyper: Hyper) -> Iterator[tuple[Regularizer, Hyper]]:
        for i, term in enumerate(self.terms):
            prefix = f"{i}_"
            yield term, {key.removeprefix(prefix): x for key, x in hyper.items() if key.startswith(prefix)}

    def penalty(self, parameters: Tensor, hyper: Hyper) -> Tensor:
        total = super().penalty(parameters, hyper)
        for term, own in self._each(hyper):
            total += term.penalty(parameters, own)
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
