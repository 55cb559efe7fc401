"""Whether a job runs code of anybody's but this package's."""

from sknnopt._choices import Choice
from sknnopt.engine.job import Job


def techniques_are_ours(job: Job) -> bool:
    """Whether nobody but this package computes with the job's tensors."""
    t = job.techniques
    activation = getattr(job.network, "activation", None)
    choices = [
        t.loss, t.optimizer, t.schedule, t.initializer, t.regularization, t.weight_averaging, t.decay_schedule,
        t.dropout_schedule, activation,
    ]  # fmt: skip
    return job.network.stackable and all(choice is None or is_ours(choice) for choice in choices)


def is_ours(choice: Choice) -> bool:
    """Whether a technique and its parts run no code but this package's."""
    parts = choice.get_params(deep=True).values()
    return type(choice).__module__.startswith("sknnopt.") and all(
        is_ours(part) if isinstance(part, Choice) else not callable(part) for part in parts
    )
