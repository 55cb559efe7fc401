"""What a member learns is its own, whoever trains beside it, and training leaves no trace."""

import random
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from torch import nn

from sknnopt import activations, averaging, embeddings, initializers, losses, optimizers, regularization, schedules
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Techniques, Validation, train
from sknnopt.engine._member import Member
from sknnopt.estimators._parameters import NETWORKS
from sknnopt.nn import CustomNetwork, Inputs

pytestmark = pytest.mark.usefixtures("whole")

CPU = torch.device("cpu")
ACTIVATIONS = sorted({repr(activations.get(name)): name for name in activations.names()}.values())
DTYPES = {"float32": torch.float32, "float64": torch.float64}
LOSSES = {task: losses.names(task) for task in ("classification", "multilabel", "regression")}
LOSSES["regression"] = [*LOSSES["regression"], losses.Quantile(quantile=[0.1, 0.5, 0.9])]
OPTIMIZERS = {name: optimizers.REGISTRY[name] for name in optimizers.names()} | {
    "sgd_dampened": partial(optimizers.SGD, momentum=0.9, dampening=0.5),
    "adam_amsgrad": partial(optimizers.Adam, amsgrad=True),
    "rmsprop_centered": partial(optimizers.RMSprop, centered=True, momentum=0.9),
    "asgd_late": partial(optimizers.ASGD, t0=5.0),
    "ademamix_warmed_up": partial(optimizers.AdEMAMix, warmup_steps=10),
    "prodigy_limited": partial(optimizers.Prodigy, growth_rate=2.0, bias_correction=True),
}
PENALTIES = {name: regularization.REGISTRY[name] for name in regularization.names()} | {
    "sum": lambda: regularization.L1() + regularization.L2(),
    "sum_of_three": lambda: regularization.GroupLasso() + regularization.DropConnect() + regularization.MaxNorm(),
    "sum_of_noise": lambda: (
        regularization.InputNoise() + regularization.WeightNoise(relative=True) + regularization.GradientNoise()
    ),
    "sum_of_matrices": lambda: (
        regularization.SpectralNorm()
        + regularization.Orthogonality()
        + regularization.GroupLasso(groups="units")
        + regularization.GradientCentralization()
    ),
}
AVERAGING = {name for name, make in OPTIMIZERS.items() if make().averages}
INITIALIZERS = sorted(set(initializers.names()) - {"zeros", "constant"})
EMBEDDINGS = {name: embeddings.REGISTRY[name] for name in embeddings.names()} | {
    "pbld": partial(embeddings.Periodic, phases=True, dense=True, activation=None),
}
SIZES = {"embedding_size": 6, "n_bins": 12, "n_frequencies": 9}
NUMBERS = {
    "frequency_scale": (0.05, 2.0),
    "momentum": (0.1, 0.95),
    "dampening": (0.1, 0.9),
    "beta_1": (0.0, 0.95),
    "beta_2": (0.8, 0.9999),
    "epsilon": (1e-9, 1e-3),
    "alpha": (0.5, 0.999),
    "rho": (0.5, 0.99),
    "lr_decay": (0.0, 0.1),
    "momentum_decay": (1e-3, 0.1),
    "strength": (1e-5, 1e-2),
    "l1_ratio": (0.1, 0.9),
    "delta": (0.5, 2.0),
    "decay": (0.5, 0.99),
    "start": (0.1, 0.9),
    "limit": (0.3, 3.0),
    "std": (0.01, 0.3),
    "rate": (0.05, 0.5),
    "eta": (1e-3, 0.1),
    "gamma": (0.1, 1.0),
    "beta_3": (0.9, 0.9999),
    "eta_minus": (0.2, 0.9),
    "eta_plus": (1.05, 1.5),
    "smallest": (1e-5, 1e-2),
    "largest": (2.0, 100.0),
    "lambd": (1e-5, 1e-2),
    "d0": (1e-6, 1e-3),
    "d_coef": (0.5, 2.0),
    "growth_rate": (1.01, 3.0),
}


