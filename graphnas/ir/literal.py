"""Arguments: the values and the plain Python data that operations and constructors take.

Everything here is immutable and hashable. A list becomes a `FrozenList` and a dictionary a `FrozenDict`, so that the
difference between `[1, 2]` and `(1, 2)` survives. What is neither a value nor on the list of `Literal` is refused
(`freeze`), since nothing else can be written into source and read back.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Hashable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import torch

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Value:
    """A use of the value of that name; names are unique within a graph."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function, class or enum member, by `module:qualname`."""

    path: str

    def __str__(self) -> str:
        return f"@{self.path}"


@dataclass(frozen=True, slots=True)
class Construction:
    """A call of a class as an argument: `TransformerEncoder(TransformerEncoderLayer(64, 4), 2)`.

    Attributes:
        path: `module:qualname` of the class.
        args: Positional arguments, literals.
        kwargs: Keyword arguments, literals.
    """

    path: str
    args: tuple[Any, ...]
    kwargs: FrozenDict[Any]

    def __str__(self) -> str:
        given = [format_literal(item) for item in self.args]
        given += [f"{name}={format_literal(item)}" for name, item in self.kwargs.items()]
        return f"@{self.path}({', '.join(given)})"


class FrozenList(tuple[Any, ...]):
    """A list that can no longer change; equal to lists of its kind only, never to a tuple."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenList) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((FrozenList, tuple(self)))


class FrozenDict(Mapping[Any, _V]):
    """A dictionary that can no longer change. Order counts for equality: it is order of insertion, and of source."""

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[Any, _V] | Iterable[tuple[Any, _V]] = ()) -> None:
        self._items: dict[Any, _V] = dict(items)
        self._hash: int | None = None

    def __getitem__(self, key: Hashable) -> _V:
        return self._items[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    # What `Mapping` would answer too, by a detour through `__getitem__`.

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def keys(self) -> KeysView[Any]:
        """Return the keys, in order."""
        return self._items.keys()

    def values(self) -> ValuesView[_V]:
        """Return the values, in order."""
        return self._items.values()

    def items(self) -> ItemsView[Any, _V]:
        """Return the pairs, in order."""
        return self._items.items()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenDict) and tuple(self._items.items()) == tuple(other._items.items())

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(tuple(self._items.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"FrozenDict({self._items!r})"

    def set(self, key: Hashable, value: _V) -> FrozenDict[_V]:
        """Return a copy in which `key` is `value`; a known key keeps its place."""
        return FrozenDict({**self._items, key: value})

    def without(self, key: Hashable) -> FrozenDict[_V]:
        """Return a copy that lacks `key`."""
        return FrozenDict({k: v for k, v in self._items.items() if k != key})


Literal: TypeAlias = Any
"""None, bool, int, float, complex, str, bytes, Ellipsis, slice, range, `torch.dtype`, `torch.device`,
`torch.memory_format`, `torch.layout`, `torch.Size`, `Symbol`, `Construction`, and tuples, `FrozenList`s and
`FrozenDict`s of these."""

Argument: TypeAlias = Any
"""A `Literal` that may hold `Value`s at any depth."""

SCALAR_TYPES: frozenset[type] = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        type(Ellipsis),
        range,
        torch.dtype,
        torch.device,
        torch.memory_format,
        torch.layout,
        torch.Size,
        Symbol,
    }
)
"""Types of the literals that hold nothing."""


def freeze(value: object) -> Argument:
    """Return the immutable form of plain Python data, with `Value`s left as they are.

    Raises:
        TypeError: Something in it is neither a value nor a literal; the message names its type.
    """
    kind = type(value)
    if kind in SCALAR_TYPES or kind is Value or kind is Construction or isinstance(value, torch.Size):
        return value
    if isinstance(value, FrozenList) or kind is list:
        return FrozenList(freeze(item) for item in value)  # type: ignore[attr-defined]  # both are iterable
    if kind is tuple:
        return tuple(freeze(item) for item in value)  # type: ignore[attr-defined]  # a tuple is iterable
    if isinstance(value, (dict, FrozenDict)):
        return FrozenDict((freeze(key), freeze(item)) for key, item in value.items())
    if isinstance(value, slice):
        return slice(freeze(value.start), freeze(value.stop), freeze(value.step))
    if isinstance(value, enum.Enum):
        return Symbol(f"{kind.__module__}:{kind.__qualname__}.{value.name}")
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(freeze(item) for item in value)
    resolve = getattr(kind, "__graphnas_resolve__", None)  # graphnas.ir.protocols.Resolvable, which stands above
    if resolve is not None:
        return freeze(resolve(value))
    symbol = _symbol(value)
    if symbol is not None:
        return symbol
    if kind.__module__ == "numpy" and getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return freeze(value.item())  # a number as numpy hands it out; it counts as the plain one
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} is neither a value nor a literal: {value!r:.100}")


def thaw(argument: Argument, resolve: Callable[[str], object] | None = None) -> Any:
    """Return ordinary Python data: the inverse of `freeze`, with symbols resolved if `resolve` is given."""
    if isinstance(argument, FrozenList):
        return [thaw(item, resolve) for item in argument]
    if isinstance(argument, FrozenDict):
        return {thaw(key, resolve): thaw(item, resolve) for key, item in argument.items()}
    if type(argument) is tuple:
        return tuple(thaw(item, resolve) for item in argument)
    if isinstance(argument, slice):
        return slice(thaw(argument.start, resolve), thaw(argument.stop, resolve), thaw(argument.step, resolve))
    if isinstance(argument, Symbol) and resolve is not None:
        return resolve(argument.path)
    if isinstance(argument, Construction) and resolve is not None:
        create: Any = resolve(argument.path)
        return create(*thaw(argument.args, resolve), **thaw(argument.kwargs, resolve))
    return argument


def map_values(argument: Argument, transform: Callable[[Value], Argument]) -> Argument:
    """Return `argument` with each `Value` in it, in order, replaced by what `transform` returns for it."""
    kind = type(argument)
    if kind is Value:
        return transform(argument)
    if kind in SCALAR_TYPES:  # most arguments are
        return argument
    if kind is tuple:
        return tuple([map_values(item, transform) for item in argument])
    if isinstance(argument, FrozenList):
        return FrozenList(map_values(item, transform) for item in argument)
    if isinstance(argument, FrozenDict):
        return FrozenDict((key, map_values(item, transform)) for key, item in argument.items())
    if isinstance(argument, slice):
        return slice(*(map_values(item, transform) for item in (argument.start, argument.stop, argument.step)))
    return argument


def values_in(argument: Argument) -> tuple[Value, ...]:
    """Return every use of a value in `argument`, in order, repetitions included."""
    found: list[Value] = []
    _collect(argument, found)
    return tuple(found)


def format_literal(value: Literal) -> str:
    """Return a text for people, and for the text form, of a literal or argument."""
    if isinstance(value, (Value, Symbol, Construction)):
        return str(value)
    if isinstance(value, (FrozenList, tuple)) and not isinstance(value, torch.Size):
        inner = ", ".join(map(format_literal, value))
        if isinstance(value, FrozenList):
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, FrozenDict):
        return "{" + ", ".join(f"{format_literal(k)}: {format_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, slice):
        return f"slice({format_literal(value.start)}, {format_literal(value.stop)}, {format_literal(value.step)})"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return "..." if value is Ellipsis else repr(value)


def _collect(argument: Argument, found: list[Value]) -> None:
    kind = type(argument)
    if kind is Value:
        found.append(argument)
    elif kind in SCALAR_TYPES:  # most arguments are
        return
    elif isinstance(argument, tuple):
        for item in argument:
            _collect(item, found)
    elif isinstance(argument, FrozenDict):
        for item in argument.values():
            _collect(item, found)
    elif kind is slice:
        for item in (argument.start, argument.stop, argument.step):
            _collect(item, found)


def _symbol(value: object) -> Symbol | None:
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not callable(value) or not isinstance(module, str) or not isinstance(name, str) or "<" in name:
        return None
    return Symbol(f"{module}:{name}")
