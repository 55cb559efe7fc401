"""
Every optimizer, each at the learning rate that suits it
========================================================

Ranking optimizers at their default learning rates ranks the defaults. Here every optimizer of
``sknnopt.optimizers.names()`` first tries five rates around its default on one part of the rows; at the best of them it
is then compared with the others on the rest.
"""

# %%
# The network is small and has no dropout: nothing is to be seen but the optimizer.

import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split

from sknnopt import NNClassifier, compare, optimizers
from sknnopt.inspection import ComparisonDisplay

X, y = load_digits(return_X_y=True)
X_tune, X_rest, y_tune, y_rest = train_test_split(X, y, train_size=0.5, stratify=y, random_state=0)
network = NNClassifier(
    hidden_layer_sizes=(64,), dropout=0.0, batch_size=64, max_epochs=24, activation="silu", numeric_embedding=None,
    schedule="cosine", weight_averaging=None, n_members=1, random_state=0,
)  # fmt: skip

# %%
# Rprop, ASGD and L-BFGS are run on the full batch and at a constant rate. A step of theirs costs as much as an epoch
# of the others; Rprop and ASGD get as many steps as those take while tuning, 28 times 10. L-BFGS, whose steps are
# several evaluations each, gets 50.

FULL_BATCH = {"batch_size": len(X), "schedule": "constant"}
settings = {name: {"optimizer": name} for name in optimizers.names()}
for name, steps in {"rprop": 280, "asgd": 280, "lbfgs": 50}.items():
    settings[name] |= FULL_BATCH | {"max_epochs": steps}

# %%
# Choosing the rate
# -----------------
# Three folds of the 898 rows for tuning. Those are fewer than in the comparison: 28 epochs of 10 steps here are as many
# as 24 of 12 there, nearly. Among equally good rates the one with the lower training loss is taken.

warnings.simplefilter("ignore", ConvergenceWarning)  # at a hundred times its default rate one may diverge
FACTORS = (0.1, 1.0, 10.0, 30.0, 100.0)
scores = {}
for name, setting in settings.items():
    default = optimizers.get(name).default_learning_rate
    rates = [factor * default for factor in FACTORS]
    grid = {f"{rate:g}": {"max_epochs": 28} | setting | {"learning_rate": rate} for rate in rates}
    found = compare(network, X_tune, y_tune, grid, cv=3).results_
    scores[name] = found["mean_test_score"]
    best = np.lexsort((found["final_loss"], -scores[name]))[0]
    settings[name]["learning_rate"] = rates[best]

print(f"{'':20} accuracy at the default rate times         rate")
print(f"{'optimizer':20}" + "".join(f"{factor:>7g}" for factor in FACTORS) + f"{'default':>10}{'chosen':>10}")
for name in settings:
    default, chosen = optimizers.get(name).default_learning_rate, settings[name]["learning_rate"]
    print(f"{name:20}" + "".join(f"{score:7.3f}" for score in scores[name]) + f"{default:10g}{chosen:10g}")

# %%
# The comparison
# --------------
# On the other 899 rows, against AdamW, the estimators' default.

first = {name: settings[name] for name in ("adamw", *settings)}
found = compare(network, X_rest, y_rest, first, cv=RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=0))
print(f"\n{found}")

# %%
# The picture: on the left how much each optimizer minds its rate, on the right what it reaches at the best one.

figure, (left, right) = plt.subplots(1, 2, figsize=(15, 12.5), width_ratios=(1, 1.5), layout="constrained")
names = found.results_["label"]
image = left.imshow([scores[name] for name in names], aspect="auto", cmap="gray", vmin=0.5, vmax=1)
for row, name in enumerate(names):
    for column, score in enumerate(scores[name]):
        left.text(column, row, f"{score:.2f}", ha="center", va="center", color="black" if score > 0.75 else "white")
left.set_xticks(range(len(FACTORS)), [f"{factor:g}" for factor in FACTORS])
left.set_yticks(range(len(names)), names)
left.set_xlabel("learning rate, in defaults of the optimizer")
left.set_title("accuracy while tuning")
ComparisonDisplay.from_comparison(found, ax=right)
right.set_xlim(0.85, 1.01)
if len(sys.argv) > 1:
    figure.savefig(f"{sys.argv[1]}/study_optimizers.png", dpi=80)

# %%
# What to take from it
# --------------------
# At their best of five rates all 27 lie between 0.947 (Lion) and 0.981 (SAM around AdamW). AdamW has 0.979, by its
# default decay of 0.3; with 0.01 it has 0.962, in the midst of the others, and none is told from it. So Adam, Adamax,
# Adan, Lion and RAdam, which have no decay by default, are told from AdamW for the worse, and the others are not; plain
# SGD reaches 0.965. At their default rates the tuning scores of the same optimizers go from 0.195 (Lion) to 0.980
# (L-BFGS). It is often asked which optimizer is best; on this problem the rate decides, then the decay, and the rest of
# the choice is worth about a hundredth.
#
# The defaults are those of the papers and of torch, made for long training of large networks. For some hundred steps
# of a small one 23 of the 27 want ten times their default or more, RMSprop, Rprop and LAMB are right as they come, and
# Prodigy wants less. L-BFGS does not mind its rate, where its line search only begins. SGD, ASGD and RAdam stand at
# the upper edge of the five rates and Prodigy at the lower one: their best may lie outside.
#
# What differs is the price. On the full batch ASGD, Rprop and L-BFGS take three to four times the seconds of AdamW
# here, SOAP three times, without a score that is told apart; SGD has the smallest state.
#
# In practice: keep the default optimizer, and search the learning rate before anything else.
