"""Builtins that insist on plain numbers: sizes that pass through them stay symbolic."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.codegen import to_module
from graphnas.ir.trace import trace
from tests.ir.test_trace import graph


class Net(nn.Module):
    def __init__(self, compute: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: Tensor) -> Any:
        return self.compute(x)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: x.view(int(x.shape[0] / 4), 4, -1).sum(1),  # windows back to images, as in Swin
        lambda x: x / float(x.shape[0]),
        lambda x: x / math.sqrt(x.shape[0]) + math.pi,
        lambda x: x * sqrt(x.size(0)) + math.pow(x.size(0), 2) + math.exp(x.size(0) / 10),
        lambda x: x[: math.ceil(x.shape[0] / 3)] + math.log2(x.shape[0]),
        lambda x: x[: round(x.shape[0] * 0.5)] + int(x.numel() ** 0.5),
    ],
    ids=["int", "float", "math", "from math", "ceil", "round"],
)
def test_another_batch_size_gives_what_the_original_gives(compute: Callable[[Tensor], Any]) -> None:
    model = trace(Net(compute), torch.randn(8, 3))
    assert graph(model).guards == ()
    built = to_module(model)
    for size in (8, 12, 20):
        x = torch.randn(size, 3)
        assert torch.equal(built(x), compute(x))


def test_stand_ins_are_gone_after_the_trace() -> None:
    trace(Net(lambda x: x * int(x.shape[0] / 2) * float(x.shape[1]) * math.sqrt(x.shape[0])), torch.randn(4, 3))
    assert {"int", "float"}.isdisjoint(globals())
    assert math.sqrt is sqrt


def test_a_comparison_of_math_decides() -> None:
    model = trace(Net(lambda x: x * 2 if math.isclose(x.shape[1], 3) else x), torch.randn(2, 3))
    assert [guard.outcome for guard in graph(model).guards] == [3]


def test_a_class_that_torch_takes_as_a_dtype_is_left_as_it_is() -> None:
    def compute(x: Tensor) -> Tensor:
        return torch.zeros(int(x.shape[0] / 2), dtype=int)  # type: ignore[call-overload, no-any-return]  # as people do it

    built = to_module(trace(Net(compute), torch.randn(4, 3)))
    assert torch.equal(built(torch.randn(4, 3)), torch.zeros(2, dtype=torch.int64))


def test_what_math_computes_of_data_is_read_again() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, scale: Tensor) -> Tensor:
            return x * math.sqrt(scale.item())

    with graphnas.recording():
        net = Scaled()
    built = to_module(trace(net, (torch.randn(2), torch.tensor(4.0))))
    assert torch.equal(built(torch.ones(2), torch.tensor(9.0)), torch.full((2,), 3.0))
