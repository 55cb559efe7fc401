"""The weights of recipes: closed forms, brute force, and the average they are for."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import expit, logit, softmax
from torch import nn

from sknnopt import losses
from sknnopt.estimators import _weighting
from sknnopt.estimators._weighting import fit_weights
from sknnopt.nn import MemberAverage, average, predict_scores

RNG = np.random.RandomState(0)
LINKS = {
    "identity": (lambda s: s, lambda p: p),
    "exp": (np.exp, np.log),
    "sigmoid": (expit, logit),
    "softmax": (lambda s: softmax(s, axis=-1), np.log),
}


@pytest.mark.parametrize("link", LINKS)
class TestAverage:
    def test_weighs_what_the_link_makes_of_scores(self, link):
        scores, weights = RNG.normal(size=(3, 5, 4)), np.array([0.5, 0.3, 0.2])
        to, back = LINKS[link]
        expected = back(np.tensordot(weights, to(scores), 1))
        found = average(torch.from_numpy(scores), link, torch.from_numpy(weights))
        assert_allclose(to(found.numpy()), to(expected), rtol=1e-12)
        module = MemberAverage([Fixed(part) for part in scores], link, weights)
        assert_array_equal(module(torch.zeros(5)), found)

    def test_equal_weights_change_no_bit(self, link):
        parts = [Fixed(RNG.normal(size=(5, 4)).astype(np.float32)) for _ in range(3)]
        plain, weighed = MemberAverage(parts, link), MemberAverage(parts, link, [1 / 3] * 3)
        assert weighed.weights is None
        assert_array_equal(plain(torch.zeros(5)), weighed(torch.zeros(5)))

    def test_no_weight_leaves_one_out(self, link):
        scores = torch.from_numpy(RNG.normal(size=(3, 5, 4)))
        without = average(scores[:2], link)
        assert_allclose(average(scores, link, torch.tensor([0.5, 0.5, 0.0]).double()), without, rtol=1e-12, atol=1e-12)

    def test_weights_are_copied_and_pickled(self, link):
        module = MemberAverage([nn.Linear(4, 3), nn.Linear(4, 3)], link, [0.9, 0.1])
        rows = RNG.normal(size=(7, 4)).astype(np.float32)
        for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            assert_array_equal(predict_scores(twin, rows), predict_scores(module, rows))
        assert list(module.state_dict()) == list(MemberAverage(module.members, link).state_dict())

    def test_a_rows_bits_are_its_own(self, link):
        module = MemberAverage([nn.Linear(4, 3) for _ in range(5)], link, [0.4, 0.3, 0.1, 0.1, 0.1])
        rows = RNG.normal(size=(2000, 4)).astype(np.float32)
        whole = predict_scores(module, rows)
        for part in (slice(3, 4), slice(100, 137), slice(17, 1999)):
            assert_array_equal(predict_scores(module, rows[part]), whole[part])


class Fixed(nn.Module):
    def __init__(self, scores):
        super().__init__()
        self.scores = torch.from_numpy(scores)

    def forward(self, x):
        return self.scores


def problem(loss, n=80, recipes=3, outputs=2):
    """Recipes of which the last is of no use, target and weights."""
    rng = np.random.RandomState(1)
    scores, target = rng.normal(size=(recipes, n, outputs)), None
    if loss.link == "softmax":
        target = rng.randint(outputs, size=n)
        scores[:2] += 1.5 * np.eye(outputs)[target]
    elif loss.link == "sigmoid":
        target = rng.randint(2, size=(n, outputs)).astype(float)
        scores[:2] += 2 * target - 1
    else:
        target = rng.normal(size=(n, outputs))
        repeated = np.repeat(target, loss.n_scores(1), axis=1)
        scores = 0.4 * rng.normal(size=(recipes, *repeated.shape))
        scores[:2] += repeated
        target = np.exp(target) if loss.link == "exp" else target
    return scores, target, rng.uniform(size=n)


def objective(weights, scores, target, loss, weight):
    """The docstring's, by other means."""
    to, back = LINKS[loss.link]

    def mean(output):
        given = target if target.ndim == 1 else target.T
        values = loss(torch.from_numpy(output.T.copy())[None], torch.from_numpy(given)[None])[0].numpy()
        return np.average(values, weights=weight)

    unit = 1.0
    if loss.link in ("identity", "exp"):
        unit = mean(back(to(scores).mean(0)))
        if scores.shape[2] == target.shape[1]:
            unit -= mean(back(target))
    worth = weight.sum() ** 2 / (weight**2).sum()
    value = mean(back(np.tensordot(weights, to(scores), 1)))
    return value / unit - _weighting.PRIOR / worth * np.log(weights).sum()


