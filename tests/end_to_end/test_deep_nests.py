"""Modules nested in modules: what `trace` can follow, every later step can, without Python's stack."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import graphnas
from graphnas.ir.diff import diff
from graphnas.ir.graph import Operation
from graphnas.ir.json_form import dump_json, from_json
from graphnas.ir.model import Model
from graphnas.ir.parser import parse_model
from graphnas.ir.rewrite import Rewriter
from graphnas.ir.verify import verify

DEPTH = 150
X = torch.linspace(-1, 1, 16).reshape(2, 8)


class Shell(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) + 1  # type: ignore[no-any-return]  # modules return anything


class Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self(x)  # type: ignore[no-any-return]  # modules return anything


def nest(depth: int) -> nn.Module:
    net: nn.Module = nn.Linear(8, 8)
    for _ in range(depth):
        net = Shell(net)
    return net


@pytest.fixture(scope="module")
def model() -> Model:
    return graphnas.trace(nest(DEPTH), (X,))


def test_a_deep_nest_is_known_by_key_and_fingerprint(model: Model) -> None:
    other = graphnas.trace(nest(DEPTH), (X,))
    assert (other.key, other.fingerprint) == (model.key, model.fingerprint)
    assert graphnas.trace(nest(DEPTH - 1), (X,)).fingerprint != model.fingerprint


def test_a_copy_of_a_model_is_the_model(model: Model) -> None:
    assert copy.deepcopy({"base": model})["base"] is copy.copy(model) is model


def test_a_deep_nest_is_verified_printed_and_read_back(model: Model) -> None:
    verify(model)
    assert parse_model(str(model)) == model
    assert from_json(dump_json(model)) == model


def test_the_source_of_a_deep_nest_computes_what_the_nest_does() -> None:
    net = nest(DEPTH)
    built = graphnas.to_module(graphnas.trace(net, (X,)))
    built.load_state_dict(net.state_dict())
    assert torch.equal(built(X), net(X))


def test_a_deep_nest_is_edited_and_drawn(model: Model, tmp_path: Path) -> None:
    with Rewriter(model) as edit:
        edit.insert_after(edit.sites[len(edit.sites) // 2], Operation("function", "torch:tanh"))
    assert edit.result is not None
    assert edit.result.fingerprint != model.fingerprint
    assert str(diff(model, edit.result))
    assert "tanh" in graphnas.to_source(edit.result)
    for suffix in ("dot", "mmd", "json", "svg"):
        assert graphnas.draw(edit.result, tmp_path / f"nest.{suffix}", base=model)


@pytest.mark.parametrize("net", [nest(400), nest(1200), Endless()], ids=["deep", "deeper than a walk", "endless"])
def test_what_is_too_deep_for_the_stack_is_refused_with_the_remedy(net: nn.Module) -> None:
    with pytest.raises(graphnas.TraceError, match=r"RecursionError: .*raise the limit with sys.setrecursionlimit"):
        graphnas.trace(net, (X,))
