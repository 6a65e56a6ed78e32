"""Decided values: plain Python values that remember what they were computed from.

A decided value is used in two ways: as the value (`if width > 16`, `range(depth)`) and as the choice that it was
written as (`self.rate()` in `forward`; `Repeat(block, depth)`, which builds the blocks of the greatest depth that there
was). So it is an instance of a subclass of its type that can be called, and what is computed from it by operators is
decided too: code that works while a choice is open works once it is decided. A subclass of `bool` cannot exist: a
decided flag is an `int` that prints as True or False. None stays None.

Constructors of `torch.nn` leaves take the bare value while recording, by `__graphnas_resolve__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphnas.mutators.choices.expression import OPERATIONS, OPERATORS, Computed, Expression, computed


class Decided:
    """Mixed into the type of the value; `expression` is what it was decided from."""

    base: type[Any]
    expression: Expression

    def __call__(self) -> Any:
        """Return the bare value."""
        return self.base(self)

    def __graphnas_resolve__(self) -> Any:
        """Return the bare value."""
        return self.base(self)

    @property
    def __graphnas_bare__(self) -> Any:
        return self.base(self)

    def is_(self, *values: Any) -> Any:
        """Return whether this is one of `values`; types count, so `True` is not `1`."""
        return applied("is", self, *values)

    def __reduce__(self) -> tuple[Any, ...]:
        return mark_decided, (self.base(self), self.expression)


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


def mark_decided(value: Any, expression: Expression) -> Any:
    """Return `value` as one that was decided from `expression`; None, and what has no kind here, stays as it is."""
    kind = _BY_BASE.get(type(value))
    if kind is None:
        return value
    marked = kind(value)  # type: ignore[call-arg]  # each kind has the constructor of its base
    marked.expression = expression
    return marked


def applied(name: str, *operands: Any) -> Any:
    """Return what an operation gives: an expression, a decided value or a plain one, as its operands are.

    Raises:
        TypeError: It cannot be computed of these.
    """
    bare = tuple(item() if isinstance(item, Decided) else item for item in operands)
    if any(isinstance(item, Expression) for item in bare):
        return computed(name, *bare)
    value = OPERATIONS[name].function(*bare)
    is_decided = any(isinstance(item, Decided) for item in operands)
    if is_decided and type(value) in _BY_BASE and all(type(item) in _PLAIN for item in bare):
        origin = Computed(name, tuple(item.expression if isinstance(item, Decided) else item for item in operands))
        return mark_decided(value, origin)
    return value


def decided(expression: Expression) -> Any:
    """Return the value of an expression whose choices are decided, marked as decided from it."""
    return mark_decided(expression.__graphnas_resolve__(), expression)


_PLAIN = {*_BY_BASE, type(None), slice, complex}


def _operator(name: str, is_reversed: bool) -> Callable[..., Any]:
    def method(self: Decided, *others: Any) -> Any:
        return applied(name, *(*others, self) if is_reversed else (self, *others))

    return method


for _kind in _KINDS:
    for _method, (_name, _is_reversed) in OPERATORS.items():
        # A kind has the operators of its base only: an int that had `__getitem__` would look like a sequence.
        if hasattr(_kind.base, f"__{_name}__"):
            setattr(_kind, _method, _operator(_name, _is_reversed))
