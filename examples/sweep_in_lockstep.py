"""
A sweep in lockstep
===================

A grid search one fit after another and in lockstep: the same scores, in less time.
"""

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import NNClassifier, lockstep

X, y = load_digits(return_X_y=True)
network = NNClassifier(
    hidden_layer_sizes=(32,), batch_size=32, max_epochs=10, activation="silu", numeric_embedding=None, dropout=0.2,
    schedule="cosine", weight_averaging=None, n_members=1, learning_rate=1e-3, weight_decay=0.01, random_state=0,
)  # fmt: skip
pipeline = make_pipeline(StandardScaler(), network)
grid = {"nnclassifier__learning_rate": np.logspace(-4, -2, 8), "nnclassifier__dropout": [0.1, 0.3]}
search = GridSearchCV(pipeline, grid, cv=5, n_jobs=1)

start = time.perf_counter()
search.fit(X, y)
alone = time.perf_counter() - start
scores = search.cv_results_["mean_test_score"]

start = time.perf_counter()
with lockstep() as sweep:
    search.fit(X, y)
together = time.perf_counter() - start

print(f"one after another {alone:.2f} s, in lockstep {together:.2f} s: {alone / together:.1f} times faster")
print(f"cohorts of {sweep.cohort_sizes}")
print(f"the same scores: {np.array_equal(scores, search.cv_results_['mean_test_score'])}")
print(f"best: {search.best_params_}, {search.best_score_:.3f}")
