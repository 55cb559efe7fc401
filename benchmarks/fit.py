"""Time of a fit as a ratio to scikit-learn's MLPClassifier and to skorch: same network, batch size and Adam.

One process, one thread, 20,000 x 54 float32 -> 7 classes, 10 epochs, no early stopping. Each repeat fits all
in turn; ratios are taken within a repeat and their median is reported.

    python benchmarks/fit.py [--repeats 5] [--shapes 32 100 128,128] [--peers]
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import skorch
import torch
from _common import (
    N_CLASSES,
    N_FEATURES,
    classification_table,
    interleaved,
    machine,
    median_ratio,
    one_thread,
)
from _table import print_table
from sklearn.neural_network import MLPClassifier
from torch import nn

N_ROWS = 20_000
EPOCHS = 10
LEARNING_RATE = 1e-3
DROPOUT_TARGET = 1.4


@dataclass(frozen=True)
class Shape:
    """A network, its batch size and the largest allowed ratios of our time to the peers'."""

    hidden: tuple[int, ...]
    batch_size: int
    to_sklearn: float
    to_skorch: float


SHAPES = {
    "32": Shape((32,), 32, 0.6, 0.22),
    "100": Shape((100,), 200, 0.5, 0.12),
    "128,128": Shape((128, 128), 200, 0.5, 0.25),
    "256,256,256": Shape((256, 256, 256), 256, 0.75, 0.7),
}


def perceptron(hidden: tuple[int, ...]) -> nn.Sequential:
    widths = [N_FEATURES, *hidden]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], N_CLASSES))


def sklearn_estimator(shape: Shape, epochs: int) -> MLPClassifier:
    return MLPClassifier(
        shape.hidden,
        alpha=0.0,
        batch_size=shape.batch_size,
        learning_rate_init=LEARNING_RATE,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        tol=0.0,
        random_state=0,
    )


def skorch_estimator(shape: Shape, epochs: int) -> skorch.NeuralNetClassifier:
    torch.manual_seed(0)
    return skorch.NeuralNetClassifier(
        perceptron(shape.hidden),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        max_epochs=epochs,
        batch_size=shape.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def our_estimator(shape: Shape, epochs: int, dropout: float = 0.0) -> Any:
    from sknnopt import NNClassifier

    return NNClassifier(
        hidden_layer_sizes=shape.hidden,
        activation="relu",
        normalization=None,
        numeric_embedding=None,
        categorical_embedding=None,
        dropout=dropout,
        optimizer="adam",
        learning_rate=LEARNING_RATE,
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        batch_size=shape.batch_size,
        max_epochs=epochs,
        gradient_clipping=None,
        weight_averaging=None,
        regularization=None,
        label_smoothing=0.0,
        early_stopping=False,
        n_members=1,
        preprocessing=None,
        device="cpu",
        precision="float32",
        random_state=0,
    )


def works(shape: Shape, epochs: int, X: np.ndarray, y: np.ndarray, ours: bool) -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {
        "sklearn": lambda: sklearn_estimator(shape, epochs).fit(X, y),
        "skorch": lambda: skorch_estimator(shape, epochs).fit(X, y),
    }
    if ours:
        found["sknnopt"] = lambda: our_estimator(shape, epochs).fit(X, y)
        if shape is SHAPES["100"]:
            found["sknnopt, dropout 0.2"] = lambda: our_estimator(shape, epochs, dropout=0.2).fit(X, y)
    return found


def rows(shape: Shape, times: dict[str, list[float]]) -> list[list[str]]:
    label = f"{shape.hidden} / {shape.batch_size}"
    found = [[label, name, f"{statistics.median(taken):.3f}", "", "", "", ""] for name, taken in times.items()]
    comparisons = [
        ("sknnopt", "sklearn", shape.to_sklearn),
        ("sknnopt", "skorch", shape.to_skorch),
        ("sknnopt, dropout 0.2", "sknnopt", DROPOUT_TARGET),
    ]
    for name, reference, target in comparisons:
        if name in times:
            ratio, least, largest = median_ratio(times, name, reference)
            verdict = "met" if ratio <= target else "MISSED"
            spread = f"{least:.3f} to {largest:.3f}"
            found.append([label, f"{name} / {reference}", "", f"{ratio:.3f}", spread, f"{target:g}", verdict])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--peers", action="store_true", help="time only scikit-learn and skorch")
    options = parser.parse_args()
    one_thread()
    print(machine())
    X, y = classification_table(N_ROWS)
    table = []
    for name in options.shapes:
        shape = SHAPES[name]
        interleaved(works(shape, 1, X, y, not options.peers), 1)
        times = interleaved(works(shape, EPOCHS, X, y, not options.peers), options.repeats)
        table += rows(shape, times)
    print_table(["hidden / batch", "fit", "seconds", "ratio", "least to largest", "target", ""], table)


if __name__ == "__main__":
    main()
