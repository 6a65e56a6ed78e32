"""Which definitions are written together, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from graphnas.codegen.grouping import distinct, groups, instances, is_container
from graphnas.errors import CodegenError
from graphnas.ir.literal import FrozenDict
from graphnas.ir.module import Child, Definition, DefinitionKind, ModuleSpec

LINEAR = ModuleSpec("torch.nn:Linear", (8, 8))


def _definition(name: str, *children: Child, kind: DefinitionKind = "module") -> Definition:
    held = FrozenDict((str(number), child) for number, child in enumerate(children))
    return Definition(name, kind, held)


INNER = _definition("Inner", LINEAR)
BLOCK = _definition("Block", INNER, INNER)
LIST = _definition("ModuleList", BLOCK, INNER, kind="list")
NET = _definition("Net", LIST, BLOCK)


def test_definitions_come_after_what_they_hold_and_are_counted() -> None:
    found = distinct(NET)
    assert list(found.values()) == [INNER, BLOCK, LIST, NET]
    assert [instances(found)[key] for key in found] == [5, 2, 1, 1]


def test_an_open_decision_is_refused() -> None:
    choice = replace(_definition("Choice", LINEAR, kind="choice"), label="width")
    with pytest.raises(CodegenError, match="the choice labelled 'width' is still open"):
        distinct(_definition("Net", choice))


def test_groups_are_by_name_and_follow_those_they_hold() -> None:
    other = _definition("Inner", LINEAR, LINEAR)
    assert groups([INNER, other, BLOCK]) == [[INNER, other], [BLOCK]]


def test_a_class_inside_of_itself_is_taken_height_by_height() -> None:
    nested = _definition("Inner", INNER)
    assert groups([INNER, nested]) == [[INNER], [nested]]


def test_lists_are_containers_and_modules_are_not() -> None:
    assert [is_container(item) for item in (LIST, BLOCK)] == [True, False]
