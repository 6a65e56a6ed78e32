"""Files of the records of NAS-Bench-201 and NATS-Bench as layouts, for either space.

NAS-Bench-201 is one file of `torch.save`, `NAS-Bench-201-v1_1-096897.pth` (or `v1_0`); NATS-Bench is a folder with a
compressed pickle for each architecture, `NATS-tss-v1_0-3ffb9-simple/000011.pickle.pbz2`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphnas.benchmarks.formats import torch_files
from graphnas.benchmarks.layouts import Layout, Step, Trial
from graphnas.benchmarks.nasbench201.record import trials_of
from graphnas.benchmarks.natsbench.records import load_record, record_files
from graphnas.errors import BenchmarkError, UnknownArchitectureError

_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, UnknownArchitectureError)


@dataclass(frozen=True)
class Space:
    """What records of a space are about.

    Attributes:
        title: What people call it.
        epochs: Lengths of training that there are.
        config: Returns the columns of a configuration, of the text of an architecture, the data set, and the epochs;
            raises `UnknownArchitectureError` for an architecture of another space.
    """

    title: str
    epochs: Collection[int]
    config: Callable[[str, str, int], dict[str, Any]]


def file_layout(name: str, space: Space) -> Layout:
    """Return the layout of one file of `torch.save`.

    What was read before a position is read over, since a pickle has no index.
    """

    def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
        (path,) = paths
        for position, (index, record, done) in enumerate(torch_files.items(path, "arch2infos"), start=1):
            if position > start:
                yield Step(position, done, _trials(record, space, f"{path}: cell {index}"))

    return Layout(name, torch_files.is_torch_file, read)


def folder_layout(name: str, space: Space) -> Layout:
    """Return the layout of a folder with a compressed pickle for each architecture; the first one tells its space."""

    def recognise(path: Path) -> bool:
        files = record_files(path)
        if not files:
            return False
        try:
            space.config(_name(load_record(files[0])), "", 0)
        except UnknownArchitectureError:
            return False
        return True

    def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
        (folder,) = paths
        files = record_files(folder)
        for position, path in enumerate(files[start:], start=start + 1):
            yield Step(position, position / len(files), _trials(load_record(path), space, str(path)))

    return Layout(name, recognise, read)


def _name(record: Any) -> str:
    """Return the architecture of a record, as text; empty where it is no record."""
    try:
        return str(next(iter(record.values()))["arch_str"])
    except (AttributeError, KeyError, TypeError, StopIteration):
        return ""


def _trials(record: Any, space: Space, where: str) -> list[Trial]:
    try:
        name = _name(record)
        return [
            Trial(space.config(name, dataset, epochs), stats, curve)
            for dataset, epochs, stats, curve in trials_of(record, space.epochs)
        ]
    except _ERRORS as error:
        raise BenchmarkError(
            f"{where}: expected a record of {space.title}, got another: {type(error).__name__}: {error}"
        ) from error
