"""Definitions that derive from a class of torch: their forms, and edits of the arguments of the base."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from graphnas.codegen import to_module, to_source
from graphnas.errors import MutationError, VerificationError
from graphnas.ir.diff import diff
from graphnas.ir.graph import EMPTY_GRAPH, Operation
from graphnas.ir.json_form import from_json, to_json
from graphnas.ir.literal import FrozenDict
from graphnas.ir.model import Model
from graphnas.ir.module import Child, Definition, ParameterSpec
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.text import format_model, parse_model
from graphnas.ir.types import TensorType
from graphnas.ir.verify import verified, verify
from tests.ir.models import chain, definition, function, graph, images, leaf, model_of, module, node
from tests.strategies import expression


def scaled(features: int = 8) -> Definition:
    """A linear layer whose output is multiplied by a parameter of its own."""
    nodes = [
        node("weight", Operation("attribute", "weight")),
        node("bias", Operation("attribute", "bias")),
        function("linear", "torch.nn.functional:linear", "%x", "%weight", "%bias"),
        node("scale", Operation("attribute", "scale")),
        function("mul", "operator:mul", "%linear", "%scale"),
    ]
    scale = ParameterSpec(TensorType((8,), torch.float32), True, expression("torch:ones", 8))
    inner = definition("Scaled", {"drop": leaf("Dropout", 0.5)}, graph("x", nodes, "%mul"))
    return replace(inner, base=leaf("Linear", 4, features), parameters=FrozenDict({"scale": scale}))


def model() -> Model:
    nodes = [module("proj", "proj", "%x"), module("act", "act", "%proj")]
    return model_of(definition("Net", {"proj": scaled(), "act": leaf("ReLU")}, graph("x", nodes, "%act")), images(2, 4))


def test_inherited_parameters_have_types_and_every_form_keeps_the_base() -> None:
    net = model()
    verify(net)
    assert [str(site.node.type) for site in net.sites if site.node.operation.kind == "attribute"] == [
        "f32[8, 4]",
        "f32[8]",
        "f32[8]",
    ]
    assert "base torch.nn:Linear(4, 8)" in format_model(net)
    assert parse_model(format_model(net)) == net
    assert from_json(to_json(net)) == net


def test_the_base_counts_for_fingerprint_and_diff() -> None:
    net = model()
    frozen = replace(scaled(), base=replace(leaf("Linear", 4, 8), frozen=("weight",)))
    other = Model(net.root.with_child("proj", replace(frozen, forwards=net["proj"].forwards)))  # type: ignore[union-attr]  # a definition
    assert other.fingerprint != net.fingerprint
    assert str(diff(net, other)) == "~ base proj: torch.nn:Linear(4, 8) -> torch.nn:Linear(4, 8) frozen(weight)"


def test_source_derives_from_the_base() -> None:
    net = model()
    source = to_source(net)
    assert "class Scaled(nn.Linear):" in source
    assert "super().__init__(4, 8)" in source
    built = to_module(net)
    assert list(built.state_dict()) == ["proj.weight", "proj.bias", "proj.scale"]
    assert isinstance(built.get_submodule("proj"), nn.Linear)


def test_a_base_that_does_not_fit_the_forward_is_refused() -> None:
    refused = Rewriter(model())
    refused.update_module("proj", out_features=16)
    with pytest.raises(VerificationError, match=r"invariant 14: proj:mul: .* cannot be applied to"):
        refused.freeze()


def test_an_argument_that_only_the_forward_of_the_base_would_use_is_refused() -> None:
    nodes = [
        node("weight", Operation("attribute", "weight")),
        function("conv", "torch.nn.functional:conv2d", "%x", "%weight", None, (2, 2)),
    ]
    base = leaf("Conv2d", 3, 4, 3, stride=2, bias=False)
    conv = replace(definition("Same", {}, graph("x", nodes, "%conv")), base=base)
    net = model_of(
        definition("Net", {"conv": conv}, graph("x", [module("conv", "conv", "%x")], "%conv")), images(1, 3, 8, 8)
    )
    edit = Rewriter(net)
    with pytest.raises(MutationError, match="'stride' of Conv2d, the base of Same, changes none of its parameters"):
        edit.update_module("conv", stride=1)
    edit.update_module("conv", kernel_size=5, stride=2)
    assert edit.freeze().root.child("conv") != conv


def test_only_a_module_has_a_base() -> None:
    pair = replace(chain(leaf("ReLU")), base=leaf("Linear", 4, 4))
    with pytest.raises(VerificationError, match=r"invariant 10: .* a sequential with the base Linear, expected none"):
        verified(Model(pair))


def test_construction_follows_the_recorded_order() -> None:
    plain = scaled()
    assert plain.steps == ("scale", "drop")
    ordered = replace(plain, order=("drop", "gone", "scale"))
    assert ordered.steps == ("drop", "scale")
    assert replace(ordered, order=("scale",)).steps == ("scale", "drop")
    more: dict[str, Child] = {"first": leaf("ReLU"), **ordered.children}
    assert replace(ordered, children=FrozenDict(more)).steps == ("drop", "scale", "first")
    weight = node("weight", Operation("attribute", "weight"))
    zeros = function("zeros", "torch.nn.init:zeros_", "%weight")
    init = replace(EMPTY_GRAPH, nodes=(weight, zeros))
    with_init = replace(ordered, init=init, order=("%zeros", "drop", "scale"))
    assert with_init.steps == ("%zeros", "drop", "scale")
    net = model_of(
        definition("Net", {"proj": with_init}, graph("x", [module("proj", "proj", "%x")], "%proj")), images(2, 4)
    )
    lines = [line.strip() for line in to_source(net).splitlines()]
    start = lines.index("super().__init__(4, 8)")
    assert lines[start + 1 : start + 4] == [
        "nn.init.zeros_(self.weight)",
        "self.drop = nn.Dropout(0.5)",
        "self.scale = nn.Parameter(torch.ones(8))",
    ]
    assert parse_model(format_model(net)) == net
