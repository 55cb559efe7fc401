"""
One sweep, run in five ways
===========================

The same random search over a small network: one fit after another, in worker processes as scikit-learn starts
them, and in lockstep, where the networks of a sweep train as one stacked network, on one core, on all cores and in
worker processes. The scores are the same to the bit; the seconds are not.
"""

# %%
# 8 candidates on 5 folds are 40 fits of a network of 32 hidden units on 1,437 images of digits.

import os
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import loguniform, uniform
from sklearn.datasets import load_digits
from sklearn.model_selection import RandomizedSearchCV

from sknnopt import NNClassifier, lockstep

X, y = load_digits(return_X_y=True)
network = NNClassifier(
    hidden_layer_sizes=(32,), batch_size=32, max_epochs=10, activation="silu", numeric_embedding=None, dropout=0.2,
    schedule="cosine", weight_averaging=None, n_members=1, learning_rate=1e-3, weight_decay=0.01, random_state=0,
)  # fmt: skip
space = {"learning_rate": loguniform(1e-4, 1e-1), "dropout": uniform(0, 0.5)}
n_cores = os.cpu_count()


def search(n_jobs):
    return RandomizedSearchCV(network, space, n_iter=8, cv=5, refit=False, random_state=0, n_jobs=n_jobs).fit(X, y)


def alone():
    return search(1)


def processes():
    return search(n_cores)


def lockstep_one_core():
    with lockstep(n_jobs=1):
        return search(1)


def lockstep_all_cores():
    with lockstep(n_jobs=n_cores):
        return search(n_cores)


def lockstep_processes():
    with lockstep(backend="loky", n_jobs=n_cores):
        return search(n_cores)


ways = {
    "one fit after another": alone,
    f"{n_cores} processes, a fit each": processes,
    "lockstep, 1 core": lockstep_one_core,
    f"lockstep, {n_cores} threads": lockstep_all_cores,
    f"lockstep in {n_cores} processes": lockstep_processes,
}

# %%
# All of them in turn, twice. The first round also pays for what is paid once, above all the start of the worker
# processes, which import torch; both kinds of processes come from one pool, so that the first to ask for it pays.

seconds = {label: [] for label in ways}
scores = {}
for _ in range(2):
    for label, way in ways.items():
        start = time.perf_counter()
        scores[label] = way().cv_results_["mean_test_score"]
        seconds[label].append(time.perf_counter() - start)

reference = "one fit after another"
print(f"{'':28}{'first, s':>10}{'second, s':>11}{'times faster':>14}   scores")
first = {label: taken[0] for label, taken in seconds.items()}
warm = {label: taken[1] for label, taken in seconds.items()}
for label in ways:
    same = "the same bits" if np.array_equal(scores[label], scores[reference]) else "DIFFERENT"
    print(f"{label:28}{first[label]:10.2f}{warm[label]:11.2f}{warm[reference] / warm[label]:14.1f}   {same}")

# %%
# The picture.

figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
rows = np.arange(len(ways))
ax.barh(rows - 0.2, list(first.values()), height=0.38, color="0.75", edgecolor="black", label="first time")
ax.barh(rows + 0.2, list(warm.values()), height=0.38, color="0.35", edgecolor="black", label="second time")
ax.set_yticks(rows, list(ways))
ax.invert_yaxis()
ax.set_xlabel(f"seconds for 40 fits, on {n_cores} cores")
ax.legend()
if len(sys.argv) > 1:
    figure.savefig(f"{sys.argv[1]}/study_parallel_training.png", dpi=100)

# %%
# What to take from it
# --------------------
# The scores have the same bits in all five ways, so the way is a question of time alone. On the two busy cores where
# this was written lockstep was three and a half to seven times faster than one fit after another, and nearly as much
# on a single core: the gain comes from sharing the calls from Python, not from more cores. The second core brought
# little on top, in threads (which wait for the interpreter's lock) as in processes; do not expect a factor of two from
# it for networks this small.
#
# Worker processes with one fit each, the usual ``n_jobs=2``, did not pay here: starting them costs seconds the first
# time, and afterwards they were about as fast as one fit after another, on cores that had other work too. On idle
# cores they may gain up to the number of cores, which is still less than lockstep on one.
#
# In practice: search with ``sknnopt.model_selection`` or in ``with lockstep()``, and take ``backend="loky"`` on
# machines with many cores or for sweeps of hundreds of fits. With large networks the arithmetic is all of the time,
# and lockstep gains nothing: see the page on speed.
