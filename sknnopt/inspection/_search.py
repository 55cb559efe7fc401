"""The picture of a search: its scores over one parameter or two."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sknnopt._compat import check_matplotlib_support
from sknnopt.inspection._search_axes import figure_size, label_axis, label_width
from sknnopt.inspection._search_map import COLOR_RANGES, draw_map
from sknnopt.inspection._search_values import (
    Floats,
    Found,
    Values,
    lower_end,
    read_search,
    read_values,
    shown_params,
)
from sknnopt.model_selection._candidates import short_names

RANGES = 100
"""Interquartile ranges under the lower quartile at which an axis of scores ends."""

MOST_CELLS = 40
"""Values of a parameter up to which there is a map of cells."""


class SearchDisplay:
    r"""Test scores of a search over one parameter, or over two.

    One parameter: mean and standard deviation over folds; a value that several candidates share has its best one large
    and the others as dots. Names, objects, tuples and None are rows. Two: a map of cells where most combinations were
    tried, again the best candidate of each; else, as after a randomized search, a point a candidate. The best candidate
    is marked, failures (NaN) are shown as such, and scores far below all others (100 interquartile ranges under the
    lower quartile, for colours 10) lie at the edge of the scale. Axes of numbers are logarithmic where the values are
    spread that way. Of a halving search each candidate is shown as of its last iteration, hollow or small if that was
    not the last one.

    Parameters
    ----------
    search : estimator
        A fitted search: sklearn's or ours, over a grid, randomized or halving.
    params : str or sequence of str, default=None
        One parameter or two, x and y. None takes those that vary; of more than two those that tell most of the scores,
        by the share of the variance of the scores' ranks that lies between a parameter's values.
    metric : str, default=None
        Which score of a search that has several; None is the one that its `refit` names.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    params_ : list of str
        The parameters shown.
    metric_ : str
    points_ : matplotlib PathCollection or AxesImage
        The scores: of one parameter the best of each value, of two each candidate or the cells.
    bars_ : matplotlib ErrorbarContainer or None
        Standard deviations, of one parameter.
    others_ : matplotlib PathCollection or None
        The other candidates, of one parameter.
    failed_ : matplotlib artist or None
    best_ : matplotlib artist or None
        What marks the best candidate.
    colorbar_ : matplotlib Colorbar or None

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier
    >>> from sknnopt.inspection import SearchDisplay
    >>> from sknnopt.model_selection import GridSearchCV
    >>> network = NNClassifier(hidden_layer_sizes=(8,), n_members=1, max_epochs=5, random_state=0)
    >>> search = GridSearchCV(network, {"learning_rate": [0.001, 0.01, 0.1]}, cv=3).fit(*load_iris(return_X_y=True))
    >>> display = SearchDisplay.from_search(search)
    >>> display.params_, display.ax_.get_ylabel(), display.ax_.get_xscale()
    (['learning_rate'], 'test accuracy\nmean ± standard deviation over folds', 'log')
    """

    def __init__(self, search: Any, params: str | Sequence[str] | None = None, *, metric: str | None = None) -> None:
        self.search = search
        self.params = params
        self.metric = metric

    @classmethod
    def from_search(
        cls, search: Any, params: str | Sequence[str] | None = None, *, metric: str | None = None, ax: Any = None
    ) -> Self:
        """Draw a fitted search.

        Parameters
        ----------
        search, params, metric
            See the class.
        ax : matplotlib Axes, default=None
            See :meth:`plot`.

        Returns
        -------
        SearchDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_search")
        return cls(search, params, metric=metric).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where; None makes a figure as large as the values need.

        Returns
        -------
        SearchDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        found = read_search(self.search, self.metric, type(self).__name__)
        names = shown_params(found, self.params)
        values = [read_values(name, found.params) for name in names]
        if len(names) == 2 and self.params is None and label_width(values[0]) > label_width(values[1]):
            names, values = names[::-1], values[::-1]
        self.params_, self.metric_ = names, found.metric
        as_map = len(names) == 2 and _fills(*values)
        if ax is None:
            _, ax = plt.subplots(figsize=figure_size(values, as_map=as_map), layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.bars_ = self.others_ = self.failed_ = self.best_ = self.colorbar_ = None
        if len(names) == 1:
            self._draw_line(found, values[0])
        elif as_map:
            self.points_, self.colorbar_, self.best_, self.failed_ = draw_map(ax, found, *values)
        else:
            self._draw_scatter(found, *values)
        self._draw_axes(found, values, as_map=as_map)
        return self

    def _draw_line(self, found: Found, values: Values) -> None:
        """Draw the best of each value, or each candidate of a randomized search, with its standard deviation."""
        ranked, rows = found.order(), values.numbers is None
        best_of = {int(values.which[i]): int(i) for i in ranked}
        alone = len(_varying(found)) <= 1
        best = np.array([best_of[k] for k in sorted(best_of)])
        scattered = len(best) == len(ranked) and not alone
        where = values.which.astype(float) if values.numbers is None else values.numbers
        low = lower_end(found.mean, RANGES)
        shown = best[found.mean[best] >= low]
        rest = np.setdiff1d(np.flatnonzero(found.mean >= low), shown)
        error = {"xerr" if rows else "yerr": found.std[shown]}
        self.bars_ = self.ax_.errorbar(
            *_turned(where[shown], found.mean[shown], rows), **error, color="0.45" if scattered else "black",
            linestyle="none" if rows or scattered else "-", elinewidth=0.7 if scattered else 1.3, linewidth=1.0,
            zorder=2, label="_",
        )  # fmt: skip
        last = found.rounds[shown] == found.rounds.max()
        self.points_ = self.ax_.scatter(
            *_turned(where[shown], found.mean[shown], rows), s=42, zorder=3, edgecolors="black", linewidths=1.2,
            facecolors=["black" if one else "white" for one in last],
        )  # fmt: skip
        text = "best with this value" if len(rest) else "each candidate"
        self.ax_.scatter([], [], s=42, color="black", label=text if last.all() else f"{text}, of the last iteration")
        if not last.all():
            self.ax_.scatter([], [], s=42, facecolors="white", edgecolors="black", label="of an earlier iteration")
        if len(rest):
            self.others_ = self.ax_.scatter(
                *_turned(where[rest], found.mean[rest], rows), s=12, color="tab:blue", zorder=2.5, alpha=0.8,
                label="other candidates",
            )  # fmt: skip
        self._mark(found, where, found.mean, rows=rows)
        self._draw_edge(found, where, low, rows=rows)

    def _draw_edge(self, found: Found, where: Floats, low: float, *, rows: bool) -> None:
        """Mark at the edge what has failed and what lies far below."""
        edge = self.ax_.get_yaxis_transform() if rows else self.ax_.get_xaxis_transform()
        for kind, marker, text in (
            (np.isnan(found.mean), "x", "failed"),
            (found.mean < low, "<v"[not rows], "far below"),
        ):
            if kind.any():
                (marks,) = self.ax_.plot(
                    *_turned(where[kind], np.full(kind.sum(), 0.015), rows), marker=marker, linestyle="none",
                    color="tab:red", transform=edge, clip_on=False, zorder=4, label=text,
                )  # fmt: skip
                self.failed_ = marks if text == "failed" else self.failed_
        if not np.isfinite(found.mean).any():
            (self.ax_.set_xlim if rows else self.ax_.set_ylim)(0, 1)

    def _draw_scatter(self, found: Found, x: Values, y: Values) -> None:
        """Draw a point a candidate, its score as the colour."""
        at, up = (value.which.astype(float) if value.numbers is None else value.numbers for value in (x, y))
        there = np.isfinite(found.mean)
        low, sizes = lower_end(found.mean, COLOR_RANGES), np.where(found.rounds == found.rounds.max(), 70, 22)
        self.points_ = self.ax_.scatter(
            at[there], up[there], c=found.mean[there], s=sizes[there], cmap="viridis", edgecolors="black",
            linewidths=0.6, zorder=3, vmin=low if there.any() else 0,
        )  # fmt: skip
        if found.rounds.any():
            self.ax_.scatter([], [], s=70, color="0.5", edgecolors="black", label="of the last iteration")
            self.ax_.scatter([], [], s=22, color="0.5", edgecolors="black", label="of an earlier one")
        if not there.all():
            self.failed_ = self.ax_.scatter(
                at[~there], up[~there], marker="x", s=45, color="tab:red", zorder=4, label="failed"
            )
        self.colorbar_ = self.figure_.colorbar(
            self.points_, ax=self.ax_, extend="min" if (found.mean < low).any() else "neither"
        )
        self._mark(found, at, up, rows=False)

    def _mark(self, found: Found, where: Floats, score: Floats, *, rows: bool) -> None:
        if found.best is None or np.isnan(found.mean[found.best]):
            return
        at = where[[found.best]], score[[found.best]]
        self.best_ = self.ax_.scatter(
            *_turned(*at, rows),
            s=190,
            marker="o",
            facecolors="none",
            edgecolors="black",
            linewidths=1.6,
            zorder=5,
            label=f"best: {found.mean[found.best]:.4g}",
        )

    def _draw_axes(self, found: Found, values: list[Values], *, as_map: bool) -> None:
        ax, short = self.ax_, short_names(list(dict.fromkeys(name for one in found.params for name in one)))
        labels = [short[name] for name in self.params_]
        score = f"test {found.metric}\nmean"
        if len(values) == 1:
            rows = values[0].numbers is None
            score += " ± standard deviation over folds"
            (ax.set_ylabel if rows else ax.set_xlabel)(labels[0])
            (ax.set_xlabel if rows else ax.set_ylabel)(score)
            axes = [ax.yaxis if rows else ax.xaxis]
        else:
            ax.set_xlabel(labels[0])
            ax.set_ylabel(labels[1])
            if self.colorbar_ is not None:
                self.colorbar_.set_label(f"{score} over folds")
            axes = [ax.xaxis, ax.yaxis]
        for axis, value in zip(axes, values, strict=True):
            label_axis(ax, axis, value, cells=as_map)
        if not as_map:
            ax.grid(color="0.9")
            ax.set_axisbelow(True)
        entries = len(ax.get_legend_handles_labels()[1])
        if entries:
            columns = entries if entries <= 4 else 3
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, frameon=False, fontsize="small")


def _turned(where: Floats, score: Floats, rows: bool) -> tuple[Floats, Floats]:
    return (score, where) if rows else (where, score)


def _varying(found: Found) -> list[str]:
    names = dict.fromkeys(name for one in found.params for name in one)
    return [name for name in names if len(read_values(name, found.params).labels) > 1]


def _fills(x: Values, y: Values) -> bool:
    """Return whether there is a map: most combinations were tried, or both parameters have few values."""
    cells, tried = len(x.labels) * len(y.labels), len(set(zip(x.which.tolist(), y.which.tolist(), strict=True)))
    names = x.numbers is None and y.numbers is None
    return names or (cells <= 2 * tried and max(len(x.labels), len(y.labels)) <= MOST_CELLS)
