"""Spaces of models: what one can ask of them, with and without mutators, conditions and constraints."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from graphnas.errors import ConfigError, DecisionError, MutationError
from graphnas.ir.record import model_wrapper
from graphnas.mutators import Categorical, LayerChoice, ModelSpace, Mutator, Repeat, ValueChoice, uniform
from graphnas.mutators.choices.fixed import declare_and_decide
from graphnas.mutators.condition import Match

INPUTS = (torch.zeros(2, 3, 4, 4),)


@model_wrapper
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width: Any = ValueChoice([8, 16], label="width")
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.act = LayerChoice([nn.ReLU(), nn.GELU()], label="act")
        dilation = declare_and_decide(Categorical("dilation", (1, 2)), "value", Match.of({"act": "1"}))[1]
        self.body = Repeat(
            lambda _: nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation), (1, 2), label="depth"
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(self.act(self.stem(x)))
        return out


class Kernel(Mutator):
    """A kernel of another size, or none: what comes up depends on what was decided before."""

    def mutate(self, model: Any) -> None:
        if self.choice([False, True], label="edit"):
            model.update_module("stem", kernel_size=self.choice([1, 5], label="size"), padding="same")


class Picky(Mutator):
    """Refuses one of its own candidates."""

    def mutate(self, model: Any) -> None:
        if self.choice([1, 2, 3], label="x") == 2:
            raise MutationError("2 is not possible here")


class NeverDone(Mutator):
    def mutate(self, model: Any) -> None:
        raise MutationError("not today")


def within_budget(d: Mapping[str, Any]) -> bool:
    return bool(d["width"] * d["depth"] <= 16)


def keys(points: Any) -> list[str]:
    return [json.dumps(point) for point in points]


PLAIN = ModelSpace(Net(), example_inputs=INPUTS)
BOUND = ModelSpace(Net(), example_inputs=INPUTS, constraints=[within_budget])
EDITED = ModelSpace(Net(), [Kernel(label="stem")], INPUTS, constraints=[within_budget])


@pytest.mark.parametrize(("space", "size"), [(PLAIN, 12), (BOUND, 9), (EDITED, 27)])
def test_all_ways_to_look_at_a_space_agree(space: ModelSpace, size: int) -> None:
    points = list(space.grid())
    assert space.size() == len(points) == size
    known = set(keys(points))
    assert len(known) == size
    assert json.dumps(space.default()) in known
    for seed in range(12):
        here, there = space.sample(seed), space.sample(seed + 100)
        assert json.dumps(here) in known
        assert space.contains(here)
        assert set(keys(space.neighbours(here))) <= known - {json.dumps(here)}
        child = space.crossover(here, there, seed)
        assert json.dumps(child) in known
        assert all(value in (here.get(label), there.get(label)) for label, value in child.items() if label in here)
        vector = space.encode(here)
        assert vector.shape == (space.encoding.size,)
        assert vector.dtype == np.float64
        assert json.dumps(space.decode(vector)) == json.dumps(here)


def test_sampling_is_repeatable_and_reaches_every_point() -> None:
    assert PLAIN.sample(3) == PLAIN.sample(3)
    assert len(set(keys(PLAIN.sample(seed) for seed in range(150)))) == 12


@pytest.mark.parametrize("space", [BOUND, EDITED])
def test_what_breaks_a_constraint_is_refused_everywhere(space: ModelSpace) -> None:
    wrong = {**space.default(), "width": 16, "depth": 2}
    assert not space.contains(wrong)
    for use in (space.validate, space.freeze, space.instantiate, space.encode, space.neighbours):
        with pytest.raises(DecisionError, match=r"ruled out by the constraint within_budget at .*test_space.py"):
            use(wrong)


def test_inactive_choices_are_refused_and_take_their_default() -> None:
    inactive = {"width": 8, "act": "0", "depth": 1}
    assert PLAIN.contains(inactive)
    net = PLAIN.instantiate(inactive)
    assert net.get_submodule("body.0").dilation == (1, 1)
    with pytest.raises(DecisionError, match="'dilation' is decided, but comes up only when act is '1'"):
        PLAIN.freeze({**inactive, "dilation": 2})
    assert PLAIN.decisions_of(PLAIN.freeze(inactive)) == inactive


def test_what_a_mutator_refuses_is_not_proposed() -> None:
    space = ModelSpace(PLAIN.freeze(PLAIN.default()), [Picky()])
    assert list(space.grid()) == [{"@Picky/x": 1}, {"@Picky/x": 3}]
    assert space.size() == 2
    assert {space.sample(seed)["@Picky/x"] for seed in range(20)} == {1, 3}
    assert space.neighbours({"@Picky/x": 1}) == ({"@Picky/x": 3},)
    never = ModelSpace(PLAIN.freeze(PLAIN.default()), [Picky(), NeverDone()])
    with pytest.raises(MutationError, match="not today"):
        never.sample(0)


def test_constraints_that_nothing_satisfies_are_said_to_be_so() -> None:
    space = ModelSpace(Net(), constraints=[lambda d: d["width"] > 64])
    assert space.size() == 0
    assert list(space.grid()) == []
    with pytest.raises(DecisionError, match=r"no decisions of this space satisfy its constraints \(<lambda> at"):
        space.sample(0)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        (within_budget, "constraints: expected a list of functions, got <function within_budget"),
        (["width"], "constraints: expected functions of the decisions, as in lambda d"),
    ],
)
def test_what_is_no_constraint_is_refused(constraints: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelSpace(Net(), constraints=constraints)


def test_the_vector_of_a_dynamic_space_has_room_for_what_only_comes_up_at_times() -> None:
    assert list(EDITED.domains) == ["width", "act", "dilation", "depth", "@stem/edit"]
    assert list(EDITED.encoding.mask) == ["dilation", "@stem/edit", "@stem/size"]
    decisions = {"width": 8, "act": "0", "depth": 1, "@stem/edit": True, "@stem/size": 5}
    assert EDITED.decode(EDITED.encode(decisions)) == decisions


@model_wrapper
class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.drop = nn.Dropout(ValueChoice(uniform(0.0, 0.5), label="rate"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.drop(self.stem(x))
        return out


@pytest.mark.parametrize("mutators", [[], [Kernel(label="stem")]])
def test_grids_of_infinite_domains_want_a_granularity(mutators: list[Mutator]) -> None:
    space = ModelSpace(Dropping(), mutators, INPUTS)
    assert space.size() is None
    with pytest.raises(DecisionError, match=r"'rate': a number from 0\.0 to 0\.5 has no end of values.*granularity=5"):
        next(space.grid())
    points = list(space.grid(granularity=3))
    assert sorted({point["rate"] for point in points}) == [0.0, 0.25, 0.5]
    assert len(points) == (9 if mutators else 3)


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(DecisionError, match="expected a vector of 9 finite numbers, got 3"):
        PLAIN.decode([0.0, 1.0, 0.0])


def test_the_table_says_what_where_and_when() -> None:
    lines = [line.split("  ") for line in BOUND.describe().splitlines()]
    table = [[cell.strip() for cell in line if cell] for line in lines]
    assert table[0] == ["label", "kind", "allowed", "when", "where"]
    assert table[1][:4] == ["width", "categorical", "one of 8, 16", "always"]
    assert table[1][4].startswith("stem(out_channels), body.0(in_channels), ")
    assert table[2] == ["act", "categorical", "one of '0', '1'", "always", "act"]
    assert table[3] == ["dilation", "categorical", "one of 1, 2", "act is '1'"]
    assert table[4] == ["depth", "categorical", "one of 1, 2", "always", "body"]
    assert table[5][0].startswith("constraint: within_budget at ")
    assert table[6] == ["4 labels; number of points: 9"]


def test_constraints_travel_with_their_space() -> None:
    form = json.loads(json.dumps(BOUND.to_json()))
    for copy in (ModelSpace.from_json(form), pickle.loads(pickle.dumps(BOUND))):
        assert copy.size() == 9
        assert copy.sample(5) == BOUND.sample(5)
    assert ModelSpace(Net(), constraints=[lambda d: True]).to_json() is None
