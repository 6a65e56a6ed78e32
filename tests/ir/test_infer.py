from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from graphnas.errors import VerificationError
from graphnas.ir.abstract import fake_of, type_of
from graphnas.ir.graph import Guard, Operation
from graphnas.ir.infer import infer
from graphnas.ir.lru import LRU
from graphnas.ir.module import Definition, Forward
from graphnas.ir.resolve import instantiate
from graphnas.ir.types import ObjectType, ScalarType, SequenceType, TensorType, Type
from tests.ir.models import definition, function, graph, images, leaf, model_of, module, node, resnet


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.empty(2, 3, device="meta"), "f32[2, 3]"),
        (torch.Size((2, 3)), "size(int=2, int=3)"),
        ((1, [True, 2.5]), "(int=1, [bool=True, float=2.5])"),
        (OrderedDict(a=torch.zeros(1)), "{'a': f32[1]}"),
        (torch.float16, "dtype=torch.float16"),
        (None, "NoneType=None"),
        (object(), "<builtins:object>"),
    ],
)
def test_type_of(value: object, text: str) -> None:
    assert str(type_of(value)) == text


def test_fake_of_is_an_inverse() -> None:
    type = SequenceType("list", (TensorType((2, 0, 3), torch.int64), ScalarType(3), SequenceType("size", ())))
    assert type_of(fake_of(type, FakeTensorMode())) == type


def test_shapes_agree_with_torch_for_leaves() -> None:
    leaves = [
        leaf("Conv2d", 4, 6, 3, stride=2, groups=2),
        leaf("MaxPool2d", 2),
        leaf("AdaptiveAvgPool2d", (1, 1)),
        leaf("Flatten"),
        leaf("PixelShuffle", 2),
        leaf("LSTM", 8, 5, batch_first=True),
    ]
    for spec in leaves:
        shape = (2, 4, 8) if spec.type == "LSTM" else (2, 4, 8, 8)
        children = {"m": spec}
        found = infer(definition("M", dict(children), graph("x", [module("y", "m", "%x")], "%y")), 0, [images(*shape)])
        assert found.output == type_of(instantiate(spec)(torch.zeros(shape))), spec


def test_scalars_are_evaluated_and_hierarchy_is_followed() -> None:
    nodes = [
        node("shape", Operation("field", "shape"), "%x"),
        function("batch", "operator:getitem", "%shape", 0),
        function("half", "operator:floordiv", "%batch", 2),
        node("view", Operation("method", "view"), "%x", "%half", -1),
    ]
    inner = definition("Inner", {}, graph("x", nodes, ("%view", "%half")))
    calls = [module("pair", "inner", "%x"), function("first", "operator:getitem", "%pair", 0)]
    found = infer(definition("Outer", {"inner": inner}, graph("x", calls, "%first")), 0, [images(4, 6)])
    assert [str(type) for type in found.nodes] == ["(f32[2, 12], int=2)", "f32[2, 12]"]
    assert found.calls["inner", 0].nodes[2] == ScalarType(2)


def test_integers_floats_and_booleans_are_not_mixed_up_by_the_memory() -> None:
    def added(number: object) -> Type:
        body = graph("x", [function("y", "operator:mul", "%x", number)], "%y")
        return infer(definition("M", {}, body), 0, [TensorType((2,), torch.int64)]).output

    assert [str(added(item)) for item in (1, 1.0, True, 1)] == ["i64[2]", "f32[2]", "i64[2]", "i64[2]"]


def test_train_graph_and_training_flag() -> None:
    body = graph("x", [node("mode", Operation("training", ""))], "%mode")
    train = graph("x", [], 7)
    both = replace(definition("M", {}, body), forwards=(Forward(body, train),))
    assert infer(both, 0, [images(1)]).output == ScalarType(False)
    assert infer(both, 0, [images(1)], training=True).output == ScalarType(7)
    alone = definition("M", {}, body)
    assert infer(alone, 0, [images(1)], training=True).output == ScalarType(True)


def test_failure_names_site_operands_and_reason() -> None:
    inner = definition("Inner", {"fc": leaf("Linear", 5, 2)}, graph("x", [module("y", "fc", "%x")], "%y"))
    outer = definition("Outer", {"a": inner}, graph("x", [module("z", "a", "%x")], "%z"))
    with pytest.raises(
        VerificationError, match=r"a:y: Linear\(5, 2\) cannot be applied to \(%x: f32\[3, 4\]\)"
    ) as error:
        infer(outer, 0, [images(3, 4)])
    assert error.value.site == "a:y"
    assert error.value.invariant == 14


def test_what_hangs_on_data_keeps_its_recorded_type() -> None:
    nonzero = replace(node("n", Operation("method", "nonzero"), "%x"), type=TensorType((3, 2), torch.int64))
    body = graph("x", [nonzero], "%n")
    assert infer(definition("M", {}, body), 0, [images(2, 2)]).output == TensorType((3, 2), torch.int64)
    unknown = replace(function("n", "torch:relu", "%x"), type=images(9))
    body = graph("x", [unknown], "%n")
    assert infer(definition("M", {}, body), 0, [ObjectType("some:Thing")]).output == images(9)


def test_strides_are_followed() -> None:
    nodes = [
        node("t", Operation("method", "transpose"), "%x", 0, 1),
        node("c", Operation("method", "is_contiguous"), "%t"),
    ]
    found = infer(definition("M", {}, graph("x", nodes, "%c")), 0, [images(2, 3)])
    assert found.output == ScalarType(False)


def test_guards_are_reevaluated_in_callees() -> None:
    nodes = [
        node("shape", Operation("field", "shape"), "%x"),
        function("width", "operator:getitem", "%shape", 1),
        function("wide", "operator:gt", "%width", 4),
    ]
    inner = definition("Inner", {}, graph("x", nodes, "%x", Guard("wide", True, "net.py:7")))
    outer = definition("Outer", {"a": inner}, graph("x", [module("z", "a", "%x")], "%z"))
    assert infer(outer, 0, [images(1, 5)]).flipped == ()
    (flip,) = infer(outer, 0, [images(1, 3)]).flipped
    assert (flip.path, flip.guard.value, flip.now) == ("a", "wide", False)


def test_same_definition_and_inputs_are_inferred_once() -> None:
    model = resnet()
    first = infer(model.root)
    assert infer(model.root) is first
    assert first.calls["layer1", 0].calls["0", 0] is first.calls["layer2", 0].calls["1", 0]
    assert first.agrees


def test_a_module_called_with_other_shapes_keeps_the_types_of_the_first_call() -> None:
    inner = definition("Inner", {}, graph("x", [function("y", "torch:relu", "%x")], "%y"))
    calls = [
        module("a", "inner", "%x"),
        node("m", Operation("method", "mean"), "%x", 1),
        module("b", "inner", "%m"),
    ]
    model = model_of(definition("Outer", {"inner": inner}, graph("x", calls, "%b")), images(2, 3))
    found = model["inner"]
    assert isinstance(found, Definition)
    assert found.graphs[0].nodes[0].type == images(2, 3)
    assert model.root.graphs[0].nodes[2].type == images(2)


def test_lru_forgets_the_oldest_and_never_keeps_none() -> None:
    memory = LRU[int](2)
    memory.put(None, 1)
    assert len(memory) == 0
    for key in (1, 2, 3):
        memory.put(key, key)
    assert [memory.get(key) for key in (1, 2, 3)] == [None, 2, 3]
