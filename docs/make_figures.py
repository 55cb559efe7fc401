"""Draw docs/_static/*.svg, and put the measured table into README.md: from benchmarks/results/accuracy.json.

python docs/make_figures.py            writes them
python docs/make_figures.py --check    fails if they are not what it would write
"""

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
from _ranking import markdown, matrix, means, summary  # noqa: E402

ROWS, SEEDS = 5000, (0, 1)  # of the records that docs/accuracy.md shows
STATIC = ROOT / "docs" / "_static"
README = ROOT / "README.md"
BEGIN, END = "<!-- measured: written by docs/make_figures.py -->\n", "<!-- end of measured -->"
INK, PALE, OURS = "#222222", "#f1f1ee", "#1f5a96"
MODELS = {
    "sknnopt-strong": "`.strong()`",
    "sknnopt": "`NNClassifier`, `NNRegressor`",
    "catboost": "CatBoost",
    "sknnopt-fast": "`.fast()`",
    "hgb": "HistGradientBoosting",
    "lightgbm": "LightGBM",
    "realmlp-td": "RealMLP-TD",
    "xgboost": "XGBoost",
    "realmlp-td-s": "RealMLP-TD-S",
    "skorch-mlp": "a skorch MLP",
    "sklearn-mlp": "scikit-learn's MLP",
}
TECHNIQUES = "activations · initializers · losses · schedules · optimizers · regularization · averaging · embeddings"
LAYERS = [
    ("6", "inspection · persistence · export", "pictures of trainings and searches; files; graphs to serve"),
    ("5", "model_selection", "lockstep: joblib backend, run tokens, searches, compare"),
    ("4", "estimators", "NNClassifier, NNRegressor: parameters, fitted attributes"),
    ("3", "engine", "train(jobs) → results: cohorts, the one loop over epochs, stopping"),
    ("2", "nn", "layers and networks of K members: weights (K, O, F), activations (K, F, B)"),
    (
        "1",
        TECHNIQUES + " · data · checkpoints",
        "one concept each, with a registry of names; a table becomes arrays; what is kept of training",
    ),
    ("0", "_compat · _choices · _layout · …", "private names of others; name or object → object; flat vectors"),
]


# SVG, from text alone: the same bytes on every machine.


def words(x: float, y: float, text: str, size: int = 13, style: str = "", anchor: str = "start") -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{INK}"{style}>{escape(text)}</text>'
    )


def box(x: float, y: float, width: float, height: float, fill: str = PALE) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5" fill="{fill}" stroke="{INK}"/>'


def arrow(*points: tuple[float, float]) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#tip)"/>'


def picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    tip = '<path d="M0 0 L8 4 L0 8 z" fill="' + INK + '"/>'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(title)}</title>",
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">',
        f"{tip}</marker></defs>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        '<g font-family="Helvetica, Arial, sans-serif">',
        *parts,
        "</g></svg>",
    ]
    return "\n".join(lines) + "\n"


BOLD = ' font-weight="bold"'
GREY = ' fill-opacity="0.75"'


def layers() -> str:
    """The layers, the highest on top."""
    parts, y = [], 16.0
    for number, names, text in LAYERS:
        long = len(names) > 80
        height = 66 if long else 48
        parts += [box(52, y, 640, height), words(30, y + height / 2 + 5, number, 15, BOLD, "middle")]
        split = names.split(" · ")
        rows = [" · ".join(split[:5]) + " ·", " · ".join(split[5:])] if long else [names]
        parts += [words(66, y + 20 + 18 * i, row, 13, BOLD) for i, row in enumerate(rows)]
        parts += [words(66, y + 20 + 18 * len(rows), text, 12, GREY)]
        y += height + 8
    parts += [
        arrow((714, 24), (714, y - 16)),
        words(732, y / 2, "imports", 12),
        words(732, y / 2 + 16, "only from", 12),
    ]
    parts += [words(732, y / 2 + 32, "below", 12)]
    return picture(800, round(y + 8), "The layers of sknnopt", parts)


