"""Neural networks for scikit-learn users: every optimisation technique is a constructor parameter."""

from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.model_selection import compare, lockstep

__all__ = ["NNClassifier", "NNRegressor", "compare", "lockstep"]
__version__ = "0.1.0.dev0"
