"""Which tables of integers a trace finds the rule of."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from graphnas.codegen import to_module, to_source
from graphnas.ir.record import recording
from graphnas.ir.trace import trace
from graphnas.ir.trace.evaluate import evaluate
from graphnas.ir.trace.pattern import pattern_of


def offsets(size: int, step: int = 1) -> Tensor:
    """The index of attention biases of LeViT and its kin, as they build it."""
    keys = list(itertools.product(range(size), range(size)))
    queries = list(itertools.product(range(0, size, step), range(0, size, step)))
    numbers: dict[tuple[int, int], int] = {}
    index = [
        numbers.setdefault((abs(y - b), abs(x - a)), len(numbers))
        for (y, x), (b, a) in itertools.product(queries, keys)
    ]
    return torch.tensor(index).view(len(queries), len(keys))


def relative_positions(height: int, width: int) -> Tensor:
    """The index of attention biases of Swin."""
    points = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")).flatten(1)
    between = points[:, :, None] - points[:, None, :]
    return (between[0] + height - 1) * (2 * width - 1) + between[1] + width - 1


TABLES = {
    "constant": torch.full((3, 4), 7),
    "range": torch.arange(3, 40, 4),
    "positions": torch.arange(12)[None],
    "grid": torch.arange(4).repeat(3, 1),
    "columns": torch.arange(4)[:, None].repeat(1, 3),
    "int32": torch.arange(5, dtype=torch.int32),
    "causal": torch.ones(5, 5).triu(1).bool(),
    "shuffle": torch.arange(12).reshape(3, 4).t().reshape(-1),
    "distance": (torch.arange(6)[:, None] - torch.arange(6)).abs() * 3 + 1,
    "offsets": offsets(5),
    "sampled": offsets(6, step=2),
    "swin": relative_positions(4, 4),
    "oblong": relative_positions(3, 5),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_rule_of_a_table_builds_it(name: str) -> None:
    graph = pattern_of(TABLES[name])
    assert graph is not None
    built = evaluate(graph)
    assert built is not None
    assert built.dtype is TABLES[name].dtype
    assert torch.equal(built, TABLES[name])


@pytest.mark.parametrize("table", [torch.tensor([3, 1, 4, 1, 5, 9]), torch.tensor([0.5, 0.5]), torch.tensor(3)])
def test_other_tensors_have_none(table: Tensor) -> None:
    assert pattern_of(table) is None


@pytest.mark.parametrize("make", [torch.tensor, torch.LongTensor], ids=["recorded", "unrecorded"])
def test_a_table_that_a_loop_filled_is_written_as_its_rule(make) -> None:  # type: ignore[no-untyped-def]  # they differ
    class Net(nn.Module):
        index: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("index", make(offsets(5).tolist()), persistent=False)
            self.bias = nn.Parameter(torch.randn(25))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.bias[self.index]

    with recording():
        net = Net()
    model = trace(net, torch.randn(25, 25))
    source = to_source(model)
    assert len(source) < 1500
    assert "arange" in source
    built = to_module(model)
    built.load_state_dict(net.state_dict())
    assert torch.equal(net(torch.ones(25, 25)), built(torch.ones(25, 25)))