def way() -> str:
    """The way of the data: from fits, through a cohort, to fitted attributes."""
    parts = []
    for i, y in enumerate((56, 128, 200)):
        parts += [box(14, y, 104, 44), words(66, y + 18, f"fit {i + 1}", 13, BOLD, "middle")]
        parts += [words(66, y + 34, "X, y, parameters", 11, GREY, "middle")]
        parts += [arrow((118, y + 22), (146, y + 22)), box(148, y, 104, 44)]
        parts += [
            words(200, y + 18, "encoder", 13, BOLD, "middle"),
            words(200, y + 34, "own rows only", 11, GREY, "middle"),
        ]
        parts += [arrow((252, y + 22), (280, y + 22)), box(282, y, 104, 44)]
        parts += [words(334, y + 18, "Job", 13, BOLD, "middle")]
        parts += [words(334, y + 34, "arrays, seed", 11, GREY, "middle")]
        parts += [arrow((386, y + 22), (424, y + 22))]
        parts += [arrow((648, y + 22), (684, y + 22)), box(686, y, 104, 44)]
        parts += [words(738, y + 18, "Result", 13, BOLD, "middle")]
        parts += [words(738, y + 34, "weights, history", 11, GREY, "middle")]
        parts += [arrow((790, y + 22), (818, y + 22)), box(820, y, 116, 44)]
        parts += [words(878, y + 18, "module_", 13, BOLD, "middle")]
        parts += [words(878, y + 34, "predict, history_", 11, GREY, "middle")]
    parts += [box(426, 40, 222, 232, "#ffffff"), words(537, 60, "engine: one cohort", 13, BOLD, "middle")]
    for i, offset in enumerate((28, 14, 0)):
        parts += [box(452 + offset, 76 + offset, 132, 58, (PALE, "#dcdcd8", "#c6c6c2")[2 - i])]
    parts += [words(518, 102, "weights", 12, BOLD, "middle"), words(518, 120, "(K, O, F)", 12, "", "middle")]
    for i, text in enumerate(
        ("a batch of rows each: (K, F, B)", "forward, loss (K, B), backward", "one optimizer step for all K")
    ):
        parts += [words(440, 186 + 19 * i, f"{i + 1}. {text}", 12)]
    parts += [words(440, 247, "each epoch: scores; who is done", 12), words(440, 262, "leaves the cohort", 12)]
    titles = (
        (66, "candidates \N{MULTIPLICATION SIGN} folds"),
        (200, "data"),
        (334, "estimators"),
        (738, "engine"),
        (878, "estimators"),
    )
    parts += [words(x, 28, text, 12, GREY, "middle") for x, text in titles]
    return picture(950, 288, "The way of the data", parts)


def sixteen() -> Sequence[str]:
    """``TABLES`` of benchmarks/_protocol.py, which imports what not every machine has."""
    tree = ast.parse((ROOT / "benchmarks" / "_protocol.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    return ast.literal_eval(assigned["TABLES"])


def measured() -> tuple[list[str], dict[str, np.ndarray]]:
    """The models that every table has been measured with, and their mean ranks and seconds."""
    everything = json.loads((ROOT / "benchmarks" / "results" / "accuracy.json").read_text(encoding="utf-8"))
    names = sixteen()
    records = [r for r in everything if r["rows"] == ROWS and r["table"] in names and r["seed"] in SEEDS]
    models = [model for model in MODELS if any(record["model"] == model for record in records)]
    columns = {}
    for value, larger in (("score", True), ("log_loss", False)):
        _, values = matrix(means(records, value), models)
        columns[value] = summary(values, models, larger)["mean rank"]
    runs = {model: {(r["table"], r["seed"]): r["fit_cpu"] for r in records if r["model"] == model} for model in models}
    common = set.intersection(*(set(found) for found in runs.values()))
    columns["seconds"] = np.array([sum(runs[model][key] for key in sorted(common)) for model in models])
    columns["fits"] = np.array([len(common)])
    order = np.argsort(columns["score"], kind="stable")
    return [models[i] for i in order], {
        name: column[order] if name != "fits" else column for name, column in columns.items()
    }


def ranks() -> str:
    """Mean rank in accuracy or R², a bar a model; ours are dark, so that grey tells them apart."""
    models, columns = measured()
    most, left, scale = len(models), 230, 44.0
    parts = [words(14, 24, "Mean rank in accuracy or R² over 16 tables (1: best of all on every table)", 13, BOLD)]
    for i, (model, rank) in enumerate(zip(models, columns["score"], strict=True)):
        y, ours = 44 + 26 * i, model.startswith("sknnopt")
        name = MODELS[model].replace("`", "")
        parts += [words(left - 10, y + 14, name, 13, BOLD if ours else "", "end")]
        parts += [
            f'<rect x="{left}" y="{y}" width="{scale * rank:.1f}" height="18" fill="{OURS if ours else "#c9c9c5"}"/>',
            words(left + scale * rank + 8, y + 14, f"{rank:.1f}"),
        ]
    return picture(round(left + scale * most + 40), 62 + 26 * most, "Mean ranks of eleven models", parts)


def table() -> str:
    """README's table."""
    models, columns = measured()
    header = ["", "mean rank, accuracy or R²", "mean rank, log loss", f"CPU seconds, {columns['fits'][0]} fits"]
    rows = [
        [MODELS[model], f"{columns['score'][i]:.1f}", f"{columns['log_loss'][i]:.1f}", f"{columns['seconds'][i]:,.0f}"]
        for i, model in enumerate(models)
    ]
    return markdown(header, rows) + "\n"


def files() -> dict[Path, str]:
    """What is to be in each file."""
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(BEGIN)
    return {
        STATIC / "layers.svg": layers(),
        STATIC / "way.svg": way(),
        STATIC / "ranks.svg": ranks(),
        README: f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}",
    }


def main(arguments: list[str]) -> int:
    stale = [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not what docs/make_figures.py writes")
    if "--check" in arguments:
        return int(bool(stale))
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
