"""A worker process as its parent holds it: start it, talk to it, notice its death, end it with all that it started.

What a trial starts is found in three ways. Its process group holds what it forks. A pipe that only the parent keeps
open is the group's life line: when it closes, however the parent died, the kernel kills the group. And a mark in the
environment finds the processes that left the group.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import resource_tracker, spawn
from pathlib import Path
from typing import Any

from graphnas.experiment.executors.channel import Channel

MARK = "GRAPHNAS_WORKER"
"""Environment variable that names the worker to which a process belongs."""

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from graphnas.experiment.executors.worker import main"
_PIPE_BYTES = 1 << 20
_CHUNK = 1 << 18


class WorkerProcess:
    """A fresh Python process that runs `worker.main`, in a process group of its own.

    Its output comes through a pipe, `channel` carries messages.

    Args:
        environment: Variables to set beside those of this process.
        path: Folders in which the process looks for modules before those of this process.
        has_main: Whether it imports the main script of this process, as `multiprocessing` does when it spawns.
    """

    def __init__(self, environment: Mapping[str, str], path: Sequence[str] = (), *, has_main: bool = True) -> None:
        self._mark = secrets.token_hex(8)
        self._is_reaped = False
        self.channel, socket = Channel.pair()
        line, self._life_line = os.pipe()
        self.output, out = os.pipe()
        os.set_blocking(self.output, False)
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a limit of the system; the default will do
                fcntl.fcntl(self.output, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        tracker = resource_tracker.getfd()
        if tracker is None:
            raise RuntimeError("getfd() starts the tracker of this process")
        descriptors = (socket.fileno(), line, tracker)
        try:
            self._popen = subprocess.Popen(
                [
                    spawn.get_executable(),
                    "-c",
                    f"{_BOOT}; main(*{descriptors}, parent={os.getpid()})",
                    json.dumps([*path, *(str(folder) or os.getcwd() for folder in sys.path)]),
                ],
                env={**os.environ, **environment, MARK: self._mark},
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                process_group=0,  # a Ctrl-C at the terminal is the parent's to handle
            )
        except BaseException:
            self._close()
            raise
        finally:
            socket.close()
            os.close(line)
            os.close(out)
        self.pid = self._popen.pid
        self._preparation = _preparation(has_main)

    def set_up(self, workload: bytes, threads: int) -> None:
        """Send what the process begins with, once it has said hello; before that a large one could block."""
        self.channel.send((self._preparation, threads, workload))

    def read_output(self) -> bytes:
        """Return a part of what the process has printed; empty if there is nothing new."""
        try:
            return os.read(self.output, _CHUNK)
        except OSError:
            return b""

    def has_died(self) -> bool:
        """Whether the process has ended; until `reap`, its number and that of its group stay taken."""
        if self._is_reaped:
            return True
        if not hasattr(os, "waitid"):
            return self._popen.poll() is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # somebody else has waited for it
            return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to what it has forked."""
        if self._is_reaped:  # the number may be another's by now
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def reap(self) -> int:
        """Kill whatever is left of the process and of what it started, and return how it had ended.

        Returns:
            The exit code, or minus the number of the signal that ended it.
        """
        if not self._is_reaped:
            self.signal(signal.SIGKILL)
            self._popen.wait()
            self._is_reaped = True
            _kill_marked(self._mark)
            self._close()
        return int(self._popen.returncode)

    def _close(self) -> None:
        self.channel.close()
        for descriptor in (self._life_line, self.output):
            os.close(descriptor)


def _preparation(has_main: bool) -> dict[str, Any]:
    """Return what `multiprocessing.spawn.prepare` makes the new process like this one with."""
    data = spawn.get_preparation_data("graphnas-worker")
    data["authkey"] = bytes(data["authkey"])  # a class that refuses to be pickled
    if not has_main or not Path(data.get("init_main_from_path", __file__)).is_file():  # a notebook has none
        data = {key: value for key, value in data.items() if not key.startswith("init_main")}
    del data["sys_path"]  # the process has it already, behind the folders of its own
    return data


def _kill_marked(mark: str) -> None:
    """Kill processes that a worker started and that left its group, as daemons do; only where there is a /proc."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
