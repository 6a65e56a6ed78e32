"""Differences by place."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from graphnas.ir.diff import diff
from graphnas.ir.literal import FrozenDict
from graphnas.ir.model import Model
from tests.ir.handmade import language_model, resnet
from tests.ir.test_draw import edited
from tests.strategies import leaf, models


@given(models(), models())
def test_equal_models_do_not_differ_and_the_way_back_is_the_reverse(a: Model, b: Model) -> None:
    assert not diff(a, a)
    there, back = diff(a, b), diff(b, a)
    reverse = {"added": "removed", "removed": "added", "changed": "changed"}
    assert {(reverse[c.kind], c.what, c.site, c.graph, c.after, c.before) for c in there.changes} == {
        (c.kind, c.what, c.site, c.graph, c.before, c.after) for c in back.changes
    }


def test_changes_name_their_place_and_both_texts() -> None:
    assert str(diff(resnet(widths=(8,), blocks=3), edited())).splitlines() == [
        "~ module conv1: torch.nn:Conv2d(3, 8, 7, stride=2, padding=3, bias=False) label stem"
        " -> torch.nn:Conv2d(3, 8, 5, stride=2, padding=2, bias=False) label stem",
        "+ node layer1.1:tanh: function torch:tanh(%bn1)",
        "~ node layer1.1:conv2: module conv2(%relu) -> module conv2(%tanh)",
        "- node layer1.1:relu: module relu(%bn1)",
    ]
    assert str(diff(resnet(), resnet())) == "no difference"


def test_tensors_ties_and_initialisation_differ_too() -> None:
    model = language_model()
    root = replace(model.root, parameters=FrozenDict(), ties=(), init=resnet().root.init)
    found = diff(model, Model(root.with_child("extra", leaf("ReLU"))))
    assert [(c.kind, c.what, c.site) for c in found.changes] == [
        ("added", "module", "extra"),
        ("removed", "parameter", "position"),
        ("removed", "tie", "head.weight"),
        ("removed", "node", ":embed_weight"),
        ("removed", "node", ":normal_"),
    ]
