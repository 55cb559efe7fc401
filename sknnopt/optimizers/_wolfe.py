"""The strong Wolfe line search of one member, in Python's floats."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import NamedTuple

__all__ = ["Search", "strong_wolfe"]

ARMIJO, CURVATURE = 1e-4, 0.9
"""c1 and c2 of the Wolfe conditions."""

SMALLEST_BRACKET = 1e-9
"""Largest change of a parameter within a bracket not worth refining."""

Search = Generator[float, tuple[float, float], float]
"""Yields trial steps, is sent value and slope there, returns the step to take."""


class Point(NamedTuple):
    """A trial step, the objective's value there and its slope along the direction."""

    step: float
    value: float
    slope: float


Trial = Generator[float, tuple[float, float], Point]


def strong_wolfe(step: float, value: float, slope: float, *, reach: float, limit: int) -> Search:
    """Search for a step that satisfies the strong Wolfe conditions; 0.0 if none makes the objective smaller.

    Nocedal and Wright, "Numerical optimization", 2006, algorithms 3.5 and 3.6 with cubic interpolation, equation 3.59.
    As in torch, steps grow between 1.01 and 10 times, and a trial near the end of its bracket for the second time is
    moved inside by a tenth. What is not finite counts as too far.

    Parameters
    ----------
    step : float
        First trial, above 0.
    value, slope : float
        At step 0; the slope is negative.
    reach : float
        Largest entry of the direction.
    limit : int
        Number of trials after the first.

    Examples
    --------
    >>> search = strong_wolfe(1.0, 1.0, -2.0, reach=1.0, limit=25)  # of (1 - 4 x)^2 / 4 + 3 / 4
    >>> x = next(search)
    >>> try:
    ...     while True:
    ...         x = search.send(((1 - 4 * x) ** 2 / 4 + 3 / 4, 2 * (4 * x - 1)))
    ... except StopIteration as end:
    ...     round(end.value, 6)
    0.25
    """
    origin = previous = Point(0.0, value, slope)
    point = yield from _look(step)
    for trial in range(limit):
        too_high = _too_high(point, origin) or (trial > 1 and point.value >= previous.value)
        if not too_high and abs(point.slope) <= -CURVATURE * slope:
            return point.step
        if too_high or point.slope >= 0:
            return (yield from _zoom(origin, previous, point, reach, limit - trial))
        shortest, longest = point.step + 0.01 * (point.step - previous.step), 10 * point.step
        step = _lowest(previous, point, shortest, longest)
        previous, point = point, (yield from _look(step))
    return point.step if point.value < value else 0.0


def _look(step: float) -> Trial:
    value, slope = yield step
    if math.isfinite(value) and math.isfinite(slope):
        return Point(step, value, slope)
    return Point(step, math.inf, math.nan)


def _too_high(point: Point, origin: Point) -> bool:
    """Whether the value has not decreased enough (equation 3.6a)."""
    return point.value > origin.value + ARMIJO * point.step * origin.slope


def _zoom(origin: Point, first: Point, second: Point, reach: float, limit: int) -> Search:
    """Refine a bracket (algorithm 3.6) and return its lower end."""
    ends, near_end = [first, second], False
    low = _lower(ends)
    for _ in range(limit):
        left, right = sorted(end.step for end in ends)
        if (right - left) * reach < SMALLEST_BRACKET:
            break
        step, near_end = _inside(_lowest(ends[0], ends[1], left, right), left, right, near_end)
        point = yield from _look(step)
        if _too_high(point, origin) or point.value >= ends[low].value:
            ends[1 - low] = point
            low = _lower(ends)
            continue
        if abs(point.slope) <= -CURVATURE * origin.slope:
            return step
        if point.slope * (ends[1 - low].step - ends[low].step) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = point
    return ends[low].step


def _lower(ends: list[Point]) -> int:
    return 0 if ends[0].value <= ends[1].value else 1


def _inside(step: float, left: float, right: float, was_near_end: bool) -> tuple[float, bool]:
    """Return the step, moved inside if it is near an end of the bracket again, and whether it is near one."""
    margin = 0.1 * (right - left)
    if min(right - step, step - left) >= margin:
        return step, False
    if not was_near_end and left < step < right:
        return step, True
    return (right - margin if abs(step - right) < abs(step - left) else left + margin), False


def _lowest(one: Point, other: Point, shortest: float, longest: float) -> float:
    """Return where the cubic through two points is lowest (equation 3.59), within bounds; their middle if nowhere."""
    first, last = (one, other) if one.step <= other.step else (other, one)
    width = last.step - first.step
    if width > 0:
        d1 = first.slope + last.slope - 3 * (first.value - last.value) / (first.step - last.step)
        square = d1 * d1 - first.slope * last.slope
        if 0 <= square < math.inf:
            d2 = math.sqrt(square)
            divisor = last.slope - first.slope + 2 * d2
            if divisor != 0:
                return min(max(last.step - width * ((last.slope + d2 - d1) / divisor), shortest), longest)
    return (shortest + longest) / 2
