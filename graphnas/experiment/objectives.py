"""What is optimised: the modes, and of several objectives which points are dominated by none and how crowded they lie.

A point is a tuple of numbers of which more is better. One dominates another if it is nowhere worse and somewhere
better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from graphnas.errors import EvaluationError

OPTIMIZE_MODES = ("maximize", "minimize")

Point = Sequence[float]


def point(metrics: Mapping[str, float], objectives: Iterable[tuple[str, str]]) -> tuple[float, ...]:
    """Return the objectives among metrics that hold all of them, those that are minimised negated."""
    return tuple(metrics[name] if mode == "maximize" else -metrics[name] for name, mode in objectives)


def point_of(
    metrics: Mapping[str, float] | None, metric: float | None, objectives: Sequence[tuple[str, str]]
) -> tuple[float, ...] | None:
    """Return the point of a trial; None for a trial without a metric.

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
    return point(found, objectives)


def dominates(one: Point, other: Point) -> bool:
    """Tell whether one point is nowhere worse than another and somewhere better."""
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


def front(points: Sequence[Point]) -> list[int]:
    """Return the places of the points that no other dominates, in order; equal points stay together.

    >>> front([(3.0, 1.0), (2.0, 2.0), (1.0, 2.0), (1.0, 3.0)])
    [0, 1, 3]
    """
    kept: list[int] = []
    for place in _falling(points):
        if not any(dominates(points[other], points[place]) for other in kept):
            kept.append(place)
    return sorted(kept)


def ranks(points: Sequence[Point]) -> list[int]:
    """Return for each point how many fronts have to be taken away until it lies on one.

    Non-dominated sorting by a search for the front of each point: Zhang et al. 2015, "An Efficient Approach to
    Nondominated Sorting for Evolutionary Multiobjective Optimization".
    """
    found = [0] * len(points)
    fronts: list[list[Point]] = []
    for place in _falling(points):
        point = points[place]
        # Who is dominated by one of a front is dominated by one of each front before it.
        low, rank = 0, len(fronts)
        while low < rank:
            middle = (low + rank) // 2
            if any(dominates(other, point) for other in fronts[middle]):
                low = middle + 1
            else:
                rank = middle
        if rank == len(fronts):
            fronts.append([])
        fronts[rank].append(point)
        found[place] = rank
    return found


def _falling(points: Sequence[Point]) -> list[int]:
    """Return the places in falling order, in which a point can only be dominated by one before it."""
    return sorted(range(len(points)), key=lambda place: tuple(points[place]), reverse=True)


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
