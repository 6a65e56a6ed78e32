"""`inline=True`: code of the user's own modules in the generated file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import networkx.utils.misc
import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.codegen.licence import notice
from graphnas.codegen.modules import read_module
from tests.codegen.project import Gate, refused

X = torch.linspace(-2, 2, 16).reshape(2, 8)


class Halves(nn.Module):
    """Its name is one that the carried code has as well."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.unit = unit

    def forward(self, x: Tensor) -> Tensor:
        return self.unit(self.linear(x))  # type: ignore[no-any-return]  # modules are not typed


Halves.__name__ = "halves"


def source_of(unit: type[nn.Module], *args: object, inline: bool = True) -> str:
    with graphnas.recording():
        net = Halves(unit(*args))
    return graphnas.to_source(graphnas.trace(net, X), inline=inline)


def test_carried_code_needs_nothing_else_and_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with graphnas.recording():
        net = Halves(Gate(8))
    path = graphnas.save(graphnas.trace(net, X), tmp_path / "net.py", inline=True)
    torch.save({"state": net.state_dict(), "x": X}, tmp_path / "data.pt")
    program = (
        "import sys, torch; from net import halves\n"
        "data = torch.load('data.pt'); net = halves(); net.load_state_dict(data['state'])\n"
        "x = data['x'].requires_grad_(); y = net(x); y.sum().backward()\n"
        "assert not {'tests', 'graphnas'} & set(sys.modules), sorted(sys.modules)\n"
        "torch.save({'y': y.detach(), 'grad': x.grad}, 'result.pt')\n"
    )
    (tmp_path / "run.py").write_text(program)
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True, env={"PYTHONPATH": ""}, timeout=60)
    found = torch.load(tmp_path / "result.pt")
    x = X.clone().requires_grad_()
    y = net(x)
    y.sum().backward()
    assert torch.equal(found["y"], y)
    assert x.grad is not None
    assert torch.equal(found["grad"], x.grad)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([ruff(), *command, "--isolated", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def ruff() -> str:
    return str(Path(sys.executable).with_name("ruff"))


def test_what_is_carried_and_what_is_not() -> None:
    source = source_of(Gate, 8)
    assert "graphnas." not in source
    assert "basic_unit" not in source
    assert "def unused" not in source
    assert "UNUSED" not in source
    assert "# a comment that stays" in source
    assert "from collections.abc import Callable" in source  # what stood under `if TYPE_CHECKING` too


def test_names_that_clash_are_told_apart() -> None:
    source = source_of(Gate, 8)
    assert "def leaky2(x: Tensor)" in source  # of shapes
    assert "def leaky(x: torch.Tensor)" in source  # of layers, where torch is called th
    assert "class halves(nn.Module)" in source
    assert "def halves2(x: Tensor)" in source


def test_origin_and_licence_are_named() -> None:
    source = source_of(Gate, 8)
    expected = (
        "# Carried over from tests.codegen.project.layers.\n"
        "# Copyright (c) 2021 The project's authors\n"
        "# Licensed under the MIT licence.\n"
        "# Hacked together by a user, copyright 2021.\n"
    )
    assert expected in source


def test_the_licence_of_a_distribution_is_named() -> None:
    [line, *_] = notice(read_module(networkx.utils.misc.__name__))
    assert line.comment is not None
    assert line.comment.value.startswith("# Carried over from networkx.utils.misc (networkx 3.")
    assert "licence: BSD" in line.comment.value


def test_without_inline_it_is_imported() -> None:
    assert "from tests.codegen.project import Gate" in source_of(Gate, 8, inline=False)


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        (refused.KnowsItsFile, r"refused.py:\d+: '__file__' is bound by no statement"),
        (refused.TakesModule, r"the module tests.codegen.project.shapes is used as a whole"),
        (refused.UsesChoices, r"refused uses 'graphnas' of graphnas in code that is to be carried"),
        (refused.UsesStar, r"'halves' is bound by no statement of tests.codegen.project.refused"),
        (refused.ImportsInside, r"tests.codegen.project.rounding is imported inside the statement"),
    ],
)
def test_what_cannot_be_carried_is_refused(unit: type[nn.Module], message: str) -> None:
    with pytest.raises(graphnas.CodegenError, match=message):
        source_of(unit)


def test_a_script_can_be_carried_where_it_cannot_be_imported(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import torch, graphnas\nfrom torch import nn\n\nFACTOR = 2\n\n"
        "@graphnas.basic_unit\nclass Twice(nn.Module):\n    def forward(self, x):\n        return x * FACTOR\n\n"
        "class Net(nn.Sequential):\n    pass\n\n"
        "with graphnas.recording():\n    net = Net(nn.Linear(8, 8), Twice())\n"
        "model = graphnas.trace(net, torch.zeros(1, 8))\n"
        "try:\n    graphnas.to_source(model)\nexcept graphnas.CodegenError as error:\n    print('REFUSED', error)\n"
        "print(graphnas.to_source(model, inline=True))\n"
    )
    root = str(Path(graphnas.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, env={"PYTHONPATH": root}, timeout=60
    )
    assert "REFUSED 'Twice' lives in __main__, which generated source cannot import" in done.stdout
    assert "FACTOR = 2\n" in done.stdout
    assert "class Twice(nn.Module):\n    def forward(self, x):\n        return x * FACTOR" in done.stdout
