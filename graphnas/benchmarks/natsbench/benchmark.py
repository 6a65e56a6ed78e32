"""NATS-Bench's space of sizes as a benchmark to build and to verify."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.layouts import Benchmark, Fact
from graphnas.benchmarks.nasbench201.archives import Space, folder_layout
from graphnas.benchmarks.natsbench.query import EPOCHS, checked_sizes
from graphnas.benchmarks.natsbench.schema import (
    DATABASE,
    NatsSssIntermediateStats,
    NatsSssTrialConfig,
    NatsSssTrialStats,
)

_NETWORKS = 32_768


def facts(connection: sqlite3.Connection) -> Iterator[Fact]:
    """Compare a database with the size of the space."""
    ((networks,),) = connection.execute("SELECT COUNT(DISTINCT arch) FROM natssstrialconfig")
    yield Fact.of_count("networks", _NETWORKS, networks)


_SPACE = Space(
    "NATS-Bench's space of sizes",
    EPOCHS,
    lambda name, dataset, epochs: {
        "arch": canonical_json(checked_sizes(name)),
        "num_epochs": epochs,
        "dataset": dataset,
    },
)
BENCHMARK = Benchmark(
    database=DATABASE,
    title="NATS-Bench, space of sizes",
    models=(NatsSssTrialConfig, NatsSssTrialStats, NatsSssIntermediateStats),
    layouts=(folder_layout("the folder NATS-sss-v1_0-50262-simple", _SPACE),),
    facts=facts,
)
