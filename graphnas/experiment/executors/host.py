"""What runs on a node of a cluster: the process executor with one slot, and the files of its trial.

The experiment's folder is on the driver's machine only, so a trial gets a folder of the node, with what the driver has
put into the trial's own, and what is new or changed there when the trial ends is sent back.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from graphnas.errors import ExperimentError
from graphnas.experiment.executors.base import Ended, Reported, Task
from graphnas.experiment.executors.process import ProcessExecutor
from graphnas.experiment.executors.shipping import unpack_sources
from graphnas.version import __version__

READY, BROKEN, REPORT, FILE, END = "ready", "broken", "report", "file", "end"
Message: TypeAlias = tuple[Any, ...]
"""`(READY, version)`, `(BROKEN, text)`, `(REPORT, number, step, metric)`, `(FILE, number, name, offset, bytes)` or
`(END, number, outcome)`; the files of a trial come before its end."""

CHUNK_BYTES = 4 << 20
_RUN, _STOP, _CLOSE = "run", "stop", "close"
_SLICE_S = 0.05


class Host:
    """Runs the trials of one slot on a node; to be made a Ray actor.

    Only `poll` does anything, so that everything happens in one thread at a time. The other methods leave a word.

    Args:
        workload: The pickle of what trials do.
        sources: What `pack_sources` returned.
        threads: Number of threads that torch may use.
    """

    def __init__(self, workload: bytes, sources: bytes, threads: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="graphnas-", ignore_cleanup_errors=True)
        code = Path(self._folder.name) / "code"
        code.mkdir()
        unpack_sources(sources, code)
        self._executor = ProcessExecutor(1, threads, path=[str(code)], has_main=False)
        self._commands: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._outbox: list[Iterator[Message]] = [iter([(READY, __version__)])]
        self._given: dict[str, bytes] = {}
        self._executor.open(workload)

    def run(self, task: Task, files: dict[str, bytes]) -> None:
        """Start a trial; `files` is what lies in its folder, and the checkpoint that it continues."""
        self._commands.put((_RUN, task, files))

    def request_stop(self, number: int) -> None:
        self._commands.put((_STOP, number))

    def close(self) -> None:
        self._commands.put((_CLOSE,))

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what has happened, in order, as soon as something has; a large file comes in several calls."""
        deadline = time.monotonic() + timeout_s
        while True:
            messages = self._sendable()
            if messages:
                return messages
            if time.monotonic() >= deadline:
                return []
            try:
                self._work()
            except ExperimentError as error:
                return [(BROKEN, str(error))]

    def _work(self) -> None:
        """Obey what was said meanwhile, then wait a little for the trial."""
        is_busy = self._executor.running > 0
        try:
            command = self._commands.get(timeout=0 if is_busy else _SLICE_S)
        except queue.Empty:
            command = ()
        if command and command[0] == _RUN:
            self._start(*command[1:])
        elif command and command[0] == _STOP:
            self._executor.request_stop(command[1])
        elif command:
            self._executor.close()
            self._folder.cleanup()
            self._outbox.append(iter([(BROKEN, "the host was closed")]))
            return
        for event in self._executor.wait(_SLICE_S if is_busy else 0.001):
            if isinstance(event, Reported):
                self._outbox.append(iter([(REPORT, event.number, event.step, event.metric)]))
            else:
                self._outbox.append(self._leave(event))

    def _start(self, task: Task, files: dict[str, bytes]) -> None:
        folder = self._folder_of(task.number)
        folder.mkdir()
        self._given = files
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        checkpoint = None if task.checkpoint is None else folder / task.checkpoint
        self._executor.submit(replace(task, directory=folder, checkpoint=checkpoint))

    def _leave(self, event: Ended) -> Iterator[Message]:
        """Yield what an ended trial has left in its folder, and its end."""
        folder = self._folder_of(event.number)
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or self._is_as_given(name, path):
                continue
            with path.open("rb") as file:
                offset = 0
                for data in iter(lambda: file.read(CHUNK_BYTES), b""):  # used up before the next file
                    yield FILE, event.number, name, offset, data
                    offset += len(data)
                if offset == 0:
                    yield FILE, event.number, name, 0, b""
        yield END, event.number, event.outcome
        shutil.rmtree(folder)

    def _is_as_given(self, name: str, path: Path) -> bool:
        given = self._given.get(name)
        return given is not None and path.stat().st_size == len(given) and path.read_bytes() == given

    def _sendable(self) -> list[Message]:
        """Return what waits to be sent, not much more of it than one chunk."""
        messages: list[Message] = []
        size = 0
        while self._outbox and size < CHUNK_BYTES:
            message = next(self._outbox[0], None)
            if message is None:
                del self._outbox[0]
                continue
            messages.append(message)
            size += len(message[-1]) if message[0] == FILE else 0
        return messages

    def _folder_of(self, number: int) -> Path:
        return Path(self._folder.name) / f"trial-{number}"