def varied(technique, rng):
    """The same technique with other numbers, where zero keeps its meaning."""
    for name, value in technique.get_params(deep=True).items():
        leaf = name.rpartition("__")[2]
        if leaf in NUMBERS and (value or leaf == "lr_decay"):
            technique.set_params(**{name: float(rng.uniform(*NUMBERS[leaf]))})
    return technique


def draw_shared(rng, **fixed):
    """What every member of a cohort has in common."""
    layers = int(rng.integers(0, 4))
    hidden = tuple(int(n) for n in rng.integers(1, 140 if rng.random() < 0.3 else 40, layers))
    task = fixed.get("task") or str(rng.choice(["classification", "classification", "multilabel", "regression"]))
    shared = {
        "task": task,
        "n_features": int(rng.integers(1, 60)),
        "hidden": hidden,
        "n_outputs": int(rng.integers(2, 12)) if task == "classification" else int(rng.integers(1, 5)),
        "activation": str(rng.choice(activations.names())),
        "normalization": [None, "batch", "layer"][rng.integers(3)],
        "drops": rng.random(len(hidden)) < rng.choice([0.0, 0.7]),
        "batch_size": int(rng.choice([7, 16, 32, 33, 50, 100])),
        "optimizer": str(rng.choice(list(OPTIMIZERS))),
        "loss": LOSSES[task][rng.integers(len(LOSSES[task]))],
        "penalty": [None, *PENALTIES][rng.integers(len(PENALTIES) + 1)],
        "decays": bool(rng.random() < 0.5),
        "clips": bool(rng.random() < 0.5),
        "smooths": bool(rng.random() < 0.5) and task != "regression",
        "weighted": bool(rng.random() < 0.4),
        "sparse": bool(rng.random() < 0.15),
        "dtype": DTYPES[str(rng.choice(list(DTYPES)))],
        "stops": bool(rng.random() < 0.5),
        "averaging": [None, *averaging.names()][rng.integers(len(averaging.names()) + 1)],
        "mixes": bool(rng.random() < 0.2),
        "layered": bool(rng.random() < 0.2),
        "decay_schedule": bool(rng.random() < 0.2),
        "scaled": bool(rng.random() < 0.2),
        "dropout_schedule": bool(rng.random() < 0.2),
        "network": str(rng.choice(list(NETWORKS))),
        "n_heads": int(rng.integers(1, 9)),
        "embeds": bool(rng.random() < 0.3),
    }
    shared |= fixed
    if "inputs" not in shared:
        embeds = shared["embeds"] and not fixed.get("sparse")
        shared["inputs"] = draw_inputs(rng, shared["n_features"]) if embeds else None
    if shared["inputs"] is not None:
        shared["sparse"] = False
    if shared["optimizer"] in AVERAGING:
        shared["averaging"] = None
    shared["smooths"] &= losses.get(shared["loss"], task=shared["task"]).smooths
    shared["drops"] = shared["drops"][: len(shared["hidden"])]
    return shared


def draw_inputs(rng, n_features, name=None):
    """How columns are embedded: numbers, then some categories among other columns."""
    embedding = EMBEDDINGS[name or str(rng.choice(list(EMBEDDINGS)))]()
    sizes = {key: int(rng.integers(1, most)) for key, most in SIZES.items() if hasattr(embedding, key)}
    numbers = n_features if name else int(rng.integers(0, n_features + 1))
    categories, start = [], numbers
    while start < n_features:
        start += int(rng.integers(0, 3))
        levels = int(rng.integers(1, 12))
        if start + levels <= n_features:
            categories.append((start, levels, int(rng.integers(1, 6))))
        start += levels
    numeric = embedding.set_params(**sizes) if name or rng.random() < 0.7 else None
    found = Inputs(numbers, numeric, tuple(categories), bool(rng.random() < 0.5))
    return found if found.embeds or found.scale else None


def own_start(rng, inputs):
    """The same with other numbers, where these matter only at the start."""
    if inputs is None or inputs.embedding is None:
        return inputs
    embedding = clone(inputs.embedding)
    if "bins" in embedding.of_start:
        embedding.set_params(bins=str(rng.choice(["quantile", "target"])))
    return replace(inputs, embedding=varied(embedding, rng))


