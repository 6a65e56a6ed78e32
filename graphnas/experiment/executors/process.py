"""Trials in warm worker processes: a crash, a kill or a hang ends one trial and touches no other.

Each slot is a `pebble.ProcessPool` with one worker. One pool for all slots would share a task pipe and its locks, so
that a worker killed at the wrong moment stalls the others, and would not say which slot runs what. Pebble starts,
times, kills and replaces the worker; metrics and stop requests travel over a connection per worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import pebble

from graphnas.errors import ExperimentError
from graphnas.experiment.executors import worker
from graphnas.experiment.executors.base import Ended, Event, Executor, Reported, Task, Workload
from graphnas.experiment.trial import Metric, Outcome, TrialStatus

_TICK_S = 0.1
_DRAIN_S = 0.5
_VANISHED_S = 0.5
_MAX_RESTARTS = 3
_LOG_TAIL_BYTES = 4000


@dataclass
class _Slot:
    """One worker and the trial that it runs."""

    index: int
    pool: Any
    link: Connection | None = None
    pid: int | None = None
    task: Task | None = None
    future: Any = None
    begun_at: float | None = None
    trial_pid: int | None = None
    trial_link: Connection | None = None
    """Process and connection that began the trial; pebble may have replaced the worker before we hear of its end."""
    missing_since: float | None = None
    restarts: int = 0
    oom_kills: int = 0
    reported: list[Metric] = field(default_factory=list)
    ending: tuple[Outcome, float] | None = None
    """An outcome that waits until the connection is read to its end, and until when it waits at most."""


class ProcessExecutor(Executor):
    """Runs tasks in `concurrency` worker processes, started by spawn.

    Args:
        concurrency: Number of workers.
        threads: Number of threads that torch may use in each; None shares the cores out evenly.
    """

    def __init__(self, concurrency: int, threads: int | None = None) -> None:
        self.concurrency = concurrency
        self._threads = threads or max(1, _cores() // concurrency)
        self._inbox: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._slots: list[_Slot] = []
        self._listener: Listener | None = None
        self._acceptor: threading.Thread | None = None
        self._authkey = secrets.token_bytes(32)
        self._workload = b""
        self._was_ready = False
        self._closing = False

    @property
    def running(self) -> int:
        return sum(slot.task is not None for slot in self._slots)

    def open(self, load_workload: bytes | Workload) -> None:
        if not isinstance(load_workload, bytes):
            raise ExperimentError("the process executor takes the cloudpickle of the workload")
        self._workload = load_workload
        self._listener = Listener(authkey=self._authkey, backlog=self.concurrency)
        self._acceptor = threading.Thread(target=self._accept, name="graphnas-acceptor", daemon=True)
        self._acceptor.start()
        for index in range(self.concurrency):
            self._slots.append(_Slot(index, self._new_pool(index)))

    def submit(self, task: Task) -> None:
        slot = next((slot for slot in self._slots if slot.task is None), None)
        if slot is None:
            raise ExperimentError(f"all {self.concurrency} slots are taken; wait until one is free")
        slot.task = task
        slot.reported = []
        self._schedule(slot)

    def wait(self, timeout_s: float) -> list[Event]:
        deadline = time.monotonic() + timeout_s
        events: list[Event] = []
        while not events:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            with contextlib.suppress(queue.Empty):
                message = self._inbox.get(timeout=min(_TICK_S, remaining))
                events.extend(self._handle(message))
                while True:
                    events.extend(self._handle(self._inbox.get_nowait()))
            events.extend(self._look_after())
        return events

    def request_stop(self, number: int) -> None:
        for slot in self._slots:
            if slot.task is not None and slot.task.number == number and slot.link is not None:
                with contextlib.suppress(OSError):  # it is ending anyway
                    slot.link.send((worker.STOP, number))

    def close(self) -> None:
        self._closing = True
        for slot in self._slots:
            slot.pool.stop()
        for slot in self._slots:
            _kill_group(slot.pid)
        # In threads, since pebble gives a worker that does not end by itself some seconds, one worker after the other.
        joins = [threading.Thread(target=slot.pool.join) for slot in self._slots]
        for thread in joins:
            thread.start()
        for thread in joins:
            thread.join()
        if self._listener is not None and self._acceptor is not None:
            with contextlib.suppress(OSError):
                Client(self._listener.address, authkey=self._authkey).close()
            self._acceptor.join()
            self._listener.close()
        self._slots, self._listener = [], None

    def _new_pool(self, index: int) -> Any:
        if self._listener is None:
            raise ExperimentError("the executor is not open")
        arguments = (self._listener.address, self._authkey, index, self._threads, os.getpid(), self._workload)
        pool = pebble.ProcessPool(
            max_workers=1,
            initializer=worker.start_worker,
            initargs=arguments,
            context=multiprocessing.get_context("spawn"),
        )
        with _interrupts_blocked():
            _ = pool.active  # starts the worker, so that it is warm when the first trial comes
        return pool

    def _schedule(self, slot: _Slot) -> None:
        slot.begun_at = slot.missing_since = slot.ending = slot.trial_pid = slot.trial_link = None
        try:
            slot.future = slot.pool.schedule(
                worker.execute, args=(slot.task,), timeout=slot.task and slot.task.timeout_s
            )
        except RuntimeError:  # the worker died while it was idle
            self._restart(slot)
            return
        slot.oom_kills = _oom_kills()
        slot.future.add_done_callback(lambda future: self._inbox.put(("done", slot.index, future)))

    def _restart(self, slot: _Slot) -> None:
        """Replace a worker that died outside of a trial, and give its task, which it never began, to the new one."""
        slot.restarts += 1
        if not self._was_ready or slot.restarts > _MAX_RESTARTS:
            raise ExperimentError(
                "a worker process ended before it was ready; its own error is printed above. Most often a script "
                "starts the experiment while a worker imports it: put the call of run() under "
                "`if __name__ == '__main__':`"
            )
        _kill_group(slot.pid)
        slot.pool.stop()
        slot.pool.join()
        slot.pid, slot.pool = None, self._new_pool(slot.index)
        self._schedule(slot)

    def _accept(self) -> None:
        listener = self._listener
        while listener is not None:
            try:
                link = listener.accept()
            except (multiprocessing.AuthenticationError, OSError, EOFError):
                if self._closing:
                    return
                continue
            if self._closing:
                link.close()
                return
            threading.Thread(target=self._read, args=(link,), name="graphnas-worker-link", daemon=True).start()

    def _read(self, link: Connection) -> None:
        try:
            while True:
                self._inbox.put((*link.recv(), link))
        except (EOFError, OSError):
            self._inbox.put(("gone", None, link))
            link.close()

    def _handle(self, message: tuple[Any, ...]) -> list[Event]:
        kind, index, *rest = message
        if kind == "gone":
            for slot in self._slots:
                slot.link = None if slot.link is rest[0] else slot.link
                slot.trial_link = None if slot.trial_link is rest[0] else slot.trial_link
            return []
        slot = self._slots[index]
        if kind == worker.HELLO:
            slot.pid, slot.link = rest
        elif kind == worker.READY:
            self._was_ready, slot.restarts = True, 0
        elif kind == worker.BROKEN:
            raise ExperimentError(
                f"the model space or the evaluator could not be loaded in a worker process:\n{rest[0]}\n"
                "Move what it needs into a module that can be imported, or set executor='inprocess'"
            )
        elif slot.task is not None and kind == worker.BEGIN and rest[0] == slot.task.number:
            slot.begun_at, slot.trial_pid, slot.trial_link = time.monotonic(), slot.pid, slot.link
        elif slot.task is not None and kind == worker.REPORT and rest[0] == slot.task.number:
            slot.reported.append(rest[2])
            return [Reported(rest[0], rest[1], rest[2])]
        elif kind == "done" and slot.future is rest[0]:
            return self._handle_done(slot)
        return []

    def _handle_done(self, slot: _Slot) -> list[Event]:
        try:
            outcome = slot.future.result()
        except BrokenProcessPool:
            self._restart(slot)
            return []
        except TimeoutError:
            limit = slot.task.timeout_s if slot.task else None
            self._end_later(slot, TrialStatus.TIMEOUT, f"took longer than {limit} s and was killed")
            return []
        except pebble.ProcessExpired as error:
            status, message = _describe_exit(error.exitcode, _oom_kills() > slot.oom_kills)
            self._end_later(slot, status, message)
            return []
        except CancelledError:
            return []
        except BaseException as error:  # anything that got past the runner, such as a KeyboardInterrupt of the trial
            outcome = Outcome(TrialStatus.FAILED, None, tuple(slot.reported), f"{type(error).__name__}: {error}")
        # The result may overtake reports, which travel over the other connection; they still come before the end.
        number = slot.task.number if slot.task else -1
        late = list(enumerate(outcome.intermediate))[len(slot.reported) :]
        return [*(Reported(number, step, metric) for step, metric in late), self._end(slot, outcome)]

    def _end_later(self, slot: _Slot, status: TrialStatus, message: str) -> None:
        """Keep the outcome of a dead worker until everything it had sent is read."""
        if slot.begun_at is None:  # it died before its first message was read
            slot.trial_pid, slot.trial_link = slot.pid, slot.link
        _kill_group(slot.trial_pid)
        duration_s = 0.0 if slot.begun_at is None else time.monotonic() - slot.begun_at
        tail = "" if slot.task is None else _log_tail(slot.task.directory / worker.LOG_NAME)
        slot.ending = (
            Outcome(status, error=message, traceback=tail, duration_s=duration_s),
            time.monotonic() + _DRAIN_S,
        )

    def _end(self, slot: _Slot, outcome: Outcome) -> Event:
        if slot.task is None:
            raise RuntimeError("a slot without a task cannot end one")
        event = Ended(slot.task.number, outcome)
        slot.task = slot.future = slot.ending = slot.begun_at = None
        return event

    def _look_after(self) -> list[Event]:
        """Finish what waits for a connection, and find workers that left with exit code 0 in the middle of a trial.

        Pebble takes that code for a regular end and would wait for the trial for ever.
        """
        events: list[Event] = []
        now = time.monotonic()
        for slot in self._slots:
            if slot.ending is not None:
                outcome, deadline = slot.ending
                if slot.trial_link is None or now >= deadline:
                    complete = Outcome(
                        outcome.status, None, tuple(slot.reported), outcome.error, outcome.traceback, outcome.duration_s
                    )
                    events.append(self._end(slot, complete))
            elif slot.task is not None and slot.begun_at is not None and not _is_alive(slot.trial_pid):
                slot.missing_since = slot.missing_since or now
                if now - slot.missing_since > _VANISHED_S and not slot.future.done():
                    slot.future.cancel()
                    self._end_later(slot, *_describe_exit(0, False))
        return events


def _describe_exit(code: int, was_out_of_memory: bool) -> tuple[TrialStatus, str]:
    if was_out_of_memory and code == -signal.SIGKILL:
        return TrialStatus.OOM, "the worker was killed by the kernel, as the memory limit was reached"
    if code >= 0:
        return TrialStatus.CRASHED, f"the worker process exited with code {code} in the middle of the trial"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return TrialStatus.CRASHED, f"the worker process was killed by signal {-code} ({name})"


def _oom_kills() -> int:
    """Return how many processes of this control group the kernel killed for want of memory; 0 if it does not say."""
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _log_tail(path: Path) -> str:
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")
    except OSError:
        return ""


def _is_alive(pid: int | None) -> bool:
    if pid is None:
        return True  # not known yet
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _kill_group(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Let processes and threads that start here never see a Ctrl-C, which would kill a worker that still imports."""
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
