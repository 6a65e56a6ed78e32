"""What is executed while tracing: nothing real, and the same again from memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.errors import TraceError
from graphnas.ir.abstract import type_of
from graphnas.ir.trace import trace
from graphnas.ir.trace.execution import forget_results


class Asks(nn.Module):
    """Branches on what only objects know: identity and gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        if y.contiguous() is y:
            y = y + 1
        if self.relu(y) is y:
            y = y + 2
        if F.relu(self.linear(y)).requires_grad:
            y = y + 3
        return y + self.linear.weight.sum(1)  # type: ignore[no-any-return]  # modules are not typed


def test_what_is_remembered_is_what_was_executed() -> None:
    net, x = Asks(), torch.randn(2, 4)
    forget_results()
    first = trace(net, x)
    assert [node.operation.target for node in first.root.forwards[0].eval.nodes].count("operator:add") == 3
    assert trace(net, x) == first


class Returns(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        found = torch.max(x, dim=1)
        return found.values + found.indices + x.topk(1).values


def test_named_results_are_remembered() -> None:
    first = trace(Returns(), torch.randn(2, 4))
    assert trace(Returns(), torch.randn(2, 4)) == first


def test_results_follow_the_default_dtype() -> None:
    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    x = torch.ones(2, dtype=torch.int64)
    assert str(trace(Halves(), x).root.forwards[0].eval.nodes[0].type) == "f32[2]"
    torch.set_default_dtype(torch.float64)
    try:
        assert str(trace(Halves(), x).root.forwards[0].eval.nodes[0].type) == "f64[2]"
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("size", [300_000])
def test_leaves_are_replayed_without_memory(size: int) -> None:
    net = nn.Sequential(nn.Linear(size, size, device="meta"), nn.ReLU())
    model = trace(net, torch.empty(1, size, device="meta"))
    assert str(model.root.forwards[0].eval.nodes[-1].type) == f"f32[1, {size}]"


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (0, 3)])
def test_batch_normalisation_keeps_what_it_is_given(shape: tuple[int, ...]) -> None:
    node = trace(nn.Sequential(nn.BatchNorm1d(3)), torch.randn(shape)).root.forwards[0].eval.nodes[-1]
    assert node.type == type_of(nn.BatchNorm1d(3).eval()(torch.randn(shape)))


@pytest.mark.parametrize(("layer", "x"), [(nn.BatchNorm2d(3), torch.ones(2, 3)), (nn.BatchNorm1d(3), torch.ones(2, 4))])
def test_batch_normalisation_refuses_what_torch_refuses(layer: nn.Module, x: Tensor) -> None:
    with pytest.raises(TraceError, match=r"expected 4D input|weight to be a vector|should contain"):
        trace(nn.Sequential(layer), x)
