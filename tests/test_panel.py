"""Members of an ensemble are judged together, and classifiers as if calibrated: by which value, and what follows."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from joblib.externals import loky
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, log_softmax, softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from skorch.callbacks import EarlyStopping, EpochScoring
from support import basic
from torch import Tensor, nn

from sknnopt import NNClassifier, NNRegressor, lockstep, losses
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Panel, Result, Validation, attend, fit_temperature, train, train_together
from sknnopt.engine.panel import panel_values
from sknnopt.estimators import _base, _range_test
from sknnopt.estimators._restarts import best_restarts
from sknnopt.losses import Loss
from sknnopt.model_selection._waiting import WaitingRoom
from sknnopt.nn import average

CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
IRIS = load_iris(return_X_y=True)
LABELS = make_multilabel_classification(300, n_classes=3, random_state=0)
OVERFITS: dict[str, Any] = {
    "hidden_layer_sizes": (32,),
    "batch_size": 32,
    "learning_rate": 0.02,
    "schedule": "constant",
    "dropout": 0.0,
    "max_epochs": 30,
    "n_iter_no_change": 8,
    "random_state": 0,
    "early_stopping": True,
}
"""Settings under which the best epoch is not the last."""
QUICK: dict[str, Any] = OVERFITS | {"hidden_layer_sizes": (8,), "max_epochs": 4}
RNG = np.random.RandomState(0)


def validation(
    target: np.ndarray, rows: np.ndarray, weight: np.ndarray | None = None, score: Callable[..., float] | None = None
) -> Validation:
    table = Table(
        torch.zeros(len(target), 1), torch.from_numpy(target), None if weight is None else torch.from_numpy(weight)
    )
    return Validation(table, rows, score, stop=True, patience=5, tolerance=0.0)


def value(panel: Panel, folds: list[tuple[Validation, list[np.ndarray]]]) -> float:
    """What a panel says of folds with the scores (O, n) of each member that withholds them."""
    pairs = [(SimpleNamespace(validation=fold), output) for fold, outputs in folds for output in outputs]
    jobs, outputs = zip(*pairs, strict=True)
    return panel.value(jobs, outputs)  # type: ignore[arg-type]


def squares(scores: Any, target: np.ndarray, weight: Any = None) -> float:
    """The loss of scores (O, n): squared errors of a row's outputs are averaged."""
    return float(np.average(((scores - target.T) ** 2).mean(0), weights=weight))


class Catch:
    """A meeting that keeps the jobs it is given, and trains none."""

    class Stop(BaseException):
        pass

    def train(self, jobs: Any) -> Any:
        self.jobs = list(jobs)
        raise Catch.Stop

    def share(self, table: Any) -> Any:
        return table


def jobs_of(network: Any, X: Any, y: Any, **given: Any) -> list[Job]:
    meeting = Catch()
    with attend(meeting), pytest.raises(Catch.Stop):
        network.fit(X, y, **given)
    for job in meeting.jobs:
        job.devices = (torch.device("cpu"),)
    return meeting.jobs


def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Job], list[np.ndarray], float]]:
    """Whatever panels are asked while a test runs, and what they answer."""
    found: list[Any] = []
    original = Panel.value

    def spy(self: Panel, jobs: Any, outputs: Any) -> float:
        found.append((jobs, outputs, original(self, jobs, outputs)))
        return found[-1][2]

    monkeypatch.setattr(Panel, "value", spy)
    return found


