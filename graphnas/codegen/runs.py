"""Where a sequence repeats itself: how far it goes on, from each position, as it was a period ago."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Runs(Generic[_T]):
    """The repetitions of a sequence whose items may still change, with every period up to a longest one.

    >>> runs = Runs("abababx", longest=3)
    >>> runs.at(2, 0), runs.at(2, 3), runs.at(1, 0)
    (4, 1, 0)
    >>> runs.change({6: "a"})
    >>> runs.at(2, 0)
    5
    """

    def __init__(self, items: Sequence[_T], longest: int) -> None:
        self.periods = range(1, min(longest, len(items) // 2) + 1)
        self._items = list(items)
        self._lengths = [self._counted(period) for period in self.periods]

    def at(self, period: int, position: int) -> int:
        """Return how many items in a row, from a position on, are equal to those one period behind them."""
        return self._lengths[period - 1][position]

    def is_finer(self, period: int, position: int) -> bool:
        """Tell whether a shorter period explains the same repetition."""
        end = self.at(period, position) + period
        return any(period % part == 0 and self.at(part, position) + part >= end for part in range(1, period // 2 + 1))

    def change(self, items: Mapping[int, _T], first: int = 0) -> None:
        """Put other items at some positions; what stands before `first` is asked for no more.

        Only repetitions that end there, or go on there, are counted again.
        """
        for position, item in items.items():
            self._items[position] = item
        for period in self.periods:
            self._recount(period, {place for item in items for place in (item, item - period) if place >= first}, first)

    def _recount(self, period: int, places: set[int], first: int) -> None:
        lengths = self._lengths[period - 1]
        for place in sorted(places, reverse=True):
            behind = place + period
            if behind >= len(self._items):
                continue
            count = lengths[place + 1] + 1 if self._items[place] == self._items[behind] else 0
            while lengths[place] != count:
                lengths[place] = count
                place, count = place - 1, count + 1
                if place < first or place in places or not lengths[place]:
                    break

    def _counted(self, period: int) -> list[int]:
        items = self._items
        found = [0] * len(items)
        for place in range(len(items) - period - 1, -1, -1):
            if items[place] == items[place + period]:
                found[place] = found[place + 1] + 1
        return found
