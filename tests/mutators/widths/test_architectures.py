"""Widths of real architectures: nearly every layer can be changed, and what comes out runs."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

import graphnas
from graphnas.ir.model import Model
from graphnas.ir.rewrite import Rewriter
from graphnas.mutators.widths import set_width
from tests.zoo import ZOO
from tests.zoo.widths import attempt, edits, layers, runs, size


@pytest.mark.parametrize("name", ZOO)
def test_nine_of_ten_layers_accept_other_widths(name: str) -> None:
    build, inputs = ZOO[name]
    model = graphnas.trace(build(), inputs(2))
    outcomes: Counter[str] = Counter()
    children: list[Model] = []
    for path, _, width in list(edits(model))[::3]:  # every third: wider and narrower in turn
        why, child = attempt(model, path, width)
        outcomes["output" if "the output of the model" in why else "no" if why else "yes"] += 1
        if child is not None:
            assert dict(layers(child))[path] == width
            assert size(child) == size(model)
            children.append(child)
    assert outcomes["yes"] >= 0.9 * (outcomes["yes"] + outcomes["no"]) > 0
    torch.manual_seed(0)
    for child in (children[0], children[len(children) // 2]):
        assert runs(child, inputs(3)) == ""


def test_widths_can_be_changed_one_after_the_other() -> None:
    build, inputs = ZOO["mobilenetv3"]
    model = graphnas.trace(build(), inputs(2))
    edit = Rewriter(model)
    plan = [item for item in layers(model) if not item[0].startswith("classifier.3")][::4]
    for path, width in plan:
        set_width(edit, path, width + 8)
    child = edit.freeze()
    assert len(child.history[-1].edits) > 10
    assert runs(child, inputs(2)) == ""
