"""Neural networks for scikit-learn users: every optimisation technique is a constructor parameter."""

from sknnopt._version import __version__ as __version__
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.model_selection import compare, lockstep
from sknnopt.persistence import load, save

__all__ = ["NNClassifier", "NNRegressor", "compare", "load", "lockstep", "save"]
