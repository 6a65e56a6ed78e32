"""Generated source: what it looks like, and that it computes what the model computes, where graphnas is not at hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from graphnas.codegen import CodegenError, save, to_module, to_source
from graphnas.ir.graph import Operation
from graphnas.ir.literal import FrozenDict
from graphnas.ir.model import Model, Mutation
from graphnas.ir.module import BufferSpec, Definition, Forward, ModuleSpec, TensorData, Tie
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.types import TensorType
from tests.ir.models import (
    block,
    chain,
    definition,
    function,
    graph,
    images,
    leaf,
    model_of,
    module,
    node,
    resnet,
)

ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "graphnas":
            raise ImportError("graphnas is not at hand")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import torch
import generated
torch.manual_seed(0)
net = getattr(generated, sys.argv[2])()
print(",".join(net.state_dict()))
print(tuple(net(torch.zeros(2, 3, 8, 8)).shape))
"""


def one_graph(*nodes: object, output: str, children: dict[str, ModuleSpec] | None = None) -> Model:
    body = graph("x", list(nodes), output)  # type: ignore[arg-type]  # the nodes of the callers
    return model_of(definition("Net", children or {}, body), images(2, 3, 8, 8))  # type: ignore[arg-type]  # leaves


def body_of(source: str) -> str:
    """The statements of the last forward."""
    lines = source.rpartition("def forward")[2].splitlines()[1:]
    return "\n".join(line.strip() for line in lines if line.strip())


def test_file_stands_alone(tmp_path: Path) -> None:
    save(resnet(), tmp_path / "generated.py")
    command = [sys.executable, "-c", ALONE, str(tmp_path), "Net"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    keys, shape = done.stdout.splitlines()
    assert keys.split(",") == list(to_module(resnet()).state_dict())
    assert shape == "(2, 10)"


def test_equal_blocks_share_a_class_and_repeat() -> None:
    source = to_source(resnet(8, 4))
    assert source.count("class Block(") == 1
    assert "nn.Sequential(*[Block() for _ in range(4)])" in source


def test_blocks_equal_but_for_constants_share_a_class() -> None:
    children = {"a": block(3), "down": leaf("Conv2d", 3, 5, 1), "b": block(5)}
    nodes = [module("a", "a", "%x"), module("down", "down", "%a"), module("b", "b", "%down")]
    model = model_of(definition("Net", children, graph("x", nodes, "%b")), images(2, 3, 8, 8))  # type: ignore[arg-type]
    source = to_source(model)
    assert source.count("class Block") == 1
    assert "def __init__(self, in_channels):" in source
    assert "Block(3)" in source
    assert "Block(5)" in source
    assert to_module(model)(torch.zeros(2, 3, 8, 8)).shape == (2, 5, 8, 8)


def test_same_source_under_every_hash_seed() -> None:
    program = "from tests.ir.models import resnet; from graphnas.codegen import to_source; print(to_source(resnet()))"
    seen = [
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
        ).stdout
        for seed in ("0", "1")
    ]
    assert seen[0] == seen[1] == to_source(resnet()) + "\n"


def test_user_names_and_in_place_operators() -> None:
    first = replace(function("a", "operator:mul", "%x", 2), hint="y")
    second = replace(function("b", "operator:iadd", "%a", 1), hint="y")
    source = to_source(one_graph(first, second, output="%b"))
    assert body_of(source) == "y = x * 2\ny += 1\nreturn y"


def test_precedence_is_kept() -> None:
    nodes = [
        function("a", "operator:add", "%x", 1),
        function("b", "operator:mul", "%a", 3),
        function("c", "operator:neg", "%b"),
        function("d", "operator:pow", "%c", 2),
    ]
    model = one_graph(*nodes, output="%d")
    assert body_of(to_source(model)) == "return (-((x + 1) * 3)) ** 2"
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(to_module(model)(x), (-((x + 1) * 3)) ** 2)


def test_order_of_effects_is_kept() -> None:
    """A value computed before an in-place change must not move behind it."""
    nodes = [
        function("doubled", "operator:mul", "%x", 2),
        node("changed", Operation("method", "add_"), "%x", 1),
        function("total", "operator:add", "%changed", "%doubled"),
    ]
    model = one_graph(*nodes, output="%total")
    x = torch.ones(2, 3, 8, 8)
    assert torch.equal(to_module(model)(x.clone()), (x + 1) + x * 2)


