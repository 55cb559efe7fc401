"""One optimisation step of K members."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from sknnopt.engine._weights import BatchWeights
from sknnopt.nn import Workspace
from sknnopt.optimizers import SHRINKAGE

if TYPE_CHECKING:
    from sknnopt.engine._cohort import Cohort


class Step:
    """Everything a step touches, narrowed to the first ``members`` members and to ``rows`` rows a batch.

    Parameters
    ----------
    cohort : Cohort
    members : int
        The members that still have a batch left in this epoch.
    rows : int
        B.
    space : Workspace
        Of K members and B rows.
    """

    def __init__(self, cohort: "Cohort", members: int, rows: int, space: Workspace) -> None:
        jobs = [member.job for member in cohort.members[:members]]
        job, space = jobs[0], space.narrow(members)
        self._loss, self._optimizer = job.techniques.loss, job.techniques.optimizer
        penalty = job.techniques.regularization
        self._gradient_penalty = penalty if penalty is not None and penalty.has_gradient else None
        self._proximal_penalty = penalty if penalty is not None and penalty.has_proximal else None
        self._projection = penalty if penalty is not None and penalty.has_project else None
        self._keeps_zeros = self._optimizer.keeps_zeros and self._gradient_penalty is None
        self._parameters = cohort.parameters[:members]
        self._gradients = cohort.gradients[:members]
        self._weights = self._parameters[:, : job.network.layout.weight_size]
        self._weight_gradients = self._gradients[:, : job.network.layout.weight_size]
        self._state = {name: value[:members] for name, value in cohort.optimizer_state.items()}
        self._strengths = {name: value[:members] for name, value in cohort.strengths.items()}
        self._constants = {name: value[:members] for name, value in cohort.constants.items()}
        self._smoothing = {"smoothing": self._constants["smoothing"]} if "smoothing" in self._constants else {}
        self._network = job.network.bind(
            self._parameters, self._gradients, cohort.buffers[:members], space,
            dropout=[j.techniques.dropout for j in jobs], random=[m.random for m in cohort.members[:members]],
        )  # fmt: skip
        self._score_gradient = space.features("score_gradient", job.network.n_outputs)
        self._losses = space.flat("losses", rows)[:, :rows]

    def run(
        self,
        inputs: Tensor,
        target: Tensor,
        hyper: Mapping[str, Tensor],
        weights: BatchWeights,
        norms: Tensor | None = None,
    ) -> None:
        """Train on a batch and add its rows' weighted losses to the workspace's "losses".

        Parameters
        ----------
        inputs : Tensor (K, B, ...)
            Encoded rows.
        target : Tensor (K, B) or (K, O, B)
        hyper : mapping of str to Tensor (K, 1)
            What the optimizer's ``coefficients`` gave for this step, the learning rate and its product with the decay.
        weights : BatchWeights
            What each row counts in the batch's loss.
        norms : Tensor (K,) or None
            Where to write the norm of each member's gradient.
        """
        scores = self._network.forward(inputs, weights.step)
        gradient = self._score_gradient
        value, _ = self._loss.value_and_gradient(scores.view, target, gradient.view, **self._smoothing)
        self._losses.addcmul_(value, weights.epoch)
        gradient.view.mul_(weights.rows)
        self._network.backward(gradient)
        if norms is not None:
            norms.copy_(row_norms(self._gradients))
        self._update(hyper)

    def _update(self, hyper: Mapping[str, Tensor]) -> None:
        weights = self._weights
        if self._gradient_penalty is not None:
            self._gradient_penalty.gradient(weights, self._strengths, self._weight_gradients)
        if "clip" in self._constants:
            norm = row_norms(self._gradients).unsqueeze(1)
            self._gradients.mul_((self._constants["clip"] / (norm + 1e-6)).clamp_(max=1.0))
        if SHRINKAGE in hyper:
            weights.mul_(1 - hyper[SHRINKAGE])
        self._optimizer.update(self._gradients, self._state, self._parameters, hyper)
        if not self._keeps_zeros:
            self._gradients.zero_()  # the padding between blocks must stay zero
        if self._proximal_penalty is not None:
            self._proximal_penalty.proximal(weights, self._strengths, hyper["learning_rate"])
        if self._projection is not None:
            self._projection.project(weights, self._strengths)

    def sync(self) -> None:
        """Bring the flat buffers up to date."""
        self._network.sync()


def row_norms(flat: Tensor) -> Tensor:
    """Return the Euclidean norm of each row of (K, P)."""
    return flat.square().sum(1).sqrt_()
