"""The worker's side of the process executor: one process, warm, one trial at a time.

Each worker holds a connection of its own to the parent. Messages to the parent are tuples that begin with `HELLO`,
`READY`, `BROKEN`, `BEGIN` or `REPORT`; the only message to the worker is `(STOP, number)`.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Client, Connection
from pathlib import Path

from graphnas.experiment.executors.base import Task, Workload
from graphnas.experiment.executors.runner import run_trial
from graphnas.experiment.trial import Metric, Outcome

HELLO, READY, BROKEN, BEGIN, REPORT, STOP = "hello", "ready", "broken", "begin", "report", "stop"
LOG_NAME = "log.txt"

_PR_SET_PDEATHSIG = 1


class _Worker:
    """What a worker process keeps between its trials."""

    def __init__(self, slot: int, link: Connection) -> None:
        self.slot = slot
        self.link = link
        self.workload: Workload | None = None
        self._stopped: int | None = None

    def listen(self) -> None:
        """Take requests of the parent; end this process and all it started once the parent is gone."""
        try:
            while True:
                kind, number = self.link.recv()
                if kind == STOP:
                    self._stopped = number
        except (EOFError, OSError):
            os.killpg(os.getpgrp(), signal.SIGKILL)

    def is_stopped(self, number: int) -> bool:
        return self._stopped == number


_worker: _Worker | None = None


def start_worker(address: str, authkey: bytes, slot: int, threads: int, parent_pid: int, workload: bytes) -> None:
    """Turn this fresh process into the worker of `slot`: connect, import torch, load the workload."""
    global _worker
    # A group of its own: a Ctrl-C at the terminal is the parent's to handle, and what a trial forks ends with it.
    os.setpgid(0, 0)
    _die_with_parent(parent_pid)
    link = Client(address, authkey=authkey)
    link.send((HELLO, slot, os.getpid()))
    worker = _Worker(slot, link)
    try:
        _limit_threads(threads)
        import cloudpickle

        worker.workload = cloudpickle.loads(workload)
    except BaseException:
        link.send((BROKEN, slot, traceback.format_exc()))
        raise
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that a crash loses nothing that was printed
    faulthandler.enable()
    _worker = worker
    threading.Thread(target=worker.listen, name="graphnas-parent", daemon=True).start()
    link.send((READY, slot))


def execute(task: Task) -> Outcome:
    """Run one trial in this worker."""
    worker = _worker
    if worker is None or worker.workload is None:
        raise RuntimeError("execute() runs in a worker that start_worker() has prepared")
    steps = 0

    def on_report(metric: Metric) -> None:
        nonlocal steps
        worker.link.send((REPORT, worker.slot, task.number, steps, metric))
        steps += 1

    worker.link.send((BEGIN, worker.slot, task.number))
    with _output_to(task.directory / LOG_NAME):
        return run_trial(worker.workload, task, on_report, lambda: worker.is_stopped(task.number))


def _die_with_parent(parent_pid: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the call above
        os._exit(1)


def _limit_threads(threads: int) -> None:
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    import torch

    torch.set_num_threads(threads)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and its children print to `path`, also what C code prints."""
    saved = os.dup(1), os.dup(2)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        _redirect(log, log)
        yield
    finally:
        _redirect(*saved)
        for descriptor in (*saved, log):
            os.close(descriptor)


def _redirect(out: int, err: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # closed or replaced by the trial
            stream.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)