def draw_table(rng, shared, n_rows=140):
    dtype, outputs = shared["dtype"], shared["n_outputs"]
    x = torch.from_numpy(rng.standard_normal((n_rows, shared["n_features"]))).to(dtype)
    if shared["sparse"]:
        x = scipy.sparse.csr_matrix(x.numpy() * (rng.random(x.shape) < 0.3))
    if shared["task"] == "classification":
        target = torch.from_numpy(rng.integers(0, outputs, n_rows))
    elif shared["task"] == "multilabel":
        target = torch.from_numpy(rng.integers(0, 2, (n_rows, outputs))).to(dtype)
    else:
        target = torch.from_numpy(rng.poisson(1.5, (n_rows, outputs))).to(dtype)
    weight = torch.from_numpy(rng.uniform(0.1, 3, n_rows)) if shared["weighted"] else None
    return Table(x, target, weight)


def draw_techniques(rng, shared):
    penalty = shared["penalty"] and varied(PENALTIES[shared["penalty"]](), rng)
    optimizer = varied(OPTIMIZERS[shared["optimizer"]](), rng)
    return Techniques(
        loss=losses.get(shared["loss"], task=shared["task"]),
        optimizer=optimizer,
        learning_rate=float(optimizer.default_learning_rate * rng.uniform(0.3, 3)),
        weight_decay=float(rng.uniform(1e-4, 0.1)) if shared["decays"] else 0.0,
        schedule=schedules.get(str(rng.choice(schedules.names()))),
        warmup=float(rng.choice([0.0, 0.3])),
        batch_size=shared["batch_size"],
        max_epochs=int(rng.integers(3, 7)),
        initializer=initializers.get(str(rng.choice(INITIALIZERS))),
        regularization=penalty,
        gradient_clipping=float(rng.uniform(0.1, 2)) if shared["clips"] else None,
        dropout=tuple(float(rng.uniform(0.05, 0.7)) if drops else 0.0 for drops in shared["drops"]),
        label_smoothing=float(rng.uniform(0.01, 0.4)) if shared["smooths"] else 0.0,
        weight_averaging=shared["averaging"] and varied(averaging.REGISTRY[shared["averaging"]](), rng),
        decay_schedule=schedules.Linear() if shared["decay_schedule"] else None,
        dropout_schedule=schedules.Polynomial(power=float(rng.uniform(0.5, 3))) if shared["dropout_schedule"] else None,
        mixup=float(rng.uniform(0.1, 2)) if shared["mixes"] else 0.0,
        layer_rates=(("output.weight", float(rng.choice([0.0, 0.5, 1.0, 6.0]))),) if shared["layered"] else (),
    )


def draw_job(rng, shared, table):
    """One member: its own numbers, rows and seed."""
    techniques = draw_techniques(rng, shared)
    kind = shared["network"] if shared["hidden"] else "mlp"
    network = NETWORKS[kind](
        shared["n_features"],
        shared["hidden"],
        techniques.loss.n_scores(shared["n_outputs"]),
        activations.get(shared["activation"]),
        shared["normalization"],
        techniques.dropout,
        scaled=shared["scaled"],
        inputs=own_start(rng, shared["inputs"]),
        **({"n_heads": shared["n_heads"], "link": techniques.loss.link} if kind == "tabm" else {}),
    )
    own = table if rng.random() < 0.7 else draw_table(rng, shared)
    order = rng.permutation(len(own.target))
    n_rows = int(rng.integers(3, 120)) if rng.random() < 0.7 else 100 + int(rng.integers(2))
    validation = None
    if shared["stops"] and rng.random() < 0.9:
        judge = None if rng.random() < 0.7 else lambda output: -float(np.abs(output).mean())
        withheld = order[120 : 120 + int(rng.integers(1, 20))]
        validation = Validation(own, withheld, judge, bool(rng.random() < 0.8), int(rng.integers(1, 3)), 1e-4)
    return Job(
        network,
        own,
        np.sort(order[:n_rows]),
        techniques,
        np.random.SeedSequence(int(rng.integers(2**32))),
        int(rng.integers(2, 5)),
        (CPU,),
        shared["dtype"],
        validation=validation,
        keep_progress=bool(rng.random() < 0.5),
    )


