"""What local search promises beyond the contract."""

from __future__ import annotations

import time

from graphnas.experiment.strategies import LocalSearch, Random, RegularizedEvolution
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical
from graphnas.testing.strategies import SimulatedSearch

from .problems import EDGES, NUMBERS, check_beats, edges, numbers


def test_local_search_beats_chance_and_evolution() -> None:
    check_beats(lambda seed: LocalSearch(seed=seed), lambda seed: Random(seed=seed), EDGES, edges, trials=150, runs=10)
    check_beats(
        lambda seed: LocalSearch(seed=seed),
        lambda seed: RegularizedEvolution(population_size=20, sample_size=8, seed=seed),
        EDGES,
        edges,
        trials=60,
        runs=20,
    )


def test_local_search_steps_along_numbers() -> None:
    check_beats(
        lambda seed: LocalSearch(seed=seed), lambda seed: Random(seed=seed), NUMBERS, numbers, trials=100, runs=10
    )


def test_the_first_climb_begins_at_the_best_of_the_first_points_and_goes_up_by_single_steps() -> None:
    strategy = LocalSearch(initial=5)
    strategy.bind(EDGES, 0)
    told = SimulatedSearch(strategy, edges).run(80)
    center = max(told[:5], key=lambda item: item.metric or 0.0)
    moves = 0
    for item in told[5:]:
        changed = sum(item.decisions[label] != center.decisions[label] for label in EDGES)
        if changed != 1:
            break  # the summit was reached, and another climb has begun
        assert item.metric is not None
        assert center.metric is not None
        if item.metric > center.metric:
            center, moves = item, moves + 1
    assert moves >= 3


def test_late_results_move_the_search_and_nothing_waits() -> None:
    best = []
    for workers in (1, 40):
        strategy = LocalSearch(initial=2)
        strategy.bind(EDGES, 0)
        search = SimulatedSearch(strategy, edges, workers=workers, seed=1)
        best.append(max(item.metric or 0.0 for item in search.run(400)))
        assert len(search.asked) == 400
    assert best[0] == best[1]


def test_the_cost_of_asking_does_not_grow() -> None:
    space = DecisionSpace({str(i): Categorical(str(i), tuple(range(5))) for i in range(12)})
    strategy = LocalSearch()
    strategy.bind(space, 0)
    search = SimulatedSearch(strategy, lambda proposal: float(hash(tuple(proposal.decisions.values())) % 1009))
    times = []
    for _ in range(2):
        started = time.process_time()
        search.run(1500)
        times.append(time.process_time() - started)
    assert times[1] < 5 * times[0]
