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
from graphnas.experiment.executors.runner import TrialTimeout, run_trial
from graphnas.experiment.trial import Metric, Outcome, TrialStatus

LOG_NAME = "log.txt"


class InProcessExecutor(Executor):
    """Runs each task inside `wait`.

    A time limit is kept by an alarm signal, so only in the main thread of a Unix process, and only while the trial runs
    Python code. A trial that crashes takes the process with it. What Python code prints goes to the trial's log. The
    random generators of the process are as they were after `close`.
    """

    concurrency = 1
    runs_here = True

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
        events: list[Event] = []

        def on_report(metric: Metric) -> None:
            events.append(Reported(task.number, len(events), metric))

        limits = [limit for limit in (task.timeout_s, task.budget_s) if limit is not None]
        started = time.perf_counter()
        try:
            with _logged(task.directory), _alarm(min(limits, default=None)):
                outcome = run_trial(self._workload, task, on_report, self._stop.is_set)
        except TrialTimeout:  # the alarm rang after the trial's last line
            reported = tuple(event.metric for event in events if isinstance(event, Reported))
            message = "its time was up"
            outcome = Outcome(TrialStatus.TIMEOUT, None, reported, message, "", time.perf_counter() - started)
        if outcome.status is TrialStatus.TIMEOUT and task.budget_s is not None and min(limits) == task.budget_s:
            outcome = replace(
                outcome, status=TrialStatus.CANCELLED, error="the time budget of the experiment was spent"
            )
        self._task = None
        return [*events, Ended(task.number, outcome)]

    def request_stop(self, number: int) -> None:
        if self._task is not None and self._task.number == number:
            self._stop.set()

    def close(self) -> None:
        self._task = None
        if self._generators is not None:
            _restore_generators(self._generators)
            self._generators = None


class _LazyLog:
    """A text stream that makes its file with the first character, as most trials print nothing."""

    encoding = "utf-8"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def write(self, text: str) -> int:
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", buffering=1)
        return int(self._file.write(text))

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def _logged(directory: Path) -> Iterator[None]:
    (directory / LOG_NAME).unlink(missing_ok=True)
    log: Any = _LazyLog(directory / LOG_NAME)
    out, err = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = log
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        log.close()


@contextlib.contextmanager
def _alarm(timeout_s: float | None) -> Iterator[None]:
    if (
        timeout_s is None
        or not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TrialTimeout

    previous = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


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
