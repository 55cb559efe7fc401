"""Types: names that editors complete are those of the registries, and a user's script runs as it is checked."""

import runpy
from pathlib import Path
from typing import get_args

import pytest

from sknnopt import (
    _literals,
    activations,
    averaging,
    embeddings,
    initializers,
    losses,
    optimizers,
    regularization,
    schedules,
)

NAMES = {
    "ActivationName": activations.names(),
    "AveragingName": averaging.names(),
    "InitializerName": initializers.names(),
    "ClassificationLossName": sorted({*losses.names("classification"), *losses.names("multilabel")}),
    "RegressionLossName": losses.names("regression"),
    "NumericEmbeddingName": embeddings.names(),
    "OptimizerName": optimizers.names(),
    "PenaltyName": regularization.names(),
    "ScheduleName": schedules.names(),
}


@pytest.mark.parametrize("name", NAMES)
def test_literals_are_the_registries_names(name: str) -> None:
    assert list(get_args(getattr(_literals, name))) == list(NAMES[name])


def test_there_are_no_others() -> None:
    assert {name for name in vars(_literals) if name.endswith("Name")} == set(NAMES)


def test_a_users_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(Path(__file__).parent / "user_code" / "script.py"))
