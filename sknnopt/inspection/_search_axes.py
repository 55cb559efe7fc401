"""How the axes of a search's picture are labelled, and how large it must be."""

import textwrap
from typing import Any

import numpy as np

from sknnopt.inspection._search_values import Values

LABEL_WIDTH = 28
"""Characters after which a label goes on in the next line."""


def label_axis(ax: Any, axis: Any, values: Values, *, cells: bool) -> None:
    """Label an axis with the values of a parameter."""
    across = axis is ax.xaxis
    if values.numbers is not None and not cells:
        if values.log:
            (ax.set_xscale if across else ax.set_yscale)("log")
        if len(values.labels) <= 8 and _apart(values):
            axis.set_ticks(np.unique(values.numbers), values.labels)
            axis.set_ticks([], minor=True)
        return
    texts = [textwrap.fill(label, LABEL_WIDTH) for label in values.labels]
    axis.set_ticks(np.arange(len(texts)), texts)
    ends = (-0.5, len(texts) - 0.5)
    if across:
        ax.set_xlim(*ends)
        if max(map(len, values.labels)) > 6 or len(texts) > 12:
            ax.tick_params(axis="x", rotation=90 if len(texts) > 8 else 30)
            for label in ax.get_xticklabels():
                label.set_horizontalalignment("center" if len(texts) > 8 else "right")
    else:
        ax.set_ylim(*ends[::-1])


def _apart(values: Values) -> bool:
    """Return whether the values lie so far apart that each can be written under the axis."""
    distinct = np.unique(values.numbers) if values.numbers is not None else np.arange(1.0)
    if len(distinct) < 2:
        return True
    at = np.log(distinct) if values.log else distinct
    return bool(np.diff(at).min() >= 0.08 * (at[-1] - at[0]))


def label_width(values: Values) -> int:
    """Return how much room labels want: none where they are numbers."""
    return 0 if values.numbers is not None else 1 + max(map(len, values.labels))


def figure_size(values: list[Values], *, as_map: bool) -> tuple[float, float]:
    """Return the inches of a new figure."""
    counts = [len(value.labels) for value in values]
    if as_map:
        return max(4.5, 2.8 + 0.6 * counts[0] + 0.08 * min(label_width(values[1]), LABEL_WIDTH)), max(
            3.8, 2 + 0.4 * counts[1]
        )
    up = values[-1]
    if up.numbers is None:
        lines = sum(len(textwrap.wrap(label, LABEL_WIDTH)) or 1 for label in up.labels)
        return 7.5, 1.8 + 0.36 * max(lines, 2)
    return 7.0, 4.6
