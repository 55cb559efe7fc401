"""
Vanishing gradients: made, seen and cured
=========================================

A network of eight layers of sigmoids is the classical network that does not learn. On the way back each layer
multiplies the gradient by its weights and by the slope of the sigmoid, which is a quarter at most, so that the first
layers hear next to nothing of the error. Here that network is made, its gradient is measured layer by layer before
the first step, and each of the usual remedies is tried by itself.
"""

# %%
# The trouble
# -----------
# Digits: 1,797 images of 64 pixels, ten classes. The optimizer is plain SGD with momentum: Adam divides gradients by
# their size and so would hide what is to be seen (it gets a row of its own below).

import sys

import matplotlib.pyplot as plt
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from sknnopt import NNClassifier, compare
from sknnopt.initializers import Normal
from sknnopt.inspection import ComparisonDisplay

X, y = load_digits(return_X_y=True)
network = NNClassifier(
    hidden_layer_sizes=(64,) * 8, activation="sigmoid", initializer="xavier_uniform", dropout=0.0,
    label_smoothing=0.0, optimizer="momentum", learning_rate=0.1, max_epochs=20, numeric_embedding=None,
    schedule="cosine", weight_averaging=None, n_members=1, random_state=0,
)  # fmt: skip

# %%
# Each remedy changes one thing.

candidates = {
    "sigmoid, xavier": {},
    "initializer: orthogonal": {"initializer": "orthogonal"},
    "initializer: lsuv": {"initializer": "lsuv"},
    "initializer: normal, std 0.7": {"initializer": Normal(std=0.7)},
    "initializer: data_dependent": {"initializer": "data_dependent"},
    "activation: tanh": {"activation": "tanh"},
    "activation: relu": {"activation": "relu"},
    "normalization: layer": {"normalization": "layer"},
    "normalization: batch": {"normalization": "batch"},
    "residual: 4 blocks of 2": {"network": "resnet", "hidden_layer_sizes": (64,) * 4},
    "optimizer: rate 1": {"learning_rate": 1.0},
    "optimizer: adamw": {"optimizer": "adamw", "learning_rate": 0.003},
    "depth: 2 layers": {"hidden_layer_sizes": (64,) * 2},
}

# %%
# The gradient before the first step
# ----------------------------------
# One epoch at a rate of next to nothing leaves the network as the initializer made it. ``module_`` is a plain torch
# module, so torch's autograd tells the rest: the norm of the gradient of each weight matrix and, since a layer
# can only learn from what tells its rows apart, by how much the rows still differ in the last hidden layer.


def at_start(estimator):
    """The gradient's norm for each weight matrix, and the standard deviation over rows of the last hidden layer."""
    start = clone(estimator).set_params(optimizer="sgd", learning_rate=1e-12, max_epochs=1).fit(X, y)
    module = start.module_.train()
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    seen = []
    linear[-1].register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0].detach()))
    rows, codes = torch.as_tensor(start.preprocessor_.transform(X)), torch.as_tensor(y)
    nn.functional.cross_entropy(module(rows), codes).backward()
    return [layer.weight.grad.norm().item() for layer in linear], seen[0].std(dim=0).mean().item()


norms = {}
print(f"{'before the first step':30} {'first layer':>12} {'last layer':>12} {'ratio':>9} {'rows differ by':>15}")
for label, parameters in candidates.items():
    norms[label], spread = at_start(clone(network).set_params(**parameters))
    first, last = norms[label][0], norms[label][-1]
    print(f"{label:30} {first:12.6f} {last:12.6f} {first / last:9.6f} {spread:15.5f}")

# %%
# What comes of it
# ----------------

found = compare(network, X, y, candidates, cv=5)
print(f"\n{found}")

# %%
# The picture: on the left the gradients, on the right the accuracy after 20 epochs.

shown = {
    "sigmoid, xavier": ("black", "-", "o"),
    "initializer: lsuv": ("0.45", "--", "s"),
    "initializer: normal, std 0.7": ("0.45", "-", "^"),
    "initializer: data_dependent": ("tab:blue", "-", "D"),
    "activation: relu": ("tab:orange", "--", "v"),
    "normalization: layer": ("0.45", ":", "P"),
    "normalization: batch": ("tab:green", "-.", "X"),
    "residual: 4 blocks of 2": ("tab:red", ":", "*"),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6.6), layout="constrained")
for label, (color, line, marker) in shown.items():
    left.semilogy(
        range(1, len(norms[label]) + 1), norms[label], color=color, linestyle=line, marker=marker, label=label
    )
left.set_xlabel("weight matrix, counted from the input")
left.set_ylabel("norm of the loss's gradient before the first step")
left.grid(color="0.9")
left.legend(loc="lower right")
ComparisonDisplay.from_comparison(found, ax=right)
if len(sys.argv) > 1:
    figure.savefig(f"{sys.argv[1]}/trouble_vanishing_gradients.png", dpi=100)

# %%
# What to take from it
# --------------------
# The gradient of the first layer is almost 60,000 times smaller than that of the last, and nothing is learned: 0.100
# is chance, on the training rows too. A ten times larger rate does not change that, and neither does AdamW, which
# divides gradients by their size: 0.193. Large gradients are not enough, since in the last hidden layer all rows look
# alike (they differ by 0.00001).
#
# What helps lets the rows differ. ReLU (0.922), tanh (0.919), batch normalization (0.942), residual connections
# (0.922) and data-dependent initial weights (0.930) each do it alone, the last with the sigmoids left in place. It is
# often said that LSUV and layer normalization cure vanishing gradients. Here they make the first gradient 35 and 50
# times larger and leave the accuracy at 0.100: they set the variance over all rows and units together, or over the
# units of a row, and nearly all of it is between units and the same for every row. Batch normalization and
# ``data_dependent`` set it for each unit over the rows. Xavier's and orthogonal weights, made for activations of slope
# one at zero, are no cure for a slope of a quarter; simply larger ones (0.814) are half of one.
#
# In practice: the remedy is the activation. Who needs sigmoids in the hidden layers starts them data-dependently or
# normalizes over the batch.
