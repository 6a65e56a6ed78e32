"""The report: what was specialised, what the source lacks, and how it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.record import basic_unit, recording
from graphnas.ir.report import Branch, Report
from graphnas.ir.trace import trace
from tests.networks import ResNet18


@basic_unit
class Unit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Head(nn.Module):
    """Has what reports are about: branches of all kinds, methods, arguments, and parts that nothing uses."""

    def __init__(self, width: int = 4, fused: bool = False) -> None:
        super().__init__()
        self.fused = fused
        self.proj = nn.Linear(width, width)
        self.extra = nn.Linear(width, 2)
        self.scale = nn.Parameter(torch.ones(width))
        self.idle = nn.Parameter(torch.ones(width))
        self.unit = Unit()
        self.norm: nn.Module | None = None

    def forward_features(self, x: Tensor) -> Tensor:
        return self.proj(x) * self.scale  # type: ignore[no-any-return]  # modules are not typed

    def reset(self) -> None:
        nn.init.zeros_(self.scale)

    def attend(self, x: Tensor) -> Tensor:
        if self.fused:
            return F.scaled_dot_product_attention(x, x, x)
        weights = torch.softmax(x @ x.transpose(-2, -1), -1)
        return weights @ x

    def forward(self, x: Tensor, labels: Tensor | None = None, *, gain: float = 1.0, verbose: bool = False) -> Any:
        if x.shape[1] > 8:
            raise ValueError("too long")
        x = self.unit(self.forward_features(x))
        if self.norm is not None:
            x = self.norm(x)
        note = None
        if verbose:
            note = "verbose"
        if self.training:
            x = F.dropout(x, 0.5)
        if gain != 1.0:
            x = x * gain
        elif x.dim() == 2:
            x = x.unsqueeze(1)
        else:
            x = torch.flip(x, (1,))
        x = self.attend(x)
        for _ in range(2):
            if not self.fused:
                x = torch.relu(x)
            else:
                x = torch.sigmoid(x)
                x = x * 2
        if labels is not None:
            return F.mse_loss(x, labels), note
        return x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Head()
        self.second = Head()
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.first.proj.weight
        self.again = self.second
        self.table = torch.rand(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x, gain=1.0)[:, 0] + self.table
        return self.again(self.tied(x))  # type: ignore[no-any-return]  # modules are not typed


@pytest.fixture(scope="module")
def report() -> Report:
    with recording():
        net = Net()
    found = trace(net, torch.randn(2, 4)).report
    assert found is not None
    return found


def line_of(text: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip() == text)


def test_branches_that_were_not_taken_are_listed_and_nothing_else(report: Report) -> None:
    expected = [
        ("self.fused", False, "if self.fused:"),
        ("self.norm is not None", False, "if self.norm is not None:"),
        ("gain != 1.0", False, "if gain != 1.0:"),
        ("x.dim() == 2", True, "elif x.dim() == 2:"),
        ("not self.fused", True, "if not self.fused:"),
        ("labels is not None", False, "if labels is not None:"),
    ]
    assert report.branches == tuple(
        Branch("Head", condition, outcome, f"{__file__}:{line_of(text)}") for condition, outcome, text in expected
    )


def test_what_follows_a_return_that_is_always_taken_is_lost() -> None:
    with recording():
        net = Head(fused=True)
    found = trace(net, torch.randn(2, 4)).report
    assert found is not None
    assert ("self.fused", True) in [(branch.condition, branch.outcome) for branch in found.branches]


def test_methods_and_arguments_that_are_gone(report: Report) -> None:
    head = next(item for item in report.classes if item.name == "Head")
    assert (head.origin, head.count) == ("tests.ir.test_report:Head", 2)
    assert [(method.name, method.inlined) for method in head.methods] == [
        ("forward_features", True),
        ("reset", False),
        ("attend", True),
    ]
    assert head.methods[0].location == f"{__file__}:{line_of('def forward_features(self, x: Tensor) -> Tensor:')}"
    assert [(item.name, item.value, item.given) for item in head.arguments] == [
        ("labels", "None", False),
        ("gain", "1.0", True),
        ("verbose", "False", False),
    ]


def test_parts_that_nothing_uses_are_shared_or_need_more_than_torch(report: Report) -> None:
    assert report.unused == (
        "first.idle",
        "first.extra.weight",
        "first.extra.bias",
        "second.idle",
        "second.extra.weight",
        "second.extra.bias",
    )
    assert [(item.kind, item.source, item.paths) for item in report.shared] == [
        ("parameter", "first.proj.weight", ("tied.weight",)),
        ("module", "second", ("again",)),
    ]
    [unit] = report.imports
    assert (unit.target, unit.paths) == ("tests.ir.test_report:Unit", ("first.unit", "second.unit", "again.unit"))
    assert [(item.path, item.type, item.size_bytes) for item in report.constants] == [("table", "f32[4]", 16)]
    [guard] = [item for item in report.guards if "> 8" in item.expression]
    assert (guard.expression, guard.outcome, guard.class_name) == ("x.shape[1] > 8", "False", "Head")


def test_hierarchy_counts_what_is_shared_once(report: Report) -> None:
    sizes = {part.path: part.parameters for part in report.hierarchy}
    net = Net()
    assert sizes[""] == sum(parameter.numel() for parameter in net.parameters())
    assert (sizes["tied"], sizes["again"], sizes["first.unit"]) == (4, 0, 0)
    assert [part.path for part in report.hierarchy if part.leaf][:3] == ["first.proj", "first.extra", "first.unit"]


def test_it_is_plain_data(report: Report) -> None:
    data = json.loads(json.dumps(report.to_dict()))
    assert data["branches"][0]["condition"] == "self.fused"
    model = trace(Net(), torch.randn(2, 4))
    read = from_json(dump_json(model)).report
    assert read == model.report
    assert str(read) == str(model.report)


def test_golden_text(report: Report, golden: Callable[[str, str], None]) -> None:
    golden("report/net.txt", str(report))
    resnet = trace(ResNet18(), torch.randn(2, 3, 64, 64)).report
    golden("report/resnet18.txt", str(resnet))


def test_long_lists_are_cut_short_with_their_length() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for index in range(30):
                self.register_parameter(f"idle_{index}", nn.Parameter(torch.ones(1)))

        def forward(self, x: Tensor) -> Tensor:
            return x + 1

    text = str(trace(Many(), torch.zeros(2)).report)
    assert "unused (30): parameters that no graph reads\n  idle_0\n" in text
    assert "\n  ... and 18 more: report.unused\n" in text
    assert "idle_12" not in text
