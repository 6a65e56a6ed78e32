"""Published tables of NAS-Bench-101 without the raw files, merged.

`nasbench101.csv.xz` has every module, by its hash, with the mean of three trainings of 108 epochs. The other tables put
in the trainings themselves, or one of them. What no table tells is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.formats.tables import by_kind, header, number, records, rows, whole_number
from graphnas.benchmarks.layouts import Step, Trial
from graphnas.benchmarks.nasbench101.constants import (
    CONV1X1_BN_RELU,
    CONV3X3_BN_RELU,
    EPOCHS,
    MAXPOOL3X3,
)
from graphnas.benchmarks.nasbench101.graph import hash_module
from graphnas.errors import BenchmarkError, UnknownArchitectureError

Stats = dict[str, Any]

_MODULES = ("hash", "num_vertices", "adjacency", "operations", "trainable_parameters", "test_acc_108")
_ONE_RUN = ("hash", *(f"valid_acc_{epochs}" for epochs in EPOCHS), "training_time_108_s")
_RUNS = ("hash", *(f"{split}_acc_108_run{run}" for split in ("valid", "test") for run in range(3)))
_WHOLE = ("hash", "trainable_parameters", "computed")
"""Keys of the JSON file of modules of which everything is told."""

_OPERATIONS = {"3": CONV3X3_BN_RELU, "1": CONV1X1_BN_RELU, "m": MAXPOOL3X3}
_MODULE_COUNT = 423_624
_SAME_ACC = 1e-4
"""Percent; tables are rounded to six decimals of the fraction."""


def recognise(path: Path) -> bool:
    """Tell whether a file is one of the published tables."""
    return header(path) in (_MODULES, _ONE_RUN, _RUNS) or _is_whole(path)


def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
    """Return the modules after the first `start` ones, in the order of their table.

    Raises:
        BenchmarkError: A table is torn, is given twice, or `nasbench101.csv.xz` is not among them.
    """
    given = by_kind(paths, lambda path: _WHOLE if _is_whole(path) else header(path))
    if _MODULES not in given:
        raise BenchmarkError(
            f"{paths[0]}: tells modules by their hashes in nasbench101.csv.xz; give that table as well"
        )
    one_run = _one_run(given[_ONE_RUN]) if _ONE_RUN in given else {}
    runs = _runs(given[_RUNS]) if _RUNS in given else {}
    whole = _whole(given[_WHOLE]) if _WHOLE in given else {}
    path = given[_MODULES]
    for position, (name, _, adjacency, operations, parameters, accuracy) in enumerate(rows(path), start=1):
        if position <= start:
            continue
        try:
            arch = architecture_of(adjacency, operations)
        except UnknownArchitectureError as error:
            raise BenchmarkError(f"{path}: row {position}: {error}") from error
        if (found := hash_module(arch, len(operations) + 2)) != name:
            raise BenchmarkError(f"{path}: row {position}: expected the graph of {name}, got that of {found}")
        common = {"parameters": whole_number(parameters, path) / 1e6}
        trials = _merged(_percent(accuracy, path), one_run.get(name, {}), runs.get(name, ()))
        complete = whole.get(name, {})
        config = {"arch": canonical_json(arch), "num_vertices": len(operations) + 2, "hash": name}
        yield Step(
            position,
            position / _MODULE_COUNT,
            [
                Trial(config | {"num_epochs": epochs}, common | trial.stats, trial.epochs)
                for epochs in EPOCHS
                for trial in complete.get(epochs) or [Trial({}, stats) for stats in trials.get(epochs, ())]
            ],
        )


def _merged(mean_test: float | None, one_run: Mapping[int, Stats], runs: Sequence[Stats]) -> dict[int, list[Stats]]:
    """Return the trials by epochs: single ones where they are told, else the mean with what is told of one of them."""
    told = {epochs: [dict(stats)] for epochs, stats in one_run.items()}
    final = one_run.get(108, {})
    if not runs:
        return told | {108: [{"test_acc": mean_test, **final}]}
    trials = [dict(stats) for stats in runs]
    for stats in trials:
        known, one = stats["valid_acc"], final.get("valid_acc")
        if known is not None and one is not None and abs(known - one) < _SAME_ACC:
            stats["training_time"] = final["training_time"]
            break
    return told | {108: trials}


def architecture_of(adjacency: str, operations: str) -> dict[str, Any]:
    """Return the architecture of an upper triangle, row by row, and the letters of the operations.

    Raises:
        UnknownArchitectureError: They do not go together.
    """
    size = len(operations) + 2
    if len(adjacency) != size * (size - 1) // 2 or not set(operations) <= _OPERATIONS.keys():
        raise UnknownArchitectureError(
            f"expected {size} vertices and operations of 3, 1, m, got {adjacency},{operations}"
        )
    arch: dict[str, Any] = {f"op{vertex}": _OPERATIONS[letter] for vertex, letter in enumerate(operations, start=1)}
    arch |= {f"input{vertex}": [] for vertex in range(1, size)}
    for (source, target), edge in zip(combinations(range(size), 2), adjacency, strict=True):
        if edge == "1":
            arch[f"input{target}"].append(source)
    return arch


def _one_run(path: Path) -> dict[str, dict[int, Stats]]:
    found = {}
    for row in records(path):
        stats: dict[int, Stats] = {
            epochs: {"valid_acc": _percent(row[f"valid_acc_{epochs}"], path)} for epochs in EPOCHS
        }
        stats[108]["training_time"] = number(row["training_time_108_s"], path)
        found[row["hash"]] = stats
    return found


def _runs(path: Path) -> dict[str, list[Stats]]:
    return {
        row["hash"]: [
            {f"{split}_acc": _percent(row[f"{split}_acc_108_run{run}"], path) for split in ("valid", "test")}
            for run in range(3)
        ]
        for row in records(path)
    }


def _is_whole(path: Path) -> bool:
    return path.suffix == ".json" and path.is_file()


def _whole(path: Path) -> dict[str, dict[int, list[Trial]]]:
    """Return the trials of modules of which everything is told, by hash and epochs."""
    try:
        return {
            record["hash"]: {
                int(epochs): [_trial(run, int(epochs)) for run in runs] for epochs, runs in record["computed"].items()
            }
            for record in json.loads(path.read_text(encoding="utf-8"))
        }
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BenchmarkError(
            f"{path}: expected a list of records with {', '.join(_WHOLE)} in the layout of get_metrics_from_hash, got"
            f" {error!r}"
        ) from error


def _trial(run: Mapping[str, float], epochs: int) -> Trial:
    stages = [
        (
            done,
            *(100 * run[f"{stage}_{split}_accuracy"] for split in ("train", "validation", "test")),
            run[f"{stage}_training_time"],
        )
        for stage, done in (("halfway", epochs // 2), ("final", epochs))
    ]
    _, train, valid, test, seconds = stages[-1]
    return Trial({}, {"train_acc": train, "valid_acc": valid, "test_acc": test, "training_time": seconds}, stages)


def _percent(fraction: str, path: Path) -> float | None:
    value = number(fraction, path)
    return None if value is None else 100 * value
