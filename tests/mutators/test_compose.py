"""Mutators made of mutators, and how their choices are called."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from graphnas.errors import ConfigError, DecisionError, MutationError
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators import IntRange, ModelSpace, Mutator, replay
from graphnas.mutators.compose import AllOf, AtMost, OneOf
from graphnas.mutators.library import ChangeActivation, ChangeKernel, DuplicateBlock
from tests.mutators.outcomes import model_of, runs
from tests.networks import ResNet18

X = torch.randn(2, 3, 32, 32)
MODEL = model_of(ResNet18(), X)
KERNEL = ChangeKernel((3, 5), label="kernel")
ACTIVATION = ChangeActivation(("relu", "gelu"), sites="all", label="act")


def test_all_of_applies_one_after_the_other_as_one_mutation() -> None:
    space = ModelSpace(MODEL, [AllOf(KERNEL, ACTIVATION, label="both")])
    decisions = {"@both/kernel/site": "layer1.0:conv1", "@both/kernel/size": 5, "@both/act/to": "gelu"}
    child = space.freeze(decisions)
    assert len(child.history) == 1
    assert space.decisions_of(child) == decisions
    assert len(child.find(type="GELU")) == 17
    assert replay(MODEL, child.history, space.mutators).fingerprint == child.fingerprint
    runs(child, X)


def test_one_of_applies_the_one_that_is_chosen() -> None:
    space = ModelSpace(MODEL, [OneOf(ACTIVATION, KERNEL, label="any")])
    assert space.domains["@any/mutator"].grid(2) == ("act", "kernel")
    child = space.freeze({"@any/mutator": "kernel", "@any/kernel/site": ":conv1", "@any/kernel/size": 3})
    assert child["conv1"].kwargs["kernel_size"] == 3  # type: ignore[union-attr]  # a leaf
    assert len(child.find(type="GELU")) == 0
    with pytest.raises(DecisionError, match="@any/mutator"):
        space.freeze({"@any/mutator": "width"})


def test_at_most_applies_to_what_was_left() -> None:
    space = ModelSpace(MODEL, [AtMost(2, DuplicateBlock(label="dup"), label="grow")])
    child = space.freeze({"@grow/times": 2, "@grow/dup/1/site": "layer1:n1", "@grow/dup/2/site": "layer1:basic_block"})
    assert [site.name for site in child.find(path="layer1", type="BasicBlock")] == [
        "layer1:n0",
        "layer1:n1",
        "layer1:basic_block",
        "layer1:basic_block_1",
    ]
    assert space.freeze({"@grow/times": 1, "@grow/dup/1/site": "layer1:n1"}).history
    runs(child, X)


def test_composition_nests() -> None:
    mutator = AtMost(3, OneOf(AllOf(KERNEL, ACTIVATION, label="both"), KERNEL, label="edit"), label="search")
    space = ModelSpace(MODEL, [mutator])
    for seed in range(4):
        decisions = space.sample(seed)
        assert space.decisions_of(space.freeze(decisions)) == decisions
    assert ModelSpace.from_json(space.to_json() or {}).domains == space.domains


def test_choices_may_be_domains_and_scopes_name_them() -> None:
    class Widths(Mutator):
        def mutate(self, model: Rewriter) -> None:
            self.seen = [self.choice(IntRange("width", 8, 64, 8))]
            with self.scope("head"):
                self.seen += [self.choice((1, 2)), self.choice((3, 4), "last")]
            Widths.result = [*self.seen, self.choice((5, 6))]

        result: Any = None

    mutator = Widths(label="w")
    decisions = {"@w/width": 24, "@w/head/1": 2, "@w/head/last": 4, "@w/1": 6}
    assert dict(mutator.apply(MODEL, decisions).history[-1].decisions) == decisions
    assert Widths.result == [24, 2, 4, 6]
    with pytest.raises(DecisionError, match="'@w/width': 25 is not allowed"):
        mutator.apply(MODEL, {**decisions, "@w/width": 25})
    with pytest.raises(MutationError, match="choices work only inside mutate"), mutator.scope("x"):
        pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AllOf(), "mutators: expected at least one"),
        (lambda: OneOf(KERNEL, KERNEL), "mutators: two of them share the label 'kernel'; give one another"),
        (lambda: AllOf(nn.ReLU()), r"mutators: expected instances of Mutator, got ReLU\(\)"),  # type: ignore[arg-type]
        (lambda: AtMost(0, KERNEL), "most: expected a number from 1 that is not below least=1, got 0"),
        (lambda: AtMost(1, KERNEL, least=2), "most: expected a number from 1 that is not below least=2, got 1"),
    ],
)
def test_bad_compositions_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
