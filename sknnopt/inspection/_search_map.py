"""A map of cells, one for each combination of two parameters' values."""

from typing import Any

import numpy as np

from sknnopt.inspection._search_values import Found, Values, lower_end
from sknnopt.model_selection._text import score_places

COLOR_RANGES = 10
"""Interquartile ranges under the lower quartile at which colours end."""

MOST_TEXTS = 150
"""Cells up to which each has its score written in it."""


def draw_map(ax: Any, found: Found, x: Values, y: Values) -> tuple[Any, Any, Any, Any]:
    """Draw the best candidate of each cell; return the image, its colour bar, the best cell and the failed ones."""
    best_of = {(int(y.which[i]), int(x.which[i])): int(i) for i in found.order()}
    means = np.full((len(y.labels), len(x.labels)), np.nan)
    for cell, i in best_of.items():
        means[cell] = found.mean[i]
    low = lower_end(means.ravel(), COLOR_RANGES)
    image = ax.imshow(
        means, cmap=_colors(), aspect="auto", vmin=low if np.isfinite(low) else 0, origin="upper", interpolation="none"
    )
    bar = ax.figure.colorbar(image, ax=ax, extend="min" if (means < low).any() else "neither", fraction=0.06)
    if len(best_of) <= MOST_TEXTS:
        _write(ax, image, means, score_places(found.mean, found.std))
    failures = [_patch(ax, cell, "failed", hatch="xxx") for cell, i in best_of.items() if np.isnan(found.mean[i])]
    for cell in sorted(set(np.ndindex(*means.shape)) - set(best_of)):
        _patch(ax, cell, "not tried", hatch="..")
    best = None
    if found.best is not None and np.isfinite(found.mean[found.best]):
        best = _framed(ax, (int(y.which[found.best]), int(x.which[found.best])), found.mean[found.best])
    return image, bar, best, failures or None


def _colors() -> Any:
    from matplotlib import colormaps

    return colormaps["viridis"].with_extremes(bad="white")


def _write(ax: Any, image: Any, means: Any, decimals: int) -> None:
    for row, column in np.argwhere(np.isfinite(means)):
        red, green, blue, _ = image.cmap(image.norm(means[row, column]))
        text = f"{means[row, column]:.{decimals}f}"
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        ax.text(
            column, row, text if len(text) <= 7 else f"{means[row, column]:.0e}", ha="center", va="center",
            fontsize="small", color="black" if light else "white",
        )  # fmt: skip


def _patch(ax: Any, cell: tuple[int, ...], label: str, **style: Any) -> Any:
    """Draw a cell; the first one of a label is in the legend."""
    from matplotlib.patches import Rectangle

    if label in ax.get_legend_handles_labels()[1]:
        label = "_"
    options = {"facecolor": "none", "edgecolor": "0.5", "linewidth": 0, **style}
    return ax.add_patch(Rectangle((cell[1] - 0.5, cell[0] - 0.5), 1, 1, label=label, **options))


def _framed(ax: Any, cell: tuple[int, int], score: float) -> Any:
    _patch(ax, cell, "_", edgecolor="white", linewidth=5, zorder=3)
    return _patch(ax, cell, f"best: {score:.4g}", edgecolor="black", linewidth=2.2, zorder=4)
