"""Trials in warm worker processes: a crash, a kill or a hang ends one trial and touches no other.

Everything happens in the thread that calls `wait`: one selector over the channels and the output of all workers. Pools
of the library kind were tried and left too much to add: none says how a worker died if its exit code was 0, ends what a
trial has forked, or asks before it kills.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import selectors
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphnas.errors import ExperimentError
from graphnas.experiment.executors import worker
from graphnas.experiment.executors.base import Ended, Event, Executor, Reported, Task, Workload
from graphnas.experiment.executors.child import WorkerProcess
from graphnas.experiment.executors.gpus import VISIBLE, GpuShares
from graphnas.experiment.executors.log import TrialLog
from graphnas.experiment.executors.memory import oom_kills
from graphnas.experiment.trial import Metric, Outcome, TrialStatus

TERM_GRACE_S = 2.0
"""How long a trial may clean up between SIGTERM and SIGKILL when its time is up."""

logger = logging.getLogger("graphnas.executors")

_TICK_S = 0.1
_ASK_AGAIN_S = 5.0
_SAY_AGAIN_S = 60.0
_CLOSE_GRACE_S = 0.5
_MAX_RESTARTS = 3
_STARTUP_BYTES = 8000
_READS = 4
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Slot:
    """One worker and the trial that it runs."""

    process: WorkerProcess
    environment: Mapping[str, str]
    is_ready: bool = False
    task: Task | None = None
    log: TrialLog | None = None
    begun_at: float | None = None
    heard_at: float = 0.0
    reported: list[Metric] = field(default_factory=list)
    verdict: str = ""
    """Why the trial is being ended; what it says from then on does not count."""
    kill_at: float = 0.0
    is_stopped: bool = False
    oom_kills: int = 0
    restarts: int = 0
    startup: bytes = b""
    """The last of what the process printed before its first trial."""


class ProcessExecutor(Executor):
    """Runs tasks in `concurrency` worker processes, each a fresh Python with the main script imported.

    Args:
        concurrency: Number of workers.
        threads: Number of threads that torch may use in each; None shares the cores out evenly.
        gpus: The GPUs to share out. A worker is started once there are enough for it; then it keeps them.
        hide_gpus: Whether trials shall see no GPU at all.
        path: Folders in which workers look for modules first.
        has_main: Whether workers import the main script of this process.
    """

    def __init__(
        self,
        concurrency: int,
        threads: int | None = None,
        *,
        gpus: GpuShares | None = None,
        hide_gpus: bool = False,
        path: Sequence[str] = (),
        has_main: bool = True,
    ) -> None:
        self._missing = concurrency  # workers that are still to be started
        self._held: Task | None = None  # a trial that was submitted while there was no worker at all
        self._gpus = gpus
        self._asked_at = self._said_at = -math.inf
        self._threads = threads or max(1, usable_cores() // concurrency)
        self._environment = dict.fromkeys(_THREAD_VARIABLES, str(self._threads)) | ({VISIBLE: ""} if hide_gpus else {})
        self._path = tuple(path)
        self._has_main = has_main
        self._selector = selectors.DefaultSelector()
        self._slots: list[_Slot] = []
        self._workload = b""
        self._was_ready = False
        self._failure: ExperimentError | None = None
        self._looked_at = 0.0

    @property
    def concurrency(self) -> int:  # type: ignore[override]  # it grows as GPUs become free
        """Number of workers that there are, and at least one."""
        return max(1, len(self._slots))

    @property
    def running(self) -> int:
        return sum(slot.task is not None for slot in self._slots) + (self._held is not None)

    def open(self, load_workload: bytes | Workload) -> None:
        if not isinstance(load_workload, bytes):
            raise ExperimentError("the process executor takes the cloudpickle of the workload")
        self._workload = load_workload
        if self._gpus is not None and self._gpus.capacity < self._missing:
            logger.warning("%d trials can run at a time, as there are no GPUs for more", self._gpus.capacity)
            self._missing = self._gpus.capacity
        self._start_missing()

    def submit(self, task: Task) -> None:
        free = [slot for slot in self._slots if slot.task is None]
        if not self._slots and self._held is None:
            self._held = task
            return
        if not free:
            raise ExperimentError(f"all {self.concurrency} slots are taken; wait until one is free")
        slot = next((slot for slot in free if slot.is_ready), free[0])
        slot.task = task
        slot.log = TrialLog(task.directory)
        slot.reported, slot.begun_at, slot.verdict, slot.is_stopped = [], None, "", False
        if slot.is_ready:
            self._send_task(slot, task)

    def wait(self, timeout_s: float) -> list[Event]:
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + timeout_s
        events: list[Event] = []
        try:
            while not events and (remaining := deadline - time.monotonic()) > 0:
                for event in self._happening(min(_TICK_S, remaining)):
                    events.append(event)
        except ExperimentError as error:
            if not events:
                raise
            self._failure = error  # what other trials have brought home comes first
        return events

    def _happening(self, timeout_s: float) -> Iterator[Event]:
        """Yield what workers say within a short time, and once in a while look at those that say nothing."""
        for key, _ in self._selector.select(timeout_s):
            slot: _Slot = key.data
            if key.fileobj is slot.process.channel:
                yield from self._receive(slot)
            elif key.fileobj == slot.process.output:
                self._copy_output(slot)
        now = time.monotonic()
        if now - self._looked_at < _TICK_S:
            return
        self._looked_at = now
        for slot in self._slots:
            yield from self._look_after(slot, now)
        if self._missing and now - self._asked_at >= _ASK_AGAIN_S:
            self._start_missing()

    def request_stop(self, number: int) -> None:
        for slot in self._slots:
            if slot.task is not None and slot.task.number == number and not slot.is_stopped:
                slot.is_stopped = True
                slot.process.channel.send((worker.STOP, number))

    def close(self) -> None:
        for slot in self._slots:
            slot.process.signal(signal.SIGTERM)
        deadline = time.monotonic() + _CLOSE_GRACE_S
        while time.monotonic() < deadline and not all(slot.process.has_died() for slot in self._slots):
            time.sleep(0.005)
            for slot in self._slots:
                self._copy_output(slot)  # nobody should hang in a last word
        for slot in self._slots:
            self._bury(slot)
            if slot.log is not None:
                slot.log.close()
        self._slots, self._held = [], None
        self._selector.close()

    def _start_missing(self) -> None:
        """Start the workers that are missing, as far as there are GPUs for them."""
        while self._missing:
            environment = {} if self._gpus is None else self._gpus.claim()
            if environment is None:
                break
            self._slots.append(_Slot(self._launch(environment), environment))
            self._listen_to(self._slots[-1])
            self._missing -= 1
        self._asked_at = now = time.monotonic()
        if self._missing and self._gpus is not None and now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            total = len(self._slots) + self._missing
            logger.warning("%d of %d trials can run at a time: %s", len(self._slots), total, self._gpus.reason())
        if self._held is not None and self._slots:
            held, self._held = self._held, None
            self.submit(held)

    def _launch(self, environment: Mapping[str, str]) -> WorkerProcess:
        try:
            return WorkerProcess({**self._environment, **environment}, self._path, has_main=self._has_main)
        except OSError as error:
            raise ExperimentError(f"a worker process cannot be started: {error}") from error

    def _listen_to(self, slot: _Slot) -> None:
        for source in (slot.process.channel, slot.process.output):
            self._selector.register(source, selectors.EVENT_READ, slot)

    def _bury(self, slot: _Slot) -> int:
        for source in (slot.process.channel, slot.process.output):
            with contextlib.suppress(KeyError, ValueError):  # not listened to any more
                self._selector.unregister(source)
        return slot.process.reap()

    def _send_task(self, slot: _Slot, task: Task) -> None:
        slot.oom_kills = oom_kills()
        slot.process.channel.send((worker.TASK, task))

    def _receive(self, slot: _Slot) -> Iterator[Event]:
        for kind, content in slot.process.channel.available():
            yield from self._handle(slot, kind, content)
        if not slot.process.channel.is_open:  # the worker ends, or can be of no use any more; the tick will see it
            self._selector.unregister(slot.process.channel)
            slot.process.signal(signal.SIGKILL)

    def _handle(self, slot: _Slot, kind: int, content: Any) -> list[Event]:
        if kind == worker.HELLO:
            slot.process.set_up(self._workload, self._threads)
        elif kind == worker.READY:
            self._copy_output(slot)
            slot.is_ready = self._was_ready = True
            if slot.task is not None:
                self._send_task(slot, slot.task)
        elif kind == worker.BROKEN:
            raise ExperimentError(_describe_broken(content))
        elif slot.task is None or slot.verdict:
            return []
        elif kind == worker.BEGIN:
            slot.begun_at = slot.heard_at = time.monotonic()
            slot.restarts = 0
        elif kind == worker.REPORT:
            step, metric = content
            slot.heard_at = time.monotonic()
            slot.reported.append(metric)
            return [Reported(slot.task.number, step, metric)]
        elif kind == worker.DONE:
            self._copy_output(slot)
            return [self._end(slot, slot.task, content)]
        return []

    def _copy_output(self, slot: _Slot) -> None:
        """Give what a worker has printed to the log of its trial; a flood waits, so that others get their turn."""
        for _ in range(_READS):
            data = slot.process.read_output()
            if not data:
                break
            slot.heard_at = time.monotonic()
            if slot.log is not None and slot.is_ready:
                slot.log.write(data)
            elif not slot.is_ready:
                slot.startup = (slot.startup + data)[-_STARTUP_BYTES:]

    def _end(self, slot: _Slot, task: Task, outcome: Outcome) -> Event:
        if slot.log is not None:
            slot.log.close()
        slot.task = slot.log = slot.begun_at = None
        return Ended(task.number, outcome)

    def _look_after(self, slot: _Slot, now: float) -> Iterator[Event]:
        """Find a worker that has died although something keeps its channel open, and a trial whose time is up."""
        if slot.process.has_died():
            if slot.process.channel.is_open:
                yield from self._receive(slot)
            yield from self._bury_and_replace(slot)
            return
        task = slot.task
        if task is None or slot.begun_at is None:
            return
        if slot.verdict:
            if now >= slot.kill_at:
                slot.process.signal(signal.SIGKILL)
        elif task.timeout_s is not None and now - slot.begun_at > task.timeout_s:
            self._condemn(slot, f"took longer than {task.timeout_s:g} s and was ended", now)
        elif task.silence_s is not None and now - slot.heard_at > task.silence_s:
            self._condemn(slot, f"reported and printed nothing for {task.silence_s:g} s and was ended", now)

    def _condemn(self, slot: _Slot, verdict: str, now: float) -> None:
        slot.verdict, slot.kill_at = verdict, now + TERM_GRACE_S
        slot.process.signal(signal.SIGTERM)

    def _bury_and_replace(self, slot: _Slot) -> Iterator[Event]:
        """Say how the trial of a dead worker ended, if it had begun one, and start another worker."""
        self._copy_output(slot)
        code = self._bury(slot)
        if slot.task is not None and slot.begun_at is not None:
            status, error = (
                (TrialStatus.TIMEOUT, slot.verdict) if slot.verdict else _describe_exit(code, slot.oom_kills)
            )
            outcome = Outcome(
                status,
                intermediate=tuple(slot.reported),
                error=error,
                traceback="" if slot.log is None else slot.log.tail(),
                duration_s=time.monotonic() - slot.begun_at,
            )
            yield self._end(slot, slot.task, outcome)
        else:
            slot.restarts += 1
            if not self._was_ready or slot.restarts > _MAX_RESTARTS:
                raise ExperimentError(
                    f"a worker process ended before it had begun a trial: {_describe_exit(code, slot.oom_kills)[1]}\n"
                    f"{slot.startup.decode(errors='replace')}"
                )
        slot.process, slot.is_ready, slot.startup = self._launch(slot.environment), False, b""
        self._listen_to(slot)


def _describe_broken(trace: str) -> str:
    return (
        f"the script, the model space or the evaluator could not be loaded in a worker process:\n{trace}\n"
        "Move what it needs into a module that can be imported, or set executor='inprocess'. If it is the script that "
        "starts the experiment: workers import it, so put the call of run() under `if __name__ == '__main__':`"
    )


def _describe_exit(code: int, oom_kills_before: int) -> tuple[TrialStatus, str]:
    if code == -signal.SIGKILL and oom_kills() > oom_kills_before:
        return TrialStatus.OOM, "the worker was killed by the kernel, as memory ran out"
    if code >= 0:
        return TrialStatus.CRASHED, f"the worker process exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return TrialStatus.CRASHED, f"the worker process was killed by signal {-code} ({name})"


def usable_cores() -> int:
    """Return how many cores of this machine the process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
