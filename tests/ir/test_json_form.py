"""The JSON form: it round-trips, imports nothing, and names the path of what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from graphnas.errors import ParseError
from graphnas.ir.graph import Graph
from graphnas.ir.json_form import dump_json, from_json, to_json
from graphnas.ir.keyed import digest
from graphnas.ir.literal import FrozenDict
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, Forward, ModuleSpec
from graphnas.ir.report import Argument, ClassReport, GuardReport, OpaqueModule, Report, TracedCode
from tests.ir.handmade import language_model, resnet
from tests.strategies import literals, models


@given(models())
def test_every_model_round_trips(model: Model) -> None:
    text = dump_json(model)
    read = from_json(text)
    assert read.key == model.key
    assert digest("", read.history) == digest("", model.history)
    assert dump_json(read) == text
    assert from_json(to_json(model)).key == model.key


@given(literals())
def test_every_literal_round_trips(value: Any) -> None:
    leaf = ModuleSpec("user:Leaf", (value,), FrozenDict({"k": value}))
    root = Definition("Net", children=FrozenDict({"a": leaf}), forwards=(Forward(Graph((), (), value)),))
    assert from_json(dump_json(Model(root))).root.key == root.key


def test_locations_and_the_report_survive() -> None:
    model = language_model()
    graph = model.root.forwards[0].eval
    nodes = tuple(replace(node, location="net.py:7") for node in graph.nodes)
    root = replace(model.root, forwards=(Forward(replace(graph, nodes=nodes)),), origin="net:Net")
    guard = GuardReport("x.shape[1] > 4", "True", "net.py:3", "Net", ("", "block"))
    code = TracedCode("forward", "net.py", 2, (3, 4))
    classes = (ClassReport("Net", "net:Net", 1, (Argument("mask", "None", False),), (), (code,)),)
    opaque = (OpaqueModule("x", "X", "net.py:1", "a loop"),)
    report = Report(guards=(guard,), opaque=opaque, classes=classes, notes=("a note",), editable=0.5)
    assert report.branches == ()  # what is found out later is not part of the form
    read = from_json(dump_json(Model(root, report=report)))
    assert {node.location for node in read.root.forwards[0].eval.nodes} == {"net.py:7"}
    assert (read.root.origin, read.report) == ("net:Net", report)
    assert from_json(to_json(Model(root, report=report), report=False)).report is None


def test_equal_definitions_are_stored_once() -> None:
    data = to_json(resnet(widths=(8,), blocks=3))
    assert [item["class_name"] for item in data["definitions"]] == ["BasicBlock", "Sequential", "ResNet"]


def test_reading_imports_nothing_that_the_model_names() -> None:
    leaf = ModuleSpec("antigravity:Fly")
    text = dump_json(Model(Definition("Net", children=FrozenDict({"a": leaf}), origin="this:Zen")))
    code = (
        "import sys; from graphnas.ir.json_form import from_json; from_json(sys.argv[1]).fingerprint; "
        "print([name for name in ('antigravity', 'this') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def _damaged(*path: Any, value: Any) -> str:
    data = to_json(language_model())
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(data)


NODE = ("definitions", 0, "forwards", 0, "eval", "nodes", 0)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("", "$", "expected JSON text"),
        ("[" * 100_000, "$", "expected JSON text"),
        ("[]", "$.format", "this is no model"),
        (_damaged("version", value=7), "$.version", "expected 1, got 7"),
        (_damaged("root", value=5), "$.root", "expected the place of a definition before this one, 0 to 0, got 5"),
        (_damaged("surprise", value=5), "$", "unknown field `surprise`"),
        (_damaged("definitions", 0, "kind", value="blob"), "$.definitions[0].kind", "invalid enum value 'blob'"),
        (
            _damaged("definitions", 0, "children", 0, "definition", value=0),
            "$.definitions[0].children[0]",
            "expected either `leaf` or `definition`",
        ),
        (
            _damaged("definitions", 0, "children", 0, value={"name": "embed", "definition": 0}),
            "$.definitions[0].children[0].definition",
            "expected the place of a definition before this one",
        ),
        (
            _damaged("definitions", 0, "children", 1, "name", value="embed"),
            "$.definitions[0].children[1]",
            "expected each name once, got 'embed'",
        ),
        (_damaged(*NODE, "name", value=3), "$.definitions[0].forwards[0].eval.nodes[0].name", "expected `str`"),
        (_damaged(*NODE, "type", value="f32["), "$.definitions[0].forwards[0].eval.nodes[0].type", "expected"),
        (
            _damaged(*NODE, "args", value=[{"literal": "open('x')"}]),
            "$.definitions[0].forwards[0].eval.nodes[0].args[0].literal",
            "expected a literal or a value",
        ),
        (
            _damaged(*NODE, "args", value=[{"pickle": "gA=="}]),
            "$.definitions[0].forwards[0].eval.nodes[0].args[0]",
            "expected one of tuple, dict",
        ),
        (
            _damaged("definitions", 0, "buffers", 0, "data", "base64", value="?"),
            "$.definitions[0].buffers[0].data.base64",
            "expected base64",
        ),
    ],
)
def test_what_is_wrong_is_named_by_path(text: str, path: str, message: str) -> None:
    with pytest.raises(ParseError, match=message) as caught:
        from_json(text)
    assert caught.value.path == path
