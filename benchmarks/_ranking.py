"""Scores, ranks and cost of the records of benchmarks/accuracy.py, as markdown."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

Record = dict[str, Any]
REFERENCE = "sklearn-mlp"
COSTLY = "realmlp-td"
Cells = dict[tuple[str, str], float]  # (table, model) -> mean over the seeds


def means(records: Sequence[Record], value: str) -> Cells:
    """Mean over the seeds, table by table and model by model."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        if value in record:
            found.setdefault((record["table"], record["model"]), []).append(record[value])
    return {key: statistics.fmean(values) for key, values in found.items()}


def matrix(cells: Cells, models: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The tables that every model has, and their cells: one row a table, one column a model."""
    tables = list(dict.fromkeys(table for table, _ in cells))
    whole = [table for table in tables if all((table, model) in cells for model in models)]
    return whole, np.array([[cells[table, model] for model in models] for table in whole]).reshape(-1, len(models))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by_table(cells: Cells, tables: Sequence[str], models: Sequence[str]) -> str:
    rows = [[t, *(f"{cells[t, m]:.4f}" if (t, m) in cells else "" for m in models)] for t in tables]
    return markdown(["table", *models], rows)


def summary(values: np.ndarray, models: Sequence[str], larger_is_better: bool) -> dict[str, np.ndarray]:
    """Mean rank (ties shared), normalised score (1 for a table's best, 0 for its worst), wins over the reference."""
    good = values if larger_is_better else -values
    span = np.ptp(good, axis=1, keepdims=True)
    lines = {
        "mean rank": rankdata(-good, axis=1).mean(axis=0),
        "normalised": ((good - good.min(axis=1, keepdims=True)) / np.where(span > 0, span, 1)).mean(axis=0),
    }
    if REFERENCE in models:
        lines[f"better than {REFERENCE}"] = (good > good[:, [list(models).index(REFERENCE)]]).sum(axis=0)
        lines[f"worst against {REFERENCE}"] = (good - good[:, [list(models).index(REFERENCE)]]).min(axis=0)
    return lines


def ranking(cells: Cells, models: Sequence[str], larger_is_better: bool) -> str:
    """One line a model, best mean rank first, over the tables that every model has."""
    tables, values = matrix(cells, models)
    if not tables:
        return "No table has every model."
    lines = summary(values, models, larger_is_better)
    order = np.argsort(lines["mean rank"], kind="stable")
    rows = [
        [models[i], *(f"{v[i]:d}" if v.dtype.kind == "i" else f"{v[i]:.4f}" for v in lines.values())] for i in order
    ]
    return f"Over {len(tables)} tables:\n\n" + markdown(["model", *lines], rows)


def costs(records: Sequence[Record], models: Sequence[str]) -> str:
    """Seconds of fitting over the tables and seeds that every model has; predicting is for all test rows."""
    runs = {model: {(r["table"], r["seed"]): r for r in records if r["model"] == model} for model in models}
    common = set.intersection(*(set(found) for found in runs.values()))
    if not common:
        return "No run is common to every model."
    total: Callable[[str, str], float] = lambda m, v: sum(runs[m][key][v] for key in common)  # noqa: E731
    middle: Callable[[str, str], float] = lambda m, v: statistics.median(runs[m][key][v] for key in common)  # noqa: E731
    header = ["model"] + [f"{kind} {what}" for what in ("wall", "CPU") for kind in ("total", "median")] + ["predict"]
    header += [f"CPU / {other}" for other in (COSTLY, REFERENCE) if other in models]
    rows = []
    for m in sorted(models, key=lambda m: total(m, "fit_cpu")):
        seconds = [f(m, v) for v in ("fit_wall", "fit_cpu") for f in (total, middle)] + [middle(m, "predict_wall")]
        ratios = [total(m, "fit_cpu") / total(o, "fit_cpu") for o in (COSTLY, REFERENCE) if o in models]
        rows.append([m, *(f"{s:.2f}" for s in seconds), *(f"{r:.3f}" for r in ratios)])
    return f"Seconds, one thread, over {len(common)} fits:\n\n" + markdown(header, rows)


def report(records: Sequence[Record], tables: Sequence[str], models: Sequence[str]) -> str:
    """All tables of the comparison; models without a record are left out."""
    models = [model for model in models if any(record["model"] == model for record in records)]
    if not models:
        return "No records.\n"
    parts = []
    for title, value, larger in (("Accuracy or R²", "score", True), ("Log loss", "log_loss", False)):
        cells = means(records, value)
        present = [table for table in tables if any((table, model) in cells for model in models)]
        if present:
            ordered = {(t, m): cells[t, m] for t in present for m in models if (t, m) in cells}
            parts += [f"## {title}", by_table(ordered, present, models), ranking(ordered, models, larger)]
    kinds = sorted({record["versions"] for record in records if record["model"] in models})
    parts += ["## Cost", costs(records, models), "Versions: " + "; ".join(kinds) + "."]
    return "\n\n".join(parts) + "\n"
