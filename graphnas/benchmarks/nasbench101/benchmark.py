"""NAS-Bench-101 as a benchmark to build and to verify."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.layouts import Benchmark, Fact, Layout
from graphnas.benchmarks.nasbench101 import records, tables
from graphnas.benchmarks.nasbench101.architecture import checked_arch
from graphnas.benchmarks.nasbench101.constants import EPOCHS
from graphnas.benchmarks.nasbench101.graph import hash_module, infer_num_vertices
from graphnas.benchmarks.nasbench101.schema import (
    DATABASE,
    Nb101IntermediateStats,
    Nb101TrialConfig,
    Nb101TrialStats,
)
from graphnas.benchmarks.query import check_one_of
from graphnas.benchmarks.trial_table import json_or_text, trial_table

_MODULES = 423_624
_BEST = {"valid": 95.06, "test": 94.32}
"""Best mean accuracies of 108 epochs; `valid` needs the raw files."""


def facts(connection: sqlite3.Connection) -> Iterator[Fact]:
    """Compare a database with what the authors published: the size of the space, and the best modules."""
    ((modules,),) = connection.execute("SELECT COUNT(DISTINCT hash) FROM nb101trialconfig")
    yield Fact.of_count("modules", _MODULES, modules)
    for split, best in _BEST.items():
        ((found, missing),) = connection.execute(
            f"SELECT MAX(accuracy), SUM(accuracy IS NULL) FROM (SELECT AVG(t.{split}_acc) AS accuracy"
            " FROM nb101trialconfig c JOIN nb101trialstats t ON t.config_id = c.id WHERE c.num_epochs = 108"
            " GROUP BY c.id)"
        )
        known = None if missing else found  # the best of a part says nothing of the best of all
        yield Fact.of_accuracy(f"best mean {split} accuracy", best, known)


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    epochs = int(fields["num_epochs"])
    check_one_of("num_epochs", epochs, EPOCHS)
    arch = checked_arch(json_or_text(fields["arch"]))
    size = infer_num_vertices(arch)
    return {"arch": canonical_json(arch), "num_vertices": size, "hash": hash_module(arch, size), "num_epochs": epochs}


BENCHMARK = Benchmark(
    database=DATABASE,
    title="NAS-Bench-101",
    models=(Nb101TrialConfig, Nb101TrialStats, Nb101IntermediateStats),
    layouts=(
        Layout("nasbench_full.tfrecord or nasbench_only108.tfrecord", records.recognise, records.read),
        Layout("published tables: nasbench101.csv.xz and others", tables.recognise, tables.read, merged=True),
        trial_table(Nb101TrialConfig, Nb101TrialStats, ("arch", "num_epochs"), _checked),
    ),
    facts=facts,
)
