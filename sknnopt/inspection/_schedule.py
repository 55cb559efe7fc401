"""The picture of schedules: the learning rate, and what else is scheduled, over training."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sknnopt import optimizers, schedules
from sknnopt._compat import check_matplotlib_support
from sknnopt.inspection._axes import epoch_axis, look, network_of, panels, sparse_markers
from sknnopt.model_selection._candidates import value_texts
from sknnopt.schedules import Schedule, Scheduled, with_warmup

POINTS = 1000
"""Steps of a training that is only planned."""

BESIDE = 6
"""Lines up to which the legend lies inside the panel."""

FACTOR, RATE = "factor of the base learning rate", "learning rate"


class Curve(NamedTuple):
    """A line of a panel.

    Attributes
    ----------
    label : str
    at : array-like of shape (n,)
        Progress from 0 to 1, or epochs.
    values : array-like of shape (n,)
    spread : array-like of shape (2, n) or None
        The least and the largest of several members.
    """

    label: str
    at: ArrayLike
    values: ArrayLike
    spread: ArrayLike | None = None


class ScheduleDisplay:
    """The learning rate over training, with its warm-up, and dropout and weight decay where they are scheduled.

    Of a fitted network the learning rates are those recorded, of each epoch's last step; what is not recorded, and
    everything of a network that is not fitted, is what its parameters say.

    Parameters
    ----------
    curves : mapping of str to list of Curve
        The lines of each panel, by what its axis is to say. A curve is (label, at, values[, spread]).
    over : {"progress", "epoch"}, default="progress"
        What they are drawn over.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Of the learning rate.
    axes_ : ndarray of matplotlib Axes
        Of all panels.
    figure_ : matplotlib Figure
    lines_ : list of list of matplotlib Line2D
        Of each panel.

    Examples
    --------
    >>> from sknnopt import NNClassifier
    >>> from sknnopt.inspection import ScheduleDisplay
    >>> from sknnopt.schedules import OneCycle, Scheduled
    >>> display = ScheduleDisplay.from_schedules(["cosine", OneCycle()], warmup=0.1)
    >>> [line.get_label() for line in display.lines_[0]]
    ['cosine', 'OneCycle()']
    >>> network = NNClassifier(schedule="cosine", warmup=0.1, dropout=Scheduled(0.3, "linear"))
    >>> [ax.get_ylabel() for ax in ScheduleDisplay.from_estimator(network).axes_]
    ['learning rate', 'dropout']
    """

    def __init__(self, curves: Mapping[str, Sequence[Any]], *, over: str = "progress") -> None:
        self.curves = curves
        self.over = over

    @classmethod
    def from_schedules(
        cls,
        schedules: Any,
        *,
        learning_rate: float | None = None,
        warmup: float = 0.0,
        max_epochs: int | None = None,
        ax: Any = None,
        log_scale: bool = False,
    ) -> Self:
        """Draw schedules side by side.

        Parameters
        ----------
        schedules : str, Schedule or callable, or a sequence of them, or a mapping of labels to them
            See :mod:`sknnopt.schedules`. "plateau", which waits for the loss, is drawn as if it never stalled.
        learning_rate : float, default=None
            The base learning rate; None draws factors of it.
        warmup : float, default=0.0
            As of the estimators.
        max_epochs : int, default=None
            Draws over epochs; None over progress.
        ax, log_scale
            See :meth:`plot`.

        Returns
        -------
        ScheduleDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_schedules")
        base = 1.0 if learning_rate is None else learning_rate
        curves = [
            _planned(label, schedule, base, warmup, max_epochs or 1) for label, schedule in _named(schedules).items()
        ]
        over = "progress" if max_epochs is None else "epoch"
        return cls({FACTOR if learning_rate is None else RATE: curves}, over=over).plot(ax, log_scale=log_scale)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, log_scale: bool = False) -> Self:
        """Draw the rates of a network.

        Parameters
        ----------
        estimator : NNClassifier or NNRegressor
            Fitted or not; or a Pipeline that ends with one, or a fitted search or meta-estimator of one. With recipes
            there is a line for each that differs.
        ax, log_scale
            See :meth:`plot`.

        Returns
        -------
        ScheduleDisplay
        """
        caller = f"{cls.__name__}.from_estimator"
        check_matplotlib_support(caller)
        network = network_of(estimator, caller)
        kinds = {kind.recipe: kind.params for kind in reversed(network._kinds())}
        recipes = {recipe: kinds[recipe] for recipe in sorted(kinds)}
        if hasattr(network, "history_"):
            curves = {RATE: _recorded(network)}
        else:
            name, rates = _base_rates(recipes)
            curves = {name: [_rate_of(r, params, rates[r]) for r, params in recipes.items()]}
        epochs = getattr(network, "n_iter_", None)
        for parameter in ("dropout", "weight_decay"):
            found = [one for r, params in recipes.items() for one in _scheduled(r, parameter, params, epochs)]
            if found:
                curves[parameter.replace("_", " ")] = found
        return cls({name: _distinct(lines) for name, lines in curves.items()}, over="epoch").plot(
            ax, log_scale=log_scale
        )

    def plot(self, ax: Any = None, *, log_scale: bool = False) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            Where; None makes a figure. One Axes is divided, if there are several panels.
        log_scale : bool, default=False
            Whether the axis of the learning rate is logarithmic; zeros are then left out.

        Returns
        -------
        ScheduleDisplay
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        n, crowded = len(self.curves), any(len(curves) > BESIDE for curves in self.curves.values())
        size = (9.5, 3.5 + 2.0 * n) if crowded else (7.0, 2.2 + 2.0 * n)
        self.axes_ = panels(ax, n, 1, figsize=size, heights=(1.4, *[1.0] * (n - 1)))[:, 0]
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self.lines_ = []
        for axes, (name, curves) in zip(self.axes_, self.curves.items(), strict=True):
            self.lines_.append([_draw(axes, i, Curve(*curve)) for i, curve in enumerate(curves)])
            axes.set_ylabel(name)
            axes.grid(color="0.9")
            axes.set_axisbelow(True)
            axes.set_ylim(bottom=0)
            if axes is not self.axes_[-1]:
                axes.tick_params(labelbottom=False)
            if len(curves) > 1:
                place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if len(curves) > BESIDE else {}
                axes.legend(fontsize="small", **place)
        if log_scale:
            self.ax_.set_yscale("log")
            self.ax_.autoscale(axis="y")
        last = self.axes_[-1]
        if self.over == "epoch":
            ends = [np.asarray(curve[1])[[0, -1]] for lines in self.curves.values() for curve in lines]
            epoch_axis(last, max(end for _, end in ends), min(start for start, _ in ends))
        else:
            last.set_xlabel("progress, as a fraction of training")
        return self


