"""Which value each variable of a forward holds, and which names are free again, without a look at all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from heapq import heappop, heappush

from graphnas.codegen import names


class Holders:
    """The variables of one body. Positions are those of its steps; questions come in the order of the steps.

    A name is free once its value is read for the last time. `fresh` gives the lowest number that is free, as
    `names.free_name` would: numbers that were found taken are remembered with the name, and come back when it does.
    """

    def __init__(self, last_use: Mapping[str, int], inputs: Iterable[str]) -> None:
        self.last_use = last_use
        self._holder: dict[str, str] = {}
        self._ends: list[tuple[int, str]] = []
        self._numbered: dict[str, list[tuple[str, int]]] = {}
        self._freed: dict[str, list[int]] = {}
        self._next: dict[str, int] = {}
        for name in inputs:
            self.bind(name, name)

    @property
    def names(self) -> Collection[str]:
        """Every name that holds a value, used or not."""
        return self._holder.keys()

    def get(self, name: str) -> str | None:
        """Return the value that a variable holds."""
        return self._holder.get(name)

    def bind(self, name: str, value: str) -> None:
        """Let a variable hold a value."""
        self._holder[name] = value
        heappush(self._ends, (self.last_use.get(value, -1), name))

    def release(self, name: str) -> None:
        """Forget a variable."""
        del self._holder[name]
        heappush(self._ends, (-1, name))

    def is_free(self, name: str, position: int) -> bool:
        """Tell whether nobody reads after `position` what the variable holds."""
        held = self._holder.get(name)
        return held is None or self.last_use.get(held, -1) <= position

    def fresh(self, base: str, position: int, barred: Collection[str] = ()) -> str:
        """Return `base`, or `base` with the lowest number from 2 on that is free at `position` and not barred."""
        while self._ends and self._ends[0][0] <= position:
            for owner, number in self._numbered.pop(heappop(self._ends)[1], ()):
                heappush(self._freed.setdefault(owner, []), number)
        freed = self._freed.setdefault(base, [])
        passed: list[int] = []
        while True:
            if freed:
                number = heappop(freed)
            else:
                number = self._next.get(base, 1)
                self._next[base] = number + 1
            name = names.numbered(base, number) if number > 1 else base
            if not names.is_usable(name):
                continue
            if not self.is_free(name, position):
                self._numbered.setdefault(name, []).append((base, number))
                continue
            passed.append(number)
            if name not in barred:
                break
        for number in passed:
            heappush(freed, number)
        return name
