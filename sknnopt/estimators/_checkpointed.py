"""Whether a fit is checkpointed, and where."""

import warnings
from typing import Any

from sknnopt.checkpoints import Checkpoint, CheckpointWarning
from sknnopt.checkpoints._checkpoint import current_checkpoint


def checkpoint_of(estimator: Any) -> Checkpoint | None:
    """Return the checkpoint of a fit: the estimator's own, or that of the block around; None with a warning if a later
    run could not go on with it.
    """
    checkpoint = current_checkpoint(estimator.checkpoint)
    if checkpoint is None:
        return None
    if estimator.random_state is None:
        why = "random_state=None draws another seed in each run. Set it to a whole number"
    elif estimator.callbacks or getattr(estimator, "_skl_callbacks", None):
        why = "callbacks have a state of their own, which a later run could not bring back. Leave them out"
    else:
        checkpoint.store()
        return checkpoint
    warnings.warn(f"This fit is not checkpointed: {why}.", CheckpointWarning, stacklevel=4)
    return None
