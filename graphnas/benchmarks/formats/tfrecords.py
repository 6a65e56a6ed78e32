"""TFRecord files: frames of bytes, each with checksums, without TensorFlow.

A frame is the length (8 bytes), a checksum of it (4 bytes), the data, and a checksum of that; all little-endian. The
checksum is CRC-32C, masked. Frames are checked many at a time, as columns of numpy arrays: one by one, in Python, the
two gigabytes of NAS-Bench-101 would take an hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from graphnas.errors import BenchmarkError

_BATCH = 4096
_LONGEST = 1 << 20
_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8

Words = npt.NDArray[np.uint32]


def _table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_TABLE = _table()


def frames(path: Path, start: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Return the data of the frames after a position, in batches, each with the position after it.

    Raises:
        BenchmarkError: The file is torn, or is no TFRecord file.
    """
    with path.open("rb") as handle:
        handle.seek(start)
        while True:
            position = handle.tell()
            lengths, data, sums = _batch(handle, path)
            if not data:
                return
            _check(lengths + data, sums, path, position)
            yield handle.tell(), data


def is_tfrecord(path: Path) -> bool:
    """Tell whether a file begins with a frame."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        head = handle.read(12)
    return len(head) == 12 and masked_crc32c([head[:8]])[0] == int.from_bytes(head[8:], "little")


def masked_crc32c(items: Sequence[bytes]) -> Words:
    """Return the masked CRC-32C of each byte string."""
    order = sorted(range(len(items)), key=lambda place: -len(items[place]))
    longest = len(items[order[0]])
    columns = np.zeros((longest, len(items)), dtype=np.uint8)  # column i: the i-th longest string
    lengths = np.array([len(items[place]) for place in order])
    for column, place in enumerate(order):
        columns[: len(items[place]), column] = np.frombuffer(items[place], dtype=np.uint8)
    sums = np.full(len(items), 0xFFFFFFFF, dtype=np.uint32)
    going_on = np.searchsorted(-lengths, -np.arange(longest), side="left")  # how many are longer than a row's number
    for row, count in zip(columns, going_on, strict=True):
        head = sums[:count]
        sums[:count] = _TABLE[(head ^ row[:count]) & 0xFF] ^ (head >> 8)
    sums ^= np.uint32(0xFFFFFFFF)
    masked = ((sums >> 15) | (sums << 17)) + np.uint32(_MASK)
    found = np.empty_like(masked)
    found[order] = masked
    return found


def _batch(handle: IO[bytes], path: Path) -> tuple[list[bytes], list[bytes], list[int]]:
    """Return the bytes of lengths, the data, and the checksums of both, of the next frames."""
    lengths: list[bytes] = []
    data: list[bytes] = []
    sums: list[int] = []
    of_data: list[int] = []
    while len(data) < _BATCH and (head := handle.read(12)):
        position = handle.tell() - len(head)
        size = int.from_bytes(head[:8], "little")
        body = handle.read(size + 4) if size <= _LONGEST else b""
        if len(head) < 12 or len(body) < size + 4:
            if not data:
                raise _torn(path, position)
            handle.seek(position)  # a wrong length leads astray: those before are checked first
            break
        lengths.append(head[:8])
        sums.append(int.from_bytes(head[8:], "little"))
        data.append(body[:size])
        of_data.append(int.from_bytes(body[size:], "little"))
    return lengths, data, sums + of_data


def _check(items: Sequence[bytes], sums: Sequence[int], path: Path, position: int) -> None:
    wrong = np.flatnonzero(masked_crc32c(items) != np.array(sums, dtype=np.uint32))
    if len(wrong):
        count = len(items) // 2
        before = min(int(place) % count for place in wrong)
        raise _torn(path, position + sum(len(data) + 16 for data in items[count : count + before]))


def _torn(path: Path, position: int) -> BenchmarkError:
    return BenchmarkError(
        f"{path}: at byte {position:,}: expected a frame of a TFRecord file with right checksums; the file is torn or"
        " of another format; get it again"
    )
