"""The inputs of an ONNX graph: raw columns, brought to numbers and codes of categories."""

from collections.abc import Hashable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt.data.reading import naming
from sknnopt.export._graph import STRING, Graph, Value
from sknnopt.export._translate import translate

__all__ = ["ROWS", "given_columns", "input_names"]

ROWS = 5
"""Rows that a network is traced with."""

TABLE = "X"
"""The one input of a table of unnamed numbers."""


def input_names(estimator: Any) -> list[str]:
    """Return the names of the inputs."""
    if hasattr(estimator, "feature_names_in_"):
        return [str(name) for name in estimator.feature_names_in_]
    encoder = estimator.preprocessor_
    if encoder is None or not len(encoder.categorical_columns_):
        return [TABLE]
    return [f"x{place}" for place in range(estimator.n_features_in_)]


def given_columns(
    estimator: Any, graph: Graph, names: Sequence[str], missing: str
) -> tuple[list[Value | None], list[Tensor]]:
    """Return numbers and codes, which the exported module takes, and a sample of each.

    Raises
    ------
    TypeError
        If levels are neither strings nor numbers.
    ValueError
        If `missing` is a level.
    """
    encoder, count = estimator.preprocessor_, estimator.n_features_in_
    numbers: list[Value] = []
    codes: list[Value] = []
    if names == [TABLE]:
        numbers.append(graph.input(TABLE, torch.float64, ["n", count]))
    else:
        categorical = [] if encoder is None else encoder.categorical_columns_.tolist()
        for column, name in enumerate(names):
            if column in categorical:
                with naming(name):
                    levels = encoder.categories_[categorical.index(column)]
                    codes.append(_codes(graph, name, levels.tolist(), missing))
            else:
                numbers.append(graph.input(name, torch.float64, ["n", 1]))
    sample = torch.zeros((ROWS, count if not codes else len(numbers)), dtype=torch.float64)
    found: list[Value | None] = [graph.op("Concat", *numbers, axis=1) if numbers else None]
    if not codes:
        return found, [sample]
    return [*found, graph.op("Concat", *codes, axis=1)], [sample, torch.zeros((ROWS, len(codes)), dtype=torch.int64)]


def _codes(graph: Graph, name: str, levels: Sequence[Hashable], missing: str) -> Value:
    """Return the codes of a new input."""
    there = {level: code for code, level in enumerate(levels) if level == level}
    of_missing = len(there) if len(there) < len(levels) else -1
    if all(isinstance(level, str) for level in there):
        return _codes_of_strings(graph, name, there, missing, of_missing)
    if not all(isinstance(level, Real | np.bool_) for level in there):
        odd = next(level for level in there if not isinstance(level, str | Real | np.bool_))
        raise TypeError(f"levels must be strings, numbers or bools to be exported, got {odd!r}, a {type(odd).__name__}")
    numbers = np.array([float(level) for level in there])  # type: ignore[arg-type]
    if len(np.unique(numbers)) < len(numbers):
        raise TypeError("levels are too large to be told apart as doubles")
    module = NumberCodes(numbers, of_missing)
    found: Value = translate(
        module, graph, [graph.input(name, torch.float64, ["n", 1])], [torch.zeros((ROWS, 1)).double()]
    )
    return found


def _codes_of_strings(graph: Graph, name: str, codes: dict[Any, int], missing: str, of_missing: int) -> Value:
    if missing in codes:
        raise ValueError(
            f"{missing!r}, which the 'missing' parameter of export_onnx says stands for a missing category, is a level"
            " itself. Pass another string."
        )
    known = {**codes, missing: of_missing}
    options = {"keys_strings": [*map(str, known)], "values_int64s": [*known.values()], "default_int64": -1}
    column = graph.input(name, STRING, ["n", 1])
    return graph.op("LabelEncoder", column, dtype=torch.int64, domain="ai.onnx.ml", **options)


class NumberCodes(nn.Module):
    """A column (B, 1) of numbers that are levels, to their codes."""

    levels: Tensor
    codes: Tensor

    def __init__(self, levels: Any, missing: int) -> None:
        super().__init__()
        order = np.argsort(levels)
        self.missing = missing
        self.register_buffer("levels", torch.from_numpy(levels[order]).unsqueeze(0))
        self.register_buffer("codes", torch.from_numpy(order).unsqueeze(0))

    def forward(self, column: Tensor) -> Tensor:
        """Return the codes (B, 1)."""
        there = torch.where(torch.isnan(column), 0.0, column).transpose(0, 1).contiguous()
        place = torch.searchsorted(self.levels, there).clamp(max=self.levels.shape[1] - 1)
        found = torch.where(torch.gather(self.levels, 1, place) == there, torch.gather(self.codes, 1, place), -1)
        return torch.where(torch.isnan(column), self.missing, found.transpose(0, 1))
