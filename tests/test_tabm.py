"""TabM: heads against perceptrons of their own, a loss each, through the layers, the engine and the estimators."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine, make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from support import basic
from test_footprint import jobs_of
from test_nn import (
    ACTIVATIONS,
    CLOSE,
    COUNTS,
    DOUBLE,
    B,
    F,
    K,
    as_rows,
    bound,
    module_of,
    padded_pass,
    randn,
    streams,
    whole_pass,
)
from torch import nn
from torch.nn import functional

from sknnopt import NNClassifier, NNRegressor, activations, initializers, lockstep
from sknnopt._compat import InvalidParameterError
from sknnopt._random import MemberRandom
from sknnopt.engine import peak_bytes
from sknnopt.engine.capacity import member_bytes, suitable_members
from sknnopt.estimators._folds import split_rows
from sknnopt.nn import EVALUATION, MLP, MemberAverage, TabM, Workspace, load_member
from sknnopt.nn._elementwise import Dropout
from sknnopt.nn._heads import Spread

WINE, DIABETES = load_wine(return_X_y=True), load_diabetes(return_X_y=True)
LABELS = make_multilabel_classification(120, n_features=6, n_classes=4, random_state=0)
X, Y = WINE
H = 3
QUICK = {
    "network": "tabm", "n_heads": H, "hidden_layer_sizes": (8, 5), "max_epochs": 5, "batch_size": 32,
    "learning_rate": 0.01, "random_state": 0,
}  # fmt: skip
STEP = {
    **QUICK, "activation": "tanh", "optimizer": "sgd", "learning_rate": 0.5, "schedule": "constant", "max_epochs": 1,
    "batch_size": 10**6, "dropout": 0.0, "gradient_clipping": None, "precision": "float64",
}  # fmt: skip
STILL = {"learning_rate": 1e-300}
LINKS = ["identity", "softmax", "sigmoid", "exp"]


def tabm(hidden=(6, 4), n_outputs=2, activation="silu", normalization=None, heads=H, **options):
    """A network of F inputs."""
    shape = (F, hidden, n_outputs, activations.get(activation), normalization, (0.0,) * len(hidden))
    return TabM(*shape, n_heads=heads, **options)


def heads_of(module):
    """The module without the average."""
    return module[:-1]


def by_head(scores, heads):
    """The engine's scores (K, O, H B), and a module's (H B, O), as (K, H, B, O) and (H, B, O)."""
    if scores.ndim == 2:
        return scores.view(heads, -1, scores.shape[1])
    return scores.view(*scores.shape[:2], heads, -1).permute(0, 2, 3, 1)


# --------------------------------------------------------------------------------------------------
# The network


def perceptrons(network, values):
    """Each head as an MLP by itself: what scales a layer's inputs and outputs is in its weights."""
    heads, out = network.n_heads, []
    plain = MLP(*(getattr(network, name) for name in (
        "n_inputs", "hidden", "n_outputs", "activation", "normalization", "dropout", "scaled"
    )))  # fmt: skip
    for h in range(heads):
        own = {name: value for name, value in values.items() if name.startswith(("norm", "activation"))}
        for i in range(len(network.hidden)):
            vectors = {
                leaf: values[name].view(heads, -1)[h]
                for leaf in ("r", "s", "b")
                if (name := f"dense_{i}.{leaf}") in values
            }
            r = values["heads.r"].view(heads, -1)[h] if i == 0 else vectors["r"]
            own[f"dense_{i}.weight"] = vectors["s"].unsqueeze(1) * values[f"dense_{i}.weight"] * r
            own[f"dense_{i}.bias"] = vectors["b"]
        for leaf in ("weight", "bias"):
            value = values[f"output.{leaf}"]
            own[f"output.{leaf}"] = value.view(heads, -1, *value.shape[1:])[h]
        out.append(own)
    return plain, out


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("normalization", [None, "layer"])
@pytest.mark.parametrize("activation", ["tanh", "prelu", "swiglu"])
def test_every_head_is_a_perceptron_that_shares_its_weights(activation, normalization, scaled):
    """Scores and, with tied weights, gradients are those of H networks by themselves."""
    network = tabm((6, 4, 7), activation=activation, normalization=normalization, scaled=scaled)
    stack, views, _, slopes, space = bound(network, 1, B)
    leaves = {name: view[0].clone().requires_grad_() for name, view in views.items()}
    plain, every = perceptrons(network, leaves)
    x, weight = randn(1, B, F, seed=70), randn(1, 2, H * B, seed=71)
    scores = by_head(stack.forward(x, whole_pass(1, B)).view.clone(), H)[0]
    stack.backward(as_rows(space.repeated(H), "gradient", weight))
    loss = 0.0
    for own, found, slope in zip(every, scores, by_head(weight, H)[0], strict=True):
        expected = torch.func.functional_call(plain.module().to_empty(device="cpu"), own, x[0])
        torch.testing.assert_close(found, expected, **CLOSE)
        loss = loss + (expected * slope).sum()
    for (name, leaf), found in zip(leaves.items(), torch.autograd.grad(loss, list(leaves.values())), strict=True):
        torch.testing.assert_close(slopes[name][0], found, **CLOSE, msg=name)
        assert leaf.abs().max() > 0


