"""Medians of interleaved runs: what is compared is measured in turn, so that a busy machine hits both alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def medians(*functions: Callable[[], object], repeats: int = 15) -> list[float]:
    """Return the median of each function's wall-clock time, in seconds, after one run that does not count."""
    for function in functions:
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, measured in zip(functions, times, strict=True):
            gc.collect()
            start = time.perf_counter()
            function()
            measured.append(time.perf_counter() - start)
    return [statistics.median(measured) for measured in times]
