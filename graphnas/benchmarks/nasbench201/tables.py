"""Published tables of NAS-Bench-201 without the raw files, merged.

`nasbench201.csv.xz` has every cell, mostly means of several trials; the other tables, which name cells by their index
in it, put in the trials themselves or what the first does not tell. What no table tells is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import peewee

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.formats.tables import by_kind, header, number, records, whole_number
from graphnas.benchmarks.layouts import Step, Trial
from graphnas.benchmarks.nasbench201.architecture import from_string
from graphnas.benchmarks.nasbench201.constants import (
    CIFAR10,
    CIFAR10_VALID,
    CIFAR100,
    CONV_1X1,
    CONV_3X3,
    DATASETS,
    IMAGENET16_120,
)
from graphnas.benchmarks.nasbench201.record import Epoch, columns_of, times_of, trial_config
from graphnas.benchmarks.nasbench201.schema import Nb201DeviceLatency, Nb201Estimate
from graphnas.errors import BenchmarkError, UnknownArchitectureError

Stats = dict[str, Any]
Found = dict[tuple[int, str, int], list[Stats]]
"""Cell, data set and epochs to its trials, or to the one mean of them."""

_MEANS = frozenset({"index", "arch_str", "params_c10", "train_s_per_epoch_c10valid", "eval_s_c10_ori_test"})
_C10_TRIALS = frozenset({"index", "trial", "test_acc_200"})
_ONE_TRIAL = frozenset({"index", "dataset", "epochs", "train_loss", "train_acc", "test_acc"})
_TRIALS = frozenset({"index", "epochs", "dataset", "seed", "params_m", "flops_m", "latency_s", "train_s_per_epoch"})
_CURVES = frozenset({"index", "epochs", "dataset", "seed", "epoch", "x_valid_acc", "ori_test_acc"})
_LATENCIES = frozenset({"index", "1080ti_1", "fpga", "raspi4"})
_KINDS = (_MEANS, _C10_TRIALS, _ONE_TRIAL, _TRIALS, _CURVES, _LATENCIES)
"""Each table by columns that it has, in the order in which they are merged."""

_COLUMNS = {
    (CIFAR10_VALID, 12): {"valid_acc": "c10_valid_12"},
    (CIFAR10, 12): {"test_acc": "c10_test_12"},
    (CIFAR100, 12): {"valid_acc": "c100_valid_12", "test_acc": "c100_test_12"},
    (IMAGENET16_120, 12): {"valid_acc": "in16_valid_12", "test_acc": "in16_test_12"},
    (CIFAR10_VALID, 200): {"valid_acc": "c10_valid_200", "test_acc": "c10valid_test_200"},
    (CIFAR10, 200): {"test_acc": "c10_test_200"},
    (CIFAR100, 200): {"valid_acc": "c100_valid_200", "test_acc": "c100_test_200"},
    (IMAGENET16_120, 200): {"valid_acc": "in16_valid_200", "test_acc": "in16_test_200"},
}
_TRAINING = {CIFAR10_VALID: 1.0, CIFAR10: 2.0, CIFAR100: 2.0, IMAGENET16_120: 2 * 3.034}
"""Images of an epoch, over those of `cifar10-valid`; time is in proportion, as in the benchmark's records."""

_PASSES = {
    CIFAR10_VALID: {"valid": 2.5, "test": 1.0, "ori_test": 1.0},
    CIFAR10: {"test": 1.0, "ori_test": 1.0},
    CIFAR100: {"valid": 0.5, "test": 0.5, "ori_test": 1.0},
    IMAGENET16_120: {"valid": 0.3, "test": 0.3, "ori_test": 0.6},
}
"""Images of an evaluation, over 10,000."""

_MORE_PARAMETERS = {CIFAR10_VALID: 0, CIFAR10: 0, CIFAR100: 5_850, IMAGENET16_120: 7_150}
"""Parameters of the last layer, over those of ten classes."""

_FLOPS = {
    CIFAR10_VALID: (7.78305, 35.38944, 3.93216),
    CIFAR10: (7.78305, 35.38944, 3.93216),
    CIFAR100: (7.7889, 35.38944, 3.93216),
    IMAGENET16_120: (1.9534, 8.84736, 0.98304),
}
"""Millions of multiply-accumulates of a network without convolutions in its cells, and of each that is in all cells.
Exact: every cell of the raw files agrees."""

