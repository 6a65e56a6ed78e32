"""The log of a trial: what it printed, in a file that stays small however much that is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from graphnas.experiment.trial import LOG_NAME

HEAD_BYTES = 1 << 20
TAIL_BYTES = 1 << 20
MAX_LOG_BYTES = HEAD_BYTES + 2 * TAIL_BYTES + 100
"""No log is ever larger; one that would be keeps its first MiB and at least its last one."""

_TRACEBACK_BYTES = 4000


class TrialLog:
    """Writes the log of one trial; the file is made by the first byte, as most trials print nothing.

    Args:
        directory: The folder of the trial. A log of an earlier run of the same trial is removed.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOG_NAME
        self._path.unlink(missing_ok=True)
        self._file: BinaryIO | None = None
        self._size = 0
        self._left_out = 0
        self._head = 0
        self._body = 0
        """Where the file begins to hold its latest bytes: behind the note, which itself is behind the head."""

    def write(self, data: bytes) -> None:
        """Append what was printed; what a full disk does not take is left out, as it is no reason to end a trial."""
        with contextlib.suppress(OSError):
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._path.open("w+b", buffering=0)
            if self._size + len(data) > HEAD_BYTES + 2 * TAIL_BYTES:
                data = self._shorten(self._file, data)
            self._size += self._file.write(data) or 0

    def tail(self) -> str:
        """Return the last lines, for an outcome whose trial can no longer tell."""
        if self._file is None:
            return ""
        length = min(self._size, _TRACEBACK_BYTES)
        return os.pread(self._file.fileno(), length, self._size - length).decode(errors="replace")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _shorten(self, file: BinaryIO, data: bytes) -> bytes:
        """Cut the file back to its head, and return what is to follow there: a note, the last lines, and `data`."""
        if self._left_out == 0:
            self._head = self._body = min(HEAD_BYTES, self._size)
        recent = data[-TAIL_BYTES:]
        start = max(self._body, self._size - (TAIL_BYTES - len(recent)))
        kept = os.pread(file.fileno(), self._size - start, start)
        self._left_out += start - self._body + len(data) - len(recent)
        file.truncate(self._head)
        file.seek(self._head)
        note = f"\n... {self._left_out} bytes left out ...\n".encode()
        self._size, self._body = self._head, self._head + len(note)
        return note + kept + recent
