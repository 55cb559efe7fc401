"""One step of the engine against autograd: mixed rows, layers of other rates, decay that changes."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from support import basic
from torch import nn
from torch.nn import functional as F

from sknnopt import NNClassifier, NNRegressor
from sknnopt._random import MemberRandom
from sknnopt.engine._layers import LayerRates
from sknnopt.optimizers import SAM
from sknnopt.regularization import L1, L2, MaxNorm
from sknnopt.schedules import CosLog, Scheduled

X, Y = (part[:120] for part in load_breast_cancer(return_X_y=True))
STEP = {
    "hidden_layer_sizes": (8,),
    "activation": "tanh",
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "schedule": "constant",
    "batch_size": 10**6,
    "max_epochs": 1,
    "dropout": 0.0,
    "gradient_clipping": None,
    "precision": "float64",
    "random_state": 3,
}


def still(make, **settings):
    """The estimator before its first step."""
    return basic(make, **{**STEP, **settings, "learning_rate": 1e-300}).fit(X, Y)


def gradients(module, loss):
    return torch.autograd.grad(loss, list(module.parameters()))


def expected(module, slopes, rate=0.5):
    return [w.detach() - rate * g for w, g in zip(module.parameters(), slopes, strict=True)]


def assert_weights(module, values):
    for own, value in zip(module.parameters(), values, strict=True):
        torch.testing.assert_close(own.detach(), value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
def test_mixup_mixes_rows_and_losses(make, weighted):
    settings = {"label_smoothing": 0.0} if make is NNClassifier else {}
    weight = np.linspace(0.5, 2.0, len(X)) if weighted else np.ones(len(X))
    before = still(make, **settings)
    after = basic(make, **STEP, **settings, mixup=0.7).fit(X, Y, sample_weight=weight if weighted else None)
    random = MemberRandom(np.random.SeedSequence(after._seed).spawn(1)[0], torch.device("cpu"))
    order, share = random.permutation(len(X)), random.beta(0.7, 0.7)
    partner = np.roll(order, -1)
    if weighted:
        before = basic(make, **{**STEP, **settings, "learning_rate": 1e-300}).fit(X, Y, sample_weight=weight)
    rows, counts = torch.from_numpy(before.preprocessor_.transform(X)), torch.from_numpy(weight / weight.mean())
    scores = before.module_(share * rows[order] + (1 - share) * rows[partner])
    if make is NNClassifier:
        losses = [F.cross_entropy(scores, torch.from_numpy(Y[i]), reduction="none") for i in (order, partner)]
    else:
        target = (Y - np.average(Y, weights=weight)) / np.sqrt(np.cov(Y, aweights=weight, bias=True))
        losses = [(scores[:, 0] - torch.from_numpy(target[i])).square() for i in (order, partner)]
    mixed = share * losses[0] * counts[order] + (1 - share) * losses[1] * counts[partner]
    assert_weights(after.module_, expected(before.module_, gradients(before.module_, mixed.mean())))


def test_mixup_of_a_network_of_ones_own_and_of_padded_batches():
    for settings in ({"network": nn.Linear}, {"batch_size": 50, "max_epochs": 30}):
        clf = basic(NNClassifier, **{**STEP, "learning_rate": 0.1, **settings}, mixup=0.3).fit(X, Y)
        assert clf.score(X, Y) > 0.85


def test_no_mixup_draws_nothing():
    plain = basic(NNClassifier, **STEP).fit(X, Y)
    assert_weights(
        plain.module_, [w.detach() for w in basic(NNClassifier, **STEP, mixup=0.0).fit(X, Y).module_.parameters()]
    )


@pytest.mark.parametrize(
    ("curve", "decays"), [("linear", (0.8, 0.4)), ("coslog4", (0.0, 0.8 * CosLog()(np.array([0.5]))[0]))]
)
def test_decay_follows_its_schedule(curve, decays):
    """Two steps: with "linear" all of the decay, then half of it; with "coslog4" none in the first."""
    settings = {"max_epochs": 2, "label_smoothing": 0.0, "learning_rate": 0.1}
    start = still(NNClassifier, max_epochs=1)
    rows, labels = torch.from_numpy(start.preprocessor_.transform(X)), torch.from_numpy(Y)
    module = start.module_
    for decay in decays:
        slopes = gradients(module, F.cross_entropy(module(rows), labels))
        with torch.no_grad():
            for w, g in zip(module.parameters(), slopes, strict=True):
                w.mul_(1 - 0.1 * decay if w.ndim == 2 else 1.0).sub_(0.1 * g)
    after = basic(NNClassifier, **{**STEP, **settings}, weight_decay=Scheduled(0.8, curve)).fit(X, Y)
    assert_weights(after.module_, [w.detach() for w in module.parameters()])


class TestLayerRates:
    def rates(self, factors):
        from sknnopt._layout import Layout

        layout = Layout([("a.weight", (2, 3)), ("b.weight", (1, 2))], [("a.bias", (2,))])
        parameters = torch.zeros((len(factors), layout.size))
        return layout, parameters, LayerRates(layout, factors, parameters)

    def test_a_step_is_scaled_layer_by_layer_and_member_by_member(self):
        layout, parameters, rates = self.rates([{"a.weight": 0.0, "b.weight": 0.5}, {}])
        rates.remember()
        parameters += 2.0
        rates.scale()
        views = layout.views(parameters)
        assert views["a.weight"][0].eq(0).all()
        assert views["b.weight"][0].eq(1).all()
        assert views["a.bias"].eq(2).all()
        assert views["a.weight"][1].eq(2).all()

    @pytest.mark.parametrize("factor", [0.5, 6.0])
    def test_a_step_with_weight_decay_is_that_of_as_many_times_the_rate(self, factor):
        settings = {"label_smoothing": 0.0, "weight_decay": 0.1}
        before = still(NNClassifier, **settings).module_
        after = basic(NNClassifier, **STEP, **settings, layer_rates={"dense_0": factor}).fit(X, Y)
        rows, labels = torch.from_numpy(after.preprocessor_.transform(X)), torch.from_numpy(Y)
        slopes = gradients(before, F.cross_entropy(before(rows), labels))
        with torch.no_grad():
            for (name, w), g in zip(before.named_parameters(), slopes, strict=True):
                rate = 0.5 * (factor if name.startswith("dense_0") else 1.0)
                w.sub_(rate * (g + 0.1 * w if w.ndim == 2 else g))
        assert_weights(after.module_, [w.detach() for w in before.parameters()])

    def test_a_lengthened_step_ends_within_its_limits(self):
        """The projection of the whole step; six times the way to a projection would lead out again."""
        settings = {"label_smoothing": 0.0}
        before = still(NNClassifier, **settings).module_
        limit = before[0].weight.norm(dim=1).mean().item()
        after = basic(NNClassifier, **STEP, **settings, layer_rates={"dense_0": 6}, regularization=MaxNorm(limit=limit))
        after.fit(X, Y)
        rows, labels = torch.from_numpy(after.preprocessor_.transform(X)), torch.from_numpy(Y)
        slopes = gradients(before, F.cross_entropy(before(rows), labels))
        wanted = before[0].weight.detach() - 0.5 * 6 * slopes[0]
        norms = wanted.norm(dim=1, keepdim=True)
        assert (norms > limit).any()
        assert (norms < limit).any()
        torch.testing.assert_close(after.module_[0].weight.detach(), wanted * (limit / norms).clamp(max=1))

    def test_only_frozen_layers_leave_the_gradient(self):
        layout, parameters, rates = self.rates([{"a.weight": 0.0, "b.weight": 0.5}])
        gradients = torch.ones_like(parameters)
        rates.mask(gradients)
        views = layout.views(gradients)
        assert views["a.weight"].eq(0).all()
        assert views["b.weight"].eq(1).all()
        assert views["a.bias"].eq(1).all()


@pytest.mark.parametrize("network", ["mlp", "resnet"])
def test_scaled_layers_learn_by_the_gradient_of_what_they_compute(network):
    settings = {"network": network, "initializer": "ntk", "label_smoothing": 0.0, "hidden_layer_sizes": (8, 5)}
    before, after = still(NNClassifier, **settings), basic(NNClassifier, **{**STEP, **settings}).fit(X, Y)
    rows, labels = torch.from_numpy(before.preprocessor_.transform(X)), torch.from_numpy(Y)
    first = next(layer for layer in before.module_.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        plain = F.linear(rows, first.weight / np.sqrt(30), first.bias)
        torch.testing.assert_close(first(rows), plain, rtol=1e-12, atol=1e-12)
    slopes = gradients(before.module_, F.cross_entropy(before.module_(rows), labels))
    assert_weights(after.module_, expected(before.module_, slopes))
    assert np.allclose(after._raw_scores(X), after.module_(rows).detach().numpy(), atol=1e-9)


def test_only_built_in_networks_are_scaled_and_training_goes_on_as_it_began():
    with pytest.raises(ValueError, match=r"'initializer' parameter must be one that only draws.*'ntk' changes"):
        basic(NNClassifier, **STEP, network=nn.Linear, initializer="ntk").fit(X, Y)
    clf = basic(NNClassifier, **STEP, initializer="ntk", warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"cannot go on with initializer='one that scales weights'"):
        clf.set_params(initializer="he_normal").fit(X, Y)
    with pytest.raises(ValueError, match=r"an initializer that scales layers for one that scales weights"):
        basic(NNClassifier, **STEP, initial_weights=clf).fit(X, Y)


def test_scaled_layers_carry_on_where_columns_are_added():
    source = basic(NNClassifier, **STEP, initializer="ntk").fit(X, Y)
    wider = np.column_stack([X, np.arange(len(X)) % 7])
    same = basic(NNClassifier, **{**STEP, "learning_rate": 1e-300}, initializer="ntk", initial_weights=source).fit(
        wider, Y
    )
    np.testing.assert_allclose(same.predict_proba(wider), source.predict_proba(X), atol=1e-9)


class TestScheduledDropout:
    SETTINGS = {**STEP, "dropout": 0.5, "max_epochs": 4, "batch_size": 32, "learning_rate": 0.1}

    def weights(self, **settings):
        clf = basic(NNClassifier, **{**self.SETTINGS, **settings}).fit(X, Y)
        return torch.cat([value.detach().flatten() for value in clf.module_.parameters()])

    @pytest.mark.parametrize("network", ["mlp", "resnet", "tabm"])
    def test_a_constant_schedule_is_the_rate_itself(self, network):
        same = self.weights(network=network, dropout=Scheduled(0.5, "constant"))
        assert torch.equal(same, self.weights(network=network))

    @pytest.mark.parametrize("network", ["mlp", "resnet", "tabm"])
    def test_masks_follow_the_schedule_step_by_step(self, network):
        """All of the rate for two epochs and none of it after: the first two are those of the rate, no more."""

        def halves(progress):
            return 1.0 if progress < 0.5 else 0.0

        parts = basic(NNClassifier, **{**self.SETTINGS, "network": network, "dropout": Scheduled(0.5, halves)})
        plain = basic(NNClassifier, **{**self.SETTINGS, "network": network})
        for epoch in range(4):
            parts.partial_fit(X, Y)
            plain.partial_fit(X, Y)
            same = all(map(torch.equal, parts.module_.state_dict().values(), plain.module_.state_dict().values()))
            assert same == (epoch < 2)

    def test_a_rate_of_zero_drops_nothing(self):
        torch.testing.assert_close(
            self.weights(dropout=Scheduled(0.5, lambda progress: 0.0)), self.weights(dropout=0.0), rtol=1e-9, atol=1e-12
        )

    @pytest.mark.parametrize("network", ["mlp", "resnet"])
    def test_a_curve_that_begins_at_zero_drops_nothing_in_the_first_step_and_then_as_any_other(self, network):
        """The base value, and not the first step's, decides what the network is made of."""
        settings = {"network": network, "batch_size": 10**6, "dropout": Scheduled(0.5, "coslog4")}
        first = self.weights(**settings, max_epochs=1)
        plain = self.weights(**{**settings, "dropout": 0.0}, max_epochs=1)
        torch.testing.assert_close(first, plain, rtol=1e-9, atol=1e-12)
        assert not torch.allclose(self.weights(**settings), self.weights(**{**settings, "dropout": 0.0}), atol=1e-3)

    @pytest.mark.parametrize("parameter", ["dropout", "weight_decay"])
    def test_members_follow_their_own_schedules(self, parameter):
        from sklearn.model_selection import GridSearchCV

        from sknnopt import lockstep

        curves = [(0.5, "linear"), (0.3, "cosine"), (0.2, "constant"), (0.4, "coslog4"), (0.4, "flat_cosine")]
        values = [Scheduled(*pair) for pair in curves]
        if parameter == "dropout":
            values[2] = Scheduled([0.2], "constant")
        scoring = "neg_log_loss"
        search = GridSearchCV(basic(NNClassifier, **self.SETTINGS), {parameter: values}, cv=3, scoring=scoring)
        alone = search.fit(X, Y).cv_results_["mean_test_score"]
        with lockstep(n_jobs=1) as sweep:
            together = search.fit(X, Y).cv_results_["mean_test_score"]
        assert np.array_equal(alone, together)
        assert max(sweep.cohort_sizes) == 15

    def test_a_schedule_that_cannot_be_known_ahead_is_refused(self):
        with pytest.raises(ValueError, match=r"'schedule' parameter of Scheduled.*'plateau' is not"):
            basic(NNClassifier, dropout=Scheduled(0.5, "plateau")).fit(X, Y)
        with pytest.raises(ValueError, match="'value' parameter of Scheduled"):
            basic(NNClassifier, weight_decay=Scheduled(-1.0)).fit(X, Y)
        with pytest.raises(ValueError, match=r"'dropout' parameter must be a rate in \[0, 1\)"):
            basic(NNClassifier, dropout=Scheduled(1.5)).fit(X, Y)