class TestSquaredError:
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("outputs", [1, 3])
    @pytest.mark.parametrize("together", [2, 3, 4])
    def test_the_estimate_has_no_bias(self, together, outputs, weighted):
        """Over all choices of so many out of six, its mean is the loss of the average of all six."""
        target, rows = RNG.normal(size=(40, outputs)), np.arange(10, 35)
        weight = RNG.uniform(size=40) if weighted else None
        everyone = list(RNG.normal(size=(6, outputs, 25)) + RNG.normal(size=(1, outputs, 25)))
        panel = Panel(6, losses.get("squared_error", task="regression"), calibrates=False)
        fold = validation(target, rows, weight)
        values = [value(panel, [(fold, list(some))]) for some in combinations(everyone, together)]
        expected = squares(np.mean(everyone, axis=0), target[rows], None if weight is None else weight[rows])
        assert np.mean(values) == pytest.approx(-expected, rel=1e-12)
        assert np.std(values) > 0.01
        assert value(panel, [(fold, everyone)]) == pytest.approx(-expected, rel=1e-12)

    @pytest.mark.parametrize("weighted", [False, True])
    def test_folds_count_by_their_rows(self, weighted):
        """And what one member withholds takes the variance between members from the other folds."""
        target = RNG.normal(size=(60, 1))
        weight = RNG.uniform(size=60) ** 3 if weighted else None
        counts = np.ones(60) if weight is None else weight
        rows = np.split(RNG.permutation(60), [5, 20, 30])
        folds = [
            (validation(target, part, weight), list(RNG.normal(scale=k + 1, size=(size, 1, len(part)))))
            for k, (part, size) in enumerate(zip(rows, (2, 2, 1, 3), strict=True))
        ]
        worth = np.array([counts[part].sum() for part in rows])
        alone, variance = np.zeros(4), np.zeros(4)
        for k, (part, (_, members)) in enumerate(zip(rows, folds, strict=True)):
            alone[k] = np.mean([squares(own, target[part], counts[part]) for own in members])
            if len(members) > 1:
                spread = np.var(members, axis=0, ddof=1)[0]
                variance[k] = np.average(spread, weights=counts[part])
        several = worth * [1, 1, 0, 1]
        expected = worth @ alone / worth.sum() - several @ variance / several.sum() * (1 - 1 / 8)
        panel = Panel(8, losses.get("squared_error", task="regression"), calibrates=False)
        assert value(panel, folds) == pytest.approx(-expected, rel=1e-12)
        for other in (folds[::-1], folds[2:] + folds[:2]):
            assert value(panel, other) == pytest.approx(-expected, rel=1e-12)

    def test_where_no_two_withhold_the_same_members_stand_for_the_ensemble(self):
        target = RNG.normal(size=(30, 1))
        parts = np.arange(12), np.arange(12, 30)
        members = [RNG.normal(size=(1, len(part))) for part in parts]
        panel = Panel(2, losses.get("squared_error", task="regression"), calibrates=False)
        folds = [(validation(target, part), [own]) for part, own in zip(parts, members, strict=True)]
        assert value(panel, folds) == pytest.approx(-squares(np.concatenate(members, axis=1), target), rel=1e-12)


class TestClassifiers:
    @pytest.mark.parametrize("size", [2, 8])
    @pytest.mark.parametrize("calibrates", [False, True])
    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("labelled", [False, True])
    def test_each_member_has_its_own_temperature(self, labelled, weighted, calibrates, size):
        n, rows = 300, np.arange(50, 290)
        target = (RNG.uniform(size=(n, 3)) < 0.4).astype(np.float32) if labelled else RNG.randint(3, size=n)
        weight = RNG.uniform(size=n) ** 2 if weighted else None
        own = None if weight is None else weight[rows]
        signal = (2 * target[rows].T - 1) if labelled else np.eye(3)[:, target[rows]]
        members = [scale * (signal + RNG.normal(size=(3, 240))) for scale in (0.3, 5.0)]

        def probabilities(scores: np.ndarray) -> np.ndarray:
            return expit(scores) if labelled else softmax(scores, axis=0)

        def loss(p: np.ndarray) -> float:
            right = target[rows].T if labelled else np.eye(3)[:, target[rows]]
            likely = np.log(right * p + (1 - right) * (1 - p)) if labelled else np.log((right * p).sum(0))
            each = -likely.sum(0) if labelled else -likely
            return float(np.average(each, weights=own))

        cool = [scores / fit_temperature(scores.T, target[rows], own) for scores in members] if calibrates else members
        alone = np.mean([loss(probabilities(scores)) for scores in cool])
        together = loss(np.mean([probabilities(scores) for scores in cool], axis=0))
        task = "multilabel" if labelled else "classification"
        panel = Panel(size, losses.get("auto", task=task), calibrates=calibrates)
        expected = alone - 2 * (alone - together) * (1 - 1 / size)
        assert value(panel, [(validation(target, rows, weight), members)]) == pytest.approx(-expected, rel=1e-9)

    def test_temperatures_matter(self):
        target = RNG.randint(2, size=200)
        sure = 30 * (np.eye(2)[:, target] + RNG.normal(size=(2, 200)))
        fold, loss = validation(target, np.arange(200)), losses.get("auto", task="classification")
        values = [value(Panel(1, loss, calibrates=flag), [(fold, [sure])]) for flag in (True, False)]
        assert values[0] > -np.log(2) > values[1]