@pytest.mark.parametrize("kind", ["whole", "padded"])
@pytest.mark.parametrize("heads", [1, H])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("hidden", [(6,), (1,), (6, 33, 4)])
def test_the_stack_follows_its_module(hidden, normalization, n_outputs, heads, kind):
    network = tabm(hidden, n_outputs, normalization=normalization, heads=heads)
    stack, views, leaves, slopes, space = bound(network, K, B)
    modules = [module_of(network, views, leaves, k).train() for k in range(K)]
    counts = COUNTS if kind == "padded" else (B,) * K
    step = padded_pass(counts, B) if kind == "padded" else whole_pass(K, B)
    x, weight = randn(K, B, F, seed=70), randn(K, n_outputs, heads * B, seed=71)
    weight = weight if step.valid is None else weight * step.valid.repeat(1, 1, heads)
    scores = stack.forward(x, step).view.clone()
    stack.backward(as_rows(space.repeated(heads), "gradient", weight))
    for k, (module, count) in enumerate(zip(modules, counts, strict=True)):
        expected = by_head(heads_of(module)(x[k, :count]), heads)
        torch.testing.assert_close(by_head(scores, heads)[k, :, :count], expected, **CLOSE)
        (expected * by_head(weight, heads)[k, :, :count]).sum().backward()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(slopes[name][k], parameter.grad, **CLOSE, msg=name)
        for name, view in leaves.items():
            torch.testing.assert_close(view[k], module.get_buffer(name), **CLOSE, msg=name)


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_follows_its_module(activation, normalization):
    network = tabm(activation=activation, normalization=normalization)
    stack, views, leaves, slopes, space = bound(network, 2, B)
    x, weight = randn(2, B, F, seed=70), randn(2, 2, H * B, seed=71)
    modules = [module_of(network, views, leaves, k).train() for k in range(2)]
    for _ in range(2):  # buffers are used again
        stack.forward(x, whole_pass(2, B))
        stack.backward(as_rows(space.repeated(H), "gradient", weight))
    for k, module in enumerate(modules):
        (by_head(heads_of(module)(x[k]), H) * by_head(weight, H)[k]).sum().backward()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(slopes[name][k], parameter.grad, **CLOSE, msg=name)


@pytest.mark.parametrize("rows", [1, 2])
def test_small_batches_follow_their_module(rows):
    network = TabM(1, (1, 3), 1, activations.get("relu"), None, (0.0, 0.0), n_heads=2)
    stack, views, leaves, slopes, space = bound(network, 2, rows)
    x, weight = randn(2, rows, 1, seed=70), randn(2, 1, 2 * rows, seed=71)
    scores = stack.forward(x, whole_pass(2, rows)).view.clone()
    stack.backward(as_rows(space.repeated(2), "gradient", weight))
    for k in range(2):
        module = module_of(network, views, leaves, k)
        expected = by_head(heads_of(module)(x[k]), 2)
        torch.testing.assert_close(by_head(scores, 2)[k], expected, **CLOSE)
        (expected * by_head(weight, 2)[k]).sum().backward()
        for name, parameter in module.named_parameters():
            torch.testing.assert_close(slopes[name][k], parameter.grad, **CLOSE, msg=name)


