"""A memory of bounded size that forgets what was not asked for longest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class LRU(Generic[_T]):
    """Values by key, at most `size` of them; the key None stands for what must not be remembered.

    >>> memory = LRU[int](2)
    >>> for key in "aba": memory.put(key, ord(key))
    >>> memory.put("c", 99)
    >>> memory.get("a"), memory.get("b")
    (97, None)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._items: OrderedDict[Hashable, _T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def get(self, key: Hashable) -> _T | None:
        """Return the value of `key`, None if it is not remembered."""
        if key is None or key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key]

    def put(self, key: Hashable, value: _T) -> None:
        """Remember a value, unless its key is None."""
        if key is None:
            return
        self._items[key] = value
        self._items.move_to_end(key)
        if len(self._items) > self.size:
            self._items.popitem(last=False)
