"""What members have recorded epoch by epoch: the mean over them, and each by itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Record = dict[str, Any]
Curves = dict[str, NDArray[np.float64]]


def comparable(histories: Sequence[list[Record]]) -> Sequence[list[Record]]:
    """Return the histories with a score in each record, if any has one.

    Who is judged by the loss as it is, while others are not, has that for a score.
    """
    if not any("valid_score" in record for history in histories for record in history[:1]):
        return histories
    return [
        [{**record, "valid_score": record.get("valid_score", -record["valid_loss"])} for record in history]
        for history in histories
    ]


def mean_history(histories: Sequence[list[Record]]) -> list[Record]:
    """Average the records of members epoch by epoch, over those still training."""
    if len(histories) == 1:
        return histories[0]
    out = []
    for epoch in range(max(map(len, histories))):
        records = [history[epoch] for history in histories if len(history) > epoch]
        mean = {key: float(np.mean([record[key] for record in records])) for key in records[0]}
        out.append(mean | {"epoch": epoch + 1, "seconds": float(sum(record["seconds"] for record in records))})
    return out


def member_histories(histories: Sequence[list[Record]], earlier: Mapping[str, NDArray[np.float64]]) -> Curves:
    """Return every figure of the records as an array (members, epochs), after those of earlier epochs.

    What a member has not recorded, since its training has ended or there were no withheld rows, is NaN.

    Examples
    --------
    >>> long, short = [{"epoch": 1, "train_loss": 3.0}, {"epoch": 2, "train_loss": 2.0}], [{"train_loss": 5.0}]
    >>> member_histories([long, short], {})
    {'train_loss': array([[ 3.,  2.],
           [ 5., nan]])}
    """
    epochs = max(map(len, histories))
    before = next((len(values[0]) for values in earlier.values()), 0)
    names = dict.fromkeys([*earlier, *(name for history in histories for record in history[:1] for name in record)])
    out = {}
    for name in names:
        if name == "epoch":
            continue
        out[name] = np.full((len(histories), before + epochs), np.nan)
        if name in earlier:
            out[name][:, :before] = earlier[name]
        for row, history in zip(out[name], histories, strict=True):
            row[before : before + len(history)] = [record.get(name, np.nan) for record in history]
    return out