def test_rows_that_something_comes_before_get_the_sum_of_the_heads_gradients():
    space, x, r = Workspace(K, B, DOUBLE, torch.device("cpu")), randn(K, F, B), randn(K, H * F, seed=1)
    slopes = {"spread.r": torch.zeros(K, H * F, dtype=DOUBLE)}
    layer = Spread("spread", H, {"spread.r": r}, slopes, space, input_gradient=True)
    weight = randn(K, F, H * B, seed=2)
    leaf, scale = x.clone().requires_grad_(), r.clone().requires_grad_()
    expected = (leaf.unsqueeze(2) * scale.view(K, H, F).transpose(1, 2).unsqueeze(3)).flatten(2)
    torch.testing.assert_close(layer.forward(as_rows(space, "x", x), whole_pass(K, B)).view, expected, **CLOSE)
    found = layer.backward(as_rows(space.repeated(H), "gradient", weight)).view
    wanted = torch.autograd.grad(expected, [leaf, scale], weight)
    torch.testing.assert_close(found, wanted[0], **CLOSE)
    torch.testing.assert_close(slopes["spread.r"], wanted[1], **CLOSE)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("link", LINKS)
def test_in_evaluation_it_is_its_module_and_the_average_of_what_the_heads_predict(link, training):
    network = tabm(n_outputs=3, normalization="batch", link=link)
    stack, views, leaves, *_ = bound(network, K, B, training=training)
    x = randn(K, B, F, seed=70)
    scores = stack.forward(x, EVALUATION).view
    assert scores.shape == (K, 3, B)
    predict = {
        "identity": lambda s: s, "softmax": partial(torch.softmax, dim=-1), "sigmoid": torch.sigmoid, "exp": torch.exp,
    }[link]  # fmt: skip
    for k in range(K):
        module = module_of(network, views, leaves, k).eval()
        torch.testing.assert_close(scores[k].T, module(x[k]).detach(), **CLOSE)
        each = predict(by_head(heads_of(module)(x[k]), H)).mean(0)
        torch.testing.assert_close(predict(module(x[k])), each, **CLOSE)


def test_dropout_drops_other_units_in_each_head_and_none_in_evaluation():
    network = TabM(F, (50,), 1, activations.get("relu"), None, (0.5,), n_heads=2)
    stack, *_ = bound(network, 1, 40)
    x = randn(1, 40, F)
    first = stack.forward(x, whole_pass(1, 40)).view.clone()
    (index, layer), *others = stack._dropouts
    assert (index, others) == (0, [])
    assert isinstance(layer, Dropout)
    mask = layer._mask[0, : 50 * 2 * 40].view(50, 2, 40) != 0
    assert 0.4 < float((mask[:, 0] == mask[:, 1]).double().mean()) < 0.6
    assert not torch.equal(stack.forward(x, whole_pass(1, 40)).view, first)
    assert torch.equal(stack.forward(x, EVALUATION).view.clone(), stack.forward(x, EVALUATION).view)


@pytest.mark.parametrize("name", ["kaiming_normal", "orthogonal"])
def test_heads_begin_as_the_paper_says(name):
    network = tabm((60, 50), 40, activation="relu", normalization="batch")
    flat = torch.full((network.layout.size,), 7.0)
    values, statistics = network.layout.single(flat), network.buffers.single(torch.zeros(network.buffers.size))
    network.initialize(values, statistics, initializers.get(name), streams(1)[0])
    assert set(values["heads.r"].tolist()) == {-1.0, 1.0}
    assert all((values[own] == 1).all() for own in ("dense_0.s", "dense_1.r", "dense_1.s", "norm_0.weight"))
    assert all((values[own] == 0).all() for own in ("dense_0.b", "dense_1.b", "output.bias"))
    outputs = values["output.weight"].view(H, 40, 50)
    assert not torch.equal(outputs[0], outputs[1])
    for own in outputs:
        if name == "orthogonal":
            torch.testing.assert_close(own @ own.T, torch.eye(40), rtol=0, atol=1e-4)
        else:
            assert float(own.std()) == pytest.approx(50**-0.5, rel=0.1)
    again = torch.zeros_like(flat)
    network.initialize(network.layout.single(again), statistics, initializers.get(name), streams(1)[0])
    assert torch.equal(again, flat.where(again != 0, 0.0))


