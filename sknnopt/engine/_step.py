"""One optimisation step of K members."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from sknnopt._layout import clear
from sknnopt.engine._hyper import AVERAGE
from sknnopt.engine._mixing import Mixup
from sknnopt.engine._ours import is_ours
from sknnopt.engine._penalties import Penalties
from sknnopt.engine._weights import BatchWeights, for_heads
from sknnopt.engine.job import Job
from sknnopt.nn import Pass, Workspace
from sknnopt.optimizers import SHRINKAGE, Numbers

if TYPE_CHECKING:
    from sknnopt.engine._cohort import Cohort


class Step:
    """Everything a step touches, narrowed to the first ``members`` members and to ``rows`` rows a batch.

    For the optimizer it is the :class:`~sknnopt.optimizers.Objective` of the batch at hand.

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
        self._loss, optimizer = job.techniques.loss, job.techniques.optimizer
        self._parameters = cohort.tensors.parameters[:members]
        self._gradients = cohort.tensors.gradients[:members]
        self._weights = self._parameters[:, : job.network.layout.weight_size]
        self._constants = {name: value[:members] for name, value in cohort.constants.items()}
        self._smoothing = {"smoothing": self._constants["smoothing"]} if "smoothing" in self._constants else {}
        self._clips = "clip" in self._constants and not optimizer.line_search
        self._decays_itself, self._averages_itself = optimizer.own_decay, optimizer.averages
        randoms = [member.random for member in cohort.members[:members]]
        self._penalties = None
        if job.techniques.regularization is not None:
            self._penalties = Penalties(cohort, members, self._weights, self._gradients, randoms)
        alphas = [j.techniques.mixup for j in jobs]
        self._heads = job.network.heads
        self._mixup = Mixup(alphas, randoms, self._heads) if alphas[0] > 0 else None
        self._layers = None if cohort.layers is None else cohort.layers.narrow(members)
        self._average = cohort.tensors.state["averaging"].get("average")
        if self._average is not None:
            self._average = self._average[:members]
        self._network = job.network.bind(
            self._parameters, self._gradients, cohort.tensors.buffers[:members], space,
            dropout=[j.techniques.dropout for j in jobs], random=randoms, depth_rates=_depth_rates(jobs),
        )  # fmt: skip
        held = [j.techniques.held(j.network.buffers) for j in jobs]
        if any(held):
            self._network.hold(held)
        self._score_gradient = space.repeated(self._heads).features("score_gradient", job.network.n_outputs)
        self._losses = space.flat("losses", rows * self._heads)[:, : rows * self._heads]
        everyone = members == len(cohort.members)
        state = cohort.tensors.state["optimizer"]
        state = state if everyone else {name: value[:members] for name, value in state.items()}
        self._rate = partial(optimizer.effective_rate, state)
        self._optimize = optimizer.bind(
            self._gradients,
            state,
            self._parameters,
            layout=job.network.layout,
            objective=self,
        )
        self._keeps_zeros = optimizer.keeps_zeros
        self._gaps = [] if is_ours(optimizer) else job.network.layout.gaps()

    def run(
        self,
        inputs: Tensor,
        target: Tensor,
        hyper: Numbers,
        weights: BatchWeights,
        norms: Tensor | None = None,
        dropout: Sequence[Sequence[float]] | None = None,
    ) -> None:
        """Train on a batch and add its rows' weighted losses to the workspace's "losses".

        Parameters
        ----------
        inputs : Tensor (K, B, ...)
            Encoded rows.
        target : Tensor (K, B) or (K, O, B)
        hyper : Numbers, each (K, 1)
            What the optimizer's ``coefficients`` gave for this step, the learning rate and its product with the decay.
        weights : BatchWeights
            What each row counts in the batch's loss.
        norms : Tensor (K,) or None
            Where to write the norm of each member's gradient.
        dropout : K sequences of float, or None
            Rates of dropout where they have a schedule.
        """
        if dropout is not None:
            self._network.set_dropout(dropout)
        if self._mixup is not None:
            self._mixup.mix(inputs, target, weights)
        target, weights = for_heads(target, self._heads), weights.for_heads(self._heads)
        self._batch = inputs, target, weights
        if self._penalties is not None:
            self._penalties.begin(inputs, hyper)
        value = self._pass(weights.step)
        self._losses.addcmul_(value, weights.epoch)
        if norms is not None:
            norms.copy_(row_norms(self._gradients))
        self._finish_gradient()
        self._update(hyper)

    def _pass(self, step: Pass) -> Tensor:
        """Go through the network and back; return the rows' losses (K, B)."""
        inputs, target, weights = self._batch
        if self._penalties is not None:
            self._penalties.disturb()
        scores = self._network.forward(inputs, step)
        gradient, given = self._score_gradient, self._smoothing
        if self._mixup is None:
            value, _ = self._loss.value_and_gradient(scores.view, target, gradient.view, **given)
            gradient.view.mul_(weights.rows)
        else:
            mixup = self._mixup
            value = mixup.value_and_gradient(self._loss, scores.view, target, weights, gradient.view, **given)
        self._network.backward(gradient)
        if self._penalties is not None:
            self._penalties.restore()
        return value

    def gradient(self) -> None:
        """Compute the gradient of the batch anew."""
        self._pass(replace(self._batch[2].step, again=True))
        self._finish_gradient()

    def value_and_gradient(self) -> Tensor:
        """Compute the gradient of the batch anew and return each member's value (K,)."""
        weights = self._batch[2]
        value = self._pass(replace(weights.step, again=True)).mul_(weights.rows.squeeze(1)).sum(1)
        self._finish_gradient()
        return value if self._penalties is None else value.add_(self._penalties.smooth_value())

    def _finish_gradient(self) -> None:
        if self._penalties is not None:
            self._penalties.gradient()
        if self._layers is not None:
            self._layers.mask(self._gradients)
        if self._clips:
            norm = row_norms(self._gradients).unsqueeze(1)
            self._gradients.mul_((self._constants["clip"] / (norm + 1e-6)).clamp_(max=1.0))

    def _update(self, hyper: Numbers) -> None:
        if self._layers is not None:
            self._layers.remember()
        if SHRINKAGE in hyper and not self._decays_itself:
            self._weights.mul_(1 - hyper[SHRINKAGE])
        self._optimize(hyper)
        clear(self._parameters, self._gaps)
        if not self._keeps_zeros:
            self._gradients.zero_()  # the padding between blocks must stay zero
        if self._layers is not None:
            self._layers.lengthen()
        if not self._averages_itself:
            self.constrain(self._parameters, hyper)
        if self._layers is not None:
            self._layers.scale()
        if self._average is not None and hyper.value(AVERAGE) != 0:
            self._average.lerp_(self._parameters, hyper[AVERAGE])

    def constrain(self, parameters: Tensor, hyper: Mapping[str, Tensor]) -> None:
        """Threshold and project the weights among stepped parameters (K, P)."""
        if self._penalties is not None:
            self._penalties.after(parameters, self._rate(hyper))

    def sync(self) -> None:
        """Bring the flat buffers up to date."""
        self._network.sync()


def _depth_rates(jobs: Sequence[Job]) -> list[float]:
    terms = [job.techniques.regularization for job in jobs]
    rates = [0.0 if term is None else term.depth_rate for term in terms]
    return rates if any(rates) else []


def row_norms(flat: Tensor) -> Tensor:
    """Return the Euclidean norm of each row of (K, P)."""
    return flat.square().sum(1).sqrt_()
