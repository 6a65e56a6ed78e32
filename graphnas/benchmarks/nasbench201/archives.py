"""The original files of NAS-Bench-201 and of NATS-Bench's topology space, which have one layout of records.

NAS-Bench-201 is one file of `torch.save`, `NAS-Bench-201-v1_1-096897.pth` (or `v1_0`); NATS-Bench is a folder with a
compressed pickle for each cell, `NATS-tss-v1_0-3ffb9-simple/000011.pickle.pbz2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.formats import torch_files
from graphnas.benchmarks.layouts import Step, Trial
from graphnas.benchmarks.nasbench201.architecture import from_string
from graphnas.benchmarks.nasbench201.constants import EPOCHS
from graphnas.benchmarks.nasbench201.record import trial_config, trials_of
from graphnas.benchmarks.natsbench.records import load_record, record_files
from graphnas.errors import BenchmarkError, UnknownArchitectureError

_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, UnknownArchitectureError)
_CELL = re.compile(r"\|.*\|")


def recognise_file(path: Path) -> bool:
    """Tell whether a file is one of `torch.save`."""
    return torch_files.is_torch_file(path)


def read_file(paths: Sequence[Path], start: int) -> Iterator[Step]:
    """Return the cells after the first `start` ones. Those before are read over, since a pickle has no index.

    Raises:
        BenchmarkError: The file is torn, holds anything but plain data, or other records than the benchmark's.
    """
    (path,) = paths
    for position, (index, record, done) in enumerate(torch_files.items(path, "arch2infos"), start=1):
        if position > start:
            yield Step(position, done, _trials(record, f"{path}: cell {index}"))


def recognise_folder(path: Path) -> bool:
    """Tell whether a folder holds a compressed pickle for each cell, and its first one a cell."""
    files = record_files(path)
    return bool(files) and _CELL.fullmatch(_name(load_record(files[0]))) is not None


def read_folder(paths: Sequence[Path], start: int) -> Iterator[Step]:
    """Return the cells after the first `start` files.

    Raises:
        BenchmarkError: A file is torn, holds anything but plain data, or another record than the benchmark's.
    """
    (folder,) = paths
    files = record_files(folder)
    for position, path in enumerate(files[start:], start=start + 1):
        yield Step(position, position / len(files), _trials(load_record(path), str(path)))


def _name(record: Any) -> str:
    """Return the architecture of a record, as text; empty where it is no record."""
    try:
        return str(next(iter(record.values()))["arch_str"])
    except (AttributeError, KeyError, TypeError, StopIteration):
        return ""


def _trials(record: Any, where: str) -> list[Trial]:
    try:
        arch = canonical_json(from_string(_name(record)))
        return [
            Trial(trial_config(arch, dataset, epochs), stats, curve)
            for dataset, epochs, stats, curve in trials_of(record, EPOCHS)
        ]
    except _ERRORS as error:
        raise BenchmarkError(
            f"{where}: expected a record of NAS-Bench-201, got another: {type(error).__name__}: {error}"
        ) from error
