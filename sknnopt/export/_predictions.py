"""Scores to what an estimator predicts, in torch and in double precision."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt.losses import Loss, Quantile


class Probabilities(nn.Module):
    """Scores (B, O) to probabilities of classes, or of labels."""

    def __init__(self, *, labels: bool) -> None:
        super().__init__()
        self.labels = labels

    def forward(self, scores: Tensor) -> Tensor:
        """Return probabilities (B, O)."""
        scores = scores.double()
        return torch.sigmoid(scores) if self.labels else torch.softmax(scores, 1)


class Numbers(nn.Module):
    """Scores (B, O) to predicted numbers (B, T), (B,) of one target."""

    scale: Tensor
    mean: Tensor

    def __init__(self, loss: Loss, target: Any) -> None:
        super().__init__()
        self.link, self.single = loss.link, target.n_outputs_ == 1
        self.own = None if type(loss).predict is Loss.predict else loss.predict
        self.register_buffer("scale", torch.from_numpy(target.scale_.copy()))
        self.register_buffer("mean", torch.from_numpy(target.mean_.copy()))

    def forward(self, scores: Tensor) -> Tensor:
        """Return numbers in the target's units."""
        values = scores.double()
        if self.own is not None:
            values = self.own(values.transpose(0, 1).unsqueeze(0))[0].transpose(0, 1)
        elif self.link == "exp":
            values = torch.exp(values)
        values = values * self.scale + self.mean
        return values.reshape(-1) if self.single else values


class Quantiles(nn.Module):
    """Scores (B, T Q) to predicted quantiles, made as wide as withheld rows say.

    Parameters
    ----------
    loss : Quantile
    target : RegressionTarget
    shift, factors : ndarray of shape (T,), (T, Q)
        Of a fitted regressor, see `sknnopt.NNRegressor`.
    every : bool
        Whether all quantiles are returned besides the central one.
    """

    scale: Tensor
    mean: Tensor
    shift: Tensor
    factors: Tensor

    def __init__(self, loss: Quantile, target: Any, shift: Any, factors: Any, *, every: bool) -> None:
        super().__init__()
        self.every, self.targets, self.levels, self.central = every, target.n_outputs_, len(loss.levels), loss.central
        for name, values in (("scale", target.scale_), ("mean", target.mean_), ("shift", shift)):
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.float64)).unsqueeze(1))
        self.register_buffer("factors", torch.from_numpy(np.array(factors, dtype=np.float64)))

    def forward(self, scores: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the central quantile (B, T), (B,) of one target, and with `every` all, with an axis more."""
        given = scores.double().reshape(-1, self.targets, self.levels) * self.scale + self.mean
        ordered = torch.sort(given, 2)[0]
        center = ordered[:, :, self.central : self.central + 1]
        found = torch.sort(center + self.shift + self.factors * (ordered - center), 2)[0]
        central = found[:, :, self.central]
        if self.targets == 1:
            central, found = central.reshape(-1), found.reshape(-1, self.levels)
        return (central, found) if self.every else central