@pytest.mark.parametrize("name", losses.names())
def test_members_that_all_withhold_the_same_are_judged_as_what_they_predict(name):
    """Whatever the loss: it is that of the fitted ensemble."""
    (task, *_) = losses.REGISTRY[name]().tasks
    loss, rows = losses.get(name, task=task), np.arange(50)
    scores = RNG.normal(size=(3, loss.n_scores(1) if task == "regression" else 4, 50))
    target: np.ndarray = RNG.uniform(0.5, 2, size=(50, 1))
    if task != "regression":
        target = RNG.randint(2, size=(50, 4)).astype(float) if task == "multilabel" else RNG.randint(4, size=50)
    panel = Panel(3, loss, calibrates=False)
    together = average(torch.from_numpy(scores.transpose(0, 2, 1)), loss.link).T.unsqueeze(0)
    expected = loss(together, torch.from_numpy(target.T if target.ndim == 2 else target).unsqueeze(0))[0].mean()
    assert value(panel, [(validation(target, rows), list(scores))]) == pytest.approx(-float(expected), rel=1e-9)


def test_a_scorer_judges_the_average_of_a_folds_members():
    target = RNG.randint(2, size=90)
    rows = np.split(RNG.permutation(90), [30])
    outputs = [list(RNG.normal(size=(2, 2, len(part)))) for part in rows]

    def area(scores: np.ndarray, part: np.ndarray) -> float:
        return float(roc_auc_score(target[part], softmax(scores, axis=0)[1]))

    folds = [
        (validation(target, part, score=lambda scores, part=part: area(scores, part)), members)
        for part, members in zip(rows, outputs, strict=True)
    ]
    each = [area(np.log(np.mean(softmax(own, axis=1), axis=0)), part) for part, own in zip(rows, outputs, strict=True)]
    panel = Panel(8, losses.get("auto", task="classification"), calibrates=True)
    assert value(panel, folds) == pytest.approx((each[0] + 2 * each[1]) / 3, rel=1e-12)


class Angry:
    """A panel that raises."""

    size = 1

    def value(self, jobs: Any, outputs: Any) -> float:
        raise RuntimeError("a panel's fault")


class TestSeats:
    def test_who_diverges_is_not_judged(self):
        """Neither by a training loss, nor by weights, nor by a loss on the withheld rows that is not finite."""
        target = RNG.normal(size=(20, 1))
        fold, outputs = validation(target, np.arange(20)), list(RNG.normal(size=(6, 1, 20)))
        panel = Panel(6, losses.get("squared_error", task="regression"), calibrates=False)
        figures = np.ones((6, 4))
        figures[[1, 2, 3], [0, 2, 3]] = np.nan, np.inf, np.inf
        figures[4, 1] = np.inf  # a gradient, which is clipped
        jobs: Any = [SimpleNamespace(panel=panel, validation=fold) for _ in outputs]
        found = panel_values(jobs, figures.tolist(), outputs)
        assert sorted(found) == [0, 4, 5]
        assert set(found.values()) == {value(panel, [(fold, [outputs[k] for k in found])])}
        assert panel_values(jobs, np.full((6, 4), np.nan).tolist(), outputs) == {}

    def test_what_a_panel_raises_is_for_those_it_judges(self):
        target = RNG.normal(size=(20, 1))
        fold, outputs = validation(target, np.arange(20)), list(RNG.normal(size=(5, 1, 20)))
        panels = [Panel(2, losses.get("squared_error", task="regression"), calibrates=False), Angry(), None]
        whose = [0, 1, 0, 2, 1]
        jobs: Any = [SimpleNamespace(panel=panels[i], validation=fold) for i in whose]
        found = panel_values(jobs, np.ones((5, 4)).tolist(), outputs)
        assert found[0] == found[2] == value(panels[0], [(fold, [outputs[0], outputs[2]])])
        assert str(found[1]) == str(found[4]) == "a panel's fault"
        assert 3 not in found


