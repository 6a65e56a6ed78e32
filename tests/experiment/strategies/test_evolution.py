"""What regularised evolution promises beyond the contract."""

from __future__ import annotations

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import Observation, Random, RegularizedEvolution
from graphnas.testing.strategies import SPACES, SimulatedSearch

from .problems import EDGES, check_beats, edges


def test_evolution_beats_chance() -> None:
    check_beats(
        lambda seed: RegularizedEvolution(population_size=20, sample_size=8, seed=seed),
        lambda seed: Random(seed=seed),
        EDGES,
        edges,
        trials=150,
        runs=10,
    )


def test_crossover_helps_where_parts_add_up() -> None:
    check_beats(
        lambda seed: RegularizedEvolution(population_size=20, sample_size=8, crossover=True, seed=seed),
        lambda seed: Random(seed=seed),
        EDGES,
        edges,
        trials=150,
        runs=10,
    )


def test_a_child_differs_from_its_parent_in_one_label_when_none_is_mutated_by_chance() -> None:
    strategy = RegularizedEvolution(population_size=1, sample_size=1, mutation_prob=0.0, dedup=False, seed=2)
    strategy.bind(SPACES["plain"], 0)
    search = SimulatedSearch(strategy, lambda proposal: None if proposal.decisions["kernel"] == 7 else 1.0)
    told = search.run(30)
    parent = told[0].decisions
    for child in told[1:]:
        assert sum(child.decisions[label] != parent[label] for label in parent) == 1
        parent = child.decisions if child.metric is not None else parent


def test_evolution_stops_after_its_cycles() -> None:
    strategy = RegularizedEvolution(cycles=7, population_size=3, sample_size=2)
    strategy.bind(SPACES["plain"], 0)
    assert len(SimulatedSearch(strategy, lambda proposal: 1.0).run(20)) == 7


def test_failures_can_live_with_the_worst_metric_or_be_ignored() -> None:
    for on_failure, size in (("worst", 1), ("ignore", 0)):
        strategy = RegularizedEvolution(on_failure=on_failure)
        strategy.bind(SPACES["plain"], 0)
        strategy.tell(Observation(0, {"width": 8, "kernel": 7, "norm": True}, None))
        assert len(strategy._population) == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"optimize_mode": "max"}, "optimize_mode: expected 'maximize' or 'minimize', got 'max'"),
        ({"population_size": 0}, "population_size: expected a whole number of at least 1, got 0"),
        ({"population_size": 5, "sample_size": 6}, "sample_size: expected at most population_size = 5, got 6"),
        ({"mutation_prob": 1.5}, "mutation_prob: expected a number from 0 to 1, got 1.5"),
        ({"on_failure": "retry"}, "on_failure: expected 'ignore' or 'worst', got 'retry'"),
        ({"model_filter": 3}, "model_filter: expected a function of the decisions, or None, got 3"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RegularizedEvolution(**arguments)  # type: ignore[arg-type]  # the wrong type is the point
