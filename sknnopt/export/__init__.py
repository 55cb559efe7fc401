"""Fitted estimators as what runs without this package."""

from sknnopt.export._onnx import export_onnx
from sknnopt.export._torch import export_torch

__all__ = ["export_onnx", "export_torch"]
