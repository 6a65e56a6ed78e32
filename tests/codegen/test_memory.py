"""What is remembered from model to model: a mutant is written as it would be if nothing had been written before."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.codegen import clear_cache
from graphnas.codegen.structure import plan_classes
from graphnas.ir.model import Model
from graphnas.ir.module import ModuleSpec
from graphnas.ir.rewrite import Rewriter


class Mixer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.proj(x))


class Block(nn.Module):
    def __init__(self, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.ReLU()
        self.down = nn.Conv2d(width, width, 1, stride) if stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.down is None else self.down(x)
        return self.act(self.norm(self.conv(x))) + identity  # type: ignore[no-any-return]  # modules are not typed


class Net(nn.Module):
    """Two groups of classes, and an initialisation with a formula in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8, 2), Block(8))
        self.mixers = nn.Sequential(Mixer(8), Mixer(8))
        self.head = nn.Linear(8, 4)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.weight, -bound, bound)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(x)).mean((2, 3))
        return self.head(self.mixers(x))  # type: ignore[no-any-return]  # as above


@pytest.fixture
def model() -> Model:
    with graphnas.recording():
        net = Net()
    return graphnas.trace(net, (torch.zeros(2, 3, 8, 8),))


def _with_kernel(edit: Rewriter) -> None:
    edit.update_module("blocks.0.conv", kernel_size=5, padding=2)


def _without_bias(edit: Rewriter) -> None:
    edit.update_module("stem", bias=False)


def _with_groups(edit: Rewriter) -> None:
    edit.update_module("blocks.2.conv", groups=2)


def _with_other_activation(edit: Rewriter) -> None:
    edit.set_module("blocks.1.act", ModuleSpec("torch.nn:GELU"))


EDITS: list[Callable[[Rewriter], None]] = [_with_kernel, _without_bias, _with_groups, _with_other_activation]


def _edited(model: Model, change: Callable[[Rewriter], None]) -> Model:
    with Rewriter(model) as edit:
        change(edit)
    assert edit.result is not None
    return edit.result


@pytest.mark.parametrize("change", EDITS)
def test_a_mutant_is_written_as_if_it_were_the_first(model: Model, change: Callable[[Rewriter], None]) -> None:
    mutant = _edited(model, change)
    clear_cache()
    first = graphnas.to_source(mutant)
    clear_cache()
    graphnas.to_source(model)
    assert graphnas.to_source(mutant) == first != graphnas.to_source(model)


def test_a_mutant_takes_over_the_classes_that_it_leaves_alone(model: Model) -> None:
    before = {plan.name: plan.functions for plan in plan_classes(model.root)}
    after = {plan.name: plan.functions for plan in plan_classes(_edited(model, _with_kernel).root)}
    assert {name for name in before if after[name] is before[name]} == {"Mixer"}
    again = {plan.name: plan.functions for plan in plan_classes(model.root)}
    assert all(again[name] is before[name] for name in before)
