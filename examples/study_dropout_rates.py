"""
Dropout rates: how much, and for which network?
===============================================

Six dropout rates for a narrow and a wide classifier on 500 digits, and for a regressor on the diabetes data. Dropout
slows learning down, so each rate of it chooses its learning rate among three on a quarter of the training rows.

``python examples/study_dropout_rates.py [folder for the plot]``
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit, train_test_split

from sknnopt import NNClassifier, NNRegressor, compare
from sknnopt.model_selection import GridSearchCV

rates = [0.0, 0.1, 0.2, 0.3, 0.5, 0.7]
learning_rates = {"learning_rate": [0.001, 0.003, 0.01]}

# %%
# Digits, two hidden layers of 16 and of 96 units
# ------------------------------------------------

digits, label = load_digits(return_X_y=True)
digits, _, label, _ = train_test_split(digits, label, train_size=500, stratify=label, random_state=0)
folds = StratifiedKFold(10, shuffle=True, random_state=0)
choice = StratifiedShuffleSplit(1, test_size=0.25, random_state=0)
found = {}
for width in (16, 96):
    network = NNClassifier(
        hidden_layer_sizes=(width, width), batch_size=64, max_epochs=50, label_smoothing=0.0, random_state=0
    )
    search = GridSearchCV(network, learning_rates, cv=choice)
    found[f"digits, {width} + {width} units"] = compare(search, digits, label, {"estimator__dropout": rates}, cv=folds)

# %%
# Diabetes, two hidden layers of 64 units
# ----------------------------------------

patients, progression = load_diabetes(return_X_y=True)
network = NNRegressor(hidden_layer_sizes=(64, 64), batch_size=64, max_epochs=50, random_state=0)
search = GridSearchCV(network, learning_rates, cv=ShuffleSplit(1, test_size=0.25, random_state=0))
found["diabetes, 64 + 64 units"] = compare(
    search, patients, progression, {"estimator__dropout": rates}, cv=KFold(10, shuffle=True, random_state=0)
)
for name, comparison in found.items():
    print(f"{name}\n\n{comparison}", end="\n\n")

# %%

figure, axes = plt.subplots(1, 3, figsize=(10, 4), layout="constrained")
for ax, (name, comparison) in zip(axes, found.items(), strict=True):
    r = comparison.results_
    ax.errorbar(rates, r["mean_test_score"], yerr=r["std_test_score"], color="black", marker="o", label="test")
    ax.plot(rates, r["mean_train_score"], color="0.5", linestyle="--", marker="D", label="training")
    ax.set(title=name, xlabel="dropout rate", ylabel="R²" if comparison.metric == "r2" else "accuracy")
    ax.grid(color="0.9")
axes[1].set_ylim(axes[0].get_ylim())
axes[0].legend(loc="lower left", title="mean over 10 folds")
if len(sys.argv) > 1:
    figure.savefig(Path(sys.argv[1]) / "study_dropout_rates.png", dpi=150)