class TestFits:
    @pytest.mark.parametrize(
        ("make", "data", "settings"),
        [
            (NNRegressor, DIABETES, {}),
            (NNRegressor, DIABETES, {"scoring": "r2"}),
            (NNRegressor, DIABETES, {"precision": "float64", "normalization": "batch", "weight_averaging": "ema"}),
            (NNRegressor, (DIABETES[0], np.abs(DIABETES[1])), {"loss": "poisson"}),
            (NNClassifier, CANCER, {}),
            (NNClassifier, CANCER, {"scoring": "accuracy", "class_weight": "balanced"}),
            (NNClassifier, IRIS, {"calibration": None, "network": "tabm", "n_heads": 2}),
            (NNClassifier, LABELS, {"network": "resnet"}),
        ],
    )
    @pytest.mark.parametrize("n_members", [2, 5])
    def test_all_members_keep_the_epoch_of_the_greatest_value(self, make, data, settings, n_members):
        network = basic(make, **OVERFITS | settings, n_members=n_members)
        results = train(jobs_of(network, *data))
        records = [[record["valid_score"] for record in result.history] for result in results]
        assert all(record == records[0] for record in records)
        assert all(np.isfinite(records[0]))
        assert {result.best_epoch for result in results} == {int(np.argmax(records[0]))}
        assert len({tuple(record["valid_loss"] for record in result.history) for result in results}) == n_members
        fitted = network.fit(*data)
        assert_allclose(fitted.validation_scores_, records[0], rtol=1e-12)
        assert set(fitted.best_epoch_) == {int(np.argmax(records[0])) + 1}

    def test_by_hand(self, monkeypatch):
        """Eight members and folds of a tenth: pairs, and folds that differ by a row."""
        asked = seen(monkeypatch)
        X, y = DIABETES
        reg = basic(NNRegressor, **QUICK | {"n_members": 7}).fit(X, y)
        scaled = (y - y.mean()) / y.std()
        assert len(asked) == len(reg.validation_scores_) == 4
        for (jobs, outputs, _), found in zip(asked, reg.validation_scores_, strict=True):
            rows = [job.validation.rows for job in jobs]
            assert [len(part) for part in rows] == [45, 45, 45, 45, 44, 44, 44]
            alone = [squares(own, scaled[part][:, None]) for own, part in zip(outputs, rows, strict=True)]
            pairs = [(outputs[k], outputs[k + 1]) for k in (0, 2, 4)]
            variance = np.average([((a - b) ** 2 / 2).mean() for a, b in pairs], weights=[45, 45, 44])
            means = [(alone[0] + alone[1]) / 2, (alone[2] + alone[3]) / 2, (alone[4] + alone[5]) / 2, alone[6]]
            expected = np.average(means, weights=[45, 45, 44, 44]) - variance * (6 / 7)
            assert found == pytest.approx(-expected, rel=1e-5)

    def test_an_ensemble_trains_on_where_its_members_overfit(self):
        """The estimate follows the loss of the whole ensemble on new rows, whose best epoch is later than theirs."""
        found = []
        for seed in range(3):
            rng = np.random.RandomState(seed)
            X = rng.normal(size=(2100, 10)).astype(np.float32)
            signal = np.sin(2 * X[:, 0]) * X[:, 1] + np.abs(X[:, 2]) * X[:, 3]
            y = signal[:600] + 0.3 * rng.normal(size=600)
            settings = {"learning_rate": 0.003, "hidden_layer_sizes": (64, 64), "schedule": "cosine", "max_epochs": 40}
            settings |= {"preprocessing": None, "n_members": 8, "n_iter_no_change": 40, "weight_decay": 0.01}
            settings["random_state"] = seed
            reg = basic(NNRegressor, **OVERFITS | settings)
            estimated = train(jobs_of(reg, X[:600], y))
            new = torch.from_numpy(((signal - y.mean()) / y.std())[:, None].astype(np.float32))
            rows = np.arange(600, 2100)
            judged = validation(new.numpy(), rows)
            judged = replace(judged, table=replace(judged.table, inputs=torch.from_numpy(X)), patience=40)
            true = train([replace(job, validation=judged) for job in jobs_of(reg, X[:600], y)])
            values = [np.array([record["valid_score"] for record in one[0].history]) for one in (estimated, true)]
            own = np.mean([[record["valid_loss"] for record in one.history] for one in estimated], axis=0)
            found.append((values[0].argmax(), own.argmin(), *(-values[1][[values[0].argmax(), own.argmin()]])))
            assert np.corrcoef(*values)[0, 1] > 0.7
        epochs, of_members, losses_there, losses_before = np.array(found).T
        assert epochs.sum() > of_members.sum() + 10
        assert losses_there.mean() < 0.97 * losses_before.mean()

    @pytest.mark.parametrize("given", [False, True])
    @pytest.mark.parametrize("n_members", [1, 3])
    def test_a_classifier_is_judged_as_if_calibrated(self, n_members, given, monkeypatch):
        asked = seen(monkeypatch)
        X, X_val, y, y_val = train_test_split(*CANCER, random_state=0)
        held_out = {"X_val": X_val, "y_val": y_val} if given else {}
        clf = basic(NNClassifier, **OVERFITS, n_members=n_members).fit(X, y, **held_out)
        for (jobs, outputs, found), record in zip(asked, clf.history_, strict=True):
            cool, labels = [], []
            for job, own in zip(jobs, outputs, strict=True):
                labels.append((y_val if given else y)[job.validation.rows])
                cool.append(log_softmax(own.T.astype(float) / fit_temperature(own.T, labels[-1]), axis=1))
            if given:
                expected = log_loss(y_val, np.mean(np.exp(cool), axis=0))
            else:
                counts = [len(own) for own in labels]
                expected = np.average(list(map(log_loss, labels, map(np.exp, cool))), weights=counts)
            assert record["valid_score"] == pytest.approx(found, rel=1e-12) == pytest.approx(-expected, rel=1e-9)
            if n_members == 1:
                assert record["valid_score"] > -record["valid_loss"] - 1e-6
        best = int(np.argmax(clf.validation_scores_)) + 1
        assert set(np.atleast_1d(clf.best_epoch_)) == {best}
        assert best < clf.n_iter_
        if n_members == 1:
            assert clf.best_loss_ == clf.history_[best - 1]["valid_loss"]

    @pytest.mark.parametrize(
        "network",
        [
            basic(NNRegressor, **QUICK),
            basic(NNClassifier, **QUICK, calibration=None),
            basic(NNClassifier, **QUICK, scoring="accuracy"),
            basic(NNClassifier, **QUICK | {"early_stopping": False}, n_members=3),
            basic(NNClassifier, **QUICK, network=nn.LazyLinear, n_members=4),
            basic(NNClassifier, **QUICK | {"early_stopping": "auto"}, n_members=4),
        ],
    )
    def test_others_have_none(self, network):
        if network.network is nn.LazyLinear:
            network = clone(network).set_params(network=nn.Linear)
        assert all(job.panel is None and job.crew is None for job in jobs_of(network, *CANCER))

    def test_rows_that_are_only_watched_have_none(self):
        network = basic(NNClassifier, **QUICK | {"early_stopping": False}, n_members=3)
        jobs = jobs_of(network, *CANCER, X_val=CANCER[0][:50], y_val=CANCER[1][:50])
        assert all(job.panel is None for job in jobs)

    def test_networks_of_ones_own_are_judged_by_themselves(self):
        X, y = DIABETES
        reg = basic(NNRegressor, **OVERFITS, network=nn.Linear, n_members=4).fit(X, y)
        assert "valid_score" not in reg.history_[0]
        jobs = jobs_of(reg, X, y)
        for result in train(jobs):
            assert result.best_epoch == np.argmin([record["valid_loss"] for record in result.history])

    def test_a_single_calibrated_classifier_shares_cohorts(self):
        clf = basic(NNClassifier, **QUICK, calibration="temperature")
        with lockstep(n_jobs=1) as sweep:
            GridSearchCV(clf, {"learning_rate": [0.01, 0.02]}, cv=3, refit=False).fit(*IRIS)
        assert sweep.cohort_sizes == [6]

    def test_probes_of_a_learning_rate_have_none(self, monkeypatch):
        probes: list[Job] = []

        def spy(jobs: list[Job]) -> list[Result]:
            probes.extend(jobs)
            return train(jobs)

        monkeypatch.setattr(_range_test, "train", spy)
        fits: list[Job] = []
        monkeypatch.setattr(_base, "train", lambda jobs: fits.extend(jobs) or train(jobs))
        basic(NNClassifier, **QUICK | {"learning_rate": "auto"}, n_members=2).fit(*IRIS)
        assert len(probes) == 12
        assert all(probe.panel is None for probe in probes)
        assert fits[0].panel is fits[1].panel is not None


