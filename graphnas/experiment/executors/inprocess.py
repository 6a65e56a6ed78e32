"""Trials one by one in this process: nothing to start, nothing to pickle, a debugger works; no protection either."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from graphnas.errors import ExperimentError
from graphnas.experiment.executors.base import Ended, Event, Executor, Reported, Task, Workload
from graphnas.experiment.executors.log import TrialLog
from graphnas.experiment.executors.runner import TrialTimeout, run_trial
from graphnas.experiment.trial import Metric, Outcome, TrialStatus

_BUDGET_SPENT = "the time budget of the experiment was spent"


class InProcessExecutor(Executor):
    """Runs each task inside `wait`.

    Time limits are kept by an alarm signal, so only in the main thread of a Unix process, and only while the trial runs
    Python code. A trial that crashes takes the process with it. What Python code prints goes to the trial's log. The
    random generators of the process are as they were after `close`.
    """

    concurrency = 1
    runs_here = True
    is_isolated = False

    def __init__(self) -> None:
        self._workload: Workload | None = None
        self._task: Task | None = None
        self._stop = threading.Event()
        self._generators: Any = None

    @property
    def running(self) -> int:
        return 0 if self._task is None else 1

    def open(self, load_workload: bytes | Workload) -> None:
        if isinstance(load_workload, bytes):
            raise ExperimentError("the in-process executor takes the workload itself, not its pickle")
        self._workload = load_workload
        self._generators = _generator_states()

    def submit(self, task: Task) -> None:
        if self._task is not None:
            raise ExperimentError(f"trial {self._task.number} holds the only slot; wait until it has ended")
        self._task = task
        self._stop.clear()

    def wait(self, timeout_s: float) -> list[Event]:
        """Run the submitted task to its end, however long that takes, and return its events."""
        if self._workload is None:
            raise ExperimentError("the executor is not open")
        task = self._task
        if task is None:
            return []
        reports: list[Reported] = []
        alarm = _Alarm(task)

        def on_report(metric: Metric) -> None:
            alarm.heard()
            reports.append(Reported(task.number, len(reports), metric))
            if self.on_report is not None:
                self.on_report(reports[-1])

        started = time.perf_counter()
        try:
            with _logged(task.directory, alarm), alarm:
                outcome = run_trial(self._workload, task, on_report, self._stop.is_set)
        except TrialTimeout as error:  # the alarm rang after the trial's last line
            reported = tuple(report.metric for report in reports)
            outcome = Outcome(TrialStatus.TIMEOUT, None, reported, str(error), "", time.perf_counter() - started)
        if outcome.status is TrialStatus.TIMEOUT and alarm.budget_is_spent:
            outcome = replace(outcome, status=TrialStatus.CANCELLED)
        self._task = None
        return [*(reports if self.on_report is None else ()), Ended(task.number, outcome)]

    def request_stop(self, number: int) -> None:
        if self._task is not None and self._task.number == number:
            self._stop.set()

    def close(self) -> None:
        self._task = None
        if self._generators is not None:
            _restore_generators(self._generators)
            self._generators = None


class _Alarm:
    """A context manager under which a trial that takes too long, or is silent for too long, gets a `TrialTimeout`.

    Attributes:
        budget_is_spent: Whether it rang because the whole experiment has no time left.
    """

    def __init__(self, task: Task) -> None:
        self.budget_is_spent = False
        self._task = task
        self._is_set = False
        self._previous: Any = None
        self._began_at = self._heard_at = 0.0

    def __enter__(self) -> None:
        self._began_at = self._heard_at = time.monotonic()
        due = self._next()
        if due is None or threading.current_thread() is not threading.main_thread():
            return
        self._is_set = True
        self._previous = signal.signal(signal.SIGALRM, self._ring)
        self._set(due[0])

    def __exit__(self, *_: object) -> None:
        if self._is_set:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._previous)

    def heard(self) -> None:
        """Take note of a sign of life."""
        self._heard_at = time.monotonic()

    def _next(self) -> tuple[float, str] | None:
        """Return when the time of the trial is up as things are, and why."""
        task = self._task
        limits: list[tuple[float, str]] = []
        if task.budget_s is not None:
            limits.append((self._began_at + task.budget_s, _BUDGET_SPENT))
        if task.timeout_s is not None:
            limits.append((self._began_at + task.timeout_s, f"took longer than {task.timeout_s:g} s"))
        if task.silence_s is not None:
            limits.append((self._heard_at + task.silence_s, f"reported and printed nothing for {task.silence_s:g} s"))
        return min(limits, default=None)

    def _ring(self, signum: int, frame: FrameType | None) -> None:
        due = self._next()
        if due is not None and due[0] > time.monotonic():  # there was a sign of life
            self._set(due[0])
        elif due is not None:
            self.budget_is_spent = due[1] == _BUDGET_SPENT
            raise TrialTimeout(due[1])

    def _set(self, due_at: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, max(due_at - time.monotonic(), 1e-4))


class _LogStream:
    """A text stream into the log of a trial."""

    encoding = "utf-8"

    def __init__(self, log: TrialLog, alarm: _Alarm) -> None:
        self._log = log
        self._alarm = alarm

    def write(self, text: str) -> int:
        self._alarm.heard()
        self._log.write(text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """There is nothing to flush."""

    def isatty(self) -> bool:
        return False


@contextlib.contextmanager
def _logged(directory: Path, alarm: _Alarm) -> Iterator[None]:
    log = TrialLog(directory)
    stream: Any = _LogStream(log, alarm)
    out, err = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = stream
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        log.close()


def _generator_states() -> tuple[Any, Any, Any]:
    import numpy as np
    import torch

    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore_generators(states: tuple[Any, Any, Any]) -> None:
    import numpy as np
    import torch

    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
