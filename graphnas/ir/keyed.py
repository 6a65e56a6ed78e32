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
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch

from graphnas.ir.literal import FrozenDict, FrozenList

KEY_VERSION = 2
"""Counts changes of what a key covers; part of every key."""


class Keyed:
    """Base of frozen dataclasses that are compared by `key`. Fields with `compare=False` do not count."""

    @cached_property
    def key(self) -> str:
        """Hash of the content, names and order included: 32 hexadecimal digits."""
        state = hashlib.sha256(f"graphnas-key-{KEY_VERSION}".encode())
        for part in _dataclass_parts(self):
            state.update(part)
        return state.hexdigest()[:32]

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is type(self) and isinstance(other, Keyed) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


def digest(tag: str, *parts: Any) -> str:
    """Return a hash, 32 hexadecimal digits, of literals, `Keyed` objects, and nestings and dataclasses of these."""
    state = hashlib.sha256(tag.encode())
    for part in parts:
        for piece in _parts(part):
            state.update(piece)
    return state.hexdigest()[:32]


def _parts(value: Any) -> Iterator[bytes]:
    """Yield bytes that no value of another type or content yields: a type letter, a length, the content."""
    kind = type(value)
    if kind is str:
        data = value.encode("utf-8", "surrogatepass")
        yield b"s%d:" % len(data) + data
    elif value is None:
        yield b"N"
    elif kind is bool:
        yield b"T" if value else b"F"
    elif kind is int:
        yield b"i%d;" % value
    elif kind is float:
        yield b"f" + _float_bytes(value)
    elif kind is complex:
        yield b"c" + _float_bytes(value.real) + _float_bytes(value.imag)
    elif kind is bytes:
        yield b"b%d:" % len(value) + value
    elif isinstance(value, Keyed):
        yield b"K" + value.key.encode()
    elif kind is tuple or isinstance(value, (FrozenList, torch.Size)):
        yield (b"l%d:" if isinstance(value, FrozenList) else b"t%d:") % len(value)
        for item in value:
            yield from _parts(item)
    elif isinstance(value, FrozenDict):
        yield b"d%d:" % len(value)
        for key, item in value.items():
            yield from _parts(key)
            yield from _parts(item)
    elif isinstance(value, (slice, range)):
        yield b"S" if isinstance(value, slice) else b"R"
        yield from _parts((value.start, value.stop, value.step))
    elif dataclasses.is_dataclass(value):
        yield from _dataclass_parts(value)
    else:  # dtype, device, layout, memory format, Ellipsis: their representation says it all
        yield b"o" + f"{kind.__qualname__}:{value!r};".encode()


def _float_bytes(value: float) -> bytes:
    # Sign and payload of a NaN do not survive a text form, so all NaNs are one.
    return struct.pack(">d", math.nan if math.isnan(value) else value)


def _dataclass_parts(value: Any) -> Iterator[bytes]:
    kind: type[Any] = type(value)
    yield b"D" + kind.__name__.encode() + b";"
    for name in _compared_fields(kind):
        yield from _parts(getattr(value, name))


_COMPARED_FIELDS: dict[type, tuple[str, ...]] = {}


def _compared_fields(kind: type[Any]) -> tuple[str, ...]:
    if kind not in _COMPARED_FIELDS:
        _COMPARED_FIELDS[kind] = tuple(item.name for item in dataclasses.fields(kind) if item.compare)
    return _COMPARED_FIELDS[kind]