def draw_jobs(seed, members, **fixed):
    rng = np.random.default_rng(seed)
    shared = draw_shared(rng, **fixed)
    table = draw_table(rng, shared)
    jobs = [draw_job(rng, shared, table) for _ in range(members)]
    assert len({job.structure() for job in jobs}) == 1
    return jobs


def few_batches(jobs):
    """The same for two epochs of at most twelve batches: a shape that gives other bits does so within a few."""
    batch_size = jobs[0].techniques.batch_size
    return [replace(job, rows=job.rows[: 12 * batch_size], epochs=2) for job in jobs]


def bits(tensor):
    return tensor.contiguous().numpy().tobytes()


def curves(result):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in result.history]


def assert_same(a, b):
    """Two results agree to the bit."""
    assert repr(curves(a)) == repr(curves(b))
    assert bits(a.parameters) == bits(b.parameters)
    assert bits(a.buffers) == bits(b.buffers)
    assert (a.best_epoch, a.diverged) == (b.best_epoch, b.diverged)
    assert (a.progress is None) == (b.progress is None)
    if a.progress is not None and b.progress is not None:
        assert repr(a.progress.random) == repr(b.progress.random)
        assert (a.progress.steps, a.progress.epochs) == (b.progress.steps, b.progress.epochs)
        assert a.progress.state.keys() == b.progress.state.keys()
        for name, value in a.progress.state.items():
            assert bits(value) == bits(b.progress.state[name]), name


def assert_independent(jobs):
    alone = [train([job])[0] for job in jobs]
    for together, own in zip(train(jobs), alone, strict=True):
        assert_same(together, own)
    return alone