CONVEX = [
    losses.CrossEntropy(), losses.SigmoidCrossEntropy(), losses.SquaredError(), losses.Poisson(),
    losses.AbsoluteError(), losses.Huber(), losses.Quantile(quantile=[0.1, 0.9]),
]  # fmt: skip


NOT_SMOOTH = losses.AbsoluteError | losses.Quantile


class TestFit:
    @pytest.mark.parametrize("loss", CONVEX, ids=repr)
    def test_is_the_least_of_all(self, loss):
        given = problem(loss)
        scores, target, weight = given
        found = fit_weights(scores, target, loss, weight)
        assert found.sum() == pytest.approx(1)
        grid = [np.array([a, b, 1 - a - b]) for a in np.arange(0.02, 1, 0.04) for b in np.arange(0.02, 0.99 - a, 0.04)]
        values = [objective(one, scores, target, loss, weight) for one in grid]
        least = objective(found, scores, target, loss, weight)
        assert least <= min(values)
        assert np.abs(grid[int(np.argmin(values))] - found).max() < 0.05
        free = minimize(
            lambda t: objective(softmax(t), scores, target, loss, weight), np.zeros(3), method="Nelder-Mead"
        )
        assert least <= free.fun + (1e-4 if isinstance(loss, NOT_SMOOTH) else 1e-9)
        assert found.argmin() == 2

    @pytest.mark.parametrize("loss", [losses.Gamma(), losses.Tweedie(), losses.Hinge(), losses.Focal()], ids=repr)
    def test_what_is_not_convex_is_no_worse_than_equal_weights(self, loss):
        given = problem(loss)
        found = fit_weights(*given[:2], loss, given[2])
        assert objective(found, *given[:2], loss, given[2]) < objective(np.full(3, 1 / 3), *given[:2], loss, given[2])
        assert found.argmin() == 2

    def test_two_of_opposite_errors_by_the_closed_form(self):
        """Where the prior does not matter: w = cov-weighted errors, (v2 - c) / (v1 + v2 - 2 c)."""
        rng = np.random.RandomState(2)
        errors, target = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 2]], 300_000).T, np.zeros((300_000, 1))
        (v1, c), (_, v2) = errors @ errors.T / 300_000
        found = fit_weights(errors[:, :, None], target, losses.SquaredError())
        assert found[0] == pytest.approx((v2 - c) / (v1 + v2 - 2 * c), abs=1e-3)

    def test_units_of_the_target_do_not_matter(self):
        scores, target, weight = problem(losses.SquaredError())
        for one in (losses.SquaredError(), losses.AbsoluteError()):
            found = [fit_weights(s * scores, s * target, one, weight) for s in (1.0, 1e3)]
            assert_allclose(*found, atol=1e-4)
        scores, target, weight = problem(losses.Poisson())
        found = [fit_weights(scores + np.log(s), s * target, losses.Poisson(), weight) for s in (1.0, 50.0)]
        assert_allclose(*found, atol=1e-4)

    def test_the_fewer_rows_the_more_equal(self):
        scores, target, _ = problem(losses.CrossEntropy(), n=500)
        last = [fit_weights(scores[:, :n], target[:n], losses.CrossEntropy())[2] for n in (3, 30, 500)]
        assert 0.34 > last[0] > last[1] > last[2] > 0

    def test_integer_weights_are_repetitions_up_to_the_prior(self, monkeypatch):
        monkeypatch.setattr(_weighting, "PRIOR", 1e-9)
        scores, target, _ = problem(losses.CrossEntropy())
        times = np.random.RandomState(0).randint(1, 4, size=len(target))
        rows = np.repeat(np.arange(len(target)), times)
        weighed = fit_weights(scores, target, losses.CrossEntropy(), times.astype(float))
        assert_allclose(weighed, fit_weights(scores[:, rows], target[rows], losses.CrossEntropy()), atol=1e-4)

    def test_what_tells_nothing_gives_equal_weights(self):
        scores, target, weight = problem(losses.SquaredError())
        alike = np.stack([scores[0]] * 3)
        assert_allclose(fit_weights(alike, target, losses.SquaredError()), 1 / 3, atol=1e-6)
        assert_allclose(fit_weights(np.stack([target] * 2), target, losses.SquaredError()), 1 / 2)
        assert_array_equal(fit_weights(scores, target, losses.SquaredError(), 0 * weight), [1 / 3] * 3)
        scores[1, 0] = np.nan
        assert_array_equal(fit_weights(scores, target, losses.SquaredError()), [1 / 3] * 3)
        assert_array_equal(fit_weights(scores[:1], target, losses.SquaredError()), [1.0])
