"""Files of `torch.save` that hold no tensors: where the pickle in them is.

Since PyTorch 1.6 such a file is a zip archive with the pickle in `data.pkl`; before, it is a few pickles in a row.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphnas.benchmarks.formats.pickles import PickleStream
from graphnas.errors import BenchmarkError

_ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")
_BLOCK = 1 << 20


def is_torch_file(path: Path) -> bool:
    """Tell whether a file begins as `torch.save` begins it."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(len(_LEGACY)).startswith((_ZIP, _LEGACY))


def items(path: Path, key: str) -> Iterator[tuple[Any, Any, float]]:
    """Return the items of the dictionary under a key of the saved one, and how much of the file is read after each.

    Raises:
        BenchmarkError: The file is torn, or holds anything but plain data.
    """
    with path.open("rb") as handle:
        zipped = handle.read(len(_ZIP)) == _ZIP
    yield from (_zipped if zipped else _legacy)(path, key)


def _zipped(path: Path, key: str) -> Iterator[tuple[Any, Any, float]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if len(names) != 1:
                raise BenchmarkError(f"{path}: expected one data.pkl in the archive, got {len(names)}; get it again")
            size = max(archive.getinfo(names[0]).file_size, 1)
            with archive.open(names[0]) as handle:
                stream = PickleStream(handle, path)
                for name, value in stream.items(key):
                    yield name, value, stream.offset / size
                while handle.read(_BLOCK):
                    pass  # at its end the checksum is compared
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BenchmarkError(f"{path}: is torn: {error}; get it again") from error


def _legacy(path: Path, key: str) -> Iterator[tuple[Any, Any, float]]:
    size = path.stat().st_size
    with path.open("rb") as handle:
        stream = PickleStream(handle, path)
        magic, _, _ = (stream.load() for _ in range(3))  # the protocol and what the machine was like follow
        if magic != _MAGIC:
            raise BenchmarkError(f"{path}: expected a file of torch.save, got another; get it again")
        for name, value in stream.items(key):
            yield name, value, stream.offset / size
        if stream.load() != []:
            raise BenchmarkError(f"{path}: expected plain data, got tensors; get the file that its authors publish")
