"""Queries of NAS-Bench-101."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.nasbench101.architecture import checked_arch
from graphnas.benchmarks.nasbench101.constants import EPOCHS
from graphnas.benchmarks.nasbench101.graph import hash_module
from graphnas.benchmarks.nasbench101.schema import (
    DATABASE,
    Nb101IntermediateStats,
    Nb101TrialConfig,
    Nb101TrialStats,
)
from graphnas.benchmarks.query import BenchmarkTable, TrialQuery, check_one_of
from graphnas.errors import UnknownArchitectureError

_QUERY = TrialQuery(
    Nb101TrialConfig,
    Nb101TrialStats,
    Nb101IntermediateStats,
    selective=("hash",),
    constant=("parameters",),
    identities=(),
)


def query_nb101_trial_stats(
    arch: Mapping[str, Any] | None,
    num_epochs: int | None,
    isomorphism: bool = True,
    reduction: str | None = None,
    include_intermediates: bool = False,
) -> Iterator[dict[str, Any]]:
    """Return the trials of NAS-Bench-101 that fit, each as a dictionary with its configuration in `config`.

    Args:
        arch: Operations `op1`, … and lists of inputs `input1`, … up to the output; None for any. Vertices that lead
            nowhere do not count, nor does the order of inputs.
        num_epochs: 4, 12, 36 or 108; None for any.
        isomorphism: Find a module under any numbering of its vertices, else only under that of the benchmark.
        reduction: `mean` for one dictionary for each configuration, of the means of its trials; None or `none` for
            every trial.
        include_intermediates: Add the list `intermediates`, of half way and end.

    Raises:
        UnknownArchitectureError: The architecture lies outside the space.
        BenchmarkError: Another argument does, or there is no database.
    """
    return _QUERY.run(DATABASE, _conditions(arch, num_epochs, isomorphism), reduction, include_intermediates)


def _conditions(arch: Mapping[str, Any] | None, num_epochs: int | None, isomorphism: bool) -> dict[str, Any]:
    check_one_of("num_epochs", num_epochs, EPOCHS)
    conditions: dict[str, Any] = {"num_epochs": num_epochs}
    if arch is not None:
        checked = checked_arch(arch)
        conditions["hash"] = hash_module(checked)
        if not isomorphism:
            conditions["arch"] = canonical_json(checked)
    return conditions


class Table(BenchmarkTable):
    """What a search asks of NAS-Bench-101: the mean measurements of one module at a time.

    Use `open`. It may be shared by threads.
    """

    default = DATABASE

    def metrics(self, arch: Mapping[str, Any], num_epochs: int) -> dict[str, Any]:
        """Return the statistics of a module, as `query_nb101_trial_stats` gives them with the reduction `mean`.

        Raises:
            UnknownArchitectureError: The module lies outside the space, or the table does not have it.
            BenchmarkError: The number of epochs is unknown.
        """
        for row in _QUERY.run(self._database, _conditions(arch, num_epochs, True), "mean", include_intermediates=False):
            return row
        raise UnknownArchitectureError(
            f"{self._database.path}: there is no measurement of {arch} with {num_epochs} epochs"
        )

    def cost_s(self, arch: Mapping[str, Any], num_epochs: int) -> float:
        """Return the seconds of training a module, evaluations included: what a search would have spent on it.

        Raises:
            UnknownArchitectureError: The module lies outside the space, or the table has no time of it.
            BenchmarkError: The number of epochs is unknown.
        """
        spent = self.cost_of(self.metrics(arch, num_epochs))
        if spent is None:
            raise UnknownArchitectureError(
                f"{self._database.path}: there is no training time of {arch} with {num_epochs} epochs"
            )
        return spent

    def cost_of(self, metrics: Mapping[str, Any]) -> float | None:
        """Return what `cost_s` gives, of the statistics that `metrics` gave; None where the table has no time."""
        spent: float | None = metrics["training_time"]
        return spent
