"""What a run prints: a live bar on a terminal, plain lines elsewhere, and a leaderboard at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from graphnas.experiment.tables import first_line, print_leaderboard
from graphnas.experiment.trial import Metric, Outcome, Trial, TrialStatus, default_metric

_LINES_BEFORE_THINNING = 50
_SECONDS_BETWEEN_LINES = 1.0
_WIDTH_OFF_TERMINAL = 120


class RunConsole:
    """Shows one run; a context manager around it.

    Args:
        total: Trial budget, or None if there is none.
        done: Number of trials that had ended before this run.
        best: The best metric before this run, with the number of its trial.
        maximize: Whether a larger metric is better.
        debug: Whether to print the traceback of each failing trial.
    """

    def __init__(
        self, total: int | None, done: int, best: tuple[float, int] | None, *, maximize: bool, debug: bool
    ) -> None:
        # The stream is fixed now: in-process trials replace sys.stdout while they run.
        self.console = _console()
        self._total = total
        self._done = done
        self._best = best
        self._maximize = maximize
        self._debug = debug
        self._running = 0
        self._latest = ""
        self._printed = 0
        self._printed_at = 0.0
        self._progress: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> RunConsole:
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("searching"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
                console=self.console,
                redirect_stdout=False,
                redirect_stderr=False,
                transient=True,
            )
            self._progress.start()
            self._task = self._progress.add_task("", total=self._total, completed=self._done, state=self._state())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def on_start(self, number: int) -> None:
        self._running += 1
        self._update()

    def on_report(self, number: int, step: int, metric: Metric) -> None:
        self._latest = f"trial {number} step {step}: {default_metric(metric):.4g}"
        self._update()

    def on_retry(self, number: int, outcome: Outcome) -> None:
        self._running -= 1
        self.say(f"trial {number} was lost and will run again: {first_line(outcome.error)}")
        self._update()

    def on_end(self, number: int, outcome: Outcome) -> None:
        self._running -= 1
        if outcome.status.is_final:
            self._done += 1
        metric = default_metric(outcome.metric)
        if outcome.status is TrialStatus.COMPLETED and metric is not None and self._is_better(metric):
            self._best = (metric, number)
        if self._progress is None:
            self._print_line(number, outcome, metric)
        elif outcome.error:
            self.say(f"trial {number} {outcome.status.value}: {first_line(outcome.error)}")
        if self._debug and outcome.traceback:
            self.say(outcome.traceback.rstrip())
        self._update()

    def say(self, text: str) -> None:
        """Print `text` as it is, above the bar if there is one."""
        self.console.print(Text(text), soft_wrap=True)

    def _is_better(self, metric: float) -> bool:
        return self._best is None or (metric > self._best[0] if self._maximize else metric < self._best[0])

    def _state(self) -> str:
        best = "no metric yet" if self._best is None else f"best {self._best[0]:.4g} (trial {self._best[1]})"
        return " · ".join(part for part in (best, f"{self._running} running", self._latest) if part)

    def _update(self) -> None:
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done, state=self._state())

    def _print_line(self, number: int, outcome: Outcome, metric: float | None) -> None:
        now = time.monotonic()
        if self._printed >= _LINES_BEFORE_THINNING and now - self._printed_at < _SECONDS_BETWEEN_LINES:
            return  # a run of thousands of short trials says how far it is, not each of them
        self._printed, self._printed_at = self._printed + 1, now
        what = first_line(outcome.error) if metric is None else f"{metric:.6g}"
        of = "" if self._total is None else f"/{self._total}"
        best = "" if self._best is None else f" · best {self._best[0]:.6g} (trial {self._best[1]})"
        self.say(
            f"[{self._done}{of}] trial {number} {outcome.status.value}: {what} in {outcome.duration_s:.1f} s{best}"
        )


def print_summary(lines: Sequence[str], top: Sequence[Trial]) -> None:
    """Print the leaderboard, if a trial has completed, and lines of text below it."""
    if top:
        print_leaderboard(top)
    console = _console()
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _console() -> Console:
    stream = sys.stdout
    width = None if stream.isatty() else _WIDTH_OFF_TERMINAL
    return Console(file=stream, highlight=False, width=width)