def test_stochastic_depth_acts_in_training_alone_and_only_on_residual_networks():
    settings = {**STEP, "network": "resnet", "hidden_layer_sizes": (8, 8), "max_epochs": 3}
    plain, deep = (
        basic(NNClassifier, **settings, regularization=term).fit(X, Y) for term in (None, "stochastic_depth")
    )
    assert deep.loss_curve_ != plain.loss_curve_
    assert np.array_equal(deep.predict_proba(X), deep.predict_proba(X))
    with pytest.raises(ValueError, match="leaves out residual blocks, and this network has none"):
        basic(NNClassifier, **STEP, regularization="stochastic_depth").fit(X, Y)


@pytest.mark.parametrize("limit", [1e-3, 1e-2])
def test_the_gradient_that_sam_steps_along_is_clipped(limit):
    before = still(NNClassifier)
    settings = {**STEP, "optimizer": SAM("sgd", rho=0.5), "gradient_clipping": limit}
    after = basic(NNClassifier, **settings).fit(X, Y)
    pairs = zip(before.module_.parameters(), after.module_.parameters(), strict=True)
    moved = torch.cat([(new - old).detach().flatten() for old, new in pairs])
    assert moved.norm().item() == pytest.approx(0.5 * limit, rel=1e-3)


def test_thresholds_are_in_proportion_to_the_steps_that_prodigy_takes():
    """Its rate of 1 stands for a distance that is not known yet; L1 by it would leave nothing of the weights."""
    clf = basic(NNClassifier, **{**STEP, "optimizer": "prodigy", "learning_rate": 1.0}, regularization=L1(1.0)).fit(
        X, Y
    )
    assert all(weight.count_nonzero() > 0 for weight in clf.module_.parameters() if weight.ndim > 1)


