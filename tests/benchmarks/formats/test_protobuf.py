"""The wire format of protocol buffers."""

from __future__ import annotations

import struct

import pytest

from graphnas.benchmarks.formats.protobuf import double, fields


def test_fields_of_every_type_come_in_their_order() -> None:
    message = b"\x08\x96\x01" + b"\x11" + struct.pack("<d", 1.5) + b"\x1a\x03abc" + b"\x25" + b"1234"
    found = list(fields(message))
    assert found == [(1, 150), (2, struct.pack("<d", 1.5)), (3, b"abc"), (4, b"1234")]
    assert double(found[1][1]) == 1.5


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x08", "a number that does not end"),
        (b"\xff" * 11, "a number that does not end"),
        (b"\x11\x00", "longer than its message"),
        (b"\x1a\x05ab", "longer than its message"),
        (b"\x0b", "a field of wire type 3"),
    ],
)
def test_torn_messages_are_refused(message: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        list(fields(message))


@pytest.mark.parametrize("value", [3, b"1234"])
def test_a_field_of_another_size_is_no_double(value: int | bytes) -> None:
    with pytest.raises(ValueError, match="a field that is no double"):
        double(value)
