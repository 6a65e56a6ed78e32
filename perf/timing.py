"""Medians of interleaved runs: what is compared is measured in turn, so that a busy machine hits both alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable


def medians(
    *functions: Callable[[], object], repeats: int = 15, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """Return the median of each function's time, in seconds of this process, after one run that does not count."""
    for function in functions:
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, measured in zip(functions, times, strict=True):
            measured.append(seconds(function, clock))
    return [statistics.median(measured) for measured in times]


def seconds(function: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the time of one run, in which the garbage collector does not look at what was there before."""
    gc.collect()
    gc.freeze()
    start = clock()
    function()
    spent = clock() - start
    gc.unfreeze()
    return spent