@pytest.mark.parametrize("penalty", [None, L2(0.1)])
def test_sam_steps_along_the_gradient_a_radius_uphill(penalty):
    """Foret et al. 2021, equation 2; the gradient there is taken anew, with the penalty's."""
    before = still(NNClassifier, label_smoothing=0.0)
    rows, target = torch.from_numpy(before.preprocessor_.transform(X)), torch.from_numpy(Y)

    def slopes(module):
        loss = F.cross_entropy(module(rows), target)
        weights = [weight for weight in module.parameters() if weight.ndim > 1]
        return gradients(module, loss if penalty is None else loss + 0.05 * sum(w.square().sum() for w in weights))

    here = slopes(before.module_)
    norm = torch.cat([slope.flatten() for slope in here]).norm()
    uphill = copy.deepcopy(before.module_)
    with torch.no_grad():
        for weight, slope in zip(uphill.parameters(), here, strict=True):
            weight.add_(slope, alpha=0.5 / norm.item())
    there = slopes(uphill)
    settings = {**STEP, "optimizer": SAM("sgd", rho=0.5), "label_smoothing": 0.0}
    after = basic(NNClassifier, **settings, regularization=penalty).fit(X, Y)
    assert max((a - b).abs().max() for a, b in zip(here, there, strict=True)) > 1e-3
    assert_weights(after.module_, expected(before.module_, there))


