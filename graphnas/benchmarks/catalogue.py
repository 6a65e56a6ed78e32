"""The benchmarks by name, and what is known of their databases without querying them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from graphnas.benchmarks.build import Progress, checksum
from graphnas.benchmarks.database import BenchmarkDatabase
from graphnas.benchmarks.layouts import Benchmark, Fact
from graphnas.errors import BenchmarkError

_PACKAGES = {
    "nasbench101": "nasbench101",
    "nasbench201": "nasbench201",
    "natsbench_sss": "natsbench",
    "nds": "nds",
}
NAMES = tuple(_PACKAGES)


@dataclass(frozen=True)
class Installed:
    """A database as it lies there.

    Attributes:
        name: Name of the benchmark.
        path: Where its database lies, or would lie.
        size_bytes: Its size; None where there is none.
        trials: Number of trials.
        sources: Names of the files that it was built from.
        problem: Why it cannot be used; empty where it can.
    """

    name: str
    path: Path
    size_bytes: int | None = None
    trials: int = 0
    sources: tuple[str, ...] = ()
    problem: str = ""


def find(name: str) -> Benchmark:
    """Return a benchmark by its name.

    Raises:
        BenchmarkError: There is none of that name.
    """
    if name not in NAMES:
        raise BenchmarkError(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}")
    benchmark: Benchmark = import_module(f"graphnas.benchmarks.{_PACKAGES[name]}.benchmark").BENCHMARK
    return benchmark


def installed(name: str, directory: Path | None = None) -> Installed:
    """Return what lies there of a benchmark."""
    benchmark = find(name)
    database = _database(benchmark.database, directory)
    try:
        with closing(database.connect_file()) as connection:
            sources = tuple(row[0] for row in connection.execute("SELECT name FROM benchmarksource ORDER BY id"))
            ((trials,),) = connection.execute(f"SELECT COUNT(*) FROM {benchmark.models[1]._meta.table_name}")
    except (BenchmarkError, sqlite3.DatabaseError) as error:
        return Installed(name, database.path, problem=str(error))
    return Installed(name, database.path, database.path.stat().st_size, trials, sources)


def verify(name: str, directory: Path | None = None, progress: Progress = lambda what, done: None) -> tuple[Fact, ...]:
    """Return what is to be held of a database: that nothing in it has changed, and what was published of it.

    Raises:
        BenchmarkError: There is no database, it is torn, or of another version.
    """
    benchmark = find(name)
    database = _database(benchmark.database, directory)
    with closing(database.connect_file()) as connection:
        try:
            progress("structure", 0.0)
            ((structure,),) = connection.execute("PRAGMA quick_check(1)")
            ((written,),) = connection.execute("SELECT checksum FROM benchmarkbuild")
            found = checksum(benchmark, connection, progress)
            return (
                Fact("structure", "ok", structure, structure == "ok"),
                Fact("checksum of all rows", written[:16], found[:16], found == written),
                *benchmark.facts(connection),
            )
        except sqlite3.DatabaseError as error:
            raise BenchmarkError(f"{database.path}: is torn: {error}; build it again") from error


def _database(database: BenchmarkDatabase, directory: Path | None) -> BenchmarkDatabase:
    return database.at(None if directory is None else directory / f"{database.name}.db")
