"""Ending an experiment that another process of this machine runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from graphnas.errors import StoreError
from graphnas.experiment.store.place import LOCK_NAME, is_locked

_TICK_S = 0.05


def stop_experiment(folder: Path, timeout_s: float) -> int | None:
    """Ask the process that runs an experiment to end, as Ctrl-C does, and wait until it has; return its process id.

    None means that nothing ran. Only a process that is seen to hold the lock of the experiment gets the signal, since
    a number in a file may be that of a process elsewhere, such as in a container.

    Raises:
        StoreError: The process is not of this machine or not ours, or has not ended in time.
    """
    if not is_locked(folder):
        return None
    process = _holder_of(folder / LOCK_NAME)
    if process is None:
        raise StoreError(
            f"{folder}: the process that runs this experiment is not seen from here; end it where it was started, by "
            "Ctrl-C or SIGTERM"
        )
    try:
        os.kill(process, signal.SIGTERM)
    except ProcessLookupError:
        return process
    except PermissionError as error:
        raise StoreError(f"{folder}: process {process} runs this experiment and belongs to somebody else") from error
    deadline = time.monotonic() + timeout_s
    while is_locked(folder):
        if time.monotonic() > deadline:
            raise StoreError(f"{folder}: process {process} was asked to end and has not in {timeout_s:g} s; kill it")
        time.sleep(_TICK_S)
    return process


def _holder_of(lock: Path) -> int | None:
    """Return the process whose number stands in a lock, if it has that very file open."""
    try:
        process = int(lock.read_text().strip())
        opened = Path(f"/proc/{process}/fd")
        same = lock.stat()
        for entry in opened.iterdir():
            found = entry.stat()
            if (found.st_dev, found.st_ino) == (same.st_dev, same.st_ino):
                return process
    except (OSError, ValueError):
        return None
    return None
