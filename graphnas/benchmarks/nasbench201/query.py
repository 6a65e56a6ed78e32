"""Queries of NAS-Bench-201."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.nasbench201.architecture import checked_arch
from graphnas.benchmarks.nasbench201.constants import CIFAR10, CIFAR10_VALID, CIFAR100, DATASETS, EPOCHS, IMAGENET16_120
from graphnas.benchmarks.nasbench201.schema import (
    DATABASE,
    Nb201IntermediateStats,
    Nb201TrialConfig,
    Nb201TrialStats,
)
from graphnas.benchmarks.query import BenchmarkTable, TrialQuery, check_one_of
from graphnas.errors import UnknownArchitectureError

_QUERY = TrialQuery(
    Nb201TrialConfig,
    Nb201TrialStats,
    Nb201IntermediateStats,
    selective=("arch",),
    constant=("parameters", "flops"),
)
_ESTIMATE = "SELECT ori_test_evaluation_time FROM nb201estimate WHERE arch = ?"
_LATENCY = "SELECT latency_ms FROM nb201devicelatency WHERE arch = ?"
_PASSES = {CIFAR10_VALID: 2.5, CIFAR10: 1.0, CIFAR100: 0.5, IMAGENET16_120: 0.3}
"""Images that an evaluation of the cost passes, over the 10,000 test images of CIFAR-10; that it is in proportion to
them holds in the benchmark's own records."""


def query_nb201_trial_stats(
    arch: Mapping[str, Any] | str | None,
    num_epochs: int | None,
    dataset: str | None,
    reduction: str | None = None,
    include_intermediates: bool = False,
) -> Iterator[dict[str, Any]]:
    """Return the trials of NAS-Bench-201 that fit, each as a dictionary with its configuration in `config`.

    Args:
        arch: Operation of each edge, `{"0_1": "conv_3x3", …}`, or the benchmark's string; None for any.
        num_epochs: 12 or 200; None for any.
        dataset: `cifar10-valid`, `cifar10`, `cifar100` or `imagenet16-120`; None for any.
        reduction: `mean` for one dictionary for each configuration, of the means of its trials; None or `none` for
            every trial.
        include_intermediates: Add the list `intermediates`, one dictionary for each epoch.

    Raises:
        UnknownArchitectureError: The architecture lies outside the space.
        BenchmarkError: Another argument does, or there is no database.
    """
    return _QUERY.run(DATABASE, _conditions(arch, num_epochs, dataset), reduction, include_intermediates)


def _conditions(arch: Mapping[str, Any] | str | None, num_epochs: int | None, dataset: str | None) -> dict[str, Any]:
    training = checked_training(num_epochs, dataset, EPOCHS)
    return {"arch": None if arch is None else canonical_json(checked_arch(arch)), **training}


def checked_training(num_epochs: int | None, dataset: str | None, lengths: Collection[int]) -> dict[str, Any]:
    """Return how long and on what was trained, as fields of the configuration, for either space of NATS-Bench.

    Raises:
        BenchmarkError: There is no such data set, or none of the lengths is that of the training.
    """
    dataset = dataset.lower() if isinstance(dataset, str) else dataset
    check_one_of("dataset", dataset, DATASETS)
    check_one_of("num_epochs", num_epochs, lengths)
    return {"num_epochs": num_epochs, "dataset": dataset}


class Table(BenchmarkTable):
    """What a search asks of NAS-Bench-201: the mean measurements of one cell at a time.

    Use `open`. It may be shared by threads.
    """

    default = DATABASE

    def metrics(self, arch: Mapping[str, Any] | str, dataset: str, num_epochs: int) -> dict[str, Any]:
        """Return the statistics of a cell, as `query_nb201_trial_stats` gives them with the reduction `mean`.

        Raises:
            UnknownArchitectureError: The cell lies outside the space, or the table does not have it.
            BenchmarkError: The data set or the number of epochs is unknown.
        """
        conditions = _conditions(arch, num_epochs, dataset)
        for row in _QUERY.run(self._database, conditions, "mean", include_intermediates=False):
            return row
        raise UnknownArchitectureError(
            f"{self._database.path}: there is no measurement of {arch} with {num_epochs} epochs of {dataset}"
        )

    def cost_s(self, arch: Mapping[str, Any] | str, dataset: str, num_epochs: int) -> float:
        """Return the seconds of training a cell and evaluating it once: what a search would have spent on it.

        The evaluation is that on the validation images, or for `cifar10`, which has none, on the test images. Where no
        source measured its time, the table's estimate stands for it.

        Raises:
            UnknownArchitectureError: The cell lies outside the space, or the table has no times of it.
            BenchmarkError: The data set or the number of epochs is unknown.
        """
        found = self.metrics(arch, dataset, num_epochs)
        spent = self.cost_of(found)
        if spent is None:
            raise UnknownArchitectureError(
                f"{self._database.path}: there are no times of {arch} with {num_epochs} epochs of "
                f"{found['config']['dataset']}"
            )
        return spent

    def cost_of(self, metrics: Mapping[str, Any]) -> float | None:
        """Return what `cost_s` gives, of the statistics that `metrics` gave; None where the table has no times."""
        dataset = metrics["config"]["dataset"]
        evaluation = metrics["ori_test_evaluation_time" if dataset == CIFAR10 else "valid_evaluation_time"]
        if evaluation is None:
            text = canonical_json(metrics["config"]["arch"])
            for (estimate,) in self._database.reader().execute(_ESTIMATE, (text,)):
                evaluation = estimate * _PASSES[dataset]
        if evaluation is None or metrics["training_time"] is None:
            return None
        return float(metrics["training_time"] + evaluation)

    def device_latency_ms(self, arch: Mapping[str, Any] | str) -> dict[str, float]:
        """Return the milliseconds of one pass of a cell on each device of HELP's table.

        Raises:
            UnknownArchitectureError: The cell lies outside the space, or the table has no latencies of it.
        """
        for (text,) in self._database.reader().execute(_LATENCY, (canonical_json(checked_arch(arch)),)):
            latencies: dict[str, float] = json.loads(text)
            return latencies
        raise UnknownArchitectureError(f"{self._database.path}: there are no latencies of {arch} on devices")
