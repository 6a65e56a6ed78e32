"""Random search and grid search: what they promise beyond the contract."""

from __future__ import annotations

import itertools

import pytest

from graphnas.errors import ConfigError
from graphnas.experiment.strategies import GridSearch, Random
from graphnas.experiment.strategies.base import decisions_key
from graphnas.mutators.condition import Match
from graphnas.mutators.decision_space import DecisionSpace
from graphnas.mutators.domain import Categorical, Domain
from graphnas.mutators.subset import Subset
from graphnas.testing.strategies import SPACES, SimulatedSearch


def test_a_grid_in_order_is_the_product_of_the_values() -> None:
    strategy = GridSearch(shuffle=False)
    strategy.bind(SPACES["plain"], 0)
    asked = [tuple(item.decisions.values()) for item in SimulatedSearch(strategy, lambda proposal: 1.0).run(100)]
    assert asked == list(itertools.product((8, 16, 32), (1, 3, 5, 7), (True, False)))


def test_a_grid_of_numbers_has_as_many_as_its_granularity() -> None:
    strategy = GridSearch(granularity=4)
    strategy.bind(SPACES["only numbers"], 0)
    asked = SimulatedSearch(strategy, lambda proposal: 1.0).run(100)
    assert len({item.decisions["lr"] for item in asked}) == 4
    assert len({decisions_key(item.decisions) for item in asked}) == 16


def test_shuffled_grids_differ_by_their_seed_also_under_conditions() -> None:
    for space in ("plain", "conditions", "constraint"):
        orders = []
        for seed in (0, 1):
            strategy = GridSearch(seed=seed)
            strategy.bind(SPACES[space], 0)
            orders.append([decisions_key(i.decisions) for i in SimulatedSearch(strategy, lambda p: 1.0).run(500)])
        assert orders[0] != orders[1]
        assert sorted(orders[0]) == sorted(orders[1])


def test_a_grid_of_more_points_than_can_be_listed_costs_nothing() -> None:
    many: dict[str, Domain] = {
        "ins": Subset("ins", tuple(range(80)), (1, 80)),
        "op": Categorical("op", ("conv", "pool")),
    }
    for space in (DecisionSpace(many), DecisionSpace(many, {"ins": Match.of({"op": "conv"})})):
        strategy = GridSearch()
        strategy.bind(space, 0)
        asked = SimulatedSearch(strategy, lambda proposal: 1.0).run(20)
        assert len({decisions_key(item.decisions) for item in asked}) == 20
        assert all(space.contains(item.decisions) for item in asked)


def test_a_filter_leaves_candidates_out() -> None:
    for space, expected in (("plain", 12), ("constraint", 9)):
        strategy = Random(model_filter=lambda decisions: decisions["width"] != 8 and decisions["kernel"] < 5)
        strategy.bind(SPACES[space], 0)
        asked = SimulatedSearch(strategy, lambda proposal: 1.0).run(100)
        assert all(item.decisions["width"] > 8 and item.decisions["kernel"] < 5 for item in asked)
        allowed = [p for p in SPACES[space].grid() if p["width"] > 8 and p["kernel"] < 5]
        assert len(asked) == len(allowed)
        assert expected >= len(allowed) > 0


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="dedup: expected True or False, got 1"):
        Random(dedup=1)  # type: ignore[arg-type]  # the wrong type is the point
    with pytest.raises(ConfigError, match="shuffle: expected True or False, got 'yes'"):
        GridSearch(shuffle="yes")  # type: ignore[arg-type]  # as above
    with pytest.raises(ConfigError, match="granularity: expected a whole number of at least 1, got 0"):
        GridSearch(granularity=0)
