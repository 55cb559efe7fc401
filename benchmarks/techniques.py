"""What each technique costs: an optimizer's update against AdamW's, and a whole training step against a plain one.

One process, one thread. Works of a table are called in turn in every repeat, and ratios are taken within a repeat; the
tables show medians, least and largest.

    python benchmarks/techniques.py [--repeats 15] [--only updates,muon,steps]
"""

import argparse
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from _common import interleaved, machine, median_ratio, one_thread
from _table import print_table

from sknnopt import activations, averaging, losses, optimizers, regularization, schedules
from sknnopt.data.batches import Table
from sknnopt.engine import Job, Techniques, train_together
from sknnopt.initializers import KaimingUniform
from sknnopt.nn import MLP
from sknnopt.optimizers import Numbers

WHOLE_STEPS = {"lbfgs", "sam"}
"""Optimizers that go through the network again: their update is no part of its own."""

LAYERWISE = {"adafactor", "lamb", "muon", "soap"}
UPDATE_TARGET, MUON_TARGET = 2.5, 2.0
SHAPES = {"1 x (128, 128)": ((128, 128), 1), "16 x (64,)": ((64,), 16)}


def network(hidden: tuple[int, ...], **changes: Any) -> MLP:
    settings = {"activation": activations.get("relu"), "normalization": None, "dropout": (0.0,) * len(hidden)}
    return MLP(54, hidden, 7, **{**settings, **changes})


def updates(hidden: tuple[int, ...], members: int, calls: int) -> dict[str, Callable[[], None]]:
    """For each optimizer a function that makes so many updates of its own tensors."""
    layout = network(hidden).layout
    generator = torch.Generator().manual_seed(0)
    works = {}
    for name in optimizers.names():
        optimizer = optimizers.get(name)
        if name in WHOLE_STEPS:
            continue
        parameters = torch.randn((members, layout.size), generator=generator)
        gradients = torch.randn((members, layout.size), generator=generator)
        source = gradients.clone()
        state = optimizer.start(parameters, layout)
        step = optimizer.bind(gradients, state, parameters, layout=layout, objective=None)
        works[name] = update_work(optimizer, step, gradients, source, members, calls)
    return works


def update_work(
    optimizer: Any, step: Callable[[Any], None], gradients: torch.Tensor, source: torch.Tensor, members: int, calls: int
) -> Callable[[], None]:
    rate = optimizer.default_learning_rate
    columns = optimizer.coefficients(np.arange(1.0, calls + 1), np.full(calls, rate))
    columns = {"learning_rate": np.full(calls, rate), **columns}
    hypers = []
    for t in range(calls):
        hyper = Numbers((name, torch.full((members, 1), values[t])) for name, values in columns.items())
        hyper.shared, hyper.step = {name: values.tolist() for name, values in columns.items()}, t
        hypers.append(hyper)

    def work() -> None:
        with torch.inference_mode():
            for hyper in hypers:
                gradients.copy_(source)
                step(hyper)

    return work


def copies(hidden: tuple[int, ...], members: int, calls: int) -> Callable[[], None]:
    """What the benchmark itself adds to each update."""
    size = network(hidden).layout.size
    source, out = torch.randn(members, size), torch.empty(members, size)

    def work() -> None:
        with torch.inference_mode():
            for _ in range(calls):
                out.copy_(source)

    return work


def job(hidden: tuple[int, ...], batch: int, steps: int, net: Mapping[str, Any], **changes: Any) -> Job:
    """Return a job of so many steps, one epoch."""
    rng = np.random.default_rng(0)
    rows = batch * steps
    inputs = torch.from_numpy(rng.standard_normal((rows, 54), dtype=np.float32))
    made = network(hidden, **net)
    optimizer = changes.pop("optimizer", optimizers.AdamW())
    techniques = Techniques(
        loss=losses.get("cross_entropy", task="classification"),
        optimizer=optimizer,
        learning_rate=optimizer.default_learning_rate,
        weight_decay=0.0,
        schedule=schedules.get("constant"),
        warmup=0.0,
        batch_size=batch,
        max_epochs=1,
        initializer=KaimingUniform(),
        dropout=made.dropout,
    )
    table = Table(inputs, torch.from_numpy(rng.integers(0, 7, rows)))
    seed, cpu = np.random.SeedSequence(0), torch.device("cpu")
    return Job(made, table, np.arange(rows), replace(techniques, **changes), seed, 1, (cpu,), torch.float32)


