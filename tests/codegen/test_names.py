"""Names that are free, however many are taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphnas.codegen import names

WORDS = st.sampled_from(["x", "x1", "outputs", "if", "x2", "x1_2"])


@given(st.lists(WORDS), st.lists(st.tuples(WORDS, st.frozensets(WORDS))))
def test_taken_gives_the_names_that_a_search_from_the_start_gives(
    taken: list[str], asked: list[tuple[str, frozenset[str]]]
) -> None:
    known = names.Taken(taken)
    for base, others in asked:
        name = known.free_name(base, others)
        assert name == names.free_name(base, {*taken, *others})
        taken.append(name)
        known.add(name)
