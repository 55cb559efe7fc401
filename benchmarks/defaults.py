"""What each ingredient of the defaults brings, over how many tables and at what cost: each is removed in turn.

The protocol is that of benchmarks/accuracy.py, whose records of the defaults and of the peers it compares with. Of each
variation: what it changes in score and log loss against the defaults, on how many tables the defaults are better, the
rank it would have among the peers, and its cost. ``nested``: the variation (the defaults among them) that ranks best on
ten tables, and what it does on the other six; then the other way round.

    python benchmarks/defaults.py --data DIRECTORY --missing [--variations "no embedding" "one network"]
    python benchmarks/defaults.py --report [--markdown PAGE]
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before the libraries are imported, here and in the processes started

import numpy as np  # noqa: E402
from _peers import PEERS  # noqa: E402
from _protocol import MAX_TRAIN, TABLES, Record, Run, cells, read, tables, write  # noqa: E402
from _ranking import Cells, markdown, means  # noqa: E402
from accuracy import RESULTS as PEERS_RESULTS  # noqa: E402
from accuracy import finished  # noqa: E402

from sknnopt.embeddings import Periodic, PiecewiseLinear  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results" / "defaults.json"
DEFAULT = "sknnopt"
TEN = TABLES[:6] + TABLES[9:13]
"""Half of a nested choice: six tables of classes and four of numbers."""

STEEP, SMOOTH, STEEPER = (Periodic(frequency_scale=scale) for scale in ((0.03, 1.2), 0.1, (0.2, 2.0)))


class Variation(NamedTuple):
    """Parameters in place of the defaults: of both estimators, of the classifier, of the regressor."""

    both: Mapping[str, Any]
    classifier: Mapping[str, Any] = {}
    regressor: Mapping[str, Any] = {}


VARIATIONS: dict[str, Variation] = {
    "first kind alone": Variation(
        {"numeric_embedding": STEEP, "categorical_embedding": None}, {"dropout": 0.2, "label_smoothing": 0.05}
    ),
    "second kind alone": Variation(
        {},
        {"numeric_embedding": SMOOTH, "categorical_embedding": 2, "dropout": 0.3, "label_smoothing": 0.1},
        {"numeric_embedding": PiecewiseLinear()},
    ),
    "third kind alone": Variation(
        {"categorical_embedding": None},
        {"numeric_embedding": SMOOTH, "dropout": 0.1, "label_smoothing": 0.0},
        {"numeric_embedding": STEEPER},
    ),
    "no embedding of numbers": Variation({"numeric_embedding": None}),
    "no embedding of categories": Variation({"categorical_embedding": None}),
    "no dropout": Variation({"dropout": 0.0}),
    "no label smoothing": Variation({}, {"label_smoothing": 0.0}),
    "no calibration": Variation({}, {"calibration": None}),
    "robust scaling, no ranks": Variation({"preprocessing": "robust"}),
    "standard scaling": Variation({"preprocessing": "standard"}),
    "normal quantiles": Variation({"preprocessing": "quantile_normal"}),
    "no average of weights": Variation({"weight_averaging": None}),
    "cosine, no average": Variation({"weight_averaging": None, "schedule": "cosine", "n_iter_no_change": 150}),
    "decay 0.01": Variation({"weight_decay": 0.01}),
    "rate 1e-3": Variation({"learning_rate": 1e-3}),
    "batch of 256": Variation({"batch_size": 256}),
    "64 units": Variation({"hidden_layer_sizes": (64, 64)}),
    "256 units": Variation({"hidden_layer_sizes": (256, 256)}),
    "three layers": Variation({"hidden_layer_sizes": (128, 128, 128)}),
    "silu": Variation({"activation": "silu"}),
    "no clipping": Variation({"gradient_clipping": None}),
    "patience 5": Variation({"n_iter_no_change": 5}),
    "eight members": Variation({"n_members": 8}),
    "one network": Variation({"n_members": 1}),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SKNNOPT_DATA"), help="or SKNNOPT_DATA")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--peers", type=Path, default=PEERS_RESULTS, help="what benchmarks/accuracy.py has written")
    parser.add_argument("--variations", nargs="+", choices=list(VARIATIONS), metavar="VARIATION")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--missing", action="store_true", help="leave out what the results file has")
    parser.add_argument("--report", action="store_true", help="print the comparison, run nothing")
    parser.add_argument("--markdown", type=Path, help="write the comparison to that page, run nothing")
    options = parser.parse_args()
    if not (options.report or options.markdown or options.data):
        parser.error("give --data or set SKNNOPT_DATA")
    return options


def wanted(options: argparse.Namespace) -> list[Run]:
    order = sorted(TABLES, key=lambda table: -cells(options.data, table, MAX_TRAIN))
    runs = []
    for name in options.variations or VARIATIONS:
        both, classifier, regressor = VARIATIONS[name]
        for table in order:
            own = regressor if tables(options.data).info(table)["task"] == "regression" else classifier
            if both or own:
                runs += [Run(DEFAULT, name, table, seed, MAX_TRAIN, {**both, **own}) for seed in options.seeds]
    there = {(r["table"], r["rows"], r["model"], r["seed"]) for r in read([options.results])}
    return [run for run in runs if not (options.missing and run.key in there)]


def run_all(options: argparse.Namespace) -> None:
    runs = wanted(options)
    for done, (run, outcome) in enumerate(finished(options.data, runs, options.jobs), start=1):
        if isinstance(outcome, Exception):
            raise outcome
        write(options.results, [outcome])
        print(f"{done}/{len(runs)} {run.label} {run.table} seed {run.seed}: {outcome['score']:.4f}", flush=True)


def rank(cells: Cells, model: str, table: str, *, larger: bool) -> int:
    """Place of a model among the peers that have the table."""
    own = cells[table, model]
    return 1 + sum((cells[table, p] > own) == larger for p in PEERS if (table, p) in cells and cells[table, p] != own)


def with_default(records: Sequence[Record]) -> list[Record]:
    """Give a variation the defaults' records where it changes nothing: a classifier's, say, on tables of numbers."""
    own = [record for record in records if record["model"] == DEFAULT]
    filled = [
        {**record, "model": name}
        for name, (both, classifier, regressor) in VARIATIONS.items()
        for record in own
        if not both and not (classifier if "log_loss" in record else regressor)
    ]
    return [*records, *filled]


def change(record: Cells, name: str, *, larger: bool) -> tuple[str, str]:
    """Mean change by a variation, and on how many of the tables that differ the defaults are better."""
    shared = [table for table in TABLES if (table, name) in record]
    differences = np.array([record[table, name] - record[table, DEFAULT] for table in shared])
    differs = differences[differences != 0]
    better = int(((differs < 0) == larger).sum())
    return (f"{differences.mean():+.4f}", f"{better} of {len(differs)}") if len(differs) else ("same", "")


def complete(cells: Cells) -> list[str]:
    """The defaults and the variations that were run on every table."""
    return [name for name in (DEFAULT, *VARIATIONS) if all((table, name) in cells for table in TABLES)]


def comparison(records: Sequence[Record]) -> str:
    score, loss, cpu = (means(records, value) for value in ("score", "log_loss", "fit_cpu"))
    rows = []
    for name in complete(score):
        ranks = np.mean([rank(score, name, table, larger=True) for table in TABLES])
        lost = np.mean([rank(loss, name, table, larger=False) for table in TABLES if (table, name) in loss])
        cost = sum(cpu[table, name] for table in TABLES) / sum(cpu[table, DEFAULT] for table in TABLES)
        rows.append([name, *change(score, name, larger=True), *change(loss, name, larger=False)])
        rows[-1] += [f"{ranks:.2f}", f"{lost:.2f}", f"{cost:.2f}"]
    header = ["in place of the defaults", "score", "defaults better", "log loss", "defaults better"]
    return markdown([*header, "rank", "rank by log loss", "cost"], rows)


def nested(records: Sequence[Record]) -> str:
    """What is chosen on some tables, by mean rank in score and then log loss, and the ranks it has on the others."""
    score, loss = means(records, "score"), means(records, "log_loss")
    names = complete(score)

    def ranks(name: str, tables: Sequence[str]) -> tuple[float, float]:
        by_loss = [rank(loss, name, table, larger=False) for table in tables if (table, name) in loss]
        return float(np.mean([rank(score, name, table, larger=True) for table in tables])), float(np.mean(by_loss))

    rows = []
    for chosen_on in (TEN, [table for table in TABLES if table not in TEN]):
        others = [table for table in TABLES if table not in chosen_on]
        best = min(names, key=lambda name: ranks(name, chosen_on))
        for name in dict.fromkeys([best, DEFAULT]):
            found = [f"{value:.2f}" for value in (*ranks(name, chosen_on), *ranks(name, others))]
            rows.append([", ".join(chosen_on), name + (" (chosen)" if name == best else ""), *found])
    there = ("rank there", "by log loss", "rank on the others", "by log loss")
    return markdown(["chosen on", "what", *there], rows)


def main() -> None:
    options = parse()
    if not (options.report or options.markdown):
        run_all(options)
        return
    records = [
        record
        for record in read([options.peers, options.results])
        if record["rows"] == MAX_TRAIN and record["table"] in TABLES and record["seed"] in options.seeds
    ]
    records = with_default(records)
    text = f"{comparison(records)}\n\n{nested(records)}\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text)


if __name__ == "__main__":
    main()
