"""Records of NATS-Bench and NAS-Bench-201, as their files nest them, and the files of one record each.

A record holds, for each length of training, the results of every data set and seed. A result has, for each measurement
of the training images, a dictionary of epochs, counted from 0, and for those of other splits one of `SPLIT@EPOCH`.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphnas.benchmarks.formats.pickles import PickleStream
from graphnas.errors import BenchmarkError

_FILE = re.compile(r"\d{6}\.pickle\.pbz2")
_SPLITS = ("x-valid", "x-test", "ori-test")

Measured = dict[str, tuple[float | None, float | None]]
"""Accuracy and loss by split."""


@dataclass(frozen=True)
class Result:
    """One training.

    Attributes:
        dataset: The data set, in small letters.
        seed: The seed.
        epochs: Length of the training.
        parameters: Number of parameters, in millions.
        flops: Multiply-accumulates, in millions.
        latency: Seconds of one pass, the mean of what was measured.
        training_time: Seconds of the whole training.
        curve: What was measured after each epoch.
        times: Seconds of one pass, by split, after the last epoch.
    """

    dataset: str
    seed: int
    epochs: int
    parameters: float | None
    flops: float | None
    latency: float | None
    training_time: float | None
    curve: list[Measured]
    times: dict[str, float | None]


def record_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold one record each, in the order of their numbers."""
    return sorted(item for item in folder.iterdir() if _FILE.fullmatch(item.name)) if folder.is_dir() else []


def load_record(path: Path) -> Any:
    """Return the record in a compressed pickle.

    Raises:
        BenchmarkError: It is torn, or holds anything but plain data.
    """
    try:
        with bz2.open(path) as handle:
            record = PickleStream(handle, path).load()
            handle.read(1)  # at its end the checksum is compared
    except (OSError, EOFError) as error:
        raise BenchmarkError(f"{path}: is torn: {error}; get it again") from error
    return record


def results_of(record: Mapping[str, Any]) -> Iterator[Result]:
    """Return the trainings of a record, the shortest first.

    Raises:
        KeyError: The record lacks something, or (`TypeError`, `ValueError`, `AttributeError`) is laid out otherwise.
    """
    results = [item for info in record.values() for item in info["all_results"].items()]
    for (dataset, seed), result in sorted(results, key=lambda item: item[1]["epochs"]):
        yield _result(str(dataset).lower(), int(seed), result)


def _result(dataset: str, seed: int, result: Mapping[str, Any]) -> Result:
    epochs = int(result["epochs"])
    accuracies, losses = result["eval_acc1es"], result["eval_losses"]
    train_accuracies, train_losses = result["train_acc1es"], result["train_losses"]
    curve: list[Measured] = []
    for epoch in range(epochs):
        measured: Measured = {"train": (_number(train_accuracies[epoch]), _number(train_losses[epoch]))}
        for split in _SPLITS:
            key = f"{split}@{epoch}"
            if key in accuracies:
                measured[split] = _number(accuracies[key]), _number(losses.get(key))
        curve.append(measured)
    seconds, latency = result.get("train_times"), result.get("latency")
    times = result.get("eval_times") or {}
    return Result(
        dataset=dataset,
        seed=seed,
        epochs=epochs,
        parameters=_number(result["params"]),
        flops=_number(result["flop"]),
        latency=sum(map(_float, latency)) / len(latency) if latency else None,
        training_time=sum(_float(seconds[epoch]) for epoch in range(epochs)) if seconds else None,
        curve=curve,
        times={split: _number(times.get(f"{split}@{epochs - 1}")) for split in _SPLITS},
    )


def _number(value: Any) -> float | None:
    return None if value is None else _float(value)


def _float(value: Any) -> float:
    if type(value) not in (float, int):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)
