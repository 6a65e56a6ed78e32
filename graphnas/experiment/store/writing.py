"""What only a run of an experiment does to its store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import peewee

from graphnas.errors import StoreError
from graphnas.experiment.store.place import (
    DATABASE_NAME,
    check_is_local,
    connect_reader,
    connect_writer,
    take_lock,
)
from graphnas.experiment.store.reading import Description, Reader, check_exists
from graphnas.experiment.store.schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION
from graphnas.experiment.trial import Metric, Outcome, Trial, default_metric

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Store(Reader):
    """The store of one experiment, opened for writing by one process or for reading by any.

    Use `create` or `open`, and `close` at the end.
    """

    def __init__(
        self,
        directory: Path,
        database: peewee.SqliteDatabase,
        version: int = SCHEMA_VERSION,
        lock: IO[bytes] | None = None,
    ) -> None:
        super().__init__(directory, database, version)
        self._lock = lock
        self._open_transaction: Callable[..., Any] | None = None

    @classmethod
    def create(cls, directory: Path, description: Description, *, durable: bool = False) -> Store:
        """Make the folder and the store of a new experiment, and lock it.

        Args:
            directory: The folder of the experiment.
            description: What the experiment is.
            durable: Whether what is committed survives a loss of power, not only the end of the process.

        Raises:
            StoreError: The folder holds an experiment already, cannot be written, or is on a network file system.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{directory}: the folder of the experiment cannot be made: {error}") from error
        check_is_local(directory)
        lock = take_lock(directory)
        try:
            if (directory / DATABASE_NAME).exists() and not _is_blank(directory):
                raise StoreError(
                    f"{directory}: holds an experiment already; continue it with RetiariiExperiment.resume("
                    f"{str(directory)!r}), or give another experiment_directory"
                )
            store = cls(directory, connect_writer(directory, durable=durable), lock=lock)
            with store.transaction() as execute:
                for statement in SCHEMA:
                    execute(statement)
                execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
                execute(
                    "INSERT INTO experiment (id, created_at, config, domains, space, evaluator, strategy, name)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (description.id, time.time(), *_parts(description)),
                )
        except BaseException:
            lock.close()
            raise
        return store

    @classmethod
    def open(cls, directory: Path, *, writable: bool = False, durable: bool = False) -> Store:
        """Open the store of an existing experiment.

        With `writable` it is locked, looked through for damage, and becomes one of this version if it is of an earlier.

        Raises:
            StoreError: There is none, it cannot be read, is damaged or of an unknown version, or another process runs
                it.
        """
        if not writable:
            return cls.read(directory)
        check_exists(directory)
        check_is_local(directory)
        lock = take_lock(directory)
        store = cls(directory, connect_writer(directory, durable=durable), lock=lock)
        try:
            store._take_version(store.schema_version())
            store._check_integrity()
            store._migrate()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close the database and give up the lock. The store can still be read: it reconnects."""
        super().close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., Any]]:
        """Commit all that is written in this `with` block at once, or nothing of it. Blocks may be nested.

        Raises:
            StoreError: The store is open for reading, or cannot be written, for example as the disk is full.
        """
        if self._lock is None:
            raise StoreError(f"{self.directory}: the store is open for reading; only a run of the experiment writes")
        if self._open_transaction is not None:
            yield self._open_transaction
            return
        database: Any = self._database  # no stub
        try:
            database.begin("IMMEDIATE")
            self._open_transaction = database.execute_sql
            try:
                yield database.execute_sql
                database.commit()
            except BaseException:
                if database.connection().in_transaction:  # SQLite itself has rolled back where the disk is full
                    database.rollback()
                raise
        except peewee.DatabaseError as error:
            raise StoreError(f"{self._path}: cannot be written: {error}; what was written before is intact") from error
        finally:
            self._open_transaction = None

    def update_description(self, description: Description) -> None:
        """Replace the configuration and the JSON forms, as a resumed run may bring other ones."""
        with self.transaction() as execute:
            execute(
                "UPDATE experiment SET config = ?, domains = ?, space = ?, evaluator = ?, strategy = ?, name = ?,"
                " ended = NULL",
                _parts(description),
            )

    def set_ended(self, reason: str, elapsed_s: float) -> None:
        """Note that a run ended, why, and after how long."""
        with self.transaction() as execute:
            execute("UPDATE experiment SET ended = ?, elapsed_s = ?", (reason, elapsed_s))

    def submit(self, trial: Trial, strategy_state: dict[str, Any] | None) -> None:
        """Write a new trial and, in the same transaction, the state of the strategy that asked for it.

        Of trials that one transaction submits, the state is written once, with the last one.
        """
        with self.transaction() as execute:
            execute(
                "INSERT INTO trial (number, status, decisions, seed, fingerprint, started_at, key, budget, resume_from,"
                " reused_from, reused_experiment) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    trial.number,
                    trial.status.value,
                    _encode(trial.decisions),
                    trial.seed,
                    trial.fingerprint,
                    time.time(),
                    trial.key,
                    trial.budget,
                    trial.resume_from,
                    trial.reused_from,
                    trial.reused_experiment,
                ),
            )
            if strategy_state is not None:
                execute(
                    "INSERT INTO strategy_state VALUES (0, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state",
                    (_encode(strategy_state),),
                )

    def restart(self, trial: Trial) -> None:
        """Write that an unfinished trial runs again under its number; what it had reported is dropped."""
        with self.transaction() as execute:
            execute("DELETE FROM intermediate WHERE trial = ?", (trial.number,))
            execute(
                "UPDATE trial SET status = ?, fingerprint = ?, key = ?, started_at = ?, error = '', traceback = '',"
                " attempts = ?, reused_from = ?, reused_experiment = ? WHERE number = ?",
                (
                    trial.status.value,
                    trial.fingerprint,
                    trial.key,
                    time.time(),
                    trial.attempts,
                    trial.reused_from,
                    trial.reused_experiment,
                    trial.number,
                ),
            )

    def add_intermediate(self, number: int, step: int, metric: Metric) -> None:
        """Write one intermediate metric of a running trial."""
        with self.transaction() as execute:
            execute(
                "INSERT OR REPLACE INTO intermediate VALUES (?, ?, ?, ?)",
                (number, step, default_metric(metric), _dump(metric) if isinstance(metric, dict) else None),
            )

    def finish(self, number: int, outcome: Outcome, elapsed_s: float) -> None:
        """Write how a trial ended, all its intermediate metrics, and its place in the order of endings."""
        with self.transaction() as execute:
            told = "(SELECT COALESCE(MAX(told), -1) + 1 FROM trial)" if outcome.status.is_final else "NULL"
            execute(
                "UPDATE trial SET status = ?, metric = ?, metrics = ?, duration_s = ?, error = ?, traceback = ?,"
                f" ended_at = ?, worker = ?, told = {told} WHERE number = ?",
                (
                    outcome.status.value,
                    default_metric(outcome.metric),
                    _dump(outcome.metric) if isinstance(outcome.metric, dict) else None,
                    outcome.duration_s,
                    outcome.error,
                    outcome.traceback,
                    time.time(),
                    outcome.worker or None,
                    number,
                ),
            )
            for step, metric in enumerate(outcome.intermediate):
                self.add_intermediate(number, step, metric)
            execute("UPDATE experiment SET elapsed_s = ?", (elapsed_s,))

    def _check_integrity(self) -> None:
        """Refuse to go on in a damaged file, which a write would damage further."""
        (found,) = self._rows("PRAGMA quick_check(1)")[0]
        if found != "ok":
            raise StoreError(
                f"{self._path}: is damaged: {found}; nothing was written. Copy the folder, and recover what can be "
                "read with `sqlite3 experiment.db .recover`"
            )

    def _migrate(self) -> None:
        with self.transaction() as execute:
            while self._version < SCHEMA_VERSION:
                for statement in MIGRATIONS[self._version]:
                    execute(statement)
                self._take_version(self._version + 1)
            execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION,))


def _is_blank(directory: Path) -> bool:
    """Whether the database was only begun, by a process that was ended before its first commit."""
    database = connect_reader(directory)
    try:
        return not list(database.execute_sql("SELECT 1 FROM sqlite_master"))  # type: ignore[no-untyped-call]  # no stub
    except peewee.DatabaseError:
        return False
    finally:
        database.close()


def _parts(description: Description) -> tuple[Any, ...]:
    forms = (description.config, description.domains, description.space, description.evaluator, description.strategy)
    return (*(_dump(form) for form in forms), description.config.get("experiment_name"))


def _dump(value: Any) -> str | None:
    return None if value is None else _encode(value)
