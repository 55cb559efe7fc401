"""A small objective of K members and a loop around `start` and `bind`, for optimizers that look at layers."""

import numpy as np
import torch

from sknnopt._layout import Layout
from sknnopt.optimizers import SHRINKAGE

STEPS = 24
RATES = (0.03, 0.001, 0.2)
SHAPES = {"first": (13, 7), "wide": (33, 64), "flat": (7, 13), "row": (1, 5), "column": (30, 1), "again": (7, 13)}
ODD = Layout([*SHAPES.items(), ("cube", (3, 2, 5)), ("last", (2, 7))], [("bias", (13,)), ("one", (1,))])
SQUARE = Layout([("first", (6, 6)), ("second", (9, 9)), ("last", (4, 4))], [("bias", (6,))])


class Bowl:
    """``sum h z^2 / 2 + sum z^4 / 4 + (sum h z)^2 / 8`` of ``z = w - centre``, each member by itself."""

    def __init__(self, parameters, gradients, curvature, centre):
        self.parameters, self.gradients, self.curvature, self.centre = parameters, gradients, curvature, centre
        self.calls = 0

    def gradient(self):
        self.value_and_gradient()

    def value_and_gradient(self):
        self.calls += 1
        z = self.parameters - self.centre
        total = (self.curvature * z).sum(1, keepdim=True)
        self.gradients.copy_(self.curvature * (z + total / 4) + z * z * z)
        return (self.curvature * z * z).sum(1) / 2 + (z**4).sum(1) / 4 + total[:, 0] ** 2 / 8


def problem(layout, dtype=torch.float64):
    """Parameters, curvature and centre of three members, (3, P); the padding is zero."""
    generator = torch.Generator().manual_seed(0)
    out = [torch.zeros(3, layout.size, dtype=dtype) for _ in range(3)]
    for flat, low in zip(out, (None, 0.1, None), strict=True):
        for view in layout.views(flat).values():
            draw = torch.randn if low is None else torch.rand
            view.copy_(draw(view.shape, generator=generator, dtype=dtype) + (low or 0.0))
    return out


class Loop:
    """Members in training."""

    def __init__(self, members, rates=RATES, *, layout=ODD, dtype=torch.float64, rows=(0, 1, 2), decay=0.0):
        self.members, self.rates, self.layout, self.decay = list(members), list(rates), layout, decay
        self.parameters, *self.shape = (flat[list(rows)] for flat in problem(layout, dtype))
        self.gradients = torch.zeros_like(self.parameters)
        self.state = self.members[0].start(self.parameters, layout)
        self.done = 0
        self.bind()

    def bind(self, first=None):
        """Bind the first members, or all."""
        parameters, gradients, *shape = (t[:first] for t in (self.parameters, self.gradients, *self.shape))
        self.objective = Bowl(parameters, gradients, *shape)
        state = {name: value[:first] for name, value in self.state.items()}
        self.step = self.members[0].bind(gradients, state, parameters, layout=self.layout, objective=self.objective)

    def keep(self, rows):
        """Let the other members leave."""
        self.members, self.rates = [self.members[k] for k in rows], [self.rates[k] for k in rows]
        self.parameters, self.gradients, *self.shape = (t[rows] for t in (self.parameters, self.gradients, *self.shape))
        self.state = {name: value[rows] for name, value in self.state.items()}
        self.bind()

    def hyper(self, step):
        numbers = []
        for member, rate in zip(self.members, self.rates, strict=True):
            column = {"learning_rate": np.array([rate]), **member.coefficients(np.array([step]), np.array([rate]))}
            numbers.append(column | ({SHRINKAGE: np.array([rate * self.decay])} if self.decay else {}))
        return {
            name: torch.tensor([[column[name][0]] for column in numbers], dtype=self.parameters.dtype)
            for name in numbers[0]
        }

    def run(self, steps=STEPS):
        """Train; returns the parameters after every step (steps, K, P)."""
        path = []
        for _ in range(steps):
            self.done += 1
            self.objective.gradient()
            hyper = self.hyper(float(self.done))
            self.step({name: value[: len(self.objective.parameters)] for name, value in hyper.items()})
            path.append(self.parameters.clone())
        return torch.stack(path)


def torch_path(make, row, *, layout, closure=False, steps=STEPS, spoil=None):
    """The parameters (steps, P) of one member under a torch optimizer, ``make(list of parameters) -> optimizer``."""
    flat, curvature, centre = (t[row : row + 1].clone() for t in problem(layout))
    gradients = torch.zeros_like(flat)
    objective = Bowl(flat, gradients, curvature, centre)
    owned = []
    for name, view in layout.single(flat[0]).items():
        owned.append(torch.nn.Parameter(view))
        owned[-1].grad = layout.single(gradients[0])[name]
    optimizer = make(owned)

    def evaluate():
        with torch.no_grad():
            value = objective.value_and_gradient()[0]
        for parameter, view in zip(owned, layout.single(gradients[0]).values(), strict=True):
            parameter.grad = view
        return value

    path = []
    for _ in range(steps):
        if closure is not True:
            evaluate()
        optimizer.step(evaluate) if closure else optimizer.step()
        path.append(flat[0].clone())
    return torch.stack(path)
