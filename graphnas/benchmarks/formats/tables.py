"""CSV tables, plain or compressed."""

from __future__ import annotations

import csv
import gzip
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

from graphnas.errors import BenchmarkError

_OPENERS = ((b"\xfd7zXZ\x00", lzma.open), (b"\x1f\x8b", gzip.open))
_LONGEST_HEADER = 1 << 16
_K = TypeVar("_K")


def header(path: Path) -> tuple[str, ...]:
    """Return the names of a table's columns; none where the file is no table."""
    if not path.is_file():
        return ()
    try:
        with _opened(path) as handle:
            line = handle.readline(_LONGEST_HEADER)
    except (UnicodeDecodeError, EOFError, lzma.LZMAError, gzip.BadGzipFile):
        return ()
    return tuple(next(csv.reader([line]), ()))


def rows(path: Path) -> Iterator[list[str]]:
    """Return the rows of a table after its header, each as long as that.

    Raises:
        BenchmarkError: The file is torn, or a row has more or fewer fields.
    """
    try:
        with _opened(path) as handle:
            reader = csv.reader(handle)
            width = len(next(reader))
            for row in reader:
                if len(row) != width:
                    raise BenchmarkError(
                        f"{path}:{reader.line_num}: expected {width} fields, got {len(row)}; the table is torn"
                    )
                yield row
    except (UnicodeDecodeError, EOFError, lzma.LZMAError, gzip.BadGzipFile, csv.Error) as error:
        raise BenchmarkError(f"{path}: is torn: {error}; get it again") from error


def records(path: Path) -> Iterator[dict[str, str]]:
    """Return the rows of a table by column; a row of another length is refused as in `rows`."""
    names = header(path)
    return (dict(zip(names, row, strict=True)) for row in rows(path))


def by_kind(paths: Sequence[Path], kind: Callable[[Path], _K]) -> dict[_K, Path]:
    """Return the tables by their kind, in their order.

    Raises:
        BenchmarkError: Two are of one kind.
    """
    given: dict[_K, Path] = {}
    for path in paths:
        if (other := given.setdefault(kind(path), path)) is not path:
            raise BenchmarkError(f"{other} and {path}: expected one table of each kind, got two; give one of them")
    return given


def number(text: str, path: Path) -> float | None:
    """Return the number in a field, or None for an empty one.

    Raises:
        BenchmarkError: It is something else.
    """
    try:
        return float(text) if text else None
    except ValueError:
        raise BenchmarkError(f"{path}: expected a number, got {text!r}; the table is torn") from None


def whole_number(text: str, path: Path) -> int:
    """Return the whole number in a field.

    Raises:
        BenchmarkError: It is something else.
    """
    value = number(text, path)
    if value is None or not value.is_integer():
        raise BenchmarkError(f"{path}: expected a whole number, got {text!r}; the table is torn")
    return int(value)


def _opened(path: Path) -> IO[str]:
    with path.open("rb") as handle:
        start = handle.read(8)
    for magic, opener in _OPENERS:
        if start.startswith(magic):
            return opener(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")
