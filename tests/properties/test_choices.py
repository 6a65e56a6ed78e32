"""The law of inline choices: both engines make the same model of the same decisions."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from graphnas import ModelSpace, fixed_arch, to_module
from tests.spaces import WIDTH, RandomNet, recipes

X = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recipes(), st.integers(0, 1000))
def test_engines_agree_on_random_spaces(recipe: tuple[Any, ...], seed: int) -> None:
    space = ModelSpace(RandomNet(recipe), example_inputs=(torch.zeros(2, WIDTH),))
    for point in (space.default(), space.sample(seed)):
        assert space.validate(point) == point
        one = space.instantiate(point)
        with fixed_arch(point, verbose=False):
            assert repr(RandomNet(recipe)) == repr(one)
        model = space.freeze(point)
        assert space.decisions_of(model) == point
        other = to_module(model)
        _check_alike(one, other)
        other.load_state_dict(one.state_dict(), strict=True)
        for training in (False, True):
            expected = one.train(training)(X)
            torch.testing.assert_close(other.train(training)(X), expected, rtol=0, atol=0, equal_nan=True)


def _check_alike(one: nn.Module, other: nn.Module) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    for name, tensor in mine.items():
        assert tensor.shape == theirs[name].shape
        if tensor.numel() == 1 or tensor.std() == 0:
            assert torch.equal(tensor, theirs[name])
        elif tensor.numel() >= 32:
            assert 1 / 3 < tensor.std() / theirs[name].std() < 3, name
