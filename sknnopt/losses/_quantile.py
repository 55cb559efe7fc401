"""The loss of one quantile or several."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._compat import Interval, InvalidParameterError
from ._regression import RegressionLoss

__all__ = ["Quantile"]


class Quantile(RegressionLoss):
    """Pinball loss, the mean over outputs of ``max(q (t - o), (q - 1) (t - o))``; it predicts the q-quantile.

    With several quantiles the network has an output for each of them and each target. ``predict`` then gives the one
    nearest to 0.5, and :meth:`~sknnopt.NNRegressor.predict_quantiles` gives all of them, in ascending order in each
    row: where those of the network cross, they are sorted, which takes them nearer to the true ones.

    Parameters
    ----------
    quantile : float or sequence of float, default=0.5
        ``q``, in [0, 1]; several in ascending order.

    Attributes
    ----------
    levels : tuple of float
        The quantile or quantiles.
    central : int
        The place in `levels` of the one nearest to 0.5, of two the lower.

    References
    ----------
    Koenker and Bassett, "Regression quantiles", 1978; sorting: Chernozhukov, Fernández-Val and Galichon, "Quantile and
    probability curves without crossing", 2010.

    Examples
    --------
    >>> loss = Quantile(quantile=0.75)
    >>> loss(torch.ones(1, 1, 2), torch.tensor([[[0.0, 3.0]]]))
    tensor([[0.2500, 1.5000]])
    >>> several = Quantile(quantile=[0.1, 0.5, 0.9])
    >>> several.n_scores(2)
    6
    >>> several.predict(torch.tensor([[[1.0], [3.0], [2.0]]]))
    tensor([[[2.]]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "quantile": [Interval(Real, 0, 1, closed="both"), "array-like"]
    }

    def __init__(self, *, quantile: float | Sequence[float] = 0.5) -> None:
        self.quantile = quantile

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(map(float, self._given()))

    @property
    def central(self) -> int:
        return min(range(len(self.levels)), key=lambda i: abs(self.levels[i] - 0.5))

    def validate(self) -> None:
        super().validate()
        given = self._given()
        inside = bool(given) and all(isinstance(q, Real) and 0 <= float(q) <= 1 for q in given)
        if not inside or any(low >= high for low, high in zip(self.levels, self.levels[1:], strict=False)):
            raise InvalidParameterError(
                "The 'quantile' parameter of Quantile must be a number in the range [0.0, 1.0], or several such in "
                f"ascending order. Got {self.quantile!r} instead."
            )

    def _given(self) -> list[Any]:
        given: Any = self.quantile
        return list(given) if hasattr(given, "__len__") else [given]

    def n_scores(self, n_targets: int) -> int:
        return n_targets * len(self.levels)

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        parts = []
        for level, part in zip(self.levels, self._split(output).unbind(2), strict=True):
            excess = part - target
            parts.append(torch.maximum(excess * (1 - level), excess * -level))
        return torch.cat(parts, 1).mean(1)

    def value_and_gradient(self, output: Tensor, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        excess, slope = self._split(output) - target.unsqueeze(2), self._split(out)
        slope.copy_(excess > 0)
        for level, part in zip(self.levels, slope.unbind(2), strict=True):
            part.sub_(level)
        return excess.mul_(slope).flatten(1, 2).mean(1), out.div_(out.shape[1])

    def predict(self, output: Tensor) -> Tensor:
        """The central quantile of each target: (K, T * Q, B) to (K, T, B)."""
        return output if len(self.levels) == 1 else self.quantiles(output)[:, :, self.central]

    def quantiles(self, output: Tensor) -> Tensor:
        """All quantiles of each target, sorted: (K, T * Q, B) to (K, T, Q, B)."""
        return self._split(output).sort(2).values

    def _split(self, output: Tensor) -> Tensor:
        """Return scores of T targets and Q quantiles as (K, T, Q, B), the same memory."""
        return output.view(output.shape[0], -1, len(self.levels), output.shape[2])
