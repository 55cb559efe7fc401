"""Neural networks for scikit-learn users: every optimisation technique is a constructor parameter."""

from typing import TYPE_CHECKING, Any

from sknnopt._version import __version__ as __version__
from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.model_selection import compare, lockstep
from sknnopt.persistence import load, save

if TYPE_CHECKING:
    from sknnopt.export import export_onnx, export_torch

__all__ = ["NNClassifier", "NNRegressor", "compare", "export_onnx", "export_torch", "load", "lockstep", "save"]


def __getattr__(name: str) -> Any:
    """Import what few need only where it is asked for."""
    if name in ("export_onnx", "export_torch"):
        from sknnopt import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
