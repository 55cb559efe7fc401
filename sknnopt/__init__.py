"""Neural networks for scikit-learn users: every optimisation technique is a constructor parameter."""

from sknnopt.estimators import NNClassifier, NNRegressor

__all__ = ["NNClassifier", "NNRegressor"]
__version__ = "0.1.0.dev0"
