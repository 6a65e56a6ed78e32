"""An experiment in a few lines of text, for `view` and the command line."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from graphnas.experiment.results import Results
from graphnas.experiment.store import Summary
from graphnas.experiment.trial import Trial

_SHOWN = 5


def summary_lines(results: Results) -> tuple[list[str], list[Trial]]:
    """Return lines about an experiment, and its best trials."""
    summary = results.store.summary()
    name = f" ({summary.name})" if summary.name else ""
    lines = [
        f"Experiment {summary.id}{name}: {state_of(summary)}, begun {format_time(summary.created_at)}, "
        f"ran for {format_duration(summary.elapsed_s)}. Trials: {counted(summary.counts)}. "
        f"Results are in {results.directory}"
    ]
    return lines, results.top(_SHOWN)


def state_of(summary: Summary) -> str:
    """Return `running`, why the last run ended, or that its process died."""
    if summary.is_running:
        return "running"
    return summary.ended or "its process died"


def counted(counts: Mapping[str, int]) -> str:
    """Return how many trials there are in each status.

    >>> counted({"COMPLETED": 9, "INVALID": 3}), counted({})
    ('9 completed, 3 invalid', 'none')
    """
    return ", ".join(f"{count} {status.lower()}" for status, count in counts.items()) or "none"


def format_time(seconds: float) -> str:
    """Return a time in seconds since the epoch as local date and time."""
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def format_duration(seconds: float) -> str:
    """Return a duration as a person reads it.

    >>> format_duration(3.21), format_duration(75), format_duration(7384)
    ('3.2 s', '1 min 15 s', '2 h 03 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
