"""
Quick start
===========

A network on a table, then a search over its optimisation inside a Pipeline.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline

from sknnopt import NNClassifier

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

network = NNClassifier(random_state=0).fit(X_train, y_train)
print(f"as it comes:    test accuracy {network.score(X_test, y_test):.3f} after {network.n_iter_} epochs")

stopped = NNClassifier(n_members=1, early_stopping=True, scoring="roc_auc", random_state=0).fit(X_train, y_train)
print(
    f"one, stopped:   test accuracy {stopped.score(X_test, y_test):.3f}, "
    f"best epoch {stopped.best_epoch_} of {stopped.n_iter_}, {stopped.n_validation_samples_} rows withheld"
)

pipeline = make_pipeline(SelectKBest(k=20), NNClassifier(n_members=1, max_epochs=30, random_state=0))
grid = {
    "nnclassifier__optimizer": ["sgd", "adam", "adamw"],
    "nnclassifier__learning_rate": [0.003, 0.01],
}
search = GridSearchCV(pipeline, grid, cv=3).fit(X_train, y_train)
best = {name.removeprefix("nnclassifier__"): value for name, value in search.best_params_.items()}
print(f"searched:       test accuracy {search.score(X_test, y_test):.3f} with {best}")
