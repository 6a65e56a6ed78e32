"""The reader of pickles: what it reads, and that it runs nothing."""

from __future__ import annotations

import collections
import functools
import io
import os
import pickle
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphnas.benchmarks.formats.pickles import Forgotten, PickleStream
from graphnas.errors import BenchmarkError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = {
    "none": None,
    "bools": [True, False],
    "ints": [0, 255, 256, -1, 2**31, -(2**80)],
    "floats": (1.5, -0.0, 1e300, float("inf")),
    "text": ["", "ä", "nor_conv_3x3~0|", "x" * 300],
    "nested": {("cifar10", 777): [{"a": 1}, [[]], ()]},
    "set": {1, 2, 3},
    "bytes": b"\x00\xff" * 200,
    "many": {number: number * 2 for number in range(2500)},
}


def read(data: bytes) -> Any:
    return PickleStream(io.BytesIO(data), Path("data.pkl")).load()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_is_read_as_pickle_reads_it(protocol: int) -> None:
    shared = ["once"]
    data = PLAIN | {"shared": [shared, shared], "ordered": collections.OrderedDict([("b", 1), ("a", 2)])}
    found = read(pickle.dumps(data, protocol))
    assert found == data
    assert found["shared"][0] is found["shared"][1]
    assert list(found["ordered"]) == ["b", "a"]


@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_numbers_of_numpy_become_numbers_of_python(protocol: int) -> None:
    numbers = [np.float64(0.1), np.float32(0.5), np.int64(-3), np.bool_(True), np.float64(0.2)]
    found = read(pickle.dumps(numbers, protocol))
    assert found == [0.1, 0.5, -3, True, 0.2]
    assert [type(number) for number in found] == [float, float, int, bool, float]


