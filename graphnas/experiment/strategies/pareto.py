"""Several objectives: which points are dominated by none, and how crowded they lie.

A point is a tuple of numbers of which more is better. One dominates another if it is nowhere worse and somewhere
better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from graphnas.errors import EvaluationError

Point = Sequence[float]


def point_of(
    metrics: Mapping[str, float] | None, metric: float | None, objectives: Sequence[tuple[str, str]]
) -> tuple[float, ...] | None:
    """Return the objectives of a trial, those that are minimised negated; None for a trial without a metric.

    Raises:
        EvaluationError: The evaluator did not report an objective.
    """
    if metric is None:
        return None
    found = {"default": metric} if metrics is None else metrics
    missing = [name for name, _ in objectives if name not in found]
    if missing:
        raise EvaluationError(
            f"the metric {missing[0]!r} is an objective, but was not reported; got {', '.join(map(repr, found))}; let "
            "the evaluator return a dictionary of all objectives and 'default'"
        )
    return tuple(found[name] if mode == "maximize" else -found[name] for name, mode in objectives)


def dominates(one: Point, other: Point) -> bool:
    """Tell whether one point is nowhere worse than another and somewhere better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of the points that no other dominates, in order; equal points stay together."""
    kept: list[int] = []
    # In falling order a point can only be dominated by one before it, and then also by one that is kept.
    for place in sorted(range(len(points)), key=lambda place: tuple(points[place]), reverse=True):
        if not any(dominates(points[other], points[place]) for other in kept):
            kept.append(place)
    return sorted(kept)


def ranks(points: Sequence[Point]) -> list[int]:
    """Return for each point how many fronts have to be taken away until it lies on one (non-dominated sorting)."""
    found = [0] * len(points)
    left = list(range(len(points)))
    rank = 0
    while left:
        on_front = {left[place] for place in front([points[item] for item in left])}
        for place in on_front:
            found[place] = rank
        left = [place for place in left if place not in on_front]
        rank += 1
    return found


def crowding(points: Sequence[Point]) -> list[float]:
    """Return for each point of a front how far its neighbours are apart, in ranges of the objectives.

    The points at the ends have infinity.
    """
    found = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda place: points[place][axis])
        low, high = points[order[0]][axis], points[order[-1]][axis]
        found[order[0]] = found[order[-1]] = math.inf
        if high > low:
            for before, place, after in zip(order, order[1:], order[2:], strict=False):
                found[place] += (points[after][axis] - points[before][axis]) / (high - low)
    return found
