"""NDS as a benchmark to build and to verify."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from graphnas.benchmarks.layouts import Benchmark, Fact, Layout
from graphnas.benchmarks.nds import archive
from graphnas.benchmarks.nds.schema import DATABASE, NdsIntermediateStats, NdsTrialConfig, NdsTrialStats

_AMOEBA = 5_107
"""Trainings of networks that `amoeba` proposed, on both data sets, as NNI's documents count them."""


def facts(connection: sqlite3.Connection) -> Iterator[Fact]:
    """Compare a database with what is known of the benchmark's size."""
    ((found,),) = connection.execute(
        "SELECT COUNT(*) FROM ndstrialstats t JOIN ndstrialconfig c ON t.config_id = c.id WHERE c.proposer = 'amoeba'"
    )
    yield Fact.of_count("trials proposed by amoeba", _AMOEBA, found)


BENCHMARK = Benchmark(
    database=DATABASE,
    title="NDS",
    models=(NdsTrialConfig, NdsTrialStats, NdsIntermediateStats),
    layouts=(Layout("data.zip, or the folder nds_data of it", archive.recognise, archive.read),),
    facts=facts,
)
