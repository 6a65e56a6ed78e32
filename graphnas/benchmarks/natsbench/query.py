"""Queries of NATS-Bench's space of sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.nasbench201.query import checked_training
from graphnas.benchmarks.natsbench.schema import (
    DATABASE,
    NatsSssIntermediateStats,
    NatsSssTrialConfig,
    NatsSssTrialStats,
)
from graphnas.benchmarks.query import TrialQuery
from graphnas.errors import UnknownArchitectureError

EPOCHS = (1, 12, 90)
"""Lengths of training that were measured."""

CHANNELS = tuple(range(8, 65, 8))
"""Channels that a stage may have."""

_STAGES = 5
_QUERY = TrialQuery(
    NatsSssTrialConfig,
    NatsSssTrialStats,
    NatsSssIntermediateStats,
    selective=("arch",),
    constant=("parameters", "flops"),
)


def query_nats_sss_trial_stats(
    arch: Sequence[int] | str | None,
    num_epochs: int | None,
    dataset: str | None,
    reduction: str | None = None,
    include_intermediates: bool = False,
) -> Iterator[dict[str, Any]]:
    """Return the trials of the space of sizes that fit, each as a dictionary with its configuration in `config`.

    Args:
        arch: Channels of the five stages, or the benchmark's string, `8:16:24:32:64`; None for any.
        num_epochs: 1, 12 or 90; None for any.
        dataset: `cifar10-valid`, `cifar10`, `cifar100` or `imagenet16-120`; None for any.
        reduction: `mean` for one dictionary for each configuration, of the means of its trials; None or `none` for
            every trial.
        include_intermediates: Add the list `intermediates`, one dictionary for each epoch.

    Raises:
        UnknownArchitectureError: The architecture lies outside the space.
        BenchmarkError: Another argument does, or there is no database.
    """
    training = checked_training(num_epochs, dataset, EPOCHS)
    conditions = {"arch": None if arch is None else canonical_json(checked_sizes(arch)), **training}
    return _QUERY.run(DATABASE, conditions, reduction, include_intermediates)


def checked_sizes(arch: Sequence[int] | str) -> list[int]:
    """Return the channels of the five stages.

    Raises:
        UnknownArchitectureError: They are none of the space.
    """
    given: Any = arch
    if isinstance(arch, str):
        given = [int(part) if part.isdecimal() else part for part in arch.split(":")]
    if (
        not isinstance(given, list | tuple)
        or len(given) != _STAGES
        or any(type(part) is not int or part not in CHANNELS for part in given)
    ):
        raise UnknownArchitectureError(
            f"arch: expected {_STAGES} numbers of channels, each of {', '.join(map(str, CHANNELS))}, got {arch!r:.100}"
        )
    return list(given)
