"""
Learning-rate schedules: what they bring, and what they forgive
===============================================================

Every schedule, and warm-up, on the digits of scikit-learn: first each at a base rate that suits it, then all of them
at base rates from too small to too large.

``python examples/study_learning_rate_schedules.py [folder for the plot]``
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from sknnopt import NNClassifier, compare
from sknnopt.model_selection import GridSearchCV
from sknnopt.schedules import Plateau

X, y = load_digits(return_X_y=True)
folds = StratifiedKFold(10, shuffle=True, random_state=0)
network = NNClassifier(
    hidden_layer_sizes=(32,), dropout=0.0, batch_size=32, max_epochs=12, activation="silu", numeric_embedding=None,
    schedule="cosine", weight_averaging=None, n_members=1, learning_rate=1e-3, weight_decay=0.01, random_state=0,
)  # fmt: skip

names = [
    "constant", "step", "multistep", "exponential", "linear", "polynomial", "cosine", "cosine_restarts", "one_cycle",
    "cyclic", "inverse_sqrt", "warmup_stable_decay",
]  # fmt: skip
schedules = {name: {"schedule": name} for name in names}
schedules["plateau, patience 2"] = {"schedule": Plateau(patience=2)}
schedules["constant + warm-up"] = {"schedule": "constant", "warmup": 0.1}
schedules["cosine + warm-up"] = {"schedule": "cosine", "warmup": 0.1}

# %%
# Each at its own base rate
# -------------------------
# A quarter of a fold's training rows chooses among four rates; then the network trains again on all of them. All
# train for 12 epochs of AdamW, 51 steps each.

choice = StratifiedShuffleSplit(1, test_size=0.25, random_state=0)
search = GridSearchCV(network, {"learning_rate": [0.003, 0.01, 0.03, 0.1]}, cv=choice, scoring="neg_log_loss")
inside = {label: {f"estimator__{name}": value for name, value in one.items()} for label, one in schedules.items()}
print(compare(search, X, y, inside, cv=folds, scoring="accuracy"), end="\n\n")

# %%
# All at the same base rate
# -------------------------
# From 0.001 to a hundred times that. The tables are those of 0.001 and 0.1.

rates = [0.001, 0.003, 0.01, 0.03, 0.1]
at_rate = {rate: compare(network.set_params(learning_rate=rate), X, y, schedules, cv=folds) for rate in rates}
for rate in (0.001, 0.1):
    print(f"Base rate {rate:g}\n\n{at_rate[rate]}", end="\n\n")
accuracy = np.array([at_rate[rate].results_["mean_test_score"] for rate in rates])
print("Range of the mean accuracy over base rates from 0.003 to 0.1:")
for label, low, high in zip(schedules, accuracy[1:].min(axis=0), accuracy[1:].max(axis=0), strict=True):
    print(f"{label:22} {low:.3f} to {high:.3f}")

# %%
# The picture leaves out schedules that lie close to one of those shown.

figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
shown = {
    "constant": ("black", "-", "o"), "constant + warm-up": ("black", "--", "o"), "cosine": ("tab:blue", "-", "s"),
    "cosine + warm-up": ("tab:blue", "--", "s"), "exponential": ("0.6", "-", "^"), "one_cycle": ("0.6", ":", "D"),
    "warmup_stable_decay": ("tab:orange", "-.", "v"),
}  # fmt: skip
for label, (color, line, marker) in shown.items():
    error = 100 - 100 * accuracy[:, list(schedules).index(label)]
    ax.plot(rates, error, color=color, ls=line, marker=marker, label=label)
ax.set(xscale="log", yscale="log", xlabel="base learning rate", ylabel="test error in %, mean over 10 folds")
ax.set_yticks([1, 2, 3, 5, 10, 20], ["1", "2", "3", "5", "10", "20"])
ax.set_xticks(rates, [f"{rate:g}" for rate in rates], minor=False)
ax.minorticks_off()
ax.grid(color="0.9")
ax.legend()
if len(sys.argv) > 1:
    figure.savefig(Path(sys.argv[1]) / "study_learning_rate_schedules.png", dpi=150)

# %%
# What to take from it
# --------------------
# At a base rate of its own each of the fifteen is as good as any other: 0.974 to 0.985, the constant rate 0.982, and
# none is told from it. Who has tuned the rate gains little by a schedule here.
#
# What a schedule brings is tolerance of a rate that is too large. At 0.1 the constant rate falls to 0.949, and every
# schedule that decays has 0.968 (plateau) to 0.980 (linear). But with ten folds and 14 candidates no single one can be
# told from it (p from 0.08). Warm-up is often given as the cure for too large a rate: alone it has 0.958, less than
# any decay without it.
#
# The price is paid at a rate that is too small, where decay stops the learning: at 0.001 the constant rate has 0.957,
# cosine 0.920, exponential decay to a hundredth 0.822, and most are told from it. Warm-up, stable, decay (0.952) and
# plateau (0.957), which stay high for long, are not.
#
# So: with a schedule that decays choose the base rate on the large side: cosine has 0.985 at 0.03 and 0.977 at 0.01,
# the constant rate 0.981 at both. Cosine, linear, and warm-up, stable, decay keep 0.972 or more over a factor of 33 in
# the rate, and "cosine" needs no parameters.
