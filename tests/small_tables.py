"""Small tables of every kind of column, target and weight, each made from its seed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

COLUMNS = [
    "normal",
    "missing",
    "whole",
    "huge",
    "constant",
    "heavy",
    "category",
    "strings",
    "bools",
    "dates",
    "objects",
]
NUMERIC = ["normal", "whole", "constant", "heavy"]


@dataclass(frozen=True)
class Data:
    """A small table, made from its seed."""

    rows: int
    columns: tuple[str, ...]
    kind: str
    target: str
    weights: str
    seed: int

    def make(self) -> tuple[Any, Any, Any]:
        """Return X, y and sample weights."""
        random = np.random.default_rng(self.seed)
        table = pd.DataFrame({f"c{k}": _column(name, random, self.rows) for k, name in enumerate(self.columns)})
        return _as_kind(table, self.kind), _target(self.target, random, self.rows), _weights(self, random)


def _column(name: str, random: np.random.Generator, n: int) -> Any:
    normal = random.normal(size=n)
    levels = np.array(["a", "b\0", "", "long" * 50])[random.integers(0, 4, n)]
    made: dict[str, Callable[[], Any]] = {
        "normal": lambda: normal,
        "missing": lambda: np.where(random.random(n) < 0.4, np.nan, normal),
        "whole": lambda: random.integers(-3, 9, n),
        "huge": lambda: normal * 10.0 ** random.integers(-300, 300),
        "constant": lambda: np.full(n, normal[0]),
        "heavy": lambda: np.where(normal > 1, np.exp(9 * normal), 0.0),
        "category": lambda: pd.Categorical(levels),
        "strings": lambda: pd.Series(levels, dtype=object),
        "bools": lambda: normal > 0,
        "dates": lambda: pd.to_datetime([date.fromordinal(700_000 + int(999 * x)) for x in normal]),
        "objects": lambda: pd.Series([None if x < 0 else int(9 * x) for x in normal], dtype=object),
    }
    return made[name]()


def _as_kind(table: pd.DataFrame, kind: str) -> Any:
    if kind == "frame":
        return table
    numbers = table.to_numpy(dtype=np.float64)
    made: dict[str, Callable[[], Any]] = {
        "float64": lambda: numbers,
        "float32": lambda: numbers.astype(np.float32),
        "fortran": lambda: np.asfortranarray(numbers),
        "sparse": lambda: sparse.csr_array(numbers),
        "list": numbers.tolist,
    }
    return made[kind]()


def _target(name: str, random: np.random.Generator, n: int) -> Any:
    classes = np.arange(n) % 3
    made: dict[str, Callable[[], Any]] = {
        "binary": lambda: classes > 0,
        "strings": lambda: np.array(["", "b", "c\0d"])[classes],
        "rare": lambda: np.arange(n) // max(1, n - 2),
        "labels": lambda: (random.random((n, 3)) < 0.4).astype(int),
        "number": lambda: random.normal(size=n) ** 2 + 0.1,
        "numbers": lambda: np.column_stack([random.random(n) + 0.1, np.ones(n)]),
        "large": lambda: (random.random(n) + 0.1) * 10.0 ** random.integers(-290, 290),
    }
    return made[name]()


def _weights(data: Data, random: np.random.Generator) -> Any:
    made: dict[str, Callable[[], Any]] = {
        "none": lambda: None,
        "ones": lambda: np.ones(data.rows),
        "whole": lambda: 1 + random.integers(0, 3, data.rows),
        "some zero": lambda: np.where(np.arange(data.rows) < 4, 1.0, random.random(data.rows) > 0.3),
        "wide": lambda: 10.0 ** random.integers(-30, 30, data.rows),
    }
    return made[data.weights]()
