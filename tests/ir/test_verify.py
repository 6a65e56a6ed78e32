from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphnas.errors import VerificationError
from graphnas.ir.expression import expression
from graphnas.ir.graph import Graph, Guard, Input, Node, Operation
from graphnas.ir.invariants import Invariant
from graphnas.ir.literal import FrozenDict, Value
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition, Forward, ModuleSpec, ParameterSpec, Tie
from graphnas.ir.types import ScalarType
from graphnas.ir.verify import verified, verify, verify_structure
from tests.ir.models import block, chain, definition, function, graph, images, leaf, model_of, module, node, resnet

RELU = leaf("ReLU")
IDENTITY = graph("x", [], "%x")


def of(*nodes: Node, output: str = "%x", **children: Child) -> Definition:
    return definition("M", children, graph("x", list(nodes), output))


def training(*args: object) -> Node:
    return replace(node("t", Operation("training", "")), args=args)


BROKEN: list[tuple[Invariant, Callable[[], Definition], str]] = [
    (Invariant.NAMES, lambda: of(function("a-b", "torch:relu", "%x")), "'a-b' is no identifier"),
    (Invariant.NAMES, lambda: of(function("class", "torch:relu", "%x")), "'class' is no identifier"),
    (Invariant.NAMES, lambda: of(function("x", "torch:relu", "%x")), "'x' is taken"),
    (Invariant.ORDER, lambda: of(function("a", "torch:relu", "%b"), function("b", "torch:relu", "%x")), "%b"),
    (Invariant.ORDER, lambda: of(output="%nothing"), "%nothing"),
    (Invariant.OPERATIONS, lambda: of(function("a", "torch.relu", "%x")), "malformed"),
    (Invariant.OPERATIONS, lambda: of(node("a", Operation("method", "view"))), "0 arguments"),
    (Invariant.OPERATIONS, lambda: of(node("a", Operation("field", "shape"), "%x", 1)), "2 arguments"),
    (Invariant.OPERATIONS, lambda: of(training(1)), "expected none"),
    (Invariant.CALLEES, lambda: of(module("a", "fc", "%x"), other=RELU), "it calls 'fc'; the definition has other"),
    (Invariant.CALLEES, lambda: of(module("a", "fc", "%x", forward=1), fc=RELU), "has no forward 1"),
    (Invariant.CALLEES, lambda: of(module("a", "fc", "%x", forward=2), fc=chain(RELU)), "has 1 forwards"),
    (Invariant.ARITY, lambda: of(module("a", "fc", "%x", "%x"), fc=chain(RELU)), r"takes \(input\)"),
    (Invariant.ARITY, lambda: of(module("a", "fc"), fc=chain(RELU)), "given 0 positional"),
    (Invariant.ARITY, lambda: of(module("a", "fc", "%x", scale=2), fc=chain(RELU)), "and scale"),
    (Invariant.ATTRIBUTES, lambda: of(node("a", Operation("attribute", "weight"))), "'weight'"),
    (
        Invariant.MODES,
        lambda: replace(of(), forwards=(Forward(IDENTITY, graph("y", [], "%y")),)),
        "the eval graph takes x, the train graph y",
    ),
    (Invariant.TIES, lambda: replace(of(a=RELU), ties=(Tie("b", "a"),)), "'b', where nothing stands"),
    (Invariant.TIES, lambda: replace(of(a=RELU, b=RELU), ties=(Tie("a", "b"),)), "does not come before"),
    (Invariant.TIES, lambda: replace(of(a=RELU, b=leaf("GELU")), ties=(Tie("b", "a"),)), "differ"),
    (
        Invariant.LITERALS,
        lambda: of(replace(function("a", "torch:relu", "%x"), args=([1],))),
        "a builtins.list stands among its arguments",
    ),
    (Invariant.LITERALS, lambda: of(a=ModuleSpec("torch.nn:ReLU", (Value("x"),))), "%x stands among"),
    (Invariant.CONTAINERS, lambda: definition("L", {}, IDENTITY, kind="list"), "expected at most 0"),
    (Invariant.CONTAINERS, lambda: definition("C", {}, IDENTITY, kind="choice"), "without candidates"),
    (
        Invariant.CHILD_NAMES,
        lambda: definition("M", {"a.b": RELU}, IDENTITY),
        "'a.b' is no name for a child of a module",
    ),
    (
        Invariant.CHILD_NAMES,
        lambda: replace(of(a=RELU), parameters=FrozenDict({"a": ParameterSpec(images(1))})),
        "names two",
    ),
    (
        Invariant.GUARD_VALUES,
        lambda: definition("M", {}, replace(IDENTITY, inputs=(Input("x", images(1)),), guards=(Guard("x", True),))),
        "expected a scalar",
    ),
    (
        Invariant.EXPRESSIONS,
        lambda: replace(
            of(), parameters=FrozenDict({"w": ParameterSpec(images(3), True, graph("", [_zeros(4)], "%w"))})
        ),
        r"yields f32\[4\], expected f32\[3\]",
    ),
    (Invariant.EXPRESSIONS, lambda: replace(of(), init=IDENTITY), "has inputs"),
]


