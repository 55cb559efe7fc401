"""Accuracy, log loss and cost on real tables: raw frames in, one thread a process, every model at its own defaults.

Shuffled with the seed (classes in proportion), min(60 %, 5,000) rows to train on and up to 5,000 others to test on;
``--rows 300`` trains on that many of the same rows, ``--large`` on all (the published split, or 80 %). The seed is that
of the split; every model has ``random_state=0``. Peers live in an environment of their own: the script runs under
either Python and adds to one results file, a record as soon as it is there; ``--missing`` resumes. Fitting is timed
after a first fit of 100 rows in each process. Log loss clips the probability of the true class at 1e-7.

    python benchmarks/accuracy.py --data DIRECTORY --models hgb catboost realmlp-td --missing
    python benchmarks/accuracy.py --data DIRECTORY --models sknnopt --params '{"n_members": 4}' --label four
    python benchmarks/accuracy.py --report [--tables adult churn] [--rows 300 | --large | --held-out] [--markdown PAGE]
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before the libraries are imported, here and in the processes started

from _common import one_thread  # noqa: E402
from _peers import MODELS, OURS  # noqa: E402
from _protocol import ALL_ROWS, HELD_OUT, KEY, LARGE, MAX_TRAIN, TABLES, Record, Run, cells, measure, read, write  # noqa: E402
from _ranking import report  # noqa: E402

RESULTS = Path(__file__).resolve().parent / "results" / "accuracy.json"
TITLE = """# Accuracy on sixteen tables

Written by `python benchmarks/accuracy.py --markdown docs/accuracy.md`, whose first lines say how it was measured: at
most 5,000 training rows, two seeds, every model at its own defaults, one thread; figures are means over the seeds. One
split has a standard error of about 0.005 in accuracy. Seconds were taken while other work ran on the same two cores:
compare CPU time.

"""
MODELS_LARGE = ["sknnopt", "sklearn-mlp", "hgb"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SKNNOPT_DATA"), help="or SKNNOPT_DATA")
    parser.add_argument(
        "--results", type=Path, nargs="+", default=[RESULTS], help="the first is written; a report reads all of them"
    )
    parser.add_argument("--models", nargs="+", metavar="MODEL", help=f"of {' '.join(MODELS)}; in a report any label")
    parser.add_argument("--tables", nargs="+", metavar="TABLE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--rows", type=int, default=MAX_TRAIN, help="training rows, at most")
    parser.add_argument("--large", action="store_true", help="all rows, of large tables")
    parser.add_argument("--held-out", action="store_true", help="the tables that no default was chosen on")
    parser.add_argument("--params", type=json.loads, default={}, help="parameters of ours, as JSON")
    parser.add_argument("--label", help="the name of ours with --params in the results")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--missing", action="store_true", help="leave out what the results file has")
    parser.add_argument("--report", action="store_true", help="print the comparison, run nothing")
    parser.add_argument("--markdown", type=Path, help="write the comparison to that page, run nothing")
    options = parser.parse_args()
    options.rows = ALL_ROWS if options.large else options.rows
    options.tables = options.tables or list(HELD_OUT if options.held_out else LARGE if options.large else TABLES)
    if options.report or options.markdown:
        return options
    options.models = options.models or (MODELS_LARGE if options.large else list(OURS)[:1])
    if unknown := [name for name in options.models if name not in MODELS]:
        parser.error(f"unknown models {unknown}; known are {MODELS}")
    if not options.data:
        parser.error("give --data or set SKNNOPT_DATA")
    if bool(options.params) != bool(options.label) or options.label in MODELS:
        parser.error("--params and --label go together, and the label is no model's own name")
    if options.params and (len(options.models) > 1 or options.models[0] not in OURS):
        parser.error(f"--params is for one of {list(OURS)}")
    return options


def wanted(options: argparse.Namespace) -> list[Run]:
    """Model by model in the order given, within a model the largest table first."""
    tables = sorted(options.tables, key=lambda table: -cells(options.data, table, options.rows))
    runs = [
        Run(model, options.label or model, table, seed, options.rows, options.params)
        for model in options.models
        for table in tables
        for seed in options.seeds
    ]
    if options.missing:
        there = {tuple(record[name] for name in KEY) for record in read(options.results[:1])}
        runs = [run for run in runs if run.key not in there]
    return runs


def finished(data: Path, runs: Sequence[Run], jobs: int) -> Iterator[tuple[Run, Record | Exception]]:
    """Each run with its record, or with what it raised, as they end."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=one_thread) as pool:
        futures = {pool.submit(measure, data, run): run for run in runs}
        for future in as_completed(futures):
            error = future.exception()
            if error is not None and not isinstance(error, Exception):
                raise error
            yield futures[future], error or future.result()


def run_all(options: argparse.Namespace) -> int:
    """The number of runs that failed."""
    runs = wanted(options)
    failures = 0
    for done, (run, outcome) in enumerate(finished(options.data, runs, options.jobs), start=1):
        head = f"{done}/{len(runs)} {run.label} {run.table} seed {run.seed}:"
        if isinstance(outcome, Exception):
            failures += 1
            print(head, f"FAILED {type(outcome).__name__}: {outcome}", flush=True)
            continue
        write(options.results[0], [outcome])
        loss = f", log loss {outcome['log_loss']:.4f}" if "log_loss" in outcome else ""
        print(head, f"{outcome['score']:.4f}{loss}, {outcome['fit_wall']:.1f} s", flush=True)
    return failures


def compare(options: argparse.Namespace) -> None:
    records = [
        record
        for record in read(options.results)
        if record["rows"] == options.rows and record["table"] in options.tables and record["seed"] in options.seeds
    ]
    labels = dict.fromkeys(record["model"] for record in records)
    known = [model for model in MODELS if model in labels]
    text = report(records, options.tables, options.models or known + [name for name in labels if name not in known])
    print(text)
    if options.markdown:
        options.markdown.write_text(TITLE + text)


def main() -> None:
    options = parse()
    if options.report or options.markdown:
        compare(options)
    elif run_all(options):
        sys.exit(1)


if __name__ == "__main__":
    main()
