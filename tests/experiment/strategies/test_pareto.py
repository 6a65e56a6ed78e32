"""Several objectives: fronts, and the evolution towards them."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from graphnas.errors import ConfigError, EvaluationError
from graphnas.experiment.strategies import NSGA2, Observation, Proposal, Random, Strategy
from graphnas.experiment.strategies.pareto import crowding, dominates, front, point_of, ranks
from graphnas.testing.strategies import SPACES, SimulatedSearch

from .problems import EDGES, edges

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


def score(proposal: Proposal) -> dict[str, float]:
    cost = {"none": 0.0, "skip": 1.0, "pool": 2.0, "conv1": 3.0, "conv3": 9.0}
    return {"default": edges(proposal), "cost": sum(cost[value] for value in proposal.decisions.values())}


def area(strategy: Strategy, seed: int) -> float:
    """The area that the front of a search dominates."""
    strategy.bind(EDGES, seed)
    told = SimulatedSearch(strategy, score).run(250)
    points = [point_of(item.metrics, item.metric, tuple(BOTH.items())) or () for item in told]
    covered, best = 0.0, 0.0
    for worth, cost in sorted(((a, b) for a, b in (points[place] for place in front(points))), key=lambda p: -p[1]):
        covered += max(0.0, worth - best) * (72.0 + cost)
        best = max(best, worth)
    return covered


def test_nsga2_covers_more_than_chance() -> None:
    more = [area(NSGA2(BOTH, 20, seed=seed), seed) - area(Random(seed=seed), seed) for seed in range(8)]
    assert statistics.mean(more) > 4 * statistics.stdev(more) / len(more) ** 0.5


def test_the_mode_of_the_default_metric_is_that_of_the_strategy() -> None:
    assert NSGA2({"default": "minimize", "size": "maximize"}).optimize_mode == "minimize"
    assert NSGA2({"size": "minimize"}).optimize_mode == "minimize"
    assert NSGA2(BOTH).objectives == (("default", "maximize"), ("cost", "minimize"))


def test_an_objective_that_is_not_reported_is_an_error() -> None:
    strategy = NSGA2(BOTH)
    strategy.bind(SPACES["plain"], 0)
    with pytest.raises(EvaluationError, match="let the evaluator return a dictionary of all objectives"):
        strategy.tell(Observation(0, {}, 1.0))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="objectives: expected a dictionary of metrics"):
        NSGA2({})
    with pytest.raises(ConfigError, match=r"'cost'.*: expected 'maximize' or 'minimize', got 'low'"):
        NSGA2({"default": "maximize", "cost": "low"})
    with pytest.raises(ConfigError, match="crossover_prob: expected a number from 0 to 1, got 2"):
        NSGA2(BOTH, crossover_prob=2)