class TestDivergence:
    WILD: ClassVar[dict[str, Any]] = {"optimizer": "sgd", "gradient_clipping": None, "max_epochs": 12, "n_members": 6}

    def jobs(self, scoring: str = "loss") -> list[Job]:
        """Six jobs of three folds, of which the last but two diverges after some epochs."""
        network = basic(NNRegressor, **OVERFITS | self.WILD | {"learning_rate": 1e-3}, scoring=scoring)
        jobs = jobs_of(network, *DIABETES)
        jobs[3] = replace(jobs[3], techniques=replace(jobs[3].techniques, learning_rate=0.5))
        return jobs

    @pytest.mark.parametrize("scoring", ["loss", "r2"])
    def test_leaves_the_others_judged_by_themselves(self, scoring):
        jobs = self.jobs(scoring)
        results = train(jobs)
        diverged = results[3].diverged
        assert diverged is not None
        assert diverged < 10
        others = [result for k, result in enumerate(results) if k != 3]
        assert [result.diverged for result in others] == [None] * 5
        scores = [[record["valid_score"] for record in result.history] for result in results]
        assert np.isnan(scores[3][-1])
        assert all(own == scores[0] for k, own in enumerate(scores) if k != 3)
        assert np.isfinite(scores[0]).all()
        assert scores[3][:-1] == scores[0][: diverged - 1]
        left = train([job for k, job in enumerate(self.jobs(scoring)) if k != 3])
        without = [record["valid_score"] for record in left[0].history]
        assert scores[0][diverged - 1 :] == without[diverged - 1 :]
        assert {result.best_epoch for result in others} == {int(np.argmax(scores[0]))}
        assert results[3].best_epoch < diverged - 1

    def test_at_once_of_all_is_an_error(self):
        reg = basic(NNRegressor, **OVERFITS | self.WILD | {"learning_rate": 1e38})
        with pytest.raises(ValueError, match="Training diverged"):
            reg.fit(*DIABETES)

    def test_who_is_left_is_an_ensemble_of_so_many(self, monkeypatch):
        X, y = DIABETES
        wild = Wild()
        reg = basic(NNRegressor, **QUICK, n_members=3, initializer=wild, warm_start=True)
        with pytest.warns(ConvergenceWarning, match="left out"):
            reg.fit(X, y)
        panels = [job.panel for job in jobs_of(reg, X, y)]
        assert panels[0] is panels[1]
        assert panels[0].size == len(panels) == 2


