"""The engine: jobs in, trained members out. It knows tensors, not estimators."""

from sknnopt.engine._evaluate import CHUNK
from sknnopt.engine._start import training_rows
from sknnopt.engine.callbacks import check_callbacks, own_copies
from sknnopt.engine.capacity import suitable_members
from sknnopt.engine.footprint import peak_bytes
from sknnopt.engine.job import Job, Observer, Progress, Result, Techniques, Validation
from sknnopt.engine.meeting import Meeting, attend, current_meeting, share
from sknnopt.engine.observers import Observers, Printer
from sknnopt.engine.panel import Panel
from sknnopt.engine.skorch_net import SkorchObserver, make_net, record_epoch
from sknnopt.engine.temperature import JUDGED, fit_temperature
from sknnopt.engine.train import train, train_together

__all__ = [
    "CHUNK",
    "JUDGED",
    "Job",
    "Meeting",
    "Observer",
    "Observers",
    "Panel",
    "Printer",
    "Progress",
    "Result",
    "SkorchObserver",
    "Techniques",
    "Validation",
    "attend",
    "check_callbacks",
    "current_meeting",
    "fit_temperature",
    "make_net",
    "own_copies",
    "peak_bytes",
    "record_epoch",
    "share",
    "suitable_members",
    "train",
    "train_together",
    "training_rows",
]
