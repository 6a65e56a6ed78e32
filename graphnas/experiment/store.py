"""The store: everything about an experiment that outlives its process, in one SQLite file of its folder.

Promises: a finished trial is committed before anything else hears of it; a submission commits together with the state
of the strategy that asked for it; two processes never write one experiment; nothing in the file is executable. The
parent process is the only writer.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import peewee

from graphnas.errors import StoreError
from graphnas.experiment.trial import Metric, Outcome, Trial, TrialStatus, default_metric

DATABASE_NAME = "experiment.db"
LOCK_NAME = "experiment.lock"
SCHEMA_VERSION = 1

_SCHEMA = (
    "CREATE TABLE schema_version (version INTEGER NOT NULL)",
    """CREATE TABLE experiment (
        id TEXT PRIMARY KEY, created_at REAL NOT NULL, elapsed_s REAL NOT NULL DEFAULT 0, ended TEXT,
        config TEXT NOT NULL, domains TEXT NOT NULL, space TEXT, evaluator TEXT, strategy TEXT)""",
    """CREATE TABLE trial (
        number INTEGER PRIMARY KEY, status TEXT NOT NULL, decisions TEXT NOT NULL, seed INTEGER NOT NULL,
        fingerprint TEXT, metric REAL, metrics TEXT, started_at REAL, duration_s REAL, error TEXT NOT NULL DEFAULT '',
        traceback TEXT NOT NULL DEFAULT '', told INTEGER)""",
    "CREATE UNIQUE INDEX trial_told ON trial (told)",
    """CREATE TABLE intermediate (
        trial INTEGER NOT NULL REFERENCES trial (number), step INTEGER NOT NULL, metric REAL NOT NULL, metrics TEXT,
        PRIMARY KEY (trial, step)) WITHOUT ROWID""",
    "CREATE TABLE strategy_state (id INTEGER PRIMARY KEY CHECK (id = 0), state TEXT NOT NULL)",
)
_TRIAL_COLUMNS = "number, status, decisions, seed, metric, metrics, fingerprint, duration_s, error, traceback"


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


class Store:
    """The store of one experiment, opened for writing by one process or for reading by any.

    Use `create` or `open`, and `close` at the end.
    """

    def __init__(self, directory: Path, database: peewee.SqliteDatabase, lock: IO[bytes] | None) -> None:
        self.directory = directory
        self._database = database
        self._lock = lock

    @classmethod
    def create(cls, directory: Path, description: Description) -> Store:
        """Make the folder and the store of a new experiment, and lock it.

        Raises:
            StoreError: The folder holds an experiment already, or cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{directory}: the folder of the experiment cannot be made: {error}") from error
        lock = _take_lock(directory)
        try:
            if (directory / DATABASE_NAME).exists():
                raise StoreError(
                    f"{directory}: holds an experiment already; continue it with RetiariiExperiment.resume("
                    f"{str(directory)!r}), or give another experiment_directory"
                )
            store = cls(directory, _connect(directory), lock)
            with store._writing() as execute:
                for statement in _SCHEMA:
                    execute(statement)
                execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
                execute(
                    "INSERT INTO experiment (id, created_at, config, domains, space, evaluator, strategy)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (description.id, time.time(), *(_dump(part) for part in _parts(description))),
                )
        except BaseException:
            lock.close()
            raise
        return store

    @classmethod
    def open(cls, directory: Path, *, writable: bool = False) -> Store:
        """Open the store of an existing experiment; with `writable`, lock it.

        Raises:
            StoreError: There is none, it cannot be read, is of another version, or another process runs it.
        """
        if not (directory / DATABASE_NAME).is_file():
            raise StoreError(f"{directory}: no experiment here (there is no {DATABASE_NAME}); check the id or the path")
        lock = _take_lock(directory) if writable else None
        store = cls(directory, _connect(directory), lock)
        try:
            store._check_version()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the database and give up the lock. The store can still be read: it reconnects."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def describe(self) -> Description:
        """Return what the experiment is."""
        columns = "id, config, domains, space, evaluator, strategy"
        (row,) = self._rows(f"SELECT {columns} FROM experiment")
        config, domains, space, evaluator, strategy = (None if text is None else json.loads(text) for text in row[1:])
        return Description(row[0], config or {}, domains or {}, space, evaluator, strategy)

    def update_description(self, description: Description) -> None:
        """Replace the configuration and the JSON forms, as a resumed run may bring other ones."""
        with self._writing() as execute:
            execute(
                "UPDATE experiment SET config = ?, domains = ?, space = ?, evaluator = ?, strategy = ?, ended = NULL",
                tuple(_dump(part) for part in _parts(description)),
            )

    @property
    def elapsed_s(self) -> float:
        """Seconds that the experiment has run so far, over all its runs."""
        return float(self._rows("SELECT elapsed_s FROM experiment")[0][0])

    @property
    def ended(self) -> str | None:
        """Why the last run ended; None while one is going on, or if its process died."""
        value = self._rows("SELECT ended FROM experiment")[0][0]
        return None if value is None else str(value)

    def set_ended(self, reason: str, elapsed_s: float) -> None:
        """Note that a run ended, why, and after how long."""
        with self._writing() as execute:
            execute("UPDATE experiment SET ended = ?, elapsed_s = ?", (reason, elapsed_s))

    def submit(self, trial: Trial, strategy_state: dict[str, Any] | None) -> None:
        """Write a new trial and, in the same transaction, the state of the strategy that asked for it."""
        with self._writing() as execute:
            execute(
                "INSERT INTO trial (number, status, decisions, seed, fingerprint, started_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    trial.number,
                    trial.status.value,
                    _dump(trial.decisions),
                    trial.seed,
                    trial.fingerprint,
                    time.time(),
                ),
            )
            if strategy_state is not None:
                execute(
                    "INSERT INTO strategy_state VALUES (0, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
                    (_dump(strategy_state),),
                )

    def restart(self, number: int, fingerprint: str | None) -> None:
        """Note that an unfinished trial runs again under its number; what it had reported is dropped."""
        with self._writing() as execute:
            execute("DELETE FROM intermediate WHERE trial = ?", (number,))
            execute(
                "UPDATE trial SET status = ?, fingerprint = ?, started_at = ?, error = '', traceback = ''"
                " WHERE number = ?",
                (TrialStatus.RUNNING.value, fingerprint, time.time(), number),
            )

    def add_intermediate(self, number: int, step: int, metric: Metric) -> None:
        """Write one intermediate metric of a running trial."""
        with self._writing() as execute:
            execute(
                "INSERT OR REPLACE INTO intermediate VALUES (?, ?, ?, ?)",
                (number, step, default_metric(metric), _dump(metric) if isinstance(metric, dict) else None),
            )

    def finish(self, number: int, outcome: Outcome, elapsed_s: float) -> None:
        """Write how a trial ended, all its intermediate metrics, and its place in the order of endings."""
        metrics = _dump(outcome.metric) if isinstance(outcome.metric, dict) else None
        with self._writing() as execute:
            told = "(SELECT COALESCE(MAX(told), -1) + 1 FROM trial)" if outcome.status.is_final else "NULL"
            execute(
                "UPDATE trial SET status = ?, metric = ?, metrics = ?, duration_s = ?, error = ?, traceback = ?,"
                f" told = {told} WHERE number = ?",
                (
                    outcome.status.value,
                    default_metric(outcome.metric),
                    metrics,
                    outcome.duration_s,
                    outcome.error,
                    outcome.traceback,
                    number,
                ),
            )
            for step, metric in enumerate(outcome.intermediate):
                execute(
                    "INSERT OR REPLACE INTO intermediate VALUES (?, ?, ?, ?)",
                    (number, step, default_metric(metric), _dump(metric) if isinstance(metric, dict) else None),
                )
            execute("UPDATE experiment SET elapsed_s = ?", (elapsed_s,))

    def strategy_state(self) -> dict[str, Any] | None:
        """Return the state that was written with the last submission, or None before the first."""
        rows = self._rows("SELECT state FROM strategy_state")
        return json.loads(rows[0][0]) if rows else None

    def trials(self) -> list[Trial]:
        """Return all trials in the order of their numbers."""
        return [_trial(row) for row in self._rows(f"SELECT {_TRIAL_COLUMNS} FROM trial ORDER BY number")]

    def told(self) -> list[Trial]:
        """Return the finished trials in the order in which the strategy was told of them."""
        query = f"SELECT {_TRIAL_COLUMNS} FROM trial WHERE told IS NOT NULL ORDER BY told"
        return [_trial(row) for row in self._rows(query)]

    def top(self, count: int, *, maximize: bool) -> list[Trial]:
        """Return the completed trials with the best metrics, the best first; the earlier of equals first."""
        order = "DESC" if maximize else "ASC"
        query = (
            f"SELECT {_TRIAL_COLUMNS} FROM trial WHERE status = ? AND metric IS NOT NULL"
            f" ORDER BY metric {order}, number LIMIT ?"
        )
        return [_trial(row) for row in self._rows(query, (TrialStatus.COMPLETED.value, count))]

    def intermediate(self, number: int) -> list[Metric]:
        """Return the intermediate metrics of a trial in the order of the reports."""
        query = "SELECT metric, metrics FROM intermediate WHERE trial = ? ORDER BY step"
        return [float(row[0]) if row[1] is None else json.loads(row[1]) for row in self._rows(query, (number,))]

    def _check_version(self) -> None:
        (row,) = self._rows("SELECT version FROM schema_version") or [(None,)]
        if row[0] != SCHEMA_VERSION:
            raise StoreError(
                f"{self.directory / DATABASE_NAME}: schema version {row[0]}, this graphnas reads {SCHEMA_VERSION}; "
                "open it with the version of graphnas that wrote it"
            )

    def _rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            cursor: Any = self._database.execute_sql(query, parameters)  # type: ignore[no-untyped-call]  # no stub
            return list(cursor.fetchall())
        except peewee.DatabaseError as error:
            raise StoreError(f"{self.directory / DATABASE_NAME}: cannot be read: {error}") from error

    @contextmanager
    def _writing(self) -> Iterator[Callable[..., Any]]:
        if self._lock is None:
            raise StoreError(f"{self.directory}: the store is open for reading; only a run of the experiment writes")
        try:
            with self._database.atomic("IMMEDIATE"):
                yield self._database.execute_sql
        except peewee.DatabaseError as error:
            raise StoreError(
                f"{self.directory / DATABASE_NAME}: cannot be written: {error}; what was written before is intact"
            ) from error


