"""The contract of strategies, over all of them, and what each one promises beyond it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import Observation, Proposal, Random, RegularizedEvolution, Strategy
from graphnas.experiment.strategies.base import decisions_key
from graphnas.experiment.strategies.lattice import Lattice
from graphnas.mutators.condition import Match
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical, Domain
from graphnas.mutators.numeric import IntRange, LogUniform, Uniform
from graphnas.mutators.subset import Subset

DOMAINS: dict[str, Domain] = {
    "width": Categorical("width", (8, 16, 32)),
    "kernel": Categorical("kernel", (1, 3, 5, 7)),
    "norm": Categorical("norm", (True, False)),
}
SIZE = 24

OF_EVERY_KIND: dict[str, Domain] = {
    **DOMAINS,
    "inputs": Subset("inputs", (0, 1, 2), 2),
    "depth": IntRange("depth", 2, 6, 2),
    "rate": Uniform("rate", 0, 1),
    "lr": LogUniform("lr", 1e-4, 1e-1),
}

MAKERS: dict[str, Callable[[], Strategy]] = {
    "random": lambda: Random(),
    "random with repeats": lambda: Random(dedup=False),
    "evolution": lambda: RegularizedEvolution(population_size=6, sample_size=3),
    "evolution with repeats": lambda: RegularizedEvolution(population_size=6, sample_size=3, dedup=False),
    "evolution, worst": lambda: RegularizedEvolution(population_size=4, sample_size=4, on_failure="worst"),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Strategy]:
    return MAKERS[request.param]


def metric_of(decisions: dict[str, object]) -> float | None:
    if decisions["kernel"] == 7:
        return None
    return float(str(decisions["width"])) + (0.5 if decisions.get("norm") else 0.0)


def play(strategy: Strategy, count: int, first: int = 0) -> list[dict[str, object]]:
    asked = []
    for number in range(first, first + count):
        answer = strategy.ask()
        if answer is None:
            break
        assert isinstance(answer, dict)
        decisions = answer
        asked.append(decisions)
        strategy.tell(Observation(number, decisions, metric_of(decisions)))
    return asked


def bound(strategy: Strategy, seed: int = 0) -> Strategy:
    strategy.bind(DOMAINS, seed)
    return strategy


def test_asks_are_within_the_domains(make: Callable[[], Strategy]) -> None:
    for decisions in play(bound(make()), 15):
        assert list(decisions) == list(DOMAINS)
        assert all(DOMAINS[label].contains(value) for label, value in decisions.items())


def test_every_kind_of_domain_can_be_asked_for(make: Callable[[], Strategy]) -> None:
    strategy = make()
    strategy.bind(OF_EVERY_KIND, 0)
    asked = play(strategy, 30)
    assert len({decisions_key(decisions) for decisions in asked}) > 20
    assert all(OF_EVERY_KIND[label].contains(value) for decisions in asked for label, value in decisions.items())


def test_a_finite_space_of_every_kind_is_asked_to_its_end() -> None:
    finite = {label: domain for label, domain in OF_EVERY_KIND.items() if domain.size is not None}
    for strategy in (Random(), RegularizedEvolution(population_size=6, sample_size=3)):
        strategy.bind(finite, 0)
        assert len({decisions_key(decisions) for decisions in play(strategy, 1000)}) == SIZE * 3 * 3


def bound_space() -> DecisionSpace:
    conditions = {"norm": Match.of({"kernel": [3, 5]})}
    return DecisionSpace(DOMAINS, conditions, [lambda d: d["width"] * d["kernel"] < 100])


def test_what_constraints_and_conditions_rule_out_is_never_asked_for(make: Callable[[], Strategy]) -> None:
    strategy, space = make(), bound_space()
    strategy.bind(space, 0)
    asked = play(strategy, 60)
    assert all(space.contains(decisions) for decisions in asked)
    assert space.size == 14
    assert len({decisions_key(decisions) for decisions in asked}) >= 12
    again = make()
    again.bind(space, 0)
    state = json.loads(json.dumps(strategy.state_dict()))
    again.restore(state, map(Proposal, asked), [Observation(i, d, metric_of(d)) for i, d in enumerate(asked)])
    assert play(again, 5, 60) == play(strategy, 5, 60)


def test_the_same_seed_asks_the_same_and_another_does_not(make: Callable[[], Strategy]) -> None:
    assert play(bound(make(), 3), 15) == play(bound(make(), 3), 15)
    assert play(bound(make(), 3), 15) != play(bound(make(), 4), 15)


@pytest.mark.parametrize("cut", [0, 1, 5, 11])
def test_a_restored_strategy_asks_what_an_uninterrupted_one_would(make: Callable[[], Strategy], cut: int) -> None:
    whole = play(bound(make()), 18)
    before = bound(make())
    asked = play(before, cut)
    state = json.loads(json.dumps(before.state_dict()))
    after = bound(make())
    after.restore(state, map(Proposal, asked), [Observation(i, d, metric_of(d)) for i, d in enumerate(asked)])
    assert asked + play(after, 18 - cut, cut) == whole


def test_asking_never_waits_for_a_metric(make: Callable[[], Strategy]) -> None:
    strategy = bound(make())
    assert all(strategy.ask() is not None for _ in range(SIZE))


@pytest.mark.parametrize("name", [name for name in MAKERS if "repeats" not in name])
def test_a_space_is_asked_once_each_and_then_it_is_over(name: str) -> None:
    strategy = bound(MAKERS[name]())
    asked = play(strategy, 1000)
    assert len(asked) == len({decisions_key(decisions) for decisions in asked}) == SIZE
    assert strategy.ask() is None


@pytest.mark.parametrize(("mode", "best"), [("maximize", 32), ("minimize", 8)])
def test_evolution_goes_where_the_mode_points(mode: str, best: int) -> None:
    strategy = RegularizedEvolution(mode, population_size=10, sample_size=5, dedup=False, seed=0)
    tail = play(bound(strategy), 200)[100:]
    assert sum(decisions["width"] == best for decisions in tail) > 60


def test_a_child_differs_from_its_parent_in_one_label_when_none_is_mutated_by_chance() -> None:
    strategy = bound(RegularizedEvolution(population_size=1, sample_size=1, mutation_prob=0.0, dedup=False, seed=2))
    asked = play(strategy, 30)
    parent = asked[0]
    for child in asked[1:]:
        assert sum(child[label] != parent[label] for label in DOMAINS) == 1
        parent = child if metric_of(child) is not None else parent


def test_evolution_stops_after_its_cycles() -> None:
    assert len(play(bound(RegularizedEvolution(cycles=7, population_size=3, sample_size=2)), 20)) == 7


def test_failures_can_live_with_the_worst_metric_or_be_ignored() -> None:
    for on_failure, size in (("worst", 1), ("ignore", 0)):
        strategy = RegularizedEvolution(on_failure=on_failure)
        strategy.bind(DOMAINS, 0)
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
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RegularizedEvolution(**arguments)  # type: ignore[arg-type]  # the wrong type is the point


@pytest.mark.parametrize("sizes", [(1,), (2,), (3, 5), (7, 11, 13), (1, 1, 2)])
def test_a_lattice_visits_every_point_once(sizes: tuple[int, ...]) -> None:
    domains = {str(i): Categorical(str(i), tuple(range(size))) for i, size in enumerate(sizes)}
    points = [decisions_key(point) for point in Lattice(domains, 0)]
    assert len(points) == len(set(points)) == Lattice(domains, 0).size


def test_a_lattice_of_astronomic_size_costs_nothing() -> None:
    domains = {str(i): Categorical(str(i), tuple(range(50))) for i in range(200)}
    lattice = Lattice(domains, 0)
    assert lattice.size == 50**200
    assert lattice[0] != lattice[1]
    with pytest.raises(IndexError, match=str(lattice.size)):
        lattice[lattice.size]
