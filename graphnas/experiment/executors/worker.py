"""The worker's side of the process executor: one process, warm, one trial at a time.

Every message is a pair. The worker says `HELLO`, is sent what it begins with, and says `READY`, or `BROKEN` with a
traceback. Then it is sent `TASK` with a task and answers `BEGIN`, `REPORT` with step and metric for each intermediate
one, and `DONE` with the outcome; `STOP` with a number may come while a trial runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import io
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
import traceback
from multiprocessing import resource_tracker, spawn
from pathlib import Path
from typing import Any

from graphnas.errors import EvaluationError
from graphnas.experiment.executors.base import Task, Workload
from graphnas.experiment.executors.channel import Channel
from graphnas.experiment.executors.runner import run_trial
from graphnas.experiment.trial import Metric, Outcome, TrialStatus

HELLO, READY, BROKEN, TASK, BEGIN, REPORT, DONE, STOP = range(8)

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_F_SETSIG = 10
_OOM_SCORE = 500


def main(link: int, life_line: int, tracker: int, parent: int) -> None:
    """Be a worker until the parent has no more use for it."""
    _end_with_parent(life_line, parent)
    resource_tracker._resource_tracker._fd = tracker  # type: ignore[attr-defined]  # the parent's, as multiprocessing does
    channel = Channel(socket.socket(fileno=link))
    try:
        channel.send((HELLO, None))
        preparation, threads, workload = channel.receive()
        worker = _Worker(channel, _load(preparation, threads, workload))
    except EOFError:
        return
    except BaseException:
        channel.send((BROKEN, traceback.format_exc()))
        return
    with contextlib.suppress(EOFError):
        worker.serve()


class _Worker:
    """What a worker process keeps between its trials."""

    def __init__(self, channel: Channel, workload: Workload) -> None:
        self._channel = channel
        self._workload = workload
        self._pid = os.getpid()
        self._task: Task | None = None
        self._steps = 0
        self._stopped: int | None = None
        self._receiving = threading.Lock()

    def serve(self) -> None:
        self._channel.send((READY, None))
        while True:
            kind, content = self._channel.receive()
            if kind == TASK:
                self._run(content)

    def _run(self, task: Task) -> None:
        self._channel.send((BEGIN, None))
        self._task, self._steps = task, 0
        try:
            outcome = run_trial(self._workload, task, self._report, self._is_stopped)
        except KeyboardInterrupt:  # no Ctrl-C gets here: the trial raised it, or it was sent to this process alone
            outcome = Outcome(TrialStatus.FAILED, error="KeyboardInterrupt", traceback=traceback.format_exc())
        _end_children()
        _flush()
        self._channel.send((DONE, outcome))

    def _report(self, metric: Metric) -> None:
        if os.getpid() != self._pid:
            raise EvaluationError(
                "a metric was reported by a process that the trial has forked; hand it to the process of the trial, "
                "and report it there"
            )
        self._channel.send((REPORT, (self._steps, metric)))
        self._steps += 1

    def _is_stopped(self) -> bool:
        with self._receiving:
            for kind, content in self._channel.available():
                if kind == STOP:
                    self._stopped = content
        return self._task is not None and self._stopped == self._task.number


def _end_with_parent(life_line: int, parent: int) -> None:
    """Let this process and all of its group end when the parent does, whatever they are doing then."""
    if sys.platform == "linux":
        fcntl.fcntl(life_line, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(life_line, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life_line, fcntl.F_SETFL, fcntl.fcntl(life_line, fcntl.F_GETFL) | os.O_ASYNC)
        prctl = ctypes.CDLL(None).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what a trial leaves behind becomes a child of this process
        with contextlib.suppress(OSError):  # the kernel should rather end a trial than the experiment
            Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    if os.getppid() != parent:  # it died before the calls above
        os._exit(1)

    def watch() -> None:
        os.read(life_line, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="graphnas-life-line", daemon=True).start()


def _load(preparation: dict[str, Any], threads: int, workload: bytes) -> Workload:
    """Make this process like its parent, import torch, and return the workload."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a crash loses nothing that was printed, and no print fails
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.enable()
    process: Any = multiprocessing.current_process()
    process._inheriting = True  # by which a script without a guard is recognised, as multiprocessing does it
    try:
        spawn.prepare(preparation)
    finally:
        del process._inheriting
    import torch

    torch.set_num_threads(threads)
    loaded: Workload = pickle.loads(workload)
    return loaded


def _end_children() -> None:
    """Kill the processes that a trial has left running, so that the next trial has the machine to itself."""
    if sys.platform != "linux":
        return
    ended = []
    with contextlib.suppress(ChildProcessError):  # there is none
        while True:
            ready = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            if ready is not None:
                continue  # it had ended, and nobody had asked
            children = _children()
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            ended += children
            if not children:
                break
    if ended:
        print(f"graphnas: killed what the trial left running: {', '.join(map(str, ended))}", file=sys.stderr)


def _children() -> list[int]:
    """Return the processes whose parent is this one, those included that were given to it."""
    own, found = os.getpid(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == own:
                found.append(int(folder.name))
    return found


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError, AttributeError):  # closed or replaced by the trial
            stream.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