class Wild:
    """An initializer whose first draw is where every loss is infinite."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, weight: Tensor, *, generator: Any, gain: float) -> None:
        self.calls += 1
        nn.init.constant_(weight, 1e38 if self.calls == 1 else 0.01 * self.calls)


class TestRestarts:
    def result(self, score: float, best_epoch: int = 0) -> Result:
        return Result(Tensor(), Tensor(), [{"train_loss": 1.0, "valid_loss": 1.0, "valid_score": score}], best_epoch)

    @pytest.mark.parametrize(
        ("scores", "best"),
        [
            ([[1, 3, 2], [1, 3, 2]], 1),
            ([[1, 1, 1], [1, 1, 1]], 0),
            ([[1, 3, 2], [1, np.nan, 2]], 2),
            ([[np.nan, np.nan, np.nan], [np.nan, np.nan, -5]], 2),
            ([[1, 0.5, 1], [1, 3, 2]], 1),
            ([[np.nan, np.nan], [np.nan, np.nan]], 0),
        ],
    )
    def test_a_crew_is_chosen_as_a_whole(self, scores, best):
        results = [self.result(score) for row in scores for score in row]
        n = len(scores[0])
        kept, found = best_restarts(results, n, crews=True)
        assert kept == [best, n + best]
        assert_array_equal(found, np.nan_to_num(scores, nan=-np.inf))

    @pytest.mark.parametrize("lost", [False, True])
    @pytest.mark.parametrize("scoring", ["loss", "accuracy"])
    def test_in_a_fit(self, scoring, lost, monkeypatch):
        jobs, results = [], []

        def spy(given: list[Job]) -> list[Result]:
            jobs.extend(given)
            results.extend(train(given))
            if lost:  # a member of the best crew has diverged at once
                scores = [max(record["valid_score"] for record in result.history) for result in results[:3]]
                results[6 + int(np.argmax(scores))].best_epoch = -1
            return results

        monkeypatch.setattr(_base, "train", spy)
        clf = basic(
            NNClassifier,
            **OVERFITS | {"max_epochs": 8, "learning_rate": 0.005},
            n_members=4,
            n_restarts=3,
            scoring=scoring,
        ).fit(*IRIS)
        assert len({id(job.panel) for job in jobs}) == 3
        for r in range(3):
            assert len({id(job.panel) for job in jobs[r::3]}) == 1
        scores = clf.restart_scores_
        assert scores.shape == (4, 3)
        assert (scores[[0, 1, 3]] == scores[0]).all()
        assert len(set(scores[0])) > 1
        best = int(np.where(np.isfinite(scores[2]), scores[0], -np.inf).argmax())
        assert (best != scores[0].argmax()) == lost
        assert max(clf.validation_scores_) == pytest.approx(scores[0, best], rel=1e-12)
        for k, member in enumerate(clf.module_.members):
            views = jobs[0].network.layout.single(results[3 * k + best].parameters)
            for name, tensor in member.state_dict().items():
                assert_array_equal(tensor, views[name])

    def test_of_those_judged_by_themselves_each_is_chosen_by_itself(self):
        reg = basic(NNRegressor, **OVERFITS | {"early_stopping": False, "max_epochs": 3}, n_members=4, n_restarts=3)
        scores = reg.fit(*DIABETES).restart_scores_
        assert_array_equal(-scores.max(1), reg.best_loss_)
        assert len(set(scores.argmax(1))) > 1


def figures(search: GridSearchCV) -> dict[str, np.ndarray]:
    return {name: found for name, found in search.cv_results_.items() if name.endswith("_score")}


SEARCH = GridSearchCV(
    basic(NNClassifier, **OVERFITS | {"max_epochs": 12, "n_iter_no_change": 3}),
    {"n_members": [1, 4, 6], "learning_rate": [0.003, 0.03], "scoring": ["loss", "accuracy"]},
    cv=2,
    scoring="neg_log_loss",
)


@pytest.fixture(scope="module", autouse=True)
def no_workers_stay() -> Iterator[None]:
    yield
    loky.get_reusable_executor().shutdown(wait=True, kill_workers=True)


@pytest.fixture(scope="module")
def alone() -> GridSearchCV:
    return clone(SEARCH).fit(*CANCER)


class TestLockstep:
    @pytest.mark.parametrize(
        "options",
        [
            {"n_jobs": 1},
            {"n_jobs": 2},
            {"n_jobs": 2, "max_members": 1},
            {"n_jobs": 1, "max_members": 5},
            {"n_jobs": 2, "backend": "loky", "max_members": 2},
        ],
        ids=str,
    )
    def test_changes_no_bit_and_keeps_crews_whole(self, options, alone):
        with lockstep(**options) as sweep:
            together = clone(SEARCH).fit(*CANCER)
        for name, found in figures(alone).items():
            assert_array_equal(figures(together)[name], found, err_msg=name)
        one, other = alone.best_estimator_, together.best_estimator_
        for name, tensor in one.module_.state_dict().items():
            assert_array_equal(other.module_.state_dict()[name], tensor)
        assert one.validation_scores_ == other.validation_scores_
        assert sum(sweep.cohort_sizes) == 8 * (1 + 4 + 6)
        if options.get("max_members") in (1, 2):  # single networks are never four or six together
            for size in (4, 6):
                assert sweep.cohort_sizes.count(size) == 8

    def test_restarts_are_as_many_cohorts(self):
        clf = basic(NNClassifier, **QUICK, n_members=2, n_restarts=3)
        with lockstep(n_jobs=1, max_members=1) as sweep:
            GridSearchCV(clf, {"learning_rate": [0.01, 0.02]}, cv=2, refit=False).fit(*IRIS)
        assert sweep.cohort_sizes == [2] * 12

    def test_nothing_is_kept_of_a_crew_that_has_gone(self):
        room = WaitingRoom(lambda job: 1)
        for _ in range(3):
            jobs = jobs_of(basic(NNClassifier, **QUICK, n_members=4), *IRIS)
            room.enter([SimpleNamespace(job=job, task=None) for job in jobs])  # type: ignore[misc]
            assert [seat.job for seat in room.full_cohort(100, 1)] == jobs
        assert not room
        assert not room._sizes
        assert not room._crews


class Broken:
    """A scorer that raises in its fifth call for one learning rate."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        self.calls += estimator.learning_rate == 0.02
        if self.calls >= 5:
            raise RuntimeError("a scorer's fault")
        return float(estimator.score(X, y))


