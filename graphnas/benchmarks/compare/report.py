"""A comparison as a table for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from rich.table import Table

from graphnas.benchmarks.compare.contest import Comparison
from graphnas.benchmarks.compare.summary import summarise


def to_table(comparison: Comparison) -> Table:
    """Return the summaries of all strategies as a table."""
    limits = []
    if comparison.budget_s is not None:
        limits.append(f"{comparison.budget_s:,.0f} simulated seconds")
    if comparison.max_trials is not None:
        limits.append(f"{comparison.max_trials:,} trials")
    title = f"{comparison.task}: {' or '.join(limits)}; best network {comparison.best_score:.2f} %"
    table = Table("strategy", title=title, title_justify="left")
    for heading in ("runs", "trials", "test accuracy, %", "regret", "ahead of the first"):
        table.add_column(heading, justify="right")
    for summary in summarise(comparison):
        ahead = "" if summary.ahead is None else f"{summary.ahead:+.1f} standard errors"
        accuracy = f"{summary.mean:.2f} ± {summary.std:.2f}"
        row = (f"{summary.runs:,}", f"{summary.trials:.1f}", accuracy, f"{summary.regret:.2f}", ahead)
        table.add_row(summary.strategy, *row)
    return table


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return the summaries of all strategies; what is not known is None."""
    rows = [dataclasses.asdict(summary) for summary in summarise(comparison)]
    return {
        "task": comparison.task,
        "budget_s": comparison.budget_s,
        "max_trials": comparison.max_trials,
        "best_score": _known(comparison.best_score),
        "strategies": [{name: _known(value) for name, value in row.items()} for row in rows],
    }


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
