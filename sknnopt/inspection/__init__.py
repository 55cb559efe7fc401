"""Displays: what fits, searches and comparisons look like, in scikit-learn's ``Display`` convention."""

from sknnopt.inspection._comparison import ComparisonDisplay
from sknnopt.inspection._loss_curve import LossCurveDisplay
from sknnopt.inspection._record_weights import RecordWeights
from sknnopt.inspection._schedule import ScheduleDisplay
from sknnopt.inspection._search import SearchDisplay
from sknnopt.inspection._weights import WeightsDisplay

__all__ = [
    "ComparisonDisplay",
    "LossCurveDisplay",
    "RecordWeights",
    "ScheduleDisplay",
    "SearchDisplay",
    "WeightsDisplay",
]
