"""Waiting for what an executor has to say."""

from __future__ import annotations

import time
from collections.abc import Callable

from graphnas.experiment.executors import Event, Executor


def run_until(executor: Executor, enough: Callable[[list[Event]], object], patience_s: float = 120) -> list[Event]:
    """Return the events up to when there are enough of them."""
    events: list[Event] = []
    deadline = time.monotonic() + patience_s
    while not enough(events):
        assert time.monotonic() < deadline, f"it never came to that; so far {events}"
        events += executor.wait(0.5)
    return events
