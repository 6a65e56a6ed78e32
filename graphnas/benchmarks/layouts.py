"""What a reader of published files gives to a build: trials, in steps after which the build can be taken up again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import peewee

from graphnas.benchmarks.database import BenchmarkDatabase

_SAME_ACC = 0.006
"""Percent; accuracies are published with two decimals."""


@dataclass(slots=True)
class Trial:
    """One training, as the rows of the three tables.

    Attributes:
        config: Fields of the configuration; a JSON value as its canonical text.
        stats: Fields of the statistics; those left out are NULL.
        epochs: Rows of the intermediate table, each with its fields after the trial, in the order of the table.
    """

    config: dict[str, Any]
    stats: dict[str, Any]
    epochs: Sequence[tuple[Any, ...]] = ()


class Step(NamedTuple):
    """Trials that are written together.

    Attributes:
        position: What to give to the reader in order to go on after these trials.
        done: How much of the source is read, from 0 to 1.
        trials: The trials.
        extra: Rows of other tables, as fields by name.
    """

    position: int
    done: float
    trials: Sequence[Trial]
    extra: Sequence[tuple[type[peewee.Model], dict[str, Any]]] = ()


@dataclass(frozen=True)
class Layout:
    """One way in which measurements of a benchmark are published.

    Attributes:
        name: What the files are called.
        recognise: Tells by its name and first bytes whether a file or folder is laid out in this way.
        read: Gives the steps of the files, those after a position.
        merged: Whether several files are taken together; else one is all that can be given.
    """

    name: str
    recognise: Callable[[Path], bool]
    read: Callable[[Sequence[Path], int], Iterator[Step]]
    merged: bool = False


class Fact(NamedTuple):
    """A published fact, and what a database says.

    Attributes:
        what: What it is about.
        expected: What was published.
        found: What the database has; None where its sources do not tell.
        holds: Whether they agree; None where that cannot be told.
    """

    what: str
    expected: str
    found: str | None
    holds: bool | None

    @classmethod
    def of_count(cls, what: str, expected: int, found: int) -> Fact:
        """Return the fact that there are so many of something."""
        return cls(what, f"{expected:,}", f"{found:,}", found == expected)

    @classmethod
    def of_accuracy(cls, what: str, expected: float, found: float | None) -> Fact:
        """Return the fact that an accuracy is so many percent, to two decimals; None where the database has none."""
        if found is None:
            return cls(what, f"{expected:.2f} %", None, None)
        return cls(what, f"{expected:.2f} %", f"{found:.2f} %", abs(found - expected) < _SAME_ACC)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: its database, and the layouts that it is built from.

    Attributes:
        database: Where it lies; its name is that of the benchmark.
        title: What people call it.
        models: The tables of configurations, statistics and intermediate measurements.
        extra_models: Tables besides.
        layouts: The layouts that can be read, in the order in which a file is tried.
        facts: Compares a database with what was published.
    """

    database: BenchmarkDatabase
    title: str
    models: tuple[type[peewee.Model], type[peewee.Model], type[peewee.Model]]
    layouts: tuple[Layout, ...]
    facts: Callable[[sqlite3.Connection], Iterator[Fact]]
    extra_models: tuple[type[peewee.Model], ...] = ()
