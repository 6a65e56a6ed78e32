"""Tables for people: with lines and colours on a terminal, as aligned columns elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from graphnas.experiment.trial import Trial
from graphnas.ir.columns import aligned


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> None:
    """Print a table to what is stdout now.

    Args:
        title: Stands above the table on a terminal.
        headings: Names of the columns.
        rows: The cells.
        right: Numbers of the columns that stand at the right.
        whole: Numbers of the columns whose cells are never broken.
    """
    if not sys.stdout.isatty():
        for line in aligned([headings, *rows], right=set(right)):
            print(line)
        return
    from rich.console import Console  # only where it shows
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for index, heading in enumerate(headings):
        justify: Any = "right" if index in right else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=index in whole)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def print_leaderboard(top: Sequence[Trial]) -> None:
    """Print trials as a table, the best first."""
    rows = [
        (str(rank), str(trial.number), shown(trial.metric), _seconds(trial.duration_s), one_line(trial.decisions))
        for rank, trial in enumerate(top, start=1)
    ]
    print_table("Leaderboard", ("RANK", "TRIAL", "METRIC", "TIME", "DECISIONS"), rows, right=(0, 1, 2, 3))


def shown(value: Any) -> str:
    """Return a value as a cell: numbers short, nothing for None."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def one_line(decisions: Mapping[str, Any]) -> str:
    """Return decisions in one line.

    >>> one_line({"width": 8, "act": "relu"})
    'width=8 act="relu"'
    """
    return " ".join(f"{label}={json.dumps(value)}" for label, value in decisions.items())


def first_line(text: str) -> str:
    """Return a text up to the end of its first line."""
    return text.partition("\n")[0]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"
