"""Periodic features of numbers, with learnt frequencies."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .._choices import Range
from .._compat import Interval, InvalidParameterError
from ._base import ACTIVATION, COUNT, NumericEmbedding

__all__ = ["Periodic"]


class Periodic(NumericEmbedding):
    """Periodic features of learnt frequencies: ``sin(2 pi c_t x)`` and ``cos(2 pi c_t x)``, or with phases.

    With ``phases=True`` they are ``cos(2 pi c_t x + p_t)`` with learnt phases ``p_t``, and with ``dense=True`` the
    column itself is appended. So ``Periodic()`` is PLR, of the first paper, and ``Periodic(phases=True, dense=True,
    n_frequencies=16, embedding_size=3, activation=None)`` is PBLD, of the second.

    Parameters
    ----------
    n_frequencies : int, default=16
        Frequencies of a column; at least 1.
    frequency_scale : float or (float, float), default=0.5
        Standard deviation of the normal distribution that frequencies are drawn from; above 0. The most
        important number here: high frequencies fit steep functions, and noise. Of two numbers, ``(low, high)``, the
        first frequency of each column has the standard deviation low and the last high, those between them a geometric
        sequence, so that smooth and steep functions are both within reach.
    embedding_size : int, default=8
        What the linear map makes of a column's features; at least 1.
    phases : bool, default=False
        Whether there are cosines alone, of learnt phases, drawn uniformly.
    dense : bool, default=False
        Whether the column itself is appended, so that the network has one input more of it.
    activation : {"relu", None}, default="relu"
        What is applied to the linear map.

    References
    ----------
    Gorishniy, Rubachev and Babenko, "On embeddings for numerical features in tabular deep learning", 2022, equation 2;
    PBLD: Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data", 2024, section 3.

    Examples
    --------
    >>> Periodic(dense=True).width
    9
    """

    of_start = frozenset({"frequency_scale"})
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_frequencies": [COUNT],
        "frequency_scale": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "embedding_size": [COUNT],
        "phases": ["boolean"],
        "dense": ["boolean"],
        "activation": ACTIVATION,
    }
    search_space: ClassVar[dict[str, Range | list[Any]]] = {
        "n_frequencies": [8, 16, 32],
        "frequency_scale": Range(0.02, 2.0, log=True),
        "embedding_size": [4, 8, 16],
    }

    def __init__(
        self,
        *,
        n_frequencies: int = 16,
        frequency_scale: float | tuple[float, float] = 0.5,
        embedding_size: int = 8,
        phases: bool = False,
        dense: bool = False,
        activation: str | None = "relu",
    ) -> None:
        self.n_frequencies = n_frequencies
        self.frequency_scale = frequency_scale
        self.embedding_size = embedding_size
        self.phases = phases
        self.dense = dense
        self.activation = activation

    def validate(self) -> None:
        super().validate()
        given = self.frequency_scale
        if isinstance(given, tuple | list) and not (len(given) == 2 and all(_is_positive(one) for one in given)):
            raise InvalidParameterError(
                "The 'frequency_scale' parameter of Periodic must be a number above 0 or two of them, (low, high). "
                f"Got {given!r} instead."
            )

    def scales(self) -> NDArray[np.float64]:
        """Return the standard deviations (k,) that the k frequencies of a column are drawn with.

        Examples
        --------
        >>> Periodic(n_frequencies=4, frequency_scale=(0.1, 0.8)).scales()
        array([0.1, 0.2, 0.4, 0.8])
        """
        given = self.frequency_scale
        low, high = given if isinstance(given, tuple | list) else (given, given)
        return np.geomspace(low, high, self.n_frequencies)

    @property
    def n_features(self) -> int:
        return self.n_frequencies * (1 if self.phases else 2)

    @property
    def width(self) -> int:
        return self.embedding_size + self.dense


def _is_positive(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < np.inf
