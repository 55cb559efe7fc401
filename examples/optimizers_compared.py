"""Every optimizer on the same network, each with its default learning rate: score and loss over folds."""

from sklearn.datasets import load_digits
from sklearn.model_selection import cross_validate

from sknnopt import NNClassifier, optimizers

X, y = load_digits(return_X_y=True)

print(f"{'optimizer':12} {'accuracy':>8} {'± std':>6} {'loss':>8} {'seconds':>8}")
for name in optimizers.names():
    network = NNClassifier(optimizer=name, hidden_layer_sizes=(64,), max_epochs=50, random_state=0)
    scores = cross_validate(network, X, y, cv=3, scoring=["accuracy", "neg_log_loss"])
    accuracy = scores["test_accuracy"]
    loss = -scores["test_neg_log_loss"].mean()
    print(f"{name:12} {accuracy.mean():8.3f} {accuracy.std():6.3f} {loss:8.3f} {scores['fit_time'].mean():8.2f}")
