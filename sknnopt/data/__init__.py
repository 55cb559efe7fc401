"""From what a user passes to `fit`, the arrays that a network is trained on."""

from .table import TableEncoder
from .targets import ClassTarget, RegressionTarget
from .weights import check_weights

__all__ = ["ClassTarget", "RegressionTarget", "TableEncoder", "check_weights"]
