"""The engine against plain torch loops, scikit-learn's linear models and runs of its own cut short."""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from torch import nn
from torch.nn import functional as F

from sknnopt import activations, embeddings, initializers, losses, optimizers, regularization, schedules
from sknnopt._random import MemberRandom
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Progress, Techniques, Validation, train
from sknnopt.engine._member import FINAL_FLOOR, _factors
from sknnopt.engine.capacity import member_bytes
from sknnopt.nn import MLP, CustomNetwork, Inputs, TabM, load_member
from sknnopt.optimizers import Numbers

CPU = torch.device("cpu")
DOUBLE = torch.float64
N_ROWS, N_FEATURES, N_CLASSES = 60, 5, 3
FIELDS = [
    "epoch",
    "train_loss",
    "valid_loss",
    "valid_score",
    "learning_rate",
    "gradient_norm",
    "weight_norm",
    "seconds",
]
PLAIN = Techniques(
    loss=losses.get("cross_entropy", task="classification"),
    optimizer=optimizers.Adam(),
    learning_rate=0.02,
    weight_decay=0.0,
    schedule=schedules.Constant(),
    warmup=0.0,
    batch_size=16,
    max_epochs=5,
    initializer=initializers.get("xavier_uniform"),
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_table(task="classification", dtype=DOUBLE, n_rows=N_ROWS, weight=None, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_rows, N_FEATURES))
    scores = x @ rng.standard_normal((N_FEATURES, N_CLASSES)) + 0.3 * rng.standard_normal((n_rows, N_CLASSES))
    target = {
        "classification": torch.from_numpy(scores.argmax(1)),
        "multilabel": torch.from_numpy(scores > 0).to(dtype),
        "regression": torch.from_numpy(scores).to(dtype),
    }[task]
    return Table(torch.from_numpy(x).to(dtype), target, None if weight is None else torch.from_numpy(weight))


def make_job(
    *,
    rows=N_ROWS,
    seed=0,
    hidden=(8,),
    normalization=None,
    table=None,
    epochs=5,
    dtype=DOUBLE,
    activation="tanh",
    network=None,
    validation=None,
    progress=None,
    keep=False,
    observer=None,
    n_outputs=N_CLASSES,
    **techniques,
):
    """One member; what is not given is small and plain."""
    table = make_table(dtype=dtype) if table is None else table
    techniques = replace(PLAIN, **{"dropout": (0.0,) * len(hidden), **techniques})
    network = network or MLP(
        table.row_shape[0], hidden, n_outputs, activations.get(activation), normalization, techniques.dropout
    )
    return Job(
        network,
        table,
        np.arange(rows) if isinstance(rows, int) else rows,
        techniques,
        np.random.SeedSequence(seed),
        epochs,
        (CPU,),
        dtype,
        validation=validation,
        progress=progress,
        keep_progress=keep,
        observer=observer,
    )


def run(job):
    return train([job])[0]


def after(job, epochs):
    """The member's result had it been trained for so many epochs, without anything that stops it."""
    return run(replace(job, epochs=epochs, validation=None, observer=None))


def column(result, name):
    return [record[name] for record in result.history]


def named(job, result):
    parameters, buffers = (
        job.network.layout.single(result.parameters),
        job.network.buffers.single(result.buffers),
    )
    return {**parameters, **buffers}


def filled(job, result):
    """A plain module with a result's weights."""
    module = job.network.module()
    load_member(
        module,
        {name: value.clone() for name, value in job.network.layout.single(result.parameters).items()},
        {name: value.clone() for name, value in job.network.buffers.single(result.buffers).items()},
    )
    return module


def same_bits(a, b):
    return a.numpy().tobytes() == b.numpy().tobytes()


def assert_same(a, b):
    assert same_bits(a.parameters, b.parameters)
    assert same_bits(a.buffers, b.buffers)


# --------------------------------------------------------------------------------------------------
# A plain torch loop


def row_losses(techniques, scores, target):
    if target.ndim == 1:
        return F.cross_entropy(scores, target, reduction="none", label_smoothing=techniques.label_smoothing)
    if techniques.loss.link == "sigmoid":
        target = target * (1 - techniques.label_smoothing) + techniques.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(scores, target, reduction="none").sum(1)
    return (scores - target).square().mean(1)


def plain_loop(job):
    """Train the job as one would write it down with torch alone; return the module and its history."""
    t, table = job.techniques, job.table
    module = filled(job, after(job, 0)).train()
    weights = [p for p in module.parameters() if p.ndim == 2]
    if isinstance(t.optimizer, optimizers.SGD):
        optimizer = torch.optim.SGD(module.parameters(), momentum=t.optimizer.momentum)
    elif isinstance(t.optimizer, optimizers.Adagrad):
        optimizer = torch.optim.Adagrad(module.parameters(), lr_decay=t.optimizer.lr_decay)
    else:
        optimizer = torch.optim.Adam(module.parameters(), eps=t.optimizer.epsilon)
    stream, history, n = MemberRandom(np.random.SeedSequence(job.seed.entropy), CPU), [], len(job.rows)
    starts = range(0, n, t.batch_size)
    share = None if table.weight is None else table.weight / table.weight[job.rows].mean()
    strengths = {} if t.regularization is None else t.regularization.strengths()
    for epoch in range(job.epochs):
        order, total = job.rows[stream.permutation(n)], 0.0
        progress = (epoch + np.arange(len(starts)) / len(starts)) / t.max_epochs
        step = 1 / len(starts) / t.max_epochs
        rates = t.learning_rate * schedules.with_warmup(t.schedule, t.warmup, progress, step=step)
        for start, rate in zip(starts, rates, strict=True):
            batch = torch.from_numpy(order[start : start + t.batch_size])
            each = row_losses(t, module(table.inputs[batch]), table.target[batch])
            each = each if share is None else each * share[batch]
            total += float(each.detach().sum())
            optimizer.zero_grad()
            each.mean().backward()
            gradient_norm = math.sqrt(sum(float(p.grad.square().sum()) for p in module.parameters()))
            with torch.no_grad():
                for p in weights:
                    p.grad += strengths.get("l2", 0.0) * p
            if t.gradient_clipping is not None:
                nn.utils.clip_grad_norm_(module.parameters(), t.gradient_clipping)
            optimizer.param_groups[0]["lr"] = rate
            with torch.no_grad():
                for p in weights:
                    p *= 1 - rate * t.weight_decay
            optimizer.step()
            with torch.no_grad():
                for p in weights:
                    p.copy_(F.softshrink(p, rate * strengths["l1"]) if "l1" in strengths else p)
        weight_norm = math.sqrt(sum(float(p.detach().square().sum()) for p in module.parameters()))
        history.append(
            {
                "epoch": epoch + 1,
                "train_loss": total / n,
                "learning_rate": rates[-1],
                "gradient_norm": gradient_norm,
                "weight_norm": weight_norm,
            }
        )
    return module, history


