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
    return job.network.stackable and all(choice is None or _is_ours(choice) for choice in choices)


def _is_ours(choice: Choice) -> bool:
    parts = choice.get_params(deep=True).values()
    return type(choice).__module__.startswith("sknnopt.") and all(
        _is_ours(part) if isinstance(part, Choice) else not callable(part) for part in parts
    )
