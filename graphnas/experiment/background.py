"""A run in a thread of its own, which the end of the program ends in an orderly way."""

from __future__ import annotations

import atexit
import threading
from typing import Protocol


class Run(Protocol):
    """What runs, and can be asked to end from another thread."""

    def run(self) -> None:
        """Run to the end."""

    def request_stop(self) -> None:
        """End soon."""


class Background:
    """A run that has begun in a thread.

    The thread is a daemon: a program that ends does not wait for it, but asks it to end, and waits for that.

    Attributes:
        error: What ended the run, if an exception did.
    """

    def __init__(self, run: Run) -> None:
        self.error: BaseException | None = None
        self._run = run
        self._thread = threading.Thread(target=self._work, name="graphnas-experiment", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended."""
        return not self._thread.is_alive()

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for the end, at most `timeout_s` seconds, and return whether it has come; raise what ended the run."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            return False
        atexit.unregister(self._end)
        if self.error is not None:
            raise self.error
        return True

    def _work(self) -> None:
        try:
            self._run.run()
        except BaseException as error:  # handed to whoever waits
            self.error = error

    def _end(self) -> None:
        self._run.request_stop()
        self._thread.join()
