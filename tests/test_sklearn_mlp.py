"""scikit-learn's own tests of its MLP, run with our estimators where they ask nothing of its solvers' insides.

Those that differ are in `DIFFERS`, each with the reason; ``docs/mlp_tests.md`` is written from it by running this file.
"""

import importlib.util
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sknnopt import NNClassifier, NNRegressor
from sknnopt.optimizers import LBFGS, SGD, Adam

PAGE = Path(__file__).parent.parent / "docs" / "mlp_tests.md"

_INSIDE = "reads attributes of scikit-learn's own loop"
_PLATEAU = (
    "without early stopping scikit-learn ends when the training loss stands still; we train all `max_epochs`, since "
    "the training loss says nothing about new rows"
)
_WARNING = "we give no ConvergenceWarning at `max_epochs`: that many epochs are what was asked for"

DIFFERS = {
    "test_alpha": f"{_INSIDE} (`coefs_`), which are `module_.dense_0.weight` and so on here",
    "test_fit": f"{_INSIDE}: sets `coefs_` and calls its private steps",
    "test_gradient": f"{_INSIDE}; gradients here are compared with torch's autograd",
    "test_lbfgs_classification_maxfun": f"`max_fun` is no parameter here; {_WARNING}",
    "test_lbfgs_regression_maxfun": f"`max_fun` is no parameter here; {_WARNING}",
    "test_learning_rate_warmstart": f"{_INSIDE} (`_optimizer`); the rate of each epoch is in `history_`",
    "test_partial_fit_errors": "`partial_fit` works with L-BFGS too; wrong classes raise as there",
    "test_nonfinite_params": "infinite numbers in float32 are refused before training, by another message",
    "test_predict_proba_multilabel": (
        "log-probabilities are computed from the scores, so that the largest is found among probabilities that round "
        "to 1"
    ),
    "test_shuffle": "rows are always shuffled",
    "test_tolerance": _PLATEAU,
    "test_verbose_sgd": "a line says `epoch` and not `Iteration`",
    "test_early_stopping": (
        "`best_loss_` is there with early stopping too, and `max(validation_scores_)` is what scikit-learn has as "
        "`best_validation_score_`"
    ),
    "test_adaptive_learning_rate": f'{_PLATEAU}; `schedule="plateau"` lowers the rate by the loss',
    "test_warm_start": "a warm start with fewer classes goes on; one with other classes raises as there",
    "test_n_iter_no_change": f"{_INSIDE}; {_PLATEAU}",
    "test_n_iter_no_change_inf": f"{_INSIDE}; `n_iter_no_change` is a whole number",
    "test_early_stopping_stratified": "rows are not withheld by class where one has too few; that is no error",
    "test_mlp_param_dtypes": "weights are of the type that `precision` says, whatever the table's",
    "test_mlp_warm_start_no_convergence": _WARNING,
    "test_mlp_partial_fit_after_fit": "`partial_fit` goes on after a fit with early stopping",
    "test_mlp_diverging_loss": "a fit that diverges goes back to the best epoch, with a warning",
    "test_minimum_input_sample_size": "one row of two is withheld; there is an error where no row would be left",
}
"""Tests of scikit-learn 1.9 that our estimators do not pass, and why."""

PARTLY = {
    "test_preserve_feature_names": "for the regressor; a classifier needs two classes, where scikit-learn's takes one",
}
"""Those that one of the two passes."""


class Adapted:
    """One of our estimators that takes scikit-learn's parameters; the rest is the estimator's."""

    make: ClassVar[type[Any]]
    own: ClassVar[dict[str, Any]] = {
        "numeric_embedding": None, "categorical_embedding": None, "preprocessing": None, "dropout": 0.0,
        "n_members": 1, "schedule": "constant", "weight_averaging": None, "weight_decay": 0.0,
        "gradient_clipping": None, "calibration": None,
    }  # fmt: skip

    def __init__(
        self, *, hidden_layer_sizes: Any = (100,), activation: str = "relu", solver: str = "adam", alpha: float = 1e-4,
        batch_size: Any = "auto", learning_rate_init: float = 1e-3, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, warm_start: bool = False, momentum: float = 0.9,
        early_stopping: bool = False, validation_fraction: float = 0.1, loss: str = "auto",
    ) -> None:  # fmt: skip
        optimizers = {"sgd": SGD(momentum=momentum, nesterov=momentum > 0), "adam": Adam(), "lbfgs": LBFGS()}
        full = solver == "lbfgs"
        self.network = self.make(
            **self.own, hidden_layer_sizes=hidden_layer_sizes, activation=activation, loss=loss,
            optimizer=optimizers[solver], learning_rate=None if full else learning_rate_init, max_epochs=max_iter,
            batch_size=10**6 if full else 200 if batch_size == "auto" else batch_size, random_state=random_state,
            tol=tol, warm_start=warm_start, early_stopping=early_stopping, n_iter_no_change=10,
            validation_fraction=validation_fraction,
        )  # fmt: skip

    def fit(self, *args: Any, **kwargs: Any) -> "Adapted":
        self.network.fit(*args, **kwargs)
        return self

    def set_params(self, *, max_iter: int) -> "Adapted":
        self.network.set_params(max_epochs=max_iter)
        return self

    def __getattr__(self, name: str) -> Any:
        if name == "network":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.network, name)


class MLPClassifier(Adapted):
    make, own = NNClassifier, {**Adapted.own, "label_smoothing": 0.0}


class MLPRegressor(Adapted):
    make = NNRegressor


def theirs() -> types.ModuleType:
    """scikit-learn's test module, with our estimators in the place of its own."""
    import sklearn.neural_network

    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None
    assert spec.origin is not None
    module = types.ModuleType("test_mlp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklearn.neural_network, "MLPClassifier", MLPClassifier)
        patch.setattr(sklearn.neural_network, "MLPRegressor", MLPRegressor)
        exec(compile(Path(spec.origin).read_text(encoding="utf-8"), spec.origin, "exec"), vars(module))
    return module


TESTS = {name: one for name, one in vars(theirs()).items() if name.startswith("test_")}
globals().update({name: one for name, one in TESTS.items() if name not in DIFFERS | PARTLY})


@pytest.fixture
def global_random_seed() -> int:
    return 0


def test_names_of_columns_are_kept() -> None:
    TESTS["test_preserve_feature_names"](MLPRegressor)


def test_every_test_is_spoken_of() -> None:
    assert set(DIFFERS) | set(PARTLY) <= set(TESTS)
    assert len(TESTS) - len(DIFFERS) >= 20


def page() -> str:
    """The page that says which tests apply."""
    own = [name for name in TESTS if name not in DIFFERS | PARTLY]
    lines = [
        "# scikit-learn's tests of its MLP",
        "",
        "Written by `python tests/test_sklearn_mlp.py`. Tests of `MLPClassifier` and `MLPRegressor` in scikit-learn",
        "1.9, run with our estimators under scikit-learn's parameters, as plain networks without embeddings, ensembles",
        "and averages.",
        "",
        f"## They pass ({len(own)})",
        "",
        *(f"- `{name}`" for name in own),
        "",
        f"## One of the two passes ({len(PARTLY)})",
        "",
        *(f"- `{name}`: {reason}" for name, reason in PARTLY.items()),
        "",
        f"## They differ ({len(DIFFERS)})",
        "",
        "| test | why |",
        "|---|---|",
        *(f"| `{name}` | {reason} |" for name, reason in DIFFERS.items()),
        "",
    ]
    return "\n".join(lines)


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
