"""scikit-learn's searches and cross-validation in lockstep: candidates × folds train as one stacked network.

The classes and functions are those of :mod:`sklearn.model_selection`; :class:`~sknnopt.lockstep` does the same for
anything else that scikit-learn runs in parallel. :func:`~sknnopt.compare` makes a table of what techniques bring;
:class:`Range` is an interval for randomized searches to draw from.
"""

from sknnopt._choices import Range
from sknnopt.model_selection._compare import compare
from sknnopt.model_selection._comparison import Comparison
from sknnopt.model_selection._lockstep import lockstep
from sknnopt.model_selection._searches import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)

__all__ = [
    "Comparison",
    "GridSearchCV",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "RandomizedSearchCV",
    "Range",
    "compare",
    "cross_val_predict",
    "cross_val_score",
    "cross_validate",
    "learning_curve",
    "lockstep",
    "validation_curve",
]