def test_what_is_shared_is_weights_and_each_heads_own_is_not():
    network = tabm((6, 4), 2, normalization="layer")
    weights = [name for name, block in network.layout.blocks.items() if block.is_weight]
    assert weights == ["dense_0.weight", "dense_1.weight", "output.weight"]
    module = network.module()
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        name: block.shape for name, block in network.layout.blocks.items()
    }
    shared = 6 * F + 4 * 6 + 2 * (6 + 4)
    own = F + 2 * 6 + 6 + 2 * 4 + 2 * 4 + 2
    assert network.layout.n_parameters == shared + H * own
    names = ["heads", "dense_0", "norm_0", "activation_0", "dense_1", "norm_1", "activation_1", "output", "average"]
    assert [name for name, _ in module.named_children()] == names


def test_only_networks_with_as_many_heads_and_one_link_are_stacked():
    kinds = [tabm(), tabm(heads=4), tabm(link="exp"), tabm((6, 5)), MLP(F, (6, 4), 2, *tabm_rest())]
    assert len({kind.structure() for kind in kinds}) == 5
    assert tabm().structure() == tabm().structure()


def tabm_rest():
    return activations.get("silu"), None, (0.0, 0.0)


def test_a_cohort_has_room_for_every_heads_rows():
    """What is reckoned is of the size of what is taken, as for the perceptron, however many heads there are."""
    shares, members = [], []
    for settings in ({"network": "mlp"}, {"n_heads": 8}, {"n_heads": 32}, {"n_heads": 32, "normalization": "batch"}):
        settings = {"network": "tabm", "hidden_layer_sizes": (128, 128), "dropout": 0.0, "batch_size": 256, **settings}
        job = jobs_of(np.tile(jobs_of()[0].table.inputs.numpy(), (1, 1)), **settings)[0]
        shares.append(peak_bytes([job]) / member_bytes(job))
        members.append(suitable_members(job))
    assert all(0.5 * shares[0] < share < 2 * shares[0] for share in shares[1:])
    assert members[0] > members[1] >= members[2]


# --------------------------------------------------------------------------------------------------
# The loss of every head


def still(make, X, y, weight=None, **settings):
    """The estimator before its first step."""
    return basic(make, **{**STEP, **settings, **STILL}).fit(X, y, sample_weight=weight)


def stepped(before, loss, rate=0.5):
    """The parameters after a step of gradient descent."""
    own = dict(before.module_.named_parameters())
    found = torch.autograd.grad(loss, list(own.values()))
    return {name: value.detach() - rate * slope for (name, value), slope in zip(own.items(), found, strict=True)}


def assert_weights(after, expected):
    for name, value in after.module_.named_parameters():
        torch.testing.assert_close(value.detach(), expected[name], rtol=1e-6, atol=1e-9, msg=name)


def rows_of(estimator, X):
    return torch.from_numpy(estimator.preprocessor_.transform(X))


def each_head(estimator, rows):
    return by_head(heads_of(estimator.module_)(rows), H)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_a_step_follows_the_mean_of_the_heads_losses(normalization, weighted):
    """With label smoothing and sample weights; and not the loss of the averaged prediction."""
    weight = np.linspace(0.5, 2.0, len(X)) if weighted else None
    settings = {"n_heads": H, "label_smoothing": 0.1, "normalization": normalization}
    before = still(NNClassifier, X, Y, weight, **settings)
    after = basic(NNClassifier, **{**STEP, **settings}).fit(X, Y, sample_weight=weight)
    counts = torch.ones(len(X)) if weight is None else torch.from_numpy(weight / weight.mean())
    rows, labels = rows_of(before, X), torch.from_numpy(Y)
    each = [
        functional.cross_entropy(own, labels, reduction="none", label_smoothing=0.1) * counts
        for own in each_head(before, rows)
    ]
    loss = torch.stack(each).mean()
    assert_weights(after, stepped(before, loss))
    assert after.loss_curve_[0] == pytest.approx(loss.item(), rel=1e-6)
    averaged = functional.cross_entropy(before.module_(rows), labels, label_smoothing=0.1, reduction="none") * counts
    with pytest.raises(AssertionError):
        assert_weights(after, stepped(before, averaged.mean()))


