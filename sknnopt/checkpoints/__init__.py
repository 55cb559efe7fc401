"""Checkpoints: training that goes on where it was killed, with the bits of one that was not.

``checkpoint="folder"`` on an estimator, or ``lockstep(checkpoint="folder")``, has every fit written to a directory at
intervals; running the same script again takes what is there. :class:`Checkpoint` sets the interval.
"""

from sknnopt.checkpoints._checkpoint import Checkpoint
from sknnopt.checkpoints._store import CheckpointWarning

__all__ = ["Checkpoint", "CheckpointWarning"]