class TestErrors:
    SETTINGS: ClassVar[dict[str, Any]] = QUICK | {"n_members": 4, "max_epochs": 1000}

    def test_of_a_scorer_reach_the_user_at_once(self):
        scorer = Broken()
        with pytest.raises(RuntimeError, match="a scorer's fault"):
            basic(NNClassifier, **self.SETTINGS, scoring=scorer).fit(*IRIS)
        assert scorer.calls == 5

    @pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
    @pytest.mark.parametrize("options", [{"n_jobs": 1}, {"n_jobs": 2}, {"n_jobs": 1, "max_members": 1}])
    def test_of_a_scorer_take_no_other_fit_down(self, options):
        grid = {"learning_rate": [0.01, 0.02, 0.03], "n_members": [1, 4]}
        found = []
        for scoring in (always_broken, "accuracy"):
            search = GridSearchCV(basic(NNClassifier, **QUICK, scoring=scoring), grid, cv=3, refit=False)
            failing = pytest.warns(FitFailedWarning, match="3 fits failed") if scoring != "accuracy" else nullcontext()
            with lockstep(**options), failing:
                found.append(search.fit(*IRIS).cv_results_["mean_test_score"])
        assert_array_equal(np.isnan(found[0]), [False, False, False, True, False, False])
        assert_array_equal(found[0][~np.isnan(found[0])], np.delete(found[1], 3))

    def test_end_those_whom_the_panel_judges_alone(self):
        jobs = [
            job for seed in range(3) for job in jobs_of(basic(NNClassifier, **QUICK | {"random_state": seed}), *IRIS)
        ]
        expected = train(jobs)
        jobs[1].panel = Angry()
        results = train_together(jobs)
        assert str(results[1].error) == "a panel's fault"
        assert results[1].history == []
        for k in (0, 2):
            assert results[k].error is None
            assert results[k].best_epoch == expected[k].best_epoch
            assert_array_equal(results[k].parameters, expected[k].parameters)

    def test_of_a_loss_of_ones_own(self):
        class Picky(Loss):
            """Takes what is trained on, and not what a panel judges, which is in double precision."""

            tasks = frozenset({"regression"})

            def __call__(self, output: Tensor, target: Tensor) -> Tensor:
                if output.dtype == torch.float64:
                    raise TypeError("a loss's fault")
                return ((output - target) ** 2).mean(1)

        with pytest.raises(TypeError, match="a loss's fault"):
            basic(NNRegressor, **QUICK, loss=Picky(), n_members=2).fit(*DIABETES)


