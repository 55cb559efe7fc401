"""The picture of a training: losses, score and the epoch whose weights were kept."""

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sknnopt._choices import suggestion
from sknnopt._compat import check_matplotlib_support
from sknnopt.inspection._axes import epoch_axis, fitted_network, panels, sparse_markers
from sknnopt.losses import FunctionLoss, Loss
from sknnopt.model_selection._compare import metric_name

Band = Literal["range", "quartiles"] | None

BANDS: dict[Any, tuple[float, float] | None] = {"range": (0, 100), "quartiles": (25, 75), None: None}

LOOKS: dict[str, dict[str, str]] = {
    "train_loss": {"color": "tab:blue", "linestyle": "--", "marker": "o", "label": "training rows"},
    "valid_loss": {"color": "black", "linestyle": "-", "marker": "s", "label": "withheld rows"},
    "judged": {"color": "tab:orange", "linestyle": "-.", "marker": "^", "label": "withheld rows, as judged"},
    "score": {"color": "black", "linestyle": "-", "marker": "s", "label": "withheld rows"},
}


class LossCurveDisplay:
    """Training and validation loss, epoch by epoch, and the epoch whose weights were kept.

    A line is the mean over those members that still train, and breaks where one of them ends; a band about it is what
    they scatter by. Where rows are withheld and judged by
    something else than the mean of these losses, there is a third line: under ``scoring="loss"`` the loss after
    calibration, of several members that of their average (an estimate); under another scorer its score, in a panel
    below. The training loss is taken while the weights change, with dropout and label smoothing.

    Parameters
    ----------
    curves : mapping of str to array-like of shape (n_members, n_epochs)
        "train_loss", and "valid_loss" and "valid_score" where there are such; NaN where a member no longer trains.
        See `member_histories_` of the estimators.
    best_epochs : int or array-like of int
        Of each member, counted from 1.
    loss_name : str, default="loss"
        What the axis says.
    score_name : str, default=None
        What "valid_score" is; None for minus a loss.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the losses.
    score_ax_ : matplotlib Axes or None
        Of the score, if there is one.
    figure_ : matplotlib Figure
    lines_ : dict of str to matplotlib Line2D
        "train_loss", "valid_loss", "judged", "score", as far as there are such.
    bands_ : dict of str to matplotlib FillBetweenPolyCollection
        Of those lines; empty for a single member.
    best_ : list of matplotlib LineCollection
        What marks the epochs whose weights were kept, one a panel.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier
    >>> from sknnopt.inspection import LossCurveDisplay
    >>> network = NNClassifier(hidden_layer_sizes=(8,), n_members=3, max_epochs=5, random_state=0)
    >>> display = LossCurveDisplay.from_estimator(network.fit(*load_iris(return_X_y=True)))
    >>> display.ax_.get_ylabel()
    'cross entropy (nats, mean over rows)'
    """

    def __init__(
        self,
        curves: Mapping[str, ArrayLike],
        best_epochs: ArrayLike,
        *,
        loss_name: str = "loss",
        score_name: str | None = None,
    ) -> None:
        self.curves = curves
        self.best_epochs = best_epochs
        self.loss_name = loss_name
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Any = None,
        name: str | None = None,
        band: Band = "range",
        log_scale: bool = False,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw what a fitted network has recorded.

        Parameters
        ----------
        estimator : NNClassifier or NNRegressor
            Fitted; or a Pipeline that ends with one, or a search or meta-estimator of one.
        ax, name, band, log_scale, curve_kwargs
            See :meth:`plot`.

        Returns
        -------
        LossCurveDisplay
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib_support(caller)
        network = fitted_network(estimator, caller)
        scoring = network.scoring
        display = cls(
            network.member_histories_,
            network.best_epoch_,
            loss_name=loss_name(network.loss_),
            score_name=None if scoring == "loss" else metric_name(network, scoring),
        )
        return display.plot(ax, name=name, band=band, log_scale=log_scale, curve_kwargs=curve_kwargs)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        band: Band = "range",
        log_scale: bool = False,
        curve_kwargs: Mapping[str, Any] | None = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or pair of Axes, default=None
            Where; None makes a figure. One Axes is divided, if there is a score; a pair is for losses and score.
        name : str, default=None
            What labels begin with, to tell several displays in the same Axes.
        band : {"range", "quartiles"} or None, default="range"
            From the least to the largest of the members, or the middle half of them.
        log_scale : bool, default=False
            Whether the axis of the losses is logarithmic.
        curve_kwargs : dict, default=None
            Passed to matplotlib for every line, over what the display has chosen.

        Returns
        -------
        LossCurveDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if band not in BANDS:
            raise ValueError(
                "The 'band' parameter must be 'range', 'quartiles' or None. "
                f"Got {band!r} instead.{suggestion(str(band), ['range', 'quartiles'])}"
            )
        scored = self.score_name is not None and "valid_score" in self.curves
        rows = 2 if scored else 1
        axes = panels(ax, rows, 1, figsize=(7.0, 3.0 + 1.5 * rows), heights=(2, 1)[:rows])[:, 0]
        self.ax_, self.score_ax_, self.figure_ = axes[0], axes[1] if scored else None, axes[0].figure
        self.lines_: dict[str, Any] = {}
        self.bands_: dict[str, Any] = {}
        self._options, self._prefix = dict(curve_kwargs or {}), "" if name is None else f"{name}: "
        for key in ("train_loss", "valid_loss"):
            if key in self.curves:
                self._draw(self.ax_, key, _finite(self.curves[key]), band)
        if scored:
            self._draw(self.score_ax_, "score", _finite(self.curves["valid_score"]), band)
        elif "valid_score" in self.curves:
            self._draw(self.ax_, "judged", -_finite(self.curves["valid_score"]), None)
        self._draw_best(axes)
        self._draw_axes(axes, log_scale)
        return self

    def _draw(self, ax: Any, key: str, curves: NDArray[np.float64], band: Band) -> None:
        epochs, curves = _broken(curves)
        means = _mean(curves)
        style = {**LOOKS[key], "markersize": 4, "markevery": sparse_markers(len(epochs)), **self._options}
        style["label"] = self._prefix + str(style["label"])
        (line,) = ax.plot(epochs, means, **style)
        self.lines_[key] = line
        ends = BANDS[band]
        if ends is not None and len(curves) > 1:
            there = np.isfinite(means)
            low, high = np.full((2, len(means)), np.nan)
            low[there], high[there] = np.nanpercentile(curves[:, there], ends, axis=0)
            self.bands_[key] = ax.fill_between(epochs, low, high, color=line.get_color(), alpha=0.18, linewidth=0)

    def _draw_best(self, axes: Any) -> None:
        best = np.unique(np.asarray(self.best_epochs))
        first, last = best[0], best[-1]
        epochs = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        label = f"{self._prefix}weights kept, {epochs}"
        color = self._options.get("color", "0.35")
        self.best_ = [
            ax.vlines(
                best, 0, 1, transform=ax.get_xaxis_transform(), color=color, linestyle=":", linewidth=1.3, zorder=1,
                label=label,
            )
            for ax in axes
        ]  # fmt: skip

    def _draw_axes(self, axes: Any, log_scale: bool) -> None:
        epochs = max(np.shape(curve)[1] for curve in self.curves.values())
        for ax in axes:
            ax.grid(color="0.9")
            ax.set_axisbelow(True)
        epoch_axis(axes[-1], epochs)
        if len(axes) > 1:
            axes[0].tick_params(labelbottom=False)
            axes[1].set_ylabel(self.score_name)
        self.ax_.set_ylabel(self.loss_name)
        if log_scale:
            self.ax_.set_yscale("log")
        self.ax_.legend(fontsize="small")


