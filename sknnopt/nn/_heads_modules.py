"""Heads that share hidden layers as plain modules: rows (H B, F), one head's after the other's."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sknnopt.nn._ensemble import Link, average


def _parameter(size: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(size, device="meta"))


class Heads(nn.Module):
    """Rows (B, F) for each of H heads, times that head's numbers: (H B, F).

    Parameters
    ----------
    heads, features : int
        H and F. The parameter ``r`` (H F,) has the first head's F numbers, then the second's.
    """

    def __init__(self, heads: int, features: int) -> None:
        super().__init__()
        self.heads, self.features = heads, features
        self.r = _parameter(heads * features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows of all heads."""
        return (x * self.r.view(self.heads, 1, -1)).flatten(0, 1)

    def extra_repr(self) -> str:
        return f"{self.heads}, features={self.features}"


class HeadsLinear(nn.Linear):
    """y_h = s_h * (W (r_h * x_h)) + b_h: heads that share W.

    Its parameters are ``weight`` W (O, F), and ``r`` (H F,), ``s`` and ``b`` (H O,), each head by head.

    Parameters
    ----------
    heads, in_features, out_features : int
        H, F and O.
    scales_inputs : bool
        Without ``r`` if False.
    scaled : bool
        Whether W is divided by the square root of F, as in :class:`ScaledLinear`.

    References
    ----------
    Wen, Tran and Ba, "BatchEnsemble: an alternative approach to efficient ensemble and lifelong learning", 2020,
    equation 5.
    """

    def __init__(self, heads: int, in_features: int, out_features: int, *, scales_inputs: bool, scaled: bool) -> None:
        super().__init__(in_features, out_features, bias=False, device="meta")
        self.heads, self.scaled = heads, scaled
        self.r = _parameter(heads * in_features) if scales_inputs else None
        self.s, self.b = _parameter(heads * out_features), _parameter(heads * out_features)

    def scaled_weight(self) -> Tensor:
        """Return what the inputs are multiplied with, (O, F)."""
        return _divided(self.weight, scaled=self.scaled)

    def forward(self, input: Tensor) -> Tensor:
        """Return the outputs of all heads' rows, (H B, O)."""
        x, heads = _by_head(input, self.heads), (self.heads, 1, -1)
        if self.r is not None:
            x = x * self.r.view(heads)
        return (functional.linear(x, self.scaled_weight()) * self.s.view(heads) + self.b.view(heads)).flatten(0, 1)

    def reset_parameters(self) -> None:
        """Draw nothing."""

    def extra_repr(self) -> str:
        return f"heads={self.heads}, in_features={self.in_features}, out_features={self.out_features}"


class HeadsOutput(nn.Linear):
    """y_h = W_h x_h + b_h: each head with weights of its own.

    Its parameters are ``weight`` (H O, F) and ``bias`` (H O,), head by head.

    Parameters
    ----------
    heads, in_features, outputs : int
        H, F and O.
    scaled : bool
        Whether W_h is divided by the square root of F, as in :class:`ScaledLinear`.
    """

    def __init__(self, heads: int, in_features: int, outputs: int, *, scaled: bool) -> None:
        super().__init__(in_features, heads * outputs, device="meta")
        self.heads, self.outputs, self.scaled = heads, outputs, scaled

    def scaled_weight(self) -> Tensor:
        """Return what the inputs are multiplied with, (H, O, F)."""
        return _by_head(_divided(self.weight, scaled=self.scaled), self.heads)

    def forward(self, input: Tensor) -> Tensor:
        """Return the scores of all heads' rows, (H B, O)."""
        x, bias = _by_head(input, self.heads), self.bias.view(self.heads, 1, -1)
        return torch.baddbmm(bias, x, self.scaled_weight().transpose(1, 2)).flatten(0, 1)

    def by_unit(self, outputs: Tensor) -> Tensor:
        """Return the outputs (H B, O) of each unit, (H O, B)."""
        return _by_head(outputs, self.heads).transpose(1, 2).flatten(0, 1)

    def reset_parameters(self) -> None:
        """Draw nothing."""

    def extra_repr(self) -> str:
        return f"heads={self.heads}, in_features={self.in_features}, outputs={self.outputs}"


class HeadsAverage(nn.Module):
    """The average prediction of all heads, as scores of the same link: (H B, O) -> (B, O).

    Parameters
    ----------
    heads : int
        H.
    link : {"identity", "softmax", "sigmoid", "exp"}

    Examples
    --------
    >>> HeadsAverage(2, "softmax")(torch.log(torch.tensor([[0.25, 0.75], [0.75, 0.25]]))).exp()
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, heads: int, link: Link) -> None:
        super().__init__()
        self.heads, self.link = heads, link

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the averaged prediction."""
        return average(_by_head(x, self.heads), self.link)

    def extra_repr(self) -> str:
        return f"{self.heads}, link={self.link!r}"


def _by_head(rows: Tensor, heads: int) -> Tensor:
    """Return rows (H B, F), one head's after the other's, as (H, B, F)."""
    return rows.reshape(heads, -1, rows.shape[1])


def _divided(weight: Tensor, *, scaled: bool) -> Tensor:
    return weight * (1 / math.sqrt(weight.shape[1])) if scaled else weight
