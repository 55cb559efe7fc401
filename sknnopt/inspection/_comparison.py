"""The picture of a comparison."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from sknnopt._compat import check_matplotlib_support
from sknnopt.model_selection import Comparison, compare

LABEL_WIDTH = 32
"""Characters after which a label goes on in the next line."""

ROW_HEIGHT = 0.42
"""Inches of a candidate."""

OFFSET = 0.24
"""How far below the mean its folds are drawn, and above it the training score, in rows."""


class ComparisonDisplay:
    """Scores of candidates on the same folds, with what the test against the first one says.

    A row a candidate, the first on top: the mean test score with its standard deviation over folds (hollow where no
    difference from the first was found), under it each fold's score, above it the mean training score. A dashed line
    marks the first one's mean; the p-values are corrected for the number of candidates.

    Parameters
    ----------
    comparison : Comparison
        What :func:`~sknnopt.compare` has returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    means_ : list of matplotlib ErrorbarContainer
        One a candidate that has scores.
    folds_ : matplotlib PathCollection
    train_ : matplotlib PathCollection or None

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier, compare
    >>> from sknnopt.inspection import ComparisonDisplay
    >>> network = NNClassifier(hidden_layer_sizes=(8,), n_members=1, max_epochs=5, random_state=0)
    >>> found = compare(network, *load_iris(return_X_y=True), {"optimizer": ["sgd", "adam"]})
    >>> display = ComparisonDisplay.from_comparison(found)
    >>> display.ax_.get_xlabel()
    'accuracy'
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    @classmethod
    def from_comparison(cls, comparison: Comparison, *, ax: Any = None, show_train: bool = True) -> Self:
        """Draw a comparison.

        Parameters
        ----------
        comparison : Comparison
        ax, show_train
            See :meth:`plot`.

        Returns
        -------
        ComparisonDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_comparison")
        return cls(comparison).plot(ax, show_train=show_train)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        candidates: Any,
        *,
        cv: Any = 5,
        scoring: str | Callable[..., float] | None = None,
        params: Mapping[str, Any] | None = None,
        groups: Any = None,
        n_jobs: int | None = None,
        max_members: int | str = "auto",
        verbose: int = 0,
        ax: Any = None,
        show_train: bool = True,
    ) -> Self:
        """Compare candidates and draw the result; it is kept as ``comparison``.

        Parameters
        ----------
        estimator, X, y, candidates, cv, scoring, params, groups, n_jobs, max_members, verbose
            See :func:`~sknnopt.compare`.
        ax, show_train
            See :meth:`plot`.

        Returns
        -------
        ComparisonDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        found = compare(
            estimator, X, y, candidates, cv=cv, scoring=scoring, params=params, groups=groups, n_jobs=n_jobs,
            max_members=max_members, verbose=verbose,
        )  # fmt: skip
        return cls(found).plot(ax, show_train=show_train)

    def plot(self, ax: Any = None, *, show_train: bool = True) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; None makes a figure as high as the candidates need.
        show_train : bool, default=True
            Whether to show training scores.

        Returns
        -------
        ComparisonDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        rows = np.arange(len(self.comparison))
        if ax is None:
            _, ax = plt.subplots(figsize=(8.0, 1.3 + ROW_HEIGHT * len(rows)), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_scores(rows, show_train)
        self._draw_verdicts(rows)
        self._draw_axes(rows)
        return self

    def _draw_scores(self, rows: Any, show_train: bool) -> None:
        r, ax = self.comparison.results_, self.ax_
        folds = np.stack([r[f"split{i}_test_score"] for i in range(self.comparison.n_splits)], axis=1)
        ax.axvline(r["mean_test_score"][0], color="0.5", linestyle="--", linewidth=1, zorder=1)
        told = np.isin(r["verdict"], ["better", "worse", "reference"])
        self.means_ = [
            ax.errorbar(
                r["mean_test_score"][i], i, xerr=r["std_test_score"][i], fmt="o", markersize=7, color="black",
                elinewidth=1.5, markerfacecolor="black" if told[i] else "white", zorder=3,
                label="test, mean ± standard deviation" if i == 0 else None,
            )
            for i in rows
        ]  # fmt: skip
        self.folds_ = ax.scatter(
            folds.ravel(), np.repeat(rows + OFFSET, folds.shape[1]), marker="|", s=40, color="0.4", linewidths=1.2,
            zorder=2, label="test, each fold",
        )  # fmt: skip
        self.train_ = None
        if show_train:
            self.train_ = ax.scatter(
                r["mean_train_score"], rows - OFFSET, marker="D", s=22, facecolors="none", edgecolors="tab:blue",
                zorder=2, label="training, mean",
            )  # fmt: skip

    def _draw_verdicts(self, rows: Any) -> None:
        """Write beside each row what the test says."""
        r = self.comparison.results_
        for i in rows:
            p = r["p_value_holm"][i]
            text = "failed" if r["error"][i] else r["verdict"][i]
            if not np.isnan(p):
                text += "\np < 0.001" if p < 0.001 else f"\np = {p:.3f}"
            self.ax_.annotate(
                text, (1, i), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                va="center", fontsize="small", annotation_clip=False,
                fontweight="bold" if r["verdict"][i] in ("better", "worse") else "normal",
            )  # fmt: skip

    def _draw_axes(self, rows: Any) -> None:
        ax, labels = self.ax_, self.comparison.results_["label"]
        ax.set_yticks(rows, [textwrap.fill(label, LABEL_WIDTH) for label in labels])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xlabel(self.comparison.metric)
        ax.set_ylabel(self.comparison.title)
        ax.grid(axis="x", color="0.9", zorder=0)
        ax.set_axisbelow(True)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize="small")