def _zeros(size: int) -> Node:
    return function("w", "torch:zeros", size)


@pytest.mark.parametrize(("invariant", "build", "message"), BROKEN, ids=[item[2] for item in BROKEN])
def test_broken_structure_is_refused_by_its_number(
    invariant: Invariant, build: Callable[[], Definition], message: str
) -> None:
    wrapped = definition("Root", {"inner": build()})
    with pytest.raises(VerificationError, match=rf"invariant {invariant:d}: inner.*{message}") as error:
        verify_structure(wrapped)
    assert error.value.invariant == invariant


def test_every_structural_invariant_has_a_broken_example() -> None:
    assert {item[0] for item in BROKEN} == {item for item in Invariant if item < Invariant.EXECUTABLE}


def test_page_and_code_number_alike() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ir.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(\d+)\. \*\*(.+?)\*\*", page, re.MULTILINE)
    assert listed == [(str(int(item)), item.sentence) for item in Invariant]


def test_sound_models_pass() -> None:
    verify(resnet())
    verify(model_of(block(4), images(1, 4, 5, 5)))


def test_recorded_type_that_is_wrong_is_found_and_corrected() -> None:
    model = resnet()
    right = model["layer1.1"]
    assert isinstance(right, Definition)
    eval_graph = right.graphs[0]
    nodes = (replace(eval_graph.nodes[0], type=ScalarType(3)), *eval_graph.nodes[1:])
    wrong = replace(right, forwards=(Forward(replace(eval_graph, nodes=nodes)),))
    broken = Model(model.root.with_child("layer1.1", wrong))
    with pytest.raises(VerificationError, match=r"invariant 15: layer1\.1:conv1: its recorded type is int=3") as error:
        verify(broken)
    assert error.value.site == "layer1.1:conv1"
    assert verified(broken) == model


def test_retyping_shares_what_agrees() -> None:
    model = resnet()
    wider = Model(model.root.with_child("head", leaf("Linear", 8, 20)))
    result = verified(wider)
    assert result.root.graphs[0].nodes[-1].type == images(2, 20)
    assert result["layer1"] is model["layer1"]


def guarded() -> Definition:
    nodes = [
        module("y", "conv", "%x"),
        node("shape", Operation("field", "shape"), "%y"),
        function("size", "operator:getitem", "%shape", 2),
        function("even", "operator:gt", "%size", 4),
    ]
    body = graph("x", nodes, "%y", Guard("even", True, "net.py:12"))
    return definition("Guarded", {"conv": leaf("Conv2d", 3, 3, 3)}, body)


def test_flipped_guard_shows_expression_outcomes_and_line() -> None:
    model = model_of(guarded(), images(1, 3, 8, 8))
    edited = Model(model.root.with_child("conv", leaf("Conv2d", 3, 3, 5)))
    message = r"invariant 16: :even: the decision `y\.shape\[2\] > 4` at net\.py:12 was True .* is False now"
    with pytest.raises(VerificationError, match=message):
        verified(edited)
    assert expression(model.root.graphs[0], "even") == "y.shape[2] > 4"


def test_tied_parameters_of_leaves_must_agree_in_shape() -> None:
    nodes = [module("e", "embed", "%x"), module("y", "head", "%e")]
    children = {"embed": leaf("Embedding", 10, 4), "head": leaf("Linear", 4, 10, bias=False)}
    body = Graph((Input("x", ScalarType(None)),), tuple(nodes), Value("y"))
    root = replace(definition("M", dict(children), body), ties=(Tie("head.weight", "embed.weight"),))
    tokens = replace(images(2, 3), dtype=torch.int64)
    model = model_of(root, tokens)
    edited = Model(model.root.with_child("head", leaf("Linear", 4, 11, bias=False)))
    with pytest.raises(VerificationError, match=r"invariant 8: .*is f32\[10, 4\], 'head.weight' is f32\[11, 4\]"):
        verified(edited)
