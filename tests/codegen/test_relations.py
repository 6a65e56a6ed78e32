"""What follows from another parameter, and what must not."""

from __future__ import annotations

from graphnas.codegen import syntax
from graphnas.codegen.lowering import FALSE, NONE, TRUE
from graphnas.codegen.relations import Candidate, relations
from graphnas.codegen.template import Site

IN, OUT = (Site("in_channels", "conv"),), (Site("out_channels", "conv"),)
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


def numbers(*values: int) -> dict[int, syntax.Tree]:
    return {member: syntax.integer(value) for member, value in enumerate(values)}


def test_what_some_need_follows_from_what_all_have_and_comes_before_it() -> None:
    width, twice = Candidate(numbers(8, 16, 24), IN), Candidate(numbers(16, 32), OUT)
    assert relations([width, twice], 3)[1].bases == (0,)
    assert relations([twice, width], 3) == {}
    assert relations([width, Candidate(numbers(16), OUT)], 3) == {}  # a multiple of many others


def test_members_that_need_no_value_do_not_speak_against_a_multiple() -> None:
    width = Candidate(numbers(8, 16, 24), IN)
    twice = Candidate(numbers(16, 32, 5), OUT, "width", frozenset({2}))
    assert relations([width, twice], 3)[1].bases == (0,)


def test_what_the_user_has_a_name_for_does_not_follow_from_what_only_some_have() -> None:
    half, known = Candidate(numbers(8, 16), IN), Candidate(numbers(16, 32, 48), OUT, "width", frozenset({2}))
    assert relations([half, known], 3) == {}
    assert relations([half, Candidate(numbers(16, 32), OUT)], 3)[1].bases == (0,)


def test_two_widths_that_differ_by_chance_decide_nothing() -> None:
    left, right = Candidate(numbers(8, 8, 8, 8, 8), IN), Candidate(numbers(8, 9, 8, 10, 11), OUT)
    flag = Candidate({0: FALSE, 1: TRUE, 2: FALSE}, (Site("bias", "conv"),))
    assert 2 not in relations([left, right, flag], 5)
    assert relations([left, right, Candidate({**flag.values, 3: TRUE}, flag.sites)], 5)[2].bases == (0, 1)
