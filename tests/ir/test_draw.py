"""Drawings: every format, marks without colour, no markup from names, and the same bytes each time."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from graphnas.errors import ConfigError, GraphNASError, MutationError
from graphnas.ir.draw import draw
from graphnas.ir.graph import Graph, Input, Node, Operation
from graphnas.ir.literal import FrozenDict, Value
from graphnas.ir.model import Model
from graphnas.ir.module import Definition, Forward, ModuleSpec
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.trace import trace
from graphnas.ir.types import ObjectType
from tests.ir.handmade import language_model, resnet
from tests.strategies import Builder, leaf, models
from tests.zoo import ZOO

FORMATS = ("svg", "dot", "mermaid", "json")


def edited() -> Model:
    """Return a ResNet in which the stem changed and a block lost a ReLU and got a tanh."""
    model = resnet(widths=(8,), blocks=3, kernel_size=5)
    block = model["layer1.1"]
    assert isinstance(block, Definition)
    graph = block.forwards[0].eval
    tanh = Node("tanh", Operation("function", "torch:tanh"), (Value("bn1"),), FrozenDict(), graph["bn1"].type)
    nodes = [tanh if node.name == "relu" else node for node in graph.nodes]
    nodes = [replace(node, args=(tanh.value,)) if node.name == "conv2" else node for node in nodes]
    changed = replace(block, forwards=(Forward(replace(graph, nodes=tuple(nodes))),))
    return Model(model.root.with_child("layer1.1", changed))


def with_choice() -> Model:
    """Return a model with an open choice and an open repetition."""
    builder = Builder("Space")
    inner = Builder("LayerChoice")
    inner.children["conv"] = leaf("Linear", 8, 8)
    inner.children["skip"] = leaf("Identity")
    choice = inner.build(inner.call("conv", Value("x")), kind="choice", label="block")
    x = builder.call("op", Value("x"), child=choice)
    return Model(builder.build(builder.call("head", x, child=leaf("Linear", 8, 8))))


@pytest.mark.parametrize("format", ["dot", "mermaid", "json"])
@pytest.mark.parametrize("name", ["resnet", "language_model", "choice", "diff"])
def test_golden(golden: Callable[[str, str], None], name: str, format: str) -> None:
    model = {"resnet": resnet, "language_model": language_model, "choice": with_choice, "diff": edited}[name]()
    base = resnet(widths=(8,), blocks=3) if name == "diff" else None
    golden(f"draw/{name}.{format}", draw(model, format=format, base=base))


@settings(max_examples=15)
@given(models())
def test_every_model_can_be_drawn_and_gives_the_same_bytes(model: Model) -> None:
    for format in FORMATS:
        assert draw(model, format=format) == draw(model, format=format)
    ElementTree.fromstring(draw(model, format="svg"))
    data = json.loads(draw(model, format="json"))
    known = {box["id"] for box in data["boxes"]}
    assert {end for edge in data["edges"] for end in (edge["source"], edge["target"])} <= known


def test_svg_has_titles_types_places_and_tooltips() -> None:
    svg = draw(resnet(), format="svg")
    for text in ("ResNet", "Conv2d", "layer1.0.conv1", "f32[2, 64, 16, 16]", resnet().fingerprint[:12]):
        assert f">{text}<" in svg or text in svg
    assert "torch.nn:Conv2d(64, 64, 3, padding=1, bias=False)" in svg


def test_lines_of_a_box_stand_in_its_middle() -> None:
    svg = draw(edited(), format="svg", base=resnet(widths=(8,), blocks=3))
    for section in re.findall(r'<g id="node.*?</g>', svg, re.DOTALL):
        ((anchor, middle),) = set(re.findall(r'text-anchor="(\w+)" x="([^"]*)"', section))
        edges = [float(x) for x in re.findall(r"(-?[\d.]+),-?[\d.]+", section.partition(' d="')[2].partition('"')[0])]
        assert anchor == "middle"
        assert float(middle) == pytest.approx((min(edges) + max(edges)) / 2, abs=0.01)


def test_changes_are_marked_by_words() -> None:
    base = resnet(widths=(8,), blocks=3)
    data = json.loads(draw(edited(), format="json", base=base))
    marked = {(box["title"], box["place"], box["status"]) for box in data["boxes"] if box["status"]}
    assert marked == {
        ("Conv2d 'stem'", "conv1", "changed"),
        ("tanh", "layer1.1:tanh", "added"),
        ("relu", "layer1.1:relu", "removed"),
        ("Conv2d", "layer1.1.conv2", "changed"),
    }
    for format in ("svg", "dot", "mermaid"):
        text = html.unescape(draw(edited(), format=format, base=base))
        assert all(mark in text for mark in ("+ added", "~ changed", "- removed", "4 changes"))
    assert "no changes" in draw(base, format="dot", base=base)


def test_a_change_is_shown_wherever_it_is_nested() -> None:
    build, inputs = ZOO["resnet50"]
    base = trace(build(), inputs(1))
    with Rewriter(base) as edit:
        edit.update_module("layer3.1.conv2", kernel_size=5, padding=2)
    assert edit.result is not None
    data = json.loads(draw(edit.result, format="json", base=base))
    assert [box["place"] for box in data["boxes"] if box["status"]] == ["layer3.1.conv2"]
    assert [item["place"] for item in data["clusters"] if item["status"]] == ["layer3", "layer3.1"]
    assert len(data["boxes"]) < 60


def test_equal_blocks_are_expanded_once_and_folded() -> None:
    data = json.loads(draw(resnet(widths=(8,), blocks=20), format="json"))
    folded = [box for box in data["boxes"] if box["count"] > 1]
    assert [(box["title"], box["detail"], box["count"]) for box in folded] == [("BasicBlock", "as layer1.0", 19)]
    assert len(data["boxes"]) < 25


def test_depth_says_how_much_is_expanded() -> None:
    counts = [len(json.loads(draw(resnet(), format="json", depth=depth))["clusters"]) for depth in (0, 1, 2, 3)]
    assert counts == [0, 2, 5, 6]


def test_one_definition_can_be_drawn() -> None:
    data = json.loads(draw(resnet(), format="json", at="layer1.0"))
    assert data["title"] == "ResNet: layer1.0 (BasicBlock)"
    assert data["boxes"][1]["place"] == "layer1.0.conv1"


def test_choices_show_their_label_and_candidates() -> None:
    data = json.loads(draw(with_choice(), format="json"))
    assert [(item["title"], item["choice"]) for item in data["clusters"]] == [("? choice block", True)]
    assert [box["place"] for box in data["boxes"] if box["cluster"]] == ["op.conv", "op.skip"]


EVIL = '"]; x -> y <script>alert(1)</script> ]]> &amp; \\N %} end --> \n\x00\ud800 `'


def test_names_and_labels_are_text_and_nothing_else() -> None:
    leaves = ModuleSpec(f"user:{EVIL}", (EVIL,), FrozenDict({EVIL: EVIL}), label=EVIL)
    node = Node("v", Operation("module", "a"), (Value("x"),), FrozenDict(), ObjectType(EVIL), EVIL, EVIL)
    graph = Graph((Input("x", ObjectType(EVIL)),), (node,), Value("v"))
    inner = Definition(EVIL, "choice", FrozenDict({"a": leaves}), forwards=(Forward(graph),), label=EVIL)
    outer = Graph(graph.inputs, (node,), Value("v"))
    model = Model(Definition(EVIL, children=FrozenDict({"a": inner}), forwards=(Forward(outer),)))
    harmless = Model(Definition("Net", children=FrozenDict({"a": inner}), forwards=(Forward(outer),)))
    for base in (None, harmless):
        root = ElementTree.fromstring(draw(model, format="svg", base=base))
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "title", "polygon", "path", "text", "a"}
        nodes = [item for item in root.iter() if item.get("class") == "node"]
        assert len(nodes) == 3
        mermaid = draw(model, format="mermaid", base=base)
        assert not re.search(r"<(?!br/>)|\\|`|&|script>", mermaid.replace("-->", ""))
        assert json.loads(draw(model, format="json", base=base))["boxes"]


@pytest.mark.parametrize(
    ("name", "start"), [("a.svg", "<?xml"), ("a.dot", "digraph"), ("a.mmd", "---"), ("a.json", "{")]
)
def test_the_suffix_says_the_format(tmp_path: Path, name: str, start: str) -> None:
    text = draw(resnet(), tmp_path / name)
    assert text.startswith(start)
    assert (tmp_path / name).read_text(encoding="utf-8") == text


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'\.png' is no format of drawings; use 'svg'"):
        draw(resnet(), "a.png")
    with pytest.raises(MutationError, match="ResNet has no module at 'layer9'"):
        draw(resnet(), format="dot", at="layer9")
    with pytest.raises(GraphNASError, match="has the leaf Conv2d at 'conv1'"):
        draw(resnet(), format="dot", at="conv1")


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphnas.ir.draw.dot.metadata.files", lambda _: None)
    monkeypatch.setattr("graphnas.ir.draw.dot.shutil.which", lambda _: None)
    with pytest.raises(GraphNASError, match="pip install graphviz-pure"):
        draw(resnet(), format="svg")
