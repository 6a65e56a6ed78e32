"""What follows from another parameter, and what must not."""

from __future__ import annotations

from graphnas.codegen import syntax
from graphnas.codegen.lowering import FALSE, NONE, TRUE
from graphnas.codegen.relations import Candidate, relations
from graphnas.codegen.template import Site

ONE, TWO = syntax.literal("1"), syntax.literal("2")


def test_what_a_missing_value_stands_for_is_one_thing() -> None:
    """Member 2 has no depth: it is told by `depth is None`, and must then not be given the depth 1 by `depth == 1`."""
    depth = Candidate({0: ONE, 1: TWO}, (Site("depth"),))
    presence = Candidate({0: TRUE, 1: TRUE, 2: FALSE}, (Site("has_cell"),))
    shallow = Candidate({0: TRUE, 1: FALSE}, (Site("shallow"),))
    found = relations([depth, presence, shallow], 3)
    assert found[1].absent == NONE
    assert 2 not in found
    assert relations([depth, shallow], 3)[1].absent == ONE


def test_a_setting_that_is_none_where_nothing_is_needed_says_what_is_there() -> None:
    presence = Candidate({0: TRUE, 1: TRUE, 2: FALSE}, (Site("has_cell"),))
    site = (Site("depth"),)
    known = Candidate({0: ONE, 1: TWO, 2: NONE}, site, "depth", frozenset({2}))
    assert relations([presence, known], 3)[0].absent == NONE
    other = Candidate({0: ONE, 1: TWO, 2: TWO}, site, "depth", frozenset({2}))
    assert relations([presence, other], 3) == {}
