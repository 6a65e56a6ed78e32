"""The models that other tests are made of are valid themselves."""

from __future__ import annotations

import pytest
from hypothesis import given

from graphnas.ir.model import Model
from graphnas.ir.verify import verify
from tests.ir.handmade import language_model, resnet
from tests.strategies import models


@given(models())
def test_random_models_are_valid(model: Model) -> None:
    verify(model)


@pytest.mark.parametrize("model", [resnet(), resnet((8, 16, 32), 3), language_model()])
def test_models_built_by_hand_are_valid(model: Model) -> None:
    verify(model)
