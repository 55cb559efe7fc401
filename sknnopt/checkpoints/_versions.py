"""What code a checkpoint was written by."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import scipy
import sklearn
import torch

from sknnopt.checkpoints._content import digest

PACKAGE = Path(__file__).parent.parent


@cache
def code_version() -> str:
    """Return what is equal for equal sources of this package, and equal versions of those that it computes with."""
    sources = [(str(path.relative_to(PACKAGE)), path.read_bytes()) for path in sorted(PACKAGE.rglob("*.py"))]
    versions = (sys.version_info[:2], torch.__version__, np.__version__, scipy.__version__, sklearn.__version__)
    return digest(sources, versions)
