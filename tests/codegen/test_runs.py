"""Repetitions of a sequence: the same when they are kept up to date as when they are counted anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphnas.codegen.runs import Runs

ITEMS = st.lists(st.integers(0, 2), min_size=2, max_size=30)


def _counted(items: list[int], period: int, position: int) -> int:
    count = 0
    while position + count + period < len(items) and items[position + count] == items[position + count + period]:
        count += 1
    return count


@given(ITEMS, st.data())
def test_changes_keep_repetitions_up_to_date(items: list[int], data: st.DataObject) -> None:
    runs = Runs(items, longest=4)
    first = 0
    for _ in range(3):
        first = data.draw(st.integers(first, len(items) - 1))
        changes = data.draw(st.dictionaries(st.integers(first, len(items) - 1), st.integers(0, 2), max_size=4))
        items = [changes.get(place, item) for place, item in enumerate(items)]
        runs.change(changes, first)
        for period in runs.periods:
            for position in range(first, len(items)):
                assert runs.at(period, position) == _counted(items, period, position)


def test_shorter_period_explains_a_longer_one() -> None:
    runs = Runs("ababababcd", longest=5)
    assert runs.is_finer(4, 0)
    assert not runs.is_finer(2, 0)