@pytest.mark.parametrize("seed", range(30))
def test_random_cohorts(seed):
    assert_independent(draw_jobs(seed, 2 + seed % 5))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name):
    assert_independent(draw_jobs(100, 3, optimizer=name, dtype=torch.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_activation(network, name, dtype):
    fixed = {"hidden": (37, 13), "drops": [True, False], "n_features": 11, "network": network}
    assert_independent(few_batches(draw_jobs(200, 3, activation=name, dtype=DTYPES[dtype], **fixed)))


@pytest.mark.parametrize(
    "activation",
    [
        activations.PReLU(shared=True),
        activations.Parametric("tanh", initial=0.5),
        activations.GLU("tanh"),
        activations.GLU(activations.Softplus(beta=3)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_kind_of_activation_object(network, activation):
    for dtype in DTYPES.values():
        fixed = {"hidden": (33, 5), "drops": [False, True], "dtype": dtype, "network": network}
        assert_independent(draw_jobs(250, 3, activation=activation, **fixed))


@pytest.mark.parametrize("batch_size", [1, 32, 33, 100])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EMBEDDINGS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_embedding(network, name, dtype, batch_size):
    for seed, n_features in ((0, 1), (1, 5), (2, 13)):
        inputs = draw_inputs(np.random.default_rng(seed), n_features, name)
        fixed = {"inputs": inputs, "n_features": n_features, "batch_size": batch_size, "dtype": DTYPES[dtype]}
        fixed["network"] = network
        jobs = draw_jobs(580 + seed, 3, optimizer="adamw", hidden=(9,), drops=[True], **fixed)
        assert_independent(few_batches(jobs))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("network", NETWORKS)
def test_embeddings_of_numbers_and_categories(network, seed):
    fixed = {"n_features": 10 + 3 * seed, "embeds": True, "task": ["classification", "regression"][seed % 2]}
    fixed |= {"network": network, "hidden": (19, 6)[: 1 + seed % 2], "drops": [False, True]}
    assert_independent(draw_jobs(590 + seed, 4, **fixed))


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_normalization(network, normalization, dtype, drops):
    fixed = {"hidden": (33, 5), "drops": [drops, drops], "dtype": DTYPES[dtype], "network": network}
    assert_independent(draw_jobs(300, 4, normalization=normalization, **fixed))


@pytest.mark.parametrize("task", LOSSES)
def test_every_loss(task):
    for name in LOSSES[task]:
        for dtype in DTYPES.values():
            fixed = {"task": task, "loss": name, "n_outputs": 3, "smooths": task != "regression", "dtype": dtype}
            assert_independent(draw_jobs(400, 3, **fixed))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PENALTIES)
def test_every_penalty(name, dtype):
    for seed in range(500, 504):
        assert_independent(few_batches(draw_jobs(seed, 3, penalty=name, clips=True, dtype=DTYPES[dtype])))


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("name", averaging.names())
def test_every_average(name, normalization):
    assert_independent(draw_jobs(550, 4, averaging=name, optimizer="adamw", normalization=normalization))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("field", "module"),
    [("schedule", schedules), ("initializer", initializers), ("weight_averaging", averaging)],
    ids=["schedules", "initializers", "averaging"],
)
def test_every_name_of_what_is_per_member_in_one_cohort(field, module, dtype):
    jobs = draw_jobs(555, 2 * len(module.names()), averaging="ema", optimizer="adamw", dtype=DTYPES[dtype])
    jobs = [
        replace(job, techniques=replace(job.techniques, **{field: module.get(name)}))
        for job, name in zip(jobs, 2 * module.names(), strict=True)
    ]
    assert len({job.structure() for job in jobs}) == 1
    assert_independent(jobs)


def test_averages_of_different_lengths():
    """EMA's decay is held down at first, so these are lower than that."""
    lengths = [averaging.EMA(0.0), averaging.EMA(0.05), averaging.EMA(0.15), averaging.SWA(0.0), averaging.SWA(0.7)]
    jobs = draw_jobs(555, 5, averaging="ema", optimizer="adamw")
    jobs = [
        replace(j, techniques=replace(j.techniques, weight_averaging=a)) for j, a in zip(jobs, lengths, strict=True)
    ]
    assert len({job.structure() for job in jobs}) == 1
    assert_independent(jobs)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("task", LOSSES)
def test_mixup(task, weighted):
    fixed = {"n_outputs": 3, "optimizer": "adamw", "weighted": weighted}
    assert_independent(draw_jobs(560, 4, mixes=True, task=task, loss=LOSSES[task][0], **fixed))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_layers_with_rates_of_their_own(name):
    assert_independent(draw_jobs(570, 4, layered=True, optimizer=name, hidden=(9,), drops=[True]))


@pytest.mark.parametrize("members", [1, 2, 3, 7, 16, 19, 33])
def test_every_cohort_size(members):
    assert_independent(draw_jobs(600 + members, members, hidden=(21,), drops=[True], stops=True))


@pytest.mark.parametrize("seed", range(4))
def test_any_order(seed):
    jobs = draw_jobs(700 + seed, 9)
    order = np.random.default_rng(seed).permutation(9)
    shuffled = train([jobs[i] for i in order])
    for i, result in zip(order, shuffled, strict=True):
        assert_same(result, train(jobs)[i] if i == order[0] else train([jobs[i]])[0])


def test_members_of_several_structures():
    jobs = [job for seed in range(4) for job in draw_jobs(800 + seed, 2)]
    assert_independent(jobs[::2] + jobs[1::2])


def test_members_that_stop_at_different_epochs():
    """One stops early, one is cut off, one diverges, one goes on: nobody notices."""
    jobs = draw_jobs(
        900,
        6,
        task="regression",
        loss="squared_error",
        optimizer="sgd",
        hidden=(19, 7),
        stops=True,
        penalty=None,
        clips=False,
        weighted=True,
        drops=[True, False],
        dtype=torch.float32,
    )
    epochs = [1, 3, 8, 8, 8, 8]
    jobs = [replace(job, epochs=n) for job, n in zip(jobs, epochs, strict=True)]
    wild = replace(jobs[4].techniques, learning_rate=1e12, schedule=schedules.Constant(), warmup=0.0)
    jobs[4] = replace(jobs[4], techniques=wild)
    steady = Validation(jobs[5].table, jobs[5].rows, lambda output: 1.0, True, 3, 0.1)
    jobs[5] = replace(jobs[5], validation=steady)
    jobs[3] = replace(jobs[3], validation=None)
    results = assert_independent(jobs)
    lengths = [len(result.history) for result in results]
    assert lengths[0] == 1
    assert lengths[3] == 8
    assert lengths[5] == 4
    assert results[4].diverged is not None
    assert [result.diverged for i, result in enumerate(results) if i != 4] == [None] * 5


@pytest.mark.parametrize("task", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_members_with_withheld_rows_of_different_numbers(task, dtype):
    """Some need one chunk, some several, one has none."""
    jobs = draw_jobs(950, 5, task=task, loss=LOSSES[task][0], n_outputs=3, dtype=DTYPES[dtype], sparse=False)
    rng = np.random.default_rng(0)
    shared = {
        "dtype": DTYPES[dtype],
        "task": task,
        "n_outputs": 3,
        "sparse": False,
        "weighted": jobs[0].table.weight is not None,
        "n_features": jobs[0].network.n_inputs,
        "inputs": jobs[0].network.inputs,
    }
    table = draw_table(rng, shared, n_rows=1200)
    for k, n_rows in enumerate((3, 512, 513, 1100)):
        jobs[k] = replace(jobs[k], validation=Validation(table, rng.permutation(1200)[:n_rows], None, True, 2, 0.0))
    jobs[4] = replace(jobs[4], validation=None)
    assert_independent(jobs)


@pytest.mark.parametrize("seed", range(4))
def test_members_beside_one_that_brings_a_function_of_its_own(seed):
    """Autograd may then look on, and changes nothing."""
    jobs = draw_jobs(960 + seed, 4)
    own = replace(jobs[1].techniques, schedule=schedules.get(lambda progress: 1 - progress))
    jobs[1] = replace(jobs[1], techniques=own)
    assert len({job.structure() for job in jobs}) == 1
    assert_independent(jobs)


@pytest.mark.parametrize("hidden", [(), (32,), (64, 7)])
@pytest.mark.parametrize("batch_size", [1, 32, 33, 200])
@pytest.mark.parametrize("n_features", [1, 13, 32, 54])
@pytest.mark.parametrize("network", NETWORKS)
def test_single_columns_and_those_filled_up(network, n_features, batch_size, hidden):
    fixed = {
        "network": network,
        "hidden": hidden,
        "drops": [True] * len(hidden),
        "sparse": False,
        "normalization": None,
    }
    fixed |= {"task": "classification", "n_outputs": 7, "n_features": n_features, "batch_size": batch_size}
    assert_independent(few_batches(draw_jobs(970, 3, **fixed)))


def test_a_difference_would_be_seen():
    first, second = draw_jobs(1000, 2)
    with pytest.raises(AssertionError):
        assert_same(train([first])[0], train([second])[0])


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_bits(seed):
    for a, b in zip(train(draw_jobs(1100 + seed, 3)), train(draw_jobs(1100 + seed, 3)), strict=True):
        assert_same(a, b)


class Noisy(nn.Module):
    """A module that draws from torch's global generator."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        single = {"dtype": torch.float32}
        self.first, self.last = nn.Linear(n_inputs, 9, **single), nn.Linear(9, n_outputs, **single)
        self.drop, self.norm = nn.Dropout(0.4), nn.BatchNorm1d(9, **single)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.norm(self.first(x)))))


def custom_jobs(count=2):
    """Members with modules of their own; made anew, as training changes the modules themselves."""
    out = []
    for job in draw_jobs(1200, count, task="classification", hidden=(), smooths=False, dtype=torch.float32):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(job.seed.generate_state(1)[0]))
            module = Noisy(job.network.n_inputs, job.network.n_outputs)
        out.append(replace(job, network=CustomNetwork(module, job.network.n_outputs)))
    return out


def test_custom_modules_draw_from_streams_of_their_own():
    together = train(custom_jobs(3))
    torch.rand(5)
    for i, result in enumerate(together):
        assert_same(result, train([custom_jobs(3)[i]])[0])


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("wide", [False, True])
def test_the_callers_threads_change_no_bit(wide):
    fixed = {"hidden": (300,), "n_features": 200, "batch_size": 128} if wide else {}
    results = []
    for count in (1, 2):
        torch.set_num_threads(count)
        results.append(train(draw_jobs(1300, 3, **fixed) + custom_jobs()))
        assert torch.get_num_threads() == count
    for one, two in zip(*results, strict=True):
        assert_same(one, two)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
def test_the_callers_default_dtype_changes_no_bit(normalization, request):
    fixed = {
        "hidden": (12, 5),
        "drops": [True, True],
        "normalization": normalization,
        "stops": True,
        "clips": True,
    }
    cases = [partial(draw_jobs, 1400 + i, 2, smooths=True, task="classification", **fixed) for i in range(6)]
    before = [result for case in cases for result in train(case())] + train(custom_jobs())
    request.getfixturevalue("double")
    after = [result for case in cases for result in train(case())] + train(custom_jobs())
    for a, b in zip(before, after, strict=True):
        assert a.parameters.dtype == b.parameters.dtype
        assert_same(a, b)


def surroundings():
    """What belongs to the caller."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "dtype": torch.get_default_dtype(),
        "numpy": (name, keys.tobytes(), *rest),
        "python": random.getstate(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "warnings": list(warnings.filters),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "gradients": torch.is_grad_enabled(),
        "floating point errors": np.geterr(),
    }


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 2])
def test_training_leaves_nothing_behind(count, capfd):
    torch.set_num_threads(count)
    before = surroundings()
    train(draw_jobs(1500, 3, stops=True) + custom_jobs())
    assert surroundings() == before
    assert capfd.readouterr() == ("", "")


class Failing:
    """An observer that breaks off after the first epoch."""

    def __init__(self, error):
        self.error = error

    def train_begin(self, module, judged):
        pass

    def epoch_begin(self):
        pass

    def epoch_end(self, record, output):
        raise self.error

    def train_end(self):
        pass


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("error", [ValueError("stop"), KeyboardInterrupt()], ids=["exception", "interrupt"])
@pytest.mark.parametrize("custom", [False, True])
def test_an_exception_leaves_nothing_behind(count, error, custom):
    torch.set_num_threads(count)
    jobs = custom_jobs() if custom else draw_jobs(1600, 3)
    jobs[1] = replace(jobs[1], observer=Failing(error))
    before = surroundings()
    with pytest.raises(type(error)):
        train(jobs)
    assert surroundings() == before


class Counting(Failing):
    """An observer that counts epochs."""

    def __init__(self):
        self.epochs = 0

    def epoch_end(self, record, output):
        self.epochs += 1


def test_an_interrupt_is_for_all_at_once():
    """An exception ends its own member alone, after which the others go on to their end."""
    for error, epochs in ((ValueError("stop"), 4), (KeyboardInterrupt(), 1)):
        counts = Counting()
        jobs = [replace(job, epochs=4, validation=None) for job in draw_jobs(1600, 3)]
        jobs[0], jobs[2] = replace(jobs[0], observer=Failing(error)), replace(jobs[2], observer=counts)
        with pytest.raises(type(error)):
            train(jobs)
        assert counts.epochs <= epochs
        assert (counts.epochs == 4) == isinstance(error, ValueError)


def test_dropout_rates_stay_below_one():
    job = draw_jobs(1700, 1, dropout_schedule=True, hidden=(9, 4), drops=[True, True])[0]
    own = replace(job.techniques, dropout=(0.5, 0.1), dropout_schedule=schedules.get(lambda progress: 3 - 0 * progress))
    rates = Member(replace(job, techniques=own)).dropout_rates()
    assert (rates[:, 0] == 1 - 2**-16).all()
    np.testing.assert_allclose(rates[:, 1], 0.3)


@pytest.mark.parametrize("name", ["gradient_noise", "gradient_centralization"])
def test_padding_stays_zero_where_penalties_write_into_it(name):
    for job in draw_jobs(1800, 2, penalty=name, optimizer="sgd", hidden=(5,), drops=[False], n_features=3):
        result = train([job])[0]
        inside = torch.zeros(1, len(result.parameters), dtype=torch.bool)
        for view in job.network.layout.views(inside).values():
            view.fill_(True)
        assert result.parameters[inside[0]].any()
        assert not result.parameters[~inside[0]].any()
