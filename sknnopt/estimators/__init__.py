"""The scikit-learn estimators."""

from sknnopt.estimators.classifier import NNClassifier
from sknnopt.estimators.regressor import NNRegressor

__all__ = ["NNClassifier", "NNRegressor"]