@pytest.mark.parametrize("batch_size", [10**6, 50])
def test_several_targets_and_padded_batches(batch_size):
    """442 rows are padded to 448, or the last of nine batches of 50 has 42."""
    X, y = DIABETES
    Y = np.column_stack([y, -y + np.arange(len(y)) % 3])
    settings = {"batch_size": batch_size, "learning_rate": 0.1}
    before, after = still(NNRegressor, X, Y, **settings), basic(NNRegressor, **{**STEP, **settings}).fit(X, Y)
    rows, target = rows_of(before, X), torch.from_numpy((Y - Y.mean(0)) / Y.std(0))
    order = MemberRandom(np.random.SeedSequence(after._seed).spawn(1)[0], torch.device("cpu")).permutation(len(X))
    for batch in np.array_split(order, range(50, len(X), 50)) if batch_size == 50 else [order]:
        loss = (each_head(before, rows[batch]) - target[batch]).square().mean()
        load_member(before.module_, stepped(before, loss, 0.1), {})
    assert_weights(after, dict(before.module_.named_parameters()))


def test_several_labels():
    X, Y = LABELS
    settings = {"label_smoothing": 0.0}
    before, after = still(NNClassifier, X, Y, **settings), basic(NNClassifier, **{**STEP, **settings}).fit(X, Y)
    target = torch.from_numpy(Y).double().expand(H, -1, -1)
    losses = functional.binary_cross_entropy_with_logits(
        each_head(before, rows_of(before, X)), target, reduction="none"
    )
    assert_weights(after, stepped(before, losses.sum(2).mean()))
    each = expit(each_head(after, rows_of(after, X)).detach().numpy()).mean(0)
    assert_allclose(after.predict_proba(X), each, atol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_mixup_mixes_rows_once_for_all_heads(weighted):
    weight = np.linspace(0.5, 2.0, len(X)) if weighted else None
    settings = {"label_smoothing": 0.0}
    before = still(NNClassifier, X, Y, weight, **settings)
    after = basic(NNClassifier, **STEP, **settings, mixup=0.7).fit(X, Y, sample_weight=weight)
    random = MemberRandom(np.random.SeedSequence(after._seed).spawn(1)[0], torch.device("cpu"))
    order, share = random.permutation(len(X)), random.beta(0.7, 0.7)
    partner = np.roll(order, -1)
    rows = rows_of(before, X)
    counts = torch.ones(len(X)) if weight is None else torch.from_numpy(weight / weight.mean())
    loss = 0.0
    for scores in each_head(before, share * rows[order] + (1 - share) * rows[partner]):
        one, other = (
            functional.cross_entropy(scores, torch.from_numpy(Y[i]), reduction="none") * counts[i]
            for i in (order, partner)
        )
        loss = loss + (share * one + (1 - share) * other).mean() / H
    assert_weights(after, stepped(before, loss))


def test_full_batches_of_lbfgs_go_down_the_mean_of_the_losses():
    reg = basic(NNRegressor, **{**STEP, "optimizer": "lbfgs", "learning_rate": 1.0, "max_epochs": 20}).fit(*DIABETES)
    assert (np.diff(reg.loss_curve_) <= 0).all()
    assert reg.loss_curve_[-1] < 0.8 * reg.loss_curve_[0]


def test_one_head_of_ones_is_the_perceptron():
    """Of equal weights, and with vectors that do not learn."""
    settings = {**STEP, "n_heads": 1, "max_epochs": 5}
    frozen = ["heads", "dense_*.r", "dense_*.s"]
    one = still(NNRegressor, *DIABETES, n_heads=1)
    state = one.module_.state_dict()
    state["heads.r"] = torch.ones_like(state["heads.r"])
    plain = {
        name.replace(".b", ".bias") if name.endswith(".b") else name: value
        for name, value in state.items()
        if not name.endswith((".r", ".s"))
    }
    heads = basic(NNRegressor, **settings, frozen_layers=frozen, initial_weights=state).fit(*DIABETES)
    mlp = basic(NNRegressor, **{**settings, "network": "mlp"}, initial_weights=plain).fit(*DIABETES)
    assert_allclose(heads.predict(DIABETES[0]), mlp.predict(DIABETES[0]), rtol=1e-9)
    assert_allclose(heads.loss_curve_, mlp.loss_curve_, rtol=1e-9)


# --------------------------------------------------------------------------------------------------
# The estimators


def test_what_is_predicted_is_the_average_of_the_heads():
    clf = basic(NNClassifier, **QUICK).fit(X, Y)
    each = softmax(each_head(clf, rows_of(clf, X)).detach().numpy(), axis=2)
    assert np.abs(each[0] - each[1]).max() > 0.01
    assert_allclose(clf.predict_proba(X), each.mean(0), atol=1e-5)
    reg = basic(NNRegressor, **QUICK, loss="poisson").fit(DIABETES[0], DIABETES[1])
    means = np.exp(each_head(reg, rows_of(reg, DIABETES[0])).detach().numpy())[..., 0].mean(0)
    assert_allclose(reg.predict(DIABETES[0]), means * reg.target_.scale_, rtol=1e-4)


@pytest.mark.parametrize("settings", [{}, {"normalization": "batch"}, {"n_members": 2}, {"precision": "float64"}])
def test_a_row_alone_has_the_same_bits_and_so_has_a_copy(settings):
    clf = basic(NNClassifier, **{**QUICK, "n_heads": 32}, **settings).fit(X, Y)
    every = clf.predict_proba(X)
    assert_array_equal(np.concatenate([clf.predict_proba(X[i : i + 1]) for i in range(0, 178, 7)]), every[::7])
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), every)
    assert_array_equal(clone(clf).fit(X, Y).predict_proba(X), every)
    assert isinstance(clf.module_, MemberAverage) == (settings == {"n_members": 2})


@pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
def test_a_search_in_lockstep_has_the_scores_of_one_fit_after_another(make):
    data = WINE if make is NNClassifier else DIABETES
    grid = {"n_heads": [2, 5], "learning_rate": [0.01, 0.03], "network": ["tabm", "mlp"]}
    settings = {**QUICK, "early_stopping": True, "n_iter_no_change": 2, "normalization": "batch"}
    search = GridSearchCV(basic(make, **settings), grid, cv=3)
    alone = search.fit(*data).cv_results_["mean_test_score"]
    with lockstep(n_jobs=1) as sweep:
        together = search.fit(*data).cv_results_["mean_test_score"]
    assert_array_equal(together, alone)
    assert sorted(sweep.cohort_sizes)[-3:] == [6, 6, 12]  # perceptrons do not differ by n_heads
    assert len(set(alone)) == 6


def test_early_stopping_judges_the_averaged_prediction():
    settings = {
        **QUICK,
        "early_stopping": True,
        "validation_fraction": 0.3,
        "label_smoothing": 0.0,
        "calibration": None,
    }
    clf = basic(NNClassifier, **settings).fit(X, Y)
    held = clf.n_validation_samples_
    seen = []
    scored = basic(NNClassifier, **settings)
    scored.set_params(scoring=lambda estimator, X, y: seen.append(estimator.predict_proba(X)) or float(len(seen)))
    scored.fit(X, Y)
    assert seen[-1].shape == (held, 3)
    _, rows = split_rows(len(X), Y, 0.3, scored._seed)
    assert_allclose(seen[-1], scored.predict_proba(X[rows]), atol=1e-6)
    expected = -np.log(scored.predict_proba(X[rows])[np.arange(held), Y[rows]]).mean()
    assert scored.history_[-1]["valid_loss"] == pytest.approx(expected, rel=1e-4)
    assert len(clf.validation_scores_) == clf.n_iter_