_SAME_ACC = 1e-5
"""Tables are rounded to six decimals."""


def recognise(path: Path) -> bool:
    """Tell whether a file is one of the published tables."""
    return _kind(path) is not None


def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
    """Return the cells after the first `start` ones.

    Raises:
        BenchmarkError: A table is torn, is given twice, or one that it needs is not given.
    """
    given = _given(paths)
    archs, estimates, found = _means(given[_MEANS])
    if _C10_TRIALS in given:
        _put_c10_trials(given[_C10_TRIALS], found)
    if _ONE_TRIAL in given:
        _fill_one_trial(given[_ONE_TRIAL], found)
    curves: dict[tuple[Any, ...], list[Epoch]] = {}
    if _TRIALS in given:
        curves = _curves(given[_CURVES])
        _put_trials(given[_TRIALS], curves, found)
    latencies = _latencies(given[_LATENCIES]) if _LATENCIES in given else {}
    for index in range(start, len(archs)):
        trials = []
        for dataset, epochs in _COLUMNS:
            config = trial_config(archs[index], dataset, epochs)
            for stats in found[index, dataset, epochs]:
                rows_of = curves.get((index, dataset, epochs, stats.get("seed")), [])
                trials.append(Trial(config, stats, [(epoch, *values.values()) for epoch, values in rows_of]))
        extra: list[tuple[type[peewee.Model], dict[str, Any]]] = []
        if estimates[index] is not None:
            extra.append((Nb201Estimate, {"arch": archs[index], "ori_test_evaluation_time": estimates[index]}))
        if index in latencies:
            extra.append((Nb201DeviceLatency, {"arch": archs[index], "latency_ms": latencies[index]}))
        yield Step(index + 1, (index + 1) / len(archs), trials, extra)


def _kind(path: Path) -> frozenset[str] | None:
    columns = set(header(path))
    return next((kind for kind in _KINDS if kind <= columns), None)


def _given(paths: Sequence[Path]) -> dict[frozenset[str] | None, Path]:
    given = by_kind(paths, _kind)
    if _MEANS not in given:
        raise BenchmarkError(f"{paths[0]}: tells cells by their index in nasbench201.csv.xz; give that table as well")
    if (_TRIALS in given) != (_CURVES in given):
        raise BenchmarkError(f"{paths[0]}: the tables of whole trials and of their curves need each other; give both")
    return given


def _means(path: Path) -> tuple[list[str], list[float | None], Found]:
    """Return the texts of the cells in their order, the estimates of their times of evaluation, and what is told."""
    archs: list[str] = []
    estimates: list[float | None] = []
    found: Found = {}
    for row in records(path):
        index = len(archs)
        if row["index"] != str(index):
            raise BenchmarkError(f"{path}: expected the cells in their order, got {row['index']} at {index}")
        try:
            arch = from_string(row["arch_str"])
        except UnknownArchitectureError as error:
            raise BenchmarkError(f"{path}: cell {index}: {error}") from error
        per_epoch = number(row["train_s_per_epoch_c10valid"], path)
        evaluation = number(row["eval_s_c10_ori_test"], path)
        for (dataset, epochs), columns in _COLUMNS.items():
            stats: Stats = {field: number(row[column], path) for field, column in columns.items()}
            if dataset in (CIFAR10, CIFAR10_VALID) and "test_acc" in stats:
                stats["ori_test_acc"] = stats["test_acc"]
            stats["parameters"] = (whole_number(row["params_c10"], path) + _MORE_PARAMETERS[dataset]) / 1e6
            stats["flops"] = _flops(arch, dataset)
            if per_epoch is not None:
                stats["training_time"] = epochs * _TRAINING[dataset] * per_epoch
            if evaluation is not None:
                for split, images in _PASSES[dataset].items():
                    stats[f"{split}_evaluation_time"] = evaluation * images
            found[index, dataset, epochs] = [stats]
        archs.append(canonical_json(arch))
        estimates.append(None if evaluation is not None else number(row["eval_s_c10_ori_test_estimated"], path))
    return archs, estimates, found


