"""What anybody may ask a store, of whichever version it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import peewee

from graphnas.errors import StoreError
from graphnas.experiment.store.place import DATABASE_NAME, connect_reader, is_locked
from graphnas.experiment.store.schema import SCHEMA_VERSION, TRIAL_COLUMNS, trial_columns
from graphnas.experiment.trial import Metric, Trial, TrialStatus


@dataclass(frozen=True)
class Description:
    """What an experiment is: from this, and code that can be imported, it can be continued.

    Attributes:
        id: The experiment's id.
        config: Fields of the configuration.
        domains: Each label with its domain as JSON.
        space: The JSON form of the model space, or None where it has none.
        evaluator: The JSON form of the evaluator, or None where it has none.
        strategy: The JSON form of the strategy.
    """

    id: str
    config: dict[str, Any]
    domains: dict[str, Any]
    space: dict[str, Any] | None
    evaluator: dict[str, Any] | None
    strategy: dict[str, Any] | None


@dataclass(frozen=True)
class Summary:
    """What a listing shows of an experiment; it costs the same for few and for many trials.

    Attributes:
        id: The experiment's id.
        name: The name that the user gave it, or None.
        created_at: When it was created, in seconds since the epoch.
        elapsed_s: Seconds that it has run, over all its runs.
        ended: Why the last run ended; None while one is going on, or if its process died.
        is_running: Whether a process runs it now.
        counts: Number of trials by the name of their status, in the order of the statuses.
    """

    id: str
    name: str | None
    created_at: float
    elapsed_s: float
    ended: str | None
    is_running: bool
    counts: dict[str, int]


class Reader:
    """The store of one experiment, open for reading, while another process may write it. Close it at the end."""

    def __init__(self, directory: Path, database: peewee.SqliteDatabase, version: int = SCHEMA_VERSION) -> None:
        self.directory = directory
        self._database = database
        self._columns = trial_columns(version)
        self._version = version

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Open the store of an existing experiment for reading. Nothing is written, nothing is migrated.

        Raises:
            StoreError: There is none, it cannot be read, or it is of a version that this graphnas does not know.
        """
        check_exists(directory)
        reader = cls(directory, connect_reader(directory))
        try:
            reader._take_version(reader.schema_version())
        except BaseException:
            reader.close()
            raise
        return reader

    def close(self) -> None:
        """Close the connection of this thread; the next question opens it again."""
        self._database.close()

    def schema_version(self) -> int:
        """Return the version of the schema that the file has.

        Raises:
            StoreError: It cannot be read, or this graphnas does not know the version.
        """
        if not self._rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"):
            raise StoreError(
                f"{self._path}: holds no experiment, as the process that began to create it was ended; nothing had "
                "run. Start it again"
            )
        version = self._rows("SELECT version FROM schema_version")[0][0]
        if version not in range(1, SCHEMA_VERSION + 1):
            raise StoreError(
                f"{self._path}: schema version {version}, this graphnas reads 1 to {SCHEMA_VERSION}; "
                "open it with the version of graphnas that wrote it"
            )
        return int(version)

    def describe(self) -> Description:
        """Return what the experiment is."""
        columns = "id, config, domains, space, evaluator, strategy"
        (row,) = self._rows(f"SELECT {columns} FROM experiment")
        config, domains, space, evaluator, strategy = (None if text is None else json.loads(text) for text in row[1:])
        return Description(row[0], config or {}, domains or {}, space, evaluator, strategy)

    def summary(self) -> Summary:
        """Return what a listing shows."""
        name = "name" if self._version >= 2 else "json_extract(config, '$.experiment_name')"
        (row,) = self._rows(f"SELECT id, {name}, created_at, elapsed_s, ended FROM experiment")
        identity, title, created_at, elapsed_s, ended = row
        return Summary(identity, title, created_at, elapsed_s, ended, is_locked(self.directory), self.counts())

    def counts(self) -> dict[str, int]:
        """Return the number of trials by the name of their status, in the order of the statuses, none with 0."""
        found = dict(self._rows("SELECT status, COUNT(*) FROM trial GROUP BY status"))
        return {status.value: found[status.value] for status in TrialStatus if status.value in found}

    @property
    def elapsed_s(self) -> float:
        """Seconds that the experiment has run so far, over all its runs."""
        return float(self._rows("SELECT elapsed_s FROM experiment")[0][0])

    @property
    def ended(self) -> str | None:
        """Why the last run ended; None while one is going on, or if its process died."""
        value = self._rows("SELECT ended FROM experiment")[0][0]
        return None if value is None else str(value)

    def strategy_state(self) -> dict[str, Any] | None:
        """Return the state that was written with the last submission, or None before the first."""
        rows = self._rows("SELECT state FROM strategy_state")
        return json.loads(rows[0][0]) if rows else None

    def trials(self, first: int = 0, count: int | None = None) -> list[Trial]:
        """Return trials in the order of their numbers: all, or at most `count` from number `first` on."""
        return list(self.each_trial(first, count))

    def each_trial(self, first: int = 0, count: int | None = None) -> Iterator[Trial]:
        """Yield what `trials` returns, one by one, as a hundred thousand need not be in memory."""
        return self._trials("WHERE number >= ? ORDER BY number LIMIT ?", (first, -1 if count is None else count))

    def latest(self, count: int) -> list[Trial]:
        """Return the last `count` trials in the order of their numbers."""
        return list(self._trials("ORDER BY number DESC LIMIT ?", (count,)))[::-1]

    def trial(self, number: int) -> Trial | None:
        """Return one trial, or None where there is no such number."""
        return next(self._trials("WHERE number = ?", (number,)), None)

    def next_number(self) -> int:
        """Return the number of the next trial."""
        return int(self._rows("SELECT COALESCE(MAX(number), -1) + 1 FROM trial")[0][0])

    def of_status(self, *statuses: TrialStatus) -> list[Trial]:
        """Return the trials of some statuses in the order of their numbers."""
        marks = ", ".join("?" * len(statuses))
        return list(self._trials(f"WHERE status IN ({marks}) ORDER BY number", tuple(s.value for s in statuses)))

    def told(self) -> Iterator[Trial]:
        """Yield the finished trials in the order in which the strategy was told of them."""
        return self._trials("WHERE told IS NOT NULL ORDER BY told")

    def top(self, count: int, *, maximize: bool) -> list[Trial]:
        """Return the completed trials with the best metrics, the best first; the earlier of equals first."""
        order = "DESC" if maximize else "ASC"
        where = f"WHERE status = ? AND metric IS NOT NULL ORDER BY metric {order}, number LIMIT ?"
        return list(self._trials(where, (TrialStatus.COMPLETED.value, count)))

    def completed_with_key(self, key: str) -> Trial | None:
        """Return the first completed trial whose `key` is this, or None."""
        if self._version < 2:
            return None
        where = "WHERE key = ? AND status = ? AND metric IS NOT NULL ORDER BY number LIMIT 1"
        return next(self._trials(where, (key, TrialStatus.COMPLETED.value)), None)

    def has_keys(self) -> bool:
        """Whether any trial has a `key` by which it could be found."""
        return self._version >= 2 and bool(self._rows("SELECT 1 FROM trial WHERE key IS NOT NULL LIMIT 1"))

    def intermediate(self, number: int) -> list[Metric]:
        """Return the intermediate metrics of a trial in the order of the reports."""
        query = "SELECT metric, metrics FROM intermediate WHERE trial = ? ORDER BY step"
        return [float(row[0]) if row[1] is None else json.loads(row[1]) for row in self._rows(query, (number,))]

    @property
    def _path(self) -> Path:
        return self.directory / DATABASE_NAME

    def _take_version(self, version: int) -> None:
        self._version = version
        self._columns = trial_columns(version)

    def _trials(self, rest: str, parameters: tuple[Any, ...] = ()) -> Iterator[Trial]:
        for row in self._each_row(f"SELECT {self._columns} FROM trial {rest}", parameters):
            yield _trial(row)

    def _rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return list(self._each_row(query, parameters))

    def _each_row(self, query: str, parameters: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._database.execute_sql(query, parameters)  # type: ignore[no-untyped-call]  # no stub
        except (peewee.DatabaseError, sqlite3.DatabaseError) as error:
            raise StoreError(f"{self._path}: cannot be read: {error}") from error


def check_exists(directory: Path) -> None:
    """Refuse a folder that holds no store.

    Raises:
        StoreError: There is no database in it.
    """
    if not (directory / DATABASE_NAME).is_file():
        raise StoreError(f"{directory}: no experiment here (there is no {DATABASE_NAME}); check the id or the path")


def _trial(row: tuple[Any, ...]) -> Trial:
    fields = dict(zip(TRIAL_COLUMNS, row, strict=True))
    fields["status"] = TrialStatus(fields["status"])
    fields["decisions"] = json.loads(fields["decisions"])
    if fields["metrics"] is not None:
        fields["metrics"] = json.loads(fields["metrics"])
    return Trial(**fields)
