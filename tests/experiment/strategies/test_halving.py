"""Successive halving: who is promoted, when nothing is left, and that it pays."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from graphnas.errors import ConfigError, ExperimentError
from graphnas.experiment.strategies import ASHA, WAIT, Hyperband, Observation, Proposal, Random
from graphnas.testing.strategies import SPACES, SimulatedSearch

from .problems import EDGES, edges


def after(proposal: Proposal) -> float:
    """The worth of a candidate once it was trained for its budget, the less certain the smaller that is."""
    noise = sum(ord(letter) * place for place, letter in enumerate(str(proposal.decisions))) % 17 - 8
    return edges(proposal) + noise / (proposal.budget or 27)


def test_the_best_of_each_budget_is_promoted_with_its_number() -> None:
    strategy = ASHA(9, reduction_factor=3)
    strategy.bind(EDGES, 0)
    search = SimulatedSearch(strategy, edges)
    search.run(60)
    by_number = dict(enumerate(search.asked))
    promoted = [proposal for proposal in search.asked if proposal.resume_from is not None]
    for proposal in promoted:
        parent = by_number[proposal.resume_from or 0]
        assert parent.decisions == proposal.decisions
        assert proposal.budget == 3 * (parent.budget or 0)
    assert len({proposal.resume_from for proposal in promoted}) == len(promoted)
    counts = [sum(proposal.budget == budget for proposal in search.asked) for budget in (1, 3, 9)]
    assert 38 <= counts[0] <= 45
    assert counts[0] // 3 <= counts[1] <= counts[0] // 2
    assert counts[1] // 3 <= counts[2] <= counts[1] // 2
    best = max((proposal for proposal in search.asked[:30] if proposal.budget == 1), key=edges)
    assert any(proposal.decisions == best.decisions and proposal.budget == 9 for proposal in search.asked)


def test_the_brackets_of_hyperband_get_their_shares() -> None:
    strategy = Hyperband(27)
    strategy.bind(EDGES, 0)
    search = SimulatedSearch(strategy, after)
    search.run(300)
    new = [proposal.budget for proposal in search.asked if proposal.resume_from is None]
    shares = [27, 12, 6, 4]
    assert new[: sum(shares)] == [budget for budget, n in zip((1, 3, 9, 27), shares, strict=True) for _ in range(n)]
    assert any(proposal.resume_from is not None and proposal.budget == 27 for proposal in search.asked)


@pytest.mark.parametrize(
    "make", [lambda seed: ASHA(27, reduction_factor=3, seed=seed), lambda s: Hyperband(27, seed=s)]
)
def test_halving_finds_more_for_the_same_expense(make: Any) -> None:
    expense = 27 * 30
    found = []
    for seed in range(12):
        strategy = make(seed)
        strategy.bind(EDGES, 0)
        search = SimulatedSearch(strategy, after)
        while sum(_cost(search, item) for item in search.told) < expense:
            search.run(1)
        best = max((item for item in search.told if item.budget == 27), key=lambda item: item.metric or 0.0)
        chance = Random(seed=seed)
        chance.bind(EDGES, 0)
        drawn = SimulatedSearch(chance, lambda proposal: after(Proposal(proposal.decisions, budget=27))).run(30)
        found.append((best.metric or 0.0) - max(item.metric or 0.0 for item in drawn))
    assert statistics.mean(found) > 3 * statistics.stdev(found) / len(found) ** 0.5


def _cost(search: SimulatedSearch, item: Observation) -> float:
    before = 0.0 if item.resume_from is None else search.asked[item.resume_from].budget or 0.0
    return (item.budget or 0.0) - before


def test_a_finite_space_is_waited_for_and_then_over() -> None:
    strategy = ASHA(2, reduction_factor=2)
    strategy.bind(SPACES["plain"], 0)
    asked = [strategy.ask() for _ in range(24)]
    assert strategy.ask() is WAIT
    for number, proposal in enumerate(asked):
        assert isinstance(proposal, Proposal)
        strategy.tell(Observation(number, proposal.decisions, float(number), budget=proposal.budget))
    promoted = [strategy.ask() for _ in range(12)]
    assert [item.resume_from for item in promoted if isinstance(item, Proposal)] == list(range(23, 11, -1))
    assert strategy.ask() is WAIT
    for number, proposal in enumerate(promoted, 24):
        assert isinstance(proposal, Proposal)
        strategy.tell(Observation(number, proposal.decisions, None, budget=2, resume_from=proposal.resume_from))
    assert strategy.ask() is None


def test_the_largest_budget_is_as_given() -> None:
    assert ASHA(100, reduction_factor=3)._budgets == [(1, 3, 9, 27, 100)]
    assert ASHA(100, 10, reduction_factor=2, early_stopping_rate=1)._budgets == [(20, 40, 100)]


def test_a_budget_that_was_not_asked_for_is_refused() -> None:
    strategy = ASHA(16)
    strategy.bind(SPACES["plain"], 0)
    with pytest.raises(ExperimentError, match="trial 0: ASHA was told of the budget 2; expected one of 1, 4, 16"):
        strategy.tell(Observation(0, {}, 1.0, budget=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_budget": 0}, "max_budget: expected a number greater than 0, got 0"),
        ({"max_budget": 2, "min_budget": 3}, "max_budget: expected at least min_budget = 3, got 2"),
        ({"max_budget": 4, "early_stopping_rate": 2}, "early_stopping_rate: expected less than the number of budgets"),
        ({"max_budget": 4, "reduction_factor": 1}, "reduction_factor: expected a whole number of at least 2, got 1"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ASHA(**arguments)
