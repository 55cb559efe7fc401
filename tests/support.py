"""What most tests train: a single plain network, said in full, so that they hold whatever the defaults are."""

from typing import Any, TypeVar

from sknnopt import NNClassifier, NNRegressor

Network = TypeVar("Network", NNClassifier, NNRegressor)

BASIC: dict[str, Any] = {
    "n_members": 1,
    "numeric_embedding": None,
    "categorical_embedding": None,
    "dropout": 0.1,
    "schedule": "cosine",
    "max_epochs": 100,
    "weight_averaging": None,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "n_iter_no_change": 10,
}
"""One network of the table's columns as they are, trained to the end on all rows."""


def basic(make: type[Network], **settings: Any) -> Network:
    """`make` of `BASIC` but for these settings."""
    return make(**{**BASIC, **settings})