def test_an_early_value_is_kept_under_a_name() -> None:
    first = replace(function("a", "torch:sin", "%x"), hint="x")
    second = replace(function("b", "operator:add", "%a", "%x"), hint="")
    source = to_source(one_graph(first, second, output="%b"))
    assert body_of(source) == "identity = x\nx = torch.sin(x)\nreturn x + identity"


def test_a_value_whose_name_is_given_away_has_its_own_from_the_start() -> None:
    nodes = [
        replace(function("a", "torch:sin", "%x"), hint="y"),
        replace(function("b", "torch:cos", "%a"), hint="y"),
        replace(function("c", "torch:tanh", "%b"), hint="y"),
        function("d", "torch:cat", ["%a", "%b", "%c"]),
    ]
    assert body_of(to_source(one_graph(*nodes, output="%d"))) == (
        "y1 = torch.sin(x)\ny2 = torch.cos(y1)\ny = torch.tanh(y2)\nreturn torch.cat([y1, y2, y])"
    )


def test_items_of_a_tuple_are_read_where_they_are_used() -> None:
    nodes = [
        node("parts", Operation("method", "chunk"), "%x", 3, 1),
        function("a", "operator:getitem", "%parts", 0),
        function("b", "operator:getitem", "%parts", 2),
        function("c", "operator:sub", "%a", "%b"),
        function("d", "operator:mul", "%c", "%b"),
    ]
    model = one_graph(*nodes, output="%d")
    assert body_of(to_source(model)) == "chunk = x.chunk(3, 1)\nreturn (chunk[0] - chunk[2]) * chunk[2]"


def test_items_of_a_tensor_are_not_counted() -> None:
    """How many there are may change with the batch."""
    nodes = [
        replace(function("a", "operator:getitem", "%x", 0), hint="a"),
        replace(function("b", "operator:getitem", "%x", 1), hint="b"),
        function("c", "operator:sub", "%a", "%b"),
        function("d", "operator:mul", "%a", "%c"),
        function("e", "operator:mul", "%b", "%d"),
    ]
    net = to_module(one_graph(*nodes, output="%e"))
    assert net(torch.zeros(5, 3, 8, 8)).shape == (3, 8, 8)


def test_an_item_is_changed_in_place() -> None:
    nodes = [
        function("item", "operator:getitem", "%x", (slice(None), 0)),
        node("changed", Operation("method", "mul_"), "%item", 3),
        function("put", "operator:setitem", "%x", (slice(None), 0), "%changed"),
    ]
    assert body_of(to_source(one_graph(*nodes, output="%x"))) == "x[:, 0] *= 3\nreturn x"


def test_dead_pure_values_are_left_out_and_random_ones_kept() -> None:
    nodes = [
        function("dead", "torch:sin", "%x"),
        function("drawn", "torch:rand", 3),
        function("used", "torch:cos", "%x"),
    ]
    assert body_of(to_source(one_graph(*nodes, output="%used"))) == "torch.rand(3)\nreturn torch.cos(x)"


def test_modes_share_what_they_have_in_common() -> None:
    evaluated = graph("x", [function("a", "torch:sin", "%x")], "%a")
    trained = graph("x", [function("a", "torch:sin", "%x"), function("b", "operator:mul", "%a", 2)], "%b")
    root = Definition("Net", forwards=(Forward(evaluated, trained),))
    net = to_module(model_of(root, images(2, 3)))
    x = torch.randn(2, 3)
    assert torch.equal(net(x), torch.sin(x) * 2)
    assert torch.equal(net.eval()(x), torch.sin(x))


def test_shared_modules_stay_shared() -> None:
    linear = leaf("Linear", 8, 8)
    nodes = [module("a", "a", "%x"), module("b", "b", "%a")]
    root = definition("Net", {"a": linear, "b": linear}, graph("x", nodes, "%b"))
    model = model_of(replace(root, ties=(Tie("b", "a"),)), images(2, 8))
    assert "self.b = self.a" in to_source(model)
    net = to_module(model)
    assert net.a is net.b