class Hostile:
    """Is pickled as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


class WithState:
    """Is pickled with a state that would be set."""


def calls(marker: Path) -> list[Any]:
    """Return objects that, unpickled, would make a file."""
    touch = f"open({str(marker)!r}, 'w')"
    return [
        Hostile(os.system, (f"touch {marker}",)),
        Hostile(eval, (touch,)),
        Hostile(exec, (touch,)),
        Hostile(functools.partial(eval, touch), ()),
        Hostile(getattr, ("text", "format")),
        Hostile(collections.OrderedDict, (), {"a": 1}),
        Hostile(collections.OrderedDict, (), None, iter([1]), None),
        Hostile(np.dtype, ("O", False, True)),
        Hostile(bytearray, (1 << 40,)),
        WithState(),
        eval,
        Path,
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "wrap", [lambda item: item, lambda item: [0, {"a": (item,)}], lambda item: {"k": [item, item]}]
)
def test_calls_are_refused_and_not_run(protocol: int, wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    marker = tmp_path / "was_here"
    for item in calls(marker):
        with pytest.raises(BenchmarkError, match=r"data.pkl: at byte [\d,]+: (expected plain data, got|is no pickle)"):
            read(pickle.dumps(wrap(item), protocol))
    assert not marker.exists()


BY_HAND = [
    (b"cos\nsystem\n(Vtouch was_here\ntR.", "os.system"),
    (b"(Vtouch was_here\nios\nsystem\n.", "the instruction INST"),
    (b"(S'touch was_here'\nios\nsystem\n.", "the instruction STRING"),
    (b"(ccollections\nOrderedDict\no.", "the instruction OBJ"),
    (b"\x80\x02c__builtin__\nset\n)\x81.", "the instruction NEWOBJ"),
    (b"\x80\x02}(X\x01\x00\x00\x00aK\x01ub.", "a state of|is no pickle"),
    (b"\x80\x02P1\n.", "the instruction PERSID"),
    (b"\x80\x02K\x01Q.", "the instruction BINPERSID"),
    (b"\x80\x02\x82\x01.", "the instruction EXT1"),
    (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system"),
    (b"\x80\x04\x8c\x02osq\x00\x8c\x06systemq\x01h\x00h\x01\x93.", "os.system"),
    (b"\x80\x04K\x01K\x02\x93.", "1.2"),
    (b"\x80\x02ccollections\nOrderedDict\nccollections\nOrderedDict\n\x85R.", "is no pickle"),
    (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00rot\x86R.", "is no pickle"),
    (b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.", "the instruction BYTEARRAY8"),
    (b"\x80\x05\x97.", "the instruction NEXT_BUFFER"),
]


@pytest.mark.parametrize(("data", "message"), BY_HAND)
def test_instructions_written_by_hand_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        read(data)


TORN = [
    b"",
    b"\x80\x02",
    b"\x80\x02K",
    b"\x80\x02K\x01",
    b"\x80\x02K\x01K\x02.",
    b"\x80\x02(K\x01.",
    b"\x80\x02.",
    b"\x80\x02t.",
    b"\x80\x02K\x01u.",
    b"\x80\x02\x86.",
    b"\x80\x02h\x05.",
    b"\x80\x02K\x01q\x09.",
    b"\x80\x02}]K\x01s.",
    b"\x80\x02X\x04\x00\x00\x00ab",
    b"\x80\x02X\x01\x00\x00\x00\xff.",
    b"I" + b"1" * 10_000 + b"\n.",
    b"Inot\n.",
    b"g-1\n.",
    b"\xff.",
    b"PK\x03\x04",
]


@pytest.mark.parametrize("data", TORN)
def test_torn_data_is_told_as_such(data: bytes) -> None:
    with pytest.raises(BenchmarkError, match=r"data.pkl: at byte [\d,]+: (is no pickle, or torn|expected plain data)"):
        read(data)


@pytest.mark.parametrize("data", [pickle.dumps(PLAIN, protocol) for protocol in PROTOCOLS])
def test_data_torn_anywhere_never_passes_for_whole(data: bytes) -> None:
    for end in range(0, len(data) - 1, 97):
        with pytest.raises(BenchmarkError, match="is no pickle, or torn"):
            read(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8d" + struct.pack("<Q", 1 << 62),
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40),
        b"\x80\x02X\xff\xff\xff\xff",
        b"\x80\x02T\xff\xff\xff\x7f",
        b"\x80\x02K\x01r\xff\xff\xff\xff.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
    ],
)
def test_sizes_that_a_file_claims_are_not_believed(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BenchmarkError, match=r"is no pickle, or torn|LONG4"):
            read(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_depth_does_not_bring_the_interpreter_down() -> None:
    deep = b"\x80\x02K\x01" + b"\x85" * 300_000
    assert type(read(deep + b".")) is tuple
    with pytest.raises(BenchmarkError, match="expected text or numbers as a key, got tuple"):
        read(b"\x80\x02}" + deep[2:] + b"K\x02s.")
    with pytest.raises(BenchmarkError, match="a number of numpy of an unknown type"):
        read(b"\x80\x02cnumpy\ndtype\n" + deep[2:] + b"\x85R.")


def archive(count: int, **shared: Any) -> dict[str, Any]:
    entries = {
        number: {"less": {"name": f"cell {number}", "numbers": [float(number)] * 3, **shared}, "full": {}}
        for number in range(count)
    }
    return {"before": ["x", "y"], "entries": entries, "after": {1, 2}}


@pytest.mark.parametrize("protocol", PROTOCOLS[1:])
@pytest.mark.parametrize("count", [0, 1, 2, 999, 1000, 1001, 2001])
def test_items_are_given_one_by_one(protocol: int, count: int) -> None:
    data = archive(count, key=("cifar10", 777))
    stream = PickleStream(io.BytesIO(pickle.dumps(data, protocol)), Path("data.pkl"))
    assert list(stream.items("entries")) == list(data["entries"].items())
    assert stream.rest["before"] == ["x", "y"]
    assert stream.rest["after"] == {1, 2}


def test_ordered_dictionaries_are_streamed_as_well() -> None:
    entries = collections.OrderedDict(
        (number, collections.OrderedDict(a=np.float64(number), b=[number])) for number in range(3)
    )
    stream = PickleStream(io.BytesIO(pickle.dumps({"entries": entries}, 2)), Path("data.pkl"))
    assert list(stream.items("entries")) == [(number, {"a": number, "b": [number]}) for number in range(3)]


def test_entries_of_one_item_or_none_are_given_as_they_are() -> None:
    entries: dict[int, Any] = {0: {}, 1: {"a": {"b": {"c": 1}}}, 2: {}, 3: {"a": 1, "b": {}}, 4: {"a": [{"b": 2}]}}
    stream = PickleStream(io.BytesIO(pickle.dumps({"entries": entries, "after": 1}, 2)), Path("data.pkl"))
    assert list(stream.items("entries")) == list(entries.items())


def test_texts_are_shared_over_entries_and_other_objects_are_forgotten() -> None:
    shared = [1.5]
    data = archive(5, list=shared, text="the same text")
    stream = PickleStream(io.BytesIO(pickle.dumps(data, 2)), Path("data.pkl"))
    entries = [entry for _, entry in stream.items("entries")]
    assert {entry["less"]["text"] for entry in entries} == {"the same text"}
    assert entries[0]["less"]["list"] == [1.5]
    assert type(entries[1]["less"]["list"]) is Forgotten


def test_entries_do_not_pile_up_in_memory() -> None:
    data = pickle.dumps(
        {"entries": {number: {"v": [float(place) for place in range(500)]} for number in range(200)}}, 2
    )
    assert len(data) > 900_000
    stream = PickleStream(io.BytesIO(data), Path("data.pkl"))
    tracemalloc.start()
    try:
        assert sum(len(entry["v"]) for _, entry in stream.items("entries")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_another_dictionary_than_the_one_that_is_asked_for_is_refused() -> None:
    stream = PickleStream(io.BytesIO(pickle.dumps({"others": {}}, 2)), Path("data.pkl"))
    with pytest.raises(BenchmarkError, match="expected a dictionary with a dictionary under 'entries'"):
        list(stream.items("entries"))
