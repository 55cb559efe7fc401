"""Batch and layer normalisation of K networks."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sknnopt.nn._layer import Pass
from sknnopt.nn._workspace import Rows, Workspace

EPSILON = 1e-5
MOMENTUM = 0.1


class _Normalization:
    """y = gamma * z + beta with z = (x - mean) / sqrt(variance + epsilon), (K, F, B) -> (K, F, B)."""

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        space: Workspace,
    ) -> None:
        self._gamma = parameters[f"{name}.weight"].unsqueeze(2)
        self._beta = parameters[f"{name}.bias"].unsqueeze(2)
        features = self._gamma.shape[1]
        self._z = space.features(f"{name}.z", features)
        self._out = space.features(f"{name}.out", features)
        self._work = space.features(f"{name}.work", features)
        self._inverse = self._gamma
        if gradients is not None:
            self._gamma_gradient = gradients[f"{name}.weight"]
            self._beta_gradient = gradients[f"{name}.bias"]

    def _scaled(self) -> Rows:
        torch.mul(self._z.view, self._gamma, out=self._out.view)
        self._out.view.add_(self._beta)
        return self._out

    def _parameter_gradients(self, gradient: Rows) -> None:
        torch.mul(gradient.view, self._z.view, out=self._work.view)
        torch.sum(self._work.view, 2, out=self._gamma_gradient)
        torch.sum(gradient.view, 2, out=self._beta_gradient)


class BatchNorm(_Normalization):
    """Normalise each feature over the batch; padding rows count for nothing.

    Running statistics ``name.running_mean`` and ``name.running_var`` follow with momentum 0.1, the variance unbiased,
    as in :class:`torch.nn.BatchNorm1d`, and take the batch's place outside training, and in training where they are
    held.

    References
    ----------
    Ioffe and Szegedy, "Batch normalization", ICML 2015.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor] | None,
        buffers: Mapping[str, Tensor],
        space: Workspace,
    ) -> None:
        super().__init__(name, parameters, gradients, space)
        self.name = name
        self._mean = buffers[f"{name}.running_mean"].unsqueeze(2)
        self._variance = buffers[f"{name}.running_var"].unsqueeze(2)
        self._step = Pass(training=True)
        self._held: Tensor | None = None

    def hold(self, members: Sequence[bool]) -> None:
        """Let some of the K members keep their running statistics, and be normalised by them in training too."""
        self._held = torch.tensor(members, device=self._mean.device).view(-1, 1, 1)

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Normalise by the batch's statistics in training, by the running ones otherwise."""
        self._step = step
        if not step.training:
            torch.sub(x.view, self._mean, out=self._z.view)
            self._z.view.mul_((self._variance + EPSILON).sqrt_().reciprocal_())
            return self._scaled()
        assert step.count is not None
        values = x.view if step.valid is None else torch.mul(x.view, step.valid, out=self._work.view)
        mean = values.sum(2, keepdim=True).div_(step.count)
        z = torch.sub(x.view, mean, out=self._z.view)
        if step.valid is not None:
            z.mul_(step.valid)
        torch.mul(z, z, out=self._work.view)
        variance = self._work.view.sum(2, keepdim=True).div_(step.count)
        if not step.again:
            self._follow(mean, variance, step.count)
        if self._held is not None:
            variance = torch.where(self._held, self._variance, variance)
            torch.sub(x.view, torch.where(self._held, self._mean, mean), out=z)
            if step.valid is not None:
                z.mul_(step.valid)
        self._inverse = (variance + EPSILON).sqrt_().reciprocal_()
        z.mul_(self._inverse)
        return self._scaled()

    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        unbiased = variance * (count / (count - 1).clamp_(min=1))
        if self._step.valid is not None:
            single = count < 2  # one row has no variance to follow
            mean = torch.where(single, self._mean, mean)
            unbiased = torch.where(single, self._variance, unbiased)
        for running, value in ((self._mean, mean), (self._variance, unbiased)):
            followed = running.mul(1 - MOMENTUM).add_(value.mul(MOMENTUM))
            running.copy_(followed if self._held is None else torch.where(self._held, running, followed))

    def backward(self, gradient: Rows) -> Rows:
        """Return gamma / sigma * (g - mean(g) - z mean(g z)), written over g (padding rows of g are zero).

        Statistics that are held are constants: the two means are then left out.
        """
        step, g = self._step, gradient.view
        assert step.count is not None
        self._parameter_gradients(gradient)
        mean_gz = (self._gamma_gradient.unsqueeze(2)).div(step.count)
        mean_g = (self._beta_gradient.unsqueeze(2)).div(step.count)
        if self._held is not None:
            mean_g.masked_fill_(self._held, 0.0)
            mean_gz.masked_fill_(self._held, 0.0)
        torch.mul(self._z.view, mean_gz, out=self._work.view)
        g.sub_(mean_g).sub_(self._work.view)
        if step.valid is not None:
            g.mul_(step.valid)
        g.mul_(self._gamma * self._inverse)
        return gradient


class LayerNorm(_Normalization):
    """Normalise each row over its features.

    References
    ----------
    Ba, Kiros and Hinton, "Layer normalization", arXiv:1607.06450, 2016.
    """

    def forward(self, x: Rows, step: Pass) -> Rows:
        """Return the rows normalised, scaled and shifted."""
        features = x.view.shape[1]
        mean = x.view.sum(1, keepdim=True).div_(features)
        z = torch.sub(x.view, mean, out=self._z.view)
        torch.mul(z, z, out=self._work.view)
        variance = self._work.view.sum(1, keepdim=True).div_(features)
        self._inverse = variance.add_(EPSILON).sqrt_().reciprocal_()
        z.mul_(self._inverse)
        return self._scaled()

    def backward(self, gradient: Rows) -> Rows:
        """Return (h - mean(h) - z mean(h z)) / sigma with h = gamma g, written over g."""
        g, z, features = gradient.view, self._z.view, gradient.view.shape[1]
        self._parameter_gradients(gradient)
        g.mul_(self._gamma)
        torch.mul(g, z, out=self._work.view)
        mean_gz = self._work.view.sum(1, keepdim=True).div_(features)
        mean_g = g.sum(1, keepdim=True).div_(features)
        torch.mul(z, mean_gz, out=self._work.view)
        g.sub_(mean_g).sub_(self._work.view).mul_(self._inverse)
        return gradient
