"""Several objectives: points, fronts and how crowded they are."""

from __future__ import annotations

import math
import random

import pytest

from graphnas.errors import EvaluationError
from graphnas.experiment.objectives import crowding, dominates, front, point_of, ranks

BOTH = {"default": "maximize", "cost": "minimize"}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_fronts_are_what_trying_all_pairs_gives(dimensions: int) -> None:
    draws = random.Random(dimensions)
    points = [tuple(draws.randrange(5) for _ in range(dimensions)) for _ in range(60)]
    free = [place for place, one in enumerate(points) if not any(dominates(other, one) for other in points)]
    assert front(points) == free
    found = ranks(points)
    assert [place for place, rank in enumerate(found) if rank == 0] == free
    for one, its in zip(points, found, strict=True):
        above = [rank for other, rank in zip(points, found, strict=True) if dominates(other, one)]
        assert its == (max(above) + 1 if above else 0)


def test_the_front_of_three_objectives() -> None:
    points = [(float(a), float(b), float((a * b) % 7)) for a in range(9) for b in range(9)]
    found = {points[place] for place in front(points)}
    for point in points:
        beaten = any(all(x >= y for x, y in zip(o, point, strict=True)) and o != point for o in points)
        assert (point in found) == (not beaten)


def test_crowding_is_the_distance_of_the_neighbours() -> None:
    assert crowding([(0.0, 4.0), (1.0, 2.0), (4.0, 0.0)]) == [math.inf, 2.0, math.inf]
    assert crowding([(1.0,), (1.0,), (1.0,)])[1] == 0.0
    assert crowding([]) == []


def test_objectives_are_taken_out_of_the_metrics() -> None:
    objectives = tuple(BOTH.items())
    assert point_of({"default": 2.0, "cost": 3.0}, 2.0, objectives) == (2.0, -3.0)
    assert point_of(None, 2.0, (("default", "minimize"),)) == (-2.0,)
    assert point_of(None, None, objectives) is None
    with pytest.raises(EvaluationError, match="metric 'cost' is an objective, but was not reported; got 'default'"):
        point_of(None, 2.0, objectives)
