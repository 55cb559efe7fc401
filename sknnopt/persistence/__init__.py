"""Files of fitted estimators: one safetensors file each, from which nothing is run."""

from sknnopt.persistence._errors import FileFormatError
from sknnopt.persistence._files import load, save

__all__ = ["FileFormatError", "load", "save"]
