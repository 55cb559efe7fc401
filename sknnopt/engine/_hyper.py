"""The numbers that optimizers need at each step, computed ahead for an epoch."""

from collections.abc import Sequence

import numpy as np
import torch

from sknnopt.engine._member import Member
from sknnopt.optimizers import SHRINKAGE, Numbers

AVERAGE = "_average"
"""Name of the share of the weights that goes into their average."""

PENALTY = "_penalty."
"""What the names of a regulariser's coefficients begin with."""


class HyperTable:
    """Every member's learning rate and optimizer coefficients for each step of the coming epoch.

    They are computed in float64, member by member, so that they do not depend on who trains beside it.

    Parameters
    ----------
    members : sequence of Member
        In descending order of batches.
    dtype, device
        Of the parameters.

    Attributes
    ----------
    last_rates : list of float
        Each member's learning rate at its last step.
    """

    def __init__(self, members: Sequence[Member], dtype: torch.dtype, device: torch.device) -> None:
        self.last_rates = []
        columns = []
        decays = any(member.job.techniques.weight_decay > 0 for member in members)
        for member in members:
            techniques, rates = member.job.techniques, member.learning_rates()
            steps = np.arange(member.steps + 1, member.steps + len(rates) + 1, dtype=np.float64)
            with np.errstate(over="ignore", invalid="ignore"):  # what diverges is found by its loss and weights
                column = {"learning_rate": rates, **techniques.optimizer.coefficients(steps, rates)}
                if decays:
                    column[SHRINKAGE] = rates * member.weight_decays()
            if techniques.weight_averaging is not None:
                column[AVERAGE] = member.intakes(techniques.weight_averaging)
            if techniques.regularization is not None:
                with np.errstate(over="ignore"):
                    numbers = techniques.regularization.coefficients(steps)
                column |= {PENALTY + name: value for name, value in numbers.items()}
            columns.append(column)
            self.last_rates.append(float(rates[-1]))
        names = list(columns[0])
        values = np.zeros((len(columns), len(names), members[0].batches))
        for k, (member, column) in enumerate(zip(members, columns, strict=True)):
            values[k, :, : member.batches] = [column[name] for name in names]
        table = torch.from_numpy(values).to(dtype)
        self._values = table.permute(2, 1, 0).unsqueeze(3).contiguous().to(device).unbind(0)
        self._now = torch.empty_like(self._values[0])
        self._numbers = Numbers(zip(names, self._now.unbind(0), strict=True))
        trained = np.arange(members[0].batches) < [[[member.batches]] for member in members]
        agreed = ((values == values[0]) | ~trained).all((0, 2)).tolist()
        rows = zip(names, table[0].tolist(), agreed, strict=True)
        self._numbers.shared = {name: row for name, row, same in rows if same}

    def load(self, step: int) -> Numbers:
        """Return the numbers at a step of the epoch, each (K, 1); the next call overwrites them."""
        self._now.copy_(self._values[step])
        self._numbers.step = step
        return self._numbers
