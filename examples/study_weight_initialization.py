"""
Initial weights: why zeros fail, and what the others are worth
==============================================================

Weights have to start somewhere. First it is shown what goes wrong where they all start equal; then every initializer of
``sknnopt.initializers.names()`` is tried on a shallow and a deep network, with ReLU and with tanh.
"""

# %%
# Equal weights: the failure
# --------------------------
# Digits, two hidden layers of 64. After training, how many different units has the first hidden layer, that is, how
# many different rows has its weight matrix? And how large was the gradient of each weight matrix before the first step?
# (One epoch at a rate of next to nothing leaves the network as it was initialized; ``module_`` is a torch module.)

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from sknnopt import NNClassifier, compare, initializers

X, y = load_digits(return_X_y=True)
network = NNClassifier(
    hidden_layer_sizes=(64, 64), activation="relu", dropout=0.0, label_smoothing=0.0, optimizer="momentum",
    learning_rate=0.05, max_epochs=12, numeric_embedding=None, schedule="cosine", weight_averaging=None,
    n_members=1, random_state=0,
)  # fmt: skip


def gradient_norms(estimator):
    """Norm of the loss's gradient for each weight matrix, before the first step."""
    start = clone(estimator).set_params(optimizer="sgd", learning_rate=1e-12, max_epochs=1).fit(X, y)
    rows, codes = torch.as_tensor(start.preprocessor_.transform(X)), torch.as_tensor(y)
    nn.functional.cross_entropy(start.module_(rows), codes).backward()
    return [weight.grad.norm().item() for weight in start.module_.parameters() if weight.ndim == 2]


cases = {
    "zeros": {"initializer": "zeros"},
    "constant": {"initializer": "constant"},
    "constant, dropout 0.2": {"initializer": "constant", "dropout": 0.2},
    "zero_output": {"initializer": "zero_output"},
    "kaiming_uniform": {"initializer": "kaiming_uniform"},
}
print(f"{'':24}{'gradient of the weights before the first step':>48}{'different':>12}{'training':>10}")
print(f"{'initializer':24}{'layer 1':>16}{'layer 2':>16}{'output':>16}{'units':>12}{'accuracy':>10}")
for label, parameters in cases.items():
    trained = clone(network).set_params(**parameters).fit(X, y)
    units = len(np.unique(trained.module_.dense_0.weight.detach().numpy().round(5), axis=0))
    norms = "".join(f"{norm:16.6f}" for norm in gradient_norms(trained))
    print(f"{label:24}{norms}{units:12d}{trained.score(X, y):10.3f}")

# %%
# Every initializer, by depth and activation
# ------------------------------------------
# Names that mean the same (Glorot and Xavier, He and Kaiming) once. The first, the estimators' default, is what the
# others are tested against.

unique = {repr(initializers.get(name)): name for name in initializers.names()}.values()
names = ["kaiming_uniform", *(name for name in unique if name != "kaiming_uniform")]
found = {}
for activation in ("relu", "tanh"):
    for depth in (2, 8):
        shaped = clone(network).set_params(activation=activation, hidden_layer_sizes=(64,) * depth)
        found[f"{activation}, {depth} layers"] = compare(shaped, X, y, {"initializer": names}, cv=5)

print(f"\ndeep, with ReLU:\n{found['relu, 8 layers']}\n")
marks = {"reference": "ref", "better": "+", "worse": "-", "no difference": "="}
print(f"{'test accuracy':20}" + "".join(f"{label:>18}" for label in found))
for i, name in enumerate(names):
    cells = ((one.results_["mean_test_score"][i], marks[one.results_["verdict"][i]]) for one in found.values())
    print(f"{name:20}" + "".join(f"{score:14.3f} {mark:>3}" for score, mark in cells))

# %%
# The picture, sorted by the deep network with ReLU.

order = np.argsort(found["relu, 8 layers"].results_["mean_test_score"])
figure, axes = plt.subplots(1, 2, figsize=(12, 6.5), sharey=True, layout="constrained")
for ax, activation in zip(axes, ("relu", "tanh"), strict=True):
    for depth, marker, color in ((2, "o", "0.45"), (8, "D", "black")):
        results = found[f"{activation}, {depth} layers"].results_
        ax.errorbar(
            results["mean_test_score"][order], range(len(names)), xerr=results["std_test_score"][order], fmt=marker,
            color=color, markerfacecolor="white" if depth == 2 else color, label=f"{depth} hidden layers",
        )  # fmt: skip
    ax.set_title(activation)
    ax.set_xlabel("test accuracy, mean ± standard deviation of 5 folds")
    ax.grid(color="0.9")
axes[0].set_yticks(range(len(names)), [names[i] for i in order])
axes[0].set_ylabel("initializer")
axes[1].legend(loc="center left")
if len(sys.argv) > 1:
    figure.savefig(f"{sys.argv[1]}/study_weight_initialization.png", dpi=100)

# %%
# What to take from it
# --------------------
# Zeros: with ReLU every hidden unit is zero, no weight has a gradient, and only the output's bias learns (0.102 after
# training, and one unit 64 times over). A constant: all units of a layer are equal and get equal gradients, so that 64
# units are one; and as the gradients of a softmax add up to zero over the classes, equal output weights send nothing
# back at first. Dropout tells the units apart (64 different ones), and still 0.270 of the training rows are right.
# What is often said, "never start with zeros", holds for hidden layers only: with a zero output layer over random
# hidden ones (``zero_output``) the network trains as well as any, to 0.990.
#
# Among the initializers that know the size of a layer, the choice hardly matters. With two hidden layers none is told
# from the default, with eight only ``lecun_uniform`` under ReLU (0.832 against 0.904), whose weights are too small for
# it; under tanh the same is among the best (0.920). It is often said that ReLU needs He and tanh Xavier; here each
# takes both, for the library multiplies either by the gain of the activation.
#
# What matters is that the size is known. The fixed ``normal``, ``truncated_normal`` and ``uniform`` (0.05) lose up to
# a fifth of the accuracy in two layers and everything in eight (0.100).
#
# In practice: leave ``initializer="auto"``; try ``"orthogonal"`` or ``"identity"`` for deep networks, without
# expecting much.