def training(hidden: tuple[int, ...], batch: int, steps: int, members: int, net: Any, **changes: Any) -> Any:
    jobs = [job(hidden, batch, steps, net, **changes)] * members
    return lambda: train_together(jobs)


def step_works(hidden: tuple[int, ...], members: int) -> dict[str, Callable[[], object]]:
    """A training of each technique that acts within a step, the others at their plainest."""
    layers = len(hidden)
    works: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {"plain": ({}, {})}
    works |= {
        f"optimizer {n}": ({}, {"optimizer": optimizers.get(n)})
        for n in optimizers.names()
        if n in WHOLE_STEPS | LAYERWISE
    }
    for name in regularization.names():
        term = regularization.get(name)
        if term is not None and term.depth_rate == 0:
            works[f"regularization {name}"] = ({}, {"regularization": term})
    works |= {f"weight_averaging {n}": ({}, {"weight_averaging": averaging.get(n)}) for n in averaging.names()}
    works |= {f"activation {n}": ({"activation": activations.get(n)}, {}) for n in activations.names() if n != "relu"}
    works |= {f"normalization {n}": ({"normalization": n}, {}) for n in ("batch", "layer")}
    works["dropout"] = ({"dropout": (0.2,) * layers}, {})
    works["mixup"] = ({}, {"mixup": 0.2})
    works["gradient_clipping"] = ({}, {"gradient_clipping": 1.0})
    works["weight_decay"] = ({}, {"weight_decay": 0.01})
    works["layer_rates"] = ({}, {"layer_rates": (("output.weight", 0.5),)})
    return {n: training(hidden, 128, 20, members, net, **changes) for n, (net, changes) in works.items()}


def print_ratios(times: Mapping[str, list[float]], reference: str, calls: int, unit: str) -> None:
    rows = []
    for name in sorted(times, key=lambda name: statistics.median(times[name])):
        median, least, most = median_ratio(times, name, reference)
        each = 1e6 * statistics.median(times[name]) / calls
        rows.append([name, f"{each:.1f}", f"{median:.2f}", f"{least:.2f} to {most:.2f}"])
    print_table(["", f"us {unit}", f"ratio to {reference}", "least to largest"], rows)


def updates_table(repeats: int) -> None:
    for label, (hidden, members) in SHAPES.items():
        calls = 40
        works = updates(hidden, members, calls)
        own = copies(hidden, members, calls)
        interleaved(works, 1)
        times = interleaved({**works, "copy": own}, repeats)
        less = times.pop("copy")
        times = {name: [a - b for a, b in zip(values, less, strict=True)] for name, values in times.items()}
        print(f"\nAn update of {label}, {network(hidden).layout.size * members:,} parameters in all")
        print_ratios(times, "adamw", calls, "an update")
        over = [n for n in times if n not in LAYERWISE and median_ratio(times, n, "adamw")[0] > UPDATE_TARGET]
        print(f"element-wise ones over {UPDATE_TARGET}: {', '.join(over) or 'none'}")


def muon_table(repeats: int) -> None:
    for batch in (1024, 256):
        works = {
            name: training((256, 256), batch, 6, 1, {}, optimizer=optimizers.get(name)) for name in ("adamw", "muon")
        }
        interleaved(works, 1)
        print(f"\nA whole step at (256, 256), batch {batch}")
        print_ratios(interleaved(works, repeats), "adamw", 6, "a step")
    print(f"target for muon at batch 1024: {MUON_TARGET}")


def steps_table(repeats: int) -> None:
    for label, (hidden, members) in SHAPES.items():
        works = step_works(hidden, members)
        interleaved(works, 1)
        print(f"\nA whole step of {label}, batch 128, 54 inputs, 7 classes")
        print_ratios(interleaved(works, repeats), "plain", 20 * members, "a member and step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", default="updates,muon,steps", help="which tables")
    options = parser.parse_args()
    one_thread()
    print(machine())
    tables = {"updates": updates_table, "muon": muon_table, "steps": steps_table}
    for name in options.only.split(","):
        tables[name](options.repeats)


if __name__ == "__main__":
    main()
