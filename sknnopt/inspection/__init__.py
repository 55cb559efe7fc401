"""Displays: what fits and comparisons look like, in scikit-learn's ``Display`` convention."""

from sknnopt.inspection._comparison import ComparisonDisplay

__all__ = ["ComparisonDisplay"]
