"""Queries of benchmarks: trials as nested dictionaries, by SQL that is written once for each kind of question."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Self

import msgspec
import peewee

from graphnas.benchmarks.database import BenchmarkDatabase, JSONField, column_names
from graphnas.errors import BenchmarkError

REDUCTIONS = (None, "none", "mean")


def check_one_of(name: str, value: Any, allowed: Collection[Any]) -> None:
    """Refuse an argument that is neither None nor one of the allowed values.

    Raises:
        BenchmarkError: It is something else.
    """
    if value is not None and (isinstance(value, bool) or value not in allowed):
        raise BenchmarkError(f"{name}: expected one of {', '.join(map(repr, allowed))} or None for any, got {value!r}")


class TrialQuery:
    """Answers queries on the three tables of a benchmark.

    Args:
        config: The table of what was trained.
        stats: The table of what came of it, with a foreign key `config`.
        intermediate: The table of what was measured on the way, with a foreign key `trial`.
        selective: Fields of the configuration that few configurations share: what is asked by one of them is looked up,
            anything else is found by reading all trials in their order.
        hidden: Fields of the configuration that only serve to find it.
        constant: Fields of the statistics in which the trials of a configuration agree: a mean takes them as they are.
        identities: Fields of the statistics that have no mean.
    """

    def __init__(
        self,
        config: type[peewee.Model],
        stats: type[peewee.Model],
        intermediate: type[peewee.Model],
        *,
        selective: Collection[str],
        hidden: Collection[str] = (),
        constant: Collection[str] = (),
        identities: Collection[str] = ("seed",),
    ) -> None:
        self._tables = tuple(model._meta.table_name for model in (config, stats, intermediate))
        self._config = [name for name in column_names(config) if name not in hidden]
        self._stats = [name for name in column_names(stats) if name != "config_id"]
        self._intermediate = [name for name in column_names(intermediate) if name != "trial_id"]
        self._constant, self._identities, self._selective = constant, identities, selective
        fields = config._meta.fields
        self._json = [name for name in self._config if isinstance(fields[name], JSONField)]
        self._sql = lru_cache(maxsize=None)(self._written)
        self._epochs = self._written_epochs(mean=False)
        self._mean_epochs = self._written_epochs(mean=True)

    def run(
        self,
        database: BenchmarkDatabase,
        conditions: Mapping[str, Any],
        reduction: str | None,
        include_intermediates: bool,
    ) -> Iterator[dict[str, Any]]:
        """Return the trials whose configuration meets all conditions; a condition of None is met by any.

        Raises:
            BenchmarkError: The reduction is unknown, or there is no database.
        """
        if reduction not in REDUCTIONS:
            raise BenchmarkError(f"reduction: expected None, 'none' or 'mean', got {reduction!r}")
        named = tuple(name for name, value in conditions.items() if value is not None)
        values = tuple(conditions[name] for name in named)
        mean = reduction == "mean"
        connection = database.reader()
        return self._rows(connection, self._sql(named, mean), values, mean, include_intermediates, database)

    def _rows(
        self,
        connection: sqlite3.Connection,
        sql: str,
        values: Sequence[Any],
        mean: bool,
        include_intermediates: bool,
        database: BenchmarkDatabase,
    ) -> Iterator[dict[str, Any]]:
        width, decode, json_fields = len(self._stats) + 1, msgspec.json.Decoder().decode, self._json
        names, config_names = ["id", "config", *self._stats[1:]], self._config
        epochs, key = (self._mean_epochs, width) if mean else (self._epochs, 0)
        try:
            with closing(connection.execute(sql, values)) as cursor:
                for row in cursor:  # the keyword of zip alone would cost a twentieth of a scan
                    trial = dict(zip(names, row))  # noqa: B905
                    trial["config"] = config = dict(zip(config_names, row[width:]))  # noqa: B905
                    for name in json_fields:
                        text = config[name]
                        if text is not None:
                            config[name] = decode(text)
                    if include_intermediates:
                        trial["intermediates"] = self._intermediates(connection, epochs, row[key])
                    yield trial
        except sqlite3.DatabaseError as error:
            raise BenchmarkError(
                f"{database.path}: cannot be read: {error}; run: graphnas bench verify {database.name}"
            ) from error

    def _intermediates(self, connection: sqlite3.Connection, sql: str, key: int) -> list[dict[str, Any]]:
        names = self._intermediate
        return [dict(zip(names, row, strict=False)) for row in connection.execute(sql, (key,))]

    def _written(self, conditions: tuple[str, ...], mean: bool) -> str:
        config, stats, _ = self._tables
        columns = [self._reduced(f"t.{name}", name, mean) for name in self._stats]
        columns[1:1] = ["NULL"]  # in its place comes the dictionary of the configuration, of the last columns
        columns += [f"c.{name}" for name in self._config]
        looked_up = mean or any(name in self._selective for name in conditions)
        tables = (f"{config} c", f"{stats} t") if looked_up else (f"{stats} t", f"{config} c")
        where = " AND ".join(["t.config_id = c.id", *(f"c.{name} = ?" for name in conditions)])
        order = "GROUP BY c.id ORDER BY c.id" if mean else "ORDER BY t.id"
        return f"SELECT {', '.join(columns)} FROM {' CROSS JOIN '.join(tables)} WHERE {where} {order}"

    def _written_epochs(self, *, mean: bool) -> str:
        _, stats, intermediate = self._tables
        columns = ", ".join(self._reduced(f"i.{name}", name, mean) for name in self._intermediate)
        if not mean:
            return f"SELECT {columns} FROM {intermediate} i WHERE i.trial_id = ? ORDER BY i.current_epoch"
        return (
            f"SELECT {columns} FROM {stats} t CROSS JOIN {intermediate} i"
            " WHERE t.config_id = ? AND i.trial_id = t.id GROUP BY i.current_epoch ORDER BY i.current_epoch"
        )

    def _reduced(self, column: str, name: str, mean: bool) -> str:
        if not mean or name == "current_epoch":
            return column
        if name == "id" or name in self._identities:
            return "NULL"
        return f"MIN({column})" if name in self._constant else f"AVG({column})"


class BenchmarkTable:
    """What a search asks of a benchmark: the mean measurements of one architecture at a time.

    Use `open`. It may be shared by threads.

    Attributes:
        default: The database in the benchmark's folder.
    """

    default: ClassVar[BenchmarkDatabase]

    def __init__(self, database: BenchmarkDatabase) -> None:
        self._database = database

    @classmethod
    def open(cls, path: str | Path | None = None) -> Self:
        """Return the table of a database, by default that of the benchmark's folder.

        Raises:
            BenchmarkError: There is no database, it is torn, or of another version.
        """
        database = cls.default.at(None if path is None else Path(path))
        database.reader()
        return cls(database)
