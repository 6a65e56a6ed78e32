"""The documented CSV layout of a benchmark: one row for each trial, its columns named as the fields of the tables.

A column for each field that tells what was trained, and any of those that tell what came of it; what is left out, or an
empty field, is NULL. Architectures are JSON, or what else the queries of the benchmark take.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import peewee

from graphnas.benchmarks.formats.tables import header, number, records, whole_number
from graphnas.benchmarks.layouts import Layout, Step, Trial
from graphnas.errors import BenchmarkError


def trial_table(
    config: type[peewee.Model],
    stats: type[peewee.Model],
    required: Sequence[str],
    checked: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Layout:
    """Return the layout of a benchmark's own CSV tables.

    Args:
        config: The table of what was trained.
        stats: The table of what came of it.
        required: Fields of the configuration that the header must have.
        checked: Takes the fields of the configuration as they are written, those that the header has, and returns them
            as columns.
    """
    config_fields, stats_fields = _fields(config), _fields(stats)
    known = {*config_fields, *stats_fields}

    def recognise(path: Path) -> bool:
        columns = header(path)
        return len(set(columns)) == len(columns) and set(required) <= set(columns) <= known

    def read(paths: Sequence[Path], start: int) -> Iterator[Step]:
        position = 0
        for place, path in enumerate(paths):
            for row in records(path):
                position += 1
                if position <= start:
                    continue
                trial = Trial(
                    _checked(checked, {name: value for name, value in row.items() if name in config_fields}, path),
                    {name: _value(stats_fields[name], row[name], path) for name in row if name in stats_fields},
                )
                yield Step(position, place / len(paths), [trial])

    return Layout(f"a CSV table of {', '.join(required)} and what came of it", recognise, read, merged=True)


def json_or_text(text: str) -> Any:
    """Return the JSON value in a field, or its text where it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _fields(model: type[peewee.Model]) -> dict[str, peewee.Field]:
    fields = model._meta.sorted_fields
    return {item.name: item for item in fields if not isinstance(item, peewee.AutoField | peewee.ForeignKeyField)}


def _checked(
    checked: Callable[[Mapping[str, Any]], dict[str, Any]], fields: Mapping[str, str], path: Path
) -> dict[str, Any]:
    try:
        return checked(fields)
    except (BenchmarkError, ValueError) as error:
        raise BenchmarkError(f"{path}: {error}") from error


def _value(item: peewee.Field, text: str, path: Path) -> float | None:
    return whole_number(text, path) if text and isinstance(item, peewee.IntegerField) else number(text, path)
