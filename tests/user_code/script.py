"""What a user writes: run by the tests, and checked in strict mode, where nothing may be unknown."""

import numpy as np

import sknnopt
from sknnopt import NNClassifier, NNRegressor, compare, lockstep, losses, optimizers, schedules
from sknnopt.embeddings import Periodic
from sknnopt.losses import Quantile
from sknnopt.optimizers import SGD
from sknnopt.regularization import L1, MaxNorm

X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)

network = NNClassifier(
    network="resnet", hidden_layer_sizes=(8,), activation="silu", numeric_embedding=Periodic(frequency_scale=0.5),
    optimizer=SGD(momentum=0.9), schedule="cosine", regularization=L1(1e-4) + MaxNorm(3), dropout=[0.1],
    max_epochs=2, n_members=2, early_stopping=True, random_state=0,
)  # fmt: skip
probabilities = network.fit(X, y).predict_proba(X)
assert probabilities.shape == (60, 2)
assert 0 <= network.score(X, y) <= 1
assert network.n_iter_ == len(network.history_) == len(network.loss_curve_)
assert network.recipe_weights_.sum() == 1
network.set_params(warm_start=True).partial_fit(X, y)

regressor = NNRegressor.fast(loss=Quantile(quantile=[0.1, 0.9]), max_epochs=2).fit(X, X[:, 1])
low, high = regressor.predict_quantiles(X).T
assert (low <= high).all()

for name in optimizers.names():
    NNClassifier(optimizer=name)
for name in schedules.names():
    NNRegressor(schedule=name, precision="float64")
for name in losses.names("regression"):
    NNRegressor(loss=name)

small = NNClassifier(hidden_layer_sizes=4, max_epochs=1, n_members=1, random_state=0)
with lockstep(n_jobs=1) as sweep:
    small.fit(X, y)
assert sweep.cohort_sizes == []
found = compare(small, X, y, {"optimizer": ["sgd", "adam"]}, cv=2)
assert list(found.results_["label"]) == ["sgd", "adam"]

sknnopt.save(network, "network.safetensors")
again = sknnopt.load("network.safetensors")
assert isinstance(again, NNClassifier)
assert (again.predict(X) == network.predict(X)).all()
