"""Policy gradient: that it learns, also with a network of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import Observation, PolicyBasedRL, Random
from graphnas.testing.strategies import SPACES, SimulatedSearch

from .problems import EDGES, NUMBERS, check_beats, edges, numbers


class Chained(torch.nn.Module):
    """Logits of each choice by the option before it."""

    def __init__(self, options: Sequence[int]) -> None:
        super().__init__()
        before = (1, *options[:-1])
        tables = [torch.randn(had + 1, count) / 10 for had, count in zip(before, options, strict=True)]
        self.tables = torch.nn.ParameterList(tables)

    def forward(self, step: int, taken: tuple[int, ...]) -> Any:
        return self.tables[step][(taken[-1] if taken else 0) + 1]


@pytest.mark.parametrize("policy_fn", [None, Chained])
def test_a_policy_beats_chance_on_choices(policy_fn: Any) -> None:
    check_beats(
        lambda seed: PolicyBasedRL(policy_fn=policy_fn, seed=seed),
        lambda seed: Random(seed=seed),
        EDGES,
        edges,
        trials=140,
        runs=3,
    )


def test_a_policy_concentrates_on_good_numbers() -> None:
    strategy = PolicyBasedRL(seed=1)
    strategy.bind(NUMBERS, 0)
    told = [item.metric or 0.0 for item in SimulatedSearch(strategy, numbers).run(400)]
    assert sum(told[300:]) > 0.3 * sum(told[:100])


def test_the_policy_is_told_what_was_taken_and_what_did_not_come_up() -> None:
    seen = set()

    class Watching(Chained):
        def forward(self, step: int, taken: tuple[int, ...]) -> Any:
            seen.add((step, len(taken)))
            return super().forward(step, taken)

    strategy = PolicyBasedRL(2, 5, Watching)
    strategy.bind(SPACES["conditions"], 0)
    SimulatedSearch(strategy, lambda proposal: 1.0).run(10)
    assert seen == {(step, step) for step in range(4)}
    assert strategy._actions({"width": 16, "kernel": 7}) == (1, 3, -1, -1)


def test_it_ends_after_its_batches() -> None:
    strategy = PolicyBasedRL(3, 4)
    strategy.bind(SPACES["numbers"], 0)
    assert len(SimulatedSearch(strategy, lambda proposal: 1.0).run(100)) == 12


def test_the_generator_of_torch_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    strategy = PolicyBasedRL(3, 4, Chained)
    strategy.bind(SPACES["plain"], 0)
    SimulatedSearch(strategy, lambda proposal: 1.0).run(12)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_of_failures_teaches_nothing() -> None:
    strategy = PolicyBasedRL(3, 2)
    strategy.bind(SPACES["plain"], 0)
    for number in range(2):
        strategy.tell(Observation(number, {"width": 8, "kernel": 3, "norm": True}, None))
    assert all(not logits.detach().any() for logits in strategy._policy.parameters())


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="max_collect: expected a whole number of at least 1, got 0"):
        PolicyBasedRL(0)
    with pytest.raises(ConfigError, match="policy_fn: expected a function or None, got 3"):
        PolicyBasedRL(policy_fn=3)  # type: ignore[arg-type]  # the wrong type is the point
