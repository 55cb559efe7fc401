"""What the displays share: where panels lie, how lines differ, and whose network is looked at."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.model_selection._measure import find_network

COLORS = ("black", "tab:blue", "tab:orange", "0.55", "tab:green", "tab:red")
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def look(i: int) -> dict[str, str]:
    """Return how the i-th line is drawn: colour, dashes and marker, so that it is told in grey too.

    Examples
    --------
    >>> look(0)
    {'color': 'black', 'linestyle': '-', 'marker': 'o'}
    >>> len({tuple(look(i).values()) for i in range(84)})
    84
    """
    return {
        "color": COLORS[i % len(COLORS)],
        "linestyle": LINES[i % len(LINES)],
        "marker": MARKERS[i % len(MARKERS)],
    }


def sparse_markers(n: int) -> int:
    """Return after how many points a marker is drawn again.

    Examples
    --------
    >>> sparse_markers(5), sparse_markers(200)
    (1, 17)
    """
    return max(1, -(-n // 12))


def panels(ax: Any, rows: int, columns: int, *, figsize: tuple[float, float], heights: Sequence[float] = ()) -> Any:
    """Return Axes (rows, columns): new ones, those given, or parts of the one given.

    Panels of a column have the same x-axis.

    Parameters
    ----------
    ax : matplotlib Axes, array-like of Axes or None
    rows, columns : int
    figsize : tuple of float
        Inches of a new figure.
    heights : sequence of float
        Of the rows, in proportion; all the same by default.

    Raises
    ------
    ValueError
        If so many Axes were not given, or the one given cannot be divided.
    """
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    figure: Any
    ratios = list(heights) or [1.0] * rows
    if ax is None:
        figure = plt.figure(figsize=figsize, layout="constrained")
        spec: Any = figure.add_gridspec(rows, columns, height_ratios=ratios)
    elif not isinstance(ax, Axes):
        return _given(ax, rows, columns)
    elif rows * columns == 1:
        return np.array([[ax]], dtype=object)
    elif (place := ax.get_subplotspec()) is None:
        raise ValueError(
            f"This display has {rows * columns} panels, and 'ax' is not in a grid that could be divided. "
            f"Give {rows * columns} Axes, or one made by plt.subplots."
        )
    else:
        ax.set_axis_off()
        figure = ax.figure
        spec = GridSpecFromSubplotSpec(rows, columns, place, height_ratios=ratios)
    out = np.empty((rows, columns), dtype=object)
    for i, j in np.ndindex(rows, columns):
        out[i, j] = figure.add_subplot(spec[i, j], sharex=out[0, j] if i else None)
    return out


def _given(axes: Any, rows: int, columns: int) -> NDArray[Any]:
    flat = np.asarray(axes, dtype=object).ravel()
    if len(flat) != rows * columns or not all(hasattr(one, "plot") for one in flat):
        raise ValueError(
            f"This display has {rows * columns} panels: the 'ax' parameter must be None, one Axes to divide, or "
            f"{rows * columns} Axes. Got {axes!r} instead."
        )
    return flat.reshape(rows, columns)


def epoch_axis(ax: Any, last: float, first: float = 1) -> None:
    """Label the x-axis with epochs, which are whole."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.set_xlabel("epoch")
    if last <= first:
        ax.set_xlim(first - 0.5, first + 0.5)


def network_of(estimator: Any, caller: str) -> NNClassifier | NNRegressor:
    """Return the network, alone or at the end of a Pipeline, inside a fitted search or meta-estimator.

    Raises
    ------
    TypeError
        If there is none.
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"The 'estimator' parameter of {caller} must be an estimator. Got the class {estimator.__name__} instead; "
            f"did you mean {estimator.__name__}()?"
        )
    network = find_network(estimator)
    if network is None:
        inside = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
        which = "a Pipeline that ends with " if inside is not estimator else ""
        raise TypeError(
            f"The 'estimator' parameter of {caller} must be an NNClassifier or NNRegressor, a Pipeline that ends with "
            f"one, or a fitted search of one. Got {which}{inside!r} instead."
        )
    return network


def fitted_network(estimator: Any, caller: str) -> NNClassifier | NNRegressor:
    """Return the network as `network_of`, which must be fitted.

    Raises
    ------
    NotFittedError
        If it is not.
    """
    network = network_of(estimator, caller)
    if not hasattr(network, "history_"):
        raise NotFittedError(
            f"This {type(network).__name__} has not been fitted, and {caller} shows what training has recorded. "
            "Call fit first."
        )
    return network
