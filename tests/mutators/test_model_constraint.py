"""Constraints on models: limits of costs and predicates, in spaces with and without mutators."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from graphnas import costs
from graphnas.errors import ConfigError, DecisionError
from graphnas.experiment.strategies import Random
from graphnas.ir.model import Model
from graphnas.ir.record import model_wrapper
from graphnas.mutators import CostLimit, ModelConstraint, ModelSpace, Mutator, Repeat, ValueChoice

INPUTS = (torch.zeros(1, 3, 8, 8),)


@model_wrapper
class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width: Any = ValueChoice([4, 8, 16], label="width")
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.body = Repeat(lambda _: nn.Conv2d(width, width, 3, padding=1), (1, 3), label="depth")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.body(self.stem(x))
        return out


class Kernel(Mutator):
    def mutate(self, model: Any) -> None:
        size = self.choice([1, 3], label="size")
        model.update_module("stem", kernel_size=size, padding=size // 2)


def at_most_two_blocks(model: Model) -> bool:
    return len(model.by_type()["Conv2d"]) <= 3


LIMIT = CostLimit(parameters=1500)


@pytest.mark.parametrize("mutators", [[], [Kernel(label="stem")]])
@pytest.mark.parametrize("constraint", [LIMIT, ModelConstraint(at_most_two_blocks)])
def test_only_models_that_keep_it_are_proposed(mutators: list[Mutator], constraint: ModelConstraint) -> None:
    free = ModelSpace(Net(), mutators, INPUTS)
    space = ModelSpace(Net(), mutators, INPUTS, constraints=[constraint])
    kept = [point for point in free.grid() if constraint.objection(free.freeze(point)) is None]
    assert 0 < len(kept) < len(list(free.grid()))
    assert list(space.grid()) == kept
    assert space.size() == len(kept)
    assert space.default() in kept
    for seed in range(10):
        point = space.sample(seed)
        assert point in kept
        assert all(other in kept for other in space.neighbours(point))
        assert space.crossover(point, space.sample(seed + 50), seed) in kept
    strategy = Random()
    strategy.bind(space.domains, 0)
    asked = [strategy.ask() for _ in range(len(kept))]
    assert sorted(map(str, asked)) == sorted(map(str, kept))
    assert strategy.ask() is None


def test_what_breaks_a_limit_is_refused_with_its_cost() -> None:
    space = ModelSpace(Net(), example_inputs=INPUTS, constraints=[LIMIT])
    large = {"width": 16, "depth": 3}
    parameters = costs(ModelSpace(Net(), example_inputs=INPUTS).freeze(large)).parameters
    with pytest.raises(DecisionError, match=rf"CostLimit\(parameters <= 1,500\): parameters is {parameters:,}"):
        space.freeze(large)
    with pytest.raises(DecisionError, match=r"ruled out by the constraint CostLimit\(parameters <= 1,500\)"):
        space.validate(large)
    assert not space.contains(large)
    assert isinstance(space.instantiate({"width": 4, "depth": 1}), nn.Module)


def test_limits_that_nothing_keeps_are_said_to_be_so() -> None:
    space = ModelSpace(Net(), example_inputs=INPUTS, constraints=[CostLimit(flops=1)])
    assert space.size() == 0
    with pytest.raises(DecisionError, match=r"no decisions of this space satisfy its constraints \(CostLimit\(flops"):
        space.sample(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CostLimit(), "a CostLimit needs a limit, on one of parameters, "),
        (lambda: CostLimit(flop=1), "'flop' is no cost; there are parameters, trained_parameters, flops"),
        (lambda: CostLimit(flops=0), "flops: expected a number greater than 0, got 0"),
        (lambda: CostLimit(flops="1G"), "flops: expected a number greater than 0, got '1G'"),  # type: ignore[arg-type]
        (lambda: ModelConstraint(3), "expected a function of the model, got 3"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_constraint_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_predicate_that_fails_and_missing_inputs_are_named() -> None:
    def broken(model: Model) -> bool:
        raise ZeroDivisionError("oops")

    space = ModelSpace(Net(), example_inputs=INPUTS, constraints=[ModelConstraint(broken)])
    with pytest.raises(ConfigError, match="broken failed on Net: ZeroDivisionError: oops"):
        space.freeze({"width": 4, "depth": 1})
    with pytest.raises(ConfigError, match="example_inputs"):
        ModelSpace(Net(), constraints=[LIMIT]).sample(0)


def test_limits_travel_with_their_space() -> None:
    space = ModelSpace(Net(), example_inputs=INPUTS, constraints=[LIMIT, ModelConstraint(at_most_two_blocks)])
    copy = ModelSpace.from_json(json.loads(json.dumps(space.to_json())))
    assert list(copy.grid()) == list(space.grid())
