"""Outlines hold what a forward can tell of its definition, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphnas.codegen.outline import outline
from graphnas.ir.literal import FrozenDict
from graphnas.ir.module import Child, Definition, ModuleSpec, Tie

LINEAR = ModuleSpec("torch.nn:Linear", (8, 8))
_LAYERS: FrozenDict[Child] = FrozenDict({"0": LINEAR, "1": LINEAR})
BLOCKS = Definition("ModuleList", kind="list", children=_LAYERS)
_CHILDREN: FrozenDict[Child] = FrozenDict([("blocks", BLOCKS), ("head", LINEAR)])
NET = Definition("Net", children=_CHILDREN)


def test_arguments_of_leaves_do_not_count() -> None:
    wide = replace(LINEAR, args=(8, 16))
    assert outline(NET.with_child("blocks.1", wide)) == outline(NET.with_child("head", wide)) == outline(NET)


@pytest.mark.parametrize(
    "other",
    [
        NET.with_child("blocks", replace(BLOCKS, kind="sequential", class_name="Sequential")),
        NET.with_child("blocks", replace(BLOCKS, class_name="Blocks")),
        NET.with_child("blocks.2", LINEAR),
        NET.with_child("head", None),
        NET.with_child("head", BLOCKS),
        replace(NET, ties=(Tie("head", "blocks.0"),)),
    ],
    ids=["kind", "class", "length", "name", "definition", "tie"],
)
def test_names_kinds_classes_and_ties_count(other: Definition) -> None:
    assert outline(other) != outline(NET)
