"""Chains: what each part does to the strategy inside, and how a chain is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from graphnas.errors import ConfigError, DecisionError
from graphnas.experiment.description import strategy_from_json, strategy_to_json
from graphnas.experiment.strategies import (
    ASHA,
    WAIT,
    Chain,
    Deduplication,
    Filter,
    GridSearch,
    LocalSearch,
    MedianStop,
    Observation,
    Proposal,
    Random,
    RegularizedEvolution,
    Retry,
    Strategy,
)
from graphnas.experiment.trial import TrialStatus
from graphnas.testing.strategies import SPACES, SimulatedSearch


def bound(strategy: Strategy, space: str = "plain") -> Strategy:
    strategy.bind(SPACES[space], 0)
    return strategy


def is_narrow(decisions: Mapping[str, Any]) -> bool:
    return bool(decisions["width"] == 8)


def test_a_filter_is_a_constraint_of_the_space_that_the_strategy_sees() -> None:
    for strategy in (Random(), GridSearch(), LocalSearch(), RegularizedEvolution(model_filter=is_narrow)):
        chain = bound(Chain(strategy, Filter(is_narrow)))
        told = SimulatedSearch(chain, lambda proposal: 1.0).run(100)
        assert len(told) == 8
        assert all(item.decisions["width"] == 8 for item in told)


@pytest.mark.parametrize("strategy", [Random(), Random(dedup=False), GridSearch(), LocalSearch()])
def test_a_filter_that_nothing_passes_is_an_error(strategy: Strategy) -> None:
    with pytest.raises(DecisionError, match="no decisions of this space satisfy its constraints"):
        bound(Chain(strategy, Filter(lambda decisions: False))).ask()


def test_deduplication_marks_candidates_but_none_that_continue_a_trial() -> None:
    chain = bound(Chain(ASHA(2, reduction_factor=2), Deduplication("skip")))
    search = SimulatedSearch(chain, lambda proposal: float(proposal.decisions["kernel"]))
    search.run(20)
    assert {item.on_equal for item in search.asked if item.resume_from is None} == {"skip"}
    assert {item.on_equal for item in search.asked if item.resume_from is not None} == {None}


def test_what_may_be_reused_is_known_outside() -> None:
    chain = Chain(Chain(Random(), Deduplication(reuse=["one"])), Deduplication(reuse=["two"]))
    assert chain.reuse == ("one", "two")


def fail(number: int, decisions: dict[str, Any], status: TrialStatus = TrialStatus.CRASHED) -> Observation:
    return Observation(number, decisions, None, status=status)


def test_a_crashed_candidate_is_asked_again_and_the_strategy_hears_of_its_last_try() -> None:
    inner = RegularizedEvolution(population_size=2, sample_size=1, on_failure="worst")
    chain = bound(Chain(inner, Retry(2)))
    first = chain.ask()
    assert isinstance(first, dict)
    for number in (0, 1):
        chain.tell(fail(number, first))
        assert chain.ask() == Proposal(first)
        assert len(inner._population) == 0
    chain.tell(fail(2, first))
    assert chain.ask() not in (first, Proposal(first))
    assert len(inner._population) == 1


def test_what_failed_for_another_reason_is_not_asked_again() -> None:
    chain = bound(Chain(Random(), Retry()))
    first = chain.ask()
    assert isinstance(first, dict)
    chain.tell(fail(0, first, TrialStatus.FAILED))
    assert chain.ask() != Proposal(first)


def test_a_chain_waits_for_what_may_have_to_be_tried_again() -> None:
    chain = bound(Chain(Random(), Retry()), "one point")
    first = chain.ask()
    assert isinstance(first, dict)
    assert chain.ask() is WAIT
    chain.tell(fail(0, first))
    assert chain.ask() == Proposal(first)
    assert chain.ask() is WAIT
    chain.tell(fail(1, first))
    assert chain.ask() is None


@pytest.mark.parametrize(
    "strategy",
    [
        Random(model_filter=is_narrow, seed=3),
        ASHA(9.5, optimize_mode="minimize"),
        Chain(LocalSearch("minimize"), Filter(is_narrow), Retry(2, ("OOM",)), Deduplication(reuse=("a", "b"))),
        Chain(Chain(GridSearch(seed=2), MedianStop(3)), Deduplication("skip")),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_strategies_are_stored_with_their_arguments(strategy: Strategy) -> None:
    form = strategy_to_json(strategy)
    assert form is not None
    again = strategy_from_json(json.loads(json.dumps(form)))
    assert type(again) is type(strategy)
    assert strategy_to_json(again) == form
    assert (again.optimize_mode, again.reuse) == (strategy.optimize_mode, strategy.reuse)
    assert bound(again).ask() == bound(strategy).ask()


def test_a_strategy_with_a_function_that_cannot_be_imported_has_no_form() -> None:
    assert strategy_to_json(Chain(Random(), Filter(lambda decisions: True))) is None


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Chain, (Filter(is_narrow),), "Chain: expected a strategy first"),
        (Chain, (Random(), Random()), r"Chain: expected parts such as Filter\(...\) after the strategy"),
        (Filter, ("small",), "function: expected a function of the decisions, got 'small'"),
        (Retry, (0,), "times: expected a whole number of at least 1, got 0"),
        (Retry, (1, ["COMPLETED"]), "statuses: expected some of 'INVALID', 'FAILED'"),
        (Deduplication, ("drop",), "on_equal: expected 'replay' or 'skip', got 'drop'"),
        (Deduplication, ("skip", "id"), "reuse: expected a list of ids or folders of experiments, got 'id'"),
    ],
)
def test_wrong_arguments_are_refused(kind: Any, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(*arguments)
