"""What is handed to an operation that overwrites its input is not overwritten."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.ir.literal import Value
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.in_place import overwrites, protect
from graphnas.mutators.library import DropBlock, RemoveOperation
from tests.mutators.outcomes import model_of, runs


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.relu, self.conv = nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.relu(self.norm(x)))  # type: ignore[no-any-return]


class Ways(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start, self.norm, self.relu = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True)
        self.block = Block()

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        y = self.norm(x)
        y += x
        y = self.relu(y)
        y = self.block(y.sigmoid())
        y.mul_(2)
        return F.silu(y, inplace=True)


@pytest.mark.parametrize("site", [":norm", "block:norm", ":block"])
def test_a_removed_operation_leaves_its_input_to_nobody_who_overwrites_it(site: str) -> None:
    x = torch.randn(3, 4)
    model = model_of(Ways(), x)
    mutator = DropBlock() if site == ":block" else RemoveOperation()
    child = mutator.apply(model, {f"@{mutator.label}/site": site})
    runs(child, x)
    # The value that the removed one took is now used by nobody who changes it.
    source = {":norm": ("", "start"), "block:norm": ("block", "x"), ":block": ("", "sigmoid")}[site]
    definition = Rewriter(child).definition(source[0])
    users = [node for node in definition.forwards[0].eval.nodes if Value(source[1]) in node.inputs]
    assert users
    assert not any(overwrites(definition, node, Value(source[1])) for node in users)


def test_protection_reaches_into_what_is_called_and_to_who_calls() -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu_()

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.outer, self.inner = nn.Sequential(nn.Tanh()), nn.Sequential(Inner())

        def forward(self, x: Tensor) -> Tensor:
            y = self.inner(self.outer(x))
            y += 1
            return y  # type: ignore[no-any-return]

    model = model_of(Net(), torch.randn(2))
    with Rewriter(model) as edit:
        protect(edit, "outer", Value("n0"))
    assert edit.edits == ("Let inner.0:relu compute method relu instead of method relu_.",)
    with Rewriter(model) as edit:
        protect(edit, "inner.0", Value("relu"))
    assert edit.edits == ("Let :iadd compute function operator:add instead of function operator:iadd.",)
