"""Models that hold for one batch size: the source says so when it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module, to_source
from graphnas.ir.trace import trace
from graphnas.ir.verify import verify


class Net(nn.Module):
    def __init__(self, compute: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, x: Tensor) -> Any:
        return self.compute(x)


class Outer(nn.Module):
    """Decides in a part that gets the batch as its second dimension."""

    def __init__(self, compute: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner = Net(lambda x: compute(x.transpose(0, 1)))

    def forward(self, x: Tensor) -> Any:
        return self.inner(x.transpose(0, 1))


@pytest.mark.parametrize("build", [Net, Outer])
@pytest.mark.parametrize(
    "compute",
    [
        lambda x: torch.stack([x[i] * i for i in range(x.shape[0])]),
        lambda x: torch.stack([row.relu() for row in x]),
        lambda x: x * 2 if x.shape[0] > 6 else x,
        lambda x: torch.cat([part * 2 for part in x.split(2)]),
        lambda x: x.new_zeros(x.shape[1]) + max(x.shape[0], 5),
    ],
    ids=["range", "rows", "branch", "parts", "max"],
)
def test_a_decision_by_the_batch_size_is_checked_by_the_source(build: Any, compute: Callable[[Tensor], Any]) -> None:
    net = build(compute)
    model = trace(net, torch.randn(4, 3))
    verify(model)
    assert model.report is not None
    assert "decides by the batch size, so the source takes 4 only" in model.report.notes[0]
    built = to_module(model)
    x = torch.randn(4, 3)
    assert torch.equal(built(x), net(x))
    with pytest.raises(AssertionError, match="was traced for 4 in the first dimension of x, and holds for no other"):
        built(torch.randn(9, 3))
    assert to_source(trace(to_module(model), x)) == to_source(model)


@pytest.mark.parametrize(
    "compute",
    [
        lambda x: torch.stack(x.unbind(0)) + torch.cat(x.split(2)),
        lambda x: torch.cat(x.chunk(2)[::-1]),
        lambda x: x + 1 if x.shape[1] > 2 else x,
        lambda x: x[: min(x.shape[0], 100)],
    ],
    ids=["whole", "halves", "width", "min"],
)
def test_nothing_is_checked_where_any_batch_will_do(compute: Callable[[Tensor], Any]) -> None:
    built = to_module(trace(Net(compute), torch.randn(4, 3)))
    x = torch.randn(6, 3)
    assert torch.equal(built(x), compute(x))
