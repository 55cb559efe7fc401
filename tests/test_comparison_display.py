"""The picture of a comparison shows what is in its table."""

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from support import basic

from sknnopt import NNClassifier, compare
from sknnopt.inspection import ComparisonDisplay
from sknnopt.model_selection import Comparison

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

X, y = load_iris(return_X_y=True)
NETWORK = basic(NNClassifier, hidden_layer_sizes=(6,), max_epochs=5, random_state=0)
CANDIDATES = {
    "plain": {"learning_rate": 0.05},
    "the same": {"learning_rate": 0.05},
    "hardly any learning at all, which takes a long name": {"learning_rate": 1e-6},
    "diverging": {"optimizer": "sgd", "learning_rate": 1e30},
}


@pytest.fixture(scope="module")
def found() -> Comparison:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compare(NETWORK, X, y, CANDIDATES, scoring="neg_log_loss")


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_every_score_is_drawn_where_it_belongs(found: Comparison) -> None:
    display = ComparisonDisplay.from_comparison(found)
    r, ax = found.results_, display.ax_
    folds = np.asarray(display.folds_.get_offsets()).reshape(4, 5, 2)
    assert_allclose(folds[:3, :, 0], np.stack([r[f"split{i}_test_score"] for i in range(5)], axis=1)[:3])
    assert_allclose(np.round(folds[..., 1]), np.repeat(np.arange(4.0), 5).reshape(4, 5))
    assert_allclose(np.asarray(display.train_.get_offsets())[:3, 0], r["mean_train_score"][:3])
    for i in range(3):
        line, _, (bar,) = display.means_[i].lines
        assert_allclose(line.get_xydata(), [[r["mean_test_score"][i], i]])
        ends = bar.get_segments()[0][:, 0]
        assert_allclose(ends[1] - ends[0], 2 * r["std_test_score"][i])
    assert ax.lines[0].get_xdata()[0] == r["mean_test_score"][0]
    assert ax.get_xlabel() == "neg_log_loss"
    assert ax.get_ylabel() == "candidate"
    assert ax.yaxis_inverted()
    assert [" ".join(text.get_text().split()) for text in ax.get_yticklabels()] == list(CANDIDATES)
    display.figure_.canvas.draw()


def test_verdicts_are_written_and_told_by_shape(found: Comparison) -> None:
    display = ComparisonDisplay.from_comparison(found)
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts[:2] == ["reference", "no difference\np = 1.000"]
    assert texts[2].startswith("worse\np ")
    assert texts[3] == "failed"
    fills = [container.lines[0].get_markerfacecolor() for container in display.means_]
    assert fills[:3] == ["black", "white", "black"]


def test_it_draws_into_given_axes_and_without_training_scores(found: Comparison) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    display = ComparisonDisplay(found).plot(axes[1], show_train=False)
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.train_ is None
    assert not axes[0].has_data()


def test_from_estimator_compares_and_keeps_the_table() -> None:
    display = ComparisonDisplay.from_estimator(
        NETWORK, X, y, {"optimizer": ["sgd", "adam"]}, cv=3, scoring="neg_log_loss"
    )
    assert display.comparison.n_splits == 3
    assert display.ax_.get_xlabel() == "neg_log_loss"
    assert display.ax_.get_ylabel() == "optimizer"


def test_a_reference_that_fails_can_be_drawn() -> None:
    with pytest.warns(FitFailedWarning, match="has failed"):
        found = compare(NETWORK, X, y, dict(reversed(CANDIDATES.items())), cv=3)
    display = ComparisonDisplay.from_comparison(found)
    display.figure_.canvas.draw()
    assert display.ax_.texts[0].get_text() == "failed"


def test_without_matplotlib_it_says_so(found: Comparison, monkeypatch: Any) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (ComparisonDisplay.from_comparison, lambda one: ComparisonDisplay(one).plot()):
        with pytest.raises(ImportError, match="requires matplotlib"):
            call(found)
    with pytest.raises(ImportError, match="requires matplotlib"):
        ComparisonDisplay.from_estimator(NETWORK, X, y, {})
