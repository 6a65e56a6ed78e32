"""Decided values: plain Python values that remember that they were chosen.

A decided value is used in two ways: as the value (`if width > 16`, `range(depth)`) and as the choice it was written as
(`self.rate()` in `forward`; `Repeat(block, depth)`, which numbers its labels up to the greatest depth that there was).
So it is an instance of a subclass of its type that can be called. A subclass of `bool` cannot exist: a decided flag is
an `int` that prints as True or False. None stays None.

Constructors of `torch.nn` leaves take the bare value while recording, by `__graphnas_resolve__`.
"""

from __future__ import annotations

from typing import Any


class Decided:
    """Mixed into the type of the value; `candidates` is what it was chosen from."""

    base: type[Any]
    candidates: tuple[Any, ...]

    def __call__(self) -> Any:
        """Return the bare value."""
        return self.base(self)

    def __graphnas_resolve__(self) -> Any:
        """Return the bare value."""
        return self.base(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return mark_decided, (self.base(self), self.candidates)


class DecidedInt(Decided, int):
    """A whole number."""

    base = int


class DecidedFloat(Decided, float):
    """A floating-point number."""

    base = float


class DecidedStr(Decided, str):
    """A text."""

    base = str


class DecidedTuple(Decided, tuple[Any, ...]):
    """A tuple."""

    base = tuple


class DecidedList(Decided, list[Any]):
    """A list."""

    base = list

    __hash__ = None


class DecidedBool(Decided, int):
    """True or False."""

    base = bool

    def __repr__(self) -> str:
        return repr(bool(self))

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(bool(self), spec)


_KINDS: tuple[type[Decided], ...] = (DecidedInt, DecidedFloat, DecidedStr, DecidedTuple, DecidedList, DecidedBool)
_BY_BASE = {kind.base: kind for kind in _KINDS}


def mark_decided(value: Any, candidates: tuple[Any, ...]) -> Any:
    """Return `value` as one that was chosen from `candidates`; None comes back as it is."""
    kind = _BY_BASE.get(type(value))
    if kind is None:
        return value
    marked = kind(value)  # type: ignore[call-arg]  # each kind has the constructor of its base
    marked.candidates = candidates
    return marked