def _draw(ax: Any, i: int, curve: Curve) -> Any:
    at, values = np.asarray(curve.at), np.asarray(curve.values)
    every, style = sparse_markers(len(at)), look(i)
    start = 0 if len(at) < POINTS else i * every // 7 % every  # markers of lines that coincide then do not
    (line,) = ax.plot(at, values, **style, markersize=4, markevery=(start, every), label=curve.label)
    if curve.spread is not None:
        ax.fill_between(at, *np.asarray(curve.spread), color=style["color"], alpha=0.18, linewidth=0)
    return line


def _named(given: Any) -> dict[str, Schedule]:
    """Return schedules with their labels."""
    if not isinstance(given, Mapping):
        one = isinstance(given, str | Schedule) or callable(given)
        values = [given] if one else list(given)
        given = dict(zip(_unique(value_texts(values)), values, strict=True))
    if not given:
        raise ValueError("The 'schedules' parameter must hold at least one schedule.")
    found = {str(label): schedules.get(value) for label, value in given.items()}
    return {label + " (until the loss stalls)" * one.adaptive: one for label, one in found.items()}


def _unique(labels: Sequence[str]) -> list[str]:
    return [f"{label} ({i + 1})" if label in labels[:i] else label for i, label in enumerate(labels)]


def _planned(label: str, schedule: Schedule, base: float, warmup: float, epochs: float, end: float = 1.0) -> Curve:
    """Return what a schedule makes of a base value, step by step, up to a multiple of the planned epochs."""
    progress = np.arange(POINTS) / POINTS * end
    values = base * with_warmup(schedule, warmup, np.minimum(progress, 1.0), step=1 / POINTS)
    return Curve(label, progress * epochs, values)


def _who(recipe: int) -> str:
    return "own parameters" if recipe < 0 else f"recipe {recipe + 1}"


def _base_rates(recipes: Mapping[int, Mapping[str, Any]]) -> tuple[str, dict[int, float]]:
    """Return the base learning rate of each recipe, or 1 where "auto" is yet to find one, and what the axis says."""
    rates = {r: params["learning_rate"] for r, params in recipes.items()}
    if any(isinstance(rate, str) for rate in rates.values()):
        return FACTOR, dict.fromkeys(rates, 1.0)
    defaults = {r: optimizers.get(params["optimizer"]).default_learning_rate for r, params in recipes.items()}
    return RATE, {r: float(defaults[r] if rate is None else rate) for r, rate in rates.items()}


def _rate_of(recipe: int, params: Mapping[str, Any], base: float) -> Curve:
    schedule = schedules.get(params["schedule"])
    label = _who(recipe) + " (until the loss stalls)" * schedule.adaptive
    return _planned(label, schedule, base, params["warmup"], params["max_epochs"])


def _scheduled(recipe: int, parameter: str, params: Mapping[str, Any], trained: int | None) -> list[Curve]:
    """Return the curves of what is scheduled besides: one, or one a hidden layer; none where it is not."""
    given = params[parameter]
    if not isinstance(given, Scheduled):
        return []
    epochs = params["max_epochs"]
    end = 1.0 if trained is None else trained / epochs
    values, many = np.atleast_1d(given.value), np.ndim(given.value) > 0
    return [
        _planned(_who(recipe) + f", layer {i + 1}" * many, given.curve(), value, 0.0, epochs, end)
        for i, value in enumerate(values)
    ]


def _recorded(network: Any) -> list[Curve]:
    """Return the learning rates of the members of each recipe, their mean where they differ."""
    rates = network.member_histories_["learning_rate"]
    kinds, kind_of = network._kinds(), np.array(network._kind_of(network._places))
    recipe_of = np.array([kinds[k].recipe for k in kind_of])
    epochs = np.arange(1, rates.shape[1] + 1)
    curves = []
    for recipe in np.unique(recipe_of):
        own = rates[recipe_of == recipe]
        own, at = _trained(own, epochs)
        low, high = np.nanmin(own, axis=0), np.nanmax(own, axis=0)
        spread = None if np.array_equal(low, high) else (low, high)
        curves.append(Curve(_who(int(recipe)), at, low if spread is None else np.nanmean(own, axis=0), spread))
    return curves


def _trained(rates: NDArray[np.float64], epochs: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    there = np.isfinite(rates).any(axis=0)
    return rates[:, there], epochs[there]


def _distinct(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves without those that are another one's."""
    out: list[Curve] = []
    for curve in curves:
        same = (np.array_equal(curve.at, one.at) and np.array_equal(curve.values, one.values) for one in out)
        if not any(same):
            out.append(curve)
    return out
