"""Neural networks for scikit-learn users: every optimisation technique is a constructor parameter."""

from typing import TYPE_CHECKING, Any

from sknnopt.estimators import NNClassifier, NNRegressor
from sknnopt.model_selection import compare, lockstep

if TYPE_CHECKING:
    from sknnopt.export import export_onnx, export_torch

__all__ = ["NNClassifier", "NNRegressor", "compare", "export_onnx", "export_torch", "lockstep"]
__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    """Import what few need only where it is asked for."""
    if name in ("export_onnx", "export_torch"):
        from sknnopt import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
