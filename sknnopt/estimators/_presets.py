"""Estimators whose parameters are chosen for a quick fit, or for a good one."""

import copy
from typing import Any, ClassVar, Self

from sknnopt.embeddings import PiecewiseLinear

FAST: dict[str, Any] = {
    "hidden_layer_sizes": (64, 64),
    "learning_rate": 5e-3,
    "batch_size": 256,
    "max_epochs": 40,
    "early_stopping": True,
    "n_iter_no_change": 5,
    "n_members": 3,
}

CLASSIFIER: dict[str, dict[str, Any]] = {
    "fast": FAST,
    "strong": {
        "recipes": [
            {"hidden_layer_sizes": (256, 256)},
            {"numeric_embedding": PiecewiseLinear(bins="target"), "categorical_embedding": 4, "weight_decay": 1.0},
        ],
    },
}
"""Parameters of the classifier's presets, where they are not the defaults."""

REGRESSOR: dict[str, dict[str, Any]] = {
    "fast": FAST,
    "strong": {
        "recipes": [
            {"hidden_layer_sizes": (256, 256)},
            {"dropout": 0.1, "categorical_embedding": 4},
        ],
    },
}
"""Parameters of the regressor's presets, where they are not the defaults."""


class PresetsMixin:
    """Makes estimators with the parameters of a preset."""

    _presets: ClassVar[dict[str, dict[str, Any]]]

    @classmethod
    def fast(cls, **params: Any) -> Self:
        """Return an estimator that is fitted quickly: three small networks, trained for few epochs.

        Parameters
        ----------
        **params : dict
            Parameters of the constructor; those given here count, and the preset for the others.

        Returns
        -------
        estimator
            An ordinary one, not fitted, whose parameters are read and set as ever.

        Raises
        ------
        TypeError
            If there is no such parameter.

        Examples
        --------
        >>> from sknnopt import NNClassifier
        >>> clf = NNClassifier.fast(random_state=0, max_epochs=5)
        >>> clf.max_epochs, clf.n_members
        (5, 3)
        """
        return cls._preset("fast", params)

    @classmethod
    def strong(cls, **params: Any) -> Self:
        """Return an estimator that predicts well: ensembles of several kinds of networks, weighed by withheld rows.

        To the defaults it adds recipes: larger networks, and other embeddings. Its fit takes several times as long.

        Parameters
        ----------
        **params : dict
            Parameters of the constructor; those given here count, and the preset for the others.

        Returns
        -------
        estimator
            An ordinary one, not fitted, whose parameters are read and set as ever.

        Raises
        ------
        TypeError
            If there is no such parameter.

        Examples
        --------
        >>> from sknnopt import NNRegressor
        >>> reg = NNRegressor.strong(random_state=0, n_members=2)
        >>> reg.n_members, reg.random_state
        (2, 0)
        """
        return cls._preset("strong", params)

    @classmethod
    def _preset(cls, name: str, params: dict[str, Any]) -> Self:
        return cls(**{**copy.deepcopy(cls._presets[name]), **params})
