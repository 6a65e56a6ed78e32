"""Keys: a hash of everything that a part of the IR holds, names and order included.

The key is what equality means for graphs, specs, definitions and models, and what caches of generated source go by. It
tells `True` from `1` and `1` from `1.0`, is the same in every process and Python version, and is memoised per object,
so that after an edit only the edited path is hashed again. What is computed, regardless of names, is the *fingerprint*
(`graphnas.ir.fingerprint`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple, Self

import torch

from graphnas.ir.literal import FrozenDict, FrozenList

KEY_VERSION = 3
"""Counts changes of what a key covers; part of every key."""


class Keyed:
    """Base of frozen dataclasses that are compared by `key`. Fields with `compare=False` do not count."""

    @cached_property
    def key(self) -> str:
        """Hash of the content, names and order included: 32 hexadecimal digits."""
        return content_key(self)

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and isinstance(other, Keyed) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self  # nothing in it changes, and a deep nest would take a deep stack


def content_key(item: Keyed) -> str:
    """Return the key of an object from the keys of what it holds; it is not remembered here."""
    parts = [f"graphnas-key-{KEY_VERSION}".encode()]
    _dataclass_writer(type(item))(item, parts)
    return _digest(parts)


def digest(tag: str, *parts: Any) -> str:
    """Return a hash, 32 hexadecimal digits, of literals, `Keyed` objects, and nestings and dataclasses of these."""
    written = [tag.encode()]
    for part in parts:
        _write(part, written)
    return _digest(written)


class Written(NamedTuple):
    """What `digest` makes of a value, for one that is hashed again and again."""

    data: bytes


def written(value: Any) -> Written:
    """Return a stand-in for a value that gives the same digest, and is quicker to hash."""
    parts: list[bytes] = []
    _write(value, parts)
    return Written(b"".join(parts))


def _digest(parts: list[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


# Each writer appends bytes that no value of another type or content gives: a type letter, a length, the content.

_Writer = Callable[[Any, list[bytes]], None]


def _write(value: Any, out: list[bytes]) -> None:
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        writer = _WRITERS[kind] = _writer_of(kind)
    writer(value, out)


def _writer_of(kind: type[Any]) -> _Writer:
    if issubclass(kind, Keyed):
        return _write_keyed
    if issubclass(kind, (FrozenList, torch.Size)):
        return _write_list if issubclass(kind, FrozenList) else _write_tuple
    if issubclass(kind, FrozenDict):
        return _write_dict
    return _dataclass_writer(kind) if dataclasses.is_dataclass(kind) else _write_other


def _write_str(value: str, out: list[bytes]) -> None:
    data = value.encode("utf-8", "surrogatepass")
    out.append(b"s%d:%b" % (len(data), data))


def _write_keyed(value: Keyed, out: list[bytes]) -> None:
    out.append(b"K" + value.key.encode())


def _write_tuple(value: tuple[Any, ...], out: list[bytes]) -> None:
    out.append(b"t%d:" % len(value))
    for item in value:
        _write(item, out)


def _write_list(value: FrozenList, out: list[bytes]) -> None:
    out.append(b"l%d:" % len(value))
    for item in value:
        _write(item, out)


def _write_dict(value: FrozenDict[Any], out: list[bytes]) -> None:
    out.append(b"d%d:" % len(value))
    for key, item in value.items():
        _write(key, out)
        _write(item, out)


def _write_slice(value: slice | range, out: list[bytes]) -> None:
    out.append(b"S" if isinstance(value, slice) else b"R")
    _write_tuple((value.start, value.stop, value.step), out)


def _write_other(value: Any, out: list[bytes]) -> None:
    """Write a dtype, device, layout, memory format or Ellipsis: their representation says it all."""
    out.append(b"o" + f"{type(value).__qualname__}:{value!r};".encode())


def _float_bytes(value: float) -> bytes:
    # Sign and payload of a NaN do not survive a text form, so all NaNs are one.
    return struct.pack(">d", math.nan if math.isnan(value) else value)


_DATACLASS_WRITERS: dict[type[Any], _Writer] = {}


def _dataclass_writer(kind: type[Any]) -> _Writer:
    """Return what writes the compared fields of a dataclass, a `Keyed` one included, in their order."""
    known = _DATACLASS_WRITERS.get(kind)
    if known is not None:
        return known
    head = b"D" + kind.__name__.encode() + b";"
    names = [item.name for item in dataclasses.fields(kind) if item.compare]
    values: Callable[[Any], tuple[Any, ...]] = attrgetter(*names, *names[:1])  # a single name would give no tuple
    count = len(names)

    def write(value: Any, out: list[bytes]) -> None:
        out.append(head)
        for item in values(value)[:count]:
            _write(item, out)

    def remember(value: Any, out: list[bytes]) -> None:
        if value._written is None:
            written: list[bytes] = []
            write(value, written)
            object.__setattr__(value, "_written", b"".join(written))
        out.append(value._written)

    # Nodes are many and stay the same when their graph changes, so they keep what was written of them.
    return _DATACLASS_WRITERS.setdefault(kind, remember if "_written" in getattr(kind, "__slots__", ()) else write)


_WRITERS: dict[type[Any], _Writer] = {
    Written: lambda value, out: out.append(value.data),
    str: _write_str,
    type(None): lambda value, out: out.append(b"N"),
    bool: lambda value, out: out.append(b"T" if value else b"F"),
    int: lambda value, out: out.append(b"i%d;" % value),
    float: lambda value, out: out.append(b"f" + _float_bytes(value)),
    complex: lambda value, out: out.append(b"c" + _float_bytes(value.real) + _float_bytes(value.imag)),
    bytes: lambda value, out: out.append(b"b%d:%b" % (len(value), value)),
    tuple: _write_tuple,
    slice: _write_slice,
    range: _write_slice,
}
