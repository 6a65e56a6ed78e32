"""The wire format of protocol buffers, as far as to take a message apart; what its fields mean is told elsewhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_DOUBLE = struct.Struct("<d")
_FIXED = {1: 8, 5: 4}


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Return the fields of a message in their order: the number, and an integer or the bytes.

    Raises:
        ValueError: The message is torn.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in _FIXED:
            size = _FIXED[kind]
        else:
            raise ValueError(f"a field of wire type {kind}")
        if at + size > end:
            raise ValueError("a field that is longer than its message")
        yield number, message[at : at + size]
        at += size


def double(value: int | bytes) -> float:
    """Return the number in a field of eight bytes.

    Raises:
        ValueError: It has another size.
    """
    if not isinstance(value, bytes) or len(value) != _DOUBLE.size:
        raise ValueError("a field that is no double")
    (number,) = _DOUBLE.unpack(value)
    return float(number)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number that does not end")