def _flops(arch: Mapping[str, str], dataset: str) -> float:
    """Return the benchmark's count of a network, in millions."""
    operations = list(arch.values())
    convolutions = operations.count(CONV_3X3), operations.count(CONV_1X1)
    base, conv_3x3, conv_1x1 = _FLOPS[dataset]
    return round(base + conv_3x3 * convolutions[0] + conv_1x1 * convolutions[1], 6)


def _put_c10_trials(path: Path, found: Found) -> None:
    """Let the 200-epoch trials on CIFAR-10 take the place of their mean."""
    accuracies: dict[int, list[float | None]] = {}
    for row in records(path):
        accuracies.setdefault(whole_number(row["index"], path), []).append(number(row["test_acc_200"], path))
    for index, values in accuracies.items():
        (mean,) = _rows_of(found, (index, CIFAR10, 200), path)
        found[index, CIFAR10, 200] = [mean | {"test_acc": value, "ori_test_acc": value} for value in values]


def _fill_one_trial(path: Path, found: Found) -> None:
    """Put in what is told of one trial, where that trial is told from its fellows by its accuracy."""
    for row in records(path):
        told = {field: number(row[field], path) for field in ("train_acc", "train_loss")}
        accuracy = number(row["test_acc"], path)
        for stats in _rows_of(
            found, (whole_number(row["index"], path), row["dataset"], whole_number(row["epochs"], path)), path
        ):
            known = stats.get("test_acc")
            if accuracy is not None and known is not None and abs(accuracy - known) < _SAME_ACC:
                stats.update(told)
                break


def _curves(path: Path) -> dict[tuple[Any, ...], list[Epoch]]:
    """Return what was measured after each epoch, by cell, data set, epochs and seed."""
    curves: dict[tuple[Any, ...], list[Epoch]] = {}
    for row in records(path):
        if row["dataset"] not in DATASETS:
            raise BenchmarkError(f"{path}: expected one of {', '.join(DATASETS)}, got {row['dataset']!r}")
        split = {
            "train": (number(row["train_acc"], path), number(row["train_loss"], path)),
            "x-valid": (number(row["x_valid_acc"], path), number(row["x_valid_loss"], path)),
            "x-test": (number(row["x_test_acc"], path), number(row["x_test_loss"], path)),
            "ori-test": (number(row["ori_test_acc"], path), number(row["ori_test_loss"], path)),
        }
        key = (
            whole_number(row["index"], path),
            row["dataset"],
            whole_number(row["epochs"], path),
            whole_number(row["seed"], path),
        )
        curves.setdefault(key, []).append((whole_number(row["epoch"], path), columns_of(row["dataset"], split)))
    return curves


def _put_trials(path: Path, curves: Mapping[tuple[Any, ...], list[Epoch]], found: Found) -> None:
    """Let trials of which everything is told take the place of all else that is told of them."""
    whole: Found = {}
    for row in records(path):
        key = (whole_number(row["index"], path), row["dataset"], whole_number(row["epochs"], path))
        _rows_of(found, key, path)
        curve = curves.get((*key, whole_number(row["seed"], path)))
        if not curve:
            raise BenchmarkError(f"{path}: the curve of cell {key[0]} on {key[1]} is missing; give the table of curves")
        per_epoch = number(row["train_s_per_epoch"], path)
        times = {
            split: number(row[f"{split.replace('-', '_')}_eval_s"], path) for split in ("x-valid", "x-test", "ori-test")
        }
        stats: Stats = {
            "seed": whole_number(row["seed"], path),
            **curve[-1][1],
            "parameters": number(row["params_m"], path),
            "flops": number(row["flops_m"], path),
            "latency": number(row["latency_s"], path),
            "training_time": None if per_epoch is None else per_epoch * key[2],
            **times_of(key[1], times),
        }
        whole.setdefault(key, []).append(stats)
    found.update(whole)


def _latencies(path: Path) -> dict[int, str]:
    """Return the text of the latencies by device of each cell."""
    return {
        whole_number(row.pop("index"), path): canonical_json(
            {device: value for device, text in row.items() if (value := number(text, path)) is not None}
        )
        for row in records(path)
    }


def _rows_of(found: Found, key: tuple[int, str, int], path: Path) -> list[Stats]:
    if key not in found:
        raise BenchmarkError(
            f"{path}: there is no cell {key[0]} with {key[2]} epochs of {key[1]} in nasbench201.csv.xz"
        )
    return found[key]
