"""The law of the graph engine: a model that came from a rewrite is the one that construction and trace give."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphnas import ModelSpace
from graphnas.ir.decide import without_settings
from graphnas.ir.trace import trace
from graphnas.ir.verify import verified
from graphnas.mutators.choices.fixed import Fixation
from tests.spaces import WIDTH, RandomNet, recipes

INPUTS = (torch.zeros(2, WIDTH),)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes(), st.integers(0, 1000))
def test_rewrites_are_traces_on_random_spaces(recipe: tuple[Any, ...], seed: int) -> None:
    space = ModelSpace(RandomNet(recipe), example_inputs=INPUTS)
    first, inline = space.sample(seed), space._inline
    space.freeze(first)
    assert inline._engine is not None, "made with the space"
    natures = inline._engine._natures
    values = {label: value for label, value in first.items() if natures[label] == "value"}
    for other in range(4):
        decisions = space.complete(values, seed + other)
        assert inline.construction is not None, "the space has a module"
        expected = verified(trace(inline.construction.run_aside(Fixation(decisions)), INPUTS))
        assert without_settings(space.freeze(decisions).root) == without_settings(expected.root)