def test_a_gradient_taken_anew_has_the_same_masks():
    settings = {**STEP, "dropout": 0.5, "max_epochs": 3}
    plain, same = (
        basic(NNClassifier, **{**settings, "optimizer": kind}).fit(X, Y) for kind in ("sgd", SAM("sgd", rho=1e-12))
    )
    assert_weights(same.module_, list(plain.module_.parameters()))


def test_a_line_search_sees_the_penalty_in_values_and_gradients():
    """Where it ends the gradient of loss and penalty is zero, though few steps were taken."""
    settings = {**STEP, "optimizer": "lbfgs", "learning_rate": 1.0, "max_epochs": 40, "label_smoothing": 0.0}
    after = basic(NNClassifier, **settings, regularization=L2(0.05)).fit(X, Y)
    rows, target = torch.from_numpy(after.preprocessor_.transform(X)), torch.from_numpy(Y)
    weights = [weight for weight in after.module_.parameters() if weight.ndim > 1]
    loss = F.cross_entropy(after.module_(rows), target) + 0.025 * sum(w.square().sum() for w in weights)
    assert max(slope.abs().max() for slope in gradients(after.module_, loss)) < 1e-5


def test_frozen_layers_count_nothing_in_the_norm_that_is_clipped():
    frozen = {"layer_rates": {"dense_0": 0.0}}
    before = still(NNClassifier, **frozen)
    after = basic(NNClassifier, **{**STEP, "gradient_clipping": 1e-3}, **frozen).fit(X, Y)
    pairs = zip(before.module_.parameters(), after.module_.parameters(), strict=True)
    moved = torch.cat([(new - old).detach().flatten() for old, new in pairs])
    assert moved.norm().item() == pytest.approx(0.5 * 1e-3, rel=1e-3)
