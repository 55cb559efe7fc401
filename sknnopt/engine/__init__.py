"""The engine: jobs in, trained members out. It knows tensors, not estimators."""

from sknnopt.engine._evaluate import CHUNK
from sknnopt.engine.job import Job, Progress, Result, Techniques, Validation
from sknnopt.engine.train import train

__all__ = ["CHUNK", "Job", "Progress", "Result", "Techniques", "Validation", "train"]
