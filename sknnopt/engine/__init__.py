"""The engine: jobs in, trained members out. It knows tensors, not estimators."""

from sknnopt.engine._evaluate import CHUNK
from sknnopt.engine.job import Job, Observer, Progress, Result, Techniques, Validation
from sknnopt.engine.printer import Printer
from sknnopt.engine.skorch_net import SkorchObserver, check_callbacks, make_net, record_epoch
from sknnopt.engine.train import train

__all__ = [
    "CHUNK",
    "Job",
    "Observer",
    "Printer",
    "Progress",
    "Result",
    "SkorchObserver",
    "Techniques",
    "Validation",
    "check_callbacks",
    "make_net",
    "record_epoch",
    "train",
]