def test_zero_weights_are_rows_removed():
    weight = np.ones(len(X))
    weight[::3] = 0
    kept = weight > 0
    one = basic(NNClassifier, **QUICK).fit(X, Y, sample_weight=weight)
    other = basic(NNClassifier, **QUICK).fit(X[kept], Y[kept])
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_layers_are_frozen_and_slowed_by_name_and_by_number():
    start = still(NNClassifier, X, Y).module_.state_dict()

    def moved(**settings):
        after = basic(NNClassifier, **STEP, **settings).fit(X, Y).module_.state_dict()
        return {name for name, value in after.items() if (value - start[name]).abs().max() > 1e-9}

    first = {"heads.r", "dense_0.weight", "dense_0.s", "dense_0.b"}
    assert moved(frozen_layers=1) == set(start) - first
    assert moved(frozen_layers=["dense_1.r", "output"]) == set(start) - {"dense_1.r", "output.weight", "output.bias"}
    assert moved(layer_rates={"*": 0.0, "dense_*.weight": 1.0}) == {"dense_0.weight", "dense_1.weight"}


def test_vectors_do_not_decay():
    plain, decayed = (
        basic(NNClassifier, **STEP, weight_decay=rate).fit(X, Y).module_.state_dict() for rate in (0.0, 0.1)
    )
    changed = {name for name, value in plain.items() if not torch.equal(value, decayed[name])}
    assert changed == {"dense_0.weight", "dense_1.weight", "output.weight"}


def test_training_goes_on_and_not_with_another_number_of_heads():
    clf = basic(NNClassifier, **QUICK, warm_start=True).fit(X, Y)
    before = clf.loss_curve_[-1]
    assert clf.partial_fit(X, Y).loss_curve_[-1] < 1.1 * before
    with pytest.raises(ValueError, match=r"Training cannot go on with n_heads=4 \(was 3\)"):
        clf.set_params(n_heads=4).fit(X, Y)
    mlp = basic(NNClassifier, **{**QUICK, "network": "mlp"}, warm_start=True).fit(X, Y)
    mlp.set_params(n_heads=4).fit(X, Y)


def test_n_heads_is_for_this_network_alone():
    scores = [
        basic(NNClassifier, **{**QUICK, "network": "mlp", "n_heads": n}).fit(X, Y).predict_proba(X) for n in (1, 7)
    ]
    assert_array_equal(*scores)
    with pytest.raises(InvalidParameterError, match=r"'hidden_layer_sizes' .* with network='tabm'.* Got \(\)"):
        basic(NNClassifier, **{**QUICK, "hidden_layer_sizes": ()}).fit(X, Y)


@pytest.mark.parametrize("name", ["lsuv", "data_dependent", "zero_output", "ntk"])
def test_initializers_that_look_at_the_network(name):
    clf = still(NNClassifier, X, Y, initializer=name, hidden_layer_sizes=(40, 30))
    hidden = clf.module_[:2](rows_of(clf, X))
    scores = each_head(clf, rows_of(clf, X))
    if name == "lsuv":
        assert hidden.var(unbiased=False).item() == pytest.approx(1, rel=1e-6)
        assert scores.var(unbiased=False).item() == pytest.approx(1, rel=1e-6)
    elif name == "data_dependent":
        assert_allclose(hidden.detach().var(0, unbiased=False), 1, rtol=1e-6)
        assert_allclose(scores.detach().var(1, unbiased=False), 1, rtol=1e-6)
        assert_allclose(scores.detach().mean(1), 0, atol=1e-9)
    elif name == "zero_output":
        assert scores.abs().max() < 1e-290
        assert (hidden != 0).any()
    else:
        weight = clf.module_.output.weight
        assert weight.std().item() == pytest.approx(1, rel=0.2)
        own = basic(
            NNClassifier, **{**STEP, "hidden_layer_sizes": (40, 30), "initializer": name, "label_smoothing": 0}
        ).fit(X, Y)
        loss = functional.cross_entropy(scores.flatten(0, 1), torch.from_numpy(Y).repeat(H))
        assert_weights(own, stepped(clf, loss))


