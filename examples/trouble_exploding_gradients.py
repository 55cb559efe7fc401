"""
Exploding gradients: made, seen and cured
=========================================

Too large a step throws the weights to where the gradient is larger still, the next step is larger again, and after a
few steps the loss is no number any more. Initial weights that are too large do the same at once. Both are made here,
on purpose and without the clipping that the estimators have by default; the library's own messages are shown; and each
remedy is tried by itself.
"""

# %%
# The trouble, and what the library says of it
# --------------------------------------------
# Digits, six layers of ReLU, SGD with momentum, and the full batch, so that an epoch is one step and ``history_`` has
# the norm of each step's gradient. A loss that is not finite ends the training. If there was an epoch before, the best
# one's weights are kept and a ``ConvergenceWarning`` tells; if the first one fails, ``fit`` raises a ``ValueError``.

import sys
import warnings

import matplotlib.pyplot as plt
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sknnopt import NNClassifier, compare
from sknnopt.initializers import Normal
from sknnopt.inspection import ComparisonDisplay

X, y = load_digits(return_X_y=True)
network = NNClassifier(
    hidden_layer_sizes=(64,) * 6, activation="relu", dropout=0.0, label_smoothing=0.0, optimizer="momentum",
    learning_rate=0.1, gradient_clipping=None, batch_size=len(X), max_epochs=40, numeric_embedding=None,
    schedule="cosine", weight_averaging=None, n_members=1, random_state=0,
)  # fmt: skip
fast = clone(network).set_params(learning_rate=1.0)
heavy = clone(network).set_params(initializer=Normal(std=0.5))


def gradients(estimator):
    """The norm of each step's gradient, and what the library has said."""
    estimator = clone(estimator)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y)
    return [record["gradient_norm"] for record in estimator.history_], [str(one.message) for one in caught]


for label, estimator in {"rate 1": fast, "weights of std 0.5": heavy}.items():
    norms, said = gradients(estimator)
    print(f"{label}: gradients of norm {', '.join(f'{norm:.2g}' for norm in norms[:12])}")
    print(f"    {said}")

try:
    clone(network).set_params(initializer=Normal(std=1e4)).fit(X, y)
except ValueError as error:
    print(f"weights of std 10,000: ValueError: {error}\n")

# %%
# Too large a rate
# ----------------
# Each remedy changes one thing. Networks that diverge on the way warn; here that is expected.

cures = {
    "gradient_clipping 1": {"gradient_clipping": 1.0},
    "gradient_clipping 0.1": {"gradient_clipping": 0.1},
    "normalization batch": {"normalization": "batch"},
    "normalization layer": {"normalization": "layer"},
    "warmup 0.1": {"warmup": 0.1},
    "warmup 0.5": {"warmup": 0.5},
}
slower = {f"rate {rate:g}": {"learning_rate": rate} for rate in (0.3, 0.1, 0.03)}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    by_rate = compare(fast, X, y, {"rate 1": {}, **cures, **slower}, cv=5)
print(f"{by_rate}\n")

# %%
# Too large weights
# -----------------
# Weights from a normal distribution of standard deviation 0.5 in place of He's 0.18.

slower = {f"rate {rate:g}": {"learning_rate": rate} for rate in (1e-2, 1e-3, 1e-4)}
redrawn = {"initializer he_normal": {"initializer": "he_normal"}, "initializer lsuv": {"initializer": "lsuv"}}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    by_weights = compare(heavy, X, y, {"weights of std 0.5": {}, **cures, **slower, **redrawn}, cv=5)
print(by_weights)

# %%
# The picture: the gradient of each step, and the scores of both comparisons.

shown = {
    "rate 1": ({}, "black", "-", "o"),
    "rate 0.1": ({"learning_rate": 0.1}, "0.5", "--", None),
    "gradient_clipping 1": ({"gradient_clipping": 1.0}, "tab:blue", "-", None),
    "normalization batch": ({"normalization": "batch"}, "tab:green", "-.", None),
    "warmup 0.5": ({"warmup": 0.5}, "tab:red", ":", "^"),
}
figure, axes = plt.subplots(1, 3, figsize=(19, 6.0), layout="constrained")
for label, (parameters, color, line, marker) in shown.items():
    norms, _ = gradients(clone(fast).set_params(**parameters))
    axes[0].semilogy(range(1, len(norms) + 1), norms, color=color, linestyle=line, marker=marker, label=label)
axes[0].set_xlabel("step")
axes[0].set_ylabel("norm of the gradient, before clipping")
axes[0].set_title("rate 1: the gradient", pad=24)
axes[0].grid(color="0.9")
axes[0].legend()
for ax, found, title in ((axes[1], by_rate, "rate 1"), (axes[2], by_weights, "weights of std 0.5")):
    ComparisonDisplay.from_comparison(found, ax=ax)
    ax.set_title(title, pad=24)
if len(sys.argv) > 1:
    figure.savefig(f"{sys.argv[1]}/trouble_exploding_gradients.png", dpi=90)

# %%
# What to take from it
# --------------------
# At a rate of 1 the gradient's norm goes from 1.5 to 210 million in ten steps. Two remedies leave the rate as it is
# and make good use of it: batch normalization (0.915) and clipping to a norm of 1 (0.899), which the estimators do by
# default. Both reach more than any lower rate without them (0.802 at best, in these 40 steps): they cure, while
# lowering the rate is a retreat. Their verdicts are the only firm ones, as the diverging network itself scatters by
# 0.13 over the folds.
#
# Warmup is often named as a cure. It is one for a rate that is too large for the beginning only; here the rate is too
# large for good, and warmup over half of the steps puts the explosion off from step 11 to step 17. Layer normalization
# has not helped either (0.263).
#
# Against weights that are too large neither warmup nor a hundredth of the rate does much (0.101 and 0.273), and
# clipping does so in part (0.559): it bounds the step, not the outputs. To draw the weights well (0.863 by He, 0.871
# by LSUV) is the remedy, and batch normalization, which does not mind their size in the forward pass, is the next best
# (0.786).
#
# In practice: keep ``gradient_clipping=1.0`` and ``initializer="auto"``, as they are by default, and read the warning:
# a network that diverged after a good epoch is returned with that epoch's weights, which are of little use (0.294 and
# 0.101).