def always_broken(estimator: Any, X: Any, y: Any) -> float:
    if estimator.learning_rate == 0.02 and estimator.n_members == 4:
        raise RuntimeError("a scorer's fault")
    return float(estimator.score(X, y))


class TestCallbacks:
    def test_each_may_stop_its_member(self):
        """Those who go on are judged together."""
        X, y = DIABETES
        stop = EarlyStopping(monitor="valid_loss", patience=2, load_best=False, sink=lambda *_: None)
        reg = basic(NNRegressor, **OVERFITS, n_members=4, callbacks=[stop])
        results = train(jobs_of(reg, X, y))
        lengths = [len(result.history) for result in results]
        assert len(set(lengths)) > 1
        for result in results:
            losses_of_it = [record["valid_loss"] for record in result.history]
            assert len(losses_of_it) == int(np.argmin(losses_of_it)) + 3
            longest = results[int(np.argmax(lengths))].history
            shared = [record["valid_score"] for record in longest[: len(result.history)]]
            assert [record["valid_score"] for record in result.history] == shared
            assert result.best_epoch == int(np.argmax(shared))
        assert_array_equal(reg.fit(X, y).best_epoch_, [result.best_epoch + 1 for result in results])

    def test_see_the_member_and_the_panels_value(self):
        X, y = CANCER
        found: dict[int, list[tuple[float, float]]] = {}

        def keep(net: Any, *_: Any) -> float:
            record = net.history[-1]
            found.setdefault(id(net), []).append((record["valid_score"], record["valid_loss"]))
            return 0.0

        scoring = EpochScoring(keep, name="seen", lower_is_better=False)
        clf = basic(NNClassifier, **QUICK, n_members=3, callbacks=[scoring]).fit(X, y)
        assert len(found) == 3
        values = [[value for value, _ in records] for records in found.values()]
        assert values[0] == values[1] == values[2]
        assert_allclose(values[0], clf.validation_scores_)
        assert len({records[0][1] for records in found.values()}) == 3

    def test_of_a_single_classifier(self):
        X, y = CANCER
        callbacks = [EpochScoring("accuracy", name="own", lower_is_better=False)]
        clf = basic(NNClassifier, **QUICK, callbacks=callbacks).fit(X, y)
        assert clf.net_.history[:, "valid_score"] == clf.validation_scores_
        assert len(clf.net_.history[:, "own"]) == clf.n_iter_
