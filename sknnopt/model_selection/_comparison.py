"""What a comparison has found: figures of every candidate, as arrays, a frame and a table."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sknnopt.model_selection._candidates import Candidates
from sknnopt.model_selection._significance import corrected_t_test, holm
from sknnopt.model_selection._text import MISSING, Column, html_table, numbers, plain_table, score_places, spread

ALPHA = 0.05
"""Level of the test."""

WIDTH = 118
"""Characters of a line of the table."""

COUNTS = ("n_parameters", "n_nonzero_weights", "memory_bytes")
"""Figures that are whole numbers."""

MARKS = {"better": "+", "worse": "-", "no difference": "=", "reference": "ref", "": MISSING}
"""What the table shows for each verdict."""


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What :func:`~sknnopt.compare` returns; printed, it is a table.

    Attributes
    ----------
    results_ : dict of str to ndarray or list
        One entry a candidate, in the order of the candidates; the first is the reference.

        - ``label``, ``params``: its name and what it sets.
        - ``split<i>_test_score``, ``split<i>_train_score``, ``mean_test_score``, ``std_test_score``,
          ``mean_train_score``, ``std_train_score``: as in ``cv_results_`` of a search.
        - ``mean_fit_time``, ``std_fit_time``: seconds of a fit, encoding included; in lockstep a network's share of its
          cohort's time.
        - ``final_loss``: training loss of the epoch whose weights were kept.
        - ``convergence_epoch``: first epoch in which the loss (of the withheld rows, where there are some, else of
          the training rows) has come 99 % of the way from its value after the first epoch to its lowest.
        - ``n_parameters``: trainable parameters, of all members of an ensemble.
        - ``n_nonzero_weights``: entries other than zero in the weights, which are the parameters of two axes or more.
        - ``memory_bytes``: most bytes that tensors take at once while one such fit trains alone, its encoded rows
          included; measured on the first fold.
        - ``difference``: mean test score less the reference's.
        - ``p_value``: of the corrected resampled t-test against the reference, on the same folds.
        - ``p_value_holm``: that, corrected by Holm for the number of candidates.
        - ``verdict``: "better", "worse" or "no difference" at the level of 0.05 by ``p_value_holm``, "reference", or
          "" where there is no p-value.
        - ``error``: what the first fit or score to fail has raised, else "". All figures are then NaN.

        Figures of networks are means over folds, NaN for estimators without one. Counts are rounded to integers, if
        none is NaN.
    metric : str
        Name of the score.
    n_splits : int
        Number of folds.
    title : str
        What the labels are values of.
    """

    results_: dict[str, Any]
    metric: str
    n_splits: int
    title: str = "candidate"

    def __len__(self) -> int:
        return len(self.results_["label"])

    def to_frame(self) -> Any:
        """Return the results as a pandas DataFrame, with the labels as its index."""
        import pandas as pd

        columns = {name: values for name, values in self.results_.items() if name != "label"}
        return pd.DataFrame(columns, index=pd.Index(self.results_["label"], name=self.title))

    def to_text(self, width: int = WIDTH) -> str:
        """Return the table in lines of at most `width` characters, if that leaves 16 to the names."""
        lines = [line for note in self._notes() for line in textwrap.wrap(note, width)]
        return "\n".join([plain_table(*self._columns(), width), "", *lines])

    def __repr__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return html_table(*self._columns(), self._notes())

    def _columns(self) -> tuple[Column, list[Column]]:
        """Return the names and whatever columns have a figure."""
        r = self.results_
        decimals = score_places(r["mean_test_score"], r["std_test_score"])
        possible = [
            (r[f"mean_{part}_score"], spread(f"{part}\n{self.metric}", *self._scores(part), decimals))
            for part in ("test", "train")
        ]
        possible += [
            (r["p_value"], Column("p\n(Holm)", self._marks())),
            (r["final_loss"], numbers("final\nloss", r["final_loss"])),
            (r["convergence_epoch"], numbers("epochs\nto 99 %", r["convergence_epoch"])),
            (r["mean_fit_time"], numbers("fit\nseconds", r["mean_fit_time"])),
            (r["n_parameters"], numbers("\nparameters", r["n_parameters"], digits=0)),
            (r["n_nonzero_weights"], numbers("non-zero\nweights", r["n_nonzero_weights"], digits=0)),
            (r["memory_bytes"], numbers("memory\nMB", r["memory_bytes"] / 1e6)),
        ]
        shown = [column for values, column in possible if not np.isnan(np.asarray(values, dtype=float)).all()]
        return Column(self.title, list(self.results_["label"])), shown

    def _scores(self, part: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.results_[f"mean_{part}_score"], self.results_[f"std_{part}_score"]

    def _marks(self) -> list[str]:
        pairs = zip(self.results_["p_value_holm"], self.results_["verdict"], strict=True)
        return [f"{_p_text(p)} {MARKS[verdict]}".strip() for p, verdict in pairs]

    def _notes(self) -> list[str]:
        tested = int(np.count_nonzero(~np.isnan(self.results_["p_value"])))
        notes = [f"Mean ± standard deviation over {self.n_splits} folds." if self.n_splits > 1 else "One split."]
        if tested:
            correction = f", corrected by Holm for {tested} candidates" if tested > 1 else ""
            notes[0] += (
                f" p: corrected resampled t-test of the test scores against the first row{correction}; "
                f"+ better, - worse, = no difference found (level {ALPHA:g})."
            )
        failed = zip(self.results_["label"], self.results_["error"], strict=True)
        return notes + [f"{label} failed: {error}" for label, error in failed if error]


def _p_text(p: float) -> str:
    if np.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def summarize(
    candidates: Candidates, outcomes: Sequence[Sequence[Mapping[str, Any]]], *, metric: str, test_share: float
) -> Comparison:
    """Return the comparison of what each candidate has reached on each fold.

    Parameters
    ----------
    candidates : Candidates
    outcomes : sequence of sequence of dict
        For each candidate and fold what ``fit_and_measure`` has returned.
    metric : str
        Name of the score.
    test_share : float
        Test rows over training rows of a fold.
    """
    n_splits = len(outcomes[0])
    results: dict[str, Any] = {
        "label": np.array([one.label for one in candidates.members], dtype=object),
        "params": [one.parameters for one in candidates.members],
    }
    failed = np.array([any("error" in one for one in row) for row in outcomes])
    for kind in ("test_score", "train_score", "fit_time"):
        by_fold = _figures(outcomes, kind)
        if kind == "fit_time":
            by_fold[failed] = np.nan
        else:
            results |= {f"split{i}_{kind}": by_fold[:, i] for i in range(n_splits)}
        results |= {f"mean_{kind}": by_fold.mean(axis=1), f"std_{kind}": by_fold.std(axis=1)}
    for name in ("final_loss", "convergence_epoch", *COUNTS):
        mean = _figures([row[:1] if name == "memory_bytes" else row for row in outcomes], name).mean(axis=1)
        mean[failed] = np.nan
        results[name] = np.rint(mean).astype(np.int64) if name in COUNTS and not np.isnan(mean).any() else mean
    results |= _judge(_figures(outcomes, "test_score"), test_share)
    results["error"] = np.array([_first_error(row) for row in outcomes], dtype=object)
    return Comparison(results, metric, n_splits, candidates.title)


def _figures(outcomes: Sequence[Sequence[Mapping[str, Any]]], name: str) -> NDArray[np.float64]:
    """Return one figure of each candidate and fold, NaN for what it has not."""
    return np.array([[one.get(name, np.nan) for one in row] for row in outcomes], dtype=np.float64)


def _judge(scores: NDArray[np.float64], test_share: float) -> dict[str, NDArray[Any]]:
    """Return the test of each row of scores (candidates, folds) against the first."""
    differences = scores - scores[0]
    p = np.array([np.nan, *(corrected_t_test(row, test_share) for row in differences[1:])])
    corrected, mean = holm(p), differences.mean(axis=1)
    words = np.where(corrected > ALPHA, "no difference", np.where(mean > 0, "better", "worse")).astype(object)
    words[np.isnan(p)], words[0] = "", "reference"
    return {"difference": mean, "p_value": p, "p_value_holm": corrected, "verdict": words}


def _first_error(row: Sequence[Mapping[str, Any]]) -> str:
    failed = ((i, one["error"]) for i, one in enumerate(row) if one.get("error"))
    return next((f"fold {i + 1} of {len(row)}: {text}" for i, text in failed), "")
