"""Records of NAS-Bench-201 and NATS-Bench as rows: which split of the images fills which column.

Their files name splits `x-valid`, `x-test` and `ori-test`. `ori-test` is all of a data set's test images. Of CIFAR-100
and ImageNet16-120 it is cut into the halves `x-valid` and `x-test`. Of CIFAR-10 it stays whole, so that `test` and
`ori_test` are the same there: `x-valid` is cut off the training images (`cifar10-valid`), or there is none (`cifar10`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from graphnas.benchmarks.nasbench201.constants import CIFAR10, CIFAR10_VALID, CIFAR100, IMAGENET16_120
from graphnas.benchmarks.natsbench.records import results_of

Epoch = tuple[int, dict[str, float | None]]
"""A number of epochs from 1, and the columns of accuracy and loss after it, in the order of the tables."""

_SPLITS: dict[str, dict[str, str | None]] = {
    CIFAR10_VALID: {"train": "train", "valid": "x-valid", "test": "ori-test", "ori_test": "ori-test"},
    CIFAR10: {"train": "train", "valid": None, "test": "ori-test", "ori_test": "ori-test"},
    CIFAR100: {"train": "train", "valid": "x-valid", "test": "x-test", "ori_test": "ori-test"},
    IMAGENET16_120: {"train": "train", "valid": "x-valid", "test": "x-test", "ori_test": "ori-test"},
}
_UNKNOWN = (None, None)


def trial_config(arch: str, dataset: str, num_epochs: int) -> dict[str, Any]:
    """Return the fields of a configuration by the text of its cell; all have the same channels and number of cells."""
    return {"arch": arch, "num_epochs": num_epochs, "num_channels": 16, "num_cells": 5, "dataset": dataset}


def columns_of(dataset: str, measured: Mapping[str, tuple[float | None, float | None]]) -> dict[str, float | None]:
    """Return the columns of accuracy and loss, in the order of the tables, of (accuracy, loss) by split."""
    found = {
        name: _UNKNOWN if split is None else measured.get(split, _UNKNOWN) for name, split in _SPLITS[dataset].items()
    }
    accuracies = {f"{name}_acc": value[0] for name, value in found.items()}
    return accuracies | {f"{name}_loss": value[1] for name, value in found.items()}


def times_of(dataset: str, measured: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the columns of times of evaluation of seconds by split."""
    return {
        f"{name}_evaluation_time": None if split is None else measured.get(split)
        for name, split in _SPLITS[dataset].items()
        if name != "train"
    }


def trials_of(
    record: Mapping[str, Any], lengths: Collection[int]
) -> Iterator[tuple[str, int, dict[str, Any], list[tuple[Any, ...]]]]:
    """Return data set, epochs, statistics, and rows of the intermediate table, of each training of a record.

    Raises:
        KeyError: The record lacks something, or (`TypeError`, `ValueError`, `AttributeError`) is laid out otherwise.
    """
    for result in results_of(record):
        if result.epochs not in lengths:
            raise ValueError(f"expected a training of {', '.join(map(str, lengths))} epochs, got {result.epochs}")
        columns = [columns_of(result.dataset, measured) for measured in result.curve]
        stats = {
            "seed": result.seed,
            **columns[-1],
            "parameters": result.parameters,
            "flops": result.flops,
            "latency": result.latency,
            "training_time": result.training_time,
            **times_of(result.dataset, result.times),
        }
        curve = [(epoch, *values.values()) for epoch, values in enumerate(columns, start=1)]
        yield result.dataset, result.epochs, stats, curve
