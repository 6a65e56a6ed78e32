"""Graphs that torch made: modules of torch.fx and exported programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from graphnas.codegen import save, to_module
from graphnas.errors import TraceError
from graphnas.ir.trace import trace
from tests.codegen.roundtrip import same
from tests.networks import ResNet18, TransformerEncoder

Build = Callable[[], nn.Module]


class Net(nn.Module):
    """Has buffers of all kinds, a block under a number, a mask by slices, and an output with names."""

    constant: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.fc = nn.Linear(4, 4)
        self.register_buffer("shift", torch.ones(4))
        self.constant = torch.arange(4.0)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))

    def forward(self, x: Tensor) -> dict[str, Any]:
        x = self.layer1(x).flatten(2).transpose(1, 2)
        token = self.cls_token.expand(x.shape[0], -1, -1)
        x = torch.cat([token, x], 1)
        x = F.layer_norm(x, (4,)) + self.shift * self.constant
        y = F.gelu(self.fc(x[:, 1:] * 2 - x[:, :1]))
        return {"tokens": y, "pooled": y.mean(1).clamp(min=0), "first": x[:, 0]}


def check(source: nn.Module | torch.export.ExportedProgram, original: nn.Module, folder: Path, *inputs: Any) -> str:
    """Check that what was imported gives a module with the same state and outputs, and return its source."""
    model = trace(source, inputs)
    text = save(model, folder / "model.py", format=False).read_text(encoding="utf-8")
    generated = to_module(model).eval()
    state = source.state_dict() if isinstance(source, torch.fx.GraphModule) else original.state_dict()
    assert sorted(generated.state_dict()) == sorted(state), text
    generated.load_state_dict(state, strict=True)
    assert same(original.eval()(*inputs), generated(*inputs)), text
    again = save(trace(generated, inputs), folder / "model.py", format=False).read_text(encoding="utf-8")
    assert again.splitlines()[5:] == text.splitlines()[5:]
    return text


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (Net, (torch.randn(2, 3, 6, 6),)),
        (ResNet18, (torch.randn(2, 3, 32, 32),)),
    ],
)
def test_a_module_of_fx_is_traced_like_others(
    build: Callable[[], nn.Module], inputs: tuple[Any, ...], tmp_path: Path
) -> None:
    net = build().eval()
    source = torch.fx.symbolic_trace(net)
    text = check(source, net, tmp_path, *inputs)
    assert f"class {build.__name__}(nn.Module):" in text
    assert "getattr" not in text
    assert "torch.fx" not in text


def test_what_stands_in_a_module_of_fx_keeps_its_place() -> None:
    source = torch.fx.symbolic_trace(Net())
    model = trace(source, torch.randn(2, 3, 6, 6))
    assert model.name == "Net"
    assert [site.name for site in model.find(type="Conv2d")] == [":layer1_0"]
    assert model.root.origin == ""


def test_a_module_of_fx_inside_of_another_is_traced_into(tmp_path: Path) -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) + 1  # type: ignore[no-any-return]  # modules are not typed

    net = Outer()
    text = check(net, net, tmp_path, torch.randn(2, 4))
    assert "self.inner = Sequential" in text or "self.inner = nn.Sequential" in text


@pytest.mark.parametrize(
    ("build", "inputs"),
    [
        (Net, (torch.randn(2, 3, 6, 6),)),
        (ResNet18, (torch.randn(2, 3, 32, 32),)),
        (TransformerEncoder, (torch.randint(0, 50, (2, 8)),)),
    ],
)
def test_an_exported_program_keeps_class_and_state(
    build: Callable[[], nn.Module], inputs: tuple[Any, ...], tmp_path: Path
) -> None:
    net = build().eval()
    text = check(torch.export.export(net, inputs, strict=False), net, tmp_path, *inputs)
    assert f"class {build.__name__}(nn.Module):" in text
    assert "torch.ops" not in text


def test_an_exported_program_brings_its_inputs() -> None:
    program = torch.export.export(Net().eval(), (torch.randn(2, 3, 6, 6),), strict=False)
    assert trace(program).key == trace(program, torch.randn(2, 3, 6, 6)).key


def test_dynamic_sizes_stay_symbolic() -> None:
    net = Net().eval()
    dynamic = ({0: torch.export.Dim("batch", min=1, max=64)},)
    program = torch.export.export(net, (torch.randn(2, 3, 6, 6),), dynamic_shapes=dynamic, strict=False)
    generated = to_module(trace(program)).eval()
    generated.load_state_dict(net.state_dict())
    x = torch.randn(5, 3, 6, 6)
    assert same(net(x), generated(x))


def test_what_cannot_be_imported_is_refused() -> None:
    program = torch.export.export(Net().eval(), (torch.randn(2, 3, 6, 6),), strict=False)
    with pytest.raises(TraceError, match="the module of an exported program; trace the exported program itself"):
        trace(program.module(), torch.randn(2, 3, 6, 6))
    with pytest.raises(TraceError, match="wants example inputs for Net; pass what its forward takes"):
        trace(Net())
    wrong: Any = Net
    with pytest.raises(TraceError, match=r"wants a torch.nn.Module or an exported program, got type"):
        trace(wrong, torch.randn(2, 3, 6, 6))