def sample_weights():
    return np.random.default_rng(5).uniform(0.2, 4.0, N_ROWS)


# A bias before batch normalisation has a gradient of rounding errors, which a small epsilon would blow up.
ROBUST = {"epsilon": 1e-4}
OPTIONS = {
    "plain": {},
    "several layers": {"hidden": (8, 5, 6), "activation": "silu"},
    "no hidden layer": {"hidden": ()},
    "batch norm": {"hidden": (8, 5), "normalization": "batch", "optimizer": optimizers.Adam(**ROBUST)},
    "layer norm": {"hidden": (8, 5), "normalization": "layer"},
    "sgd": {"optimizer": optimizers.SGD(momentum=0.9), "learning_rate": 0.1},
    "adagrad": {"optimizer": optimizers.Adagrad(lr_decay=0.5), "learning_rate": 0.1},
    "clipping": {"optimizer": optimizers.SGD(), "gradient_clipping": 0.05, "learning_rate": 0.5},
    "weight decay": {"weight_decay": 0.3, "normalization": "batch", "optimizer": optimizers.Adam(**ROBUST)},
    "l1": {"regularization": regularization.L1(strength=0.2)},
    "l2": {"regularization": regularization.L2(strength=0.1), "normalization": "layer"},
    "elastic net": {"regularization": regularization.ElasticNet(strength=0.2), "gradient_clipping": 0.1},
    "label smoothing": {"label_smoothing": 0.2},
    "sample weights": {"table": make_table(weight=sample_weights())},
    "weights and batch norm": {
        "table": make_table(weight=sample_weights()),
        "normalization": "batch",
        "optimizer": optimizers.Adam(**ROBUST),
    },
    "warm-up and cosine": {"schedule": schedules.Cosine(), "warmup": 0.3},
    "full batch with warm-up": {"schedule": schedules.Linear(), "warmup": 0.5, "batch_size": N_ROWS},
    "batch larger than the rows": {
        "batch_size": 96,
        "normalization": "batch",
        "optimizer": optimizers.Adam(**ROBUST),
    },
    "regression": {"table": make_table("regression"), "loss": losses.get("squared_error", task="regression")},
    "multilabel": {
        "table": make_table("multilabel"),
        "loss": losses.get("cross_entropy", task="multilabel"),
        "label_smoothing": 0.1,
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_training_follows_a_plain_torch_loop(name):
    """Also for members of one cohort whose epochs have 4 and 3 batches: whoever has none left sits out."""
    jobs = [make_job(rows=rows, seed=seed, **OPTIONS[name]) for seed, rows in enumerate((50, 48, 60, 7))]
    for job, result in zip(jobs, train(jobs), strict=True):
        module, history = plain_loop(job)
        own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        for key, value in named(job, result).items():
            torch.testing.assert_close(value, own[key].detach(), rtol=1e-8, atol=1e-10, msg=key)
        for row, expected in zip(result.history, history, strict=True):
            assert {key: row[key] for key in expected} == pytest.approx(expected, rel=1e-8)


# --------------------------------------------------------------------------------------------------
# Early stopping


def withheld(table, rows=None, score=None, **options):
    rows = np.arange(len(table.target)) if rows is None else rows
    return Validation(table, rows, score, **{"stop": True, "patience": 3, "tolerance": 0.0, **options})


def overfitting(**options):
    """A member that soon gets worse on its withheld rows."""
    table = make_table(seed=1)
    other = replace(make_table(seed=2), target=torch.from_numpy(np.random.default_rng(3).integers(0, 3, N_ROWS)))
    settings = {"learning_rate": 0.05, "epochs": 40, "max_epochs": 40, "table": table, **options}
    return make_job(validation=withheld(other), **settings)


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("name", ["adam", "nesterov", "adagrad"])
def test_early_stopping_restores_the_best_epoch(name, normalization):
    optimizer = optimizers.get(name)
    job = overfitting(normalization=normalization, optimizer=optimizer, dropout=(0.2,), keep=True, seed=4)
    result = run(job)
    values = column(result, "valid_loss")
    assert len(values) < 40
    assert result.best_epoch == int(np.argmin(values)) < len(values) - 1
    cut = after(job, result.best_epoch + 1)
    assert_same(result, cut)
    assert not same_bits(result.parameters, after(job, len(values)).parameters)
    assert (result.progress.steps, result.progress.epochs) == (cut.progress.steps, cut.progress.epochs)
    assert result.progress.state.keys() == cut.progress.state.keys()
    for key, value in result.progress.state.items():
        assert same_bits(value, cut.progress.state[key])


def test_the_loss_of_the_withheld_rows_is_the_modules():
    weight = sample_weights()
    table, rows = make_table(seed=2, weight=weight), np.array([3, 1, 59, 20])
    for loss in (PLAIN.loss, losses.FunctionLoss(PLAIN.loss.__call__, link="softmax")):
        job = make_job(
            table=make_table(weight=weight), validation=withheld(table, rows), label_smoothing=0.0, loss=loss
        )
        result = run(job)
        scores = filled(job, result).eval()(table.inputs[rows])
        each = F.cross_entropy(scores, table.target[rows], reduction="none").detach().numpy()
        expected = np.average(each, weights=weight[rows])
        assert column(result, "valid_loss")[result.best_epoch] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n_withheld", [1, 511, 512, 513])
def test_a_scorer_sees_the_scores_of_the_withheld_rows(n_withheld):
    table, rows = make_table(n_rows=700, seed=6), np.random.default_rng(0).permutation(700)[:n_withheld]
    seen = []

    def score(output):
        seen.append(output.copy())
        return float(len(seen))

    job = make_job(validation=withheld(table, rows, score), normalization="batch", epochs=3)
    result = run(job)
    assert column(result, "valid_score") == [1.0, 2.0, 3.0]
    with torch.no_grad():
        expected = filled(job, result).eval()(table.inputs[rows]).T.numpy()
    assert seen[-1].shape == (N_CLASSES, n_withheld)
    np.testing.assert_allclose(seen[-1], expected, rtol=1e-9, atol=1e-12)


def scripted(values):
    remaining = iter(values)
    return lambda output: next(remaining)


def by_hand(values, patience, tolerance):
    """Epochs trained, and the best of them."""
    reference, waited = -math.inf, 0
    seen = []
    for value in values:
        seen.append(value)
        waited = 0 if value >= reference + tolerance else waited + 1
        reference = max(reference, value)
        if waited >= patience:
            break
    return len(seen), int(np.argmax(seen))


RISING = [1.0, 1.1, 1.15, 1.2, 1.25, 1.3, 1.35, 1.4]
SCRIPTS = {
    "stops after patience": ([1, 2, 1, 1, 1, 5], 3, 0.0, (5, 1)),
    "patience of one": ([1, 2, 1.5, 9], 1, 0.0, (3, 1)),
    "improvement resets": ([1, 0, 0, 2, 0, 0, 3, 0], 3, 0.0, (8, 6)),
    "small steps do not count but are kept": (RISING, 3, 0.2, (4, 3)),
    "steps of the tolerance count": ([1, 1.5, 2, 2.5, 3], 1, 0.5, (5, 4)),
    "the first of equals": ([1, 1, 1, 1], 9, 0.0, (4, 0)),
    "negative scores": ([-3, -2, -2.5, -2.6, -1], 2, 0.0, (4, 1)),
    "best at the start": ([5, 4, 3, 2, 1], 4, 0.0, (5, 0)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_patience_and_tolerance(name):
    values, patience, tolerance, expected = SCRIPTS[name]
    assert by_hand(values, patience, tolerance) == expected
    table = make_table()
    judge = withheld(table, score=scripted(values), patience=patience, tolerance=tolerance)
    job = make_job(validation=judge, epochs=len(values), max_epochs=len(values))
    result = run(job)
    assert (len(result.history), result.best_epoch) == expected
    assert column(result, "valid_score") == values[: len(result.history)]
    assert_same(result, after(job, result.best_epoch + 1))


def test_a_score_that_is_not_a_number_is_never_the_best():
    values = [math.nan, 0.5, math.nan, 0.4]
    judge = withheld(make_table(), score=scripted(values), patience=9)
    assert run(make_job(validation=judge, epochs=4)).best_epoch == 1


def test_without_stopping_figures_are_only_recorded():
    job = overfitting(epochs=12)
    result = run(replace(job, validation=replace(job.validation, stop=False, patience=1)))
    assert len(column(result, "valid_loss")) == 12
    assert result.best_epoch == 11
    assert_same(result, after(job, 12))


def test_withheld_rows_are_not_trained_on():
    table = make_table()
    rows, rest = np.arange(40), np.arange(40, N_ROWS)
    spoilt = replace(table, inputs=table.inputs.clone(), target=table.target.clone())
    spoilt.inputs[rest], spoilt.target[rest] = 1e3, 0
    options = {"rows": rows, "normalization": "batch", "epochs": 3}
    results = [run(make_job(table=t, validation=withheld(t, rest, stop=False), **options)) for t in (table, spoilt)]
    assert_same(*results)
    assert column(results[0], "valid_loss") != column(results[1], "valid_loss")


# --------------------------------------------------------------------------------------------------
# History


@pytest.mark.parametrize("judged", ["no", "loss", "score"])
def test_history_has_one_record_an_epoch(judged):
    table, score = make_table(), (lambda output: 1.0) if judged == "score" else None
    validation = None if judged == "no" else withheld(table, score=score, stop=False)
    job = make_job(validation=validation, epochs=4, max_epochs=4, schedule=schedules.Linear())
    result = run(job)
    absent = {"no": {"valid_loss", "valid_score"}, "loss": {"valid_score"}, "score": set()}[judged]
    assert [list(record) for record in result.history] == [[f for f in FIELDS if f not in absent]] * 4
    assert all(isinstance(v, int if k == "epoch" else float) for record in result.history for k, v in record.items())
    assert column(result, "epoch") == [1, 2, 3, 4]
    assert all(seconds > 0 for seconds in column(result, "seconds"))
    assert column(result, "weight_norm")[-1] == pytest.approx(float(result.parameters.norm()), rel=1e-12)
    assert column(result, "learning_rate") == pytest.approx([0.02 * (1 - (e + 0.75) / 4) for e in range(4)])


def test_a_result_has_memory_of_its_own():
    for result in train([make_job(seed=seed, keep=True, normalization="batch") for seed in range(4)]):
        tensors = [result.parameters, result.buffers, *result.progress.state.values()]
        assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("keep", [False, True])
def test_results_are_ordinary_tensors(keep):
    result = run(make_job(keep=keep, normalization="batch"))
    tensors = [result.parameters, result.buffers]
    if keep:
        tensors += [result.progress.parameters, result.progress.buffers, *result.progress.state.values()]
    for tensor in tensors:
        assert not tensor.is_inference()
        leaf = nn.Parameter(tensor)
        (leaf * leaf).sum().backward()
        assert same_bits(copy.deepcopy(tensor), tensor)
    assert not torch.is_inference_mode_enabled()


def test_scratch_is_not_kept():
    progress = run(make_job(optimizer=optimizers.NAdam(), keep=True)).progress
    assert progress.state.keys() == {"optimizer.mean", "optimizer.square"}


def test_nothing_to_train():
    assert train([]) == []
    result = run(make_job(epochs=0, normalization="batch"))
    assert (result.history, result.best_epoch, result.diverged) == ([], -1, None)


# --------------------------------------------------------------------------------------------------
# Members whose epochs have fewer batches


@pytest.mark.parametrize("name", optimizers.names())
def test_a_member_without_a_batch_sits_the_step_out(name):
    """Folds of 33 and 32 rows in batches of 8: five and four batches."""
    options = {
        "optimizer": optimizers.get(name),
        "batch_size": 8,
        "dropout": (0.3,),
        "normalization": "batch",
        "keep": True,
        "weight_decay": 0.1,
        "regularization": regularization.L1(strength=0.01),
    }
    jobs = [make_job(rows=rows, seed=seed, **options) for seed, rows in enumerate((32, 33, 32, 17))]
    results = train(jobs)
    assert [result.progress.steps for result in results] == [5 * 4, 5 * 5, 5 * 4, 5 * 3]
    for job, result in zip(jobs, results, strict=True):
        alone = run(job)
        assert_same(result, alone)
        assert repr(result.progress.random) == repr(alone.progress.random)
        for key, value in result.progress.state.items():
            assert same_bits(value, alone.progress.state[key])


def test_the_streams_of_a_member_that_sits_out_do_not_move():
    stream = MemberRandom(np.random.SeedSequence(0), CPU)
    jobs = [make_job(rows=rows, batch_size=8, dropout=(0.3,), keep=True, epochs=2) for rows in (32, 33)]
    progress = train(jobs)[0].progress
    bits = torch.zeros(8 * 8, dtype=torch.int16)
    for _ in range(2):
        stream.permutation(32)
        for _ in range(4):
            stream.fill_bits(bits)
    assert repr(progress.random) == repr(stream.state())


# --------------------------------------------------------------------------------------------------
# Clipping, decay, penalties, weights


def displacement(**options):
    """What one step of full-batch gradient descent with learning rate 1 does, by name."""
    settings = {
        "optimizer": optimizers.SGD(),
        "learning_rate": 1.0,
        "batch_size": N_ROWS,
        "epochs": 1,
        **options,
    }
    job = make_job(**settings)
    start = after(job, 0).parameters
    return job.network.layout.single(run(job).parameters - start), job.network.layout.single(start), run(job)


def length(values):
    return math.sqrt(sum(float(value.square().sum()) for value in values.values()))


@pytest.mark.parametrize("share", [0.5, 0.01])
def test_clipping_keeps_the_direction(share):
    free, _, result = displacement(normalization="batch")
    norm = length(free)
    clipped, _, same = displacement(normalization="batch", gradient_clipping=norm * share)
    assert column(result, "gradient_norm") == column(same, "gradient_norm") == [pytest.approx(norm)]
    for key, value in clipped.items():
        torch.testing.assert_close(value, free[key] * share, rtol=1e-4, atol=1e-12)


def test_clipping_leaves_small_gradients_alone():
    free, _, _ = displacement()
    clipped, _, _ = displacement(gradient_clipping=length(free) * 1.01)
    assert all(same_bits(value, clipped[key]) for key, value in free.items())


@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("option", ["weight_decay", "regularization"])
def test_decay_and_penalties_spare_biases_and_norms(normalization, option):
    value = {"weight_decay": 0.25, "regularization": regularization.L2(strength=0.25)}[option]
    without, start, _ = displacement(normalization=normalization)
    with_it, _, _ = displacement(normalization=normalization, **{option: value})
    for key, step in with_it.items():
        expected = without[key] - 0.25 * start[key] if start[key].ndim == 2 else without[key]
        torch.testing.assert_close(step, expected, rtol=1e-9, atol=1e-12, msg=key)


@pytest.mark.parametrize("name", optimizers.names())
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_l1_gives_exact_zeros(name, dtype):
    strong, optimizer = regularization.L1(strength=50.0), optimizers.get(name)
    if name == "prodigy":
        optimizer.set_params(d0=0.1)  # thresholds are in proportion to the distance it finds
    options = {
        "optimizer": optimizer,
        "normalization": "layer",
        "learning_rate": 0.05,
        "dtype": dtype,
    }
    values = named(job := make_job(regularization=strong, **options, keep=True), result := run(job))
    if options["optimizer"].averages:  # the average remembers what was; what it is an average of is zero
        points = result.progress.state.get("optimizer.z", result.progress.parameters)
        values |= {f"{key} now": value for key, value in job.network.layout.single(points).items() if value.ndim == 2}
        values = {key: value for key, value in values.items() if value.ndim == 1 or key.endswith("now")}
    assert not any(value.any() for value in values.values() if value.ndim == 2)
    assert values["output.bias"].all()
    assert values["norm_0.weight"].all()
    weak = make_job(regularization=regularization.L1(strength=1e-3), **options)
    assert named(weak, run(weak))["dense_0.weight"].any()


REFERENCES = {
    "none": (None, LinearRegression()),
    "l1": (regularization.L1(strength=0.4), Lasso(alpha=0.2, tol=1e-12)),
    "l2": (regularization.L2(strength=0.4), Ridge(alpha=0.2 * N_ROWS)),
    "elastic_net": (
        regularization.ElasticNet(strength=0.6, l1_ratio=0.8),
        ElasticNet(alpha=0.3, l1_ratio=0.8, tol=1e-12),
    ),
    "sum": (
        regularization.L1(strength=0.48) + regularization.L2(strength=0.12),
        ElasticNet(alpha=0.3, l1_ratio=0.8, tol=1e-12),
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_penalised_linear_models_are_those_of_scikit_learn(name):
    penalty, reference = REFERENCES[name]
    table = make_table("regression")
    table = replace(table, target=table.target[:, :1].contiguous())
    job = make_job(
        table=table,
        hidden=(),
        n_outputs=1,
        loss=losses.get("squared_error", task="regression"),
        optimizer=optimizers.SGD(),
        learning_rate=0.2,
        batch_size=N_ROWS,
        epochs=200,
        regularization=penalty,
    )
    values = named(job, run(job))
    reference.fit(table.inputs.numpy(), table.target[:, 0].numpy())
    np.testing.assert_allclose(values["output.weight"][0].numpy(), reference.coef_.ravel(), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(values["output.bias"].numpy(), reference.intercept_, rtol=1e-5)
    if name in ("l1", "elastic_net", "sum"):
        assert (reference.coef_ == 0).any()
        np.testing.assert_array_equal(values["output.weight"][0].numpy() == 0, reference.coef_ == 0)


def test_label_smoothing_reaches_its_optimum():
    """With one class in sight the smoothed loss is least at the smoothed probabilities."""
    table = replace(make_table(), target=torch.zeros(N_ROWS, dtype=torch.int64))
    job = make_job(table=table, hidden=(), label_smoothing=0.3, epochs=150, learning_rate=0.05, batch_size=N_ROWS)
    probabilities = filled(job, run(job))(table.inputs).softmax(1).mean(0)
    np.testing.assert_allclose(probabilities.detach().numpy(), [0.8, 0.1, 0.1], atol=1e-3)


def test_rows_of_no_weight_are_the_rows_removed():
    weight = sample_weights()
    weight[::3] = 0
    rows = np.flatnonzero(weight)
    whole, cut = make_table(weight=weight), make_table()
    index = torch.from_numpy(rows)
    cut = Table(cut.inputs[index], cut.target[index], torch.from_numpy(weight[rows]))
    for normalization in (None, "batch"):
        options = {"normalization": normalization, "dropout": (0.2,)}
        kept = run(make_job(table=whole, rows=rows, **options))
        assert_same(kept, run(make_job(table=cut, rows=len(rows), **options)))


@pytest.mark.parametrize("name", ["adam", "momentum"])
@pytest.mark.parametrize("normalization", [None, "layer"])
def test_whole_weights_are_repetitions(name, normalization):
    counts = np.random.default_rng(0).integers(1, 5, N_ROWS)
    once = make_table(weight=counts.astype(float), dtype=torch.float32)
    index = torch.from_numpy(np.repeat(np.arange(N_ROWS), counts))
    repeated = Table(once.inputs[index], once.target[index])
    options = {"optimizer": optimizers.get(name), "dtype": torch.float32, "normalization": normalization}
    weighted = run(make_job(table=once, batch_size=N_ROWS, **options))
    plain = run(make_job(table=repeated, rows=len(index), batch_size=len(index), **options))
    torch.testing.assert_close(weighted.parameters, plain.parameters, rtol=1e-4, atol=1e-5)
    assert column(weighted, "train_loss") == pytest.approx(column(plain, "train_loss"), rel=1e-4)


def test_the_scale_of_weights_does_not_matter():
    weight = sample_weights()
    results = [run(make_job(table=make_table(weight=weight * scale), normalization="batch")) for scale in (1.0, 1024.0)]
    assert_same(*results)


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_rows_are_dense_rows(weighted):
    dense = make_table(weight=sample_weights() if weighted else None)
    sparse = replace(dense, inputs=scipy.sparse.csr_matrix(dense.inputs.numpy()))
    judged = [make_job(table=table, validation=withheld(table, np.arange(7))) for table in (dense, sparse)]
    assert_same(*map(run, judged))


# --------------------------------------------------------------------------------------------------
# Divergence


def exploding(**options):
    table = replace(make_table("regression"), target=make_table("regression").target[:, :1].contiguous())
    settings = {
        "loss": losses.get("squared_error", task="regression"),
        "optimizer": optimizers.SGD(),
        "n_outputs": 1,
    }
    return make_job(table=table, activation="relu", dtype=DOUBLE, **{**settings, **options})


@pytest.mark.parametrize("rate", [1e6, 1e300])
def test_divergence_is_reported_and_takes_nobody_down(rate):
    calm = [exploding(seed=seed, learning_rate=0.01) for seed in (0, 1)]
    wild = exploding(seed=2, learning_rate=rate, epochs=30)
    first, gone, second = train([calm[0], wild, calm[1]])
    for job, result in zip(calm, (first, second), strict=True):
        assert result.diverged is None
        assert_same(result, run(job))
        assert len(result.history) == 5
    assert gone.diverged == len(gone.history) < 30
    assert gone.best_epoch == gone.diverged - 2
    assert gone.parameters.isfinite().all()
    assert_same(gone, after(wild, gone.best_epoch + 1))


def test_a_member_that_diverges_at_once_has_its_first_weights():
    job = exploding(learning_rate=1e300)
    result = run(job)
    assert (result.diverged, result.best_epoch) == (1, -1)
    assert_same(result, after(job, 0))


# --------------------------------------------------------------------------------------------------
# Schedules and continuation


def test_plateaus_are_each_members_own():
    plateau = schedules.Plateau(patience=1, factor=0.5, threshold=0.01)
    table = make_table()
    judged = {"validation": withheld(make_table(seed=9), stop=False)}
    jobs = [
        make_job(seed=seed, learning_rate=rate, schedule=plateau, epochs=12, table=table, **options)
        for seed, (rate, options) in enumerate([(0.5, {}), (1e-6, {}), (0.05, judged), (1e-6, judged)])
    ]
    for job, result in zip(jobs, train(jobs), strict=True):
        watched = column(result, "valid_loss" if job.validation else "train_loss")
        parameter = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=job.techniques.learning_rate)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0.01)
        for rate, value in zip(column(result, "learning_rate"), watched, strict=True):
            assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
            scheduler.step(value)
    assert column(run(jobs[1]), "learning_rate")[-1] < 1e-6 / 10


def in_two_calls(job, first, then):
    """Two calls of the engine, the second going on where the first ended."""
    start = run(replace(job, epochs=first, keep_progress=True))
    second = replace(job, epochs=then, keep_progress=True, progress=start.progress)
    return start, second


@pytest.mark.parametrize("name", schedules.names())
def test_two_epochs_then_three_are_five(name):
    options = {"dropout": (0.3,), "normalization": "batch", "schedule": schedules.get(name), "warmup": 0.2}
    assert_continues(make_job(dtype=torch.float32, **options))


@pytest.mark.parametrize("name", optimizers.names())
def test_every_optimizer_goes_on(name):
    assert_continues(make_job(optimizer=optimizers.get(name), weight_decay=0.1, gradient_clipping=1.0))


def assert_continues(job):
    whole = run(replace(job, keep_progress=True))
    first, second = in_two_calls(job, 2, 3)
    result = run(second)
    assert_same(result, whole)
    assert (result.progress.steps, result.progress.epochs) == (whole.progress.steps, whole.progress.epochs)
    assert repr(result.progress.random) == repr(whole.progress.random)
    for key, value in result.progress.state.items():
        assert same_bits(value, whole.progress.state[key])
    for key in ("epoch", "train_loss", "learning_rate", "weight_norm"):
        assert column(first, key) + column(result, key) == column(whole, key)


def test_progress_can_be_gone_on_from_twice():
    plateau = schedules.Plateau(patience=0, threshold=0.5)
    job = make_job(schedule=plateau, dropout=(0.3,), epochs=7)
    _, second = in_two_calls(job, 3, 4)
    state = repr(second.progress)
    once, twice = run(second), run(second)
    assert_same(once, twice)
    assert column(once, "learning_rate") == column(twice, "learning_rate")
    assert repr(second.progress) == state


def test_a_job_can_be_trained_twice():
    job = make_job(dropout=(0.3,), validation=withheld(make_table(seed=2)))
    assert_same(run(job), run(job))
    assert job.seed.n_children_spawned == 0


def test_weights_alone_can_be_gone_on_from():
    """As after loading: what the optimizer had is gone, schedules begin anew."""
    job = make_job(optimizer=optimizers.SGD(), batch_size=N_ROWS)
    first = run(job)
    again = replace(job, progress=Progress(first.parameters, first.buffers))
    torch.testing.assert_close(run(again).parameters, after(job, 10).parameters, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", [schedules.Linear(), schedules.CosLog(), schedules.FlatCosine()])
def test_beyond_the_last_epoch_the_rate_keeps_a_floor(schedule):
    job = make_job(schedule=schedule, epochs=5)
    _, second = in_two_calls(job, 5, 2)
    assert column(run(second), "learning_rate") == pytest.approx([0.02 * 0.01] * 2)


def test_another_schedule_forgets_the_plateau():
    job = make_job(schedule=schedules.Plateau(patience=0, threshold=0.9), epochs=5)
    _, second = in_two_calls(job, 4, 1)
    steady = replace(second, techniques=replace(job.techniques, schedule=schedules.Constant()))
    assert column(run(steady), "learning_rate") == [0.02]


# --------------------------------------------------------------------------------------------------
# Observers


@dataclass
class Recorder:
    """Writes down what it is told, and does as it is asked."""

    name: str = ""
    log: list[Any] | None = None
    stop_at: int | None = None
    fail_in: str = ""
    error: type[BaseException] = RuntimeError

    def __post_init__(self):
        self.log = [] if self.log is None else self.log
        self.weights, self.outputs, self.epoch = [], [], 0

    def _note(self, event):
        self.log.append((self.name, event))
        if event == self.fail_in:
            raise self.error("as asked")

    def train_begin(self, module, judged):
        self.module = module
        self._note("train_begin")

    def epoch_begin(self):
        self.epoch += 1
        self._note(f"epoch_begin {self.epoch}")

    def epoch_end(self, record, output):
        self.weights.append({name: value.detach().clone() for name, value in self.module.state_dict().items()})
        self.outputs.append(output)
        assert record["epoch"] == self.epoch
        self._note(f"epoch_end {self.epoch}")
        return self.stop_at == self.epoch

    def train_end(self):
        self._note("train_end")


def events(log, name):
    return [event for who, event in log if who == name]


def in_order(epochs):
    return [
        "train_begin",
        *(f"epoch_{edge} {e}" for e in range(1, epochs + 1) for edge in ("begin", "end")),
        "train_end",
    ]


def test_observers_are_called_in_order_and_stop_their_member():
    log = []
    jobs = [
        make_job(seed=0, observer=Recorder("a", log)),
        make_job(seed=1, observer=Recorder("b", log, stop_at=2)),
        make_job(seed=2, epochs=3, observer=Recorder("c", log)),
        make_job(seed=3),
    ]
    results = train(jobs)
    assert [len(result.history) for result in results] == [5, 2, 3, 5]
    for name, epochs in (("a", 5), ("b", 2), ("c", 3)):
        assert events(log, name) == in_order(epochs)
    first = [entry for entry in log if entry[1].startswith("epoch") and entry[1].endswith(" 1")]
    assert [event for _, event in first] == ["epoch_begin 1"] * 3 + ["epoch_end 1"] * 3
    for job, result in zip(jobs, results, strict=True):
        assert_same(result, after(job, len(result.history)))


@pytest.mark.parametrize("custom", [False, True])
def test_observers_see_live_weights_also_after_others_have_left(custom):
    def build():
        recorders = [Recorder(), Recorder(stop_at=1), Recorder()]
        return [make_job(seed=s, normalization="batch", observer=o) for s, o in enumerate(recorders)]

    jobs = [with_module(job) for job in build()] if custom else build()
    train(jobs)
    for i in (0, 2):
        assert len(jobs[i].observer.weights) == 5
        for epoch, weights in enumerate(jobs[i].observer.weights):
            job = build()[i]
            job = with_module(job) if custom else job
            for key, value in named(job, after(job, epoch + 1)).items():
                assert same_bits(value, weights[key]), key


def test_observers_get_the_scores_of_the_withheld_rows():
    table = make_table(seed=3)
    job = make_job(validation=withheld(table, np.arange(9), stop=False), observer=Recorder(), normalization="layer")
    result = run(job)
    with torch.no_grad():
        expected = filled(job, result)(table.inputs[:9]).T
    np.testing.assert_allclose(job.observer.outputs[-1], expected.numpy(), rtol=1e-9)
    without = make_job(observer=Recorder())
    run(without)
    assert without.observer.outputs == [None] * 5


@pytest.mark.parametrize("stops", [False, True])
def test_weights_that_an_observer_sets_are_kept_unless_the_best_are_restored(stops):
    class Zeroing(Recorder):
        def epoch_end(self, record, output):
            with torch.no_grad():
                self.module.output.bias.fill_(7.0)
            return False

    observer = Zeroing()
    judge = withheld(make_table(), score=scripted([2.0, 1.0, 0.0]), stop=stops)
    job = make_job(epochs=3, validation=judge, observer=observer)
    result = run(job)
    kept = bool((named(job, result)["output.bias"] == 7.0).all())
    assert kept is not stops


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("event", ["train_begin", "epoch_begin 2", "epoch_end 2"])
def test_an_exception_in_an_observer_propagates(event, error, count):
    log, threads = [], torch.get_num_threads()
    observers = [Recorder("a", log), Recorder("b", log, fail_in=event, error=error), Recorder("c", log)]
    try:
        torch.set_num_threads(count)
        with pytest.raises(error, match="as asked"):
            train([make_job(seed=seed, observer=observer) for seed, observer in enumerate(observers)])
        assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    for name in "abc":
        seen = events(log, name)
        assert seen.count("train_end") == seen.count("train_begin")
        assert not seen or seen[-1] == "train_end"


# --------------------------------------------------------------------------------------------------
# Modules of the user's own


def with_module(job, **options):
    """The same member, its network a plain module with the same first weights."""
    module = filled(job, after(job, 0))
    techniques = replace(job.techniques, initializer=None, dropout=())
    return replace(job, network=CustomNetwork(module, job.network.n_outputs), techniques=techniques, **options)


def assert_module_follows(job):
    stacked, custom = run(job), with_module(job)
    before = named(job, after(job, 0))
    result = run(custom)
    own = named(custom, result)
    for key, value in named(job, stacked).items():
        torch.testing.assert_close(own[key], value, rtol=1e-7, atol=1e-9, msg=key)
    assert result.best_epoch == stacked.best_epoch
    for name in set(stacked.history[0]) - {"seconds"}:
        assert column(result, name) == pytest.approx(column(stacked, name), rel=1e-7), name
    assert any(not same_bits(value, before[key]) for key, value in own.items())


# What goes by the sign of a gradient takes rounding errors for whole steps: not beside batch normalisation.
SIGNS = ["lion", "rprop", "cautious_adamw"]


@pytest.mark.parametrize(
    ("name", "normalization"),
    [(n, kind) for n in optimizers.names() for kind in (None, "batch", "layer") if (n not in SIGNS or kind != "batch")],
)
def test_a_module_trains_with_every_optimizer(name, normalization):
    if normalization == "batch" and name in {"lion", "rprop", "cautious_adamw"}:
        pytest.skip("it goes by signs, and biases before batch normalisation have gradients of rounding errors alone")
    if name == "soap":
        pytest.skip("the eigenvectors of few rows' gradients, not of full rank, hang on rounding")
    optimizer = optimizers.get(name)
    if normalization == "batch" and "epsilon" in optimizer.get_params():
        optimizer.set_params(**ROBUST)
    assert_module_follows(make_job(rows=45, optimizer=optimizer, normalization=normalization))


@pytest.mark.parametrize("name", schedules.names())
def test_a_module_trains_with_every_schedule(name):
    assert_module_follows(make_job(schedule=schedules.get(name), warmup=0.2))


@pytest.mark.parametrize("name", regularization.names())
def test_a_module_trains_with_every_penalty(name):
    penalty = regularization.REGISTRY[name]()
    if penalty.depth_rate > 0:
        pytest.skip("for residual networks alone")
    if "strength" in penalty.get_params():
        penalty.set_params(strength=0.05)
    full = {"rows": 48, "batch_size": 16}  # a batch with padding draws noise for it
    assert_module_follows(make_job(regularization=penalty, weight_decay=0.1, gradient_clipping=0.2, **full))


@pytest.mark.parametrize("rule", ["loss", "score", "never"])
def test_a_module_trains_with_every_stopping_rule(rule):
    job = overfitting(normalization="batch")
    if rule == "score":
        judge = withheld(job.validation.table, score=lambda output: -float(np.abs(output).mean()), patience=2)
        job = replace(job, validation=judge)
    elif rule == "never":
        job = replace(job, epochs=6, validation=replace(job.validation, stop=False))
    assert_module_follows(job)


def test_a_module_trains_with_weights_and_smoothing():
    assert_module_follows(make_job(table=make_table(weight=sample_weights()), label_smoothing=0.1, rows=37))


@pytest.mark.parametrize("rows", [1, 16, 17, 33, 34])
def test_a_last_batch_of_one_row_joins_the_one_before(rows):
    """Batch normalisation could not be had of one row alone."""
    module = nn.Sequential(
        nn.Linear(N_FEATURES, 4), nn.BatchNorm1d(4) if rows > 1 else nn.ReLU(), nn.Linear(4, N_CLASSES)
    )
    job = make_job(rows=rows, network=CustomNetwork(module.double(), N_CLASSES), keep=True, epochs=2, initializer=None)
    result = run(job)
    assert result.progress.steps == 2 * {1: 1, 16: 1, 17: 1, 33: 2, 34: 3}[rows]
    assert result.diverged is None


def test_modules_do_not_share_a_cohort():
    def jobs():
        return [with_module(make_job(seed=seed)) for seed in range(3)]

    for i, result in enumerate(train(jobs())):
        assert_same(result, run(jobs()[i]))


def test_a_module_goes_on():
    job = make_job(normalization="batch")
    whole = run(with_module(job))
    first = run(with_module(job, epochs=2, keep_progress=True))
    second = with_module(job, epochs=3, progress=first.progress)
    load_member(second.network._module, {}, job.network.buffers.single(first.buffers))
    assert_same(run(second), whole)


def test_a_convolutional_network_learns_digits():
    x, y = load_digits(return_X_y=True)
    images = torch.from_numpy((x / 16).astype(np.float32)).view(-1, 1, 8, 8)[:400]
    table = Table(images, torch.from_numpy(y[:400]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(8 * 9, 10),
        )
    held_out = withheld(table, np.arange(320, 400), lambda output: float((output.argmax(0) == y[320:400]).mean()))
    job = make_job(
        table=table,
        rows=320,
        network=CustomNetwork(module, 10),
        dtype=torch.float32,
        epochs=10,
        learning_rate=0.01,
        validation=held_out,
        initializer=None,
    )
    result = run(job)
    assert max(column(result, "valid_score")) > 0.85
    assert result.buffers.shape == (job.network.buffers.size,)


@pytest.mark.parametrize("seen", [0, 2, 3, 5])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", schedules.names())
def test_factors_that_members_share_are_those_of_their_own(name, warmup, seen):
    own = _factors(schedules.get(name), warmup, 3, 7, seen)
    progress = (seen + np.arange(7) / 7) / 3
    expected = schedules.with_warmup(schedules.get(name), warmup, np.minimum(progress, 1.0), step=1 / 21)
    assert own.tolist() == np.where(progress >= 1.0, np.maximum(expected, FINAL_FLOOR), expected).tolist()


def test_numbers_in_common_stay_known_when_members_sit_steps_out():
    values = [("epsilon", torch.tensor([[1.0], [1.0], [1.0]])), ("step", torch.tensor([[1.0], [2.0], [3.0]]))]
    numbers = Numbers(values)
    numbers.shared, numbers.step = {"epsilon": [1.0, 1.0]}, 1
    part = numbers.first(2)
    assert {name: value[:, 0].tolist() for name, value in part.items()} == {"epsilon": [1.0, 1.0], "step": [1.0, 2.0]}
    assert (part.shared, part.step) == (numbers.shared, 1)


@pytest.mark.parametrize("embedding", [embeddings.PiecewiseLinear(n_bins=30), embeddings.Periodic(n_frequencies=30)])
def test_the_memory_of_a_member_counts_what_columns_become(embedding):
    inputs = Inputs(N_FEATURES, embedding)
    network = MLP(N_FEATURES, (8,), N_CLASSES, activations.get("tanh"), None, (0.0,), inputs=inputs)
    plain, embedded = (
        [member_bytes(make_job(batch_size=rows, network=one)) / DOUBLE.itemsize for rows in (500, 400)]
        for one in (None, network)
    )
    more = (embedded[0] - embedded[1] - plain[0] + plain[1]) / 100
    numbers = N_FEATURES * (embedding.n_features + embedding.width)
    assert 2 * numbers <= more <= 8 * numbers


@pytest.mark.parametrize("heads", [1, 5])
def test_heads_share_the_rows_that_are_embedded(heads):
    """What embedding adds is there once; the heads' inputs are so much wider."""
    embedding = embeddings.PiecewiseLinear(n_bins=30, embedding_size=4)
    plain, embedded = (
        TabM(3, (8,), 2, activations.get("tanh"), None, (0.0,), inputs=inputs, n_heads=heads)
        for inputs in (None, Inputs(3, embedding))
    )
    assert embedded.multiply_adds - plain.multiply_adds == 3 * (4 * 30 + 4) + heads * 8 * (12 - 3)
    assert embedded.row_size - plain.row_size == 3 * (30 + 4 + 1) + heads * (12 - 3)


@pytest.mark.parametrize(("name", "least", "most"), [("sgd", 0, 0), ("adam", 2, 4), ("lbfgs", 20, 30)])
def test_the_memory_of_a_member_counts_what_its_optimizer_carries(name, least, most):
    job = make_job(optimizer=optimizers.get(name))
    plain = make_job(optimizer=optimizers.get("sgd"))
    extra = (member_bytes(job) - member_bytes(plain)) / (job.network.layout.size * job.dtype.itemsize)
    assert least <= extra <= most
