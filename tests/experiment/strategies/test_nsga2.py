"""Evolution towards several objectives."""

from __future__ import annotations

import statistics

import pytest

from graphnas.errors import ConfigError, EvaluationError
from graphnas.experiment.objectives import front, point_of
from graphnas.experiment.strategies import NSGA2, Observation, Proposal, Random, Strategy
from graphnas.testing.strategies import SPACES, SimulatedSearch

from .problems import EDGES, edges

BOTH = {"default": "maximize", "cost": "minimize"}


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