@pytest.mark.parametrize("make", [NNClassifier, NNRegressor])
def test_weights_of_the_same_table_are_begun_from(make):
    data = WINE if make is NNClassifier else DIABETES
    source = basic(make, **QUICK).fit(*data)
    same = basic(make, **{**QUICK, **STILL}, initial_weights=source).fit(*data)
    assert_allclose(same._raw_scores(data[0]), source._raw_scores(data[0]), atol=1e-5)
    assert_allclose(same.module_.heads.r.detach(), source.module_.heads.r.detach(), rtol=1e-6)
    with pytest.raises(ValueError, match=r"same hidden_layer_sizes, n_heads, activation.* dense_0\.s of shape"):
        basic(make, **{**QUICK, "n_heads": 4}, initial_weights=source).fit(*data)
    with pytest.raises(ValueError, match=r"'initial_weights' parameter must be a network of the same"):
        basic(make, **{**QUICK, "network": "mlp"}, initial_weights=source).fit(*data)


@pytest.mark.parametrize("initializer", ["auto", "ntk"])
def test_weights_of_another_table_are_matched_by_column_and_class(initializer):
    """Columns in another order, of another scale, and new ones; no old class is lost, a new one is begun anew."""
    settings = {**QUICK, "precision": "float64", "initializer": initializer}
    frame = pd.DataFrame(X[:, :4], columns=list("abcd"))
    source = basic(NNClassifier, **settings, preprocessing=None).fit(frame, Y)
    wider = frame[list("dbca")].assign(new=np.arange(len(X)) % 7.0)
    labels = np.where(np.arange(len(X)) < 3, 5, Y)
    same = basic(NNClassifier, **{**settings, **STILL}, preprocessing=None, initial_weights=source).fit(wider, labels)
    old, now = source._raw_scores(frame), same._raw_scores(wider.assign(new=0.0))
    scores = [by_head(heads_of(own.module_)(torch.from_numpy(np.array(rows))), H).detach() for own, rows in (
        (source, frame), (same, wider)
    )]  # fmt: skip
    torch.testing.assert_close(scores[1][..., :3], scores[0], rtol=1e-9, atol=1e-9)
    assert old.shape[1] + 1 == now.shape[1]
    assert (same.module_.heads.r.detach().view(H, 5)[:, 4].abs() == 1).all()


def test_numbers_that_are_encoded_otherwise_begin_from_the_nearest():
    """Other rows, so other centres and scales: what heads add to their inputs goes into their biases."""
    settings = {**QUICK, "precision": "float64", "max_epochs": 40}
    source = basic(NNRegressor, **settings).fit(*DIABETES)
    half = DIABETES[0][:200], DIABETES[1][:200]
    same = basic(NNRegressor, **{**settings, **STILL}, initial_weights=source).fit(*half)
    fresh = basic(NNRegressor, **{**settings, **STILL}).fit(*half)
    expected = source.predict(half[0])
    assert np.corrcoef(same.predict(half[0]), expected)[0, 1] > 0.99
    assert np.abs(fresh.predict(half[0]) - expected).mean() > 10 * np.abs(same.predict(half[0]) - expected).mean()


def test_missing_numbers_begin_near_what_they_were():
    """Their mark stands for more than one old column, which heads scale otherwise: no error, and close."""
    rng = np.random.default_rng(0)
    table = X.copy()
    table[rng.random(table.shape) < 0.1] = np.nan
    settings = {**QUICK, "precision": "float64", "max_epochs": 30}
    source = basic(NNClassifier, **settings).fit(table, Y)
    same = basic(NNClassifier, **{**settings, **STILL}, initial_weights=source).fit(table[:150], Y[:150])
    assert np.abs(same.predict_proba(table) - source.predict_proba(table)).mean() < 0.05


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_half_precision_rounds_the_factors_of_every_product(precision):
    exact, rounded = (basic(NNClassifier, **{**QUICK, "precision": p}).fit(X, Y) for p in ("float32", precision))
    pairs = zip(exact.module_.parameters(), rounded.module_.parameters(), strict=True)
    assert (max(float((one - other).detach().abs().max()) for one, other in pairs) > 0) == (precision == "bf16")
    assert rounded.score(X, Y) > 0.9


def test_a_network_of_heads_is_better_than_chance_with_every_default():
    clf = basic(NNClassifier, network="tabm", max_epochs=10, random_state=0).fit(X, Y)
    assert clf.score(X, Y) > 0.95
    assert isinstance(clf.module_.output, nn.Linear)
    assert clf.module_.output.weight.shape == (32 * 3, 128)
