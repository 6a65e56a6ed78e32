"""Ctrl-C and SIGTERM while an experiment runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """Takes note of the first signal, so that it never breaks into a commit; the second raises at once.

    A context manager; outside of the main thread, where Python delivers no signals, it does nothing.

    Attributes:
        received: Number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._raises = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the first signal already, as user code runs in this very thread."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again = self.received is not None
        self.received = number
        if again or self._raises:
            raise KeyboardInterrupt