def test_repeated_calls_become_a_loop() -> None:
    blocks = definition("ModuleList", {str(i): leaf("Linear", 8, 8) for i in range(3)}, kind="list")
    nodes = [module(f"n{i}", f"blocks.{i}", f"%{'x' if i == 0 else f'n{i - 1}'}") for i in range(3)]
    model = model_of(definition("Net", {"blocks": blocks}, graph("x", nodes, "%n2")), images(2, 8))
    assert body_of(to_source(model)) == "for block in self.blocks:\nx = block(x)\nreturn x"


def test_large_tensors_go_beside_the_source(tmp_path: Path) -> None:
    values = torch.randn(20, 20)
    data = TensorData(TensorType((20, 20), torch.float32), values.numpy().tobytes())
    spec = BufferSpec(data.type, "temporary", data=data)
    nodes = [node("t", Operation("attribute", "table")), function("y", "operator:add", "%x", "%t")]
    root = replace(definition("Net", {}, graph("x", nodes, "%y")), buffers=FrozenDict({"table": spec}))
    model = model_of(root, images(20, 20))
    with pytest.raises(CodegenError, match=r"too large for source: Net\.table; use graphnas\.save"):
        to_source(model)
    assert torch.equal(to_module(model)(torch.zeros(20, 20)), values)
    path = save(model, tmp_path / "net.py")
    program = f"import sys, torch; sys.path.insert(0, {str(tmp_path)!r}); import net; "
    program += "n = net.Net(); print(len(n.state_dict()), n.table.sum().item())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", str(values.sum().item())]
    assert path.with_suffix(".safetensors").exists()


def test_open_decisions_are_refused() -> None:
    candidates = {"a": leaf("Linear", 8, 8), "b": leaf("Identity")}
    choice = Definition("LayerChoice", "choice", FrozenDict(candidates), label="op")
    root = definition("Net", {"op": choice}, graph("x", [], "%x"))
    with pytest.raises(CodegenError, match="choice labelled 'op' is still open"):
        to_source(Model(root))


def test_a_list_with_a_gap_is_refused_and_an_edit_makes_it_a_dict() -> None:
    layers = Definition("ModuleList", "list", FrozenDict({name: leaf("Linear", 4, 4) for name in "012"}))
    nodes = [module("a", "layers.0", "%x"), module("b", "layers.1", "%a"), module("c", "layers.2", "%b")]
    model = model_of(definition("Net", {"layers": layers}, graph("x", nodes, "%c")), images(2, 4))
    with Rewriter(model) as edit:
        edit.replace_all_uses_with(":b", ":a")
        edit.erase(":b")
    assert edit.result is not None
    net = to_module(edit.result)
    assert [*net.state_dict()] == [f"layers.{name}.{what}" for name in "02" for what in ("weight", "bias")]
    gap = Model(model.root.with_child("layers.1", None))
    gap = replace(gap, root=replace(gap.root, forwards=()))
    with pytest.raises(CodegenError, match=r"a list of modules named 0, 2: torch.nn.ModuleList would number them anew"):
        to_source(gap)


def test_classes_of_the_running_program_are_refused() -> None:
    root = definition("Net", {"op": ModuleSpec("__main__:Swish")}, graph("x", [module("y", "op", "%x")], "%y"))
    with pytest.raises(CodegenError, match="'Swish' lives in __main__"):
        to_source(Model(root))


def test_text_of_users_cannot_end_the_header() -> None:
    evil = '"""\nimport os\n"""'
    decisions = FrozenDict({evil: evil})
    model = replace(resnet(), history=(Mutation("M", "m", (), decisions, (), ""),))
    assert "import os" not in to_source(model).split("import torch")[0].splitlines()
    assert isinstance(to_module(model), nn.Module)


def test_plain_names_only() -> None:
    root = definition("not a name", {}, graph("x", [], "%x"))
    with pytest.raises(CodegenError, match="no Python identifier"):
        to_source(Model(root))


def test_containers_with_names() -> None:
    model = model_of(
        definition(
            "Net",
            {"body": chain(leaf("Linear", 8, 8), leaf("ReLU"), names=("fc", "act"))},
            graph("x", [module("y", "body", "%x")], "%y"),
        ),
        images(2, 8),
    )
    assert list(to_module(model).state_dict()) == ["body.fc.weight", "body.fc.bias"]