def loss_name(loss: Loss) -> str:
    """Return what the axis of a loss says, with the unit.

    Examples
    --------
    >>> from sknnopt.losses import CrossEntropy, SquaredError
    >>> loss_name(CrossEntropy()), loss_name(SquaredError())
    ('cross entropy (nats, mean over rows)', 'squared error of the scaled target (mean over rows)')
    """
    kind = getattr(loss.function, "__name__", "loss") if isinstance(loss, FunctionLoss) else type(loss).__name__
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).replace("_", " ").lower()
    scaled = loss.scales_target and "regression" in loss.tasks
    return f"{words}{' of the scaled target' if scaled else ''} ({'nats, ' * ('entropy' in words)}mean over rows)"


def _finite(curves: ArrayLike) -> NDArray[np.float64]:
    values = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    return np.where(np.isfinite(values), values, np.nan)


def _broken(curves: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return epochs, counted from 1, and the curves, with a gap where other members train than in the epoch before.

    Examples
    --------
    >>> _broken(np.array([[3.0, 2.0, 1.0], [5.0, 4.0, np.nan]]))[0]
    array([1. , 2. , 2.5, 3. ])
    """
    there = np.isfinite(curves)
    ends = np.flatnonzero((there[:, 1:] != there[:, :-1]).any(axis=0)) + 1
    epochs = np.insert(np.arange(1.0, curves.shape[1] + 1), ends, ends + 0.5)
    return epochs, np.insert(curves, ends, np.nan, axis=1)


def _mean(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over those members that are not NaN, NaN where all are."""
    counts = np.isfinite(curves).sum(axis=0)
    return np.where(counts > 0, np.nansum(curves, axis=0) / np.maximum(counts, 1), np.nan)
