"""The picture of what happens inside a network while it trains."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from sknnopt._choices import suggestion
from sknnopt._compat import check_matplotlib_support
from sknnopt.inspection._axes import epoch_axis, fitted_network, panels, sparse_markers
from sknnopt.inspection._record_weights import RecordWeights

KINDS = {"weights": "weights", "activations": "activations", "gradients": "|gradients|"}


class WeightsDisplay:
    """Weights, activations and gradients of each layer over epochs, as bands of quantiles.

    A row a layer, the first on top; a column each for weights, activations and the gradients' magnitudes. The line is
    the median, the bands hold the middle 50 % and 90 %. Panels of a column have the same axis, so that layers can be
    compared; that of the gradients is logarithmic, and magnitudes of zero lie at its lower edge. Epoch 0 is the network
    as it begins. A dotted line marks the epoch whose weights were kept.

    Parameters
    ----------
    record : RecordWeights
        Of a training that has ended.
    best_epoch : int, default=None
        The epoch to mark.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_layers, n_columns)
    figure_ : matplotlib Figure
    medians_ : ndarray of matplotlib Line2D of shape (n_layers, n_columns)
    bands_ : ndarray of matplotlib FillBetweenPolyCollection of shape (n_layers, n_columns, 2)
        90 % and 50 %.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknnopt import NNClassifier
    >>> from sknnopt.inspection import RecordWeights, WeightsDisplay
    >>> network = NNClassifier(
    ...     hidden_layer_sizes=(8,), numeric_embedding=None, n_members=1, max_epochs=5, callbacks=[RecordWeights()]
    ... )
    >>> display = WeightsDisplay.from_estimator(network.fit(*load_iris(return_X_y=True)))
    >>> [ax.get_ylabel() for ax in display.axes_[:, 0]], [ax.get_title() for ax in display.axes_[0]]
    (['dense_0', 'output'], ['weights', 'activations', '|gradients|'])
    """

    def __init__(self, record: RecordWeights, *, best_epoch: int | None = None) -> None:
        self.record = record
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, kinds: Sequence[str] = ("weights", "activations", "gradients")
    ) -> Self:
        """Draw what a network's :class:`RecordWeights` has recorded.

        Parameters
        ----------
        estimator : NNClassifier or NNRegressor
            A single network, fitted with ``callbacks=[RecordWeights()]``; or a Pipeline that ends with one, or a search
            or meta-estimator of one.
        ax, kinds
            See :meth:`plot`.

        Returns
        -------
        WeightsDisplay

        Raises
        ------
        ValueError
            If nothing was recorded, or there are several members.
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib_support(caller)
        network = fitted_network(estimator, caller)
        records = [callback for _, callback in network.net_.callbacks_ if isinstance(callback, RecordWeights)]
        if not records:
            members = len(network.member_histories_["train_loss"])
            raise ValueError(
                f"{caller} shows one network, and this estimator has {members} members, whose callbacks are not kept. "
                "Fit it with n_members=1, without recipes, and callbacks=[RecordWeights()]."
                if members > 1
                else f"{caller} shows what RecordWeights has recorded. Fit the estimator with "
                "callbacks=[RecordWeights()] from sknnopt.inspection."
            )
        return cls(records[0], best_epoch=int(network.best_epoch_)).plot(ax, kinds=kinds)

    def plot(self, ax: Any = None, *, kinds: Sequence[str] = ("weights", "activations", "gradients")) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Where; None makes a figure, one Axes is divided, and of several there must be one for each layer and kind,
            row by row.
        kinds : sequence of {"weights", "activations", "gradients"}
            The columns.

        Returns
        -------
        WeightsDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        kinds = [kinds] if isinstance(kinds, str) else list(kinds)
        for kind in kinds:
            if kind not in KINDS:
                raise ValueError(
                    f"The 'kinds' parameter must hold some of {', '.join(map(repr, KINDS))}. "
                    f"Got {kind!r} instead.{suggestion(str(kind), KINDS)}"
                )
        rows, columns = len(self.record.layers_), len(kinds)
        self.axes_ = panels(ax, rows, columns, figsize=(1.2 + 3.2 * columns, 1.5 + 1.25 * rows))
        self.figure_ = self.axes_[0, 0].figure
        self.medians_ = np.empty((rows, columns), dtype=object)
        self.bands_ = np.empty((rows, columns, 2), dtype=object)
        for j, kind in enumerate(kinds):
            self._draw_column(j, kind)
        self._draw_axes(kinds)
        self._draw_legend(outside=ax is None)
        return self

    def _draw_column(self, j: int, kind: str) -> None:
        epochs, quantiles = self.record.epochs_, getattr(self.record, f"{kind}_")
        logarithmic = kind == "gradients" and (quantiles > 0).any()
        lowest = 0.0
        if logarithmic:
            lowest = np.nanmin(np.where(quantiles > 0, quantiles, np.nan)) / 2
            quantiles = np.where(np.isnan(quantiles), np.nan, np.maximum(quantiles, lowest))
        for i, ax in enumerate(self.axes_[:, j]):
            own = quantiles[:, i]
            for band, (low, high), color in ((0, (0, 4), "0.82"), (1, (1, 3), "0.6")):
                self.bands_[i, j, band] = ax.fill_between(
                    epochs, own[:, low], own[:, high], color=color, linewidth=0, zorder=2
                )
            (self.medians_[i, j],) = ax.plot(
                epochs, own[:, 2], color="black", linewidth=1.3, marker="o", markersize=3, zorder=3,
                markevery=sparse_markers(len(epochs)),
            )  # fmt: skip
            if self.best_epoch is not None:
                ax.axvline(self.best_epoch, color="0.35", linestyle=":", linewidth=1.3, zorder=4)
            if logarithmic:
                ax.set_yscale("log")
            if np.isfinite(quantiles).any():
                ax.set_ylim(*_limits(quantiles, lowest))
            ax.grid(color="0.92")
            ax.set_axisbelow(True)

    def _draw_axes(self, kinds: Sequence[str]) -> None:
        for name, ax in zip(self.record.layers_, self.axes_[:, 0], strict=True):
            ax.set_ylabel(name, rotation=0, ha="right", va="center")
        for j, kind in enumerate(kinds):
            self.axes_[0, j].set_title(KINDS[kind])
            for ax in self.axes_[:-1, j]:
                ax.tick_params(labelbottom=False)
            epoch_axis(self.axes_[-1, j], self.record.epochs_[-1], self.record.epochs_[0])

    def _draw_legend(self, *, outside: bool) -> None:
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        handles: list[Any] = [
            Line2D([], [], color="black", marker="o", markersize=3, label="median"),
            Patch(color="0.6", label="middle 50 %"),
            Patch(color="0.82", label="middle 90 %"),
        ]
        if self.best_epoch is not None:
            label = f"weights kept, epoch {self.best_epoch}"
            handles.append(Line2D([], [], color="0.35", linestyle=":", label=label))
        if outside:
            columns = 4 if self.axes_.shape[1] > 1 else 2
            self.figure_.legend(handles=handles, fontsize="small", loc="outside lower center", ncols=columns)
        else:
            beside = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
            self.axes_[0, -1].legend(handles=handles, fontsize="small", **beside)


def _limits(quantiles: Any, lowest: float) -> tuple[float, float]:
    low, high = np.nanmin(quantiles), np.nanmax(quantiles)
    if lowest > 0:
        return lowest, high * 2
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
