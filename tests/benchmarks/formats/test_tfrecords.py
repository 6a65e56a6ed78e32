"""The reader of TFRecord files."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphnas.benchmarks.formats.tfrecords import frames, is_tfrecord, masked_crc32c
from graphnas.errors import BenchmarkError


def framed(*items: bytes) -> bytes:
    """Return a file of frames."""
    heads = [len(item).to_bytes(8, "little") for item in items]
    sums = [int(number).to_bytes(4, "little") for number in masked_crc32c([*heads, *items])]
    return b"".join(part for parts in zip(heads, sums, items, sums[len(items) :], strict=False) for part in parts)


def test_checksums_are_those_of_the_standard() -> None:
    unmasked = [
        (int(number) - 0xA282EAD8) & 0xFFFFFFFF for number in masked_crc32c([b"123456789", b"\0" * 32, b"", b"a"])
    ]
    rotated = [((number << 15) | (number >> 17)) & 0xFFFFFFFF for number in unmasked]
    assert rotated == [0xE3069283, 0x8A9136AA, 0, 0xC1D04330]  # RFC 3720, appendix B.4


def test_frames_are_read_in_batches_and_from_any_position(tmp_path: Path) -> None:
    items = [b"x" * (number % 50) for number in range(5000)]
    path = tmp_path / "data"
    path.write_bytes(framed(*items))
    batches = list(frames(path))
    assert [item for _, batch in batches for item in batch] == items
    assert len(batches) == 2
    assert [item for _, batch in frames(path, batches[0][0]) for item in batch] == batches[1][1]


def test_genuine_files_are_read(shared_data: Path) -> None:
    path = shared_data / "samples" / "nasbench101" / "carbon_4V9E.tfrecord"
    assert is_tfrecord(path)
    assert sum(len(batch) for _, batch in frames(path)) == 84


@pytest.mark.parametrize("place", [0, 7, 8, 11, 12, 14, 15, 18])
def test_a_wrong_byte_is_found_and_its_frame_is_named(place: int, tmp_path: Path) -> None:
    data = bytearray(framed(b"first", b"abc", b"last"))
    data[21 + place] ^= 1
    path = tmp_path / "data"
    path.write_bytes(data)
    with pytest.raises(BenchmarkError, match="at byte 21: expected a frame of a TFRecord file with right checksums"):
        list(frames(path))


def test_a_file_that_ends_in_a_frame_is_torn(tmp_path: Path) -> None:
    data = framed(b"first", b"abc")
    path = tmp_path / "data"
    for end in range(len(data) - 18, len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(BenchmarkError, match="at byte 21: expected a frame"):
            list(frames(path))


def test_other_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hash,num_vertices,adjacency\n")
    (tmp_path / "empty").write_bytes(b"")
    assert not any(is_tfrecord(tmp_path / name) for name in ("text", "empty", "missing"))
