"""A fitted estimator as one ONNX graph, from raw columns to predictions."""

import importlib.util
import os
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sknnopt._compat import InvalidParameterError
from sknnopt._threads import single_thread
from sknnopt.data import ClassTarget
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.export._columns import ROWS, given_columns, input_names
from sknnopt.export._graph import Graph, Value, binary
from sknnopt.export._torch import export_torch
from sknnopt.export._translate import translate
from sknnopt.losses import Quantile

LEAST_OPSET = 17
"""That which has every operator used, and the default."""


@single_thread()
def export_onnx(
    estimator: NNClassifier | NNRegressor, path: str | os.PathLike[str], *, opset: int | None = None, missing: str = ""
) -> None:
    """Write a fitted estimator as one ONNX graph, from a raw table to predictions.

    Its inputs, each of any number n of rows:

    - A table with column names has one input for each column, of its name and of shape (n, 1); one without has
      ``x0``, ``x1`` and so on if any of its columns is of categories, and else the one input ``X``, (n, n_columns).
    - Columns of categories that are strings are of strings. A missing one is the string `missing`.
    - All others are of doubles: numbers, numbers and bools as categories, dates as seconds since 1970 in UTC, durations
      as seconds. NaN is missing.

    Its outputs: of a classifier ``label``, of the type of ``classes_``, and ``probabilities``, double
    (n, n_classes), with several labels both (n, n_labels); of a regressor ``prediction``, double (n,) or
    (n, n_targets), and where it has `predict_quantiles`, ``quantiles`` as from there. Where a column has such a name,
    that of the output has an underscore more.

    It predicts what `predict` does, but for rounding; levels unseen in `fit` included. But rows are not checked: an
    infinite number, which ``predict`` refuses, counts as the largest.

    Parameters
    ----------
    estimator : NNClassifier or NNRegressor
        Fitted. A network of one's own must be made of what is translated: dense layers, normalisation, activations,
        arithmetic, changes of shape; and torch.fx must be able to trace it.
    path : str or path-like
        Overwritten.
    opset : int, default=None
        Version of ONNX's operators, 17 or later; 17 by default, which the most runtimes know.
    missing : str, default=""
        What stands for a missing category; not a level itself.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    TypeError
        If it is another estimator, or levels or classes are neither strings nor numbers.
    ValueError
        If `missing` is a level, or `opset` is not known.
    NotImplementedError
        If a network of one's own cannot be translated.

    Examples
    --------
    >>> import pandas as pd, tempfile, onnxruntime
    >>> from sknnopt import NNClassifier, export_onnx
    >>> X = pd.DataFrame({"size": [1.0, None, 3.0, 9.0], "colour": ["red", "blue", "red", None]})
    >>> clf = NNClassifier(n_members=1, max_epochs=2, random_state=0).fit(X, ["no", "yes", "no", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(clf, f"{folder}/model.onnx")
    ...     session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
    >>> row = {"size": np.array([[2.0]]), "colour": np.array([["unseen"]], dtype=object)}
    >>> label, probabilities = session.run(["label", "probabilities"], row)
    >>> probabilities.shape
    (1, 2)
    """
    _check_opset(opset)
    quantiles = isinstance(getattr(estimator, "loss_", None), Quantile)
    module = export_torch(estimator, quantiles=quantiles)
    inputs = input_names(estimator)
    outputs = [_free(name, inputs) for name in _outputs(estimator, quantiles=quantiles)]
    graph = Graph(opset or LEAST_OPSET, [*inputs, *outputs])
    found = translate(module, graph, *given_columns(estimator, graph, inputs, missing))
    if isinstance(estimator, NNClassifier):
        found = (_labels(graph, estimator.target_, found), found)
    for name, value in zip(outputs, found if isinstance(found, tuple) else (found,), strict=True):
        assert value.shape is not None
        graph.output(name, value, ["n", *value.shape[1:]])
    Path(path).write_bytes(graph.model().SerializeToString())


def _check_opset(opset: Any) -> None:
    if importlib.util.find_spec("onnx") is None:
        raise ImportError("export_onnx needs the package onnx. Install it: pip install onnx, or 'sknnopt[onnx]'.")
    from onnx.defs import onnx_opset_version

    newest = onnx_opset_version()
    known = isinstance(opset, Integral) and not isinstance(opset, bool) and LEAST_OPSET <= int(opset) <= newest
    if opset is not None and not known:
        raise InvalidParameterError(
            f"The 'opset' parameter of export_onnx must be None or an int in the range [{LEAST_OPSET}, {newest}], of"
            f" which the last is the newest that the installed onnx knows. Got {opset!r} instead."
        )


def _outputs(estimator: Any, *, quantiles: bool) -> list[str]:
    if isinstance(estimator, NNClassifier):
        return ["label", "probabilities"]
    return ["prediction", "quantiles"] if quantiles else ["prediction"]


def _free(name: str, inputs: Sequence[str]) -> str:
    return _free(f"{name}_", inputs) if name in inputs else name


def _labels(graph: Graph, target: ClassTarget, probabilities: Value) -> Value:
    """Return the likeliest classes (n,), or 1 for each label (n, L) that is likelier than not."""
    if target.kind == "multilabel":
        labels = binary("Greater", probabilities, 0.5, torch.bool).to(torch.int64)
        labels.shape = probabilities.shape
        return labels
    place = graph.op("ArgMax", probabilities, dtype=torch.int64, axis=1, keepdims=0)
    classes = target.classes_
    if classes.dtype.kind in "iu":
        classes = classes.astype(np.int64)
    elif all(isinstance(label, str) for label in classes.tolist()):
        classes = classes.astype(object)
    elif classes.dtype.kind not in "bf":
        raise TypeError(f"Classes must be strings, numbers or bools to be exported, got {classes.tolist()[:3]}.")
    labels = graph.op("Gather", classes, place, axis=0)
    labels.shape = (ROWS,)
    return labels
