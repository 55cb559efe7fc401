"""A fit as scikit-learn's callbacks see it: a tree of tasks, of which the leaves are epochs."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from torch import nn

from sknnopt._random import forked_torch_random
from sknnopt.estimators._calibration import Settings
from sknnopt.nn import MemberAverage, copy_of


class Tasks:
    """Tells scikit-learn's callbacks of a fit and its epochs.

    Members that early stopping judges together go through their epochs side by side, and an epoch of theirs is one
    task. If there are several such groups, each is a task whose epochs are below it. What a callback gets as
    ``fitted_estimator`` predicts by the group's networks as they would be kept after the epoch, not calibrated.

    Parameters
    ----------
    estimator : NNClassifier or NNRegressor
        With callbacks, before training.
    X, y, sample_weight
        As given to ``fit``.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self._estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._known = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._groups: dict[Hashable, _Group] = {}
        self._root: Any = None

    def observer(self, group: Hashable, epochs: int) -> "TaskObserver":
        """Return who observes a member of a group, which is to train for so many epochs."""
        return TaskObserver(self._groups.setdefault(group, _Group(self, epochs)))

    def begin(self) -> None:
        """Begin, with all observers there."""
        groups = list(self._groups.values())
        alone = len(groups) == 1
        self._root = self._estimator._init_callback_context(
            max_subtasks=groups[0].epochs if alone else len(groups), sequential_subtasks=alone
        )
        self._root.call_on_fit_task_begin(**self._known)
        for k, group in enumerate(groups):
            group.context = self._root if alone else self._root.subcontext(
                task_name="members", task_id=k, max_subtasks=group.epochs
            )  # fmt: skip
            group.is_task = not alone

    def end(self) -> None:
        """End; the estimator is fitted."""
        self._root.call_on_fit_task_end(**self._known, reconstruction_attributes=dict)

    def task_begins(self, context: Any) -> None:
        """Tell of a task."""
        context.call_on_fit_task_begin(**self._known)

    def task_ends(self, context: Any, modules: list[nn.Module], history: list[dict[str, Any]]) -> bool:
        """Tell of the end of a task after which these are the networks; True if a callback wants to stop."""

        def attributes() -> dict[str, Any]:
            own, kinds = self._estimator, len(self._estimator._kinds())
            kept = [copy_of(module).eval() for module in modules]
            whole = kept[0] if len(kept) == 1 else MemberAverage(kept, own.loss_.link)
            return {
                "module_": whole.eval(),
                "_fitted_shape": own._shape(),
                "_settings": Settings.plain(kinds),
                "recipe_weights_": np.full(kinds, 1 / kinds),
                "n_outputs_": own.loss_.n_scores(own.target_.n_outputs_),
                "history_": list(history),
                "n_iter_": len(history),
            }

        given = attributes if modules else None
        return bool(context.call_on_fit_task_end(**self._known, reconstruction_attributes=given))


class _Group:
    """Members whose epochs are one task each."""

    def __init__(self, tasks: Tasks, epochs: int) -> None:
        self.epochs = epochs
        self.context: Any = None
        self.is_task = self.stops = False
        self._tasks, self._epoch = tasks, None
        self._watched: dict[int, nn.Module] = {}
        self._history: list[dict[str, Any]] = []

    def joins(self, observer: "TaskObserver", module: nn.Module) -> None:
        if not self._watched and self.is_task:
            self._tasks.task_begins(self.context)
        self._watched[id(observer)] = module

    def epoch_begins(self) -> None:
        if self._epoch is None:
            self._epoch = self.context.subcontext(task_name="epoch")
            self._tasks.task_begins(self._epoch)

    def epoch_ends(self, record: dict[str, Any] | None) -> None:
        """Tell of it once: when the first member's record is there, all have been trained."""
        if self._epoch is not None:
            epoch, self._epoch = self._epoch, None
            self._history += [] if record is None else [record]
            self.stops = self._tasks.task_ends(epoch, list(self._watched.values()), self._history)

    def leaves(self, observer: "TaskObserver") -> None:
        module = self._watched.pop(id(observer), None)
        if not self._watched and module is not None:
            self.epoch_ends(None)  # of one in which the last member failed
            if self.is_task:
                self._tasks.task_ends(self.context, [], self._history)


class TaskObserver:
    """Watches a member for its group.

    Parameters
    ----------
    group : _Group
    """

    def __init__(self, group: _Group) -> None:
        self._group = group

    @forked_torch_random()
    def train_begin(self, module: nn.Module, judged: nn.Module) -> None:
        """Join the group, with a module whose parameters are those that would be kept."""
        self._group.joins(self, judged)

    @forked_torch_random()
    def epoch_begin(self) -> None:
        """Tell of the epoch, if nobody of the group has."""
        self._group.epoch_begins()

    @forked_torch_random()
    def epoch_end(self, record: dict[str, Any], output: np.ndarray | None) -> bool:
        """Tell of its end, if nobody of the group has; True if a callback wants to stop."""
        self._group.epoch_ends(record)
        return self._group.stops

    @forked_torch_random()
    def train_end(self) -> None:
        """Leave the group."""
        self._group.leaves(self)
