"""What code a checkpoint was written by, and under which settings of torch."""

import sys
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import sklearn
import torch

from sknnopt.checkpoints._content import digest

PACKAGE = Path(__file__).parent.parent

SETTINGS = (
    "get_default_dtype", "get_float32_matmul_precision", "are_deterministic_algorithms_enabled",
    "backends.fp32_precision", "backends.mkldnn.enabled", "backends.mkldnn.matmul.fp32_precision",
    "backends.mkldnn.conv.fp32_precision", "backends.mkldnn.rnn.fp32_precision",
    "backends.cuda.matmul.allow_tf32", "backends.cuda.matmul.fp32_precision",
    "backends.cuda.matmul.allow_bf16_reduced_precision_reduction", "backends.cudnn.enabled",
    "backends.cudnn.allow_tf32", "backends.cudnn.deterministic", "backends.cudnn.benchmark",
)  # fmt: skip
"""Settings of the whole process by which torch computes with other bits, by their names in it."""


@cache
def code_version() -> str:
    """Return what is equal for equal sources of this package, and equal versions of those that it computes with."""
    sources = [(str(path.relative_to(PACKAGE)), path.read_bytes()) for path in sorted(PACKAGE.rglob("*.py"))]
    versions = (sys.version_info[:2], torch.__version__, np.__version__, scipy.__version__, sklearn.__version__)
    return digest(sources, versions)


def torch_settings() -> list[Any]:
    """Return those settings as they are now; of those that this version has not, or will not tell, what it says."""
    return [_setting(name) for name in SETTINGS]


def _setting(name: str) -> Any:
    try:
        value = attrgetter(name)(torch)
        return value() if callable(value) else value
    except (AttributeError, RuntimeError) as error:  # a RuntimeError where its older and newer names were both used
        return type(error).__name__
