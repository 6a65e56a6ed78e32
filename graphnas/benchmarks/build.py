"""Building a database from published files.

A build writes beside the database, in steps that each commit together with the place in the source, and takes its place
at the end as a whole. So a build that was killed leaves the former database as it was and goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee

from graphnas.benchmarks.database import SCHEMA_VERSION, benchmark_directory, column_names
from graphnas.benchmarks.layouts import Benchmark, Layout, Step, Trial
from graphnas.benchmarks.provenance import BenchmarkBuild, BenchmarkSource
from graphnas.errors import BenchmarkError

Progress = Callable[[str, float], None]
"""Is told what is going on, and how much of it is done, from 0 to 1."""

_ROWS_PER_COMMIT = 200_000
_PROGRESS = 0.002
_BLOCK = 1 << 20
_STATE = "CREATE TABLE buildstate (sources TEXT NOT NULL, position INTEGER NOT NULL)"


@dataclass(frozen=True)
class BuildReport:
    """What a build made.

    Attributes:
        path: The database.
        layout: The layout of the sources.
        configs: Number of configurations.
        trials: Number of trials.
        intermediates: Number of measurements on the way.
        checksum: SHA-256 of all rows.
        told: Each field of the statistics with the fraction of trials of which the sources tell it; else it is NULL.
    """

    path: Path
    layout: str
    configs: int
    trials: int
    intermediates: int
    checksum: str
    told: dict[str, float]


@dataclass(frozen=True)
class _Source:
    name: str
    size_bytes: int
    sha256: str


def build(
    benchmark: Benchmark,
    sources: Sequence[str | Path],
    *,
    directory: str | Path | None = None,
    progress: Progress = lambda what, done: None,
) -> BuildReport:
    """Build the database of a benchmark, or go on with a build of the same sources that was stopped.

    Args:
        benchmark: What to build.
        sources: Published files. Tables are merged where there are several.
        directory: Where to put the database, by default the folder of the benchmarks.
        progress: Is told how far the build is.

    Raises:
        BenchmarkError: A source is missing, torn or of no layout that is known, or the folder cannot be written.
    """
    paths = [Path(source) for source in sources]
    layout = _layout(benchmark, paths)
    folder = Path(directory) if directory is not None else benchmark_directory()
    name = benchmark.database.name
    target, partial = folder / f"{name}.db", folder / f"{name}.db.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{name}.lock"):
            found = [_source(path, progress) for path in paths]
            with closing(_partial(benchmark, partial, found)) as database:
                connection = _raw(database)
                ((start,),) = connection.execute("SELECT position FROM buildstate")
                _Writer(benchmark, connection).write(layout.read(paths, start), progress)
                total = _finish(benchmark, database, found, layout, progress)
                configs, trials, intermediates = (_count(connection, model) for model in benchmark.models)
                told = _told(benchmark.models[1], connection)
            _put(partial, target)
    except (OSError, sqlite3.OperationalError, peewee.OperationalError) as error:
        raise BenchmarkError(f"{target}: cannot be built: {error}; a former database is as it was") from error
    return BuildReport(target, layout.name, configs, trials, intermediates, total, told)


def checksum(benchmark: Benchmark, connection: sqlite3.Connection, progress: Progress = lambda what, done: None) -> str:
    """Return the SHA-256 of all rows of a database: the same for the same sources, wherever it was built."""
    digest = hashlib.sha256()
    models = (*benchmark.models, *benchmark.extra_models)
    for place, model in enumerate(models):
        progress("checksum", place / len(models))
        digest.update(f"{_table(model)}:{','.join(column_names(model))}\n".encode())
        for row in connection.execute(f"SELECT {', '.join(column_names(model))} FROM {_table(model)} ORDER BY id"):
            digest.update(repr(row).encode())
    return digest.hexdigest()


class _Writer:
    """Gives ids to configurations and trials, and writes them."""

    def __init__(self, benchmark: Benchmark, connection: sqlite3.Connection) -> None:
        self._connection = connection
        config, stats, intermediate = benchmark.models
        self._config_fields = column_names(config)[1:]
        self._stats_fields = column_names(stats)[2:]
        self._insert = {model: _insert(model) for model in (*benchmark.models, *benchmark.extra_models)}
        self._models = benchmark.models
        self._ids = {
            _digest(row[1:]): row[0]
            for row in connection.execute(f"SELECT id, {', '.join(self._config_fields)} FROM {_table(config)}")
        }
        self._trials, self._epochs = _count(connection, stats), _count(connection, intermediate)

    def write(self, steps: Iterator[Step], progress: Progress) -> None:
        pending: list[Step] = []
        rows, told = 0, 0.0
        for step in steps:
            pending.append(step)
            rows += len(step.extra) + sum(1 + len(trial.epochs) for trial in step.trials)
            if step.done >= told:
                progress("reading", step.done)
                told = step.done + _PROGRESS
            if rows >= _ROWS_PER_COMMIT:
                self._commit(pending)
                pending, rows = [], 0
        if pending:
            self._commit(pending)

    def _commit(self, steps: Sequence[Step]) -> None:
        configs: list[tuple[Any, ...]] = []
        stats: list[tuple[Any, ...]] = []
        epochs: list[tuple[Any, ...]] = []
        for trial in (trial for step in steps for trial in step.trials):
            self._trials += 1
            stats.append((self._trials, self._config_id(trial, configs), *map(trial.stats.get, self._stats_fields)))
            for row in trial.epochs:
                self._epochs += 1
                epochs.append((self._epochs, self._trials, *row))
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        for model, rows in zip(self._models, (configs, stats, epochs), strict=True):
            self._connection.executemany(self._insert[model], rows)
        for model, fields in (row for step in steps for row in step.extra):
            execute(self._insert[model], (None, *map(fields.get, column_names(model)[1:])))
        execute("UPDATE buildstate SET position = ?", (steps[-1].position,))
        execute("COMMIT")

    def _config_id(self, trial: Trial, new: list[tuple[Any, ...]]) -> int:
        row = tuple(map(trial.config.get, self._config_fields))
        digest = _digest(row)
        number: int | None = self._ids.get(digest)
        if number is None:
            number = self._ids[digest] = len(self._ids) + 1
            new.append((number, *row))
        return number


def _layout(benchmark: Benchmark, paths: Sequence[Path]) -> Layout:
    if not paths:
        raise BenchmarkError(f"{benchmark.title}: expected at least one file to build from, got none")
    layouts = [_layout_of(benchmark, path) for path in paths]
    if len(set(layouts)) > 1:
        raise BenchmarkError(
            f"{paths[0]} and {paths[1]}: expected files of one layout, got {', '.join(x.name for x in layouts)};"
            " build from the one that holds more"
        )
    if len(paths) > 1 and not layouts[0].merged:
        raise BenchmarkError(f"{paths[1]}: expected one source, since {layouts[0].name} is complete, got {len(paths)}")
    if len({path.resolve() for path in paths}) < len(paths):
        raise BenchmarkError(f"{paths[0]}: a file is given twice")
    return layouts[0]


def _layout_of(benchmark: Benchmark, path: Path) -> Layout:
    known = "; ".join(layout.name for layout in benchmark.layouts)
    if not path.exists():
        raise BenchmarkError(f"{path}: there is no such file; {benchmark.title} is built from: {known}")
    try:
        for layout in benchmark.layouts:
            if layout.recognise(path):
                return layout
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{path}: cannot be read: {error}") from error
    raise BenchmarkError(f"{path}: is of no layout of {benchmark.title} that is known: {known}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl  # not on every platform, and only a build needs it

    with path.open("a+b") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BenchmarkError(f"{path}: another process builds this database; wait for it, or stop it") from error
        yield


def _source(path: Path, progress: Progress) -> _Source:
    """Return size and checksum of a file, or of all files of a folder."""
    files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    total = sum(file.stat().st_size for file in files)
    digest, read = hashlib.sha256(), 0
    for file in files:
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()}:{file.stat().st_size}\n".encode())
        with file.open("rb") as handle:
            while block := handle.read(_BLOCK):
                digest.update(block)
                read += len(block)
                progress(f"checksum of {path.name}", read / total)
    return _Source(path.name, total, digest.hexdigest())


def _partial(benchmark: Benchmark, path: Path, sources: Sequence[_Source]) -> peewee.SqliteDatabase:
    """Open the unfinished database, as it was left by a build of the same sources, or else a new one."""
    wanted = json.dumps([SCHEMA_VERSION, *([s.name, s.size_bytes, s.sha256] for s in sources)])
    try:
        database = _writable(path)
        if _raw(database).execute("SELECT sources FROM buildstate").fetchall() == [(wanted,)]:
            return database
        database.close()
    except (sqlite3.DatabaseError, peewee.DatabaseError):
        pass  # a new file, or one of a build that did not get as far as this
    for leftover in (path, path.with_name(f"{path.name}-journal")):
        leftover.unlink(missing_ok=True)
    database = _writable(path)
    with database.atomic():
        for model in (*benchmark.models, *benchmark.extra_models, BenchmarkBuild, BenchmarkSource):
            peewee.SchemaManager(model, database).create_table(safe=False)
        _raw(database).execute(_STATE)
        _raw(database).execute("INSERT INTO buildstate VALUES (?, 0)", (wanted,))
    return database


def _writable(path: Path) -> peewee.SqliteDatabase:
    # Not synced at every step: a killed process loses nothing by that, and the whole is synced at the end.
    pragmas = {"journal_mode": "delete", "synchronous": "off", "cache_size": -65536}
    database = peewee.SqliteDatabase(str(path), pragmas=pragmas)
    database.connect()
    return database


def _raw(database: peewee.SqliteDatabase) -> sqlite3.Connection:
    connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]  # no stub
    return connection


def _finish(
    benchmark: Benchmark,
    database: peewee.SqliteDatabase,
    sources: Sequence[_Source],
    layout: Layout,
    progress: Progress,
) -> str:
    """Index the tables, and write down what they are; return the checksum."""
    connection = _raw(database)
    with database.atomic():
        models = (*benchmark.models, *benchmark.extra_models)
        for place, model in enumerate(models):
            progress("indices", place / len(models))
            peewee.SchemaManager(model, database).create_indexes(safe=True)
        total = checksum(benchmark, connection, progress)
        connection.execute(_insert(BenchmarkBuild), (1, benchmark.database.name, SCHEMA_VERSION, total))
        connection.executemany(
            _insert(BenchmarkSource),
            [(number, s.name, s.size_bytes, s.sha256, layout.name) for number, s in enumerate(sources, start=1)],
        )
        connection.execute("DROP TABLE buildstate")
    return total


def _put(partial: Path, target: Path) -> None:
    """Let a finished database take its place, safe on the disk."""
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(target)


def _digest(row: Sequence[Any]) -> bytes:
    """Return a short key of a configuration: a benchmark has millions, and all are remembered during a build."""
    return hashlib.blake2b(repr(row).encode(), digest_size=16).digest()


def _count(connection: sqlite3.Connection, model: type[peewee.Model]) -> int:
    ((count,),) = connection.execute(f"SELECT COUNT(*) FROM {_table(model)}")
    return int(count)


def _told(stats: type[peewee.Model], connection: sqlite3.Connection) -> dict[str, float]:
    fields = column_names(stats)[2:]
    counts = ", ".join(f"COUNT({field})" for field in fields)
    ((trials, *told),) = connection.execute(f"SELECT COUNT(*), {counts} FROM {_table(stats)}")
    return {field: count / trials if trials else 0.0 for field, count in zip(fields, told, strict=True)}


def _insert(model: type[peewee.Model]) -> str:
    columns = column_names(model)
    return f"INSERT INTO {_table(model)} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


def _table(model: type[peewee.Model]) -> str:
    return str(model._meta.table_name)
