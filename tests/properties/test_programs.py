"""Laws over random modules of PyTorch: what is generated computes what was traced, and every form round-trips."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import graphnas
from graphnas.codegen import to_module, to_source
from graphnas.errors import GraphNASError
from graphnas.ir.graph import Operation
from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.literal import FrozenDict
from graphnas.ir.model import Model
from graphnas.ir.module import ModuleSpec
from graphnas.ir.parser import parse_model
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.verify import verify
from tests.codegen.roundtrip import same
from tests.programs import build, programs


def recorded(source: str) -> nn.Module:
    torch.manual_seed(0)
    with graphnas.recording():
        return build(source)


def called(module: nn.Module, x: torch.Tensor, *, training: bool) -> Any:
    """Return what a call returns, what it does to its input and its state, and the next random number."""
    torch.manual_seed(0)
    given = x.clone()
    output = module.train(training)(given)
    return [output, given, torch.rand(1), dict(module.state_dict())]


@settings(max_examples=40)
@given(programs())
def test_generated_source_computes_what_the_module_computes(source: str) -> None:
    net = recorded(source)
    x = torch.randn(3, 8)
    model = graphnas.trace(net, x)
    verify(model)
    assert from_json(dump_json(model)) == model
    assert parse_model(str(model)) == model
    assert graphnas.trace(recorded(source), x).fingerprint == model.fingerprint
    assert model.report is not None
    assert model.report.opaque == ()
    text = to_source(model)
    generated = to_module(model)
    assert list(generated.state_dict()) == list(net.state_dict()), text
    generated.load_state_dict(net.state_dict(), strict=True)
    for training in (False, True, False):
        expected = called(net, x, training=training)
        assert same(expected, called(generated, x, training=training)), text


@settings(max_examples=40)
@given(programs())
def test_generated_source_is_a_fixed_point(source: str) -> None:
    x = torch.randn(3, 8)
    model = graphnas.trace(recorded(source), x)
    text = to_source(model)
    with graphnas.recording():
        generated = to_module(model)
    again = graphnas.trace(generated, x)
    assert again.fingerprint == model.fingerprint
    assert to_source(again) == text


def edit(rewriter: Rewriter, model: Model, data: st.DataObject) -> None:
    """Apply one random edit."""
    site, other = (data.draw(st.sampled_from(model.sites)) for _ in range(2))
    kind = data.draw(st.sampled_from(["erase", "insert", "rewire", "widen", "change"]))
    if kind == "erase":
        rewriter.replace_all_uses_with(site, other)
        rewriter.erase(site)
    elif kind == "insert":
        rewriter.insert_after(site, data.draw(st.sampled_from(_INSERTED)))
    elif kind == "rewire":
        rewriter.replace_all_uses_with(site, other)
    elif kind == "widen":
        rewriter.insert_before(site, ModuleSpec("torch.nn:Linear", (8, data.draw(st.sampled_from([8, 4])))))
    else:
        rewriter.update_module(site.name.partition(":")[0], out_features=data.draw(st.sampled_from([8, 4])))


_INSERTED: tuple[ModuleSpec | Operation, ...] = (
    ModuleSpec("torch.nn:ReLU"),
    Operation("function", "torch:sigmoid"),
    ModuleSpec("torch.nn:Linear", (8, 16), FrozenDict({"bias": False})),
)


@settings(max_examples=40)
@given(programs(classes=1, statements=4), st.data())
def test_any_sequence_of_edits_verifies_or_is_refused_without_change(source: str, data: st.DataObject) -> None:
    model = graphnas.trace(recorded(source), torch.randn(3, 8))
    before = str(model)
    if not model.sites:
        return
    rewriter = Rewriter(model)
    for _ in range(data.draw(st.integers(1, 4))):
        try:
            edit(rewriter, model, data)
        except GraphNASError:
            continue
    try:
        result = rewriter.freeze()
    except GraphNASError:
        assert str(model) == before
        return
    assert str(model) == before
    verify(result)
    assert parse_model(str(result)) == result
    x = torch.randn(3, 8)
    to_module(result)(x)