def _connect(directory: Path) -> peewee.SqliteDatabase:
    pragmas = {"journal_mode": "wal", "synchronous": "normal", "foreign_keys": 1}
    return peewee.SqliteDatabase(str(directory / DATABASE_NAME), pragmas=pragmas, timeout=30)


def _take_lock(directory: Path) -> IO[bytes]:
    import fcntl  # not on every platform, and only a writer needs it

    handle = (directory / LOCK_NAME).open("a+b")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.seek(0)
        owner = handle.read(32).decode(errors="replace").strip() or "unknown"
        handle.close()
        raise StoreError(
            f"{directory}: another process (pid {owner}) runs this experiment; wait for it, or stop it first"
        ) from error
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n".encode())
    handle.flush()
    return handle


def _parts(description: Description) -> tuple[Any, ...]:
    return (description.config, description.domains, description.space, description.evaluator, description.strategy)


def _dump(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"), allow_nan=False)


def _trial(row: tuple[Any, ...]) -> Trial:
    number, status, decisions, seed, metric, metrics, fingerprint, duration_s, error, traceback = row
    return Trial(
        number=number,
        status=TrialStatus(status),
        decisions=json.loads(decisions),
        seed=seed,
        metric=metric,
        metrics=None if metrics is None else json.loads(metrics),
        fingerprint=fingerprint,
        duration_s=duration_s,
        error=error,
        traceback=traceback,
    )
