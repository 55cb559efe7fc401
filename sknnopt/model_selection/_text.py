"""Tables of text, and of HTML, without any library."""

import html
import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

GAP = "  "
MISSING = "\N{EN DASH}"
NARROWEST = 16
"""Characters that the names keep, however wide the rest is."""


class Column(NamedTuple):
    """A column of cells; its head may have several lines."""

    head: str
    cells: list[str]

    @property
    def width(self) -> int:
        """Characters of its widest line."""
        return max(map(len, [*self.head.split("\n"), *self.cells]))


def places(values: NDArray[np.float64], digits: int, most: int = 5) -> int:
    """Return the decimal places that show so many digits of a typical value.

    Examples
    --------
    >>> places(np.array([0.021, 0.034]), 2), places(np.array([312.0]), 2)
    (3, 0)
    """
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not len(sizes):
        return min(3, most)
    return int(np.clip(digits - 1 - math.floor(math.log10(np.median(sizes))), 0, most))


def number(value: float, decimals: int) -> str:
    """Return a number with thousands apart; a dash for NaN."""
    return f"{value:,.{decimals}f}" if math.isfinite(value) else MISSING


def numbers(head: str, values: NDArray[np.float64], digits: int = 3) -> Column:
    """Return a column with as many places throughout as its typical value needs."""
    decimals = places(values, digits)
    return Column(head, [number(value, decimals) for value in values])


def score_places(mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> int:
    """Return the decimal places that show two digits of what scores scatter by, or four of themselves."""
    return places(deviation, 2) if np.nansum(deviation) > 0 else places(mean, 4)


def spread(head: str, mean: NDArray[np.float64], deviation: NDArray[np.float64], decimals: int) -> Column:
    """Return a column of means with what they scatter by."""
    pairs = [(number(m, decimals), number(s, decimals)) for m, s in zip(mean, deviation, strict=True)]
    left, right = (max(len(pair[side]) for pair in pairs) for side in (0, 1))
    cells = [f"{m:>{left}} ± {s:>{right}}" if m != MISSING else MISSING for m, s in pairs]
    return Column(head, cells)


def plain_table(names: Column, columns: Sequence[Column], width: int) -> str:
    """Return the table as lines of text of at most so many characters; names that are longer go on in the next line."""
    room = max(width - sum(len(GAP) + column.width for column in columns), NARROWEST)
    wrapped = [textwrap.wrap(name, room) or [""] for name in names.cells]
    head = [line for part in names.head.split("\n") for line in textwrap.wrap(part, room)]
    left = max(len(line) for lines in [head, *wrapped] for line in lines)
    heads = [head, *(column.head.split("\n") for column in columns)]
    height = max(map(len, heads))
    padded = [[""] * (height - len(lines)) + lines for lines in heads]
    rows = list(zip(*padded, strict=True))
    for i, lines in enumerate(wrapped):
        rows.append((lines[0], *(column.cells[i] for column in columns)))
        rows.extend((line, *[""] * len(columns)) for line in lines[1:])
    widths = [column.width for column in columns]
    text = [
        GAP.join([f"{row[0]:<{left}}", *(f"{cell:>{w}}" for cell, w in zip(row[1:], widths, strict=True))]).rstrip()
        for row in rows
    ]
    text.insert(height, "-" * max(map(len, text)))
    return "\n".join(text)


def html_table(names: Column, columns: Sequence[Column], notes: Sequence[str]) -> str:
    """Return the table as HTML with the notes under it."""
    heads = "".join(f"<th>{html.escape(column.head).replace(chr(10), '<br>')}</th>" for column in (names, *columns))
    rows = "".join(
        f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
        + "".join(f"<td style='text-align: right'>{html.escape(column.cells[i])}</td>" for column in columns)
        + "</tr>"
        for i, name in enumerate(names.cells)
    )
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{below}"
