"""The original files of NAS-Bench-101, `nasbench_only108.tfrecord` and `nasbench_full.tfrecord`.

A frame holds one training as JSON: the hash, the number of epochs, the adjacency matrix row by row, the operations, and
the metrics, a protocol buffer in base 64. Fields of it that the benchmark did not have are passed over.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.formats.protobuf import double, fields
from graphnas.benchmarks.formats.tfrecords import frames, is_tfrecord
from graphnas.benchmarks.layouts import Step, Trial
from graphnas.benchmarks.nasbench101.architecture import from_matrix
from graphnas.benchmarks.nasbench101.constants import EPOCHS
from graphnas.benchmarks.nasbench101.graph import hash_module, infer_num_vertices
from graphnas.errors import BenchmarkError, UnknownArchitectureError

_EVALUATIONS, _PARAMETERS = 1, 2
_EPOCH, _SECONDS, _TRAIN, _VALID, _TEST = 1, 2, 3, 4, 5
_Record = tuple[str, int, str, str, str]
_DECODER = msgspec.json.Decoder(_Record)

_MOST_MODULES = 50_000
"""Trainings of a module stand close to each other; the last modules are remembered, so that each is hashed once."""


def recognise(path: Path) -> bool:
    """Tell whether a file is one of the benchmark's."""
    return is_tfrecord(path)


def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
    """Return the trainings after a position in the file.

    Raises:
        BenchmarkError: The file is torn, or holds something else.
    """
    (path,) = paths
    total = path.stat().st_size
    modules: dict[str, dict[str, Any]] = {}
    for position, batch in frames(path, start):
        try:
            trials = [_trial(data, modules) for data in batch]
        except (msgspec.MsgspecError, binascii.Error, ValueError, UnknownArchitectureError) as error:
            raise BenchmarkError(
                f"{path}: before byte {position:,}: expected trainings of NAS-Bench-101, got another record: {error}"
            ) from error
        if len(modules) > _MOST_MODULES:
            modules.clear()
        yield Step(position, position / total, trials)


def _trial(data: bytes, modules: dict[str, dict[str, Any]]) -> Trial:
    name, epochs, adjacency, operations, metrics = _DECODER.decode(data)
    if epochs not in EPOCHS:
        raise ValueError(f"expected {', '.join(map(str, EPOCHS))} epochs, got {epochs}")
    config = modules.get(name)
    if config is None:
        config = modules[name] = _config(name, adjacency, operations)
    evaluations, parameters = _metrics(binascii.a2b_base64("".join(metrics.split()), strict_mode=True))
    done = [evaluation for evaluation in evaluations if evaluation[0] > 0]
    if not done or done[-1][0] != epochs:
        raise ValueError(f"expected a last evaluation after {epochs} epochs, got {[epoch for epoch, *_ in done]}")
    _, train, valid, test, seconds = done[-1]
    stats = {
        "train_acc": train,
        "valid_acc": valid,
        "test_acc": test,
        "parameters": parameters / 1e6,
        "training_time": seconds,
    }
    return Trial(config | {"num_epochs": epochs}, stats, done)


def _config(name: str, adjacency: str, operations: str) -> dict[str, Any]:
    labels = operations.split(",")
    size = len(labels)
    if len(adjacency) != size * size or not set(adjacency) <= {"0", "1"}:
        raise ValueError(f"expected a matrix of {size} times {size} zeros and ones, got {adjacency[:100]!r}")
    matrix = [[int(edge) for edge in adjacency[row * size : (row + 1) * size]] for row in range(size)]
    arch = from_matrix(matrix, labels)
    if (found := hash_module(arch)) != name:
        raise ValueError(f"expected the graph of {name[:100]}, got that of {found}")
    return {"arch": canonical_json(arch), "num_vertices": infer_num_vertices(arch), "hash": name}


def _metrics(message: bytes) -> tuple[list[tuple[Any, ...]], int]:
    """Return the evaluations, as rows of the intermediate table, and the number of parameters."""
    evaluations, parameters = [], 0
    for number, value in fields(message):
        if number == _EVALUATIONS and isinstance(value, bytes):
            found = {key: double(part) for key, part in fields(value) if _EPOCH <= key <= _TEST}
            accuracies = (100 * found[split] if split in found else None for split in (_TRAIN, _VALID, _TEST))
            evaluations.append((round(found.get(_EPOCH, 0.0)), *accuracies, found.get(_SECONDS)))
        elif number == _PARAMETERS and isinstance(value, int):
            parameters = value
    return evaluations, parameters
