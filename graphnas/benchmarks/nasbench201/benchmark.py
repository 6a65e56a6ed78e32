"""NAS-Bench-201 as a benchmark to build and to verify."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from graphnas.benchmarks.database import canonical_json
from graphnas.benchmarks.layouts import Benchmark, Fact, Layout
from graphnas.benchmarks.nasbench201 import tables
from graphnas.benchmarks.nasbench201.architecture import checked_arch, from_string
from graphnas.benchmarks.nasbench201.archives import Space, file_layout, folder_layout
from graphnas.benchmarks.nasbench201.constants import DATASETS, EPOCHS
from graphnas.benchmarks.nasbench201.record import trial_config
from graphnas.benchmarks.nasbench201.schema import (
    DATABASE,
    Nb201DeviceLatency,
    Nb201Estimate,
    Nb201IntermediateStats,
    Nb201TrialConfig,
    Nb201TrialStats,
)
from graphnas.benchmarks.query import check_one_of
from graphnas.benchmarks.trial_table import json_or_text, trial_table

_CELLS = 15_625
_BEST = {"cifar10": 94.37, "cifar100": 73.51, "imagenet16-120": 47.31}
_BEST_MEAN = (
    "SELECT MAX(accuracy) FROM (SELECT AVG(t.test_acc) AS accuracy FROM nb201trialconfig c JOIN nb201trialstats t"
    " ON t.config_id = c.id WHERE c.dataset = ? AND c.num_epochs = 200 GROUP BY c.id)"
)


def facts(connection: sqlite3.Connection) -> Iterator[Fact]:
    """Compare a database with what the authors published: the size of the space, and the best cell of each data set."""
    ((cells,),) = connection.execute("SELECT COUNT(DISTINCT arch) FROM nb201trialconfig")
    yield Fact.of_count("cells", _CELLS, cells)
    for dataset, best in _BEST.items():
        ((found,),) = connection.execute(_BEST_MEAN, (dataset,))
        yield Fact.of_accuracy(f"best mean test accuracy on {dataset}", best, found)


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    epochs, dataset = int(fields["num_epochs"]), fields["dataset"].lower()
    check_one_of("num_epochs", epochs, EPOCHS)
    check_one_of("dataset", dataset, DATASETS)
    return trial_config(canonical_json(checked_arch(json_or_text(fields["arch"]))), dataset, epochs)


_SPACE = Space(
    "NAS-Bench-201",
    EPOCHS,
    lambda name, dataset, epochs: trial_config(canonical_json(from_string(name)), dataset, epochs),
)
BENCHMARK = Benchmark(
    database=DATABASE,
    title="NAS-Bench-201",
    models=(Nb201TrialConfig, Nb201TrialStats, Nb201IntermediateStats),
    extra_models=(Nb201Estimate, Nb201DeviceLatency),
    layouts=(
        file_layout("NAS-Bench-201-v1_1-096897.pth", _SPACE),
        folder_layout("the folder NATS-tss-v1_0-3ffb9-simple", _SPACE),
        Layout("published tables: nasbench201.csv.xz and others", tables.recognise, tables.read, merged=True),
        trial_table(Nb201TrialConfig, Nb201TrialStats, ("arch", "dataset", "num_epochs"), _checked),
    ),
    facts=facts,
)
