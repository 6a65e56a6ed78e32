"""Where the databases of benchmarks lie, and how they are opened: for reading only, and when they are first asked.

A database is written once, by `graphnas.benchmarks.build`, and never changed afterwards; a new one takes its place as a
whole. So a reader needs no locks, and many processes read one file.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import peewee

from graphnas.errors import BenchmarkError

DIRECTORY_VARIABLE = "GRAPHNAS_BENCHMARK_DIR"
"""The environment variable that names the folder of the databases."""

SCHEMA_VERSION = 1
_CACHE_VARIABLES = ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def benchmark_directory() -> Path:
    """Return the folder of the databases: `$GRAPHNAS_BENCHMARK_DIR`, else `graphnas/benchmarks` in the user's cache."""
    return _directory(*(os.environ.get(name) for name in (DIRECTORY_VARIABLE, *_CACHE_VARIABLES)))


@lru_cache(maxsize=32)
def _directory(named: str | None, cache: str | None, local: str | None, _home: str | None) -> Path:
    """Return the folder by the variables that name it: every query asks for it, and making paths is slow."""
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        caches = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = Path(cache) if cache else Path.home() / ".cache"
    return caches / "graphnas" / "benchmarks"


def canonical_json(value: Any) -> str:
    """Return the one text of a JSON value: keys sorted, so that equal dictionaries have equal texts."""
    return _encode(value)


class JSONField(peewee.TextField):
    """A JSON value, kept as its canonical text."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else canonical_json(value)

    def python_value(self, value: str | None) -> Any:
        return None if value is None else msgspec.json.decode(value)


def column_names(model: type[peewee.Model]) -> list[str]:
    """Return the columns of a table, in their order."""
    return [field.column_name for field in model._meta.sorted_fields]


class BenchmarkDatabase(peewee.SqliteDatabase):
    """The database of a benchmark, for reading. It opens by itself, at the place where it lies at that moment.

    Args:
        name: The name of the benchmark; the file is `NAME.db`.
        source: What to get from where in order to build it, for the message where it is missing.
        path: The file, where it is not the one of the benchmark's folder.
    """

    def __init__(self, name: str, source: str, path: Path | None = None) -> None:
        super().__init__(f"{name}.db")
        self.name = name
        self.source = source
        self._given = path
        self._place: tuple[Path | None, Path] = (None, Path())
        self._opened = threading.local()

    @property
    def path(self) -> Path:
        """Where the database lies, or would lie."""
        if self._given is not None:
            return self._given
        directory = benchmark_directory()
        if self._place[0] is not directory:
            self._place = (directory, directory / f"{self.name}.db")
        return self._place[1]

    def at(self, path: Path | None) -> BenchmarkDatabase:
        """Return the same database in another file; None for itself."""
        return self if path is None else BenchmarkDatabase(self.name, self.source, path)

    def reader(self) -> sqlite3.Connection:
        """Return this thread's connection to the file that lies there now.

        Where another file has taken its place, it is opened; what still reads the former one goes on doing so.

        Raises:
            BenchmarkError: There is no database, it is torn, or of another version.
        """
        opened, key = self._opened, self._key()
        if getattr(opened, "reading", None) != key:
            opened.connection = self.connect_file()
            opened.reading = key
        connection: sqlite3.Connection = opened.connection
        return connection

    def connect_file(self) -> sqlite3.Connection:
        """Return a new connection to the file.

        Raises:
            BenchmarkError: There is no database, it is torn, or of another version.
        """
        path = self.path
        if not path.is_file():
            raise self._missing()
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            rows = connection.execute("SELECT benchmark, schema_version FROM benchmarkbuild").fetchall()
        except sqlite3.DatabaseError as error:
            raise BenchmarkError(
                f"{path}: is no database of {self.name}, or it is torn: {error}; {self._how()}"
            ) from error
        if rows != [(self.name, SCHEMA_VERSION)]:
            found = ", ".join(f"{name} in version {version}" for name, version in rows) or "nothing"
            raise BenchmarkError(
                f"{path}: expected the database of {self.name} in version {SCHEMA_VERSION}, got {found}; {self._how()}"
            )
        return connection

    def execute_sql(self, *args: Any, **kwargs: Any) -> Any:
        """Execute a statement of peewee's, on the file that lies there now."""
        if not self.is_closed() and getattr(self._opened, "querying", None) != self._key():
            self.close()
        return super().execute_sql(*args, **kwargs)  # type: ignore[no-untyped-call]  # no stub

    def _connect(self) -> sqlite3.Connection:  # what peewee opens a database with
        self._opened.querying = self._key()
        return self.connect_file()

    def _key(self) -> tuple[Path, int, int]:
        """Return what tells the file that lies there now from any other."""
        path = self.path
        try:
            status = os.stat(path)
        except OSError:
            raise self._missing() from None
        return path, status.st_ino, status.st_mtime_ns

    def _missing(self) -> BenchmarkError:
        return BenchmarkError(f"{self.path}: there is no database of {self.name}; {self._how()}")

    def _how(self) -> str:
        return f"get {self.source}, and run: graphnas bench build {self.name} --from FILE"
